from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from application.admin_store import Claim
from application.keys import OVERLAP, KeyOrder
from domain.api_key import ApiKey, digest, parts_of
from domain.audit import SYSTEM, Actor
from domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, ReauthenticationRequired
from domain.limits import EPOCH, NO_LIMITS, Budget, Hold, Kind, Limits, Unit, Window
from domain.team import Membership, Team, TeamRole
from domain.user import EVERYDAY, Principal, Role, Scope
from tests.builders import NOW, a_key, a_principal, a_token, a_user
from tests.memory_accounts import MemoryKeys
from tests.world import World

ACTOR = Actor("usr_1", "log_1", "192.0.2.1", "req_1")
ADA = a_principal(key_id="log_1", login=True)
STALE = replace(ADA, recent=False)
EVE = a_principal(user_id="usr_2", key_id="log_2", login=True)
BOB = a_principal(user_id="usr_3", key_id="log_3", login=True)
DAY = Budget(Unit.MONEY, Window.DAY, 2_500_000_000)
LIMITS = Limits(rpm=60, tpm=10_000, concurrency=4, budgets=(DAY, Budget(Unit.TOKENS, Window.TOTAL, 1_000)))
TOMORROW = NOW + timedelta(days=1)


@pytest.fixture
def world() -> World:
    """Ada leads a team that Eve is a member of; Bob is in none."""
    world = World()
    with world.begin() as work:
        work.users.add(a_user(id="usr_2", email="eve@example.org"))
        work.users.add(a_user(id="usr_3", email="bob@example.org"))
        work.teams.add(Team("team_1", "Analysts", NOW))
        work.teams.put_member(Membership("team_1", "usr_1", TeamRole.LEAD))
        work.teams.put_member(Membership("team_1", "usr_2", TeamRole.MEMBER))
    return world


def make(world: World, principal: Principal = ADA, **order) -> ApiKey:
    return world.keys.create(principal, KeyOrder(**{"name": "ci", **order}), ACTOR)[0]


def stored(world: World, key_id: str) -> ApiKey:
    with world.begin() as work:
        found = work.keys.get(key_id)
    assert found is not None
    return found


def a_maker(world: World, **fields) -> Principal:
    """A key of Ada's that may make keys."""
    token = a_token(kid="m" * 10)
    limits = fields.pop("limits", NO_LIMITS)
    key = a_key(token, id="key_m", **{"scopes": frozenset({Scope.KEYS, Scope.CHAT}), **fields})
    with world.begin() as work:
        work.keys.add(key)
        work.limits.put(Kind.KEY, key.id, limits)
    return world.identity.authenticate(token)


def actions(world: World) -> list[str]:
    return [entry.action for entry in world.begin.rows.audit.values()]


# ── making ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_key_works_and_only_its_digest_is_stored(world: World):
    order = KeyOrder("ci", frozenset({Scope.CHAT}), ("acme/*",), LIMITS, expires_at=TOMORROW)
    key, token = world.keys.create(ADA, order, ACTOR)

    assert stored(world, key.id) == key
    assert (key.name, key.scopes, key.models, key.limits) == ("ci", order.scopes, order.models, LIMITS)
    assert (key.expires_at, key.user_id, key.created_at) == (TOMORROW, "usr_1", NOW)
    assert (key.digest, key.last4, ("test", key.kid)) == (digest(token), token[-4:], parts_of(token))
    assert world.identity.authenticate(token).key_id == key.id


def test_a_key_whose_maker_says_nothing_may_do_what_is_everyday(world: World):
    assert make(world).scopes == EVERYDAY


def test_a_new_key_is_audited_without_its_secret(world: World):
    key, token = world.keys.create(ADA, KeyOrder("ci", limits=LIMITS, expires_at=TOMORROW), ACTOR)
    (entry,) = world.begin.rows.audit.values()

    assert (entry.action, entry.object_id, entry.actor, entry.before) == ("key.create", key.id, ACTOR, {})
    assert entry.after == {
        "name": "ci",
        "user_id": "usr_1",
        "team_id": None,
        "scopes": sorted(EVERYDAY),
        "models": [],
        "limits": {
            "rpm": 60,
            "tpm": 10_000,
            "concurrency": 4,
            "budgets": ["2.5 per day", "1,000 tokens in all"],
            "shadow": False,
        },
        "heartbeats": True,
        "expires_at": "2026-11-22T12:00:00+00:00",
        "replaced_by": None,
    }
    assert token[-49:] not in str(entry)
    assert digest(token).hex() not in str(entry)


