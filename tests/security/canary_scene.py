"""A gateway whose every setting is a canary, and callers who put canaries into everything that it takes."""

import re
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGHUP
from typing import Any

import pyotp

from tests.security.canaries import Canaries, columns, files, of_token
from tests.servers.caller import ABSENT, Caller, Reply
from tests.servers.gateway import FAST, Gateway
from tests.servers.program import free_port, wait_until
from tests.servers.redis import RedisServer
from tests.servers.scripted_dify import ScriptedDify
from tests.servers.scripted_provider import ScriptedProvider
from tests.servers.smtp import PASSWORD as SMTP_PASSWORD
from tests.servers.smtp import USER as SMTP_USER
from tests.servers.smtp import SmtpServer

ADA = "ada@example.org"
METHODS = ("get", "post", "put", "patch", "delete")
_TOKEN = re.compile(r"#token=([0-9A-Za-z]+)")
_ACCOUNTS = ("users", "api_keys", "logins", "one_time_tokens", "throttles", "second_factors", "sessions")
FAULTS = ("auth", "key-in-message", "key-echo-400", "key-echo-401", "key-echo-429", "key-echo-500",
          "error-event", "html", "rst", "rst-after-3", "bad-json", "redirect", "ttfb-5")  # fmt: skip
"""What goes wrong at a provider of that name: a refused credential and an open breaker do not touch the others."""
HOW = ("whole", "streamed")
_REFUSED = "the configuration stays as it is"
RULES = ("file accepted.toml", "check")
"""The configuration, in which the rules of guardrails are."""
_NOT_SECRET = {"model", "ai_provider", "provider"}
"""Names that an error repeats, so that whoever mistyped one sees it."""


