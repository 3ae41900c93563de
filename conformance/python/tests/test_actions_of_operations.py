"""Which action on which resource lets a user do what (access control 2): each operation is possible with exactly its actions, and
impossible with all others; what belongs to a bucket is not allowed by what lies in it, and the other way round."""

from dataclasses import dataclass, field, replace
from typing import List, Tuple

import oss2
import pytest

from millpond_test.accounts import new_user, statement
from millpond_test.server import create_channel
from millpond_test.signing import Request, v1_header, v4_header

DENIED = (403, "AccessDenied")
CHANNEL = "<LiveChannelConfiguration><Target><Type>HLS</Type></Target></LiveChannelConfiguration>"
CORS = "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>"
DELETE = "<Delete><Object><Key>doomed</Key></Object></Delete>"


@dataclass
class Row:
    name: str
    method: str
    # The key, or none for the bucket itself.
    key: str
    query: str
    # Pairs of action and what it must be allowed on: "*", "" for the bucket, or a key.
    needs: List[Tuple[str, str]]
    headers: List[Tuple[str, str]] = field(default_factory=list)
    body: str = ""


def bucket_row(name: str, method: str, query: str, action: str, **more) -> Row:
    return Row(name, method, "", query, [(action, "")], **more)


def object_row(name: str, method: str, query: str, action: str, key: str = "a", **more) -> Row:
    return Row(name, method, key, query, [(action, key)], **more)


