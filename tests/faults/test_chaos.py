"""The ledger equals the providers' own bills, token for token, after a run in which everything goes wrong."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from adapters.clock import SystemClock
from adapters.persistence.unit_of_work import SqlBegin
from application.breaker import Breaker
from infrastructure.database import create_engine_for
from infrastructure.worker_states import sweep
from tests.fakes import RecordingRecorder
from tests.servers.chaos import GOOD, ODD, ROUTED, Chaos
from tests.servers.failover import route
from tests.servers.gateway import FAST, Gateway
from tests.servers.mariadb import running_mariadb
from tests.servers.program import connections, wait_until
from tests.servers.reconciliation import Reconciliation, reconcile
from tests.servers.redis import running_redis
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = [pytest.mark.xdist_group("chaos"), pytest.mark.timeout(240)]

SEED = int(os.environ.get("CHAOS_SEED") or time.time_ns() % 1_000_000)
SESSIONS = 24
PRICES = {"primary": (1000, 500, 2000), "backup": (3000, 1500, 5000)}
"""Nano-units per token of input, of cached input, of output."""


def _models() -> list[str]:
    primary = [name.partition("/")[2] for name in (*GOOD, *ODD) if name.startswith("primary/")]
    return [
        *(f"primary/{name}" for name in (*primary, *ROUTED.values(), "ok", "500-once")),
        *("backup/ok-n-5", "backup/ok-n-9"),
    ]


PRICED = {model: PRICES[model.partition("/")[0]] for model in _models()}


def _configuration(addresses: dict[str, str]) -> str:
    providers = [f'[providers.{name}]\nbase_url = "{url}"\n' for name, url in addresses.items()]
    prices = [
        f'[prices."{model}"]\ninput = {fresh / 1000}\ncached_input = {cached / 1000}\noutput = {written / 1000}\n'
        for model, (fresh, cached, written) in PRICED.items()
    ]
    routes = [route(name, f"primary/{model}", "backup/ok-n-5") for name, model in ROUTED.items()]
    return FAST + "\n".join([*providers, *prices, *routes, "[breaker]\nopen = 1.0\nlongest = 2.0\n"])


@dataclass(frozen=True)
class Site:
    gateway: Gateway
    providers: dict[str, ScriptedProvider]
    engine: Engine

    def select(self, query: str, **values: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), values))

    def is_quiet(self) -> bool:
        """No request waits or runs, no journal holds anything that SQL has not, and no provider is still answering."""
        if connections(self.gateway.port):
            return False
        files = list((self.gateway.folder / "var" / "journal").glob("*.log"))
        calm = len(files) <= len(self.gateway.workers()) and self.gateway.status("/readyz") == 200
        return calm and all(bill["ended"] != "open" for it in self.providers.values() for bill in it.bills())

    def settled_or_served(self) -> set[str]:
        """The ids of all requests that anybody knows of."""
        settled = {row.request_id for row in self.select("SELECT DISTINCT request_id FROM usage_ledger")}
        return settled | {str(bill["id"]) for it in self.providers.values() for bill in it.bills()}

    def held(self) -> set[str]:
        """The ids of the requests whose reservations are still there."""
        return {row.request_id for row in self.select("SELECT request_id FROM budget_holds WHERE state = 'held'")}

    def give_back(self) -> set[str]:
        """Sweep, as if no call could be running any more. Returns whose reservations were still there.

        They are of calls whose worker was killed between reserving and recording: nobody else knows of them.
        """
        wait_until(lambda: self.held().isdisjoint(self.settled_or_served()), 15, "all reservations of calls settled")
        held = self.held()
        clock = SystemClock()
        sweep(SqlBegin(self.engine, Breaker("database", clock, RecordingRecorder())), clock, turn_seconds=-1)
        return held


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        providers = {name: ScriptedProvider(tmp_path, name).run() for name in PRICES}
        for provider in providers.values():
            stack.callback(provider.stop)
        database, redis = stack.enter_context(running_mariadb()), stack.enter_context(running_redis())
        env = {"DATABASE_URL": database.new_database(), "REDIS_URL": redis.url, "PARLEY_WORKERS": "2"}
        addresses = {name: provider.base_url for name, provider in providers.items()}
        gateway = Gateway(tmp_path, config=_configuration(addresses), env=env)
        gateway.cli("migrate")
        stack.callback(gateway.end)
        gateway.start()
        engine = create_engine_for(env["DATABASE_URL"], tmp_path)
        stack.callback(engine.dispose)
        yield Site(gateway, providers, engine)


def test_after_chaos_the_ledger_is_the_bill_token_for_token(
    site: Site, record_property: Callable[[str, object], None]
) -> None:
    budget = {"unit": "money", "window": "total", "amount": 1000}
    order = {"name": "chaos", "scopes": ["chat", "embeddings"], "limits": {"budgets": [budget], "tpm": 10**9}}
    _, key = site.gateway.call("POST", "/keys", order)
    new_session = {"ai_provider": "backup", "model": "ok-n-5"}
    sessions = [site.gateway.call("POST", "/sessions", new_session)[1]["id"] for _ in range(SESSIONS)]
    began = time.monotonic()
    print(f"CHAOS_SEED={SEED}")  # noqa: T201 - whatever goes wrong, it can be repeated

    chaos = Chaos(site.gateway, key["key"], sessions, SEED).run()
    lasted = time.monotonic() - began
    wait_until(site.is_quiet, 40, "all journals applied")
    unborn = site.give_back()

    rows = site.select("SELECT * FROM usage_ledger WHERE key_id = :key", key=key["id"])
    bills = {name: provider.bills() for name, provider in site.providers.items()}
    found = reconcile(rows, bills, PRICED)
    report = [*chaos.lines(), *found.lines(), f"{lasted:.1f} s"]
    record_property("chaos run", "\n".join(report))
    print("\n".join([*report, *found.wrong]))  # noqa: T201 - beside the assertion that failed

    assert found.wrong == []
    assert found.ledger["exact"] == found.billed["exact"] > 0
    assert_clients_were_told_the_truth(chaos, rows, bills)
    locks = {row.active_request_id for row in site.select("SELECT active_request_id FROM sessions")} - {None}
    assert locks <= unborn, "a turn lock outlived its turn"
    ((used, reserved),) = site.select(
        "SELECT used, reserved FROM budget_windows WHERE subject_id = :key", key=key["id"]
    )
    assert (used, reserved) == (found.charged, 0), site.select("SELECT * FROM budget_holds")
    messages = site.select("SELECT session_id, COUNT(*), MAX(seq) FROM messages GROUP BY session_id")
    assert all(count == highest for _, count, highest in messages), "a history has gaps"
    assert_it_was_chaos(chaos, found)
    assert len(unborn) <= chaos.kills * chaos.clients
    assert unborn.isdisjoint({str(seen.request_id) for seen in chaos.seen}), "who was answered was not killed before"


def assert_clients_were_told_the_truth(chaos: Chaos, rows: list[Any], bills: dict[str, list[dict[str, Any]]]) -> None:
    """Who was told a good end has the whole text of somebody's answer, and it is in the ledger as completed."""
    finals = {row.request_id: row for row in rows if row.kind == "final"}
    sent = {(bill["id"], bill["sent"]) for theirs in bills.values() for bill in theirs if bill["status"] == 200}
    for seen in chaos.seen:
        assert seen.status != 500, seen
        if seen.status == 200:
            assert seen.request_id in finals
        if seen.told is not None and seen.told.whole:
            assert finals[str(seen.request_id)].state == "completed"
            assert (seen.request_id, seen.told.text) in sent, seen


