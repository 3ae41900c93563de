"""Pictures on request: `x-oss-process=video/snapshot` of recordings, `live/still` of channels, storyboards of playlists."""

import re
import time

import oss2
import pytest
import requests

from millpond_test import media, pictures
from millpond_test.accounts import new_user, statement
from millpond_test.playlist import Playlist
from millpond_test.server import create_channel, wait_for
from millpond_test.wire import signed_request
from test_hotlinks_and_origins import configure

SECONDS = 10
FRAME_MS = 1000 // pictures.RATE
LAST = SECONDS * pictures.RATE - 1


class Recorded:
    """A numbered video of five segments in a public bucket, with a playlist of all of it."""

    def __init__(self, server, bucket, channel: str, start: int):
        self.server, self.bucket, self.channel = server, bucket, channel
        bucket.post_vod_playlist(channel, "vod.m3u8", start, int(time.time()) + 1)
        self.vod = f"{channel}/vod.m3u8"
        playlist = Playlist.parse(bucket.get_object(self.vod).read().decode())
        self.segments = [f"{channel}/{uri}" for uri in playlist.uris]

    def get(self, key: str, process: str, method: str = "GET", **headers) -> requests.Response:
        url = self.server.url(f"{self.bucket.bucket_name}/{key}")
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(method, url, params={"x-oss-process": process}, headers=headers, timeout=60)

    def shown(self, key: str, process: str) -> int:
        answer = self.get(key, process)
        assert answer.status_code == 200, answer.text
        return pictures.number(answer.content)

    def refused(self, key: str, process: str, status: int, code: str, ec: str = "") -> str:
        answer = self.get(key, process)
        assert (answer.status_code, answer.headers.get("x-oss-ec", "")) == (status, ec), answer.text
        assert f"<Code>{code}</Code>" in answer.text
        return answer.text


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    return pictures.make_numbered(tmp_path_factory.mktemp("numbered") / "numbered.flv", SECONDS)


@pytest.fixture(scope="module")
def recorded(server, numbered):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket, "cam")
    start = int(time.time())
    media.push_file(numbered, bucket.sign_rtmp_url("cam", "playlist.m3u8", 3600))
    wait_for(lambda: bucket.get_live_channel_stat("cam").status == "Idle", "idle")
    recorded = Recorded(server, bucket, "cam", start)
    assert len(recorded.segments) == SECONDS * pictures.RATE // pictures.GOP
    return recorded


