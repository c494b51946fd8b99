"""Brings into force without a restart what administrators entered for the providers, and what the file says now."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from adapters.ai.catalog import Catalog
from adapters.ai.live_catalog import LiveCatalog
from application.live import EnteredKey, entered_keys, entered_prices
from application.ports import Vault
from application.provider_admin import ProviderState
from application.store import Begin
from domain.provider_credential import PriceChange, ProviderCredential
from infrastructure.configuration import ConfigurationError
from infrastructure.logging import register_secret
from infrastructure.provider_parts import configured_providers, price_book, provider_names, provider_states
from infrastructure.redaction import secrets_of
from infrastructure.reload import live_part
from infrastructure.route_parts import configured_routes
from infrastructure.settings import Settings, load

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Stored:
    credentials: list[ProviderCredential] = field(default_factory=list)
    prices: list[PriceChange] = field(default_factory=list)


@dataclass(slots=True)
class LiveConfiguration:
    """Of one worker. Whatever goes wrong, what is in force stays."""

    settings: Settings
    """Those in force. What else was made from them at the start has to `follow`."""
    begin: Begin
    vault: Vault
    live: LiveCatalog
    load: Callable[..., Catalog]
    """`load_catalog` with all but its providers, its routes and `before`."""
    know: Callable[[Iterable[str]], object]
    """Is told the ids of all models, before they can be used."""
    register: Callable[[str], object] = register_secret
    """Is told each key, before it can be used."""
    _followers: list[Callable[[Settings], object]] = field(default_factory=list)
    _keys: dict[str, EnteredKey] = field(default_factory=dict, repr=False)
    _stored: _Stored = field(default_factory=_Stored, repr=False)
    _reported: frozenset[str] = frozenset()

    def follow(self, follower: Callable[[Settings], object]) -> None:
        """It is told the settings that come into force, in the same moment, and must not raise."""
        self._followers.append(follower)

    def config_hash(self) -> str:
        return self.settings.config_hash

    def refresh(self) -> None:
        """Read, and exchange the catalog and the prices when what is stored has changed."""
        stored = self._read()
        if stored != self._stored:
            self._bring(self.settings, stored)

    def reload(self, copy: Path | None = None) -> None:
        """Bring the file into force, or the `copy` of it, if it can be used and says anything new."""
        try:
            settings, _ = live_part(self.settings, load(copy))
            if settings.config_hash == self.settings.config_hash:
                return
            for secret in secrets_of(settings):
                self.register(secret)
            self._bring(settings, self._stored)
        except ConfigurationError as error:
            _log.error("the configuration stays as it is: %s", error)
            return
        _log.warning("the configuration is reloaded, its hash is %s", settings.config_hash)

    def names(self) -> frozenset[str]:
        """The providers that a key can be entered for."""
        return provider_names(self.settings)

    def states(self) -> list[ProviderState]:
        """All providers that there could be, as they are in force in this worker."""
        return provider_states(self.settings, self._keys)

    def _bring(self, settings: Settings, stored: _Stored) -> None:
        """All at once: no call ever sees a part of it. Raises ConfigurationError, and then nothing has changed."""
        entered = entered_keys(self.vault, provider_names(settings), stored.credentials)
        self._report(entered.broken)
        for key in entered.keys.values():
            self.register(key.secret)
        configured = configured_providers(settings, entered.keys)
        routes = configured_routes(settings, configured)
        catalog = self.load(configured, routes=routes, before=self.live.now.catalog)
        self.know(catalog.named())
        self.live.swap(catalog, price_book(settings, configured, entered_prices(stored.prices)))
        self._keys, self._stored, self.settings = entered.keys, stored, settings
        for follower in self._followers:
            follower(settings)

    def _read(self) -> _Stored:
        with self.begin() as work:
            return _Stored(work.credentials.all(), work.prices.latest())

    def _report(self, broken: frozenset[str]) -> None:
        """Each once, until it is whole again."""
        for credential_id in sorted(broken - self._reported):
            _log.warning("the provider credential %s cannot be used and is left out", credential_id)
        self._reported = broken
