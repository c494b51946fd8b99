from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.api_key import ALPHABET, KID_LENGTH, SECRET_LENGTH, compose, digest, kid_of, parts_of
from domain.errors import Unauthenticated
from domain.limits import Bound, Kind, Limits
from domain.user import Role, Scope
from tests.builders import KID, NOW, a_key, a_token, a_user

kids = st.text(ALPHABET, min_size=KID_LENGTH, max_size=KID_LENGTH)
secrets = st.text(ALPHABET, min_size=SECRET_LENGTH, max_size=SECRET_LENGTH)


@given(st.from_regex(r"[a-z]{1,12}", fullmatch=True), kids, secrets)
def test_every_composed_token_gives_back_its_parts(environment: str, kid: str, secret: str):
    token = compose(environment, kid, secret)

    assert parts_of(token) == (environment, kid)
    assert kid_of(token) == kid


@given(st.text())
def test_anything_else_is_refused_without_a_look_up(garbage: str):
    with pytest.raises(Unauthenticated):
        kid_of(garbage)


@given(st.integers(0, len(a_token()) - 1), st.sampled_from(ALPHABET))
def test_a_typing_error_anywhere_is_found_by_the_checksum(place: int, typed: str):
    token = a_token()
    wrong = token[:place] + typed + token[place + 1 :]

    if wrong != token:
        with pytest.raises(Unauthenticated):
            kid_of(wrong)


@pytest.mark.parametrize(
    "token",
    [a_token() + "\n", " " + a_token(), a_token().replace("parley", "PARLEY"), a_token() + a_token(), "ſ" * 72],
    ids=["newline", "space", "case", "twice", "not ascii"],
)
def test_a_token_is_taken_literally(token: str):
    with pytest.raises(Unauthenticated):
        kid_of(token)


def test_the_form_of_a_token_is_part_of_the_contract():
    token = compose("live", KID, "s" * SECRET_LENGTH)

    assert token.startswith(f"parley_live_{KID}_{'s' * SECRET_LENGTH}")
    assert len(token) == len("parley_live__") + KID_LENGTH + SECRET_LENGTH + 6


def test_a_token_tells_what_it_is_for():
    assert parts_of(a_token(environment="login")) == ("login", KID)


def test_a_key_admits_its_own_token_with_the_rights_of_its_user_and_its_own():
    key = a_key(scopes=frozenset({Scope.CHAT}), models=("acme/*",), team_id="team_1", heartbeats=False)
    bounds = (Bound(Kind.KEY, key.id, Limits(rpm=60)),)

    principal = key.admit(a_token(), a_user(role=Role.ADMIN), bounds, NOW)

    assert (principal.user_id, principal.key_id, principal.kid, principal.role) == ("usr_1", key.id, KID, Role.ADMIN)
    assert (principal.scopes, principal.models, principal.bounds) == (key.scopes, ("acme/*",), bounds)
    assert (principal.team_id, principal.login, principal.recent) == ("team_1", False, True)
    assert not principal.heartbeats


@pytest.mark.parametrize(
    ("fields", "user", "token"),
    [
        ({}, {}, a_token(secret="x" * 43)),
        ({}, {}, a_token(environment="login")),
        ({"expires_at": NOW - timedelta(seconds=1)}, {}, a_token()),
        ({"expires_at": NOW}, {}, a_token()),
        ({"revoked_at": NOW}, {}, a_token()),
        ({"revoked_at": NOW + timedelta(days=1)}, {}, a_token()),
        ({}, {"disabled": True}, a_token()),
    ],
    ids=["other secret", "a login's", "expired", "expires now", "revoked", "revoked in the future", "disabled"],
)
def test_a_refusal_does_not_say_which_check_failed(fields: dict, user: dict, token: str):
    with pytest.raises(Unauthenticated) as refusal:
        a_key(**fields).admit(token, a_user(**user), (), NOW)

    assert refusal.value.message == Unauthenticated.default


def test_a_key_works_until_the_moment_it_expires():
    key = a_key(expires_at=NOW + timedelta(seconds=1))

    assert key.admit(a_token(), a_user(), (), NOW).key_id == key.id
    assert not key.works(NOW + timedelta(seconds=1))


def test_a_key_of_a_user_who_did_not_confirm_a_new_address_goes_on():
    assert a_key().admit(a_token(), a_user(confirmed=False), (), NOW)


def test_what_is_stored_does_not_contain_the_token():
    key = a_key()

    assert len(key.digest) == 32
    assert key.digest == digest(a_token())
    assert a_token() not in repr(key)
