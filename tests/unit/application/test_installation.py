from dataclasses import replace

import pytest

from application.installation import FIRST_EMAIL
from application.logins import Attempt
from domain.errors import InvalidCredentials
from domain.user import Role, Scope
from tests.world import World


@pytest.fixture
def empty(world: World) -> World:
    for table in (world.begin.rows.users, world.begin.rows.keys, world.begin.rows.sessions):
        table.clear()
    return world


def test_an_empty_store_gets_an_owner_with_a_key_that_may_do_everything(empty: World):
    user, token = empty.installation.bootstrap()

    principal = empty.identity.authenticate(token)
    assert (user.email, user.role, principal.user_id) == (FIRST_EMAIL, Role.OWNER, user.id)
    assert principal.rights == frozenset(Scope)
    assert empty.begin.rows.users == {user.id: user}


def test_there_is_no_account_that_anybody_could_log_in_to(empty: World):
    user, token = empty.installation.bootstrap()

    assert user.password_hash is None
    for password in ("", "admin", "Administrator", token):
        with pytest.raises(InvalidCredentials):
            empty.logins.login(Attempt(FIRST_EMAIL, password))


def test_the_administrator_logs_in_when_the_command_line_has_set_a_password(empty: World):
    empty.installation.bootstrap()

    empty.accounts.set_password(FIRST_EMAIL, "three brown foxes")

    assert empty.logins.login(Attempt(FIRST_EMAIL, "three brown foxes"))


def test_it_happens_once(empty: World):
    empty.installation.bootstrap()

    assert empty.installation.bootstrap() is None
    assert len(empty.begin.rows.users) == len(empty.begin.rows.keys) == 1


def test_a_store_with_users_is_left_alone(world: World):
    before = world.begin.rows.copy()

    assert world.installation.bootstrap() is None

    assert world.begin.rows == before


def test_an_administrator_without_a_key_is_not_left_behind(empty: World):
    class Broken(type(empty.keys)):
        def add(self, work, user, order):
            raise RuntimeError("no key")

    broken = Broken(*(getattr(empty.keys, name) for name in empty.keys.__dataclass_fields__))

    with pytest.raises(RuntimeError):
        replace(empty.installation, keys=broken).bootstrap()

    assert empty.begin.rows.users == {}
