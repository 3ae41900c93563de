"""If-Range: a download goes on only in the object that it began with (RFC 9110 13.1.5, D24)."""

import time
from email.utils import formatdate

import oss2
import pytest
import requests

from millpond_test.signing import Request

OLD, NEW = b"old" * 1000, b"NEW" * 1000


@pytest.fixture
def bucket(server):
    return server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)


def seen(answer):
    return (answer.status_code, answer.content)


def test_a_download_is_never_half_old_half_new(server, bucket):
    bucket.put_object("film", OLD)
    path = f"{bucket.bucket_name}/film"
    first = server.get(path, headers={"Range": "bytes=0-1499"})
    bucket.put_object("film", NEW)
    resume = {"Range": "bytes=1500-", "If-Range": first.headers["ETag"]}
    assert seen(server.get(path, headers=resume)) == (200, NEW)
    # The new one goes on where it was left.
    resume["If-Range"] = server.get(path).headers["ETag"]
    again = server.get(path, headers=resume)
    assert seen(again) == (206, NEW[1500:])
    assert again.headers["Content-Range"] == "bytes 1500-2999/3000"


def other_second(modified: str, by: int, form: str) -> str:
    moment = time.mktime(time.strptime(modified, "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone + by
    return time.strftime(form, time.gmtime(moment))


RFC1123, RFC850, ASCTIME = "%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"


@pytest.mark.parametrize(
    "make, status",
    [
        (lambda etag, _: etag, 206),
        (lambda etag, _: f"W/{etag}", 200),
        (lambda etag, _: '"0"', 200),
        (lambda etag, _: f'"0", {etag}', 200),
        (lambda etag, _: etag.strip('"'), 200),
        (lambda etag, _: "*", 200),
        (lambda etag, _: "", 200),
        (lambda etag, _: "soon", 200),
        (lambda _, modified: modified, 206),
        (lambda _, modified: other_second(modified, 0, RFC850), 206),
        (lambda _, modified: other_second(modified, 0, ASCTIME), 206),
        (lambda _, modified: other_second(modified, -1, RFC1123), 200),
        # Later than the object is no match either: it is not that object.
        (lambda _, modified: other_second(modified, 1, RFC1123), 200),
        (lambda _, modified: other_second(modified, 3600, RFC850), 200),
    ],
)
def test_only_the_object_as_it_is_counts(server, bucket, make, status):
    bucket.put_object("film", OLD)
    path = f"{bucket.bucket_name}/film"
    whole = server.get(path)
    header = make(whole.headers["ETag"], whole.headers["Last-Modified"])
    for behaviour in ({}, {"x-oss-range-behavior": "standard"}):
        answer = server.get(path, headers={"Range": "bytes=10-19", "If-Range": header, **behaviour})
        assert seen(answer) == ((206, OLD[10:20]) if status == 206 else (200, OLD)), header
        assert ("Content-Range" in answer.headers) == (status == 206)


def test_beside_other_headers(server, bucket):
    etag = bucket.put_object("film", OLD).headers["ETag"]
    path, part = f"{bucket.bucket_name}/film", {"Range": "bytes=0-9"}
    get = lambda **headers: server.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})  # noqa: E731
    stale = '"0"'
    # Without a Range it says nothing.
    assert seen(get(If_Range=stale)) == (200, OLD)
    assert seen(get(If_Range=etag)) == (200, OLD)
    # The other conditions come first, whatever it says.
    assert get(If_Match='"1"', If_Range=etag, **part).status_code == 412
    assert get(If_None_Match=etag, If_Range=etag, **part).status_code == 304
    assert get(If_None_Match=etag, If_Range=stale, **part).status_code == 304
    assert seen(get(If_Match=etag, If_Range=stale, **part)) == (200, OLD)
    assert seen(get(If_Match=etag, If_Range=etag, **part)) == (206, OLD[:10])
    assert get(If_Unmodified_Since=formatdate(0, usegmt=True), If_Range=etag, **part).status_code == 412
    # A range that cannot be satisfied is none when it does not count.
    unsatisfiable = {"Range": "bytes=5000-", "x-oss-range-behavior": "standard"}
    assert server.get(path, headers={**unsatisfiable, "If-Range": etag}).status_code == 416
    assert seen(server.get(path, headers={**unsatisfiable, "If-Range": stale})) == (200, OLD)
    # A second one makes both doubtful.
    twice = Request("GET", bucket.bucket_name, "film", headers=[("Range", "bytes=0-9"), ("If-Range", etag), ("If-Range", stale)])
    assert (twice.send(server).status, twice.send(server).body) == (200, OLD)
    # HEAD knows no ranges.
    head = requests.head(server.url(path), headers={**part, "If-Range": etag}, timeout=10)
    assert (head.status_code, head.headers["Content-Length"]) == (200, "3000")


def test_the_tag_of_an_object_of_parts_counts_as_well(server, bucket):
    upload_id = bucket.init_multipart_upload("film").upload_id
    part = oss2.models.PartInfo(1, bucket.upload_part("film", upload_id, 1, OLD).etag)
    etag = bucket.complete_multipart_upload("film", upload_id, [part]).headers["ETag"]
    assert etag.endswith('-1"')
    path = f"{bucket.bucket_name}/film"
    assert seen(server.get(path, headers={"Range": "bytes=0-9", "If-Range": etag})) == (206, OLD[:10])
    plain = etag.replace("-1", "")
    assert seen(server.get(path, headers={"Range": "bytes=0-9", "If-Range": plain})) == (200, OLD)


def test_a_link_has_the_tag_of_what_it_leads_to(server, bucket):
    bucket.put_object("old", OLD)
    bucket.put_object("new", NEW)
    bucket.put_symlink("old", "film")
    path = f"{bucket.bucket_name}/film"
    etag = server.get(path).headers["ETag"]
    assert seen(server.get(path, headers={"Range": "bytes=0-9", "If-Range": etag})) == (206, OLD[:10])
    bucket.put_symlink("new", "film")
    assert seen(server.get(path, headers={"Range": "bytes=0-9", "If-Range": etag})) == (200, NEW)
