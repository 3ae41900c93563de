"""Listing objects, version 1 and 2: order, prefixes, folding, pages, encoding."""

import oss2
import pytest

KEYS = sorted(["a.ts", "live/1.ts", "live/2.ts", "live/ch1/1.ts", "live/ch1/2.ts", "live/playlist.m3u8", "z z", "é", "测试"], key=str.encode)


@pytest.fixture(params=["list v1", "list v2"])
def lister(request):
    """`lister(bucket, ...)` gives keys, folded prefixes, whether there is more, and how to ask for it."""

    def first(bucket, prefix="", delimiter="", after="", max_keys=100):
        page = bucket.list_objects(prefix=prefix, delimiter=delimiter, marker=after, max_keys=max_keys)
        return [entry.key for entry in page.object_list], page.prefix_list, page.is_truncated, page.next_marker

    def second(bucket, prefix="", delimiter="", after="", max_keys=100):
        page = bucket.list_objects_v2(prefix=prefix, delimiter=delimiter, start_after=after, max_keys=max_keys)
        return [entry.key for entry in page.object_list], page.prefix_list, page.is_truncated, page.next_continuation_token

    return first if request.param == "list v1" else second


@pytest.fixture
def bucket(server, version):
    bucket = server.new_bucket(version=version)
    for key in reversed(KEYS):
        bucket.put_object(key, key.encode())
    return bucket


def test_keys_come_in_byte_order(bucket, lister):
    assert lister(bucket) == (KEYS, [], False, "")


def test_a_prefix_selects(bucket, lister):
    assert lister(bucket, prefix="live/ch1/")[0] == ["live/ch1/1.ts", "live/ch1/2.ts"]
    assert lister(bucket, prefix="none")[0] == []


def test_a_space_in_a_parameter_survives_the_form_encoding_of_the_sdk(bucket, lister):
    # oss2 writes it as a plus sign, and signs it as %20 under V4.
    assert lister(bucket, prefix="z z")[0] == ["z z"]
    assert lister(bucket, after="z z")[0] == KEYS[KEYS.index("z z") + 1 :]


def test_a_delimiter_folds(bucket, lister):
    assert lister(bucket, delimiter="/")[:2] == ([key for key in KEYS if "/" not in key], ["live/"])
    assert lister(bucket, prefix="live/", delimiter="/")[:2] == (["live/1.ts", "live/2.ts", "live/playlist.m3u8"], ["live/ch1/"])


def test_a_start_is_exclusive(bucket, lister):
    assert lister(bucket, after="live/2.ts")[0] == KEYS[KEYS.index("live/2.ts") + 1 :]
    assert lister(bucket, after="live/2")[0] == KEYS[KEYS.index("live/2.ts") :]


def test_a_page_is_bounded_and_says_whether_there_is_more(bucket, lister):
    keys, _, more, next_one = lister(bucket, max_keys=4)
    assert (keys, more, bool(next_one)) == (KEYS[:4], True, True)
    keys, _, more, next_one = lister(bucket, max_keys=len(KEYS))
    assert (keys, more, next_one) == (KEYS, False, "")


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_pages_join_to_the_whole(bucket, size, delimiter):
    for iterator in (oss2.ObjectIterator, oss2.ObjectIteratorV2):
        found = [(entry.key, entry.is_prefix()) for entry in iterator(bucket, delimiter=delimiter, max_keys=size)]
        expected = {(key, False) for key in KEYS} if not delimiter else {(key, False) for key in KEYS if "/" not in key} | {("live/", True)}
        assert (len(found), set(found)) == (len(expected), expected)


def test_entries_carry_their_facts(bucket):
    for page in (bucket.list_objects(prefix="a.ts"), bucket.list_objects_v2(prefix="a.ts", fetch_owner=True)):
        (entry,) = page.object_list
        assert (entry.size, entry.type, entry.storage_class) == (4, "Normal", "Standard")
        assert entry.etag == bucket.head_object("a.ts").etag
        assert entry.owner.id.isdigit()


@pytest.mark.parametrize("max_keys", [0, 1001, "x"])
def test_page_sizes_out_of_range_are_refused(bucket, max_keys):
    for call in (lambda: bucket.list_objects(max_keys=max_keys), lambda: bucket.list_objects_v2(max_keys=max_keys)):
        with pytest.raises(oss2.exceptions.InvalidArgument):
            call()


def test_a_garbage_continuation_token_is_refused(bucket):
    with pytest.raises(oss2.exceptions.InvalidArgument):
        bucket.list_objects_v2(continuation_token="???")
