"""Snapshots as users of the official SDKs ask for them: each SDK puts the configuration, reads the channel, and fetches the pictures of a real push.

The Java SDKs run with `make java` (MILLPOND_NEEDS_JAVA), since Maven has to fetch them.
"""

import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import alibabacloud_oss_v2 as oss_v2
import oss2
import pytest

from millpond_test import media, pictures
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION, ROOT, wait_for
from test_snapshots import configuration, idle, names

JAVA = ROOT / "conformance" / "java"
NEEDS_JAVA = bool(os.environ.get("MILLPOND_NEEDS_JAVA"))
MISSING = [tool for tool in ("javac", "mvn") if NEEDS_JAVA and shutil.which(tool) is None]
if MISSING:
    pytest.exit(f"missing: {', '.join(MISSING)}; run conformance/java/setup.sh", returncode=3)

INTERVAL = 1
KEPT = os.environ.get("MILLPOND_KEEP_PICTURES")
"""A folder for the pictures, for somebody who wants to look at them."""


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """A key frame each second, for as long as two pictures may take."""
    return pictures.make_numbered(tmp_path_factory.mktemp("numbered") / "numbered.flv", 40, 25)


@pytest.fixture
def buckets(server):
    """Of the channel, and of its pictures."""
    return server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ), server.new_bucket()


def check_echo(bucket, dest) -> None:
    """The server gives the configuration back as it was put."""
    echoed = ElementTree.fromstring(bucket._do("GET", bucket.bucket_name, "cam", params={"live": ""}).read())
    found = {child.tag: child.text for child in echoed.find("Snapshot")}
    assert found == {"RoleName": "role", "DestBucket": dest.bucket_name, "NotifyTopic": "topic", "Interval": str(INTERVAL)}


def check_pictures(found: "dict[str, bytes]", sdk: str) -> None:
    for name, body in found.items():
        if KEPT:
            (Path(KEPT) / f"{sdk}-{name.replace('/', '-')}").write_bytes(body)
        assert pictures.probe(body) == ("mjpeg", pictures.WIDTH, pictures.HEIGHT)
    shown = sorted(pictures.number(body) for body in found.values())
    assert len(set(shown)) == len(shown) >= 2 and all(number % 25 == 0 for number in shown), f"key frames: {shown}"


def push_until_there_are_pictures(source, bucket, dest, url: str) -> None:
    with media.Push(source, url) as push:
        wait_for(lambda: len(names(dest)) >= 2, "two pictures", 30)
        push.interrupt()
    idle(bucket)


def test_oss2(server, buckets, numbered):
    """Its LiveChannelInfo has no Snapshot, but create_live_channel also takes a document."""
    bucket, dest = (server.bucket(bucket.bucket_name, "v4") for bucket in buckets)
    created = bucket.create_live_channel("cam", configuration(dest.bucket_name, INTERVAL))
    assert created.publish_url.endswith("/live/cam") and created.play_url.endswith("/cam/playlist.m3u8")
    read = bucket.get_live_channel("cam")
    assert (read.status, read.target.frag_duration) == ("enabled", "2")
    check_echo(bucket, dest)
    push_until_there_are_pictures(numbered, bucket, dest, bucket.sign_rtmp_url("cam", "playlist.m3u8", 60))
    check_pictures({name: dest.get_object(name).read() for name in names(dest)}, "oss2")


def test_the_second_python_sdk(server, buckets, numbered):
    """It has no types for channels, but any operation by its method, parameters and document."""
    bucket, dest = buckets
    config = oss_v2.config.load_default()
    config.credentials_provider = oss_v2.credentials.StaticCredentialsProvider(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
    config.region, config.endpoint, config.use_path_style = REGION, server.endpoint, True
    client = oss_v2.Client(config)
    put = oss_v2.OperationInput(
        op_name="PutLiveChannel", method="PUT", bucket=bucket.bucket_name, key="cam",
        parameters={"live": ""}, body=configuration(dest.bucket_name, INTERVAL),
    )  # fmt: skip
    assert client.invoke_operation(put).status_code == 200
    check_echo(bucket, dest)
    push_until_there_are_pictures(numbered, bucket, dest, bucket.sign_rtmp_url("cam", "playlist.m3u8", 60))
    listed = client.list_objects_v2(oss_v2.ListObjectsV2Request(bucket=dest.bucket_name)).contents
    get = lambda key: client.get_object(oss_v2.GetObjectRequest(bucket=dest.bucket_name, key=key)).body.read()  # noqa: E731
    check_pictures({found.key: get(found.key) for found in listed}, "alibabacloud-oss-v2")


@pytest.fixture(scope="module")
def java(tmp_path_factory):
    """The command that runs the class Snapshots, compiled beside the SDKs that Maven fetches."""
    folder = tmp_path_factory.mktemp("java")
    command = ["mvn", "-q", "-B", "dependency:build-classpath", f"-Dmdep.outputFile={folder / 'classpath'}"]
    fetched = subprocess.run(command, cwd=JAVA, capture_output=True, text=True, timeout=600)
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    classpath = f"{folder}:{(folder / 'classpath').read_text().strip()}"
    compiled = media.run(["javac", "-d", str(folder), "-cp", classpath, *map(str, (JAVA / "src").glob("*.java"))])
    assert compiled.returncode == 0, compiled.stderr
    return ["java", "-cp", classpath, "Snapshots"]


@pytest.mark.parametrize("sdk", ["aliyun-sdk-oss", "aliyun-sdk-oss-v4", "alibabacloud-oss-v2", "alibabacloud-oss20190517"])
def check_the_java_sdks(server, buckets, numbered, tmp_path, java, sdk):
    bucket, dest = buckets
    arguments = [sdk, server.endpoint, REGION, ACCESS_KEY_ID, ACCESS_KEY_SECRET, bucket.bucket_name, "cam", dest.bucket_name]
    with subprocess.Popen(
        [*java, *arguments, str(INTERVAL), str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as user:
        said = [user.stdout.readline().rstrip("\n") for _ in ("put", "info")]
        if not said[-1]:
            raise AssertionError(user.stderr.read())
        check_echo(bucket, dest)
        push_until_there_are_pictures(numbered, bucket, dest, bucket.sign_rtmp_url("cam", "playlist.m3u8", 60))
        rest, complaints = user.communicate("go\n", timeout=60)
    assert user.returncode == 0, complaints
    put, info = (line.split("\t", 1)[1] for line in said)
    assert "/live/cam" in put, put
    assert "enabled" in info.lower() and "playlist.m3u8" in info, info
    keys = [line.split("\t")[1] for line in rest.splitlines()]
    assert keys == names(dest)
    check_pictures({key: (tmp_path / key.replace("/", "_")).read_bytes() for key in keys}, f"java-{sdk}")


if NEEDS_JAVA:
    # Elsewhere it is no test at all: one that is skipped would look like a test.
    test_the_java_sdks = check_the_java_sdks
