"""An installation to be measured: private engines that count what they do, and so many servers on them, or one machine with SQLite and files."""

import http.client
import os
import re
import secrets
import shutil
import subprocess
import sys
import time

from harness import ROOT, Millpond, cpu_seconds

sys.path.insert(0, str(ROOT / "conformance/cluster"))

from engines import BUCKET as STORE_BUCKET  # noqa: E402
from engines import PASSWORD, S3_KEY, S3_SECRET, Postgres, Seaweed, free_port, tool  # noqa: E402


def missing():
    """What is not installed, in words."""
    try:
        tool("postgres", "/usr/lib/postgresql/*/bin/postgres")
        tool("weed")
    except FileNotFoundError as error:
        return str(error)
    return None


class Engines:
    """A new PostgreSQL and a new SeaweedFS."""

    def __init__(self, folder):
        # The database runs as another user, who has to reach its folder.
        for parent in (folder, *folder.parents[:2]):
            parent.chmod(parent.stat().st_mode | 0o055)
        self.metrics_port = free_port()
        self.postgres = Postgres(folder / "postgres", "-c shared_preload_libraries=pg_stat_statements").make()
        self.seaweed = Seaweed(folder / "seaweed", (f"-metricsPort={self.metrics_port}",)).start()
        self.seaweed.make_bucket()
        self.sql("CREATE EXTENSION pg_stat_statements")

    def sql(self, text):
        command = [str(self.postgres.programs / "psql"), "-qAtX", "-F", "\x1f", "-h", "127.0.0.1", "-p", str(self.postgres.port)]
        command += ["-U", "mill", "-d", "postgres", "-c", text]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PGPASSWORD": PASSWORD})
        if done.returncode:
            raise RuntimeError(done.stderr)
        return [line.split("\x1f") for line in done.stdout.splitlines()]

    def counts(self, schema):
        """What the engines have done for an installation, by what it is."""
        found = {"batches": 0, "batch ms": 0, "point reads": 0, "statements": 0, "PUT": 0, "GET": 0}
        for query, calls, spent_ms in self.sql(
            "SELECT replace(substr(query, 1, 4000), '\n', ' '), sum(calls), sum(total_exec_time) FROM pg_stat_statements "
            "WHERE query NOT LIKE '%pg_stat%' GROUP BY 1"
        ):
            if schema in query:
                found["statements"] += int(calls)
                if "apply_1" in query:
                    found["batches"] += int(calls)
                    found["batch ms"] += float(spent_ms)
                elif "k = ANY" in query:
                    found["point reads"] += int(calls)
        tables = f"SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE schemaname = '{schema}' AND relname"
        found["rows"] = int(self.sql(f"{tables} = 'kv'")[0][0])
        found["rows that stay"] = int(self.sql(f"{tables} = 'kv'".replace("+ n_tup_upd + n_tup_del", "- n_tup_del"))[0][0])
        found["bytes that stay"] = int(self.sql(f"SELECT pg_total_relation_size('{schema}.kv')")[0][0])
        found["other rows"] = int(self.sql(f"{tables} <> 'kv'")[0][0])
        found["WAL"] = int(self.sql("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")[0][0])
        found["deadlocks"] = int(self.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'")[0][0])
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=10)
        connection.request("GET", "/metrics")
        for labels, value in re.findall(r"^SeaweedFS_s3_request_total\{([^}]*)\} (\S+)", connection.getresponse().read().decode(), re.M):
            action = re.search(r'type="(\w+)"', labels)[1]
            found[action] = found.get(action, 0) + int(float(value))
        found["CPU of PostgreSQL"] = self.postgres_cpu()
        found["CPU of SeaweedFS"] = cpu_seconds(self.seaweed.process.pid)
        return found

    def postgres_cpu(self):
        pid, spent = self.postgres.pid, 0.0
        listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
        for one in [pid, *listed]:
            try:
                spent += cpu_seconds(one)
            except OSError:
                pass
        return spent

    def stop(self):
        self.seaweed.kill()
        self.postgres.stop()


class Installation:
    """So many servers on the engines, or, with none, one machine with files."""

    def __init__(self, args, engines, count, name):
        self.args, self.engines, self.schema = args, engines if count else None, name
        self.folder, self.servers = args.scratch / name, []
        self.environment = {}
        if count:
            self.environment = {
                "MILLPOND_META": f"{engines.postgres.url}?schema={name}",
                "MILLPOND_BLOBS": f"s3://{STORE_BUCKET}/{name}?endpoint=http://127.0.0.1:{engines.seaweed.port}",
                "PGPASSWORD": PASSWORD,
                "AWS_ACCESS_KEY_ID": S3_KEY,
                "AWS_SECRET_ACCESS_KEY": S3_SECRET,
                "MILLPOND_SECRETS_KEY": secrets.token_hex(32),
            }
            subprocess.run([str(args.millpond), "store", "init"], env={**os.environ, **self.environment}, check=True, capture_output=True)
        for number in range(max(count, 1)):
            self.add(number)
        self.first.create_channels([], 2)

    @property
    def first(self):
        return self.servers[0]

    def add(self, number):
        server = Millpond(self.args.millpond, self.folder / str(number), environment=self.environment)
        self.servers.append(server)
        return server

    def shared(self, number):
        """The servers and what each gets of so many."""
        counts = [number // len(self.servers) + (at < number % len(self.servers)) for at in range(len(self.servers))]
        return [(server, count) for server, count in zip(self.servers, counts) if count]

    def push(self, sample, kind, number, *words):
        """So many publishers of new channels; one process for each server."""
        pushes = []
        for at, (server, count) in enumerate(self.shared(number)):
            self.first.create_channels([f"{kind}-{at}-{n}" for n in range(count)], 2)
            command = [str(self.args.millpond), "publish", server.push_url(f"{kind}-{at}-{{n}}"), "--publishers", str(count), *words]
            command += ["--file", str(sample), "--rounds", "0"]
            pushes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return pushes

    def total(self, metric):
        found = 0.0
        for server in self.servers:
            found += sum(float(value) for value in re.findall(rf"^{metric}(?:\{{[^}}]*\}})? (\S+)", server.metrics(), re.M))
        return found

    def counts(self):
        found = self.engines.counts(self.schema) if self.engines else {}
        found["CPU of Millpond"] = sum(cpu_seconds(server.pid) for server in self.servers)
        found["segments"] = self.total("millpond_segments_total")
        found["commits"] = self.total("millpond_metadata_commit_seconds_count")
        found["at"] = time.monotonic()
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