def test_a_key_that_cannot_be_audited_is_not_made(world: World):
    world.begin.rows.refuse_audit = RuntimeError("full")

    with pytest.raises(RuntimeError):
        make(world)
    assert set(world.begin.rows.keys) == {"key_1"}


@pytest.mark.parametrize("scopes", [{Scope.ADMIN}, {Scope.CHAT, Scope.ADMIN}])
def test_nobody_gives_what_they_do_not_have(world: World, scopes):
    with pytest.raises(Forbidden, match="admin"):
        make(world, scopes=frozenset(scopes))


@pytest.mark.parametrize("scopes", [frozenset(), frozenset({Scope.IMAGES}), EVERYDAY])
def test_a_key_makes_none_that_may_do_more_than_itself(world: World, scopes):
    with pytest.raises(Forbidden) as refused:
        make(world, a_maker(world), scopes=scopes)

    assert refused.value.param == "scopes"


def test_a_key_with_the_scope_makes_keys(world: World):
    assert make(world, a_maker(world), scopes=frozenset({Scope.CHAT})).user_id == "usr_1"


def test_a_key_that_may_do_all_of_its_role_makes_one_that_may_too(world: World):
    assert make(world, a_maker(world, scopes=frozenset()), scopes=frozenset()).scopes == frozenset()


@pytest.mark.parametrize(
    "fields", [{"models": ("acme/*",)}, {"limits": Limits(rpm=1)}, {"limits": Limits(shadow=True)}]
)
def test_what_is_limited_makes_nothing_that_is_not(world: World, fields):
    maker = a_maker(world, **fields)

    with pytest.raises(Forbidden, match="limits of its own"):
        make(world, maker, scopes=frozenset({Scope.CHAT}))


def test_a_key_that_is_gone_makes_none(world: World):
    with pytest.raises(Forbidden):
        make(world, a_principal(key_id="key_9"))


@pytest.mark.parametrize(("ends", "allowed"), [(None, False), (TOMORROW + timedelta(1), False), (TOMORROW, True)])
def test_a_key_makes_none_that_outlives_it(world: World, ends, allowed):
    maker = a_maker(world, expires_at=TOMORROW)

    if allowed:
        assert make(world, maker, scopes=frozenset({Scope.CHAT}), expires_at=ends).expires_at == ends
    else:
        with pytest.raises(Forbidden, match="longer"):
            make(world, maker, scopes=frozenset({Scope.CHAT}), expires_at=ends)


def test_a_key_cannot_prolong_itself(world: World):
    maker = a_maker(world, expires_at=TOMORROW)

    with pytest.raises(Forbidden, match="longer"):
        world.keys.change(maker, "key_m", {"expires_at": None}, ACTOR)


