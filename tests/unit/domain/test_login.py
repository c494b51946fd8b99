from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Unauthenticated
from domain.limits import Bound, Kind, Limits
from domain.login import ENVIRONMENT, RECENT
from domain.user import Role
from tests.builders import NOW, a_login, a_token, a_user

TOKEN = a_token(environment=ENVIRONMENT)
SECOND = timedelta(seconds=1)


def test_a_login_admits_its_own_token():
    bounds = (Bound(Kind.USER, "usr_1", Limits(rpm=7)),)

    principal = a_login().admit(TOKEN, a_user(role=Role.ADMIN), bounds, NOW)

    assert (principal.user_id, principal.key_id, principal.kid) == ("usr_1", "login_1", a_login().kid)
    assert (principal.role, principal.bounds, principal.login, principal.team_id) == (Role.ADMIN, bounds, True, None)


@pytest.mark.parametrize(
    ("login", "user", "token"),
    [
        ({}, {}, a_token(secret="x" * 43, environment=ENVIRONMENT)),
        ({}, {}, ""),
        ({"ended_at": NOW}, {}, TOKEN),
        ({"ended_at": NOW + timedelta(days=1)}, {}, TOKEN),
        ({"seen_at": NOW - timedelta(hours=8)}, {}, TOKEN),
        ({"created_at": NOW - timedelta(days=7)}, {}, TOKEN),
        ({}, {"disabled": True}, TOKEN),
    ],
    ids=["other secret", "nothing", "ended", "ended in the future", "idle", "old", "disabled"],
)
def test_a_refusal_does_not_say_which_check_failed(login: dict, user: dict, token: str):
    with pytest.raises(Unauthenticated) as refusal:
        a_login(**login).admit(token, a_user(**user), (), NOW)

    assert refusal.value.message == Unauthenticated.default


@pytest.mark.parametrize(
    ("role", "idle", "absolute"),
    [
        (Role.OWNER, timedelta(minutes=30), timedelta(hours=12)),
        (Role.ADMIN, timedelta(minutes=30), timedelta(hours=12)),
        (Role.MEMBER, timedelta(hours=8), timedelta(days=7)),
        (Role.VIEWER, timedelta(hours=8), timedelta(days=7)),
    ],
)
def test_logins_of_administrators_end_sooner(role: Role, idle: timedelta, absolute: timedelta):
    login = a_login()
    used = replace(login, seen_at=NOW + absolute - SECOND)

    assert login.works(role, NOW + idle - SECOND)
    assert not login.works(role, NOW + idle)
    assert used.works(role, NOW + absolute - SECOND)
    assert not used.works(role, NOW + absolute)


def test_the_role_of_today_decides_how_long_a_login_lasts():
    later = NOW + timedelta(hours=1)

    assert a_login().admit(TOKEN, a_user(), (), later)
    with pytest.raises(Unauthenticated):
        a_login().admit(TOKEN, a_user(role=Role.ADMIN), (), later)


def test_a_login_is_recent_for_a_while_after_the_proof():
    def recent(passed: timedelta) -> bool:
        return a_login(authenticated_at=NOW - passed).admit(TOKEN, a_user(), (), NOW).recent

    assert recent(timedelta(0))
    assert recent(RECENT - SECOND)
    assert not recent(RECENT)


@given(st.timedeltas(timedelta(0), timedelta(days=30)), st.timedeltas(timedelta(0), timedelta(days=30)))
def test_using_a_login_never_makes_it_end_sooner_and_never_later_than_its_day(seen: timedelta, later: timedelta):
    login = a_login(seen_at=NOW + seen)
    used = replace(login, seen_at=NOW + seen + later)

    for role in Role:
        assert login.expires_at(role) <= used.expires_at(role) <= NOW + timedelta(days=7)


def test_what_is_stored_does_not_contain_the_token():
    assert len(a_login().digest) == 32
    assert TOKEN not in repr(a_login())
