"""Each check of histories sees the fault that it is for, and accepts what is allowed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import history
from clients import Worker
from history import Disturbance, Look, Loss, Reads
from nemesis import nothing_seen
from millpond_test.playlist import Playlist, Segment
from numbered import Numbered, Sent, is_picture, make_source, numbers_in, with_number
from millpond_test import media
from millpond_test.pusher import flv_tags


def playlist(first: int, *names: str, target: int = 2) -> Playlist:
    return Playlist(first, 0, target, [Segment(name, 2000, False, None) for name in names])


def look(asked: float, answered: float, first: int, *names: str) -> Look:
    return Look(asked, answered, playlist(first, *names))


def sent(pictures: int, began: float = 0.0, returned=None) -> Sent:
    return Sent("c", began, began, [began + n / 15 for n in range(pictures)], began + pictures / 15, returned)


def test_objects():
    may = {"a": {"1"}, "b": {"1", None}}
    assert history.lost_objects(may, {"a": "1", "b": None}) == []
    assert len(history.lost_objects(may, {"a": None, "b": "1"})) == 1
    assert len(history.lost_objects(may, {"a": "2", "b": "2"})) == 2
    assert len(history.lost_objects(may, {"a": "1"})) == 1, "no answer is no proof"


def test_segments():
    assert history.changed_segments({"s": ["1", "1"]}) == []
    assert len(history.changed_segments({"s": ["1", "2"]})) == 1
    assert history.lost_segments(["s"], {"s": True}) == []
    assert len(history.lost_segments(["s", "t"], {"s": False})) == 2


def test_publishers():
    assert history.two_publishers("c", [(1, 0), (1, 1), (2, 0), (2, 5)]) == []
    assert len(history.two_publishers("c", [(1, 0), (2, 0), (1, 1)])) == 1, "the first goes on beside the second"
    assert len(history.two_publishers("c", [(1, 0), (1, 1), (1, 1)])) == 1, "a picture twice"
    assert len(history.two_publishers("c", [(1, 1), (1, 0)])) == 1, "backwards"


def test_playlists():
    assert history.illegal_playlists([look(0, 1, 1, "1.ts"), look(1, 2, 1, "1.ts", "2.ts")]) == []
    assert history.illegal_playlists([look(0, 1, 1, "1.ts", "2.ts"), look(1, 2, 1, "1.ts", "3.ts")])
    assert history.illegal_playlists([look(0, 1, 1, "1.ts", "1.ts")])
    assert history.falling_numbers([look(0, 1, 1, "1.ts"), look(2, 3, 1, "1.ts", "2.ts")]) == []
    assert history.falling_numbers([look(0, 1, 1, "1.ts", "2.ts"), look(2, 3, 1, "1.ts")])
    assert history.falling_numbers([look(0, 3, 1, "1.ts", "2.ts"), look(2, 4, 1, "1.ts")]) == [], "they were asked at the same time"


def test_media():
    listed = [(1, n) for n in range(30)]
    assert history.losses({1: sent(30)}, listed) == []
    (end,) = history.losses({1: sent(45)}, listed)
    assert (end.pictures, end.is_hole, end.ms) == (15, False, 1000)
    (hole,) = history.losses({1: sent(30)}, listed[:10] + listed[20:])
    assert (hole.pictures, hole.is_hole) == (10, True)
    (whole,) = history.losses({2: sent(30)}, listed)
    assert whole.pictures == 30
    killed = Disturbance("kill", 1.0, 1500)
    assert history.too_much_lost([end], [killed]) == []
    assert history.too_much_lost([end], []) and history.too_much_lost([whole], [killed])
    assert history.too_much_lost([hole], [killed]), "a hole is a fault, however short it is"
    assert history.unknown_pictures({1: sent(30)}, listed) == []
    assert history.unknown_pictures({1: sent(10)}, listed) and history.unknown_pictures({}, listed)


def test_causes():
    one, two = Disturbance("one", 1, 0), Disturbance("two", 5, 0)
    assert history.cause([one, two], 0.5) is None
    assert history.cause([one, two], 1.5) is one and history.cause([one, two], 4) is one and history.cause([one, two], 9) is two


def test_returns():
    disturbances = [Disturbance("kill", 1, 0), Disturbance("database away", 10, 0, is_return_bounded=False)]
    assert history.late_returns({1: sent(1), 2: sent(1, 6.0, returned=1.5)}, disturbances, 12) == []
    assert len(history.late_returns({2: sent(1, 15.0, returned=1.5)}, disturbances, 12)) == 1
    assert history.late_returns({2: sent(1, 40.0, returned=11.0)}, disturbances, 12) == []


def test_recordings():
    assert history.failed_playback(Reads([0.1], ["once"])) == []
    assert len(history.failed_playback(Reads(failed=["404"]))) == 1


def test_who_saw_nothing():
    def seen(looks, made, read, changed):
        viewer = SimpleNamespace(server=SimpleNamespace(http_address="here"), looks={"c": looks})
        return nothing_seen([viewer], SimpleNamespace(done=made), SimpleNamespace(reads=Reads(read)), SimpleNamespace(acknowledged=changed))

    assert seen([look(0, 1, 1, "1.ts")], 1, [0.1], 1) == []
    assert len(seen([], 0, [], 0)) == 4


def test_who_fails():
    class Fails(Worker):
        def once(self):
            raise ValueError("unforeseen")

    worker = Fails().start()
    worker._thread.join()
    with pytest.raises(ValueError):
        worker.stop()


def test_numbers_of_pictures_are_found_where_the_server_put_them(servers, tmp_path):
    """What all of the above stands on."""
    import time

    import oss2

    from millpond_test.server import create_channel, wait_for
    from test_two_servers import playlist as names_of, push_url

    tags = flv_tags(make_source(tmp_path / "source.flv"))
    assert sum(map(is_picture, tags)) == 90
    bucket = servers[0].new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    push = Numbered(tags, "test-channel", push_url(servers[0], bucket)).start()
    time.sleep(5)
    push.stop()
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "the end of the push", 30)
    segments = [servers[1].get(f"{bucket.bucket_name}/test-channel/{uri}").content for uri in names_of(servers[1], bucket)[1]]
    pictures = [number for segment in segments for number in numbers_in(segment)]
    assert len(pictures) > 60 and history.two_publishers("c", pictures) == []
    assert history.losses(push.sent_by, pictures) == [] and history.unknown_pictures(push.sent_by, pictures) == []
    assert isinstance(Loss("c", 1, 0, 1, False).ms, int) and with_number(bytes(5), (1, 2))[9:11] == b"\x06\x05"
    assert media.decode_listed(servers[0].url(f"{bucket.bucket_name}/test-channel/playlist.m3u8")).errors == ""
