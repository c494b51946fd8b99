"""A real OpenID provider on loopback (the npm package `oidc-provider`), and a browser that logs in at it."""

import fcntl
import http.cookiejar
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.servers.program import Program, accepts, free_port, require
from tests.source import ROOT

CALLBACK = "http://127.0.0.1:9/api/v1/auth/oidc/callback"
SECRET = "s%cr:t +&"
"""Of the client `confidential`, with everything in it that HTTP Basic and forms have to escape."""

_SOURCE = ROOT / "tests" / "servers" / "oidc"
_TOOLS = ROOT / "build" / "oidc"
_ACTION = re.compile(r'<form [^>]*action="([^"]+)"')


class OidcServer(Program):
    """Clients `public` and `confidential`; accounts `ada`, and `eve` whose address is not verified.

    Each start makes new keys. `complete` puts e-mail and name into the ID token, and not only at the userinfo endpoint.
    """

    def __init__(self, folder: Path, *, complete: bool = False) -> None:
        tools = installed()
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        argv = [require("node"), tools / "server.mjs", str(self.port), CALLBACK, "true" if complete else "false"]
        super().__init__(argv, folder, name="oidc")

    def run(self) -> "OidcServer":
        self.start(lambda: accepts(self.port))
        return self


def installed() -> Path:
    """The folder with the server and its packages, exactly those of the lock file."""
    npm = require("npm")
    require("node")
    _TOOLS.mkdir(parents=True, exist_ok=True)
    with (_TOOLS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted, stamp = (_SOURCE / "package-lock.json").read_bytes(), _TOOLS / "stamp"
        shutil.copy(_SOURCE / "server.mjs", _TOOLS)
        if not stamp.exists() or stamp.read_bytes() != wanted:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(_SOURCE / name, _TOOLS)
            command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
            done = subprocess.run(command, cwd=_TOOLS, capture_output=True, text=True, timeout=110, check=False)
            if done.returncode:
                reason = f"the OpenID provider could not be installed: {done.stderr[-500:]}"
                pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
            stamp.write_bytes(wanted)
    return _TOOLS


class Browser:
    """Follows the provider's redirects and fills in its forms, up to the redirect that leads back to us."""

    def __init__(self) -> None:
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies, _Stay())

    def log_in(self, address: str, account: str) -> dict[str, str]:
        """What the provider says to our callback, as `{"code": …, "state": …}`."""
        form: dict[str, str] | None = None
        for _ in range(12):
            status, location, page = self._ask(address, form)
            if location is not None:
                address, form = urllib.parse.urljoin(address, location), None
                if address.startswith(CALLBACK):
                    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query))
                continue
            action = _ACTION.search(page)
            assert action, f"{status} without a form: {page[-2000:]}"
            address = urllib.parse.urljoin(address, action[1].replace("&amp;", "&"))
            form = {"prompt": "login", "login": account, "password": "x"}
            if 'name="login"' not in page:
                form = {"prompt": "consent"}
        raise AssertionError("the provider does not come to an end")

    def _ask(self, address: str, form: dict[str, str] | None) -> tuple[int, str | None, str]:
        sent = None if form is None else urllib.parse.urlencode(form).encode()
        try:
            with self._opener.open(address, sent, timeout=10) as answer:
                return answer.status, None, answer.read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.headers.get("Location"), answer.read().decode(errors="replace")


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None
