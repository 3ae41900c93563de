"""The switches of addressing (HTTP API 1.2, 1.6): which hosts are answered, where buckets may stand, which endpoints are shown."""

import re

from millpond_test.raw import ask, head

SETTINGS = """
domains = ["oss.millpond.test"]
custom_domains = { "films.test" = "films" }
host_fallback = "reject"
force_virtual_hosted = true
public_endpoint = "oss.millpond.test:9443"
internal_endpoint = "inside.test"
"""


def seen(server, host, target, resource):
    answer = ask(server, head("GET", target.encode(), resource.encode(), host=host))
    return (answer.status, answer.code)


def test_strict_addressing(fresh_server):
    server = fresh_server(settings=SETTINGS)
    server.new_bucket(name="films").put_object("key", b"x")
    for host in ("films.oss.millpond.test", "films.test", "films.oss-cn-hangzhou.aliyuncs.com", "films.localhost:9000"):
        assert seen(server, host, "/key", "/films/key") == (200, ""), host
    for host in ("127.0.0.1:9000", "[::1]"):
        assert seen(server, host, "/films/key", "/films/key") == (200, ""), host
    for host in ("oss.millpond.test", "oss-cn-hangzhou.aliyuncs.com", "localhost"):
        assert seen(server, host, "/films/key", "/films/key") == (403, "SecondLevelDomainForbidden"), host
        assert seen(server, host, "/", "/") == (200, ""), host
    for host in ("oss-server:9000", "elsewhere.test"):
        assert seen(server, host, "/films/key", "/films/key") == (403, "NonStandardHostForbidden"), host


def test_endpoints_are_shown_as_configured(fresh_server):
    server = fresh_server(settings=SETTINGS)
    server.new_bucket(name="films")
    for target, resource in (("/?bucketInfo", "/films/?bucketInfo"), ("/", "/")):
        host = "films.oss.millpond.test" if "Info" in target else "oss.millpond.test"
        answer = ask(server, head("GET", target.encode(), resource.encode(), host=host))
        found = re.findall(r"<(\w+net)Endpoint>(.*?)<", answer.body.decode())
        assert found == [("Extranet", "oss.millpond.test:9443"), ("Intranet", "inside.test")]