SOURCE = [("x-oss-copy-source", "/{bucket}/source")]
ROWS = [
    Row("ListBuckets", "GET", "", "", [("ListBuckets", "*")]),
    Row("DescribeRegions", "GET", "", "regions", [("DescribeRegions", "*")]),
    bucket_row("HeadBucket", "HEAD", "", "GetBucketInfo"),
    bucket_row("GetBucketInfo", "GET", "bucketInfo", "GetBucketInfo"),
    bucket_row("GetBucketLocation", "GET", "location", "GetBucketLocation"),
    bucket_row("GetBucketStat", "GET", "stat", "GetBucketStat"),
    bucket_row("ListObjects", "GET", "", "ListObjects"),
    bucket_row("ListObjectsV2", "GET", "list-type=2", "ListObjects"),
    bucket_row("ListObjectVersions", "GET", "versions", "ListObjectVersions"),
    bucket_row("ListMultipartUploads", "GET", "uploads", "ListMultipartUploads"),
    bucket_row("GetBucketAcl", "GET", "acl", "GetBucketAcl"),
    bucket_row("PutBucketAcl", "PUT", "acl", "PutBucketAcl", headers=[("x-oss-acl", "private")]),
    bucket_row("GetBucketCors", "GET", "cors", "GetBucketCors"),
    bucket_row("PutBucketCors", "PUT", "cors", "PutBucketCors", body=CORS),
    bucket_row("DeleteBucketCors", "DELETE", "cors", "DeleteBucketCors"),
    bucket_row("GetBucketReferer", "GET", "referer", "GetBucketReferer"),
    bucket_row(
        "PutBucketReferer", "PUT", "referer", "PutBucketReferer",
        body="<RefererConfiguration><AllowEmptyReferer>true</AllowEmptyReferer><RefererList/></RefererConfiguration>",
    ),
    bucket_row("GetBucketLifecycle", "GET", "lifecycle", "GetBucketLifecycle"),
    bucket_row(
        "PutBucketLifecycle", "PUT", "lifecycle", "PutBucketLifecycle",
        body="<LifecycleConfiguration><Rule><ID>r</ID><Prefix>p/</Prefix><Status>Enabled</Status><Expiration><Days>1</Days>"
        "</Expiration></Rule></LifecycleConfiguration>",
    ),
    bucket_row("DeleteBucketLifecycle", "DELETE", "lifecycle", "DeleteBucketLifecycle"),
    bucket_row("GetBucketPolicy", "GET", "policy", "GetBucketPolicy"),
    bucket_row(
        "PutBucketPolicy", "PUT", "policy", "PutBucketPolicy",
        body='{"Version":"1","Statement":[{"Effect":"Deny","Principal":["1"],"Action":"oss:*","Resource":"acs:oss:*:*:{bucket}"}]}',
    ),
    bucket_row("DeleteBucketPolicy", "DELETE", "policy", "DeleteBucketPolicy"),
    bucket_row("GetBucketLogging", "GET", "logging", "GetBucketLogging"),
    bucket_row("PutBucketLogging", "PUT", "logging", "PutBucketLogging", body="<BucketLoggingStatus/>"),
    bucket_row("DeleteBucketLogging", "DELETE", "logging", "DeleteBucketLogging"),
    bucket_row("GetBucketWebsite", "GET", "website", "GetBucketWebsite"),
    bucket_row(
        "PutBucketWebsite", "PUT", "website", "PutBucketWebsite",
        body="<WebsiteConfiguration><IndexDocument><Suffix>i.html</Suffix></IndexDocument></WebsiteConfiguration>",
    ),
    bucket_row("DeleteBucketWebsite", "DELETE", "website", "DeleteBucketWebsite"),
    bucket_row("GetBucketVersioning", "GET", "versioning", "GetBucketVersioning"),
    bucket_row(
        "PutBucketVersioning", "PUT", "versioning", "PutBucketVersioning",
        body="<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
    ),
    bucket_row("GetBucketTags", "GET", "tagging", "GetBucketTagging"),
    bucket_row(
        "PutBucketTags", "PUT", "tagging", "PutBucketTagging",
        body="<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
    ),
    bucket_row("DeleteBucketTags", "DELETE", "tagging", "DeleteBucketTagging"),
    object_row("GetObject", "GET", "", "GetObject"),
    object_row("HeadObject", "HEAD", "", "GetObject"),
    object_row("GetObjectMeta", "HEAD", "objectMeta", "GetObject"),
    object_row("GetSymlink", "GET", "symlink", "GetObject", key="link"),
    object_row("PutObject", "PUT", "", "PutObject", key="new"),
    Row(
        "PutObject with tags", "PUT", "new", "", [("PutObject", "new"), ("PutObjectTagging", "new")],
        headers=[("x-oss-tagging", "k=v")],
    ),
    object_row("AppendObject", "POST", "append&position=0", "PutObject", key="appended"),
    object_row("PutSymlink", "PUT", "symlink", "PutObject", key="new-link", headers=[("x-oss-symlink-target", "a")]),
    object_row("InitiateMultipartUpload", "POST", "uploads", "PutObject", key="parts"),
    object_row("UploadPart", "PUT", "partNumber=1&uploadId={upload}", "PutObject", key="parts"),
    object_row("ListParts", "GET", "uploadId={upload}", "ListParts", key="parts"),
    Row(
        "UploadPartCopy", "PUT", "parts", "partNumber=2&uploadId={upload}", [("PutObject", "parts"), ("GetObject", "source")],
        headers=SOURCE,
    ),
    object_row(
        "CompleteMultipartUpload", "POST", "uploadId={upload}", "PutObject", key="parts",
        body="<CompleteMultipartUpload><Part><PartNumber>9</PartNumber><ETag>\"0\"</ETag></Part></CompleteMultipartUpload>",
    ),
    object_row("AbortMultipartUpload", "DELETE", "uploadId={upload}", "AbortMultipartUpload", key="parts"),
    Row("CopyObject", "PUT", "copy", "", [("PutObject", "copy"), ("GetObject", "source")], headers=SOURCE),
    Row(
        "CopyObject of tags", "PUT", "copy", "",
        [("PutObject", "copy"), ("GetObject", "tagged"), ("GetObjectTagging", "tagged"), ("PutObjectTagging", "copy")],
        headers=[("x-oss-copy-source", "/{bucket}/tagged")],
    ),
    Row(
        "CopyObject of a version", "PUT", "copy", "", [("PutObject", "copy"), ("GetObjectVersion", "source")],
        headers=[("x-oss-copy-source", "/{bucket}/source?versionId=null")],
    ),
    object_row("DeleteObject", "DELETE", "", "DeleteObject", key="doomed"),
    Row("DeleteMultipleObjects", "POST", "", "delete", [("DeleteObject", "doomed")], body=DELETE),
    Row(
        "DeleteMultipleObjects of a version", "POST", "", "delete", [("DeleteObjectVersion", "doomed")],
        body="<Delete><Object><Key>doomed</Key><VersionId>null</VersionId></Object></Delete>",
    ),
    object_row("GetObjectACL", "GET", "acl", "GetObjectAcl"),
    object_row("PutObjectACL", "PUT", "acl", "PutObjectAcl", headers=[("x-oss-object-acl", "default")]),
    object_row("GetObjectTagging", "GET", "tagging", "GetObjectTagging"),
    object_row(
        "PutObjectTagging", "PUT", "tagging", "PutObjectTagging",
        body="<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
    ),
    object_row("DeleteObjectTagging", "DELETE", "tagging", "DeleteObjectTagging"),
    object_row("GetObject of a version", "GET", "versionId=null", "GetObjectVersion"),
    object_row("GetObjectACL of a version", "GET", "acl&versionId=null", "GetObjectVersionAcl"),
    object_row("GetObjectTagging of a version", "GET", "tagging&versionId=null", "GetObjectVersionTagging"),
    object_row("DeleteObject of a version", "DELETE", "versionId=null", "DeleteObjectVersion", key="doomed"),
    object_row("PutLiveChannel", "PUT", "live", "PutLiveChannel", key="channel", body=CHANNEL),
    object_row("PutLiveChannelStatus", "PUT", "live&status=enabled", "PutLiveChannelStatus", key="channel"),
    object_row("GetLiveChannelInfo", "GET", "live", "GetLiveChannel", key="channel"),
    object_row("GetLiveChannelStat", "GET", "live&comp=stat", "GetLiveChannelStat", key="channel"),
    object_row("GetLiveChannelHistory", "GET", "live&comp=history", "GetLiveChannelHistory", key="channel"),
    Row("GetVodPlaylist", "GET", "channel", "vod&startTime=1&endTime=2", [("GetVodPlaylist", "channel")]),
    Row("PostVodPlaylist", "POST", "channel/vod.m3u8", "vod&startTime=1&endTime=2", [("PostVodPlaylist", "channel")]),
    bucket_row("ListLiveChannel", "GET", "live", "ListLiveChannel"),
    object_row("DeleteLiveChannel", "DELETE", "live", "DeleteLiveChannel", key="channel"),
]  # fmt: skip


