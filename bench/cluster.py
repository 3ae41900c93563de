"""Several servers over PostgreSQL and an S3-compatible store, beside one machine with SQLite and files that does the same.

cluster  Private engines that flush what they acknowledge, as in `conformance/cluster`, and one, two and three servers of a new
         installation on them, and one on its own; in turn, as often as there are rounds (three at most), medians. Everything is on this
         machine: servers, PostgreSQL, SeaweedFS, publishers and viewers share its cores, so more servers add no machine, and what
         these figures show is what sharing costs. What engines did is what they count themselves (`pg_stat_statements`, `pg_stat_user_tables`, the metrics of SeaweedFS).

segments   24 publishers that push 0.9 Mbit/s material as fast as it is read, spread over the servers: segments stored and listed a second.
commits    new objects of 4 KiB (a row each, no blob) from 32 clients spread over the servers.
keyframe   60 publishers at the pace of life and eight probes as in `latency`, whose playlists are asked from the next server. The cost of a push is
           what servers and engines do meanwhile, before the probes begin.
get        48 objects of 1 MiB, one after the other: hot from the server that stored them; cold from one that never had them, or, on one machine,
           that has to read them from the disk.
viewers    1,000 connections that ask for one live playlist as fast as it comes, spread over the servers.
list       a page of 1,000 groups of a bucket with a million objects, over HTTP.
"""

import http.client
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import time

from harness import BUCKET, ROOT, oss, say, signed
from installation import Engines, Installation, missing
from latency import Probe, percentile
from objects import SMALL_BYTES, SMALL_SCRIPT, head_of_put
from publishers import make_sample

from millpond_test.pusher import flv_tags

COUNTS = (0, 1, 2, 3)
NAMES = {0: "one machine", 1: "1 server", 2: "2", 3: "3"}
FAST, FAST_SECONDS = 24, 6
PACED, PACED_SECONDS, PROBES, PROBE_SECONDS = 60, 8, 8, 10
CLIENTS, HEADS = 32, 40_000
OBJECTS, OBJECT_BYTES = 48, 1 << 20
VIEWERS = 1000
PAGES = 21
# What one machine has none of.
SHARED_ONLY = (
    "segments a batch", "bytes that stay", "database us", "commits a batch", "commit us", "batch ms", "deadlocks", "store GETs", "queries/s",
    "requests a query",
)  # fmt: skip


def difference(before, after):
    return {name: value - before.get(name, 0) for name, value in after.items()}


def ended(pushes):
    for push in pushes:
        push.terminate()
    for push in pushes:
        push.wait()


def start(commands):
    """Runs of wrk."""
    return [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL) for command in commands]


def finish(wrks):
    """Waits for runs of wrk, of which every request was answered with success."""
    for wrk in wrks:
        said = wrk.communicate()[0]
        if wrk.returncode != 0 or re.search(r"Non-2xx|Socket errors", said):
            raise RuntimeError(f"not all requests succeeded:\n{said}")


def during(installation, seconds):
    before = installation.counts()
    time.sleep(seconds)
    return difference(before, installation.counts())


# --- what is measured ------------------------------------------------------------------------------------------------


def segments(installation, sample):
    pushes = installation.push(sample, "fast", FAST, "--fast")
    try:
        time.sleep(2)
        seen = during(installation, FAST_SECONDS)
    finally:
        ended(pushes)
    done, batches = max(1, seen["commits"]), max(1, seen.get("batches", 1))
    return {
        "segments/s": seen["segments"] / seen["at"],
        "segments a batch": done / batches,
        "bytes that stay": seen.get("bytes that stay", 0) / done,
        "database us": 1e6 * seen.get("CPU of PostgreSQL", 0) / done,
        "deadlocks": seen.get("deadlocks", 0),
    }


