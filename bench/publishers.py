"""What many paced publishers cost, beside nginx-rtmp with HLS on (libnginx-mod-rtmp), in one run.

publishers   CPU of the server, in percent of one core, and resident memory for each publisher, with 100, 300 and 1,000
             publishers of 0.9 Mbit/s (1280x720, 25 pictures a second, key frames every 2 s, AAC), pushed at the pace of
             life by one process of their own. Both write segments of 2 s; Millpond is durable, nginx never flushes.
             Medians of the rounds, the servers taking turns.
lag          From the last byte of a key frame that was sent to the playlist that lists its segment, read over HTTP by the
             clock of the client, while the publishers run (Millpond only).
"""

import http.client
import os
import re
import shutil
import socket
import statistics
import subprocess
import threading
import time

from harness import BUCKET, Millpond, cpu_seconds, resident_kib, run, say

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


def make_sample(path):
    """0.9 Mbit/s, as an encoder at home sends it."""
    if path.exists():
        return
    run(
        ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25:duration=24", "-f", "lavfi", "-i",
         "sine=frequency=440:sample_rate=44100:duration=24", "-vf", "noise=alls=6:allf=t", "-c:v", "libx264", "-preset",
         "veryfast", "-b:v", "800k", "-maxrate", "800k", "-bufsize", "800k", "-bf", "2", "-g", "50", "-keyint_min", "50",
         "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "96k", "-f", "flv", str(path)]
    )  # fmt: skip


def publishers(args, sample, url, count):
    command = [str(args.millpond), "publish", url, "--file", str(sample), "--rounds", "0", "--publishers", str(count)]
    return subprocess.Popen(command, env={**os.environ}, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measured(args, sample, server, url, count, watch=None):
    """CPU in percent of a core, and KiB for each publisher."""
    time.sleep(1)
    idle = resident_kib(server.pid)
    pushes = publishers(args, sample, url, count)
    try:
        time.sleep(6 + count / 100)
        before, begun = cpu_seconds(server.pid), time.monotonic()
        lags = watch(SECONDS) if watch else time.sleep(SECONDS)
        spent = (cpu_seconds(server.pid) - before) / (time.monotonic() - begun)
        if pushes.poll() is not None:
            raise RuntimeError("the publishers ended early")
        return 100 * spent, (resident_kib(server.pid) - idle) / count, lags
    finally:
        pushes.terminate()
        pushes.wait()


def rows(args, _only):
    sample = args.scratch.parent / "publishers.flv"
    make_sample(sample)
    found = []
    for count in COUNTS:
        costs = {"nginx-rtmp": [], "millpond": []}
        lags = []
        for number in range(min(args.rounds, 3)):
            with NginxRtmp(args.scratch / f"nginx-{count}-{number}") as nginx:
                costs["nginx-rtmp"].append(measured(args, sample, nginx, nginx.url, count)[:2])
            shutil.rmtree(args.scratch / f"nginx-{count}-{number}", ignore_errors=True)
            with Millpond(args.millpond, args.scratch / f"millpond-{count}-{number}") as millpond:
                millpond.create_channels([f"ch{n}" for n in range(count)], 2)
                *cost, seen = measured(args, sample, millpond, millpond.push_url("ch{n}"), count, Watcher(millpond).watch)
                costs["millpond"].append(tuple(cost))
                lags += seen
            shutil.rmtree(args.scratch / f"millpond-{count}-{number}", ignore_errors=True)
            say(f"{count} publishers: nginx-rtmp {costs['nginx-rtmp'][-1]}, millpond {costs['millpond'][-1]}")
        cpu = {name: statistics.median(one[0] for one in seen) for name, seen in costs.items()}
        memory = {name: statistics.median(one[1] for one in seen) for name, seen in costs.items()}
        found += [
            (f"{count} publishers, nginx-rtmp with HLS", f"{cpu['nginx-rtmp']:.0f} % of a core, {memory['nginx-rtmp']:.0f} KiB each", ""),
            (f"{count} publishers, Millpond, durable", f"{cpu['millpond']:.0f} % of a core, {memory['millpond']:.0f} KiB each", "192 KiB"),
            (f"{count} publishers, Millpond : nginx-rtmp", f"{cpu['millpond'] / cpu['nginx-rtmp']:.2f}", "at most 0.6"),
        ]
        if lags:
            lags.sort()
            p99 = lags[min(len(lags) - 1, int(len(lags) * 0.99))]
            goal = "" if count < 300 else f"p99 at most {50 if count == 300 else 100} ms"
            shown = f"p50 {1000 * statistics.median(lags):.0f} ms, p99 {1000 * p99:.0f} ms ({len(lags)} segments)"
            found.append((f"{count} publishers: last byte of a key frame sent to playlist read", shown, goal))
    return found


class Watcher:
    """Pushes one stream of its own and polls its playlist: what lies between a key frame sent and its segment listed."""

    def __init__(self, millpond):
        self.millpond = millpond
        millpond.create_channels(["watched"], 2)

    def watch(self, seconds):
        sent, listed, stop = [], [], threading.Event()
        poller = threading.Thread(target=self._poll, args=(listed, stop))
        poller.start()
        try:
            relay(self.millpond, sent, seconds)
        finally:
            time.sleep(1)
            stop.set()
            poller.join()
        # The first key frame opens the first segment; each later one closes the segment before it.
        return [at_listed - at_sent for at_sent, at_listed in zip(sent[1:], listed)]

    def _poll(self, listed, stop):
        host, port = self.millpond.http.split(":")
        connection = http.client.HTTPConnection(host, int(port))
        known = 0
        while not stop.is_set():
            connection.request("GET", f"/{BUCKET}/watched/playlist.m3u8")
            answer = connection.getresponse()
            text = answer.read().decode()
            now = time.monotonic()
            sequence = re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)
            count = (int(sequence[1]) if sequence else 0) + len(re.findall(r"^#EXTINF", text, re.M)) if answer.status == 200 else 0
            while known < count:
                known += 1
                listed.append(now)
            time.sleep(0.002)


def relay(millpond, sent, seconds):
    """ffmpeg pushes through a socket of ours, which notes when the last byte of each key frame has gone to the server."""
    host, port = millpond.rtmp.split(":")
    listener = socket.create_server(("127.0.0.1", 0))
    front = listener.getsockname()[1]
    url = millpond.push_url("watched").replace(f":{port}/", f":{front}/")
    # Key frames stand out by their size: ffmpeg sends a packet with few writes, and after a key frame there is a pause of
    # 40 ms, so the end of a burst that carries more than a quarter of a key frame is the end of the key frame.
    command = ["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25", "-c:v", "libx264", "-preset",
               "ultrafast", "-tune", "zerolatency", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-t", str(seconds),
               "-pix_fmt", "yuv420p", "-flush_packets", "1", "-f", "flv", url]  # fmt: skip
    encoder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    inside, _ = listener.accept()
    outside = socket.create_connection((host, int(port)))
    threading.Thread(target=pump, args=(outside, inside), daemon=True).start()
    burst, last = 0, 0.0
    threshold = 12_000
    inside.settimeout(0.015)
    while True:
        try:
            data = inside.recv(1 << 20)
        except TimeoutError:
            if burst > threshold:
                sent.append(last)
            burst = 0
            continue
        if not data:
            break
        outside.sendall(data)
        last = time.monotonic()
        burst += len(data)
    outside.close()
    encoder.wait()


def pump(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
    except OSError:
        pass