@dataclass
class World:
    server: object
    bucket: oss2.Bucket
    upload: str
    user: object
    key: object

    def fill(self, text: str) -> str:
        return text.replace("{bucket}", self.bucket.bucket_name).replace("{upload}", self.upload)

    def request(self, row: Row) -> Request:
        bucket = "" if row.needs[0][1] == "*" else self.bucket.bucket_name
        pieces = [piece.partition("=") for piece in self.fill(row.query).split("&") if piece]
        query = [(name, value if equals else None) for name, equals, value in pieces]
        headers = [(name, self.fill(value)) for name, value in row.headers]
        return Request(row.method, bucket, row.key, query, headers, self.fill(row.body).encode())

    def resource(self, place: str) -> str:
        name = self.bucket.bucket_name
        return "acs:oss:*:*:*" if place == "*" else f"acs:oss:*:*:{name}/{place}" if place else f"acs:oss:*:*:{name}"

    def policy(self, *statements: dict) -> None:
        self.user.allow("only", *statements)

    def seen(self, row: Row, sign=v1_header) -> "tuple[int, str]":
        return sign(self.request(row), self.key).send(self.server).seen

    def prepare(self) -> None:
        """What the operations before may have taken away."""
        for key in ("a", "source", "doomed"):
            self.bucket.put_object(key, b"x" * 10)
        self.bucket.put_object("tagged", b"x", headers={"x-oss-tagging": "k=v"})
        self.bucket.put_symlink("a", "link")
        self.bucket.delete_object("appended")
        self.upload = self.bucket.init_multipart_upload("parts").upload_id
        create_channel(self.bucket, "channel")


@pytest.fixture(scope="module")
def world(server):
    user = new_user(server)
    return World(server, server.new_bucket(), "", user, user.key())


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_exactly_these_actions(world, row):
    world.prepare()
    needs = [statement("Allow", f"oss:{action}", [world.resource(place)]) for action, place in row.needs]
    sign = v4_header if len(row.name) % 2 else v1_header
    # Everything else that there is.
    others = statement("Deny", [f"oss:{action}" for action, _ in row.needs], ["acs:oss:*:*:*"])
    world.policy(statement("Allow", "oss:*", ["acs:oss:*:*:*"]), others)
    assert world.seen(row, sign) == DENIED, "with all but what it needs"
    for missing in range(len(needs)):
        rest = needs[:missing] + needs[missing + 1 :]
        if rest:
            world.policy(*rest)
            assert world.seen(row, sign) == DENIED, f"without {row.needs[missing]}"
    # The right action on the wrong kind of place.
    name = world.bucket.bucket_name
    if row.needs[0][1] != "*":
        wrong = f"acs:oss:*:*:{name}" if row.needs[0][1] else f"acs:oss:*:*:{name}/*"
        other = f"acs:oss:*:*:{name}x" + ("/*" if row.needs[0][1] else "")
        world.policy(statement("Allow", [f"oss:{action}" for action, _ in row.needs], [wrong, other]))
        assert world.seen(row, sign) == DENIED, "on the wrong kind of place"
    world.policy(*needs)
    seen = world.seen(row, sign)
    assert seen[0] < 500 and seen[0] != 403, seen
    # What was asked for is then looked at: there is no such part, and nothing was recorded in that second.
    later = {"CompleteMultipartUpload": "InvalidPart", "GetVodPlaylist": "InvalidArgument", "PostVodPlaylist": "InvalidArgument"}
    assert seen[0] in (200, 204, 404) or seen == (400, later.get(row.name)), seen


def test_buckets_are_made_and_removed(server, world):
    """A user makes buckets of the account, with the right on the name, and deletes them."""
    name = f"{world.bucket.bucket_name}-new"
    own = replace(world, bucket=world.server.bucket(name))
    make, remove = Row("PutBucket", "PUT", "", "", [("PutBucket", "")]), Row("DeleteBucket", "DELETE", "", "", [("DeleteBucket", "")])
    own.policy(statement("Allow", "oss:PutBucket", [world.resource("")]))
    assert own.seen(make) == DENIED
    own.policy(statement("Allow", "oss:PutBucket", [own.resource("")]))
    assert own.seen(make) == (200, "")
    assert own.seen(remove) == DENIED
    info = server.bucket(name).get_bucket_info()
    assert info.owner.id == world.bucket.get_bucket_info().owner.id
    own.policy(statement("Allow", "oss:DeleteBucket", [own.resource("")]))
    assert own.seen(remove) == (204, "")
