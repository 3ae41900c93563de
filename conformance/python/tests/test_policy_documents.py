"""Which policy documents are read (access control 4.1), and what their conditions look at (4.2 to 4.4), over HTTP."""

import json

import oss2
import pytest
import requests

from millpond_test.accounts import new_user, statement
from millpond_test.server import Server
from millpond_test.signing import ROOT, Request, v1_header, v1_url, v4_url
from test_tls import make_certificate

ACCOUNT = "1000000000000001"


def put(server, name: str, text: "str | bytes"):
    body = text if isinstance(text, bytes) else text.encode()
    return v1_header(Request("PUT", name, "", [("policy", None)], body=body)).send(server)


def document(name: str, **members) -> str:
    """One statement; a member that is None is left out."""
    whole = {"Effect": "Allow", "Action": "oss:GetObject", "Principal": ["*"], "Resource": f"acs:oss:*:{ACCOUNT}:{name}/*", **members}
    return json.dumps({"Version": "1", "Statement": [{n: v for n, v in whole.items() if v is not None}]})


def condition(operator: str, key: str, value) -> dict:
    return {"Condition": {operator: {key: value}}}


STRINGS = ["StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike"]
DATES = [f"Date{c}" for c in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")]
NUMBERS = [f"Numeric{c}" for c in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")]
KEYS = [
    "acs:SourceIp", "acs:UserAgent", "acs:CurrentTime", "acs:SecureTransport", "oss:Prefix", "oss:Delimiter", "acs:AccessId",
    "oss:ExistingObjectTag/k", "oss:RequestObjectTag/k", "acs:MFAPresent", "acs:SourceVpc", "oss:BucketTag/k",
]  # fmt: skip
READ = [
    {},
    {"Effect": "Deny"},
    {"Action": ["oss:GetObject", "OSS:put*", "oss:*", "oss:*Object*"]},
    {"Action": None, "NotAction": "oss:Get*"},
    {"Resource": None, "NotResource": ["acs:oss:*:*:{bucket}/a"]},
    {"Resource": ["acs:oss:*:*:{bucket}", "acs:oss:cn-hangzhou:*:{bucket}/a?*", "acs:oss:oss-cn-hangzhou:*:{bucket}/*"]},
    {"Principal": []},
    {"Principal": "*"},
    {"Principal": ["*", ACCOUNT, "200000000000000001", "arn:sts::1000000000000001:assumed-role/r/*"]},
    {"Principal": "arn:sts::*:assumed-role/*/*"},
    {"Sid": "what it is for"},
    {"Condition": {}},
    *(condition(operator, "acs:UserAgent", ["a", "b*"]) for operator in STRINGS),
    *(condition(operator, "acs:CurrentTime", "2024-01-02T03:04:05Z") for operator in DATES),
    *(condition(operator, "oss:ExistingObjectTag/n", ["1", "2.5"]) for operator in NUMBERS),
    *(condition(operator, "acs:SourceIp", ["10.0.0.0/8", "::1", "10.1.*", "fe80::/10", "192.0.2.1"]) for operator in ("IpAddress", "NotIpAddress")),
    *(condition("Bool", "acs:SecureTransport", value) for value in ("true", "false", "HTTPS", "HTTP")),
    *(condition("StringEquals", key, "x") for key in KEYS),
]  # fmt: skip
NOT_READ = [
    {"Effect": "allow"}, {"Effect": None}, {"Effect": ["Allow"]}, {"Effect": True},
    {"Action": None}, {"Action": []}, {"Action": ""}, {"Action": "GetObject"}, {"Action": "oss:"}, {"Action": "ecs:GetObject"},
    {"Action": "oss:Get Object"}, {"Action": [1]}, {"Action": {"oss": "GetObject"}}, {"NotAction": "oss:Get*"}, {"Action": "*"},
    {"Principal": None}, {"Principal": ""}, {"Principal": "anna"}, {"Principal": [7]}, {"Principal": {"RAM": "*"}},
    {"Principal": "arn:sts::1:role/x"},
    {"Resource": None}, {"Resource": []}, {"Resource": ""}, {"Resource": "*"}, {"Resource": "acs:oss:*:*:other-bucket/*"},
    {"Resource": "acs:oss:cn-beijing:*:{bucket}"}, {"Resource": "acs:ecs:*:*:{bucket}"}, {"Resource": "acs:oss:*:anna:{bucket}"},
    {"Resource": "acs:oss:*:*:"}, {"Resource": "{bucket}/*"}, {"Resource": ["acs:oss:*:*:{bucket}", "acs:oss:*:*:{bucket}x"]},
    {"NotResource": "acs:oss:*:*:{bucket}"}, {"Other": 1}, {"effect": "Allow"},
    {"Condition": []}, {"Condition": "x"}, {"Condition": {"StringEquals": {}}}, {"Condition": {"StringEquals": []}},
    condition("StringEquals", "acs:UserAgent", []), condition("StringEquals", "acs:UserAgent", None),
    condition("StringEquals", "acs:UserAgent", {"a": 1}), condition("StringEquals", "acs:Other", "x"),
    condition("StringEquals", "UserAgent", "x"), condition("StringEquals", "oss:BucketTag/", "x"), condition("StringMatches", "acs:UserAgent", "x"),
    condition("NumericEquals", "oss:ExistingObjectTag/n", "one"), condition("DateLessThan", "acs:CurrentTime", "tomorrow"),
    condition("IpAddress", "acs:SourceIp", "10.0.0.0/33"), condition("IpAddress", "acs:SourceIp", "localhost"),
    condition("IpAddress", "acs:SourceIp", ["10.0.0.1", "10.0.0"]), condition("Bool", "acs:SecureTransport", "yes"),
]  # fmt: skip
WHOLE = [
    "", "x", "[]", "null", "{}", '{"Version":"1"}', '{"Version":"1","Statement":[]}', '{"Version":"1","Statement":["x"]}',
    '{"Version":"1","Statement":[[]]}', '{"Version":"1","Statement":null}', '{"Statement":[OK]}', '{"Version":"2","Statement":[OK]}',
    '{"Version":1,"Statement":[OK]}', '{"Version":"1","Version":"1","Statement":[OK]}', '{"Version":"1","Statement":[OK],"Statement":[OK]}',
    '{"Version":"1","Statement":[OK],"Id":"x"}', '{"Version":"1","Statement":[OK]} x', '{"Version":"1","Statement":[OK,{}]}',
    '{"Version":"1","Statement":[OK],}', '{"Version":"1","Statement":[{"Effect":"Deny",OK_MEMBERS}]}',
]  # fmt: skip


def filled(value, name: str):
    return json.loads(json.dumps(value).replace("{bucket}", name))


def test_documents_that_are_read(server, bucket):
    name = bucket.bucket_name
    for members in READ:
        answer = put(server, name, document(name, **filled(members, name)))
        assert answer.status == 200, (members, answer.body)
    ok = json.loads(document(name))["Statement"][0]
    # A single statement needs no list, a policy may be named, and spaces count up to 16 KB.
    assert put(server, name, json.dumps({"Version": "1", "Statement": ok, "Sid": "x"})).status == 200
    text = document(name)
    assert put(server, name, text + " " * (16 * 1024 - len(text))).status == 200
    assert bucket.get_bucket_policy().policy == text + " " * (16 * 1024 - len(text))


def test_documents_that_are_refused(server, bucket):
    name = bucket.bucket_name
    kept = document(name)
    assert put(server, name, kept).status == 200
    ok = json.dumps(json.loads(kept)["Statement"][0])
    texts = [document(name, **filled(members, name)) for members in NOT_READ]
    texts += [text.replace("OK_MEMBERS", ok[1:-1]).replace("OK", ok) for text in WHOLE]
    texts += [kept + " " * (16 * 1024 - len(kept) + 1), kept.encode() + b"\xff", "\ufeff" + kept]
    for text in texts:
        answer = put(server, name, text)
        assert answer.seen == (400, "InvalidPolicyDocument"), text[:300]
        assert b"<Message>" in answer.body
    assert bucket.get_bucket_policy().policy == kept


def seen(server, name: str, headers=(), query=(), key: str = "a", **of_request) -> int:
    """The status of an anonymous request."""
    return Request("GET", name, key, list(query), list(headers), **of_request).send(server).status


AGENT = ("User-Agent", "Lavf/60.3")


@pytest.mark.parametrize(
    "operator, key, value, applies",
    [
        ("StringEquals", "acs:UserAgent", "Lavf/60.3", True),
        ("StringEquals", "acs:UserAgent", "lavf/60.3", False),
        ("StringEquals", "acs:UserAgent", ["x", "Lavf/60.3"], True),
        ("StringEquals", "acs:UserAgent", "Lavf/*", False),
        ("StringNotEquals", "acs:UserAgent", ["x", "Lavf/60.3"], False),
        ("StringNotEquals", "acs:UserAgent", ["x", "y"], True),
        ("StringEqualsIgnoreCase", "acs:UserAgent", "LAVF/60.3", True),
        ("StringNotEqualsIgnoreCase", "acs:UserAgent", "LAVF/60.3", False),
        ("StringLike", "acs:UserAgent", "Lavf/*", True),
        ("StringLike", "acs:UserAgent", "Lavf/??.3", True),
        ("StringLike", "acs:UserAgent", "Lavf/?.3", False),
        ("StringLike", "acs:UserAgent", "lavf/*", False),
        ("StringNotLike", "acs:UserAgent", ["Lavf/*", "x"], False),
        ("StringNotLike", "acs:UserAgent", ["x*", "y?"], True),
        ("IpAddress", "acs:SourceIp", "127.0.0.1", True),
        ("IpAddress", "acs:SourceIp", ["10.0.0.0/8", "127.0.0.0/8"], True),
        ("IpAddress", "acs:SourceIp", "127.0.0.*", True),
        ("IpAddress", "acs:SourceIp", "127.0.1.*", False),
        ("IpAddress", "acs:SourceIp", "::/0", False),
        ("NotIpAddress", "acs:SourceIp", ["10.0.0.0/8", "127.0.0.0/8"], False),
        ("NotIpAddress", "acs:SourceIp", "10.0.0.0/8", True),
        ("Bool", "acs:SecureTransport", "false", True),
        ("Bool", "acs:SecureTransport", "HTTP", True),
        ("Bool", "acs:SecureTransport", ["true", "false"], True),
        ("Bool", "acs:SecureTransport", "true", False),
        ("DateGreaterThan", "acs:CurrentTime", "2024-01-01T00:00:00Z", True),
        ("DateLessThan", "acs:CurrentTime", "2024-01-01T00:00:00Z", False),
        ("DateLessThan", "acs:CurrentTime", "2099-01-01T08:00:00+08:00", True),
        ("DateGreaterThanEquals", "acs:CurrentTime", "2099-01-01", False),
        ("DateLessThanEquals", "acs:CurrentTime", "2099-01-01", True),
        ("DateNotEquals", "acs:CurrentTime", "2024-01-01T00:00:00Z", True),
        ("DateEquals", "acs:CurrentTime", "2024-01-01T00:00:00Z", False),
        ("StringEquals", "oss:ExistingObjectTag/team", "blue", True),
        ("StringEquals", "oss:ExistingObjectTag/Team", "blue", False),
        ("StringNotEquals", "oss:ExistingObjectTag/none", "blue", True),
        ("NumericEquals", "oss:ExistingObjectTag/n", "5.0", True),
        ("NumericNotEquals", "oss:ExistingObjectTag/n", ["1", "5"], False),
        ("NumericLessThan", "oss:ExistingObjectTag/n", 5, False),
        ("NumericLessThanEquals", "oss:ExistingObjectTag/n", 5, True),
        ("NumericGreaterThan", "oss:ExistingObjectTag/n", "4.9", True),
        ("NumericGreaterThanEquals", "oss:ExistingObjectTag/n", "5.1", False),
        ("NumericGreaterThan", "oss:ExistingObjectTag/team", "0", False),
        ("StringEquals", "oss:BucketTag/stage", "test", True),
        ("StringEquals", "oss:BucketTag/stage", "live", False),
        ("StringEquals", "oss:RequestObjectTag/team", "blue", False),
        ("StringNotEquals", "oss:RequestObjectTag/team", "blue", True),
        # Nobody has these here: what asks for them fits nobody, what asks that they be something else fits everybody.
        ("StringEquals", "acs:AccessId", "x", False),
        ("StringNotEquals", "acs:AccessId", "x", True),
        ("StringEquals", "acs:SourceVpc", "vpc-1", False),
        ("StringNotEquals", "acs:SourceVpc", "vpc-1", True),
        ("StringEquals", "acs:MFAPresent", "true", False),
        ("Bool", "acs:MFAPresent", "false", False),
        # These belong to lists only.
        ("StringEquals", "oss:Prefix", "", False),
        ("StringNotEquals", "oss:Delimiter", "/", True),
    ],
)
def test_a_condition(server, conditional, operator, key, value, applies):
    name = conditional
    assert put(server, name, document(name, **condition(operator, key, value))).status == 200
    assert seen(server, name, [AGENT]) == (200 if applies else 403)
    # The other way round it keeps out, also the account, because there is a condition (access control 4.4).
    assert put(server, name, document(name, Effect="Deny", **condition(operator, key, value))).status == 200
    signed = v1_url(Request("GET", name, "a", headers=[AGENT])).send(server)
    if key not in ("acs:AccessId",):
        assert signed.status == (403 if applies else 200)


@pytest.fixture(scope="module")
def conditional(server):
    bucket = server.new_bucket()
    bucket.put_object("a", b"a", headers={"x-oss-tagging": "team=blue&n=5"})
    body = b"<Tagging><TagSet><Tag><Key>stage</Key><Value>test</Value></Tag></TagSet></Tagging>"
    assert v1_header(Request("PUT", bucket.bucket_name, "", [("tagging", None)], body=body)).send(server).status == 200
    return bucket.bucket_name


def test_several_conditions_hold_together(server, conditional):
    name = conditional
    both = {"StringLike": {"acs:UserAgent": "Lavf/*"}, "IpAddress": {"acs:SourceIp": "127.0.0.1"}}
    two_keys = {"StringEquals": {"acs:UserAgent": "Lavf/60.3", "oss:BucketTag/stage": ["live", "test"]}}
    for conditions in (both, two_keys):
        assert put(server, name, document(name, Condition=conditions)).status == 200
        assert seen(server, name, [AGENT]) == 200
        assert seen(server, name, [("User-Agent", "curl")]) == 403
        assert seen(server, name) == 403
    # No header at all is no text, not the empty one.
    assert put(server, name, document(name, **condition("StringLike", "acs:UserAgent", "*"))).status == 200
    assert (seen(server, name), seen(server, name, [("User-Agent", "")])) == (403, 200)


def test_what_a_list_asks_for(server, conditional):
    name = conditional
    resource = {"Action": "oss:ListObjects", "Resource": f"acs:oss:*:*:{name}"}
    ask = lambda **query: seen(server, name, query=[(n.replace("_", "-"), v) for n, v in query.items()], key="")  # noqa: E731
    put(server, name, document(name, **resource, **condition("StringLike", "oss:Prefix", ["a/*", "b/?"])))
    assert [ask(prefix=p) for p in ("a/", "a/x/y", "b/1", "b/12", "c", "")] == [200, 200, 200, 403, 403, 403]
    assert ask() == 403 and ask(list_type="2", prefix="a/") == 200
    put(server, name, document(name, **resource, **condition("StringEquals", "oss:Prefix", "")))
    assert (ask(), ask(prefix=""), ask(prefix="a")) == (200, 200, 403)
    put(server, name, document(name, **resource, **condition("StringEquals", "oss:Delimiter", "/")))
    assert (ask(delimiter="/"), ask(), ask(delimiter="x")) == (200, 403, 403)
    # The first of several counts, for the decision as for the list.
    put(server, name, document(name, **resource, **condition("StringEquals", "oss:Prefix", "a")))
    assert seen(server, name, query=[("prefix", "b"), ("prefix", "a")], key="") == 403
    assert seen(server, name, query=[("prefix", "a"), ("prefix", "b")], key="") == 200
    # Lists are of the bucket: what lies in it does not allow them, nor the other way round (access control 4.2).
    put(server, name, document(name, Action="oss:*", Resource=f"acs:oss:*:*:{name}/*"))
    assert (ask(), seen(server, name)) == (403, 200)
    put(server, name, document(name, Action="oss:*", Resource=f"acs:oss:*:*:{name}"))
    assert (ask(), seen(server, name)) == (200, 403)


def test_whom_a_statement_concerns(server, bucket):
    name = bucket.bucket_name
    bucket.put_object("a", b"a")
    anna, ben = new_user(server), new_user(server)
    anna_key, session = anna.key(), ben.session()
    who = {"nobody": None, "account": ROOT, "anna": anna_key, "ben in a session": session}

    def refused() -> "set[str]":
        found = set()
        for label, key in who.items():
            request = Request("GET", name, "a")
            if (v4_url(request, key) if key else request).send(server).status == 403:
                found.add(label)
        return found

    everybody = {"nobody", "anna", "ben in a session"}
    bucket.put_bucket_acl("public-read")
    for principal, conditions, expected in [
        ("*", None, everybody),
        ([], None, everybody),
        (["*"], {"Bool": {"acs:SecureTransport": "false"}}, everybody | {"account"}),
        (["*"], {}, everybody),
        ([ACCOUNT], None, {"account"}),
        ([ACCOUNT, "*"], None, everybody | {"account"}),
        ([anna.uid], None, {"anna"}),
        ([ben.uid], None, {"ben in a session"}),
        (["200000000000000099"], None, set()),
        ([f"arn:sts::{ACCOUNT}:assumed-role/{ben.name}/*"], None, {"ben in a session"}),
        ([f"arn:sts::{ACCOUNT}:assumed-role/{anna.name}/*"], None, set()),
        (["arn:sts::*:assumed-role/*/*"], None, {"ben in a session"}),
        (["arn:sts::2000000000000002:assumed-role/*/*"], None, set()),
    ]:
        text = document(name, Effect="Deny", Principal=principal, Condition=conditions)
        assert put(server, name, text).status == 200
        assert refused() == expected, (principal, conditions)
    # By the key that is used.
    text = document(name, Effect="Deny", **condition("StringEquals", "acs:AccessId", [anna_key.id, ROOT.id]))
    assert put(server, name, text).status == 200
    assert refused() == {"anna", "account"}


def test_actions_and_resources_and_their_opposites(server, bucket):
    name = bucket.bucket_name
    for key in ("a", "b?", "live/1.ts"):
        bucket.put_object(key, b"x")
    for members, readable in [
        ({"Action": "OSS:getOBJECT"}, {"a", "b?", "live/1.ts"}),
        ({"Action": "oss:Get*"}, {"a", "b?", "live/1.ts"}),
        ({"Action": "oss:*Object"}, {"a", "b?", "live/1.ts"}),
        ({"Action": "oss:GetObjectAcl"}, set()),
        ({"Action": None, "NotAction": "oss:Put*"}, {"a", "b?", "live/1.ts"}),
        ({"Action": None, "NotAction": ["oss:Put*", "oss:G*t"]}, set()),
        ({"Resource": f"acs:oss:*:*:{name}/live/*"}, {"live/1.ts"}),
        ({"Resource": f"acs:oss:*:*:{name}/l*s"}, {"live/1.ts"}),
        ({"Resource": f"acs:oss:*:*:{name}/b?"}, {"b?"}),
        ({"Resource": f"acs:oss:*:*:{name}/?"}, set()),
        ({"Resource": f"acs:oss:*:2000000000000002:{name}/*"}, set()),
        ({"Resource": "acs:oss:*:*:*/a"}, {"a"}),
        ({"Resource": None, "NotResource": f"acs:oss:*:*:{name}/a"}, {"b?", "live/1.ts"}),
    ]:
        assert put(server, name, document(name, **members)).status == 200
        assert {key for key in ("a", "b?", "live/1.ts") if seen(server, name, key=key) == 200} == readable, members


def test_users_policies_follow_the_same_grammar(server, bucket):
    user = new_user(server)
    key = user.key()
    name = bucket.bucket_name
    bucket.put_object("a", b"a")
    get = lambda: v1_header(Request("GET", name, "a"), key).send(server).status  # noqa: E731
    for resource in ("*", "acs:oss:*:*:*", ["acs:oss:*:*:elsewhere", f"acs:oss:*:{ACCOUNT}:{name}/*"]):
        user.allow("p", statement("Allow", "oss:GetObject", resource))
        assert get() == 200, resource
    user.allow("p", statement("Allow", "oss:GetObject", "acs:oss:*:2000000000000002:*"))
    assert get() == 403


def test_encryption_is_seen(fresh_server, tmp_path):
    certificate, key = make_certificate(tmp_path, "seen")
    server: Server = fresh_server("--tls-cert", str(certificate), "--tls-key", str(key))
    name = server.new_bucket().bucket_name
    server.bucket(name).put_object("a", b"a")
    for value, over_http, over_https in (("true", 403, 200), ("HTTPS", 403, 200), ("false", 200, 403), ("HTTP", 200, 403)):
        assert put(server, name, document(name, **condition("Bool", "acs:SecureTransport", value))).status == 200
        assert seen(server, name) == over_http
        url = f"https://{server.http_address}/{name}/a"
        assert requests.get(url, verify=str(certificate), timeout=10).status_code == over_https, value


@pytest.mark.parametrize("action", ["oss:GetObjekt", "oss:Frobnicate*"])
def test_an_action_that_there_is_not_is_refused_where_it_is_stored(server, bucket, action):
    """A slip of the pen would otherwise look like a right. Actions of OSS whose operations are not built are fine."""
    def document(one):
        return json.dumps({"Version": "1", "Statement": [{"Effect": "Allow", "Action": [one], "Principal": ["*"], "Resource": [f"acs:oss:*:*:{bucket.bucket_name}/*"]}]})

    with pytest.raises(oss2.exceptions.OssError) as refused:
        bucket.put_bucket_policy(document(action))
    assert refused.value.code == "InvalidPolicyDocument" and action.lower() in refused.value.message
    bucket.put_bucket_policy(document("oss:PutBucketEncryption"))
    bucket.put_bucket_policy(document("oss:*Object*"))
