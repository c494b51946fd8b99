from base64 import urlsafe_b64encode

import pytest
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from adapters.accounts.vault import Vault, signing_key

OLD, NEW, OTHER = ("0123456789abcdef" * 2, "fedcba9876543210" * 2, "89abcdef01234567" * 2)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_sealed_is_opened_again(secret: str):
    vault = Vault([OLD])

    assert vault.open("totp", vault.seal("totp", secret)) == secret


def test_what_is_sealed_shows_nothing_and_never_looks_the_same():
    vault = Vault([OLD])

    first, second = vault.seal("totp", "JBSWY3DP"), vault.seal("totp", "JBSWY3DP")

    assert first != second
    assert b"JBSWY3DP" not in first


def test_it_can_be_opened_by_another_process_with_the_same_key():
    assert Vault([OLD]).open("totp", Vault([OLD]).seal("totp", "JBSWY3DP")) == "JBSWY3DP"


def test_a_purpose_cannot_open_what_was_sealed_for_another():
    sealed = Vault([OLD]).seal("totp", "JBSWY3DP")

    with pytest.raises(ValueError, match="purpose"):
        Vault([OLD]).open("provider", sealed)


def test_another_key_cannot_open_it():
    with pytest.raises(ValueError, match="known"):
        Vault([OTHER]).open("totp", Vault([OLD]).seal("totp", "JBSWY3DP"))


def test_the_first_key_seals_and_all_keys_open():
    before = Vault([OLD]).seal("totp", "JBSWY3DP")
    both = Vault([NEW, OLD])

    assert both.open("totp", before) == "JBSWY3DP"
    assert Vault([NEW]).open("totp", both.seal("totp", "JBSWY3DP")) == "JBSWY3DP"
    with pytest.raises(ValueError):
        Vault([OLD]).open("totp", both.seal("totp", "JBSWY3DP"))


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_change_anywhere_is_found(place: int, change: int):
    sealed = bytearray(Vault([OLD]).seal("totp", "JBSWY3DP"))
    sealed[place % len(sealed)] ^= change

    try:
        opened = Vault([OLD]).open("totp", bytes(sealed))
    except ValueError:
        return
    # Base 64 has several spellings of its last character; what they say is the same.
    assert opened == "JBSWY3DP"


@pytest.mark.parametrize("sealed", [b"", b"x", b"\xff" * 100, b"gAAAAA=="])
def test_what_was_never_sealed_cannot_be_opened(sealed: bytes):
    with pytest.raises(ValueError):
        Vault([OLD]).open("totp", sealed)


def test_an_error_shows_neither_key_nor_secret():
    with pytest.raises(ValueError) as error:
        Vault([OLD]).open("totp", Vault([NEW]).seal("totp", "JBSWY3DP"))

    assert not any(secret in repr(error.value) for secret in (OLD, NEW, "JBSWY3DP"))
    assert OLD not in repr(Vault([OLD]))


def test_a_vault_needs_a_key():
    with pytest.raises(ValueError, match="key"):
        Vault([])


def test_a_sealed_second_factor_fits_into_its_column():
    assert len(Vault([OLD]).seal("totp", "J" * 32)) <= 512


def test_every_purpose_has_a_signing_key_of_its_own():
    keys = {signing_key(key, purpose) for key in (OLD, NEW) for purpose in ("csrf", "state")}

    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}
    assert signing_key(OLD, "csrf") == signing_key(OLD, "csrf")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(st.characters(exclude_categories=["Cs"])))
def test_keys_are_derived_as_the_standard_has_it(key: str, purpose: str):
    expected = HKDF(SHA256(), 32, salt=None, info=f"parley sign {purpose}".encode()).derive(key.encode())

    assert signing_key(key, purpose) == expected


def test_a_signing_key_opens_nothing():
    sealed = Vault([OLD]).seal("csrf", "JBSWY3DP")

    for key in (signing_key(OLD, "csrf"), OLD.encode()):
        with pytest.raises(InvalidToken):
            Fernet(urlsafe_b64encode(key)).decrypt(sealed)
