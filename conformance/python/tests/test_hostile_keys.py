"""Keys that a file system, a URL library or an XML writer would stumble over are just keys: through both SDKs, and raw on
the wire (HTTP API 1.1, 1.3, 5.5)."""

import xml.etree.ElementTree

import alibabacloud_oss_v2 as oss
import oss2
import pytest
from urllib.parse import quote_from_bytes

from millpond_test.raw import ask, head
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION
from test_multipart import refused

KEYS = {
    "parent": "../x",
    "parents": "../../../../etc/passwd",
    "inner parent": "a/../b",
    "dot": ".",
    "dots": "..",
    "dot folder": "./",
    "hidden": ".hidden/.",
    "empty folder": "a//b",
    "many slashes": "a////",
    "folder": "folder/",
    "cjk": "测" * 341,
    "astral": "🎥" * 255,
    "nul": "a\0b",
    "only nul": "\0",
    "controls": "".join(map(chr, range(1, 32))),
    "delete": "\x7f\x80",
    "line ends": "a\r\nx-oss-meta-evil: 1\r\n\r\nb",
    "spaces": " leading and trailing ",
    "tab": "\tkey\n",
    "backslash": "a\\..\\b",
    "percent": "%2e%2e%2f%00%",
    "plus": "a+b c%20d",
    "query": "a?acl&x=1#f",
    "quotes": "'\"`<&>]]>",
    "decomposed": "e\u0301",
    "right to left": "\u202egpj.exe",
    "blob": "blobs/00/00",
    "reserved names": "con/nul/aux.txt",
    "byte order mark": "\ufeffkey",
}


# urllib3, below both Python SDKs, resolves dot segments before it sends them. oss2 escapes the slash, so that only a key
# that is nothing but dots is changed; the newer SDK leaves it, and cannot name such keys at all. They are sent raw below.
OSS2_CANNOT = {"dot", "dots"}
PY2_CANNOT = {name for name, key in KEYS.items() if {".", ".."} & set(key.split("/"))}


@pytest.fixture
def bucket(server, version):
    return server.new_bucket(version=version)


def key_parameters(but):
    chosen = {name: key for name, key in KEYS.items() if name not in but}
    return pytest.mark.parametrize("key", chosen.values(), ids=chosen.keys())


@key_parameters(but=OSS2_CANNOT)
def test_a_hostile_key_lives_and_dies(bucket, key):
    assert len(key.encode()) <= 1023
    body = b"body of " + key.encode()
    bucket.put_object(key, body)
    assert bucket.get_object(key).read() == body
    assert bucket.head_object(key).content_length == len(body)
    for listed in (bucket.list_objects(), bucket.list_objects_v2()):
        assert [entry.key for entry in listed.object_list] == [key]
    assert [entry.key for entry in bucket.list_objects_v2(prefix=key[:1]).object_list] == [key]
    assert bucket.list_objects_v2(start_after=key).object_list == []
    bucket.copy_object(bucket.bucket_name, key, "copy")
    bucket.copy_object(bucket.bucket_name, "copy", key)
    assert bucket.get_object("copy").read() == bucket.get_object(key).read() == body
    bucket.delete_object(key)
    assert not bucket.object_exists(key)
    assert [entry.key for entry in bucket.list_objects_v2().object_list] == ["copy"]


@key_parameters(but=PY2_CANNOT)
def test_a_hostile_key_through_the_newer_sdk(server, key):
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
    config.region, config.endpoint = REGION, server.endpoint
    client = oss.Client(config)
    name = server.new_bucket().bucket_name
    client.put_object(oss.PutObjectRequest(bucket=name, key=key, body=b"body"))
    assert client.get_object(oss.GetObjectRequest(bucket=name, key=key)).body.read() == b"body"
    assert [entry.key for entry in client.list_objects_v2(oss.ListObjectsV2Request(bucket=name)).contents] == [key]
    client.copy_object(oss.CopyObjectRequest(bucket=name, key="copy", source_key=key))
    assert client.delete_object(oss.DeleteObjectRequest(bucket=name, key=key)).status_code == 204
    assert [entry.key for entry in client.list_objects_v2(oss.ListObjectsV2Request(bucket=name)).contents] == ["copy"]


