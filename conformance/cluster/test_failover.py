"""PostgreSQL with a synchronous standby behind servers: a fail-over is a delay, loses nothing, and works however the primary was lost."""

from __future__ import annotations

import threading
import time

import oss2
import pytest
import requests

from installation import Installation
from links import HELD, PASSES
from millpond_test.server import create_channel, wait_for
from numbered import Numbered, make_source
from millpond_test.pusher import flv_tags
from test_two_servers import playlist, push_url


@pytest.fixture(scope="module")
def installation(reachable):
    folder = reachable / "failover"
    folder.mkdir()
    with Installation(folder, names=("one", "two")) as made:
        yield made
        assert made.panics() == []


class Writers:
    """One for each server, with a new key each time; what was acknowledged, and how long the slowest answer took."""

    def __init__(self, members, bucket_name: str):
        self.acknowledged, self.failures, self.slowest_s = [], [], 0.0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(member, bucket_name)) for member in members]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _write(self, member, bucket_name: str) -> None:
        bucket, number = member.bucket(bucket_name), 0
        while not self._over.wait(0.02):
            key, begun, number = f"{member.name}-{number}", time.monotonic(), number + 1
            try:
                bucket.put_object(key, key)
                self.acknowledged.append(key)
            except oss2.exceptions.OssError as error:
                self.failures.append(f"{key}: {error.status} {error.code}")
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)


def fails_over(installation: Installation, tmp_path, lose, found) -> None:
    """A push, writers at each server, `lose()` the primary and promote the standby; then what is there."""
    one, two = installation.members
    bucket = one.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    push = Numbered(flv_tags(make_source(tmp_path / "source.flv")), "test-channel", push_url(one, bucket)).start()
    try:
        with Writers(installation.members, bucket.bucket_name) as writers:
            wait_for(lambda: len(playlist(two, bucket)[1]) >= 2, "two segments", 30)
            lose()
            lost = time.monotonic()
            took_s = installation.database.promote()
            known = len(playlist(two, bucket)[1])
            wait_for(lambda: len(playlist(two, bucket)[1]) > known, "the playlist goes on", 40)
            on_s = time.monotonic() - lost
            time.sleep(2)
    finally:
        push.stop()
    there = {item.key for item in oss2.ObjectIterator(two.bucket(bucket.bucket_name), max_keys=1000)}
    print(
        f"\n{found}: promoted within {took_s:.1f} s, the playlist went on {on_s:.1f} s after the loss; {len(writers.acknowledged)} objects acknowledged, "
        f"{len(writers.failures)} not, the slowest answer took {writers.slowest_s:.1f} s; {len(push.sent_by)} connections: {writers.failures[:2]}"
    )
    assert not set(writers.acknowledged) - there, "acknowledged objects are away"
    assert len(writers.acknowledged) > 20
    assert not writers.failures, "a fail-over is a delay"
    assert len(push.sent_by) == 1, "the push went on"


def test_a_primary_that_dies(installation, tmp_path):
    fails_over(installation, tmp_path, installation.database.primary.kill, "killed")
    print(f"the old primary was {installation.database.rejoin()}")


def test_a_primary_whose_machine_says_nothing_any_more(installation, tmp_path):
    """Its connections stay open and nobody answers: what a power cut looks like from outside. It is the first of the addresses, or it becomes
    that: servers must not stop asking there."""
    database = installation.database
    if database.primary is not database.one:
        database.fail_over()
        database.rejoin()

    def lose():
        installation.links.set(HELD, *installation.links_to(database.primary))
        database.primary.kill()

    fails_over(installation, tmp_path, lose, "unreachable")
    # A server that starts now finds the one that is left.
    member = installation.members[0]
    assert member.stop() == 0
    member.start()
    wait_for(member.is_ready, "ready without the first of the two", 30)
    installation.links.set(PASSES, *installation.links_to(database.standby))
    print(f"the old primary was {database.rejoin()}")
    assert requests.get(member.url(""), timeout=10).status_code in (200, 403)


def test_a_primary_that_hangs_and_is_then_shot(installation, tmp_path):
    database = installation.database

    def lose():
        database.primary.pause()
        time.sleep(2)
        # Whoever promotes shoots the other first, or there would be two.
        database.primary.kill()

    fails_over(installation, tmp_path, lose, "hanging")
    print(f"the old primary was {database.rejoin()}")