@pytest.mark.parametrize(
    ("order", "param"),
    [
        ({"expires_at": NOW}, "expires_at"),
        ({"expires_at": NOW - timedelta(seconds=1)}, "expires_at"),
        ({"models": ("acme/*", "")}, "models"),
        ({"models": ("acme large",)}, "models"),
        ({"models": ("acme/größe",)}, "models"),
        ({"models": ("acme/\n",)}, "models"),
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 101}, "name"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(world: World, order, param):
    with pytest.raises(InvalidRequest) as refused:
        make(world, **order)

    assert refused.value.param == param


# ── who may ──────────────────────────────────────────────────────────────────────────────────────────────────────

CHANGES = [
    lambda keys, who, key_id: keys.change(who, key_id, {"name": "new"}, ACTOR),
    lambda keys, who, key_id: keys.rotate(who, key_id, OVERLAP, ACTOR),
    lambda keys, who, key_id: keys.revoke(who, key_id, ACTOR),
]


@pytest.mark.parametrize("change", [*CHANGES, lambda keys, who, _: keys.create(who, KeyOrder("ci"), ACTOR)])
def test_every_change_needs_a_recent_login(world: World, change):
    with pytest.raises(ReauthenticationRequired):
        change(world.keys, STALE, "key_1")


@pytest.mark.parametrize("change", [*CHANGES, lambda keys, who, _: keys.create(who, KeyOrder("ci"), ACTOR)])
@pytest.mark.parametrize(
    "who", [a_principal(scopes=frozenset({Scope.CHAT})), a_principal(role=Role.VIEWER, login=True)], ids=["key", "role"]
)
def test_every_change_needs_the_right_to_it(world: World, change, who):
    with pytest.raises(Forbidden, match="keys"):
        change(world.keys, who, "key_1")


@pytest.mark.parametrize("change", [*CHANGES, lambda keys, who, key_id: keys.get(who, key_id)])
@pytest.mark.parametrize("key_id", ["key_1", "key_9"])
def test_other_peoples_keys_do_not_exist(world: World, change, key_id):
    before = world.begin.rows.copy()

    with pytest.raises(NotFound):
        change(world.keys, EVE, key_id)
    assert world.begin.rows == before


def test_pages_hold_ones_own_keys_from_new_to_old(world: World):
    made = [make(world).id for _ in range(3)]
    make(world, EVE)
    world.begin.rows.keys.pop("key_1")
    first = [key.id for key in world.keys.page(ADA, None, 2, None)]

    assert first == made[:0:-1]
    assert [key.id for key in world.keys.page(ADA, None, 9, first[-1])] == made[:1]


def test_a_key_tells_about_itself_and_a_login_has_none(world: World):
    assert world.keys.describe(a_principal()).id == "key_1"
    assert world.keys.get(ADA, "key_1").name == "laptop"
    for nobody in (ADA, replace(ADA, key_id="key_1"), a_principal(key_id="key_9")):
        with pytest.raises(NotFound):
            world.keys.describe(nobody)


# ── teams ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_lead_makes_keys_that_the_team_sees(world: World):
    key = make(world, team_id="team_1")

    assert world.keys.get(EVE, key.id) == key
    assert world.keys.page(EVE, "team_1", 9, None) == [key]
    assert world.keys.page(EVE, None, 9, None) == []


@pytest.mark.parametrize("who", [EVE, BOB])
@pytest.mark.parametrize("team_id", ["team_1", "team_9"])
def test_who_leads_no_such_team_makes_no_keys_for_it(world: World, who, team_id):
    with pytest.raises(NotFound):
        make(world, who, team_id=team_id)


@pytest.mark.parametrize("change", CHANGES)
def test_a_mere_member_changes_no_key_of_the_team(world: World, change):
    key = make(world, team_id="team_1")

    with pytest.raises(Forbidden, match="lead"):
        change(world.keys, EVE, key.id)
    with pytest.raises(NotFound):
        change(world.keys, BOB, key.id)
    assert stored(world, key.id) == key


def test_the_keys_of_a_foreign_team_are_not_listed(world: World):
    with pytest.raises(NotFound):
        world.keys.page(BOB, "team_1", 9, None)


def test_who_left_the_team_sees_its_keys_no_more(world: World):
    key = make(world, team_id="team_1")
    with world.begin() as work:
        work.teams.remove_member("team_1", "usr_1")

    with pytest.raises(NotFound):
        world.keys.get(ADA, key.id)


def test_a_key_of_a_team_knows_only_keys_of_the_team(world: World):
    with world.begin() as work:
        work.teams.add(Team("team_2", "Other", NOW))
        work.teams.put_member(Membership("team_2", "usr_1", TeamRole.LEAD))
    maker, chat = a_maker(world, team_id="team_1"), frozenset({Scope.CHAT})
    made = make(world, maker, scopes=chat, team_id="team_1")

    assert [key.id for key in world.keys.page(maker, None, 9, None)] == ["key_m", made.id]
    for escape in (None, "team_2"):
        with pytest.raises(NotFound):
            make(world, maker, scopes=chat, team_id=escape)
    with pytest.raises(NotFound):
        world.keys.page(maker, "team_2", 9, None)
    with pytest.raises(NotFound):
        world.keys.get(maker, "key_1")


def _of_an_owner(world: World, scopes: frozenset[Scope]) -> ApiKey:
    """A team's key that an owner made, while Ada leads the team as well."""
    with world.begin() as work:
        work.users.add(a_user(id="usr_9", email="owner@example.org", role=Role.OWNER))
        work.teams.put_member(Membership("team_1", "usr_9", TeamRole.LEAD))
    owner = a_principal(user_id="usr_9", key_id="log_9", login=True, role=Role.OWNER)
    return make(world, owner, scopes=scopes, team_id="team_1")


@pytest.mark.parametrize("scopes", [frozenset(), frozenset({Scope.CHAT})])
def test_a_lead_who_changes_the_scopes_of_a_teams_key_lends_only_her_own_rights(world: World, scopes):
    key = _of_an_owner(world, frozenset({Scope.USAGE_READ}))
    world.keys.change(ADA, key.id, {"scopes": scopes}, ACTOR)

    assert stored(world, key.id).user_id == "usr_1"


def test_a_lead_who_changes_something_else_leaves_the_key_to_its_user(world: World):
    key = _of_an_owner(world, frozenset({Scope.USAGE_READ}))
    world.keys.change(ADA, key.id, {"name": "new"}, ACTOR)

    assert stored(world, key.id).user_id == "usr_9"


def test_rotating_somebody_elses_key_takes_over_none_of_their_rights(world: World):
    key = _of_an_owner(world, frozenset({Scope.CHAT}))
    mighty = _of_an_owner_again(world, key)
    new, _ = world.keys.rotate(ADA, key.id, OVERLAP, ACTOR)

    assert new.user_id == "usr_1"
    with pytest.raises(Forbidden, match="admin"):
        world.keys.rotate(ADA, mighty.id, OVERLAP, ACTOR)


def test_a_key_with_all_of_its_makers_role_has_no_more_of_it_when_a_mightier_lead_rotates_it(world: World):
    """The team that gets the new token shall not administer with it."""
    key = make(world, team_id="team_1", scopes=frozenset())
    with world.begin() as work:
        work.users.add(a_user(id="usr_a", email="admin@example.org", role=Role.ADMIN))
        work.teams.put_member(Membership("team_1", "usr_a", TeamRole.LEAD))
    admin = replace(ADA, user_id="usr_a", role=Role.ADMIN)

    new, _ = world.keys.rotate(admin, key.id, OVERLAP, ACTOR)
    own, _ = world.keys.rotate(admin, new.id, OVERLAP, ACTOR)

    assert new.scopes == own.scopes == EVERYDAY | {Scope.KEYS}


def test_a_lesser_lead_rotates_a_key_with_all_of_its_makers_role_into_one_with_all_of_the_own(world: World):
    key = _of_an_owner(world, frozenset())

    new, _ = world.keys.rotate(ADA, key.id, OVERLAP, ACTOR)

    assert new.scopes == EVERYDAY | {Scope.KEYS}


def _of_an_owner_again(world: World, key: ApiKey) -> ApiKey:
    mighty = replace(key, id="key_mighty", kid="y" * 10, scopes=frozenset({Scope.ADMIN}))
    with world.begin() as work:
        work.keys.add(mighty)
    return mighty


# ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_change_changes_what_it_names(world: World):
    key = make(world, models=("acme/*",))
    changed = world.keys.change(ADA, key.id, {"name": "new", "expires_at": TOMORROW}, ACTOR)

    assert changed == stored(world, key.id) == replace(key, name="new", expires_at=TOMORROW)
    assert world.forgotten == [key.kid]


def test_a_change_is_audited_with_what_differs(world: World):
    key = make(world)
    world.keys.change(ADA, key.id, {"name": "new", "models": ("acme/*",), "scopes": key.scopes}, ACTOR)
    *_, entry = world.begin.rows.audit.values()

    assert (entry.action, entry.object_id, entry.actor) == ("key.change", key.id, ACTOR)
    assert (entry.before, entry.after) == ({"name": "ci", "models": []}, {"name": "new", "models": ["acme/*"]})


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"scopes": frozenset({Scope.ADMIN})}, Forbidden),
        ({"expires_at": NOW}, InvalidRequest),
        ({"models": ("",)}, InvalidRequest),
        ({"name": " "}, InvalidRequest),
    ],
)
def test_a_change_is_checked_as_an_order_is(world: World, changes, kind):
    with pytest.raises(kind):
        world.keys.change(ADA, "key_1", changes, ACTOR)


