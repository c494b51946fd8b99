from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from application.admin_store import Claim
from application.limit_admin import BudgetState, LimitAdmin
from domain.audit import Actor
from domain.errors import Forbidden, NotFound, ReauthenticationRequired
from domain.limits import NO_LIMITS, Bound, Budget, Hold, Kind, Limits, Unit, Window
from domain.team import Team
from domain.user import Principal, Role
from tests.builders import KID, NOW, a_key, a_principal, a_token, a_user, an_entry
from tests.world import World

ADMIN = a_principal(user_id="usr_a", key_id="key_a", role=Role.ADMIN)
ACTOR = Actor("usr_a", "key_a", "192.0.2.7", "req_1")
DAILY = Budget(Unit.MONEY, Window.DAY, 5_000)
IN_ALL = Budget(Unit.TOKENS, Window.TOTAL, 20)
LIMITS = Limits(rpm=60, concurrency=2, budgets=(DAILY, IN_ALL))
SUBJECTS = [(Kind.KEY, "key_1"), (Kind.USER, "usr_1"), (Kind.TEAM, "team_1"), (Kind.GLOBAL, "")]


@pytest.fixture
def world(world: World) -> World:
    with world.begin() as work:
        work.users.add(a_user(id="usr_2", email="bob@example.org"))
        work.teams.add(Team("team_1", "Red", NOW))
        work.keys.add(a_key(a_token(kid="t" * 10), id="key_t", team_id="team_1"))
    return world


def audited(world: World) -> tuple[str, str, dict, dict]:
    (entry,) = world.begin.rows.audit.values()
    assert entry.actor == ACTOR
    return entry.action, entry.object_id, dict(entry.before), dict(entry.after)


Visit = Callable[[LimitAdmin, Principal], object]

READS: dict[str, Visit] = {
    "page": lambda admin, who: admin.page(who, Kind.USER),
    "get": lambda admin, who: admin.get(who, Kind.USER, "usr_1"),
    "keys": lambda admin, who: admin.keys(who, None, None, 9, None),
}
WRITES: dict[str, Visit] = {
    **{str(kind): lambda admin, who, it=(kind, id_): admin.put(who, *it, LIMITS, ACTOR) for kind, id_ in SUBJECTS},
    "revoke_key": lambda admin, who: admin.revoke_key(who, "key_1", ACTOR),
}


@pytest.mark.parametrize("visit", [*READS.values(), *WRITES.values()], ids=[*READS, *WRITES])
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
    before = world.begin.rows.copy()

    with pytest.raises(refusal):
        visit(world.limit_admin, who)

    assert world.begin.rows == before


@pytest.mark.parametrize("visit", WRITES.values(), ids=WRITES)
def test_a_change_that_cannot_be_audited_does_not_happen(world: World, visit: Visit):
    world.begin.rows.refuse_audit = OSError("the log is full")
    before = world.begin.rows.copy()

    with pytest.raises(OSError):
        visit(world.limit_admin, ADMIN)

    assert world.begin.rows == before
    assert world.forgotten == []


@pytest.mark.parametrize("name", [str(Kind.KEY), str(Kind.USER), "revoke_key"])
def test_only_owners_touch_what_is_an_owners(world: World, name: str):
    """An administrator who revokes or throttles an owner's only key would rule alone."""
    with world.begin() as work:
        work.users.save(a_user(role=Role.OWNER))
    before = world.begin.rows.copy()

    with pytest.raises(Forbidden):
        WRITES[name](world.limit_admin, ADMIN)

    assert world.begin.rows == before
    WRITES[name](world.limit_admin, replace(ADMIN, role=Role.OWNER))
    assert world.begin.rows.audit


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("kind", "subject_id"), SUBJECTS)
def test_limits_that_were_put_are_read_and_listed(world: World, kind: Kind, subject_id: str):
    world.limit_admin.put(ADMIN, kind, subject_id, LIMITS, ACTOR)

    assert world.limit_admin.get(ADMIN, kind, subject_id)[0] == LIMITS
    assert world.limit_admin.page(ADMIN, kind) == [Bound(kind, subject_id, LIMITS)]


def test_a_change_of_limits_is_audited_with_what_differs(world: World):
    with world.begin() as work:
        work.limits.put(Kind.USER, "usr_1", replace(LIMITS, rpm=10, budgets=()))
    world.limit_admin.put(ADMIN, Kind.USER, "usr_1", replace(LIMITS, budgets=(DAILY,)), ACTOR)

    daily = {"unit": "money", "window": "day", "amount": 5_000}
    before, after = {"rpm": 10, "budgets": []}, {"rpm": 60, "budgets": [daily]}
    assert audited(world) == ("limits.put", "user/usr_1", before, after)


def test_the_installation_has_a_name_in_the_log(world: World):
    world.limit_admin.put(ADMIN, Kind.GLOBAL, "", LIMITS, ACTOR)

    assert audited(world)[1] == "global/all"


def test_limits_that_are_so_already_are_no_change(world: World):
    world.limit_admin.put(ADMIN, Kind.KEY, "key_1", NO_LIMITS, ACTOR)

    assert (world.begin.rows.audit, world.forgotten) == ({}, [])