def assert_it_was_chaos(chaos: Chaos, found: Reconciliation) -> None:
    whole = sum(1 for seen in chaos.seen if seen.told is not None and seen.told.whole)
    assert chaos.kills >= 4, "the run was too short to prove anything"
    assert whole >= len(chaos.seen) // 5
    assert found.attempts["exact"] >= len(chaos.seen) // 5
    assert found.attempts["free"] >= 10, "hardly anything failed"


def a_row(**changes: Any) -> Any:
    row = {"request_id": "req_1", "attempt": 1, "kind": "attempt", "model_used": "primary/ok-n-5", "state": "completed"}
    tokens = {"input": 9, "cached_input": 0, "cache_write": 0, "output": 5, "reasoning": 0}
    told = {"source": "provider", "error_code": None, "cost": 19_000, "charged": 19_000}
    return SimpleNamespace(**{**row, **tokens, **told, **changes})


def a_bill(**changes: Any) -> dict[str, Any]:
    made = {"id": "req_1", "model": "ok-n-5", "began_at": 1.0, "ended": "complete", "billed": (9, 5)}
    return {**made, **changes}


FINAL = {"kind": "final", "attempt": 0}
LOST = {"state": "abandoned", "source": "estimated"}


def an_estimate(prompt: int, answer: int, code: str | None) -> list[Any]:
    cost = prompt * 1000 + answer * 2000
    used = {"state": "partial", "source": "estimated", "input": prompt, "output": answer, "error_code": code}
    return [a_row(**used, cost=cost), a_row(**FINAL | used, cost=cost, charged=cost)]


