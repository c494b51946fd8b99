from datetime import timedelta

import pytest

from application.identity import FIRST_EMAIL, KeyOrder
from domain.api_key import kid_of
from domain.errors import Conflict, DatabaseUnavailable, InvalidRequest, NotFound, Unauthenticated
from domain.user import Role, Scope
from tests.builders import KID, NOW, a_key, a_principal, a_token, a_user
from tests.world import World


def store(world: World, **rows) -> None:
    world.begin.rows.users["usr_1"] = rows.get("user", a_user())
    world.begin.rows.keys["key_1"] = rows.get("key", a_key())


def assert_refused(world: World, token: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        world.identity.authenticate(token)
    assert refusal.value.message == Unauthenticated.default, "a refusal does not say which check failed"


# ── authenticate ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_good_token_gives_its_principal(world: World):
    store(world, user=a_user(role=Role.ADMIN), key=a_key(scopes=frozenset({Scope.CHAT}), rpm=7))

    principal = world.identity.authenticate(a_token())

    assert (principal.user_id, principal.key_id, principal.role) == ("usr_1", "key_1", Role.ADMIN)
    assert (principal.scopes, principal.rpm) == ({Scope.CHAT}, 7)


@pytest.mark.parametrize("token", ["", "sk-something", a_token()[:-1] + "!", a_token()[:-1], "parley_live_x_y"])
def test_garbage_costs_no_look_up(world: World, token: str):
    begun = world.begin.begun

    assert_refused(world, token)

    assert world.begin.begun == begun


def test_a_wrong_checksum_costs_no_look_up(world: World):
    begun = world.begin.begun
    last = "0" if a_token()[-1] != "0" else "1"

    assert_refused(world, a_token()[:-1] + last)

    assert world.begin.begun == begun


def test_a_key_that_does_not_exist_is_refused(world: World):
    assert_refused(world, a_token(kid="unknown000"))


def test_a_known_kid_with_another_secret_is_refused(world: World):
    assert_refused(world, a_token(secret="x" * 43))


@pytest.mark.parametrize(
    "rows",
    [
        {"key": a_key(revoked_at=NOW)},
        {"key": a_key(expires_at=NOW)},
        {"user": a_user(disabled=True)},
    ],
    ids=["revoked", "expired", "disabled"],
)
def test_a_key_that_is_over_is_refused(world: World, rows: dict):
    store(world, **rows)

    assert_refused(world, a_token())


def test_a_key_expires_while_the_program_runs(world: World):
    store(world, key=a_key(expires_at=NOW + timedelta(minutes=1)))
    assert world.identity.authenticate(a_token())

    world.clock.advance(60)

    assert_refused(world, a_token())


def test_a_demoted_user_loses_rights_at_once(world: World):
    store(world, user=a_user(role=Role.VIEWER))

    assert world.identity.authenticate(a_token()).role is Role.VIEWER


def test_a_database_that_is_down_does_not_look_like_a_bad_key(world: World):
    world.begin.down = DatabaseUnavailable()

    with pytest.raises(DatabaseUnavailable):
        world.identity.authenticate(a_token())


# ── the own key ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_caller_can_read_its_own_key(world: World):
    store(world, key=a_key(rpm=60))
    world.begin.rows.keys["key_2"] = a_key(a_token(kid="2" * 10), id="key_2")

    assert world.identity.describe(a_principal()).rpm == 60
    assert world.identity.describe(a_principal(key_id="key_2")).id == "key_2"


def test_a_key_that_vanished_meanwhile_is_not_found(world: World):
    with pytest.raises(NotFound):
        world.identity.describe(a_principal(key_id="key_9"))


# ── users ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_user_is_stored_under_the_one_form_of_her_address(world: World):
    user = world.identity.create_user(" Grace@Example.ORG ", Role.MEMBER, name="Grace")

    assert (user.email, user.name, user.password_hash) == ("grace@example.org", "Grace", None)
    assert user.created_at == world.clock.now()
    assert world.begin.rows.users[user.id] == user


def test_an_address_is_taken_in_every_spelling(world: World):
    with pytest.raises(Conflict):
        world.identity.create_user("ADA@example.org", Role.MEMBER)


def test_a_password_is_stored_hashed(world: World):
    user = world.identity.create_user("grace@example.org", Role.MEMBER, "correct horse battery")

    assert world.identity.passwords.verify(user.password_hash, "correct horse battery")
    assert user.password_hash != "correct horse battery"


@pytest.mark.parametrize(("length", "accepted"), [(11, False), (12, True), (128, True), (129, False)])
def test_a_password_has_twelve_to_128_characters(world: World, length: int, accepted: bool):
    def create():
        return world.identity.create_user("grace@example.org", Role.MEMBER, "x" * length)

    if accepted:
        assert create().password_hash
    else:
        with pytest.raises(InvalidRequest) as refusal:
            create()
        assert refusal.value.param == "password"


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_key_works_and_its_token_is_stored_nowhere(world: World):
    order = KeyOrder("ci", frozenset({Scope.CHAT}), ("acme/*",), 60, 1_000, 4, 5_000, "day", NOW + timedelta(days=1))

    key, token = world.identity.create_key("Ada@example.org", order)

    assert world.identity.authenticate(token).key_id == key.id
    assert (key.name, key.scopes, key.models, key.expires_at) == ("ci", order.scopes, order.models, order.expires_at)
    assert (key.rpm, key.tpm, key.concurrency, key.budget, key.window) == (60, 1_000, 4, 5_000, "day")
    assert (kid_of(token), key.last4, token[:12]) == (key.kid, token[-4:], "parley_test_")
    assert token not in repr(world.begin.rows)


def test_two_new_keys_differ(world: World):
    tokens = {world.identity.create_key("ada@example.org", KeyOrder("ci"))[1] for _ in range(3)}

    assert len(tokens) == 3


def test_a_key_needs_a_user(world: World):
    with pytest.raises(NotFound, match=r"nobody@example\.org"):
        world.identity.create_key("nobody@example.org", KeyOrder("ci"))


def test_all_keys_are_listed_newest_first(world: World):
    first, _ = world.identity.create_key("ada@example.org", KeyOrder("one"))
    second, _ = world.identity.create_key("ada@example.org", KeyOrder("two"))

    everybodys = world.identity.all_keys()

    listed = [key.id for key in everybodys]
    assert listed.index(second.id) < listed.index(first.id)


@pytest.mark.parametrize("name", ["key_1", KID], ids=["id", "kid"])
def test_a_revoked_key_is_refused(world: World, name: str):
    world.identity.revoke_key(name)

    assert_refused(world, a_token())


def test_revoking_twice_keeps_the_first_time(world: World):
    world.identity.revoke_key("key_1")
    world.clock.advance(60)
    world.identity.revoke_key("key_1")

    assert world.begin.rows.keys["key_1"].revoked_at == NOW


def test_a_key_that_does_not_exist_cannot_be_revoked(world: World):
    with pytest.raises(NotFound, match="key_9"):
        world.identity.revoke_key("key_9")


# ── the first start ──────────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_store_gets_an_owner_with_a_key_once():
    world = World()
    world.begin.rows.users.clear()
    world.begin.rows.keys.clear()

    user, token = world.identity.bootstrap()

    assert (user.email, user.role) == (FIRST_EMAIL, Role.OWNER)
    assert world.identity.authenticate(token).role is Role.OWNER
    assert world.identity.bootstrap() is None


def test_a_store_with_users_is_left_alone(world: World):
    assert world.identity.bootstrap() is None