def test_a_revoked_key_is_changed_no_more(world: World):
    world.keys.revoke(ADA, "key_1", ACTOR)

    with pytest.raises(Conflict):
        world.keys.change(ADA, "key_1", {"name": "new"}, ACTOR)


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"rpm": 60, "tpm": 9_999},
        {"concurrency": 1},
        {"budgets": (replace(DAY, amount=1), LIMITS.budgets[1])},
        {"budgets": (*LIMITS.budgets, Budget(Unit.MONEY, Window.MONTH, 10**12))},
    ],
)
def test_limits_are_made_tighter_by_their_user(world: World, limits):
    key = make(world, limits=LIMITS)
    changed = world.keys.change(ADA, key.id, {"limits": limits}, ACTOR)

    assert changed.limits == stored(world, key.id).limits == replace(LIMITS, **limits)


@pytest.mark.parametrize(
    "limits",
    [
        {"rpm": 61},
        {"tpm": None},
        {"concurrency": 5},
        {"budgets": ()},
        {"budgets": (DAY,)},
        {"budgets": (replace(DAY, amount=DAY.amount + 1), LIMITS.budgets[1])},
        {"budgets": (replace(DAY, window=Window.WEEK), LIMITS.budgets[1])},
        {"budgets": (replace(DAY, unit=Unit.TOKENS), LIMITS.budgets[1])},
    ],
)
def test_limits_are_never_widened_by_their_user(world: World, limits):
    key = make(world, limits=LIMITS)

    with pytest.raises(Forbidden) as refused:
        world.keys.change(ADA, key.id, {"limits": limits}, ACTOR)
    assert refused.value.param == "limits"
    assert stored(world, key.id).limits == LIMITS


