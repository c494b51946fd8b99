"""A private PgBouncer in transaction mode: each transaction may run on another server connection."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.postgres import PostgresServer, as_nobody_special
from tests.servers.program import Program, accepts, free_port, require

_CONFIG = """
[databases]
* = host=127.0.0.1 port={server} user=parley

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
server_round_robin = 1
"""


class PgBouncerServer(Program):
    """Deals transactions out to three server connections in turn, so that what outlives a transaction shows."""

    def __init__(self, folder: Path, postgres: PostgresServer) -> None:
        self.port = free_port()
        config = folder / "pgbouncer.ini"
        config.write_text(_CONFIG.format(server=postgres.port, port=self.port))
        user = as_nobody_special(folder)
        super().__init__([*user, require("pgbouncer"), config], folder)
        self._postgres = postgres

    def begin(self) -> None:
        self.start(lambda: accepts(self.port))

    def new_database(self) -> str:
        """The address, through this program, of a database that nobody else uses."""
        name = self._postgres.new_database().rpartition("/")[2]
        return self._postgres.address(name, self.port)


@contextmanager
def running_pgbouncer(postgres: PostgresServer) -> Iterator[PgBouncerServer]:
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as folder:
        server = PgBouncerServer(Path(folder), postgres)
        server.begin()
        try:
            yield server
        finally:
            server.stop()
