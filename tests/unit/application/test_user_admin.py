from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from application.account_store import SecondFactor
from application.user_admin import UserAdmin, UserChange
from domain.api_key import SECRET_LENGTH, digest
from domain.audit import Actor
from domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, ParleyError, ReauthenticationRequired
from domain.login import Login
from domain.mail import Locale, MailKind
from domain.one_time_token import OneTimeToken, Purpose
from domain.team import Membership, Team, TeamRole
from domain.user import Principal, Role, User
from tests.builders import NOW, a_key, a_principal, a_token, a_user
from tests.memory_accounts import MemoryTokens, MemoryUsers
from tests.world import World

OWNER = a_principal(user_id="usr_o", key_id="key_o", role=Role.OWNER)
ADMIN = a_principal(user_id="usr_a", key_id="key_a", role=Role.ADMIN)
ACTOR = Actor("usr_a", "key_a", "192.0.2.7", "req_1")
SECRETS = ("plain:secret", "sealed", "recovery", "digest")


@pytest.fixture
def world(world: World) -> World:
    """Beside Ada, a member with a second factor, an owner, an administrator, and an open invitation."""
    with world.begin() as work:
        work.users.save(a_user(name="Ada", password_hash="plain:secret", totp=True))
        work.users.add(a_user(id="usr_a", email="admin@example.org", role=Role.ADMIN))
        work.users.add(a_user(id="usr_o", email="owner@example.org", role=Role.OWNER))
        work.factors.put(SecondFactor("usr_1", b"sealed", confirmed=True), [b"recovery"])
        work.logins.add(a_login())
        work.tokens.add(an_invitation())
    return world


def a_login(**fields) -> Login:
    given = {"id": "login_1", "kid": "k" * 10, "user_id": "usr_1", "digest": b"digest"}
    return Login(**{**given, "created_at": NOW, "seen_at": NOW, "authenticated_at": NOW, **fields})


def an_invitation(**fields) -> OneTimeToken:
    given = {"id": "inv_1", "purpose": Purpose.INVITE, "digest": b"digest", "email": "eve@example.org"}
    times = {"created_at": NOW, "expires_at": NOW + timedelta(days=7)}
    return OneTimeToken(**{**given, **times, "role": Role.MEMBER, **fields})


def audited(world: World) -> tuple[str, str, dict, dict]:
    (entry,) = world.begin.rows.audit.values()
    assert entry.actor == ACTOR
    return entry.action, entry.object_id, dict(entry.before), dict(entry.after)


def running(world: World) -> list[str]:
    return [login.id for login in world.begin.rows.logins.values() if login.ended_at is None]


# ── what holds for every method ──────────────────────────────────────────────────────────────────────────────────

Visit = Callable[[UserAdmin, Principal], object]

