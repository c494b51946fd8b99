"""A gateway in front of two scripted providers: the `primary` misbehaves, the `backup` answers."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from infrastructure.database import create_engine_for
from tests.servers.caller import Caller, Reply
from tests.servers.dialects import CHAT, COMPLETIONS, Dialect, Told
from tests.servers.gateway import FAST, Gateway
from tests.servers.program import wait_until
from tests.servers.scripted_provider import ScriptedProvider

CAPABLE = "qwen/qwen-plus"
"""Answered by the backup. Of the installed providers' models, one that can go on with an answer."""

PRIMARY_KEY = "sk-primary-4f1c22aa90b7de35"
_PROVIDERS = """
[providers.primary]
base_url = "{primary}"
api_key_env = "PRIMARY_KEY"
[providers.backup]
base_url = "{backup}"
api_key_env = "BACKUP_KEY"
[prices."backup/ok"]
input = 1.0
output = 2.0
"""


@dataclass(frozen=True)
class Answered:
    """An answer as a client of its dialect takes it; `seconds` until its last byte."""

    reply: Reply
    told: Told
    seconds: float

    @property
    def request_id(self) -> str:
        return self.reply.headers["X-Request-Id"]


@dataclass(frozen=True)
class Failover:
    gateway: Gateway
    primary: ScriptedProvider
    backup: ScriptedProvider
    engine: Engine

    @property
    def caller(self) -> Caller:
        return Caller(self.gateway.port, {"Authorization": f"Bearer {self.gateway.key}"})

    def ask(self, model: str, dialect: Dialect = COMPLETIONS, *, streamed: bool, **also: Any) -> Answered:
        if dialect is CHAT and "session_id" not in also:
            also["session_id"] = self.session()
        path, body = dialect.request(model, streamed=streamed, **also)
        started = time.monotonic()
        reply = self.caller.post(path, body)
        return Answered(reply, dialect.told(reply), time.monotonic() - started)

    def session(self) -> str:
        """The id of a new one, whose turns name their models."""
        made = self.caller.post("/sessions", {"ai_provider": "backup", "model": "ok"})
        assert made.status == 201, made.raw
        return str(made.json["id"])

    def calls(self, answered: Answered) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """What the primary and the backup served of this request, each in the order of time."""
        mine = [
            [bill for bill in provider.bills() if bill["id"] == answered.request_id]
            for provider in (self.primary, self.backup)
        ]
        return mine[0], mine[1]

    def rows(self, request: Answered | str) -> list[Any]:
        """Of the ledger: the attempts, then the final row. They come with one transaction, soon after the answer."""
        request_id = request if isinstance(request, str) else request.request_id
        query = "SELECT * FROM usage_ledger WHERE request_id = :id ORDER BY id"
        wait_until(lambda: bool(self.select(query, id=request_id)), 20, "recorded")
        return self.select(query, id=request_id)

    def select(self, statement: str, **values: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement), values))

    def log(self, event: str) -> list[dict[str, Any]]:
        """The gateway's log lines of this event. They are written soon after what they tell of."""
        lines = self.gateway.program.log.read_text().splitlines(keepends=True)
        told = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
        return [line for line in told if line["event"] == event]


@contextmanager
def failover(folder: Path, more: str = "") -> Iterator[Failover]:
    """`more` is added to parley.toml: routes, rules of the breaker; `{primary}` in it is the primary's address."""
    with ExitStack() as stack:
        primary, backup = (ScriptedProvider(folder, name).run() for name in ("primary", "backup"))
        stack.callback(primary.stop)
        stack.callback(backup.stop)
        providers = _PROVIDERS.replace("{backup}", backup.base_url) + more
        config = FAST + providers.replace("{primary}", primary.base_url)
        env = {"PRIMARY_KEY": PRIMARY_KEY, "BACKUP_KEY": "sk-backup", "DASHSCOPE_API_KEY": "sk-capable"}
        env["QWEN_BASE_URL"] = backup.base_url
        gateway = Gateway(folder, env=env, config=config)
        stack.callback(gateway.end)
        gateway.start()
        engine = create_engine_for("sqlite://", folder / "var")
        stack.callback(engine.dispose)
        yield Failover(gateway, primary, backup, engine)


def route(name: str, *targets: str, fallback: str = "", goes_on: bool = False) -> str:
    """As parley.toml has it; `fallback` is a line like `content_filter = ["backup/ok"]`."""
    lines = [f'[routes."{name}"]', f"try = {json.dumps(targets)}", f"continue = {json.dumps(goes_on)}"]
    return "\n".join([*lines, *([f'[routes."{name}".fallback]', fallback] if fallback else ()), ""])
