"""A private Redis: on a Unix socket in a temporary folder, without persistence.

The socket's path is short on purpose: pytest's own folders can be longer than the 107 bytes that a path may have.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.servers.program import Program, require


class RedisServer(Program):
    def __init__(self, folder: Path) -> None:
        self.socket = folder / "r"
        self.url = f"unix://{self.socket}"
        options = ["--port", "0", "--unixsocket", self.socket, "--save", "", "--appendonly", "no"]
        limits = ["--maxmemory", "32mb", "--maxmemory-policy", "noeviction", "--dir", folder]
        super().__init__([require("redis-server"), *options, *limits], folder, name="redis")

    def begin(self) -> None:
        """Start, or start again after `kill`; the data is gone then."""
        self.socket.unlink(missing_ok=True)
        self.start(self._answers)

    def admin(self) -> redis.Redis:
        """A client with redis-py's own patience, for what a test has to arrange."""
        return redis.Redis(unix_socket_path=str(self.socket), protocol=2, socket_timeout=5)

    def _answers(self) -> bool:
        try:
            with self.admin() as admin:
                return bool(admin.ping())
        except redis.RedisError:
            return False


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    """What a fixture yields; a test that kills or pauses it needs one of its own."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder))
        server.begin()
        try:
            yield server
        finally:
            server.stop()