READS: dict[str, Visit] = {
    "page": lambda admin, who: admin.page(who, 9, None),
    "get": lambda admin, who: admin.get(who, "usr_1"),
    "logins": lambda admin, who: admin.logins(who, "usr_1"),
    "invitations": lambda admin, who: admin.invitations(who),
}
WRITES: dict[str, Visit] = {
    "create": lambda admin, who: admin.create(who, "new@example.org", "New", Role.MEMBER, ACTOR),
    "rename": lambda admin, who: admin.change(who, "usr_1", UserChange(name="Countess"), ACTOR),
    "promote": lambda admin, who: admin.change(who, "usr_1", UserChange(role=Role.ADMIN), ACTOR),
    "disable": lambda admin, who: admin.change(who, "usr_1", UserChange(disabled=True), ACTOR),
    "delete": lambda admin, who: admin.delete(who, "usr_1", ACTOR),
    "end_logins": lambda admin, who: admin.end_logins(who, "usr_1", ACTOR),
    "remove_second_factor": lambda admin, who: admin.remove_second_factor(who, "usr_1", ACTOR),
    "invite": lambda admin, who: admin.invite(who, "new@example.org", Role.VIEWER, Locale.EN, ACTOR),
    "withdraw": lambda admin, who: admin.withdraw(who, "inv_1", ACTOR),
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
        visit(world.user_admin, who)

    assert world.begin.rows == before


@pytest.mark.parametrize("visit", [*READS.values(), *WRITES.values()], ids=[*READS, *WRITES])
def test_a_member_does_not_learn_who_exists(world: World, visit: Visit):
    world.begin.rows.users.clear()

    with pytest.raises(Forbidden):
        visit(world.user_admin, a_principal())


@pytest.mark.parametrize("visit", WRITES.values(), ids=WRITES)
def test_a_change_that_cannot_be_audited_does_not_happen(world: World, visit: Visit):
    world.begin.rows.refuse_audit = OSError("the log is full")
    before = world.begin.rows.copy()

    with pytest.raises(OSError):
        visit(world.user_admin, ADMIN)

    assert world.begin.rows == before


@pytest.mark.parametrize("visit", WRITES.values(), ids=WRITES)
def test_every_change_is_audited_once_and_without_a_secret(world: World, visit: Visit):
    before = world.begin.rows.copy()
    visit(world.user_admin, ADMIN)

    _, _, was, is_ = audited(world)
    written = f"{was} {is_}"
    assert world.begin.rows != before
    assert not [secret for secret in SECRETS if secret in written]
    assert not {"password_hash", "digest", "token"} & {*was, *is_}


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pages_go_from_new_to_old_without_those_who_were_deleted(world: World):
    with world.begin() as work:
        for number in range(2, 9):
            work.users.add(a_user(id=f"usr_{number}", email=f"{number}@example.org"))
    for number in (7, 5, 4):
        world.user_admin.delete(ADMIN, f"usr_{number}", ACTOR)

    first = world.user_admin.page(ADMIN, 4, None)
    second = world.user_admin.page(ADMIN, 9, first[-1].id)

    assert [user.id for user in first] == ["usr_o", "usr_a", "usr_8", "usr_6"]
    assert [user.id for user in second] == ["usr_3", "usr_2", "usr_1"]


def test_a_user_is_found_by_id(world: World):
    assert world.user_admin.get(ADMIN, "usr_1").name == "Ada"


def test_logins_are_those_that_still_run(world: World):
    with world.begin() as work:
        work.logins.add(a_login(id="login_2", kid="l" * 10, seen_at=NOW - timedelta(days=1)))
        work.logins.add(a_login(id="login_3", kid="m" * 10, ended_at=NOW))
        work.logins.add(a_login(id="login_4", kid="n" * 10))
        work.logins.add(a_login(id="login_5", kid="o" * 10, user_id="usr_a"))

    assert [login.id for login in world.user_admin.logins(ADMIN, "usr_1")] == ["login_4", "login_1"]


@pytest.mark.parametrize("name", ["get", "logins", "rename", "promote", "disable", "delete", "end_logins"])
@pytest.mark.parametrize("deleted", [True, False])
def test_a_user_who_is_not_or_no_more_is_not_found(world: World, name: str, deleted: bool):
    if deleted:
        world.user_admin.delete(ADMIN, "usr_1", ACTOR)
    else:
        del world.begin.rows.users["usr_1"]

    with pytest.raises(NotFound):
        {**READS, **WRITES}[name](world.user_admin, ADMIN)


# ── owners ───────────────────────────────────────────────────────────────────────────────────────────────────────

TOUCHES: dict[str, Visit] = {
    "make one": lambda admin, who: admin.create(who, "new@example.org", "", Role.OWNER, ACTOR),
    "invite one": lambda admin, who: admin.invite(who, "new@example.org", Role.OWNER, Locale.EN, ACTOR),
    "promote": lambda admin, who: admin.change(who, "usr_1", UserChange(role=Role.OWNER), ACTOR),
    "rename": lambda admin, who: admin.change(who, "usr_p", UserChange(name="X"), ACTOR),
    "demote": lambda admin, who: admin.change(who, "usr_p", UserChange(role=Role.ADMIN), ACTOR),
    "disable": lambda admin, who: admin.change(who, "usr_p", UserChange(disabled=True), ACTOR),
    "delete": lambda admin, who: admin.delete(who, "usr_p", ACTOR),
    "end_logins": lambda admin, who: admin.end_logins(who, "usr_p", ACTOR),
    "remove_second_factor": lambda admin, who: admin.remove_second_factor(who, "usr_p", ACTOR),
}


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
def test_only_owners_touch_owners_or_make_them(world: World, touch: Visit):
    with world.begin() as work:
        work.users.add(a_user(id="usr_p", email="peer@example.org", role=Role.OWNER, totp=True))
    before = world.begin.rows.copy()

    with pytest.raises(Forbidden):
        touch(world.user_admin, ADMIN)
    assert world.begin.rows == before

    touch(world.user_admin, OWNER)
    assert audited(world)


@pytest.mark.parametrize(
    "leave",
    [
        lambda admin: admin.change(OWNER, "usr_o", UserChange(role=Role.ADMIN), ACTOR),
        lambda admin: admin.change(OWNER, "usr_o", UserChange(disabled=True), ACTOR),
        lambda admin: admin.delete(OWNER, "usr_o", ACTOR),
    ],
    ids=["demote", "disable", "delete"],
)
def test_the_last_enabled_owner_stays(world: World, leave: Callable[[UserAdmin], object]):
    with world.begin() as work:
        work.users.add(a_user(id="usr_p", email="peer@example.org", role=Role.OWNER, disabled=True))
    before = world.begin.rows.copy()

    with pytest.raises(Conflict):
        leave(world.user_admin)
    assert world.begin.rows == before

    world.user_admin.change(OWNER, "usr_p", UserChange(disabled=False), ACTOR)
    leave(world.user_admin)


def test_the_last_owner_may_be_renamed_and_a_disabled_one_deleted(world: World):
    with world.begin() as work:
        work.users.add(a_user(id="usr_p", email="peer@example.org", role=Role.OWNER, disabled=True))

    assert world.user_admin.change(OWNER, "usr_o", UserChange(name="Boss"), ACTOR).name == "Boss"
    world.user_admin.delete(OWNER, "usr_p", ACTOR)


# ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_user_is_made_without_a_password_under_the_one_form_of_the_address(world: World):
    user = world.user_admin.create(ADMIN, " New@Example.ORG ", "New", Role.MEMBER, ACTOR)

    assert world.begin.rows.users[user.id] == user
    assert user == User(user.id, "new@example.org", Role.MEMBER, world.clock.now(), "New")
    after = {"email": "new@example.org", "name": "New", "role": "member", "disabled": False}
    assert audited(world) == ("user.create", user.id, {}, after)


@pytest.mark.parametrize(("email", "refusal"), [("Ada@example.org", Conflict), ("nobody", InvalidRequest)])
def test_a_taken_or_impossible_address_makes_no_user(world: World, email: str, refusal: type[ParleyError]):
    with pytest.raises(refusal):
        world.user_admin.create(ADMIN, email, "", Role.MEMBER, ACTOR)

    assert world.begin.rows.audit == {}


def test_only_what_changed_is_audited(world: World):
    changed = world.user_admin.change(ADMIN, "usr_1", UserChange(name="Ada", role=Role.VIEWER), ACTOR)

    assert world.begin.rows.users["usr_1"] == changed
    assert audited(world) == ("user.change", "usr_1", {"role": "member"}, {"role": "viewer"})


def test_a_change_to_what_is_already_so_is_none(world: World):
    world.user_admin.change(ADMIN, "usr_1", UserChange(name="Ada", disabled=False), ACTOR)

    assert world.begin.rows.audit == {}


def test_the_logins_of_a_disabled_user_end_and_do_not_come_back(world: World):
    world.user_admin.change(ADMIN, "usr_1", UserChange(disabled=True), ACTOR)
    assert running(world) == []

    user = world.user_admin.change(ADMIN, "usr_1", UserChange(disabled=False), ACTOR)
    assert not user.disabled
    assert running(world) == []


@pytest.mark.parametrize("change", [UserChange(role=Role.ADMIN), UserChange(name="X"), UserChange(disabled=False)])
def test_other_changes_leave_the_logins_alone(world: World, change: UserChange):
    world.user_admin.change(ADMIN, "usr_1", change, ACTOR)

    assert running(world) == ["login_1"]


def test_a_deleted_user_is_forgotten_and_the_log_does_not_keep_the_address(world: World):
    world.user_admin.delete(ADMIN, "usr_1", ACTOR)

    rows = world.begin.rows
    assert rows.users["usr_1"].email == "deleted-usr_1@invalid"
    assert rows.keys["key_1"].revoked_at == world.clock.now()
    assert running(world) == []
    assert audited(world) == ("user.delete", "usr_1", {"role": "member"}, {})


def _share(world: World, user_id: str) -> None:
    with world.begin() as work:
        work.teams.add(Team("team_1", "Red", NOW))
        work.teams.put_member(Membership("team_1", "usr_a", TeamRole.LEAD))
        work.keys.add(a_key(a_token(kid="t" * 10), id="key_t", user_id=user_id, team_id="team_1"))


def test_team_keys_of_a_deleted_user_go_on_in_the_callers_name(world: World):
    _share(world, "usr_1")
    world.user_admin.delete(OWNER, "usr_1", ACTOR)

    assert world.begin.rows.keys["key_t"].user_id == "usr_o"


def test_those_who_delete_themselves_leave_their_team_keys_to_a_lead(world: World):
    _share(world, "usr_p")
    with world.begin() as work:
        work.users.add(a_user(id="usr_p", email="peer@example.org", role=Role.OWNER))
    world.user_admin.delete(replace(OWNER, user_id="usr_p"), "usr_p", ACTOR)

    assert world.begin.rows.keys["key_t"].user_id == "usr_a"


def test_all_logins_of_a_user_are_ended_and_no_others(world: World):
    with world.begin() as work:
        work.logins.add(a_login(id="login_2", kid="l" * 10))
        work.logins.add(a_login(id="login_3", kid="m" * 10, user_id="usr_a"))

    assert world.user_admin.end_logins(ADMIN, "usr_1", ACTOR) == 2
    assert running(world) == ["login_3"]
    assert audited(world) == ("user.end_logins", "usr_1", {"logins": ["login_2", "login_1"]}, {"logins": []})


def test_a_lost_second_factor_is_removed_with_its_codes_and_all_logins(world: World):
    world.user_admin.remove_second_factor(ADMIN, "usr_1", ACTOR)

    rows = world.begin.rows
    assert (rows.factors, rows.codes, rows.users["usr_1"].totp) == ({}, {}, False)
    assert rows.users["usr_1"].password_hash == "plain:secret"
    assert running(world) == []
    assert audited(world) == ("user.remove_second_factor", "usr_1", {"totp": True}, {"totp": False})


def test_what_a_user_does_not_have_is_not_removed(world: World):
    with pytest.raises(NotFound):
        world.user_admin.remove_second_factor(ADMIN, "usr_a", ACTOR)


# ── invitations ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_invitation_is_mailed_and_nobody_learns_its_token(world: World):
    invitation, token = world.user_admin.invite(ADMIN, "New@Example.org", Role.ADMIN, Locale.ZH, ACTOR)

    (mail,) = world.begin.rows.outbox.values()
    assert token is None
    assert (mail.kind, mail.email, mail.locale) == (MailKind.INVITE, "new@example.org", Locale.ZH)
    assert (mail.subject_id, mail.due_at, mail.attempts) == (invitation.id, world.clock.now(), 0)
    assert world.begin.rows.tokens[invitation.id] == invitation
    after = {"email": "new@example.org", "role": "admin"}
    assert audited(world) == ("invitation.create", invitation.id, {}, after)


def test_without_a_mail_server_the_token_is_handed_over_once(world: World):
    admin = replace(world.user_admin, mails=False)
    invitation, token = admin.invite(ADMIN, "new@example.org", Role.MEMBER, Locale.EN, ACTOR)

    assert token is not None
    assert len(token) == SECRET_LENGTH
    assert invitation.digest == digest(token)
    assert invitation.expires_at == world.clock.now() + timedelta(days=7)
    assert world.begin.rows.outbox == {}
    assert token not in str(world.begin.rows.tokens)


def test_a_second_invitation_takes_the_place_of_the_first(world: World):
    invitation, _ = world.user_admin.invite(ADMIN, "eve@example.org", Role.MEMBER, Locale.EN, ACTOR)

    assert [it.id for it in world.user_admin.invitations(ADMIN)] == [invitation.id]


def test_who_has_an_account_is_not_invited(world: World):
    with pytest.raises(Conflict):
        world.user_admin.invite(ADMIN, "ada@example.org", Role.MEMBER, Locale.EN, ACTOR)


def test_an_invitation_that_has_run_out_is_not_shown(world: World):
    world.clock.advance(timedelta(days=7).total_seconds())

    assert world.user_admin.invitations(ADMIN) == []


def test_a_withdrawn_invitation_cannot_be_followed(world: World):
    world.user_admin.withdraw(ADMIN, "inv_1", ACTOR)

    with world.begin() as work:
        assert work.tokens.spend(Purpose.INVITE, b"digest", world.clock.now()) is None
    offer = {"email": "eve@example.org", "role": "member"}
    assert audited(world) == ("invitation.withdraw", "inv_1", offer, {})
    with pytest.raises(NotFound):
        world.user_admin.withdraw(ADMIN, "inv_1", ACTOR)


def test_a_token_that_is_no_invitation_cannot_be_withdrawn(world: World):
    with world.begin() as work:
        work.tokens.add(an_invitation(id="rst_1", purpose=Purpose.RESET))

    with pytest.raises(NotFound):
        world.user_admin.withdraw(ADMIN, "rst_1", ACTOR)


def test_an_invitation_that_is_followed_in_the_same_moment_is_not_withdrawn(world: World, monkeypatch):
    monkeypatch.setattr(MemoryTokens, "withdraw", lambda *_: False)

    with pytest.raises(NotFound):
        world.user_admin.withdraw(ADMIN, "inv_1", ACTOR)


@pytest.mark.parametrize("name", ["rename", "delete", "remove_second_factor"])
def test_administrators_who_change_users_wait_for_each_other_before_they_look(world: World, monkeypatch, name: str):
    order, owners, lock = [], MemoryUsers.owners, MemoryUsers.lock
    monkeypatch.setattr(MemoryUsers, "owners", lambda users: order.append("owners") or owners(users))
    monkeypatch.setattr(MemoryUsers, "lock", lambda users, id_: order.append("user") or lock(users, id_))
    WRITES[name](world.user_admin, ADMIN)

    assert order[:2] == ["owners", "user"]


@pytest.mark.parametrize("name", ["disable", "end_logins", "delete"])
def test_what_was_asked_for_before_is_worth_nothing_after(world: World, name: str):
    with world.begin() as work:
        moving = an_invitation(id="ott_1", purpose=Purpose.CONFIRM, digest=b"moving", user_id="usr_1", role=None)
        work.tokens.add(replace(moving, email="mallory@example.org"))
        work.tokens.add(an_invitation(id="ott_2", digest=b"back", email="ada@example.org"))

    WRITES[name](world.user_admin, ADMIN)

    assert [world.begin.rows.tokens[it].used_at for it in ("inv_1", "ott_1", "ott_2")] == [None, NOW, NOW]