def test_shadow_mode_stays_as_the_administrator_set_it(world: World):
    with world.begin() as work:
        work.limits.put(Kind.KEY, "key_1", Limits(rpm=5, shadow=True))

    assert world.keys.change(ADA, "key_1", {"limits": {"rpm": 4}}, ACTOR).limits == Limits(rpm=4, shadow=True)


# ── rotating and revoking ────────────────────────────────────────────────────────────────────────────────────────


def test_a_rotated_key_has_an_heir_with_the_same_rights_and_goes_on_for_a_while(world: World):
    order = KeyOrder("ci", frozenset({Scope.CHAT}), ("acme/*",), LIMITS, heartbeats=False, team_id="team_1")
    key, token = world.keys.create(ADA, order, ACTOR)
    new, fresh = world.keys.rotate(ADA, key.id, timedelta(hours=1), ACTOR)
    old = stored(world, key.id)

    assert (new.name, new.scopes, new.models, new.limits) == (key.name, key.scopes, key.models, LIMITS)
    assert (new.team_id, new.heartbeats, new.expires_at, new.replaced_by) == ("team_1", False, None, None)
    assert stored(world, new.id) == new
    assert (old.replaced_by, old.expires_at) == (new.id, NOW + timedelta(hours=1))
    assert world.forgotten == [key.kid]
    world.clock.advance(3_599)
    assert {world.identity.authenticate(it).key_id for it in (token, fresh)} == {key.id, new.id}


def test_an_overlap_never_prolongs_a_key(world: World):
    ends = NOW + timedelta(minutes=5)
    key = make(world, expires_at=ends)
    new, _ = world.keys.rotate(ADA, key.id, OVERLAP, ACTOR)

    assert (stored(world, key.id).expires_at, new.expires_at) == (ends, ends)


def test_the_heir_of_a_key_goes_on_with_what_is_left_of_its_budgets(world: World):
    key = make(world, limits=LIMITS)
    hold = Hold(Kind.KEY, key.id, Unit.MONEY, Window.DAY, NOW.date(), 30)
    with world.begin() as work:
        work.budgets.reserve("req_1", [Claim(hold, DAY.amount)], NOW)

    new, _ = world.keys.rotate(ADA, key.id, OVERLAP, ACTOR)

    with world.begin() as work:
        assert work.budgets.standing(Kind.KEY, new.id, Unit.MONEY, Window.DAY, NOW.date()).used == 30
        assert work.budgets.standing(Kind.KEY, new.id, Unit.TOKENS, Window.TOTAL, EPOCH).used == 0


@pytest.mark.parametrize(
    "act",
    [
        lambda keys, key: keys.rotate(ADA, key.id, OVERLAP, ACTOR),
        lambda keys, key: keys.change(ADA, key.id, {"name": "new"}, ACTOR),
        lambda keys, key: keys.revoke(ADA, key.id, ACTOR),
    ],
    ids=["rotate", "change", "revoke"],
)
def test_a_key_is_changed_as_it_is_when_nobody_else_can_change_it(world: World, monkeypatch, act):
    """Of two rotations at once the second finds what the first made of the key, and no change undoes one."""
    key, lock = make(world), MemoryKeys.lock
    monkeypatch.setattr(MemoryKeys, "lock", lambda keys, id_: keys.revoke(id_, NOW) and lock(keys, id_))

    with suppress(Conflict):
        act(world.keys, key)

    assert [it.action for it in world.begin.rows.audit.values()] == ["key.create"]


