"""Writes the named seeds of the picture targets, from the streams of crates/pictures/testdata. The recordings need ffmpeg."""

import struct
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
STREAMS = HERE.parent / "crates" / "pictures" / "testdata"


def write(target: str, name: str, data: bytes) -> None:
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def units(stream: bytes) -> list[bytes]:
    starts, at = [], stream.find(b"\0\0\0\1\x09")
    while at >= 0:
        starts.append(at)
        at = stream.find(b"\0\0\0\1\x09", at + 4)
    return [stream[a:b] for a, b in zip(starts, starts[1:] + [len(stream)])]


def request(kind: int, size: int, rotation: int, sides: tuple[int, int], parts: list[bytes]) -> bytes:
    head = bytes([kind, 80, size, rotation]) + struct.pack(">II", *sides)
    return head + b"".join(struct.pack(">I", len(part)) + part for part in parts)


def main() -> None:
    for index, path in enumerate(sorted(STREAMS.glob("*.h264"))):
        parts = units(path.read_bytes())
        write("picture_decode", f"{path.stem}-key", request(index % 3, 0, 0, (0, 0), parts[:1]))
        write("picture_decode", f"{path.stem}-three", request(2, index % 4, index % 3, (40, 30), parts[:3]))
    for name, extra in [("frames-in-order", "bframes=0"), ("b-frames", "bframes=3"), ("open-gop", "open-gop=1:bframes=3")]:
        source = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25", "-frames:v", "14", "-pix_fmt", "yuv420p", "-c:v", "libx264"]
        coding = ["-x264-params", f"keyint=6:scenecut=0:threads=1:crf=35:{extra}", "-f", "mpegts", "-"]
        stream = subprocess.run(["ffmpeg", "-v", "error", *source, *coding], check=True, capture_output=True).stdout
        for how, time in [(0, 0), (1, 8), (254, 250)]:
            write("frame_finder", f"{name}-{how}-{time}", bytes([time, how]) + stream)
    for index, text in enumerate(
        [
            "video/snapshot",
            "video/snapshot,t_7000,f_jpg,w_800,h_600,m_fast,ar_auto",
            "video/snapshot,l_640,s_360,ar_h,f_png",
            "video/snapshot,t_-32",
            "video/snapshot,t_1|sys/saveas,o_x",
            "image/resize,w_100",
        ]
    ):
        write("process_parameter", f"{index}", text.encode())


if __name__ == "__main__":
    main()
