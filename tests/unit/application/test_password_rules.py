import pytest

from application.passwords import LENGTHS, PasswordRules
from domain.errors import InvalidRequest

RULES = PasswordRules(frozenset({"correct horse battery", "let me in please"}))
ADA = ("ada.lovelace@example.org", "Ada Lovelace")


def refusal(password: str, *context: str) -> str:
    with pytest.raises(InvalidRequest) as error:
        RULES.check(password, *context)
    assert error.value.param == "password"
    assert password not in error.value.message
    return error.value.message


@pytest.mark.parametrize("length", [LENGTHS.start, 64, LENGTHS.stop - 1])
def test_twelve_to_128_characters_are_accepted(length: int):
    RULES.check("x" * length)


@pytest.mark.parametrize("length", [1, LENGTHS.start - 1, LENGTHS.stop])
def test_other_lengths_are_refused(length: int):
    assert "12 to 128" in refusal("x" * length)


@pytest.mark.parametrize(
    "password", ["аб вг дежз ий", "👩‍🚀 walks on 🌙", "trailing blank ", "only lower case", "\tTABS\tand\0nul"]
)
def test_no_character_is_demanded_and_none_is_forbidden(password: str):
    RULES.check(password, *ADA)


def test_half_a_character_is_refused_because_no_hash_can_take_it():
    assert "character" in refusal("twelve long \ud83d")


@pytest.mark.parametrize(
    "password", ["ada.lovelace@example.org", "LOVELACE1815ada", "AdaLovelace!!", "parleyparley1234", "example.org2026"]
)
def test_what_others_know_of_the_user_is_no_password(password: str):
    assert "too near" in refusal(password, *ADA)


@pytest.mark.parametrize("password", ["ada likes the analytical engine", "adalovelace-8letters"])
def test_a_name_inside_a_long_password_does_no_harm(password: str):
    RULES.check(password, *ADA)


def test_short_words_of_the_context_do_not_count():
    RULES.check("io io io io io", "io@q.example", "Li")


@pytest.mark.parametrize("password", ["correct horse battery", "Correct Horse Battery", "LET ME IN PLEASE"])
def test_a_known_password_is_refused_in_every_case(password: str):
    assert "known" in refusal(password)
