"""OBS Studio as an encoder: the real program on a virtual screen, with a profile and a scene of the test's own."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from pathlib import Path
from typing import Optional

# Smaller than a window's furniture needs: the picture is drawn by a software GL.
WIDTH, HEIGHT, RATE = 320, 180, 30
KEY_FRAME_SECONDS = 2

# Profile and scene collection have this name, in files and inside them.
NAME = "test"

GLOBAL_INI = f"""[General]
FirstRun=true
EnableAutoUpdates=false
ConfirmOnExit=false

[Basic]
Profile={NAME}
ProfileDir={NAME}
SceneCollection={NAME}
SceneCollectionFile={NAME}

[OBSWebSocket]
FirstLoad=false
ServerEnabled=false
"""

PROFILE_INI = f"""[General]
Name={NAME}

[Output]
Mode=Simple
Reconnect=true
RetryDelay=1

[SimpleOutput]
StreamEncoder=x264
VBitrate=800
ABitrate=96
UseAdvanced=true
Preset=veryfast
x264Settings=keyint={RATE * KEY_FRAME_SECONDS} scenecut=0 bframes=2

[Video]
BaseCX={WIDTH}
BaseCY={HEIGHT}
OutputCX={WIDTH}
OutputCY={HEIGHT}
FPSType=0
FPSCommon={RATE}

[Audio]
SampleRate=44100
ChannelSetup=Stereo
"""


def _scene(media: Path) -> dict:
    """One scene that shows a file over and over, with its sound."""
    file = {"local_file": str(media), "is_local_file": True, "looping": True, "hw_decode": False}
    item = {"name": "Media", "id": 1, "visible": True, "pos": {"x": 0.0, "y": 0.0}, "scale": {"x": 1.0, "y": 1.0}}
    return {
        "name": NAME,
        "current_scene": "Scene",
        "current_program_scene": "Scene",
        "scene_order": [{"name": "Scene"}],
        "sources": [
            {"id": "ffmpeg_source", "versioned_id": "ffmpeg_source", "name": "Media", "settings": file, "mixers": 1, "volume": 1.0},
            {"id": "scene", "versioned_id": "scene", "name": "Scene", "settings": {"items": [item], "id_counter": 1}},
        ],
    }


class Obs:
    """A running OBS that streams the file `media` in a loop from the moment it starts; `folder` becomes its home."""

    def __init__(self, folder: Path, server: str, key: str, media: Path):
        """`server` and `key` are what a user enters under Settings, Stream, Custom."""
        self.log_path = folder / "obs.log"
        home = folder / "home"
        configuration = home / ".config" / "obs-studio"
        profile = configuration / "basic" / "profiles" / NAME
        scenes = configuration / "basic" / "scenes"
        profile.mkdir(parents=True)
        scenes.mkdir(parents=True)
        (configuration / "global.ini").write_text(GLOBAL_INI)
        (profile / "basic.ini").write_text(PROFILE_INI)
        service = {"type": "rtmp_custom", "settings": {"server": server, "key": key, "use_auth": False}}
        (profile / "service.json").write_text(json.dumps(service))
        (scenes / f"{NAME}.json").write_text(json.dumps(_scene(media)))
        runtime = folder / "run"
        runtime.mkdir(mode=0o700)
        self.process: Optional[subprocess.Popen] = None
        self._screen, display = _screen(folder / "xvfb.log")
        environment = {
            **os.environ,
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "XDG_RUNTIME_DIR": str(runtime),
            "DISPLAY": display,
            "QT_QPA_PLATFORM": "xcb",
            "LIBGL_ALWAYS_SOFTWARE": "1",
        }
        command = [
            "obs", "--startstreaming", "--minimize-to-tray", "--multi", "--disable-shutdown-check", "--disable-updater",
            "--profile", NAME, "--collection", NAME,
        ]  # fmt: skip
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=home
            )

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def running(self) -> bool:
        return self.process.poll() is None

    def quit(self) -> None:
        """As a user closes the window while streaming. OBS 29 now and then falls over or hangs while it tears itself down,
        which is its own affair: then it is ended as the system would, and what it had sent must be whole all the same."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(8)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)

    def __enter__(self) -> "Obs":
        return self

    def __exit__(self, *_) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        # Asked to end, Xvfb takes its lock and its socket away; killed, it leaves both in the way of the next.
        self._screen.terminate()
        self._screen.wait(20)


def _screen(log_path: Path) -> "tuple[subprocess.Popen, str]":
    """A virtual screen on a free display number, which Xvfb chooses and tells."""
    reader, writer = os.pipe()
    try:
        with log_path.open("wb") as log:
            screen = subprocess.Popen(
                ["Xvfb", "-displayfd", str(writer), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, pass_fds=[writer],
            )  # fmt: skip
        # The number and its line end are two writes; whoever stops reading between them ends Xvfb.
        number = ""
        while not number.endswith("\n") and select.select([reader], [], [], 20)[0]:
            number += os.read(reader, 16).decode()
            if screen.poll() is not None:
                break
    finally:
        os.close(writer)
        os.close(reader)
    if not number.endswith("\n"):
        screen.kill()
        screen.wait()
        raise AssertionError(f"Xvfb did not start:\n{log_path.read_text(errors='replace')[-2000:]}")
    return screen, f":{number.strip()}"

