"""A private MariaDB with the durability that Parley asks for."""

import getpass
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql

from tests.servers.program import Program, free_port, require


class MariaDbServer(Program):
    """`options` are added to the command line: `--max-connections=5`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._names = (f"parley_{number}" for number in itertools.count(1))
        self._fill = [require("mariadb-install-db"), "--no-defaults", f"--user={getpass.getuser()}", "--skip-test-db"]
        self._fill += ["--innodb-use-native-aio=0"]  # what the kernel has of it is for all servers together
        self._fill += [f"--datadir={folder}/db", "--auth-root-authentication-method=normal"]
        place = [f"--datadir={folder}/db", f"--socket={folder}/s", f"--pid-file={folder}/pid", f"--port={self.port}"]
        limits = [
            "--innodb-use-native-aio=0",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=64M",
            "--max-connections=60",
        ]
        program = [require("mariadbd"), "--no-defaults", f"--user={getpass.getuser()}", "--bind-address=127.0.0.1"]
        super().__init__([*program, "--skip-log-bin", "--skip-name-resolve", *place, *limits, *options], folder)

    def begin(self) -> None:
        """Start, or start again after `kill`, with what was committed."""
        if not (self.folder / "db").exists():
            self._make()
        self.start(self._answers, seconds=60)

    def _make(self) -> None:
        """It fails once in a while on a busy machine, and leaves nothing of use."""
        for _ in range(3):
            done = subprocess.run(self._fill, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            shutil.rmtree(self.folder / "db", ignore_errors=True)
        raise RuntimeError(done.stdout[-2_000:] + done.stderr[-2_000:])

    def admin(self) -> "pymysql.Connection[Any]":
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", autocommit=True, connect_timeout=2)

    def ask(self, statement: str) -> Any:
        """The first value that `statement` gives."""
        with self.admin() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone()
            return None if row is None else row[0]

    def new_database(self) -> str:
        """The address of a database that nobody else uses."""
        name = next(self._names)
        self.ask(f"CREATE DATABASE {name}")
        return self.address(name)

    def address(self, name: str, port: int | None = None) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{port or self.port}/{name}"

    def _answers(self) -> bool:
        try:
            return bool(self.ask("SELECT 1"))
        except pymysql.MySQLError:
            return False


@contextmanager
def running_mariadb(*options: str) -> Iterator[MariaDbServer]:
    """What a fixture yields; a test that kills or pauses it needs one of its own."""
    with tempfile.TemporaryDirectory(prefix="mariadb-") as folder:
        server = MariaDbServer(Path(folder), *options)
        server.begin()
        try:
            yield server
        finally:
            server.stop()