# oss2 begins uploads without asking for url encoding, and no XML reader takes what XML 1.0 has no characters for.
@key_parameters(but=OSS2_CANNOT | {"nul", "only nul", "controls"})
def test_a_hostile_key_in_parts_appends_and_links(bucket, key):
    upload_id = bucket.init_multipart_upload(key).upload_id
    assert [entry.key for entry in bucket.list_multipart_uploads().upload_list] == [key]
    part = bucket.upload_part(key, upload_id, 1, b"part")
    assert [entry.size for entry in bucket.list_parts(key, upload_id).parts] == [4]
    bucket.complete_multipart_upload(key, upload_id, [oss2.models.PartInfo(1, part.etag)])
    assert bucket.get_object(key).read() == b"part"
    bucket.put_symlink(key, "link")
    assert bucket.get_symlink("link").target_key == key
    assert bucket.get_object("link").read() == b"part"
    bucket.delete_object(key)
    bucket.append_object(key, 0, b"one ")
    bucket.append_object(key, 4, b"two")
    assert bucket.get_object("link").read() == b"one two"


@key_parameters(but={name for name, key in KEYS.items() if "\0" in key} | OSS2_CANNOT)
def test_a_hostile_key_in_a_batch(server, key):
    # NUL has no place in XML, so that a client cannot ask for it this way; and an XML reader makes \r a line end unless it
    # is written as a reference. The document is written here, because the SDK writes control characters as they are.
    bucket = server.new_bucket()
    other = key[:-1] + "'"
    for each in (key, other, "kept"):
        bucket.put_object(each, b"x")
    keys = "".join("<Object><Key>" + "".join(f"&#{ord(c)};" for c in each) + "</Key></Object>" for each in (key, other))
    body = f"<Delete>{keys}</Delete>".encode()
    answer = bucket._Bucket__do_bucket("POST", data=body, params={"delete": "", "encoding-type": "url"})
    assert answer.status == 200
    found = xml.etree.ElementTree.fromstring(answer.read()).findall("Deleted/Key")
    assert [element.text for element in found] == [quoted(key), quoted(other)]
    assert [entry.key for entry in bucket.list_objects_v2().object_list] == ["kept"]


def quoted(key: str) -> str:
    return quote_from_bytes(key.encode(), safe="-_.~/")


def test_a_batch_cannot_name_nul(server):
    bucket = server.new_bucket()
    bucket.put_object("a\0b", b"x")
    for text in (b"a\0b", b"a&#0;b", b"a&#x0;b"):
        body = b"<Delete><Object><Key>" + text + b"</Key></Object></Delete>"
        refused(lambda: bucket._Bucket__do_bucket("POST", data=body, params={"delete": ""}), 400, "MalformedXML")
    assert bucket.object_exists("a\0b")


RAW = {
    "a dot is a key": (b".", b"."),
    "two dots are a key": (b"..", b".."),
    "encoded dots are a key": (b"%2e%2e", b".."),
    "dots are not resolved": (b"../x", b"../x"),
    "nor encoded ones": (b"%2e%2E/x", b"../x"),
    "nor inner ones": (b"a/./../b", b"a/./../b"),
    "slashes are not joined": (b"a//b///", b"a//b///"),
    "an encoded slash is one": (b"a%2Fb%2f%2F", b"a/b//"),
    "a plus is a plus": (b"a+b%2B", b"a+b+"),
    "bytes beyond ASCII as they are": ("测试".encode(), "测试".encode()),
    "malformed escapes are text": (b"100%", b"100%"),
    "or half ones": (b"%z%2", b"%z%2"),
    "NUL": (b"a%00b", b"a\0b"),
    "line ends": (b"a%0d%0ab", b"a\r\nb"),
    "punctuation as it is": (b"!$&'()*,;=:@[]|^{}\"", b"!$&'()*,;=:@[]|^{}\""),
    "decoded once": (b"%2541", b"%41"),
    "another bucket": (b"../other/key", b"../other/key"),
}