def test_no_limits_forget_the_subject(world: World):
    world.limit_admin.put(ADMIN, Kind.USER, "usr_1", LIMITS, ACTOR)
    world.limit_admin.put(ADMIN, Kind.USER, "usr_1", NO_LIMITS, ACTOR)

    assert world.limit_admin.page(ADMIN, Kind.USER) == []


def test_a_limited_key_is_looked_up_anew_at_once(world: World):
    world.limit_admin.put(ADMIN, Kind.USER, "usr_1", LIMITS, ACTOR)
    assert world.forgotten == []

    world.limit_admin.put(ADMIN, Kind.KEY, "key_1", LIMITS, ACTOR)
    assert world.forgotten == [KID]


@pytest.mark.parametrize(
    ("kind", "subject_id"),
    [(Kind.KEY, "usr_1"), (Kind.USER, "key_1"), (Kind.USER, "usr_2"), (Kind.TEAM, "team_2"), (Kind.GLOBAL, "all")],
)
def test_a_subject_that_is_not_or_no_more_has_no_limits(world: World, kind: Kind, subject_id: str):
    world.user_admin.delete(ADMIN, "usr_2", ACTOR)

    with pytest.raises(NotFound):
        world.limit_admin.get(ADMIN, kind, subject_id)
    with pytest.raises(NotFound):
        world.limit_admin.put(ADMIN, kind, subject_id, LIMITS, ACTOR)
    assert world.begin.rows.limits == {}


# ── budgets ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _use(world: World) -> None:
    """1,500 nano-units and 15 tokens, today; 100 more are reserved of the day."""
    entry = an_entry()
    world.begin.rows.ledger[entry.request_id, 0, entry.kind] = entry
    with world.begin() as work:
        hold = Hold(Kind.USER, "usr_1", Unit.MONEY, Window.DAY, NOW.date(), 100)
        work.budgets.reserve("req_2", [Claim(hold, 5_000)], NOW)


def test_a_budget_tells_what_is_used_reserved_and_left_and_when_it_begins_anew(world: World):
    _use(world)
    world.limit_admin.put(ADMIN, Kind.USER, "usr_1", LIMITS, ACTOR)

    _, (daily, in_all) = world.limit_admin.get(ADMIN, Kind.USER, "usr_1")

    assert daily == BudgetState(DAILY, 1_500, 100, datetime(2026, 11, 22, tzinfo=UTC))
    assert in_all == BudgetState(IN_ALL, 15, 0, None)
    assert (daily.left, in_all.left) == (3_400, 5)


def test_what_was_used_stays_counted_when_the_budget_changes(world: World):
    _use(world)
    world.limit_admin.put(ADMIN, Kind.USER, "usr_1", LIMITS, ACTOR)
    smaller = Limits(budgets=(replace(DAILY, amount=1_000),))
    world.limit_admin.put(ADMIN, Kind.USER, "usr_1", smaller, ACTOR)

    _, (state,) = world.limit_admin.get(ADMIN, Kind.USER, "usr_1")
    assert (state.used, state.reserved) == (1_500, 100)
    assert state.left == 0, "never less than nothing"


def test_how_ones_own_budgets_stand_needs_no_right(world: World):
    _use(world)

    assert [state.used for state in world.limit_admin.standing(Bound(Kind.USER, "usr_1", LIMITS))] == [1_500, 15]


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_keys_are_everybodys_or_those_of_a_user_or_team(world: World):
    with world.begin() as work:
        work.keys.add(a_key(a_token(kid="b" * 10), id="key_b", user_id="usr_2"))
    wanted = [(None, None), ("usr_1", None), ("usr_2", None), (None, "team_1"), ("usr_2", "team_1")]

    found = [[key.id for key in world.limit_admin.keys(ADMIN, *it, 9, None)] for it in wanted]

    assert found == [["key_t", "key_b", "key_1"], ["key_t", "key_1"], ["key_b"], ["key_t"], []]
    assert [key.id for key in world.limit_admin.keys(ADMIN, None, None, 1, "key_t")] == ["key_b"]


def test_a_revoked_key_is_looked_up_anew_at_once(world: World):
    world.limit_admin.revoke_key(ADMIN, "key_1", ACTOR)

    assert world.begin.rows.keys["key_1"].revoked_at == world.clock.now()
    assert world.forgotten == [KID]
    assert audited(world) == ("key.revoke", "key_1", {"revoked_at": None}, {"revoked_at": "2026-11-21T12:00:00+00:00"})


def test_revoking_twice_keeps_the_first_time(world: World):
    world.limit_admin.revoke_key(ADMIN, "key_1", ACTOR)
    world.clock.advance(60)
    world.limit_admin.revoke_key(ADMIN, "key_1", ACTOR)

    assert world.begin.rows.keys["key_1"].revoked_at == NOW
    assert len(world.begin.rows.audit) == 1


def test_a_key_that_is_not_cannot_be_revoked(world: World):
    with pytest.raises(NotFound):
        world.limit_admin.revoke_key(ADMIN, "key_2", ACTOR)
