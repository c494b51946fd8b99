"""What counts of all that was entered for the providers."""

from datetime import timedelta
from typing import Any

import pytest

from application.live import PURPOSE, EnteredKey, entered_keys, entered_prices
from domain.provider_credential import PriceChange, ProviderCredential
from domain.usage import Price
from tests.builders import NOW
from tests.fakes import PlainVault

VAULT = PlainVault()
PROVIDERS = frozenset({"acme", "other"})


def a_credential(number: int = 1, secret: str = "sk-0123456789", **fields: Any) -> ProviderCredential:
    given = {
        "id": f"cred_{number}",
        "provider": "acme",
        "name": "",
        "sealed": VAULT.seal(PURPOSE, secret),
        "last4": secret[-4:],
        "created_at": NOW + timedelta(minutes=number),
        "created_by": "usr_1",
    }
    return ProviderCredential(**{**given, **fields})


def test_the_newest_key_of_each_provider_counts():
    stored = [a_credential(1, "sk-old"), a_credential(2, "sk-new"), a_credential(3, "sk-other", provider="other")]

    found = entered_keys(VAULT, PROVIDERS, stored)

    assert found.keys == {"acme": EnteredKey("sk-new"), "other": EnteredKey("sk-other")}
    assert found.broken == frozenset()


def test_a_key_that_is_disabled_counts_for_nothing():
    found = entered_keys(VAULT, PROVIDERS, [a_credential(1, "sk-old"), a_credential(2, "sk-new", disabled=True)])

    assert found.keys == {"acme": EnteredKey("sk-old")}


def test_a_key_may_bring_its_own_address():
    found = entered_keys(VAULT, PROVIDERS, [a_credential(base_url="https://acme.example/v1/")])

    assert found.keys["acme"].base_url == "https://acme.example/v1"


@pytest.mark.parametrize(
    "broken",
    [
        {"sealed": b"garbage that no key opens"},
        {"sealed": VAULT.seal("another purpose", "sk-1")},
        {"sealed": VAULT.seal(PURPOSE, "sk-1\r\nHost: evil.example")},
        {"provider": "nobody"},
        {"base_url": "http://llm.example.com"},
    ],
    ids=["not sealed by us", "sealed for something else", "not a header", "unknown provider", "unusable address"],
)
def test_a_broken_row_is_left_out_and_an_older_whole_one_counts(broken):
    found = entered_keys(VAULT, PROVIDERS, [a_credential(1, "sk-old"), a_credential(2, **broken)])

    assert found.keys == {"acme": EnteredKey("sk-old")}
    assert found.broken == {"cred_2"}


def test_no_repr_shows_a_key():
    assert "sk-secret" not in repr(entered_keys(VAULT, PROVIDERS, [a_credential(secret="sk-secret")]))


def test_a_price_that_was_taken_back_counts_no_more():
    changes = [
        PriceChange("prc_1", "acme/large", NOW, "usr_1", 5, 10, cached_input=1, cache_write=6, reasoning=11),
        PriceChange("prc_2", "acme/small", NOW, "usr_1"),
    ]

    assert entered_prices(changes) == {"acme/large": Price(5, 10, cached_input=1, cache_write=6, reasoning=11)}