@pytest.mark.parametrize("target, key", RAW.values(), ids=RAW.keys())
@pytest.mark.parametrize("style", ["path", "virtual"])
def test_paths_are_read_as_they_are_sent(server, target, key, style):
    bucket = server.new_bucket()
    name = bucket.bucket_name.encode()
    path, host = (b"/" + name + b"/", "127.0.0.1") if style == "path" else (b"/", f"{bucket.bucket_name}.localhost")
    resource = b"/" + name + b"/" + key
    length = {"Content-Length": "4"}
    put = ask(server, head("PUT", path + target, resource, length, host) + b"body")
    assert put.status == 200, put.body
    assert [entry.key.encode() for entry in bucket.list_objects_v2().object_list] == [key]
    assert ask(server, head("GET", path + target, resource, host=host)).body == b"body"
    copy = {"x-oss-copy-source": "/" + bucket.bucket_name + "/" + quote_from_bytes(key), "Content-Length": "0"}
    assert ask(server, head("PUT", path + b"copy", b"/" + name + b"/copy", copy, host)).status == 200
    assert bucket.get_object("copy").read() == b"body"
    assert ask(server, head("DELETE", path + target, resource, host=host), "DELETE").status == 204
    assert [entry.key for entry in bucket.list_objects_v2().object_list] == ["copy"]


def test_what_is_no_utf_8_is_no_key(server):
    bucket = server.new_bucket()
    for target, key in ((b"%ff", b"\xff"), (b"a%C3", b"a\xc3"), (b"%ed%a0%80", b"\xed\xa0\x80"), (b"%2Fa", b"/a"), (b"%5Ca", b"\\a")):
        path = f"/{bucket.bucket_name}/".encode()
        answer = ask(server, head("PUT", path + target, path + key, {"Content-Length": "0"}))
        assert answer.seen == (400, "InvalidObjectName"), target


def test_names_that_differ_only_in_case_are_different(bucket):
    keys = ["KEY", "Key", "key", "kEy/x", "key/X", "key/x", "ſ", "S", "s", "İ", "i"]
    for key in keys:
        bucket.put_object(key, key.encode())
    assert sorted(entry.key for entry in bucket.list_objects_v2().object_list) == sorted(keys)
    for key in keys:
        assert bucket.get_object(key).read() == key.encode()
    bucket.delete_object("key")
    assert not bucket.object_exists("key")
    assert bucket.get_object("KEY").read() == b"KEY"


def test_a_list_without_url_encoding_is_still_xml(server):
    # OpenDAL asks this way. What XML can say it says; what it cannot is written as a reference (HTTP API 5.5).
    bucket = server.new_bucket()
    keys = ["'\"`<&>]]>", "e\u0301", "tab\tend", "line\nend\r", "测试", "x" * 1023]
    for key in keys:
        bucket.put_object(key, b"")
    answer = bucket._Bucket__do_bucket("GET", params={"list-type": "2"})
    found = [element.text for element in xml.etree.ElementTree.fromstring(answer.read()).findall("Contents/Key")]
    assert found == sorted(keys, key=str.encode)
    bucket.put_object("ctrl\x01\x1f", b"")
    assert b"<Key>ctrl&#x01;&#x1F;</Key>" in bucket._Bucket__do_bucket("GET", params={"list-type": "2"}).read()


def test_the_store_has_no_file_of_any_key(server, bucket):
    bucket.put_object("../../escape-me", b"x" * 100_000)
    bucket.put_object("Escape/Me", b"x" * 100_000)
    assert [path for path in server.folder.rglob("*") if "scape" in path.name] == []
    assert [path for path in server.folder.parent.rglob("escape-me*")] == []
