import pytest

from domain.errors import InvalidRequest
from domain.idempotency import checked_key, fingerprint_of, id_of
from tests.builders import a_principal


@pytest.mark.parametrize("key", ["a", "~" * 255, "8e03978e-40d5-43dd-bc93-6894a57f9324", 'order 7, "again"'])
def test_printable_ascii_of_up_to_255_characters_is_a_key(key):
    assert checked_key(key) == key


@pytest.mark.parametrize("key", ["", "~" * 256, "tab\t", "line\n", "naïve", "\x7f", "\x00", "😀"])
def test_anything_else_is_refused_by_the_name_of_the_header(key):
    with pytest.raises(InvalidRequest) as refusal:
        checked_key(key)

    assert refusal.value.param == "Idempotency-Key"


def test_all_keys_and_logins_of_a_user_share_their_idempotency_keys():
    assert id_of(a_principal(), "k") == id_of(a_principal(key_id="log_1", login=True), "k")


def test_other_users_teams_and_keys_are_independent():
    callers = [
        a_principal(),
        a_principal(user_id="usr_2"),
        a_principal(team_id="team_1"),
        a_principal(team_id="team_2"),
    ]

    assert len({id_of(caller, key) for caller in callers for key in ("k", "K")}) == 8


def test_no_part_of_a_fingerprint_passes_for_another():
    parts = [(b"ab", b"c"), (b"a", b"bc"), (b"abc", b""), (b"", b"abc"), (b"abc",)]

    assert len({fingerprint_of(*it) for it in parts}) == len(parts)
    assert {len(fingerprint_of(*it)) for it in parts} == {32}
