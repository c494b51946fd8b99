"""Passwords: what may be one, and how it is kept."""

import unicodedata
from base64 import b64decode
from collections.abc import Iterator

import argon2
import pytest

from tests.security.people import OPEN, PASSWORD, People, ok
from tests.servers.gateway import Gateway

pytestmark = pytest.mark.xdist_group("passwords")

PARAMETERS = "$argon2id$v=19$m=19456,t=2,p=1$"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    gateway = Gateway(tmp_path_factory.mktemp("passwords"), config=OPEN).start()
    people = People(gateway)
    yield people
    people.close()
    assert gateway.stop() == 0


@pytest.fixture(autouse=True)
def fresh(people: People) -> None:
    people.nobody_waits()


def hash_of(people: People, name: str) -> str:
    ((found,),) = people.rows("SELECT password_hash FROM users WHERE email = :email", email=f"{name}@example.org")
    return str(found)


def test_a_password_is_kept_as_argon2id_with_the_documented_parameters(people: People) -> None:
    ok(people.register("stored"))
    ok(people.register("stored-too"))

    first, second = hash_of(people, "stored"), hash_of(people, "stored-too")

    assert first.startswith(PARAMETERS)
    salt, tag = (b64decode(part + "==") for part in first.removeprefix(PARAMETERS).split("$"))
    assert (len(salt), len(tag)) == (16, 32)
    assert first != second, "the same password has another salt"


def test_a_hash_of_weaker_parameters_is_made_anew_at_the_next_good_login(people: People) -> None:
    ok(people.register("weak"))
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    people.change("UPDATE users SET password_hash = :weak WHERE email = 'weak@example.org'", weak=weak)

    assert people.try_login("weak", "not the password").status == 401
    assert hash_of(people, "weak") == weak
    people.login("weak")

    assert hash_of(people, "weak").startswith(PARAMETERS)
    people.login("weak")


@pytest.mark.parametrize(
    ("password", "almost"),
    [
        ("horse staple", "horse staplE"),
        ("x" * 5 + "correct staple " * 3 + "y" * 14, "x" * 5 + "correct staple " * 3 + "y" * 13),
        ("qv7 " * 31 + "end1", "qv7 " * 31 + "end2"),
        ("🦊🐻🦉 moonlit 🌲🌲", "🦊🐻🦉 moonlit 🌲"),
        ("a trailing blank ", "a trailing blank"),
        (" a leading blank", "a leading blank"),
        ("caf\u00e9 au lait noir", unicodedata.normalize("NFD", "caf\u00e9 au lait noir")),
        ("Tr0ub4dor tribune", "tr0ub4dor tribune"),
    ],
    ids=["12", "64", "128", "emoji", "trailing blank", "leading blank", "composed", "capitals"],
)
def test_every_character_of_a_password_counts(people: People, password: str, almost: str) -> None:
    name = "p" + password.encode().hex()[-16:]
    ok(people.register(name, password))

    assert people.try_login(name, password).status == 200
    assert people.try_login(name, almost).status == 401


@pytest.mark.parametrize(
    "password",
    [
        "elevenchars",
        "x1 " * 43,
        "passwordpassword",
        "PasswordPassword",
        "123456789012",
        "refused@example.org",
        "parleyparley",
        "refused refused",
    ],
)
def test_a_short_a_known_or_a_near_password_is_refused_and_makes_no_account(people: People, password: str) -> None:
    reply = people.register("refused", password)

    assert (reply.status, reply.json["error"]["param"]) == (400, "password")
    assert people.rows("SELECT id FROM users WHERE email = 'refused@example.org'") == []


def test_the_rules_hold_for_a_changed_password_too_and_the_old_one_is_needed(people: People) -> None:
    caller = people.newcomer("changing")
    change = "/auth/password/change"

    short = caller.post(change, {"current_password": PASSWORD, "new_password": "too short"})
    wrong = caller.post(change, {"current_password": "not the password", "new_password": "another good one 9"})
    missing = caller.post(change, {"new_password": "another good one 9"})

    assert (short.status, wrong.code, missing.status) == (400, "invalid_credentials", 400)
    assert people.try_login("changing").status == 200