def commits(installation):
    folder, commands = installation.folder, []
    for number, (server, clients) in enumerate(installation.shared(CLIENTS)):
        heads = folder / f"heads-{number}"
        count = HEADS // len(installation.servers)
        lines = (head_of_put(server.http, f"{number}/{i}", SMALL_BYTES).replace("\r\n", "|") for i in range(count))
        heads.write_text("\n".join(lines) + "\n")
        script = folder / f"small-{number}.lua"
        script.write_text(SMALL_SCRIPT % (SMALL_BYTES // 16, heads))
        commands.append(["wrk", "-t", "1", "-c", str(clients), "-d", "5s", "-s", str(script), f"http://{server.http}/"])
    wrks = start(commands)
    time.sleep(1)
    seen = during(installation, 3)
    finish(wrks)
    batches = max(1, seen.get("batches", 1))
    return {
        "commits/s": seen["commits"] / seen["at"],
        "commits a batch": seen["commits"] / batches,
        "batch ms": seen.get("batch ms", 0) / batches,
        "commit us": 1e6 * seen.get("CPU of PostgreSQL", 0) / max(1, seen["commits"]),
    }


def keyframe(installation, sample, tags):
    installation.first.create_channels([f"probe{number}" for number in range(PROBES)], 2)
    pushes, probes = installation.push(sample, "paced", PACED), []
    try:
        time.sleep(6)
        cost = during(installation, PACED_SECONDS)
        for number in range(PROBES):
            server = installation.servers[number % len(installation.servers)]
            other = installation.servers[(number + 1) % len(installation.servers)]
            channel = f"probe{number}"
            probes.append(Probe(tags, server.push_url(channel), other.http, channel).start())
            time.sleep(2 / PROBES)
        time.sleep(PROBE_SECONDS)
        if any(push.poll() is not None for push in pushes):
            raise RuntimeError("the publishers ended early")
    finally:
        for probe in probes:
            probe.stop()
        ended(pushes)
    waits = [1000 * wait for probe in probes for wait in probe.waits_s]
    return {"waits": waits, "late": sum(probe.late for probe in probes), "cost": cost}


def read(address, key):
    """Milliseconds of one GET over a new connection."""
    connection = http.client.HTTPConnection(address, timeout=30)
    begun = time.monotonic()
    connection.request("GET", f"/{BUCKET}/{key}")
    answer = connection.getresponse()
    length = len(answer.read())
    if answer.status != 200 or length != OBJECT_BYTES:
        raise RuntimeError(f"GET of {key}: {answer.status}, {length} bytes")
    spent_ms = 1000 * (time.monotonic() - begun)
    connection.close()
    return spent_ms


def gets(installation):
    keys = [f"get-{n}.ts" for n in range(OBJECTS)]
    for key in keys:
        oss(installation.first.http, "PUT", f"/{BUCKET}/{key}", os.urandom(OBJECT_BYTES))
    hot = [read(installation.first.http, key) for key in keys]
    before = installation.counts()
    if installation.engines:
        fresh = installation.add(len(installation.servers))
        cold = [read(fresh.http, key) for key in keys]
        installation.servers.remove(fresh)
        fresh.kill()
    else:
        for path in installation.folder.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        cold = [read(installation.first.http, key) for key in keys]
    return {"hot ms": hot, "cold ms": cold, "store GETs": difference(before, installation.counts()).get("GET", 0) / OBJECTS}


def viewers(installation, sample):
    pushes = installation.push(sample, "watched", 1)
    try:
        time.sleep(5)
        path = installation.folder / "viewers"
        path.write_text(f"/{BUCKET}/watched-0-0/playlist.m3u8\n")
        script = str(ROOT / "bench/viewers.lua")
        wrks = start(
            ["wrk", "-t1", f"-c{count}", "-d6s", "--timeout", "10s", "-s", script, f"http://{server.http}", "--", str(path), "full"]
            for server, count in installation.shared(VIEWERS)
        )
        time.sleep(2)
        answered = installation.total("millpond_http_requests_total")
        seen = during(installation, 3)
        answered = installation.total("millpond_http_requests_total") - answered
        finish(wrks)
    finally:
        ended(pushes)
    reads = seen.get("point reads", 0)
    return {"requests/s": answered / seen["at"], "queries/s": reads / seen["at"], "requests a query": answered / max(1, reads)}


def fill(installation):
    """A million objects in a thousand folders: the row of one that was uploaded, under other names. Uploads would take longer than all the rest."""
    table, key = f"{installation.schema}.kv", f"O{BUCKET}".encode().hex() + "00"
    template = key + b"template".hex()
    if installation.engines:
        installation.engines.sql(
            f"INSERT INTO {table} SELECT '\\x{key}'::bytea || convert_to(format('folder-%s/%s.ts', lpad((n / 1000)::text, 4, '0'), "
            f"lpad((n % 1000)::text, 4, '0')), 'UTF8'), v, version FROM {table}, generate_series(0, 999999) AS n WHERE k = '\\x{template}'; "
            f"DELETE FROM {table} WHERE k = '\\x{template}'; ANALYZE {table}"
        )
        return
    installation.first.stop()
    with sqlite3.connect(next(installation.folder.rglob("meta.sqlite"))) as database:
        (value, version), base = database.execute("SELECT v, version FROM kv WHERE k = ?", (bytes.fromhex(template),)).fetchone(), bytes.fromhex(key)
        names = (base + f"folder-{n // 1000:04}/{n % 1000:04}.ts".encode() for n in range(1_000_000))
        database.executemany("INSERT INTO kv (k, v, version) VALUES (?, ?, ?)", ((name, value, version) for name in names))
        database.execute("DELETE FROM kv WHERE k = ?", (bytes.fromhex(template),))
    database.close()
    installation.first.start()


def lists(args, engines):
    """Milliseconds of a page, and what it took of PostgreSQL, on one machine and on a server."""
    found = {}
    for count in (0, 1):
        with Installation(args, engines, count, f"list{count}") as installation:
            oss(installation.first.http, "PUT", f"/{BUCKET}/template", b"")
            fill(installation)
            times, before = [], installation.counts()
            for _ in range(PAGES):
                begun = time.monotonic()
                groups = page(installation.first.http)
                times.append(1000 * (time.monotonic() - begun))
                if groups != 1000:
                    raise RuntimeError(f"{groups} groups in the page")
            seen = difference(before, installation.counts())
        found[count] = (statistics.median(times), (seen.get("statements", 0) - seen.get("batches", 0)) / PAGES)
    return found


def page(address):
    connection = http.client.HTTPConnection(address, timeout=30)
    # The signature covers no parameter of a list.
    connection.request("GET", f"/{BUCKET}/?delimiter=%2F&max-keys=1000", headers=signed("GET", f"/{BUCKET}/"))
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"the list: {answer.status} {text}")
    return text.count("<CommonPrefixes>")


# --- rows ------------------------------------------------------------------------------------------------------------


def rows(args, _only):
    lacking = missing()
    if lacking:
        say(f"cluster: skipped, {lacking}")
        return [("Several servers", f"not measured: {lacking}", "")]
    sample = args.scratch.parent / "publishers.flv"
    make_sample(sample)
    tags, seen = flv_tags(sample), {count: [] for count in COUNTS}
    rounds = min(args.rounds, 3)
    for number in range(rounds):
        folder = args.scratch / f"engines-{number}"
        folder.mkdir()
        engines = Engines(folder)
        try:
            for count in COUNTS if number % 2 == 0 else reversed(COUNTS):
                with Installation(args, engines, count, f"pond{count}") as installation:
                    found = {**commits(installation), **keyframe(installation, sample, tags), **gets(installation)}
                    found.update({**viewers(installation, sample), **segments(installation, sample)})
                seen[count].append(found)
                shown = {name: value for name, value in found.items() if name not in ("waits", "hot ms", "cold ms")}
                say(f"cluster {number}: {NAMES[count]}: {shown}, p99 {percentile(found['waits'], 0.99):.0f} ms")
            listed = lists(args, engines) if number == rounds - 1 else {}
        finally:
            engines.stop()
            shutil.rmtree(folder, ignore_errors=True)
    return figures(seen, listed)


def median(seen, name, form):
    """One machine, if it has that, then one, two and three servers."""
    values = [f"{statistics.median(found[name] for found in seen[count]):{form}}" for count in COUNTS]
    return f"{'-' if name in SHARED_ONLY else values[0]}; {', '.join(values[1:])}"


def pooled(seen, name, part):
    return {count: percentile([one for found in seen[count] for one in found[name]], part) for count in COUNTS}


def figures(seen, listed):
    beside = "one machine; 1, 2, 3 servers"
    found = []

    def row(what, name, form, unit, goal=""):
        found.append((f"{what}: {beside}", f"{median(seen, name, form)} {unit}", goal))

    def spread(what, name, goal=""):
        half, most = pooled(seen, name, 0.5), pooled(seen, name, 0.99)
        shown = "; ".join(f"p50 {half[count]:.0f}, p99 {most[count]:.0f}" for count in COUNTS)
        found.append((f"{what}: {beside}", f"{shown} ms of {sum(len(one[name]) for one in seen[0])}", goal))

    row(f"Segments stored and listed, {FAST} unpaced pushes of 0.9 Mbit/s", "segments/s", ",.0f", "a second")
    row("The same, commits in a batch of PostgreSQL", "segments a batch", ".1f", "")
    row("The same, CPU of PostgreSQL for each", "database us", ",.0f", "µs")
    row("The same, bytes that the map grows by for each", "bytes that stay", ",.0f", "")
    row(f"Commits, new objects of 4 KiB, {CLIENTS} clients", "commits/s", ",.0f", "a second")
    row("The same, commits in a batch of PostgreSQL", "commits a batch", ".1f", "")
    row("The same, CPU of PostgreSQL for each", "commit us", ",.0f", "µs")
    row("The same, time of a batch, with its wait for those of others", "batch ms", ".1f", "ms")
    row("Deadlocks that PostgreSQL counted", "deadlocks", ".0f", "", "none: there is one order")
    spread(f"Key frame sent to playlist read at the next server, {PACED} publishers, client's clock", "waits", "p99 300 ms")
    spread("GET of 1 MiB, hot", "hot ms")
    spread("GET of 1 MiB, cold", "cold ms")
    row("The same, requests of the store for each cold one (HEAD and GET)", "store GETs", ".2f", "")
    row(f"Live playlist, {VIEWERS} viewers at full speed", "requests/s", ",.0f", "a second")
    row("The same, queries of PostgreSQL", "queries/s", ",.0f", "a second")
    row("The same, requests for each query", "requests a query", ".1f", "")
    if listed:
        (alone, _), (shared, trips) = listed[0], listed[1]
        what = "List page of 1,000 groups over 1,000,000 objects, over HTTP: one machine; 1 server"
        found.append((what, f"{alone:.0f}; {shared:.0f} ms, {trips:.1f} statements of PostgreSQL, of which one asks for the bucket", "5 round trips"))
    return found + cost(seen)


def cost(seen):
    """What a push that is paced costs, each number from the median of the rounds."""
    found = []
    for what, names, form in (
        ("commits", ("commits",), ".2f"),
        ("rows of the map written", ("rows",), ".1f"),
        ("of these rows that stay", ("rows that stay",), ".2f"),
        ("other rows (batches, leases, the sequence)", ("other rows",), ".2f"),
        ("statements of PostgreSQL", ("statements",), ".2f"),
        ("of these batches", ("batches",), ".2f"),
        ("bytes of its log", ("WAL",), ",.0f"),
        ("PUTs of the store", ("PUT",), ".2f"),
        ("other requests of the store", ("GET", "HEAD", "DELETE", "LIST"), ".2f"),
        ("ms of a core, servers", ("CPU of Millpond",), ".2f"),
        ("ms of a core, PostgreSQL", ("CPU of PostgreSQL",), ".2f"),
        ("ms of a core, SeaweedFS", ("CPU of SeaweedFS",), ".2f"),
    ):
        values = {}
        for count in COUNTS:
            each = [sum(one["cost"].get(name, 0) for name in names) / one["cost"]["at"] / PACED for one in seen[count]]
            values[count] = statistics.median(each) * (1000 if what.startswith("ms") else 1)
        shown = ", ".join(f"{values[count]:{form}}" for count in COUNTS[1:])
        only = f"{values[0]:{form}}" if names[0] in ("commits", "CPU of Millpond") else "-"
        found.append((f"A second of a push ({PACED} paced, segments of 2 s), {what}: one machine; 1, 2, 3 servers", f"{only}; {shown}", ""))
    return found
