"""What many paced publishers cost, beside nginx-rtmp with HLS on (libnginx-mod-rtmp), in one run.

publishers   CPU of the server, in percent of one core, and resident memory for each publisher, with 100, 300 and 1,000
             publishers of 0.9 Mbit/s (1280x720, 25 pictures a second, key frames every 2 s, AAC), pushed at the pace of
             life by one process of their own. Both write segments of 2 s; Millpond is durable, nginx never flushes.
             Medians of the rounds, the servers taking turns.
"""

import os
import shutil
import socket
import statistics
import subprocess
import time

from harness import Millpond, cpu_seconds, resident_kib, run, say

COUNTS = (100, 300, 1000)
SECONDS = 12
MODULES = ("/usr/lib/nginx/modules/ngx_rtmp_module.so", "/usr/lib64/nginx/modules/ngx_rtmp_module.so")


class NginxRtmp:
    """nginx with RTMP in and HLS out. One worker: with more, each has channels of its own, and nothing else changes."""

    def __init__(self, directory):
        module = next((path for path in MODULES if os.path.exists(path)), None)
        if module is None:
            raise RuntimeError("nginx has no RTMP module: scripts/setup-bench.sh installs it")
        directory.mkdir(parents=True)
        (directory / "hls").mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        config = directory / "nginx.conf"
        config.write_text(
            f"load_module {module};\ndaemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log crit;\n"
            "worker_rlimit_nofile 20000;\nevents { worker_connections 4096; }\n"
            f"rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; chunk_size 60000; application live {{ live on;\n"
            f"  hls on; hls_path {directory}/hls; hls_fragment 2s; hls_playlist_length 20s; hls_nested on; }} }} }}\n"
        )
        binary = shutil.which("nginx") or "/usr/sbin/nginx"
        self.child = subprocess.Popen([binary, "-p", str(directory), "-c", str(config)], stderr=subprocess.DEVNULL)
        self.pid = self.child.pid
        self.url = f"rtmp://127.0.0.1:{port}/live/ch{{n}}"
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.child.kill()
        raise RuntimeError(f"nginx does not listen: see {directory}/error.log")

    def stop(self):
        self.child.terminate()
        self.child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def make_sample(path, seconds=24):
    """0.9 Mbit/s, as an encoder at home sends it."""
    if path.exists():
        return
    run(
        ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate=25:duration={seconds}", "-f", "lavfi", "-i",
         f"sine=frequency=440:sample_rate=44100:duration={seconds}", "-vf", "noise=alls=6:allf=t", "-c:v", "libx264", "-preset",
         "veryfast", "-b:v", "800k", "-maxrate", "800k", "-bufsize", "800k", "-bf", "2", "-g", "50", "-keyint_min", "50",
         "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "96k", "-f", "flv", str(path)]
    )  # fmt: skip


def publishers(args, sample, url, count):
    command = [str(args.millpond), "publish", url, "--file", str(sample), "--rounds", "0", "--publishers", str(count)]
    return subprocess.Popen(command, env={**os.environ}, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measured(args, sample, server, url, count):
    """CPU in percent of a core, and KiB for each publisher."""
    time.sleep(1)
    idle = resident_kib(server.pid)
    pushes = publishers(args, sample, url, count)
    try:
        time.sleep(6 + count / 100)
        before, begun = cpu_seconds(server.pid), time.monotonic()
        time.sleep(SECONDS)
        spent = (cpu_seconds(server.pid) - before) / (time.monotonic() - begun)
        if pushes.poll() is not None:
            raise RuntimeError("the publishers ended early")
        return 100 * spent, (resident_kib(server.pid) - idle) / count
    finally:
        pushes.terminate()
        pushes.wait()


def rows(args, _only):
    sample = args.scratch.parent / "publishers.flv"
    make_sample(sample)
    found = []
    for count in COUNTS:
        costs = {"nginx-rtmp": [], "millpond": []}
        for number in range(min(args.rounds, 3)):
            with NginxRtmp(args.scratch / f"nginx-{count}-{number}") as nginx:
                costs["nginx-rtmp"].append(measured(args, sample, nginx, nginx.url, count))
            with Millpond(args.millpond, args.scratch / f"millpond-{count}-{number}") as millpond:
                millpond.create_channels([f"ch{n}" for n in range(count)], 2)
                costs["millpond"].append(measured(args, sample, millpond, millpond.push_url("ch{n}"), count))
            say(f"{count} publishers: nginx-rtmp {costs['nginx-rtmp'][-1]}, millpond {costs['millpond'][-1]}")
        cpu = {name: statistics.median(one[0] for one in seen) for name, seen in costs.items()}
        memory = {name: statistics.median(one[1] for one in seen) for name, seen in costs.items()}
        found += [
            (f"{count} publishers, nginx-rtmp with HLS", f"{cpu['nginx-rtmp']:.0f} % of a core, {memory['nginx-rtmp']:.0f} KiB each", ""),
            (f"{count} publishers, Millpond, durable", f"{cpu['millpond']:.0f} % of a core, {memory['millpond']:.0f} KiB each", "192 KiB"),
            (f"{count} publishers, Millpond : nginx-rtmp", f"{cpu['millpond'] / cpu['nginx-rtmp']:.2f}", "at most 0.6"),
        ]
    return found
