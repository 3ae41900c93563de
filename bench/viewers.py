"""What a signed playlist costs beside an unsigned one, when a thousand viewers poll a live playlist while it grows.

Server CPU (user and system) for each request, less what the server spends in the same time without viewers. The viewers
are connections of wrk. In each round the kinds take turns, so that a change of the machine's mood meets all of them; the
figure is the median of the rounds' ratios to the unsigned playlist of the public bucket.

same        all viewers have one URL, signed for `x-oss-process=hls/sign` on a private bucket
different   every viewer has a URL of its own

Paced, a viewer polls about every two seconds. At full speed every answer is followed by the next request.
"""

import json
import re
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from harness import ACCESS_KEY_ID, ACCESS_KEY_SECRET, Millpond, oss, say

VIEWERS = 1000
SECONDS = {"paced": 8, "full": 4}
CHANNEL = (
    b"<LiveChannelConfiguration><Target><Type>HLS</Type><FragDuration>2</FragDuration><FragCount>5</FragCount></Target>"
    b"</LiveChannelConfiguration>"
)
KINDS = ("unsigned", "V1, same", "V1, different", "V4, same", "V4, different")
KINDS_AT = {"paced": KINDS, "full": ("unsigned", "V4, same", "V4, different")}


def rows(args, _only):
    with Millpond(args.millpond, args.scratch / "viewers") as millpond:
        for bucket, acl in (("public", "public-read"), ("private", "private")):
            oss(millpond.http, "PUT", f"/{bucket}/", headers={"x-oss-acl": acl})
            oss(millpond.http, "PUT", f"/{bucket}/camera?live", CHANNEL)
        pushes = [
            subprocess.Popen(
                [str(args.millpond), "publish", sign(args, "rtmp", f"{bucket}/camera", "--host", millpond.rtmp_address), "--rounds", "0"],
                stdin=subprocess.DEVNULL,
            )
            for bucket in ("public", "private")
        ]
        try:
            files = make_paths(args, millpond)
            # Until the window is as long as it will be.
            time.sleep(12)
            found = []
            for pace in ("paced", "full"):
                found += compare(args, millpond, files, pace)
            if any(push.poll() is not None for push in pushes):
                raise RuntimeError("a publisher ended early")
        finally:
            for push in pushes:
                push.terminate()
                push.wait()
    return found


def sign(args, *words):
    """What `millpond sign` prints."""
    env = {"OSS_ACCESS_KEY_ID": ACCESS_KEY_ID, "OSS_ACCESS_KEY_SECRET": ACCESS_KEY_SECRET}
    command = [str(args.millpond), "sign", *words]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip()


def make_paths(args, millpond):
    """A file for each kind, with the paths that its viewers ask for."""

    def signed(version, expires):
        words = ("--process", "hls/sign", "--version", version, "--expires", str(expires), "--host", millpond.http)
        url = urlsplit(sign(args, "url", "private/camera/playlist.m3u8", *words))
        return f"{url.path}?{url.query}"

    paths = {"unsigned": ["/public/camera/playlist.m3u8"]}
    with ThreadPoolExecutor(4) as pool:
        for version in ("v1", "v4"):
            paths[f"{version.upper()}, same"] = [signed(version, 7200)]
            paths[f"{version.upper()}, different"] = list(pool.map(lambda n, v=version: signed(v, 7201 + n), range(VIEWERS)))
    files = {}
    for number, kind in enumerate(KINDS):
        files[kind] = args.scratch / f"paths-{number}"
        files[kind].write_text("\n".join(paths[kind]) + "\n")
    return files


def compare(args, millpond, files, pace):
    kinds = KINDS_AT[pace]
    costs = {kind: [] for kind in kinds}
    # The first round fills caches and does not count. More rounds than three would take longer than all other parts.
    for number in range(min(args.rounds, 3) + 1):
        background = measure(millpond, None, pace)[0]
        for kind in kinds:
            cpu, requests, seconds = measure(millpond, files[kind], pace)
            cost = (cpu - background * seconds) / requests * 1e6
            say(f"viewers, {pace} {number}: {kind}: {cost:.1f} µs CPU for a request, {requests / seconds:.0f} requests/s")
            if number:
                costs[kind].append(cost)
    how = "polling every 2 s" if pace == "paced" else "at full speed"
    unsigned = statistics.median(costs["unsigned"])
    found = [(f"Live playlist, {VIEWERS} viewers {how}, unsigned", f"{unsigned:.0f} µs CPU a request", "")]
    for kind in kinds[1:]:
        ratio = statistics.median(cost / base for cost, base in zip(costs[kind], costs["unsigned"]))
        shown = f"{statistics.median(costs[kind]):.0f} µs, {ratio:.2f} times unsigned"
        found.append((f"The same through `hls/sign`, {kind} URL{'s' if 'different' in kind else ''}", shown, "at most 2 times"))
    return found


def measure(millpond, paths, pace):
    """Server CPU, requests and seconds of the middle of a run; without paths, CPU a second of a server without viewers."""
    seconds = SECONDS[pace]
    if paths is None:
        before = process_clock(millpond.pid)
        time.sleep(3)
        return (process_clock(millpond.pid) - before) / 3, 0, 3
    # The connections are made in the seconds before the first sample, and closed after the second.
    lead = 3 if pace == "paced" else 1
    script = str(__file__).replace(".py", ".lua")
    viewers = subprocess.Popen(
        ["wrk", "-t2", f"-c{VIEWERS}", f"-d{seconds + lead + 1}s", "--timeout", "10s", "-s", script, f"http://{millpond.http}",
         "--", str(paths), pace],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(lead)
    first = sample(millpond)
    time.sleep(seconds)
    last = sample(millpond)
    said = json.loads(viewers.communicate()[0].splitlines()[-1])
    if said["failed"] or viewers.returncode:
        raise RuntimeError(f"wrk: {said}")
    return tuple(after - before for before, after in zip(first, last))


def sample(millpond):
    """CPU seconds, requests answered with 200, and the time of now."""
    counted = sum(
        float(value)
        for labels, value in re.findall(r"^millpond_http_requests_total\{([^}]*)\} (\S+)", millpond.metrics(), re.M)
        if 'status="200"' in labels and "Get" in labels
    )
    return process_clock(millpond.pid), counted, time.monotonic()


def process_clock(pid):
    """CPU seconds of a process to the nanosecond: the clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime((~pid << 3) | 2)
