"""nginx, run from the files that a deployment uses; only ports, names and folders are the test's own."""

import contextlib
import http.client
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.servers.program import Program, accepts, free_port, require

DEPLOY = Path(__file__).resolve().parents[2] / "deploy/nginx"
NAME = "parley.test"
DIRECTIVES = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
"""Another user could not write into the folders of a test that root runs."""


class Nginx(Program):
    """In front of the gateway at `upstream` (`host:port`), with a certificate of its own for `parley.test`."""

    def __init__(self, folder: Path, upstream: str) -> None:
        self.http_port, self.port, self.health_port = free_port(), free_port(), free_port()
        self.config = write_configuration(
            folder,
            {
                "PARLEY_SERVER_NAME": NAME,
                "PARLEY_UPSTREAM": upstream,
                "PARLEY_HTTP_PORT": f"127.0.0.1:{self.http_port}",
                "PARLEY_HTTPS_PORT": f"127.0.0.1:{self.port}",
                "PARLEY_NGINX_HEALTH_PORT": str(self.health_port),
                "PARLEY_CERTIFICATES": str(folder),
            },
        )
        self.certificate = make_certificate(folder)
        argv = [require("nginx"), "-e", folder / "nginx.err", "-c", self.config, "-g", DIRECTIVES]
        super().__init__(argv, folder, name="nginx")

    def begin(self) -> "Nginx":
        self.start(lambda: accepts(self.port), seconds=10)
        return self

    def check(self) -> str:
        """What `nginx -t` says; AssertionError when it is not satisfied."""
        done = subprocess.run([*self.argv[:5], "-t"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr


class Tls(http.client.HTTPSConnection):
    """To the nginx of this machine, which must prove that it is `name`."""

    def __init__(self, nginx: Nginx, name: str = NAME) -> None:
        super().__init__(name, nginx.port, timeout=30, context=ssl.create_default_context(cafile=nginx.certificate))

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        try:
            self.sock = self._context.wrap_socket(plain, server_hostname=self.host)  # type: ignore[attr-defined] # private
        except ssl.SSLError:
            plain.close()
            raise


@contextlib.contextmanager
def asked(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """The answer to one request, closed together with its connection."""
    with contextlib.closing(connection):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            # An answer may come, and the connection be closed, while a large body is still on its way.
            connection.request(method, path, body, dict(headers or {}))
        with contextlib.closing(connection.getresponse()) as answer:
            yield answer


def write_configuration(folder: Path, variables: Mapping[str, str]) -> Path:
    """Fill the template as the image's entry point does, and move what would be under /tmp and /dev."""
    (folder / "conf.d").mkdir()
    (folder / "tmp").mkdir()
    template = (DEPLOY / "templates/parley.conf.template").read_text()
    site = re.sub(r"\$\{(PARLEY_\w+)\}", lambda found: variables[found[1]], template)
    (folder / "conf.d/parley.conf").write_text(site)
    moved = {"/dev/stderr": f"{folder}/error.log", "/dev/stdout": f"{folder}/access.log"}
    places = re.compile(r"(?<= )(/dev/stderr|/dev/stdout|/tmp/)")
    main = places.sub(lambda found: moved.get(found[1], f"{folder}{found[1]}"), (DEPLOY / "nginx.conf").read_text())
    config = folder / "nginx.conf"
    config.write_text(main)
    return config


def make_certificate(folder: Path) -> Path:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return folder / "fullchain.pem"
