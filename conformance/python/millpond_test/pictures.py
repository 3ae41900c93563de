"""Pictures that servers make: videos whose frames say which one they are, and what a picture of one shows."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import List, Optional

from . import media

RATE = 25
GOP = 50
"""Pictures from one key frame to the next: two seconds."""
BITS = 12
WIDTH, HEIGHT = 192, 96


def make_numbered(path: Path, seconds: int = 10, gop: int = GOP, options: Optional[List[str]] = None) -> Path:
    """H.264 with B-frames, whose columns of 16 pixels are the bits of the number of the frame, the lowest first."""
    luma = "if(mod(floor(N/pow(2\\,floor(X/16)))\\,2)\\,200\\,40)"
    command = [
        "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"color=size={WIDTH}x{HEIGHT}:rate={RATE}:duration={seconds}",
        "-vf", f"format=gray,geq=lum={luma},format=yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-bf", "2",
        "-g", str(gop), "-keyint_min", str(gop), "-sc_threshold", "0", *(options or ["-pix_fmt", "yuv420p"]), "-f", "flv", str(path),
    ]  # fmt: skip
    made = media.run(command)
    assert made.returncode == 0, made.stderr
    return path


def gray(picture: bytes, width: int, height: int) -> bytes:
    """The picture as ffmpeg reads it, one byte a pixel, scaled."""
    with tempfile.NamedTemporaryFile(suffix=".png" if picture.startswith(b"\x89PNG") else ".jpg") as file:
        file.write(picture)
        file.flush()
        done = subprocess.run(
            ["ffmpeg", "-v", "error", "-i", file.name, "-vf", f"scale={width}:{height}", "-f", "rawvideo", "-pix_fmt", "gray", "-"],
            capture_output=True, timeout=30, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert len(done.stdout) == width * height
    return done.stdout


def number(picture: bytes) -> int:
    """Which frame of a numbered video a picture shows; sizes do not matter."""
    pixels = gray(picture, WIDTH, HEIGHT)
    row = pixels[HEIGHT // 2 * WIDTH : (HEIGHT // 2 + 1) * WIDTH]
    levels = [sum(row[16 * bit + 4 : 16 * bit + 12]) / 8 for bit in range(BITS)]
    assert all(level < 90 or level > 150 for level in levels), levels
    return sum(1 << bit for bit, level in enumerate(levels) if level > 120)


def probe(picture: bytes) -> "tuple[str, int, int]":
    """Codec and size, as ffprobe says."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(picture)
        file.flush()
        done = media.run(
            ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0", file.name]
        )
    assert done.returncode == 0 and not done.stderr, done.stderr
    codec, width, height = done.stdout.strip().split(",")
    return codec, int(width), int(height)
