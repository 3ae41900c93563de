"""From the last byte of a key frame sent to the playlist read that lists the segment which it ended, by the client's clock.

keyframe     N paced publishers as in `publishers`, eight of them spread over the 2 s of a segment. Each of the eight notes when the system
             took the last byte of a key frame, and asks for its playlist again and again, over a connection that is kept, until it
             lists one segment more. Their material does not begin anew while they look: where it does, sound of the segment before
             comes behind the key frame, and is waited for. Millpond is durable.
"""

import http.client
import threading
import time

from harness import BUCKET, Millpond, say
from publishers import make_sample, publishers

from millpond_test.pusher import Pusher, flv_tags

COUNTS = (300, 1000)
PROBES = 8
SECONDS = 60
GOALS = {300: "50 ms", 1000: "100 ms"}


class Probe(Pusher):
    """A publisher that looks, after each key frame, how long it takes until viewers see the segment before it."""

    def __init__(self, tags, url, address, channel):
        super().__init__(tags, url, frame_ms=40)
        self.path, self.waits_s, self.late = f"/{BUCKET}/{channel}/playlist.m3u8", [], 0
        self._reader = http.client.HTTPConnection(address, timeout=10)
        self._looking = self._last = None

    def sent(self, tag):
        if tag.kind != 9 or tag.payload[0] >> 4 != 1:
            return
        sent_at = time.monotonic()
        if self._looking is not None and self._looking.is_alive():
            self.late += self._last is not None
            return
        self._looking = threading.Thread(target=self._look, args=(sent_at,), daemon=True)
        self._looking.start()

    def _listed(self):
        self._reader.request("GET", self.path)
        answer = self._reader.getresponse()
        text = answer.read().decode()
        return [line for line in text.splitlines() if line.endswith(".ts")][-1] if answer.status == 200 else ""

    def _look(self, sent_at):
        # What is listed by the first look may be the news already, so the last segment is remembered from the turn before.
        before = self._last
        while time.monotonic() < sent_at + 1.9:
            now = self._listed()
            if now != before and now:
                if before is not None:
                    self.waits_s.append(time.monotonic() - sent_at)
                self._last = now
                return
            time.sleep(0.001)
        # Behind the first key frame there is no segment yet, and behind the last one none ends.
        self.late += before is not None and not self.is_stopping


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def rows(args, _only):
    sample = args.scratch.parent / "publishers.flv"
    make_sample(sample)
    own = args.scratch.parent / "probe.flv"
    make_sample(own, SECONDS + 10)
    tags, found = flv_tags(own), []
    for count in COUNTS:
        folder = args.scratch / f"latency-{count}"
        with Millpond(args.millpond, folder) as millpond:
            # The probes count among them: a bucket has 1,000 channels.
            names = [f"ch{n}" for n in range(count - PROBES)]
            millpond.create_channels(names + [f"probe{n}" for n in range(PROBES)], 2)
            crowd = publishers(args, sample, millpond.push_url("ch{n}"), count - PROBES)
            probes = []
            try:
                time.sleep(6 + count / 100)
                for number in range(PROBES):
                    channel = f"probe{number}"
                    probes.append(Probe(tags, millpond.push_url(channel), millpond.http, channel).start())
                    time.sleep(2 / PROBES)
                time.sleep(SECONDS)
                if crowd.poll() is not None:
                    raise RuntimeError("the publishers ended early")
            finally:
                for probe in probes:
                    probe.stop()
                crowd.terminate()
                crowd.wait()
        waits = [1000 * wait for probe in probes for wait in probe.waits_s]
        late = sum(probe.late for probe in probes)
        shown = f"p50 {percentile(waits, 0.5):.0f}, p99 {percentile(waits, 0.99):.0f} ms of {len(waits)}; {late} after 1.9 s"
        say(f"{count} publishers: {shown}")
        found.append((f"Key frame sent to playlist read, {count} publishers, client's clock", shown, f"p99 {GOALS[count]}"))
    return found
