"""What counts of all that administrators entered for the providers."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from application.ports import Vault
from domain.errors import InvalidRequest
from domain.provider_credential import PriceChange, ProviderCredential
from domain.provider_entry import checked_address, checked_secret
from domain.usage import Price

PURPOSE = "provider-credential"
"""What a vault seals the keys for."""


@dataclass(frozen=True, slots=True)
class EnteredKey:
    """A provider's key, opened; None leaves the provider where it is."""

    secret: str = field(repr=False)
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class EnteredKeys:
    """By provider; `broken` are the ids of those that cannot be used."""

    keys: dict[str, EnteredKey]
    broken: frozenset[str]


def entered_keys(vault: Vault, providers: frozenset[str], credentials: Iterable[ProviderCredential]) -> EnteredKeys:
    """The newest of each provider that is enabled and whole; `credentials` are oldest first."""
    keys: dict[str, EnteredKey] = {}
    broken: set[str] = set()
    for credential in credentials:
        if credential.disabled:
            continue
        key = _opened(vault, credential) if credential.provider in providers else None
        if key is None:
            broken.add(credential.id)
        else:
            keys[credential.provider] = key
    return EnteredKeys(keys, frozenset(broken))


def entered_prices(changes: Iterable[PriceChange]) -> dict[str, Price]:
    """By model, of the newest version of each; what was taken back is not among them."""
    found = ((change.model, price_of(change)) for change in changes)
    return {model: price for model, price in found if price is not None}


def price_of(change: PriceChange) -> Price | None:
    """None when the change takes the price back."""
    if change.input is None or change.output is None:
        return None
    return Price(change.input, change.output, change.cached_input, change.cache_write, change.reasoning, change.image)


def _opened(vault: Vault, credential: ProviderCredential) -> EnteredKey | None:
    """Checked again, because a row may come from elsewhere than from here."""
    try:
        secret = checked_secret(vault.open(PURPOSE, credential.sealed))
        base_url = None if credential.base_url is None else checked_address(credential.base_url)
    except (ValueError, InvalidRequest):
        return None
    return EnteredKey(secret, base_url)
