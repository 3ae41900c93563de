"""What one signed playlist hands out (D25): reads of what lies below its folder, and nothing else of what its signer may read."""

import json

import pytest

from millpond_test.accounts import new_user, statement
from millpond_test.signing import Request, v1_url, v4_url

SIGN = ("x-oss-process", "hls/sign")
URLS = {"v1": v1_url, "v4": v4_url}
SECRETS = {
    "secret.txt": b"of the root",
    "other/secret.ts": b"of another folder",
    "other/playlist.m3u8": b"#EXTM3U\n#EXTINF:1,\nsecret.ts\n",
    "live/secret.ts": b"of the folder around",
    "live/ch10/secret.ts": b"of a folder whose name begins alike",
}


def signed(server, bucket, key, version, host="127.0.0.1"):
    answer = URLS[version](Request("GET", bucket.bucket_name, key, [SIGN], host=host)).send(server)
    assert answer.status == 200, answer.body
    return [line for line in answer.body.decode().splitlines() if line and not line.startswith("#")]


def filled(server):
    bucket = server.new_bucket()
    for key, body in SECRETS.items():
        bucket.put_object(key, body)
    bucket.put_object("live/ch1/1.ts", b"segment")
    return bucket


def test_who_may_write_one_playlist_reads_nothing_more(server, version):
    """A user with write access to one folder writes a playlist; the account signs it for somebody, who follows what it says."""
    bucket = filled(server)
    name = bucket.bucket_name
    writer = new_user(server)
    writer.allow("writer", statement("Allow", "oss:PutObject", [f"acs:oss:*:*:{name}/live/ch1/*"]))
    uris = [
        "../secret.ts", "../ch10/secret.ts", "../../secret.txt", "../../other/secret.ts", f"/{name}/secret.txt", "./../secret.ts",
        f"/{name}/live/ch1/../../other/secret.ts", f"http://127.0.0.1:{server.port}/{name}/secret.txt",
        f"//127.0.0.1:{server.port}/{name}/secret.txt", "%2e%2e/secret.ts", "..%2fsecret.ts", "..\\secret.ts",
        "1.ts?acl", "1.ts?tagging", "1.ts?x-oss-process=hls/sign", "../../other/secret.ts?objectMeta",
    ]  # fmt: skip
    text = "#EXTM3U\n" + "".join(f"#EXTINF:1,\n{uri}\n" for uri in [*uris, "1.ts"])
    text += '#EXT-X-KEY:METHOD=AES-128,URI="../secret.ts"\n#EXT-X-MAP:URI="../../secret.txt"\n'
    put = Request("PUT", name, "live/ch1/mine.m3u8", body=text.encode())
    assert URLS[version](put, writer.key()).send(server).status == 200

    answer = URLS[version](Request("GET", name, "live/ch1/mine.m3u8", [SIGN])).send(server)
    lines = answer.body.decode().splitlines()
    found = [line for line in lines if line and not line.startswith("#")]
    # Nothing in it has a signature but the one segment.
    assert [line for line in lines if "ignature=" in line] == [found[-1]]
    assert server.get(f"{name}/live/ch1/{found[-1]}").content == b"segment"
    assert found[:-1] == uris
    told = [line for line in server.log().splitlines() if name in line and "stay unsigned" in line]
    assert len(told) == 1, told
    fields = json.loads(told[0])
    assert "live/ch1/mine.m3u8" in told[0] and "../secret.ts" in told[0] and fields["level"] == "WARN"


def test_a_master_of_playlists_is_followed_below_its_folder(server, version):
    bucket = filled(server)
    bucket.put_object("show/master.m3u8", "#EXTM3U\n720p/i.m3u8\n../other/playlist.m3u8\n")
    bucket.put_object("show/720p/i.m3u8", "#EXTM3U\n#EXTINF:1,\n1.ts\n")
    bucket.put_object("show/720p/1.ts", b"segment")
    below, beside = signed(server, bucket, "show/master.m3u8", version)
    assert beside == "../other/playlist.m3u8"
    child = server.get(f"{bucket.bucket_name}/show/{below}").text.splitlines()[-1]
    assert server.get(f"{bucket.bucket_name}/show/720p/{child}").content == b"segment"


def test_a_playlist_in_the_root_lists_what_stands_beside_it(server, version):
    bucket = filled(server)
    bucket.put_object("1.ts", b"segment")
    bucket.put_object("root.m3u8", "#EXTM3U\n#EXTINF:1,\n1.ts\n#EXTINF:1,\nother/secret.ts\n#EXTINF:1,\nlive/ch1/1.ts\n")
    first, *rest = signed(server, bucket, "root.m3u8", version)
    assert server.get(f"{bucket.bucket_name}/{first}").content == b"segment"
    assert rest == ["other/secret.ts", "live/ch1/1.ts"]


def test_buckets_of_masters_list_siblings(fresh_server, version):
    server = fresh_server(settings='[hls_sign]\nsiblings = ["masters"]\n')
    for name, is_allowed in (("masters", True), ("others", False)):
        bucket = server.bucket(name)
        bucket.create_bucket()
        for key, body in SECRETS.items():
            bucket.put_object(key, body)
        bucket.put_object("show/master.m3u8", "#EXTM3U\n../other/playlist.m3u8\n../other/playlist.m3u8?acl\n../../out.m3u8\n")
        bucket.put_object("show/segments.m3u8", "#EXTM3U\n#EXTINF:1,\n../other/secret.ts\n#EXTINF:1,\n../secret.txt\n")
        bucket.put_object("root.m3u8", "#EXTM3U\nother/playlist.m3u8\n")
        sibling, operation, out = signed(server, bucket, "show/master.m3u8", version)
        (from_root,) = signed(server, bucket, "root.m3u8", version)
        assert ("ignature=" in sibling, "ignature=" in from_root) == (is_allowed, is_allowed)
        assert (operation, out) == ("../other/playlist.m3u8?acl", "../../out.m3u8")
        # Segments come from the folder of the playlist that lists them, whatever the bucket.
        assert signed(server, bucket, "show/segments.m3u8", version) == ["../other/secret.ts", "../secret.txt"]
        if is_allowed:
            child = server.get(f"{name}/{sibling.removeprefix('../')}").text.splitlines()[-1]
            assert server.get(f"{name}/other/{child}").content == SECRETS["other/secret.ts"]


def test_a_wrong_bucket_name_in_the_switch_is_refused(fresh_server):
    with pytest.raises(AssertionError, match="hls_sign.siblings"):
        fresh_server(settings='[hls_sign]\nsiblings = ["No Bucket"]\n', name="refused")
