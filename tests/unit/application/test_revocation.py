from dataclasses import replace

import pytest

from application.cancellation import Cancellation
from domain.errors import ClientGone, DatabaseUnavailable, KeyRevoked
from domain.user import Principal, Role
from tests.builders import NOW, a_key, a_login, a_token, a_user
from tests.world import World

LOGIN = a_token(environment="login")


@pytest.fixture
def world(world: World) -> World:
    world.begin.rows.logins["login_1"] = a_login()
    return world


def run(world: World, request_id: str, principal: Principal | None) -> Cancellation:
    cancellation = world.call(request_id).cancellation
    world.in_flight.enter(request_id, cancellation, principal)
    return cancellation


def test_a_call_whose_credential_is_good_goes_on(world: World):
    key = run(world, "req_1", world.identity.authenticate(a_token()))
    login = run(world, "req_2", world.identity.authenticate(LOGIN))

    assert world.revocations.sweep() == 0
    assert (key.reason, login.reason) == (None, None)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.keys.update(key_1=a_key(revoked_at=NOW)),
        lambda rows: rows.users.update(usr_1=a_user(disabled=True)),
        lambda rows: rows.users.update(usr_1=a_user(role=Role.VIEWER)),
    ],
    ids=["revoked", "disabled", "demoted"],
)
def test_all_calls_of_a_credential_that_ended_are_ended(world: World, change):
    principal = world.identity.authenticate(a_token())
    calls = [run(world, f"req_{number}", principal) for number in range(3)]
    change(world.begin.rows)

    assert world.revocations.sweep() == 3

    assert {type(call.reason) for call in calls} == {KeyRevoked}
    assert len({id(call.reason) for call in calls}) == 3


def test_a_login_that_was_ended_takes_its_calls_along(world: World):
    call = run(world, "req_1", world.identity.authenticate(LOGIN))
    world.begin.rows.logins["login_1"] = a_login(ended_at=NOW)

    assert world.revocations.sweep() == 1
    assert isinstance(call.reason, KeyRevoked)


def test_calls_of_others_go_on(world: World):
    world.begin.rows.keys["key_2"] = a_key(a_token("2" * 10), id="key_2")
    mine, others = (run(world, token, world.identity.authenticate(token)) for token in (a_token(), a_token("2" * 10)))
    world.begin.rows.keys["key_1"] = a_key(revoked_at=NOW)

    assert world.revocations.sweep() == 1
    assert (type(mine.reason), others.reason) == (KeyRevoked, None)


def test_a_credential_is_looked_at_once_however_many_calls_it_makes(world: World):
    principal = world.identity.authenticate(a_token())
    for number in range(50):
        run(world, f"req_{number}", principal)
    begun = world.begin.begun

    world.revocations.sweep()

    assert world.begin.begun - begun == 1


def test_a_call_that_was_ended_is_not_ended_again(world: World):
    principal = world.identity.authenticate(a_token())
    gone = run(world, "req_1", principal)
    run(world, "req_2", principal)
    gone.cancel(ClientGone())
    world.begin.rows.keys["key_1"] = a_key(revoked_at=NOW)

    assert (world.revocations.sweep(), world.revocations.sweep()) == (1, 0)
    assert isinstance(gone.reason, ClientGone)


def test_what_runs_for_nobody_is_left_alone(world: World):
    call = run(world, "req_1", None)

    assert world.revocations.sweep() == 0
    assert call.reason is None


def test_a_database_that_is_away_ends_nothing(world: World):
    call = run(world, "req_1", world.identity.authenticate(a_token()))
    world.begin.rows.keys["key_1"] = a_key(revoked_at=NOW)
    world.begin.down = DatabaseUnavailable()

    assert world.revocations.sweep() == 0
    assert call.reason is None

    world.begin.down = None
    assert world.revocations.sweep() == 1


def test_a_look_up_that_fails_for_one_does_not_spare_the_others(world: World):
    world.begin.rows.keys["key_2"] = a_key(a_token("2" * 10), id="key_2", revoked_at=None)
    first, second = (run(world, token, world.identity.authenticate(token)) for token in (a_token(), a_token("2" * 10)))
    world.begin.rows.keys |= {
        "key_1": a_key(revoked_at=NOW),
        "key_2": replace(world.begin.rows.keys["key_2"], revoked_at=NOW),
    }

    def find(kid):
        if kid == "2" * 10:
            raise DatabaseUnavailable
        return world.find_key(kid)

    watch = replace(world.revocations, identity=replace(world.identity, find_key=find))

    assert watch.sweep() == 1
    assert (type(first.reason), second.reason) == (KeyRevoked, None)
