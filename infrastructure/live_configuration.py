"""Brings into force, without a restart, what administrators entered for the providers: their keys and prices."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from adapters.ai.catalog import Catalog
from adapters.ai.live_catalog import LiveCatalog
from application.live import EnteredKey, entered_keys, entered_prices
from application.ports import Vault
from application.provider_admin import ProviderState
from application.store import Begin
from domain.provider_credential import PriceChange, ProviderCredential
from infrastructure.logging import register_secret
from infrastructure.provider_parts import configured_providers, price_book, provider_names, provider_states
from infrastructure.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Stored:
    credentials: list[ProviderCredential] = field(default_factory=list)
    prices: list[PriceChange] = field(default_factory=list)


@dataclass(slots=True)
class LiveConfiguration:
    """Of one worker. Whatever goes wrong, what is in force stays."""

    settings: Settings
    begin: Begin
    vault: Vault
    live: LiveCatalog
    load: Callable[..., Catalog]
    """`load_catalog` with all but its providers and `before`."""
    know: Callable[[Iterable[str]], object]
    """Is told the ids of all models, before they can be used."""
    register: Callable[[str], object] = register_secret
    """Is told each key, before it can be used."""
    _keys: dict[str, EnteredKey] = field(default_factory=dict, repr=False)
    _stored: _Stored = field(default_factory=_Stored, repr=False)
    _reported: frozenset[str] = frozenset()

    def refresh(self) -> None:
        """Read, and exchange the catalog and the prices when what is stored has changed."""
        stored = self._read()
        if stored == self._stored:
            return
        entered = entered_keys(self.vault, provider_names(self.settings), stored.credentials)
        self._report(entered.broken)
        for key in entered.keys.values():
            self.register(key.secret)
        configured = configured_providers(self.settings, entered.keys)
        catalog = self.load(configured, before=self.live.now.catalog)
        self.know(f"{provider}/{card.name}" for provider, card in catalog.listed())
        self.live.swap(catalog, price_book(self.settings, configured, entered_prices(stored.prices)))
        self._keys, self._stored = entered.keys, stored

    def states(self) -> list[ProviderState]:
        """All providers that there could be, as they are in force in this worker."""
        return provider_states(self.settings, self._keys)

    def _read(self) -> _Stored:
        with self.begin() as work:
            return _Stored(work.credentials.all(), work.prices.latest())

    def _report(self, broken: frozenset[str]) -> None:
        """Each once, until it is whole again."""
        for credential_id in sorted(broken - self._reported):
            _log.warning("the provider credential %s cannot be used and is left out", credential_id)
        self._reported = broken
