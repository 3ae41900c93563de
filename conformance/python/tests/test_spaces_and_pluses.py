"""A `+` in a copy source or the target of a link is a space, as the Go SDK and ossutil write it; a plus is `%2B` (D30)."""

import oss2
import pytest
from oss2.models import PartInfo

from millpond_test.signing import Request, v1_header, v4_header

# What the header says, and whose bytes are meant.
SPELLINGS = {"a+b": b"space", "a%20b": b"space", "a b": b"space", "a%2Bb": b"plus", "a%2bb": b"plus"}
BODIES = {"a b": b"space", "a+b": b"plus"}


@pytest.fixture(params=["v1", "v4"])
def sign(request):
    return {"v1": v1_header, "v4": v4_header}[request.param]


@pytest.fixture
def both(server):
    """A bucket with an object of each name."""
    bucket = server.new_bucket()
    for key, body in BODIES.items():
        bucket.put_object(key, body)
    return bucket


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_copy_reads_the_object_that_is_meant(server, both, sign, spelling):
    source = f"/{both.bucket_name}/{spelling}"
    assert sign(Request("PUT", both.bucket_name, "to", headers=[("x-oss-copy-source", source)])).send(server).status == 200
    assert both.get_object("to").read() == SPELLINGS[spelling]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_part_reads_the_object_that_is_meant(server, both, sign, spelling):
    upload_id = both.init_multipart_upload("to").upload_id
    headers = [("x-oss-copy-source", f"/{both.bucket_name}/{spelling}")]
    query = [("partNumber", "1"), ("uploadId", upload_id)]
    answer = sign(Request("PUT", both.bucket_name, "to", query=query, headers=headers)).send(server)
    assert answer.status == 200, answer.body
    both.complete_multipart_upload("to", upload_id, [PartInfo(1, answer.headers["ETag"].strip('"'))])
    assert both.get_object("to").read() == SPELLINGS[spelling]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_link_leads_to_the_object_that_is_meant(server, both, sign, spelling):
    request = Request("PUT", both.bucket_name, "link", query=[("symlink", None)], headers=[("x-oss-symlink-target", spelling)])
    assert sign(request).send(server).status == 200
    assert both.get_object("link").read() == SPELLINGS[spelling]
    shown = sign(Request("GET", both.bucket_name, "link", query=[("symlink", None)])).send(server).headers["x-oss-symlink-target"]
    # Whatever decodes it, as a form or not, finds the same key.
    assert shown == {b"space": "a%20b", b"plus": "a%2Bb"}[SPELLINGS[spelling]]


def test_a_missing_space_does_not_fall_back_to_the_plus(server, both, sign):
    both.delete_object("a b")
    headers = [("x-oss-copy-source", f"/{both.bucket_name}/a+b")]
    answer = sign(Request("PUT", both.bucket_name, "to", headers=headers)).send(server)
    assert answer.seen == (404, "NoSuchKey")


def test_oss2_copies_links_and_reads_back_either_name(both, version, server):
    bucket = server.bucket(both.bucket_name, version)
    for key, body in BODIES.items():
        bucket.copy_object(bucket.bucket_name, key, "to")
        assert bucket.get_object("to").read() == body
        bucket.put_symlink(key, "link")
        assert bucket.get_object("link").read() == body
        assert bucket.get_symlink("link").target_key == key
        upload_id = bucket.init_multipart_upload("parts").upload_id
        part = bucket.upload_part_copy(bucket.bucket_name, key, None, "parts", upload_id, 1)
        bucket.complete_multipart_upload("parts", upload_id, [PartInfo(1, part.etag)])
        assert bucket.get_object("parts").read() == body


def test_buckets_and_versions_are_found_as_before(server, both, sign):
    for source in (f"{both.bucket_name}/a+b", f"%2F{both.bucket_name}%2Fa+b", f"/{both.bucket_name}/a+b?versionId=null"):
        headers = [("x-oss-copy-source", source)]
        assert sign(Request("PUT", both.bucket_name, "to", headers=headers)).send(server).status == 200, source
        assert both.get_object("to").read() == b"space"
    with pytest.raises(oss2.exceptions.NoSuchKey):
        both.copy_object(both.bucket_name, "a%2Bb", "to")