@dataclass
class Scene:
    folder: Path
    provider: ScriptedProvider
    dify: ScriptedDify
    smtp: SmtpServer
    redis: RedisServer
    canaries: Canaries = field(default_factory=Canaries)
    places: dict[str, bytes] = field(default_factory=dict)
    statuses: set[int] = field(default_factory=set)

    def start(self) -> "Scene":
        new = self.canaries.new
        password = new("password of Redis")
        with self.redis.admin() as admin:
            admin.config_set("requirepass", password)
        env = {
            "PARLEY_SECRET_KEY": f"{new('the secret key')}Xy7+/&",
            "PARLEY_METRICS_TOKEN": new("the token of the metrics"),
            "REDIS_URL": f"unix://:{password}@{self.redis.socket}",
            "UPSTREAM_CREDENTIAL": new("a provider's key, named by the file"),
            "OPENAI_API_KEY": f"sk-{new('a key of OpenAI')}",
            "OPENAI_BASE_URL": self.provider.base_url,
            "CLIENT_OF_SSO": new("the client's secret of single sign-on"),
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.smtp.port),
            "SMTP_TLS": "none",
            "SMTP_FROM": "noreply@example.org",
            "SMTP_USER": SMTP_USER,
            "SMTP_PASSWORD": self.canaries.add("password of the mail server", SMTP_PASSWORD),
        }
        env |= {f"CREDENTIAL_{number}": new(f"credential {number} of several") for number in range(3)}
        env |= {"DIFY_API_KEY": f"app-{new('a key of Dify')}", "DIFY_BASE_URL": self.dify.base_url}
        config = self.config = (
            "".join(self._provider(f"{how}-{fault}") for fault in FAULTS for how in HOW)
            + self._provider("scripted")
            + f'[providers.several]\nbase_url = "{self.provider.base_url}"\ncredentials = ['
            + ", ".join(f'{{api_key_env = "CREDENTIAL_{number}"}}' for number in range(3))
            + "]\n"
            + f'[guardrails.noted]\nwords = ["{new("a word of a guardrail", *RULES)}"]\naction = "note"\n'
            + f'[guardrails.taken]\nwords = ["{new("a word that is masked", *RULES)}"]\naction = "mask"\n'
            + f'[guardrails.closed]\nregex = ["{new("an expression that blocks", *RULES)}"]\naction = "block"\n'
            + f'[oidc]\nissuer = "http://127.0.0.1:{free_port()}"\nclient_id = "parley"\n'
            + 'client_secret_env = "CLIENT_OF_SSO"\n[accounts]\nregistration = "open"\n'
            + FAST
        )
        self.gateway = Gateway(self.folder, env=env, config=config).start()
        # The first start prints its key; from here on nothing may.
        self.shown_at_first = self.gateway.program.log.stat().st_size
        self.canaries.add("the first key", of_token(self.gateway.key))
        self.nobody = Caller(self.gateway.port)
        self.admin = self.nobody.bearing(self.gateway.key)
        self.document = self.nobody.get("/openapi.json").json
        return self

    def ask(self, caller: Caller, method: str, path: str, body: Any = ABSENT, **headers: str) -> Reply:
        """Keeps what only had to be read, and each error."""
        reply = caller.call(method, path, body, headers)
        self.statuses.add(reply.status)
        if reply.status >= 400 or method == "GET":
            name = f"answer {method} {path[:60]} {reply.status} #{len(self.places)}"
            self.places[name] = bytes(reply.headers) + reply.raw
        return reply

    def good(self, caller: Caller, method: str, path: str, body: Any = ABSENT, **headers: str) -> Any:
        reply = self.ask(caller, method, path, body, **headers)
        assert reply.status < 300, (method, path, reply.status, reply.raw)
        return reply.json

    def mailed(self, name: str, to: str, ask: Any) -> str:
        """The token in the mail that `ask` leads to; from then on a canary."""
        before = self._links(to)
        ask()
        wait_until(lambda: len(self._links(to)) > len(before), 20, f"a mail with {name}")
        (number, token), *_ = self._links(to)[len(before) :]
        return self.canaries.add(name, token, f"mail {number:03}")

    def log_in(self, name: str, password: str, **more: Any) -> dict[str, Any]:
        found = self.good(
            self.nobody,
            "POST",
            "/auth/login",
            {"email": ADA, "password": password, **more},
            **{"Sec-Fetch-Site": "same-origin"},
        )
        if found["access_token"]:
            self.canaries.add(f"access token of {name}", of_token(found["access_token"]))
        return dict(found)

    def code(self, secret: str) -> str:
        return pyotp.TOTP(secret).now()

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, methods in self.document["paths"].items():
            for method in METHODS:
                if method in methods:
                    yield method.upper(), path.removeprefix("/api/v1"), methods[method]

    def spray(self, caller: Caller, canary: str, **headers: str) -> None:
        """One request to every route, with the canary wherever something can stand."""
        for method, path, operation in self.operations():
            place = re.sub(r"\{\w+\}", canary, path) + f"?token={canary}&api_key={canary}&cursor={canary}"
            body = self._body(operation, canary)
            self.ask(caller, method, place, body, **headers)

    def say(self, lines: list[str]) -> None:
        """Straight to the socket, what no client would send."""
        with socket.create_connection(("127.0.0.1", self.gateway.port), 5) as sock:
            sock.sendall("\r\n".join([*lines, "", ""]).encode())
            sock.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := sock.recv(65_536):
                answer += piece
        self.places[f"answer to {lines[0][:20]} #{len(self.places)}"] = answer

    @contextmanager
    def without_accounts(self) -> Iterator[None]:
        """The tables of accounts under other names: every statement about them fails as nobody expects it to."""
        self._rename("{}", "{}_away")
        try:
            yield
        finally:
            self._rename("{}_away", "{}")

    @contextmanager
    def nonsense_about(self, email: str) -> Iterator[None]:
        self._set_role("nobody", email)
        try:
            yield
        finally:
            self._set_role("member", email)

    @property
    def database(self) -> Path:
        return self.folder / "var" / "parley.db"

    def everywhere(self) -> dict[str, bytes]:
        """All that was written or said so far."""
        scrape = {"Authorization": f"Bearer {self.canaries.secrets['the token of the metrics']}"}
        pids = (self.gateway.pid, *self.gateway.workers())
        return {
            **self.places,
            "log": self.gateway.program.log.read_bytes()[self.shown_at_first :],
            "metrics": Caller(self.gateway.port, prefix="").call("GET", "/metrics", headers=scrape).raw,
            "command": b"\n".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids),
            "check": self.gateway.cli("check").encode(),
            "keys list": self.gateway.cli("keys", "list").encode(),
            **{f"mail {number:03}": mail.message.as_bytes() for number, mail in enumerate(self.smtp.mails)},
            **columns(self.database),
            **files(self.folder / "var"),
        }

    def mistake(self, more: str) -> None:
        """A reload with this after the configuration; returns when the log tells that it is refused."""
        file, log = self.folder / "parley.toml", self.gateway.program.log
        told = log.read_text().count(_REFUSED)
        file.write_text(f"{self.config}\n{more}")
        self.gateway.program.signal(SIGHUP)
        wait_until(lambda: log.read_text().count(_REFUSED) > told, 20, "word of the reload")
        file.write_text(self.config)

    def _provider(self, name: str) -> str:
        return f'[providers.{name}]\nbase_url = "{self.provider.base_url}"\napi_key_env = "UPSTREAM_CREDENTIAL"\n'

    def _links(self, address: str) -> list[tuple[int, str]]:
        """The tokens that were mailed to it, with the numbers of their mails."""
        to = [(number, mail) for number, mail in enumerate(self.smtp.mails) if mail.recipients == [address]]
        return [(number, token) for number, mail in to for token in _TOKEN.findall(mail.message.get_content())]

    def _set_role(self, role: str, email: str) -> None:
        with closing(sqlite3.connect(self.database, isolation_level=None, timeout=10)) as store:
            store.execute("UPDATE users SET role = ? WHERE email = ?", (role, email))

    def _rename(self, old: str, new: str) -> None:
        with closing(sqlite3.connect(self.database, isolation_level=None, timeout=10)) as store:
            store.execute("PRAGMA legacy_alter_table = ON")
            for table in _ACCOUNTS:
                store.execute(f'ALTER TABLE "{old.format(table)}" RENAME TO "{new.format(table)}"')
        time.sleep(0.1)

    def _body(self, operation: dict[str, Any], canary: str) -> Any:
        if "requestBody" not in operation:
            return ABSENT
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        name = schema["$ref"].rpartition("/")[2]
        fields = self.document["components"]["schemas"][name]["properties"]
        return {field: canary for field in fields if field not in _NOT_SECRET}
