from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.api_key import ALPHABET, KID_LENGTH, SECRET_LENGTH, compose, digest, kid_of
from domain.errors import Unauthenticated
from domain.user import Role, Scope
from tests.builders import KID, NOW, a_key, a_token

kids = st.text(ALPHABET, min_size=KID_LENGTH, max_size=KID_LENGTH)
secrets = st.text(ALPHABET, min_size=SECRET_LENGTH, max_size=SECRET_LENGTH)


@given(st.from_regex(r"[a-z]{1,12}", fullmatch=True), kids, secrets)
def test_every_composed_token_gives_back_its_kid(environment: str, kid: str, secret: str):
    assert kid_of(compose(environment, kid, secret)) == kid


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


def test_a_key_admits_its_own_token_with_its_own_limits():
    key = a_key(scopes=frozenset({Scope.CHAT}), models=("acme/*",), rpm=60)

    principal = key.admit(a_token(), Role.MEMBER, NOW)

    assert (principal.user_id, principal.key_id, principal.role) == (key.user_id, key.id, Role.MEMBER)
    assert (principal.scopes, principal.models, principal.rpm) == (key.scopes, ("acme/*",), 60)


@pytest.mark.parametrize(
    ("fields", "token"),
    [
        ({}, a_token(secret="x" * 43)),
        ({"expires_at": NOW - timedelta(seconds=1)}, a_token()),
        ({"expires_at": NOW}, a_token()),
        ({"revoked_at": NOW}, a_token()),
        ({"revoked_at": NOW + timedelta(days=1)}, a_token()),
    ],
    ids=["other secret", "expired", "expires now", "revoked", "revoked in the future"],
)
def test_a_refusal_does_not_say_which_check_failed(fields: dict, token: str):
    with pytest.raises(Unauthenticated) as refusal:
        a_key(**fields).admit(token, Role.OWNER, NOW)

    assert refusal.value.message == Unauthenticated.default


def test_a_key_works_until_the_moment_it_expires():
    key = a_key(expires_at=NOW + timedelta(seconds=1))

    assert key.admit(a_token(), Role.MEMBER, NOW).key_id == key.id


def test_what_is_stored_does_not_contain_the_token():
    key = a_key()

    assert len(key.digest) == 32
    assert key.digest == digest(a_token())
    assert a_token() not in repr(key)
