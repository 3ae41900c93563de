"""The LiveChannel documents byte for byte (LiveChannel 10), and every refusal of a configuration (LiveChannel 1.1.1)."""

import base64
import hashlib
import hmac
from email.utils import formatdate

import pytest
import requests

from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, create_channel
from millpond_test.wire import check_common_headers, check_document, check_error, signed_request

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest().upper()


@pytest.fixture
def name(bucket) -> str:
    create_channel(bucket, frag_duration=5, frag_count=3)
    return bucket.bucket_name


@pytest.mark.parametrize(
    "status, size, digest",
    [
        ("enabled", 100, "315D5D361DD1341BE36A59D1C6DE35E4"),
        ("disabled", 104, "51064F01E5343F4E9FC41D8B157E1125"),
    ],
)
def test_stat_without_a_push(server, bucket, name, status, size, digest):
    bucket.put_live_channel_status("test-channel", status)
    response = signed_request(server, "GET", name, "test-channel", "live&comp=stat")
    assert (len(response.content), md5(response.content)) == (size, digest)
    check_common_headers(response)


def test_info(server, name):
    response = signed_request(server, "GET", name, "test-channel", "live")
    assert (len(response.content), md5(response.content)) == (306, "71F94F32D3965F75439D1AA45EECA976"), response.text


def test_history_without_a_record(server, name):
    response = signed_request(server, "GET", name, "test-channel", "live&comp=history")
    assert (len(response.content), md5(response.content)) == (82, "FF4CC9D2BDD98C56796B805972F380A8"), response.text


@pytest.mark.parametrize("query", ["live", "live=", "live=anything", "live&max-keys=&prefix=&marker="])
def test_the_list_of_an_empty_bucket(server, bucket, query):
    response = signed_request(server, "GET", bucket.bucket_name, "", query)
    assert (len(response.content), md5(response.content)) == (216, "090ADFC9EEF7A102D9C2DB53F390580B"), response.text


def test_the_create_result(server, bucket):
    body = b"<LiveChannelConfiguration><Target><Type>HLS</Type></Target></LiveChannelConfiguration>"
    response = signed_request(server, "PUT", bucket.bucket_name, "test-channel", "live", body)
    host = server.http_address
    check_document(
        response,
        200,
        DECLARATION
        + "<CreateLiveChannelResult>\n"
        + f"  <PublishUrls>\n    <Url>rtmp://{host}/{bucket.bucket_name}/live/test-channel</Url>\n  </PublishUrls>\n"
        + f"  <PlayUrls>\n    <Url>http://{host}/{bucket.bucket_name}/test-channel/playlist.m3u8</Url>\n  </PlayUrls>\n"
        + "</CreateLiveChannelResult>\n",
    )


def test_the_create_result_on_a_virtual_host(server, bucket):
    """The example of LiveChannel 1.1.2 with this server's port in it."""
    body = b"<LiveChannelConfiguration><Target><Type>HLS</Type></Target></LiveChannelConfiguration>"
    date = formatdate(usegmt=True)
    text = f"PUT\n\napplication/xml\n{date}\n/{bucket.bucket_name}/test-channel?live"
    signature = base64.b64encode(hmac.new(ACCESS_KEY_SECRET.encode(), text.encode(), hashlib.sha1).digest()).decode()
    host = f"{bucket.bucket_name}.localhost:{server.port}"
    response = requests.put(
        server.url("test-channel?live"),
        data=body,
        headers={"Host": host, "Date": date, "Content-Type": "application/xml", "Authorization": f"OSS {ACCESS_KEY_ID}:{signature}"},
        timeout=10,
    )
    assert response.status_code == 200, response.text
    assert f"<Url>rtmp://{host}/live/test-channel</Url>" in response.text
    assert f"<Url>http://{host}/test-channel/playlist.m3u8</Url>" in response.text


def test_a_status_change_answers_nothing(server, name):
    response = signed_request(server, "PUT", name, "test-channel", "live&status=disabled")
    check_common_headers(response)
    assert (response.status_code, response.content, response.headers["Content-Length"]) == (200, b"", "0")


def test_the_error_of_a_missing_channel(server, bucket):
    check_error(
        signed_request(server, "GET", bucket.bucket_name, "nothing", "live"),
        404,
        "NoSuchLiveChannel",
        "The specified live channel does not exist.",
        "0026-00000021",
    )


def configuration(**parts: str) -> str:
    """A configuration body whose target elements are replaced by `parts`; an empty text leaves an element out."""
    target = {"Type": "<Type>HLS</Type>", "FragDuration": "<FragDuration>5</FragDuration>", "FragCount": "<FragCount>3</FragCount>"}
    outer = {"Description": "", "Status": "", "Snapshot": ""}
    for key, value in parts.items():
        (outer if key in outer else target)[key] = value
    return (
        "<LiveChannelConfiguration>" + outer["Description"] + outer["Status"] + "<Target>" + "".join(target.values()) + "</Target>"
        + outer["Snapshot"] + "</LiveChannelConfiguration>"
    )  # fmt: skip


