"""The rows of the comparison: each starts what it needs and says where a profile of the upstream is reached."""

import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import orjson

from tests.servers.gateway import Gateway
from tests.servers.mariadb import running_mariadb
from tests.servers.program import Program, accepts, free_port
from tests.servers.redis import running_redis

ROOT = Path(__file__).resolve().parent.parent

_PARLEY = """
[limits]
rpm = 10000000

[server]
in_flight = 2000
"""
_PROVIDER = """
[providers.{profile}]
base_url = "{url}{path}/v1"
models = ["mock"]

[prices."{profile}/mock"]
input = 0.15
output = 0.60
"""


class Unavailable(Exception):
    """This row cannot be measured here; the message says what is missing."""


class Contender(ABC):
    """`paths` maps the name of a profile to its path on the upstream at `upstream` (`http://127.0.0.1:PORT`)."""

    name: str
    headers: tuple[str, ...] = ()

    def __init__(self, folder: Path, upstream: str, paths: Mapping[str, str]) -> None:
        self.folder = folder / self.name.replace(" ", "-")
        self.folder.mkdir()
        self.upstream = upstream
        self.paths = paths
        self.environment: dict[str, str] = {}
        """Added to that of the gateway."""
        self.roots: dict[str, int] = {}
        """Process trees by what they are; `gateway` is the one that is compared."""
        self.stack = ExitStack()

    def prepare(self) -> None:  # noqa: B027 - most have nothing beside them
        """Start what runs beside the gateway, on the client's CPU. Raises Unavailable."""

    @abstractmethod
    def start(self) -> None:
        """Start the gateway, on its own CPU. Raises Unavailable."""

    @abstractmethod
    def url(self, profile: str) -> str:
        """Where a request with the body of that profile is sent."""

    def stop(self) -> None:
        self.stack.close()

    def run(self, program: Program, port: int, part: str = "gateway") -> None:
        program.start(lambda: accepts(port))
        self.stack.callback(program.stop)
        self.roots[part] = program.pid


class Direct(Contender):
    """The client talks to the upstream: what remains is their own."""

    name = "direct"

    def start(self) -> None:
        pass

    def url(self, profile: str) -> str:
        return f"{self.upstream}{self.paths[profile]}/v1/chat/completions"


class Nginx(Contender):
    name = "nginx"

    def start(self) -> None:
        binary = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        if binary is None:
            raise Unavailable("nginx is not installed")
        self.port = free_port()
        text = (Path(__file__).parent / "nginx.conf").read_text()
        facts = {"FOLDER": str(self.folder), "UPSTREAM": self.upstream.removeprefix("http://"), "PORT": str(self.port)}
        for name, fact in facts.items():
            text = text.replace(f"@{name}@", fact)
        configuration = self.folder / "nginx.conf"
        configuration.write_text(text)
        self.run(Program([binary, "-c", configuration], self.folder, name="nginx"), self.port)

    def url(self, profile: str) -> str:
        return f"http://127.0.0.1:{self.port}{self.paths[profile]}/v1/chat/completions"


class Floor(Contender):
    """One application of `floors.py` under the server and worker that Parley uses."""

    headers = ("Authorization: Bearer floor",)
    application: str

    def start(self) -> None:
        self.port = free_port()
        environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "UPSTREAM": self.upstream,
            "PATHS": orjson.dumps(dict(self.paths)).decode(),
        }
        options = ["--workers", "1", "--worker-class", "gevent", "--worker-connections", "2000", "--no-control-socket"]
        where = ["--bind", f"127.0.0.1:{self.port}", "--keep-alive", "75", f"benchmarks.floors:{self.application}"]
        command = [sys.executable, "-m", "gunicorn", *options, *where]
        self.run(Program(command, self.folder, env=environment, name="floor"), self.port)

    def url(self, profile: str) -> str:  # noqa: ARG002 - only the relay looks at the model
        return f"http://127.0.0.1:{self.port}/v1/chat/completions"


class Relay(Floor):
    name = "bare Flask relay"
    application = "relay"


class Wsgi(Floor):
    name = "WSGI"
    application = "wsgi"


class BareFlask(Floor):
    name = "Flask"
    application = "flask"


class Parley(Contender):
    """Embedded: SQLite, limits counted in memory, every record synced to disk."""

    name = "Parley"

    def start(self) -> None:
        providers = [_PROVIDER.format(profile=name, url=self.upstream, path=path) for name, path in self.paths.items()]
        self.gateway = Gateway(self.folder, env=self.environment, config=_PARLEY + "".join(providers))
        if "DATABASE_URL" in self.environment:
            self.gateway.cli("migrate")
        self.stack.callback(self.gateway.stop)
        self.gateway.start()
        self.roots["gateway"] = self.gateway.pid
        self.headers = (f"Authorization: Bearer {self.gateway.key}",)

    def url(self, profile: str) -> str:  # noqa: ARG002 - the model's name says which provider
        return f"{self.gateway.api}/chat/completions"


class ParleyServers(Parley):
    """The same program on MariaDB and Redis."""

    name = "Parley, MariaDB and Redis"

    def prepare(self) -> None:
        if not shutil.which("redis-server") or not shutil.which("mariadbd", path="/usr/sbin:/usr/bin"):
            raise Unavailable("MariaDB or Redis is not installed")
        redis = self.stack.enter_context(running_redis())
        mariadb = self.stack.enter_context(running_mariadb())
        self.environment = {"DATABASE_URL": mariadb.new_database(), "REDIS_URL": redis.url}
        self.roots |= {"MariaDB": mariadb.pid, "Redis": redis.pid}


ROWS: tuple[type[Contender], ...] = (Direct, Nginx, Relay, Parley, ParleyServers)