@pytest.mark.parametrize("time_ms", [0, 39, 40, 1000, 1980, 5020, 7777, 9960])
def test_a_moment_of_a_playlist_is_found_within_a_frame(recorded, time_ms):
    assert abs(recorded.shown(recorded.vod, f"video/snapshot,t_{time_ms}") - time_ms // FRAME_MS) <= 1


@pytest.mark.parametrize("time_ms", [0, 40, 720, 1960])
def test_a_moment_of_a_segment_is_found_within_a_frame(recorded, time_ms):
    found = recorded.shown(recorded.segments[3], f"video/snapshot,t_{time_ms},f_jpg")
    assert abs(found - (3 * pictures.GOP + time_ms // FRAME_MS)) <= 1


def test_beyond_the_end_it_is_the_last_frame(recorded):
    assert recorded.shown(recorded.vod, "video/snapshot,t_99999999") == LAST
    assert recorded.shown(recorded.segments[0], "video/snapshot,t_2000") == pictures.GOP - 1


def test_the_fast_mode_gives_the_key_frame_before(recorded):
    for time_ms, expected in ((0, 0), (1900, 0), (2100, pictures.GOP), (99_999, 4 * pictures.GOP)):
        assert recorded.shown(recorded.vod, f"video/snapshot,t_{time_ms},m_fast") == expected


def test_format_and_size(recorded):
    key = recorded.segments[1]
    for process, expected, media_type in (
        ("video/snapshot", ("mjpeg", 192, 96), "image/jpeg"),
        ("video/snapshot,f_png", ("png", 192, 96), "image/png"),
        ("video/snapshot,w_96", ("mjpeg", 96, 48), "image/jpeg"),
        ("video/snapshot,h_48,f_png", ("png", 96, 48), "image/png"),
        ("video/snapshot,w_100,h_90", ("mjpeg", 100, 90), "image/jpeg"),
        ("video/snapshot,w_0,h_0", ("mjpeg", 192, 96), "image/jpeg"),
        ("video/snapshot,ar_h", ("mjpeg", 96, 192), "image/jpeg"),
        ("video/snapshot,ar_w", ("mjpeg", 192, 96), "image/jpeg"),
    ):
        answer = recorded.get(key, process)
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type), answer.text
        assert pictures.probe(answer.content) == expected, process
    assert pictures.number(recorded.get(key, "video/snapshot,w_96,f_png").content) == pictures.GOP


def test_the_same_as_the_frame_that_was_sent(recorded, numbered):
    """Above 40 dB of what the encoder sent."""
    found = pictures.gray(recorded.get(recorded.vod, "video/snapshot,t_4000").content, pictures.WIDTH, pictures.HEIGHT)
    sent = media.subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(numbered), "-vf", "select=eq(n\\,100)", "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "-"],
        capture_output=True, timeout=60,
    ).stdout  # fmt: skip
    error = sum((one - other) ** 2 for one, other in zip(found, sent)) / len(sent)
    assert len(sent) == len(found) and error < 255**2 / 10**4, error


def test_head_and_conditions(recorded):
    process = "video/snapshot,t_1000"
    got = recorded.get(recorded.vod, process)
    head = recorded.get(recorded.vod, process, "HEAD")
    for name in ("content-type", "content-length", "etag", "last-modified"):
        assert head.headers[name] == got.headers[name]
    assert (head.status_code, head.content) == (200, b"")
    assert int(got.headers["content-length"]) == len(got.content)
    again = recorded.get(recorded.vod, process, if_none_match=got.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert recorded.get(recorded.vod, process, if_match='"x"').status_code == 412


def test_wrong_requests_are_refused_with_the_numbers_of_oss(recorded):
    key = recorded.segments[0]
    for parameters, ec in (
        ("t_-1", "0053-00000101"),
        ("w_193", "0053-00000104"),
        ("h_97", "0053-00000105"),
        ("l_193", "0053-00000102"),
        ("s_97", "0053-00000103"),
        ("m_slow", "0053-00000106"),
        ("f_gif", "0053-00000107"),
        ("ar_x", "0053-00000108"),
        ("q_80", "0053-00000109"),
    ):
        recorded.refused(key, f"video/snapshot,{parameters}", 400, "InvalidArgument", ec)
    for process in ("video/info", "video/snapshot,t_0|sys/saveas,o_eA", "image/resize,w_1", "video/storyboard"):
        recorded.refused(key, process, 501, "NotImplemented")
    recorded.refused("cam/none.ts", "video/snapshot", 404, "NoSuchKey", "0026-00000001")
    recorded.bucket.put_object("text.ts", b"x" * 5000)
    recorded.bucket.put_object("bare.m3u8", b"#EXTM3U\n")
    recorded.bucket.put_object("away.m3u8", b"#EXTM3U\n#EXTINF:1,\n/cam/1.ts\n")
    recorded.bucket.put_object("torn.ts", recorded.bucket.get_object(key).read()[: 188 * 3])
    for other in ("text.ts", "bare.m3u8", "away.m3u8", "torn.ts"):
        recorded.refused(other, "video/snapshot", 400, "InvalidArgument")
    # What is put or posted is not a picture.
    assert signed_request(recorded.server, "PUT", recorded.bucket.bucket_name, "x", "x-oss-process=video/snapshot").status_code == 501


def test_a_damaged_recording_harms_nobody(recorded):
    text = bytearray(recorded.bucket.get_object(recorded.segments[0]).read())
    for at in range(188 * 4 + 20, len(text), 97):
        text[at] ^= 0x55
    recorded.bucket.put_object("damaged.ts", bytes(text))
    assert recorded.get("damaged.ts", "video/snapshot,t_1000").status_code in (200, 400)
    assert recorded.shown(recorded.segments[0], "video/snapshot,t_200") == 5


def test_the_rights_are_those_of_getobject(server, recorded):
    private = server.new_bucket()
    for key in [recorded.vod, *recorded.segments]:
        private.put_object(key, recorded.bucket.get_object(key).read())

    def ask(client, key: str) -> int:
        try:
            return client.get_object(key, process="video/snapshot,t_2500").status
        except oss2.exceptions.OssError as error:
            return error.status

    nobody = server.anonymous(private.bucket_name)
    assert (ask(nobody, recorded.vod), ask(nobody, recorded.segments[0]), ask(private, recorded.vod)) == (403, 403, 200)
    # Who may read the playlist and not its segments sees none of them.
    user = new_user(server)
    user.allow("list", statement("Allow", "oss:GetObject", f"acs:oss:*:*:{private.bucket_name}/{recorded.vod}"))
    client = user.key().bucket(server, private.bucket_name)
    assert client.get_object(recorded.vod).status == 200
    assert ask(client, recorded.vod) == 403
    user.allow("segments", statement("Allow", "oss:GetObject", f"acs:oss:*:*:{private.bucket_name}/cam/*"))
    assert ask(client, recorded.vod) == 200
    # A signed URL is for one picture, or for the object, and not for another.
    signed = private.sign_url("GET", recorded.segments[0], 600, params={"x-oss-process": "video/snapshot,t_0"})
    assert requests.get(signed, timeout=30).headers["content-type"] == "image/jpeg"
    assert requests.get(signed.replace("t_0", "t_1000"), timeout=30).status_code == 403
    plain = private.sign_url("GET", recorded.segments[0], 600)
    assert requests.get(plain + "&x-oss-process=video/snapshot,t_0", timeout=30).status_code == 403


def test_hotlink_protection_is_that_of_getobject(server, recorded):
    public = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    public.server = server
    key = recorded.segments[0]
    public.put_object(key, recorded.bucket.get_object(key).read())
    configure(public, False, ["http://here.example"])
    other = Recorded.__new__(Recorded)
    other.server, other.bucket = server, public
    assert other.get(key, "video/snapshot", Referer="http://here.example/x").status_code == 200
    assert other.get(key, "video/snapshot", Referer="http://there.example/x").status_code == 403
    assert other.get(key, "video/snapshot").status_code == 403


def test_the_newest_still_of_a_channel(server, tmp_path):
    source = pictures.make_numbered(tmp_path / "long.flv", 40, 25)
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket, "cam")
    push_url = bucket.sign_rtmp_url("cam", "playlist.m3u8", 3600)
    url = server.url(f"{bucket.bucket_name}/cam/playlist.m3u8")

    def still(**headers) -> requests.Response:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.get(url, params={"x-oss-process": "live/still"}, headers=headers, timeout=30)

    assert still().status_code == 404
    with media.Push(source, push_url) as push:
        first = wait_for(lambda: (answer := still()).status_code == 200 and answer, "a still")
        assert first.headers["cache-control"] == "no-cache"
        assert pictures.probe(first.content) == ("mjpeg", pictures.WIDTH, pictures.HEIGHT)
        shown = pictures.number(first.content)
        assert shown % 25 == 0
        # Until the next key frame it is the same, and each one is decoded once however many ask.
        newer = wait_for(lambda: (answer := still(if_none_match=first.headers["etag"])).status_code == 200 and answer, "a newer one")
        assert pictures.number(newer.content) > shown
        wait_for(lambda: still(if_none_match=still().headers["etag"]).status_code == 304, "the same one again")
        assert requests.get(url, params={"x-oss-process": "live/still,w_96,f_png"}, timeout=30).headers["content-type"] == "image/png"
        assert requests.get(url, params={"x-oss-process": "live/still,t_1"}, timeout=30).status_code == 400
        push.interrupt()
    wait_for(lambda: bucket.get_live_channel_stat("cam").status == "Idle", "idle")
    # Afterwards it is the last one that was recorded.
    last = still()
    assert last.status_code == 200 and pictures.number(last.content) >= pictures.number(newer.content)
    assert pictures.number(last.content) % 25 == 0
    start = int(time.time()) - 60
    bucket.post_vod_playlist("cam", "vod.m3u8", start, start + 120)
    vod = requests.get(url.replace("playlist.m3u8", "vod.m3u8"), params={"x-oss-process": "live/still"}, timeout=30)
    assert vod.status_code == 400, "not the playlist of a push"
    bucket.put_bucket_acl(oss2.BUCKET_ACL_PRIVATE)
    assert still().status_code == 403


def cues(text: str) -> "list[tuple[float, float, str, tuple]]":
    """The cues of a WebVTT track: start and end in seconds, URL and rectangle."""
    lines = text.split("\n")
    assert lines[0] == "WEBVTT" and lines[1] == ""
    found = []
    for block in text.split("\n\n")[1:]:
        times, target = block.strip().split("\n")
        start, end = (
            sum(float(part) * 60**power for power, part in enumerate(reversed(clock.split(":"))))
            for clock in re.fullmatch(r"(\S+) --> (\S+)", times).groups()
        )
        url, rectangle = target.split("#xywh=")
        found.append((start, end, url, tuple(int(side) for side in rectangle.split(","))))
    return found


def post(server, bucket, key: str, process: str) -> requests.Response:
    """Storyboards take as long as they are."""
    return bucket._do("POST", bucket.bucket_name, key, params={"x-oss-process": process}).response


def test_a_storyboard_of_a_playlist(recorded):
    answer = post(recorded.server, recorded.bucket, recorded.vod, "video/storyboard,interval_2,w_96,h_96")
    assert answer.status_code == 200
    made = answer.json()
    assert (made["status"], made["object"], made["thumbnails"]) == ("OK", "cam/vod.storyboard.vtt", 5)
    assert made["sheets"] == ["cam/vod.storyboard-0.jpg"]
    track = recorded.bucket.get_object(made["object"])
    assert track.headers["content-type"] == "text/vtt"
    found = cues(track.read().decode())
    assert [cue[:3] for cue in found] == [(2.0 * index, 2.0 * index + 2, "vod.storyboard-0.jpg") for index in range(5)]
    sheet = recorded.bucket.get_object(made["sheets"][0])
    assert sheet.headers["content-type"] == "image/jpeg"
    body = sheet.read()
    codec, width, height = pictures.probe(body)
    assert (codec, width, height) == ("mjpeg", 960, 96)
    # Each rectangle lies within the sheet and shows its key frame.
    pixels = pictures.gray(body, width, height)
    for index, (_, _, _, (x, y, w, h)) in enumerate(found):
        assert (w, h) == (96, 48) and x + w <= width and y + h <= height
        row = pixels[(y + h // 2) * width + x : (y + h // 2) * width + x + w]
        levels = [sum(row[8 * bit + 2 : 8 * bit + 6]) / 4 for bit in range(pictures.BITS)]
        assert sum(1 << bit for bit, level in enumerate(levels) if level > 120) == index * pictures.GOP


def test_who_may_not_write_gets_no_storyboard(server, recorded):
    name = recorded.bucket.bucket_name
    assert recorded.get(recorded.vod, "video/storyboard", "POST").status_code == 403
    user = new_user(server)
    user.allow("read", statement("Allow", "oss:GetObject", f"acs:oss:*:*:{name}/*"))
    client = user.key().bucket(server, name)
    for process, status in (("video/storyboard", 403), ("video/storyboard,interval_0", 400), ("video/storyboard,x_1", 400)):
        with pytest.raises(oss2.exceptions.OssError) as refused:
            post(server, client, recorded.vod, process)
        assert refused.value.status == status, process
    with pytest.raises(oss2.exceptions.OssError) as refused:
        post(server, recorded.bucket, recorded.segments[0], "video/storyboard")
    assert refused.value.status == 400
