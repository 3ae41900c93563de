"""Rewriting the metadata of an object, by copying it onto itself, changes who may read it only when asked to (D30)."""

import oss2
import pytest
from oss2.models import PartInfo

from millpond_test.accounts import new_user, statement
from millpond_test.signing import Request, v1_header
from test_multipart import PART

ACLS = ["default", "private", "public-read", "public-read-write"]


@pytest.fixture
def public(server, version):
    """A bucket that everybody reads."""
    return server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ, version=version)


def strangers_see(server, bucket, key="secret") -> int:
    return server.get(f"{bucket.bucket_name}/{key}").status_code


@pytest.mark.parametrize("body", [b"small", b"x" * 300_000], ids=["inline", "in a blob"])
def test_a_private_object_stays_private(server, public, body):
    public.put_object("secret", body, headers={"x-oss-object-acl": "private"})
    assert strangers_see(server, public) == 403
    public.update_object_meta("secret", {"Content-Type": "text/plain", "x-oss-meta-a": "1"})
    assert strangers_see(server, public) == 403
    head = public.head_object("secret")
    assert (head.content_type, head.headers["x-oss-meta-a"]) == ("text/plain", "1")
    assert public.get_object_acl("secret").acl == "private"
    assert public.get_object("secret").read() == body


@pytest.mark.parametrize("acl", ACLS)
@pytest.mark.parametrize("directives", [{}, {"x-oss-metadata-directive": "COPY"}, {"x-oss-metadata-directive": "REPLACE"}, {"x-oss-tagging-directive": "Replace", "x-oss-tagging": "n=w"}], ids=["none", "copy", "replace", "tags"])  # fmt: skip
def test_every_acl_stays_whatever_else_changes(public, acl, directives):
    public.put_object("secret", b"x", headers={"x-oss-object-acl": acl, "x-oss-tagging": "k=v"})
    public.copy_object(public.bucket_name, "secret", "secret", headers=directives)
    assert public.get_object_acl("secret").acl == acl
    tags = {"n": "w"} if "x-oss-tagging" in directives else {"k": "v"}
    assert public.get_object_tagging("secret").tag_set.tagging_rule == tags


def test_an_acl_that_is_named_is_set(server, public):
    public.put_object("secret", b"x", headers={"x-oss-object-acl": "private"})
    public.copy_object(public.bucket_name, "secret", "secret", headers={"x-oss-object-acl": "public-read"})
    assert public.get_object_acl("secret").acl == "public-read"
    public.copy_object(public.bucket_name, "secret", "secret", headers={"x-oss-object-acl": "default"})
    assert public.get_object_acl("secret").acl == "default"


def test_other_kinds_of_objects_stay_private_too(server, public):
    private = {"x-oss-object-acl": "private"}
    public.append_object("log", 0, b"x", headers=private)
    public.put_object("target", b"x")
    public.put_symlink("target", "link", headers=private)
    upload_id = public.init_multipart_upload("parts").upload_id
    parts = [PartInfo(n, public.upload_part("parts", upload_id, n, b"x" * PART).etag) for n in (1, 2)]
    public.complete_multipart_upload("parts", upload_id, parts, headers=private)
    for key in ("log", "link", "parts"):
        public.update_object_meta(key, {"x-oss-meta-a": "1"})
        assert (public.get_object_acl(key).acl, strangers_see(server, public, key)) == ("private", 403), key


def test_the_storage_class_stays_too(public):
    public.put_object("cold", b"x", headers={"x-oss-storage-class": "IA"})
    public.update_object_meta("cold", {"x-oss-meta-a": "1"})
    assert public.head_object("cold").headers["x-oss-storage-class"] == "IA"
    public.copy_object(public.bucket_name, "cold", "cold", headers={"x-oss-storage-class": "Standard"})
    assert public.head_object("cold").headers["x-oss-storage-class"] == "Standard"


def test_a_writer_does_not_change_who_reads(server, public):
    """Whoever may write but not set ACLs gets at nobody else's."""
    public.put_object("secret", b"x", headers={"x-oss-object-acl": "private"})
    user = new_user(server)
    name = public.bucket_name
    user.allow("writer", statement("Allow", ["oss:PutObject", "oss:GetObject"], f"acs:oss:*:*:{name}/*"))
    user.key().bucket(server, name).update_object_meta("secret", {"x-oss-meta-a": "1"})
    assert strangers_see(server, public) == 403


def test_a_copy_elsewhere_has_no_acl_of_its_source(server, public):
    public.put_object("secret", b"x", headers={"x-oss-object-acl": "private", "x-oss-storage-class": "IA"})
    public.copy_object(public.bucket_name, "secret", "other")
    assert public.get_object_acl("other").acl == "default"
    assert public.head_object("other").headers["x-oss-storage-class"] == "Standard"
    # The same key in another bucket is elsewhere.
    another = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    another.copy_object(public.bucket_name, "secret", "secret")
    assert another.get_object_acl("secret").acl == "default"


def test_the_same_object_in_another_spelling_is_the_same(server, public):
    public.put_object("a b", b"x", headers={"x-oss-object-acl": "private"})
    for source in ("a+b", "a%20b", "%61%20b"):
        headers = [("x-oss-copy-source", f"/{public.bucket_name}/{source}"), ("x-oss-meta-a", source)]
        answer = v1_header(Request("PUT", public.bucket_name, "a b", headers=headers)).send(server)
        assert answer.status == 200, answer.body
        assert public.get_object_acl("a b").acl == "private", source
