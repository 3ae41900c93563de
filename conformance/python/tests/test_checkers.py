"""The strict readers themselves: each rule that they enforce is broken here once, so that a silent checker cannot pass for a clean stream."""

import pytest

from millpond_test import media
from millpond_test.playlist import Malformed, Playlist, violations
from millpond_test.ts import check
from millpond_test.workload import body, is_body


def playlist(sequence: int, *segments: str, target: int = 2, discontinuities: int = 0, end: bool = False) -> Playlist:
    """`1000:2.000` is a segment, `!1000:2.000` one behind a discontinuity."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-MEDIA-SEQUENCE:{sequence}"]
    lines += [f"#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}"] if discontinuities else []
    lines += [f"#EXT-X-TARGETDURATION:{target}"]
    for segment in segments:
        name, duration = segment.lstrip("!").split(":")
        lines += ["#EXT-X-DISCONTINUITY"] if segment.startswith("!") else []
        lines += [f"#EXTINF:{duration},", f"{name}.ts"]
    return Playlist.parse("\n".join(lines + (["#EXT-X-ENDLIST"] if end else []) + [""]))


FIRST = playlist(4, "1:2.000", "2:2.000", "3:2.000")


@pytest.mark.parametrize(
    "name, previous, following",
    [
        ("a longer segment than the target", None, playlist(0, "1:2.500")),
        ("an empty segment", None, playlist(0, "1:0.000")),
        ("a segment twice", None, playlist(0, "1:2.000", "1:2.000")),
        ("falling numbers", None, playlist(0, "2:2.000", "1:2.000")),
        ("a falling sequence", FIRST, playlist(3, "1:2.000", "2:2.000", "3:2.000", "4:2.000")),
        ("a removed segment that was not counted", FIRST, playlist(4, "2:2.000", "3:2.000", "4:2.000")),
        ("a segment that became longer", FIRST, playlist(5, "2:2.100", "3:2.000", "4:2.000")),
        ("a vanished newest segment", FIRST, playlist(4, "1:2.000", "2:2.000")),
        ("another target", FIRST, playlist(5, "2:2.000", "3:2.000", "4:2.000", target=3)),
        ("a discontinuity that was not counted", playlist(4, "1:2.000", "!2:2.000", "3:2.000"), playlist(6, "3:2.000", "4:2.000")),
        ("a change behind the end", playlist(4, "1:2.000", end=True), playlist(4, "1:2.000", "2:2.000")),
        ("a renumbered segment", FIRST, playlist(9, "3:2.000", "4:2.000")),
    ],
)
def test_a_broken_playlist_is_seen(name, previous, following):
    assert violations(following, previous) != [], name


@pytest.mark.parametrize(
    "following",
    [
        FIRST,
        playlist(5, "2:2.000", "3:2.000", "4:2.000"),
        playlist(5, "2:2.000", "3:2.000", "!4:2.400"),
        playlist(7, "!4:7.000", target=7),
        playlist(12, "9:2.000", "10:2.000"),
    ],
)
def test_a_right_successor_is_not(following):
    assert violations(following, FIRST) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#EXTM3U\n",
        FIRST.text.replace("\n", "\r\n"),
        FIRST.text.rstrip("\n"),
        FIRST.text.replace("2.000", "2.0"),
        FIRST.text.replace("1.ts", "a/1.ts"),
        FIRST.text.replace("#EXT-X-TARGETDURATION:2\n", ""),
        FIRST.text + "#EXT-X-ENDLIST\n3.ts\n",
    ],
)
def test_another_layout_is_malformed(text):
    with pytest.raises(Malformed):
        Playlist.parse(text)


@pytest.fixture(scope="module")
def foreign(short_source, tmp_path_factory):
    """Segments of another muxer, which put SEI before the parameter sets and an SDT before the PAT."""
    folder = tmp_path_factory.mktemp("foreign")
    made = media.run(
        ["ffmpeg", "-v", "error", "-i", str(short_source.path), "-c", "copy", "-f", "hls", "-hls_time", "2", str(folder / "x.m3u8")]
    )
    assert made.returncode == 0, made.stderr
    return [path.read_bytes() for path in sorted(folder.glob("*.ts"))]


def test_another_muxers_faults_are_seen(foreign):
    found = "\n".join(check(foreign).violations)
    assert "the first packet is not the PAT" in found
    assert "SEI before the parameter sets" in found


def packets(data: bytes):
    return [bytearray(data[at : at + 188]) for at in range(0, len(data), 188)]


def pid_of(packet) -> int:
    return (packet[1] & 0x1F) << 8 | packet[2]


@pytest.mark.parametrize(
    "expected, change",
    [
        ("continuity", lambda all: all.pop(40)),
        ("no sync byte", lambda all: all[40].__setitem__(0, 0)),
        ("CRC", lambda all: all[[pid_of(packet) for packet in all].index(0)].__setitem__(12, 0xAA)),
        ("are not whole packets", lambda all: all.append(bytearray(b"\x47"))),
        ("no ADTS header", lambda all: [packet.__setitem__(slice(60, 188), bytes(128)) for packet in all if pid_of(packet) == 257]),
    ],
)
def test_damage_is_seen(foreign, expected, change):
    broken = packets(foreign[0])
    change(broken)
    before = check(foreign).violations
    after = check([b"".join(broken), *foreign[1:]]).violations
    assert any(expected in violation for violation in after if violation not in before), after[:5]


def test_a_missing_clock_is_seen(foreign):
    kept = packets(foreign[0])
    clocks = [packet for packet in kept if packet[3] & 0x20 and packet[4] and packet[5] & 0x10]
    for packet in clocks[1:-1]:
        packet[5] &= 0xEF  # What was the clock reference reads as stuffing now.
    assert any("ms between two PCRs" in violation for violation in check([b"".join(kept)]).violations)


def test_different_frames_are_seen(short_source):
    same = short_source.decoded
    media.assert_same_frames(same, same)
    for wrong in (
        media.Decoded(same.video[:-1], same.audio, ""),
        media.Decoded(same.video, same.audio[1:], ""),
        media.Decoded(same.video[1::-1] + same.video[2:], same.audio, ""),
        media.Decoded(same.video, same.audio, "error"),
    ):
        with pytest.raises(AssertionError):
            media.assert_same_frames(wrong, same)


def test_bytes_that_are_not_of_an_object_are_seen():
    assert is_body("o/1", body("o/1", 7, 300))
    for wrong in (body("o/2", 7, 300), body("o/1", 7, 300)[:-1] + b"x", b"", b"#;", b"o/1#x;", bytes(300)):
        assert not is_body("o/1", wrong)
