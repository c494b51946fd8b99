"""A private PostgreSQL. It refuses to run as root, so there it runs as the user `postgres` that its package made."""

import itertools
import os
import pwd
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.servers.program import Program, free_port, require


def as_nobody_special(folder: Path) -> list[str | Path]:
    """What to put in front of a command that may not run as root; `folder` then belongs to that command's user."""
    if os.geteuid() != 0:
        return []
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("root cannot run PostgreSQL, and there is no user postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return [require("setpriv"), f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


class PostgresServer(Program):
    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._names = (f"parley_{number}" for number in itertools.count(1))
        user = as_nobody_special(folder)
        self._fill = [*user, require("initdb"), "-D", folder / "db", "-U", "parley", "-A", "trust", "--no-sync"]
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=60"]
        settings.append("deadlock_timeout=100ms")
        arguments = [part for setting in [*settings, *options] for part in ("-c", setting)]
        super().__init__([*user, require("postgres"), "-D", folder / "db", *arguments], folder)

    def begin(self) -> None:
        """Start, or start again after `kill`, with what was committed."""
        if not (self.folder / "db").exists():
            fill = [*self._fill, "-E", "UTF8", "--locale=C.UTF-8"]
            subprocess.run(fill, check=True, stdout=subprocess.DEVNULL, cwd=self.folder)
        self.start(self._answers, seconds=60)

    def stop(self, seconds: float = 15) -> int:
        """At once: SIGTERM would wait for every client to leave."""
        if self.running:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGINT)
        return super().stop(seconds)

    def kill(self) -> None:
        """A crash for all its clients. SIGKILL would leave processes behind, which keep it from starting again."""
        if self.running:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGQUIT)
            self.wait()

    def ask(self, statement: str) -> Any:
        """The first value that `statement` gives."""
        with psycopg.connect(self._dsn(), autocommit=True) as connection:
            cursor = connection.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return None if row is None else row[0]

    def new_database(self) -> str:
        """The address of a database that nobody else uses."""
        name = next(self._names)
        self.ask(f"CREATE DATABASE {name}")
        return self.address(name)

    def address(self, name: str, port: int | None = None) -> str:
        return f"postgresql+psycopg://parley@127.0.0.1:{port or self.port}/{name}"

    def _dsn(self) -> str:
        return f"host=127.0.0.1 port={self.port} user=parley dbname=postgres connect_timeout=2"

    def _answers(self) -> bool:
        try:
            return bool(self.ask("SELECT 1"))
        except psycopg.OperationalError:
            return False


@contextmanager
def running_postgres(*options: str) -> Iterator[PostgresServer]:
    """`options` are settings: `max_connections=5`. A test that kills or pauses the server needs one of its own."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = PostgresServer(Path(folder), *options)
        server.begin()
        try:
            yield server
        finally:
            server.stop()
