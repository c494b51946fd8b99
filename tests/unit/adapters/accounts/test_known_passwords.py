import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.accounts.known_passwords import ListedPasswords
from application.passwords import LENGTHS, PasswordRules
from domain.errors import InvalidRequest

KNOWN = ListedPasswords()


@pytest.mark.parametrize("password", ["123456789012", "passwordpassword", "qwertyuiop123", "11111111111111111111"])
def test_what_everybody_knows_is_known(password: str):
    assert password in KNOWN
    with pytest.raises(InvalidRequest, match="known"):
        PasswordRules(KNOWN).check(password)


@pytest.mark.parametrize(
    "password", ["three brown foxes jump", "Zx9-mQ2-pL7-vB4", "горшок каши на столе", "x\ny\0z 1234 abc"]
)
def test_what_nobody_thought_of_is_not(password: str):
    assert password not in KNOWN
    PasswordRules(KNOWN).check(password)


def test_what_is_too_short_counts_as_known_without_a_warning():
    assert "Zx9-mQ2" in KNOWN


@given(st.text(min_size=LENGTHS.start, max_size=40))
def test_every_text_can_be_looked_up(password: str):
    assert isinstance(password in KNOWN, bool)


def test_the_list_is_not_kept_in_memory():
    assert "passwordpassword" in KNOWN
    tracemalloc.start()
    try:
        for number in range(50):
            assert f"three brown foxes {number}" not in KNOWN
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()
