"""PostgreSQL with a synchronous standby, and what those do who watch over the two: promote one, make the other its standby again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from engines import PASSWORD, Postgres, alive


class Node(Postgres):
    """One of the two. It knows the other by its port."""

    def __init__(self, folder: Path, name: str):
        super().__init__(folder)
        self.name = name

    def prepare(self) -> None:
        """A folder of the user that PostgreSQL runs as, with a password file for the connection to the other."""
        self.folder.mkdir(parents=True, exist_ok=True)
        passwords = self.folder / "pgpass"
        passwords.write_text(f"*:*:*:mill:{PASSWORD}\n")
        passwords.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.user)
            shutil.chown(passwords, self.user)

    def configure(self, other: "Node") -> None:
        """What both have, so that each can be either. With `synchronous_standby_names` an acknowledged commit is on both disks."""
        lines = [
            # A primary that is started without its standby waits for it with every commit, and so acknowledges none.
            f"synchronous_standby_names = '{other.name}'",
            "synchronous_commit = on",
            f"cluster_name = '{self.name}'",
            f"primary_conninfo = 'host=127.0.0.1 port={other.port} user=mill application_name={self.name} passfile={self.folder}/pgpass'",
            "primary_slot_name = 'other'",
            # What a standby asks for that was away: pg_rewind needs it back to where they parted.
            "wal_keep_size = '512MB'",
            "wal_log_hints = on",
            "max_wal_senders = 4",
            "max_replication_slots = 4",
            "wal_receiver_status_interval = 1s",
            "wal_retrieve_retry_interval = 200ms",
            # A node that says nothing is given up after this.
            "wal_sender_timeout = 5s",
            "wal_receiver_timeout = 5s",
        ]
        own = self.folder / "data" / "millpond.conf"
        own.write_text("\n".join(lines) + "\n")
        main = self.folder / "data" / "postgresql.conf"
        if "millpond.conf" not in main.read_text():
            with main.open("a") as text:
                text.write("include = 'millpond.conf'\n")
        access = self.folder / "data" / "pg_hba.conf"
        if "replication mill" not in access.read_text():
            with access.open("a") as text:
                text.write("host replication mill 127.0.0.1/32 scram-sha-256\n")
        if os.geteuid() == 0:
            shutil.chown(own, self.user)

    def query(self, text: str, timeout_s: float = 10) -> str:
        """The first column of what a statement returns."""
        asked = subprocess.run(
            [str(self.programs / "psql"), "-XAtqw", "-h", "127.0.0.1", "-p", str(self.port), "-U", "mill", "-c", text, "postgres"],
            capture_output=True, text=True, timeout=timeout_s, env={**os.environ, "PGPASSWORD": PASSWORD},
        )  # fmt: skip
        assert asked.returncode == 0, asked.stderr
        return asked.stdout.strip()

    def pause(self) -> "list[int]":
        """SIGSTOP of every process: connections stay, and nobody answers. The operator's `resume` takes what this returns."""
        pids = [pid for pid in self.pids() if alive(pid)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        return pids

    @staticmethod
    def resume(pids: "list[int]") -> None:
        # Those of clients first, so that the first of all finds them as it left them.
        for pid in reversed(pids):
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass


class Pair:
    """A primary and its synchronous standby; after a fail-over they have changed places."""

    def __init__(self, folder: Path):
        self.one, self.two = Node(folder / "one", "one"), Node(folder / "two", "two")
        self.primary, self.standby = self.one, self.two

    @property
    def nodes(self) -> "tuple[Node, Node]":
        return self.one, self.two

    def make(self) -> "Pair":
        self.primary.make()
        self.primary.prepare()
        self.primary.query("SELECT pg_create_physical_replication_slot('other')")
        self.primary.configure(self.standby)
        # From this start on commits wait for the standby.
        self.primary.stop()
        self.primary.start()
        self._copy()
        self.wait_in_step()
        return self

    def _copy(self) -> None:
        """A new standby from a copy of the primary's folder."""
        standby, data = self.standby, self.standby.folder / "data"
        standby.prepare()
        shutil.rmtree(data, ignore_errors=True)
        standby._run(
            "env", f"PGPASSFILE={standby.folder}/pgpass", str(standby.programs / "pg_basebackup"), "-D", str(data), "-h", "127.0.0.1",
            "-p", str(self.primary.port), "-U", "mill", "-w", "-c", "fast", "-X", "stream",
        )  # fmt: skip
        self._follow()

    def _follow(self) -> None:
        """Starts the standby as one."""
        standby = self.standby
        standby.configure(self.primary)
        signal_file = standby.folder / "data" / "standby.signal"
        signal_file.touch()
        if os.geteuid() == 0:
            shutil.chown(signal_file, standby.user)
        standby.start()

    def wait_in_step(self, timeout_s: float = 40) -> None:
        """Until the primary waits for the standby with each commit: before that a fail-over would lose some."""
        deadline = time.monotonic() + timeout_s
        while True:
            state = self.primary.query("SELECT coalesce(string_agg(application_name || ' ' || sync_state, ','), '') FROM pg_stat_replication")
            if state == f"{self.standby.name} sync":
                return
            assert time.monotonic() < deadline, f"the standby is not in step: {state!r}"
            time.sleep(0.1)

    def promote(self) -> float:
        """The standby takes over; its old primary must be dead, or it would be a second one. Returns the seconds it took."""
        begun = time.monotonic()
        taken, old = self.standby, self.primary
        taken._run(str(taken.programs / "pg_ctl"), "-D", str(taken.folder / "data"), "-w", "promote")
        self.primary, self.standby = taken, old
        # Whoever promotes decides that commits go on without a standby until there is one again.
        self.primary.query("ALTER SYSTEM SET synchronous_standby_names = ''")
        self.primary.query("SELECT pg_reload_conf()")
        return time.monotonic() - begun

    def fail_over(self) -> float:
        """Kills the primary, and the standby takes over."""
        self.primary.kill()
        return self.promote()

    def rejoin(self) -> str:
        """The old primary becomes the standby of the new one, and commits wait for it again. Returns how it was done."""
        standby = self.standby
        slots = self.primary.query("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'other'")
        if slots == "0":
            self.primary.query("SELECT pg_create_physical_replication_slot('other')")
        # pg_rewind wants to know of the change of places from a checkpoint.
        self.primary.query("CHECKPOINT", 30)
        try:
            standby._run(
                "env", f"PGPASSFILE={standby.folder}/pgpass", str(standby.programs / "pg_rewind"), "-D", str(standby.folder / "data"),
                f"--source-server=host=127.0.0.1 port={self.primary.port} user=mill dbname=postgres",
            )  # fmt: skip
            done = "rewound"
            # It brought the configuration of the other.
            self._forget_alterations(standby)
            self._follow()
        except AssertionError as error:
            done = f"copied anew ({str(error)[-200:]})"
            self._copy()
        self._forget_alterations(self.primary)
        self.primary.configure(standby)
        self.primary.query("SELECT pg_reload_conf()")
        self.wait_in_step()
        return done

    @staticmethod
    def _forget_alterations(node: Node) -> None:
        """What ALTER SYSTEM wrote."""
        (node.folder / "data" / "postgresql.auto.conf").write_text("")

    def stop(self) -> None:
        for node in self.nodes:
            try:
                node.kill()
            except (OSError, ValueError):
                pass

    @property
    def url(self) -> str:
        return f"postgres://mill@127.0.0.1:{self.one.port},127.0.0.1:{self.two.port}/postgres"