def test_nobody_locks_the_key_of_a_stranger(world: World, monkeypatch):
    monkeypatch.setattr(MemoryKeys, "lock", lambda *_: pytest.fail("it was locked"))

    with pytest.raises(NotFound):
        world.keys.revoke(BOB, "key_1", ACTOR)


def test_a_rotation_is_audited_on_both_keys(world: World):
    new, token = world.keys.rotate(ADA, "key_1", timedelta(0), ACTOR)
    made, rotated = world.begin.rows.audit.values()

    assert (made.action, made.object_id, rotated.action, rotated.object_id) == (
        "key.create",
        new.id,
        "key.rotate",
        "key_1",
    )
    assert rotated.before == {"expires_at": None, "replaced_by": None}
    assert rotated.after == {"expires_at": "2026-11-21T12:00:00+00:00", "replaced_by": new.id}
    assert token[-49:] not in str((made, rotated))


def test_a_key_that_is_over_is_not_rotated(world: World):
    rotated, revoked, expired = make(world), make(world), make(world, expires_at=NOW + timedelta(seconds=1))
    world.keys.rotate(ADA, rotated.id, OVERLAP, ACTOR)
    world.keys.revoke(ADA, revoked.id, ACTOR)
    world.clock.advance(2)

    for key in (rotated, revoked, expired):
        with pytest.raises(Conflict):
            world.keys.rotate(ADA, key.id, OVERLAP, ACTOR)


def test_a_key_that_ends_makes_no_lasting_one_by_rotation(world: World):
    maker = a_maker(world, scopes=frozenset(), expires_at=TOMORROW)

    with pytest.raises(Forbidden, match="longer"):
        world.keys.rotate(maker, "key_1", OVERLAP, ACTOR)
    assert world.keys.rotate(maker, "key_m", OVERLAP, ACTOR)[0].expires_at == TOMORROW


def test_a_revoked_key_is_forgotten_at_once_and_revoking_again_changes_nothing(world: World):
    world.keys.revoke(ADA, "key_1", ACTOR)
    world.clock.advance(60)
    world.keys.revoke(ADA, "key_1", ACTOR)
    (entry,) = world.begin.rows.audit.values()

    assert stored(world, "key_1").revoked_at == NOW
    assert world.forgotten == [a_key().kid] * 2
    assert (entry.action, entry.object_id, entry.actor) == ("key.revoke", "key_1", ACTOR)
    assert (entry.before, entry.after) == ({"revoked_at": None}, {"revoked_at": NOW.isoformat()})


# ── the command line ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_line_makes_keys_for_anybody(world: World):
    key, token = world.keys.issue("Ada@Example.org", KeyOrder("cron", limits=LIMITS))
    (entry,) = world.begin.rows.audit.values()

    assert stored(world, key.id) == key
    assert (key.user_id, key.limits, parts_of(token)[1]) == ("usr_1", LIMITS, key.kid)
    assert (entry.action, entry.actor) == ("key.create", SYSTEM)
    with pytest.raises(NotFound):
        world.keys.issue("nobody@example.org", KeyOrder("cron"))
    with pytest.raises(InvalidRequest):
        world.keys.issue("ada@example.org", KeyOrder("cron", expires_at=datetime(2020, 1, 1, tzinfo=UTC)))


def test_the_command_line_lists_all_keys(world: World):
    with world.begin() as work:
        for number in range(250):
            work.keys.add(a_key(a_token(kid=f"{number:010}"), id=f"key_2{number:03}", user_id="usr_2"))

    assert [key.id for key in world.keys.all()] == [*(f"key_2{it:03}" for it in range(249, -1, -1)), "key_1"]


@pytest.mark.parametrize("name", ["key_1", a_key().kid])
def test_the_command_line_revokes_by_id_or_kid(world: World, name):
    world.keys.revoke_any(name)

    assert stored(world, "key_1").revoked_at == NOW
    assert actions(world) == ["key.revoke"]
    assert world.forgotten == [a_key().kid]
    with pytest.raises(NotFound):
        world.keys.revoke_any("key_9")


def test_what_the_installation_adds_is_stored_with_its_limits(world: World):
    with world.begin() as work:
        key, _ = world.keys.add(work, a_user(), KeyOrder("first", frozenset(), limits=LIMITS))

    assert stored(world, key.id) == key
