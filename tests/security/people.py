"""People on a running gateway: they register, log in by token or cookie, and a test looks into their rows."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, Table, select, text, update

from adapters.persistence.account_tables import logins, throttles
from adapters.persistence.tables import metadata
from api.csrf import HEADER
from api.login_cookie import NAME
from domain.api_key import kid_of
from infrastructure.database import create_engine_for
from tests.servers.caller import Caller, Reply
from tests.servers.gateway import FAST, Gateway
from tests.servers.program import wait_until

PASSWORD = "correct horse 17 battery"
OPEN = '[accounts]\nregistration = "open"\n' + FAST
"""The configuration of an installation where everybody may register."""
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


def ok(reply: Reply) -> Any:
    assert reply.status < 300, (reply.status, reply.raw)
    return reply.json


def told(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    """All that a stranger learns from an answer, but for what names the request and the moment."""
    head = {name: value for name, value in reply.headers.items() if name not in {"Date", "X-Request-Id"}}
    request_id = reply.headers["X-Request-Id"].encode()
    return reply.status, head, reply.raw.replace(request_id, b"")


def let_in_for(ask: Callable[[], list[Reply]]) -> float:
    """Asks until everybody is refused. For how long somebody was not: until the last request that got in was sent.

    That a busy machine takes its time to answer does not count.
    """
    began, last = time.monotonic(), 0.0

    def refused() -> bool:
        nonlocal last
        sent = time.monotonic() - began
        statuses = {reply.status for reply in ask()}
        last = last if statuses == {401} else sent
        return statuses == {401}

    wait_until(refused, 20, "everybody refused")
    return last


@dataclass(frozen=True)
class Page:
    """A browser that is logged in: it has a cookie, and the token that its own pages send along."""

    port: int
    cookie: str
    csrf: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Cookie": f"{NAME}={self.cookie}", HEADER: self.csrf, **OWN_PAGE}

    @property
    def caller(self) -> Caller:
        return Caller(self.port, self.headers)


@dataclass
class People:
    gateway: Gateway
    _engine: Engine | None = field(default=None, repr=False)

    @property
    def stranger(self) -> Caller:
        return Caller(self.gateway.port)

    @property
    def admin(self) -> Caller:
        return self.stranger.bearing(self.gateway.key)

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            url = self.gateway.env.get("DATABASE_URL", f"sqlite:///{self.gateway.folder}/var/parley.db")
            self._engine = create_engine_for(url, self.gateway.folder)
        return self._engine

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()

    def register(self, name: str, password: str = PASSWORD, **headers: str) -> Reply:
        return self.stranger.post("/auth/register", {"email": f"{name}@example.org", "password": password}, **headers)

    def try_login(self, name: str, password: str = PASSWORD, more: Mapping[str, Any] = {}, **headers: str) -> Reply:
        body = {"email": f"{name}@example.org", "password": password, **more}
        return self.stranger.post("/auth/login", body, **headers)

    def login(self, name: str, password: str = PASSWORD) -> str:
        return str(ok(self.try_login(name, password))["access_token"])

    def page(self, name: str) -> Page:
        reply = self.try_login(name, more={"cookie": True}, **OWN_PAGE)
        return Page(self.gateway.port, str(reply.cookie(NAME)), str(ok(reply)["csrf_token"]))

    def caller(self, name: str) -> Caller:
        """By a new login."""
        return self.stranger.bearing(self.login(name))

    def newcomer(self, name: str) -> Caller:
        ok(self.register(name))
        return self.caller(name)

    def owner(self) -> Caller:
        """The first administrator, with a password and a recent login."""
        self.gateway.cli("users", "password", "admin@localhost", text=f"{PASSWORD}\n")
        return self.owner_again()

    def owner_again(self) -> Caller:
        answer = self.stranger.post("/auth/login", {"email": "admin@localhost", "password": PASSWORD})
        return self.stranger.bearing(str(ok(answer)["access_token"]))

    def rows(self, statement: str, **values: Any) -> list[Any]:
        with self.engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(statement), values)]

    def change(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table."""
        with self.engine.begin() as connection:
            return {
                table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
                for table in metadata.sorted_tables
            }

    def nobody_waits(self) -> None:
        """Forget all attempts: all callers of a test have one network."""
        with self.engine.begin() as connection:
            connection.execute(throttles.delete())

    def age(self, token: str, **by: timedelta) -> None:
        """As if those columns of the login had been written so much earlier."""
        self._move(logins, logins.c.kid == kid_of(token), lambda value, column: value - by[column], *by)

    def _move(self, table: Table, where: Any, moved: Callable[[Any, str], Any], *columns: str) -> None:
        with self.engine.begin() as connection:
            row = connection.execute(select(table).where(where)).mappings().one()
            values = {column: moved(row[column], column) for column in columns}
            connection.execute(update(table).where(where).values(values))
