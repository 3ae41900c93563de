"""ExtranetEndpoint and IntranetEndpoint are addresses that work: the configured ones, or else the one that was asked
(HTTP API 1.6)."""

import re

import oss2
import pytest

from millpond_test.signing import Request, v1_header


def endpoints(answer) -> "set[str]":
    assert answer.status == 200, answer.body
    return set(re.findall(rb"<(?:Ex|In)tra?netEndpoint>([^<]*)<|<Inter(?:net|nal)Endpoint>([^<]*)<", answer.body)) - {(b"", b"")}


def shown(answer) -> "list[str]":
    return sorted({(one or other).decode() for one, other in endpoints(answer)})


def ask(server, host, path_bucket, query, key="", bucket=""):
    """A signed GET by `host`; `bucket` is what is signed, `path_bucket` what is in the path."""
    request = Request("GET", bucket, key, query=query, host=host)
    signed = v1_header(request)
    if path_bucket != bucket:
        text = signed.bytes().replace(f"GET /{bucket}/".encode(), b"GET /", 1)
        from millpond_test.raw import ask as send

        return send(server, text)
    return signed.send(server)


def test_the_endpoint_is_the_host_with_its_port(server):
    bucket = server.new_bucket()
    name = bucket.bucket_name
    for host in (f"127.0.0.1:{server.port}", f"localhost:{server.port}", "oss-server:9000", "127.0.0.1"):
        info = ask(server, host, name, [("bucketInfo", None)], bucket=name)
        assert shown(info) == [host]
    for host in (f"127.0.0.1:{server.port}", "oss-server:9000"):
        assert shown(ask(server, host, "", [("prefix", name)])) == [host]


def test_a_bucket_in_the_host_is_no_part_of_the_endpoint(server):
    bucket = server.new_bucket()
    name = bucket.bucket_name
    info = ask(server, f"{name}.localhost:{server.port}", "", [("bucketInfo", None)], bucket=name)
    assert shown(info) == [f"localhost:{server.port}"]


def test_sdks_can_use_what_they_are_told(server, version):
    bucket = server.new_bucket(version=version)
    info = bucket.get_bucket_info()
    assert (info.extranet_endpoint, info.intranet_endpoint) == (server.http_address, server.http_address)
    listed = next(one for one in server.service(version).list_buckets(prefix=bucket.bucket_name).buckets)
    assert (listed.extranet_endpoint, listed.intranet_endpoint) == (server.http_address, server.http_address)
    again = oss2.Bucket(bucket.auth, f"http://{info.extranet_endpoint}", bucket.bucket_name, region="cn-hangzhou")
    assert again.put_object("a", b"x").status == 200
    # The location is a name of the region, not an address.
    assert info.location == "oss-cn-hangzhou"


@pytest.mark.parametrize(
    "settings, expected",
    [
        ('domains = ["oss.example.com"]\n', ("oss.example.com", "oss.example.com")),
        ('public_endpoint = "out.example:8"\n', ("out.example:8", "out.example:8")),
        ('public_endpoint = "out.example:8"\ninternal_endpoint = "in.example"\n', ("out.example:8", "in.example")),
        ('internal_endpoint = "in.example"\n', (None, "in.example")),
    ],
)
def test_what_is_configured_wins(fresh_server, settings, expected):
    server = fresh_server(settings=settings)
    info = server.new_bucket().get_bucket_info()
    assert (info.extranet_endpoint, info.intranet_endpoint) == (expected[0] or server.http_address, expected[1])