def an_abandoned(prompt: int, answer: int) -> list[Any]:
    cost = prompt * 1000 + answer * 2000
    used = {**LOST, "input": prompt, "output": answer, "cost": cost, "charged": cost if answer else 0}
    return [a_row(**used), a_row(**FINAL | used)]


@pytest.mark.parametrize(
    ("rows", "bills", "wrong"),
    [
        pytest.param([a_row(), a_row(**FINAL)], [a_bill()], "", id="equal"),
        pytest.param([], [a_bill()], "served, and not in the ledger", id="missing"),
        pytest.param([a_row()], [a_bill()], "0 final rows", id="no-final"),
        pytest.param([a_row(), a_row(**FINAL), a_row(**FINAL)], [a_bill()], "2 final rows", id="two-finals"),
        pytest.param([a_row(), a_row(), a_row(**FINAL)], [a_bill()], "attempts [1, 1]", id="doubled"),
        pytest.param([a_row(), a_row(**FINAL)], [a_bill(), a_bill()], "was called and has no row", id="no-row"),
        pytest.param([a_row(), a_row(**FINAL)], [a_bill(billed=(9, 6))], "(9, 5) in the ledger", id="a-token-less"),
        pytest.param([a_row(), a_row(**FINAL)], [], "(0, 0) billed", id="never-served"),
        pytest.param([a_row(cost=1), a_row(**FINAL)], [a_bill()], "costs 1, not 19000", id="cost"),
        pytest.param([a_row(), a_row(**FINAL, charged=1)], [a_bill()], "charged 1, not 19000", id="charged"),
        pytest.param(
            [a_row(source="estimated"), a_row(**FINAL)], [a_bill()], "although the provider told", id="estimated"
        ),
        pytest.param(
            [a_row(source="none", input=0, output=0, cost=0), a_row(**FINAL, source="none", cost=0, charged=0)],
            [a_bill()],
            "nothing in the ledger, (9, 5) billed",
            id="unheard",
        ),
        pytest.param(an_estimate(9, 2, "client_gone"), [a_bill(billed=(9, 40))], "", id="left"),
        pytest.param(an_estimate(9, 2, None), [a_bill(billed=(9, 40))], "(9, 2) estimated", id="too-little"),
        pytest.param(an_estimate(9, 46, "client_gone"), [a_bill()], "(9, 46) estimated", id="too-much"),
        pytest.param(an_abandoned(90, 0), [a_bill(billed=(0, 0))], "", id="abandoned-unbilled"),
        pytest.param(an_abandoned(9, 5), [a_bill()], "", id="abandoned"),
        pytest.param(an_abandoned(9, 46), [a_bill()], "(9, 46) estimated", id="abandoned-answer"),
        pytest.param(an_abandoned(58, 5), [a_bill()], "(58, 5) estimated", id="abandoned-prompt"),
        pytest.param(
            [a_row(**LOST, output=0), a_row(**FINAL | LOST, output=0, cost=9000, charged=1)],
            [],
            "charged 1, not 0",
            id="abandoned-charged",
        ),
    ],
)
def test_no_difference_between_ledger_and_bills_escapes_the_comparison(
    rows: list[Any], bills: list[dict[str, Any]], wrong: str
) -> None:
    found = reconcile(rows, {"primary": bills}, PRICED)

    assert bool(found.wrong) is bool(wrong)
    assert wrong in "\n".join(found.wrong)
