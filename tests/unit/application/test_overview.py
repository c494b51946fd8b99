from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest

from application.admin_store import WorkerState
from application.overview import Overview
from application.store import GroupBy, UsageFilter
from domain.audit import Actor, AuditEntry
from domain.errors import Forbidden, ReauthenticationRequired
from domain.ledger import State
from domain.mail import Locale, MailKind, QueuedMail
from domain.team import Team
from domain.user import Principal, Role
from tests.builders import NOW, a_key, a_principal, a_token, a_user, an_entry
from tests.world import World

ADMIN = a_principal(user_id="usr_a", key_id="key_a", role=Role.ADMIN)
ALL = UsageFilter()
YESTERDAY = NOW - timedelta(days=1)

Visit = Callable[[Overview, Principal], object]

VISITS: dict[str, Visit] = {
    "usage": lambda overview, who: overview.usage(who, ALL, GroupBy.DAY),
    "records": lambda overview, who: overview.records(who, ALL, 9, None),
    "audit": lambda overview, who: overview.audit(who, None, None, 9, None),
    "export_audit": lambda overview, who: overview.export_audit(who),
    "status": lambda overview, who: overview.status(who),
}


@pytest.mark.parametrize("visit", VISITS.values(), ids=VISITS)
@pytest.mark.parametrize(
    ("who", "refusal"),
    [
        (a_principal(), Forbidden),
        (replace(ADMIN, scopes=a_principal(role=Role.MEMBER).rights), Forbidden),
        (replace(ADMIN, login=True, recent=False), ReauthenticationRequired),
    ],
    ids=["a member", "a key without the scope", "an old login"],
)
def test_only_administrators_with_the_scope_and_a_recent_login_come_in(world: World, visit: Visit, who, refusal):
    with pytest.raises(refusal):
        visit(world.overview, who)

    assert world.begin.begun == 1, "nothing was read"


@pytest.fixture
def used(world: World) -> World:
    """Ada used a key of her own and one of her team's, Bob his own."""
    entries = [
        an_entry(request_id="req_1", charged=10, started_at=YESTERDAY),
        an_entry(request_id="req_2", charged=20, key_id="key_t", state=State.FAILED),
        an_entry(request_id="req_3", charged=70, user_id="usr_2", key_id="key_b", model_used="acme/small"),
    ]
    with world.begin() as work:
        work.users.add(a_user(id="usr_2", email="bob@example.org"))
        work.teams.add(Team("team_1", "Red", NOW))
        work.keys.add(a_key(a_token(kid="t" * 10), id="key_t", team_id="team_1"))
    world.begin.rows.ledger |= {(it.request_id, 0, it.kind): it for it in entries}
    return world


@pytest.mark.parametrize(
    ("by", "costs"),
    [
        (GroupBy.DAY, [("2026-11-20", 10), ("2026-11-21", 90)]),
        (GroupBy.USER, [("usr_2", 70), ("usr_1", 30)]),
        (GroupBy.TEAM, [("", 80), ("team_1", 20)]),
        (GroupBy.MODEL, [("acme/small", 70), ("acme/large", 30)]),
        (GroupBy.KEY, [("key_b", 70), ("key_t", 20), ("key_1", 10)]),
    ],
)
def test_use_is_summed_up_in_groups(used: World, by: GroupBy, costs: list):
    assert [(group, total.cost) for group, total in used.overview.usage(ADMIN, ALL, by)] == costs


FILTERS = [
    (UsageFilter(user_id="usr_1"), ["req_2", "req_1"]),
    (UsageFilter(team_id="team_1"), ["req_2"]),
    (UsageFilter(key_id="key_b"), ["req_3"]),
    (UsageFilter(model="acme/large"), ["req_2", "req_1"]),
    (UsageFilter(since=date(2026, 11, 21)), ["req_3", "req_2"]),
    (UsageFilter(until=date(2026, 11, 20)), ["req_1"]),
]


@pytest.mark.parametrize(("wanted", "found"), [*FILTERS, (UsageFilter(state="failed"), ["req_2"])])
def test_records_are_everybodys_newest_first_and_filtered(used: World, wanted: UsageFilter, found: list[str]):
    assert [entry.request_id for entry in used.overview.records(ADMIN, wanted, 9, None)] == found


@pytest.mark.parametrize(("wanted", "found"), FILTERS)
def test_use_is_filtered_as_records_are(used: World, wanted: UsageFilter, found: list[str]):
    total = sum(total.requests for _, total in used.overview.usage(ADMIN, wanted, GroupBy.DAY))

    assert total == len(found)


def test_records_come_in_pages(used: World):
    assert [entry.request_id for entry in used.overview.records(ADMIN, ALL, 1, "req_3")] == ["req_2"]


def _log(world: World, number: int) -> None:
    rows = world.begin.rows.audit
    for index in range(number):
        actor = Actor(f"usr_{index % 2}", "key_1")
        entry = AuditEntry(f"aud_{index:06}", NOW, actor, "key.revoke" if index % 3 else "keyring.open", "key_9")
        rows[entry.id] = entry


@pytest.mark.parametrize(
    ("action", "user_id", "found"),
    [
        (None, None, [5, 4, 3, 2, 1, 0]),
        ("key", None, [5, 4, 2, 1]),
        ("key.revoke", "usr_0", [4, 2]),
        (None, "usr_1", [5, 3, 1]),
    ],
)
def test_the_log_is_read_newest_first_and_filtered(world: World, action, user_id, found: list[int]):
    _log(world, 6)

    entries = world.overview.audit(ADMIN, action, user_id, 9, None)
    assert [int(entry.id[4:]) for entry in entries] == found


def test_the_log_comes_in_pages(world: World):
    _log(world, 6)

    assert [entry.id for entry in world.overview.audit(ADMIN, None, None, 1, "aud_000003")] == ["aud_000002"]


@pytest.mark.parametrize("number", [0, 1, 500, 1_203])
def test_an_export_has_every_entry_once_and_holds_no_transaction_open(world: World, number: int):
    _log(world, number)
    seen: list[str] = []
    for entries in world.overview.export_audit(ADMIN):
        assert world.begin.open == 0
        assert len(entries) <= 500
        seen += [entry.id for entry in entries]

    assert seen == sorted(world.begin.rows.audit, reverse=True)


def test_status_shows_workers_that_told_of_themselves_lately_and_how_many_mails_wait(world: World):
    now = world.clock.now()
    with world.begin() as work:
        for id_, ago in (("wrk_1", 30), ("wrk_2", 31), ("wrk_3", 0)):
            work.workers.put(WorkerState(id_, "host", now, now - timedelta(seconds=ago), {"in_flight": 2}))
        work.outbox.put(QueuedMail("mail_1", MailKind.RESET, "a@example.org", Locale.EN, now, now))

    status = world.overview.status(ADMIN)
    assert ([worker.id for worker in status.workers], status.mails_waiting) == (["wrk_1", "wrk_3"], 1)
    assert status.workers[0].state == {"in_flight": 2}


def test_the_worker_that_is_asked_is_shown_as_it_is_now(world: World):
    now = world.clock.now()

    def report() -> None:
        with world.begin() as work:
            work.workers.put(WorkerState("wrk_1", "host", now, now, {"in_flight": 3}))

    world.reports.append(report)

    assert [worker.state for worker in world.overview.status(ADMIN).workers] == [{"in_flight": 3}]