REFUSED = {
    "description of 129 bytes": (configuration(Description="<Description>" + "x" * 129 + "</Description>"), "0044-00000001"),
    "description of 43 ideographs": (configuration(Description="<Description>" + "测" * 43 + "</Description>"), "0044-00000001"),
    "unknown status": (configuration(Status="<Status>on</Status>"), "0044-00000002"),
    "no target": ("<LiveChannelConfiguration></LiveChannelConfiguration>", "0044-00000012"),
    "type RTMP": (configuration(Type="<Type>RTMP</Type>"), "0044-00000013"),
    "no type": (configuration(Type=""), "0044-00000013"),
    "duration 200": (configuration(FragDuration="<FragDuration>200</FragDuration>"), "0044-00000014"),
    "duration 0": (configuration(FragDuration="<FragDuration>0</FragDuration>"), "0044-00000014"),
    "duration with a fraction": (configuration(FragDuration="<FragDuration>2.5</FragDuration>"), "0044-00000014"),
    "count without duration": (configuration(FragDuration=""), "0044-00000014"),
    "count 0": (configuration(FragCount="<FragCount>0</FragCount>"), "0044-00000015"),
    "count 199": (configuration(FragCount="<FragCount>199</FragCount>"), "0044-00000015"),
    "duration without count": (configuration(FragCount=""), "0044-00000015"),
    "playlist with a slash": (configuration(PlaylistName="<PlaylistName>a/b.m3u8</PlaylistName>"), "0044-00000016"),
    "playlist of 5 bytes": (configuration(PlaylistName="<PlaylistName>.m3u8</PlaylistName>"), "0044-00000017"),
    "playlist of 129 bytes": (configuration(PlaylistName="<PlaylistName>" + "x" * 124 + ".m3u8</PlaylistName>"), "0044-00000017"),
    "playlist of another kind": (configuration(PlaylistName="<PlaylistName>playlist.M3U8</PlaylistName>"), "0044-00000018"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_a_wrong_configuration_is_refused_with_its_code(server, bucket, case):
    body, ec = REFUSED[case]
    response = signed_request(server, "PUT", bucket.bucket_name, "chan", "live", body.encode())
    check_common_headers(response)
    assert (response.status_code, response.headers.get("x-oss-ec")) == (400, ec), response.text
    assert "<Code>InvalidArgument</Code>" in response.text
    assert signed_request(server, "GET", bucket.bucket_name, "chan", "live").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<LiveChannelConfiguration>",
        b"<Other></Other>",
        b"not xml",
        b'<!DOCTYPE x [<!ENTITY e "v">]><LiveChannelConfiguration><Target><Type>HLS</Type></Target></LiveChannelConfiguration>',
        b"<LiveChannelConfiguration>" + b" " * 70_000 + b"<Target><Type>HLS</Type></Target></LiveChannelConfiguration>",
    ],
)
def test_a_body_that_is_no_configuration_is_malformed(server, bucket, body):
    response = signed_request(server, "PUT", bucket.bucket_name, "chan", "live", body)
    assert (response.status_code, "<Code>MalformedXML</Code>" in response.text) == (400, True), response.text


ACCEPTED = {
    "only a type": (configuration(FragDuration="", FragCount=""), (5, 3, "playlist.m3u8")),
    "the largest values": (
        configuration(FragDuration="<FragDuration>100</FragDuration>", FragCount="<FragCount>99</FragCount>"),
        (100, 99, "playlist.m3u8"),
    ),
    "wrong case of PlaylistName is unknown": (configuration(PlayListName="<PlayListName>hello.m3u8</PlayListName>"), (5, 3, "playlist.m3u8")),
    "empty elements": (configuration(Description="<Description />", PlaylistName="<PlaylistName />"), (5, 3, "playlist.m3u8")),
    "a declaration, a namespace, white space": (
        DECLARATION + '<LiveChannelConfiguration xmlns="urn:x">\n <Target>\n <Type> HLS </Type>\n</Target> </LiveChannelConfiguration>\n',
        (5, 3, "playlist.m3u8"),
    ),
    "dots in the playlist": (configuration(PlaylistName="<PlaylistName>a.b.m3u8</PlaylistName>"), (5, 3, "a.b.m3u8")),
}


@pytest.mark.parametrize("case", list(ACCEPTED))
def test_a_configuration_in_any_accepted_spelling(server, bucket, case):
    body, expected = ACCEPTED[case]
    assert signed_request(server, "PUT", bucket.bucket_name, "chan", "live", body.encode()).status_code == 200
    target = bucket.get_live_channel("chan").target
    assert (int(target.frag_duration), int(target.frag_count), target.playlist_name) == expected


def test_a_description_comes_back_unchanged(server, bucket):
    text = "my test live channel,<>{}=?//&"
    create_channel(bucket, description=text)
    assert bucket.get_live_channel("test-channel").description == text


def test_a_wrong_content_md5_changes_nothing(server, bucket):
    body = configuration().encode()
    response = signed_request(
        server, "PUT", bucket.bucket_name, "chan", "live", body, headers={"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    )
    assert (response.status_code, "<Code>InvalidDigest</Code>" in response.text) == (400, True)
    assert signed_request(server, "GET", bucket.bucket_name, "chan", "live").status_code == 404


@pytest.mark.parametrize(
    "method, key, query, status, code",
    [
        ("GET", "chan", "live&comp=other", 400, "InvalidArgument"),
        ("PUT", "", "live", 400, "InvalidArgument"),
        ("DELETE", "", "live", 400, "InvalidArgument"),
        ("POST", "chan", "live", 405, "MethodNotAllowed"),
        ("PUT", "chan", "vod", 405, "MethodNotAllowed"),
        ("DELETE", "chan", "vod", 405, "MethodNotAllowed"),
    ],
)
def test_requests_that_name_no_operation(server, bucket, method, key, query, status, code):
    response = signed_request(server, method, bucket.bucket_name, key, query)
    check_common_headers(response)
    assert (response.status_code, f"<Code>{code}</Code>" in response.text) == (status, True), response.text
