"""Keys of providers and prices, entered by administrators and in force without a restart."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace

from application.auditing import Auditor, Change
from application.live import PURPOSE
from application.ports import Clock, NewId, Prices, Vault
from application.store import Begin, UnitOfWork
from domain.audit import Actor
from domain.errors import InvalidRequest, NotFound
from domain.provider_credential import PriceChange, ProviderCredential
from domain.provider_entry import checked_address, checked_secret, tail_of
from domain.usage import Price
from domain.user import Principal, Scope

_MODEL_LENGTH = 200
_SHOWN = ("provider", "name", "base_url", "disabled")
"""What the audit log has of a credential."""


@dataclass(frozen=True, slots=True)
class CredentialOrder:
    provider: str
    name: str
    secret: str = field(repr=False)
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderState:
    """A provider that could be used.

    `sources` are those that turn it on: `credential`, `file`, `environment`, `built-in`; none means it is off.
    """

    name: str
    base_url: str
    sources: tuple[str, ...]
    models: int


@dataclass(frozen=True, slots=True)
class ProviderAdmin:
    """Every method requires the scope `admin` (and a recent login). Secrets go in and never come out."""

    begin: Begin
    clock: Clock
    new_id: NewId
    vault: Vault
    auditor: Auditor
    prices: Prices
    providers: Callable[[], AbstractSet[str]]
    """The names that a credential can be for, as the file in force has them."""
    configured: Callable[[], Sequence[ProviderState]]
    """The providers as they are in force now."""

    def states(self, principal: Principal) -> Sequence[ProviderState]:
        principal.require(Scope.ADMIN)
        return self.configured()

    def credentials(self, principal: Principal) -> list[ProviderCredential]:
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            return work.credentials.all()

    def add(self, principal: Principal, order: CredentialOrder, actor: Actor) -> ProviderCredential:
        """In force within 5 s. Raises InvalidRequest for an unknown provider, a key or an address of the wrong form."""
        principal.require(Scope.ADMIN)
        credential = self._sealed(principal, order)
        with self.begin() as work:
            work.credentials.add(credential)
            self.auditor.write(work, actor, _change("credential.create", credential.id, None, credential))
        return credential

    def change(
        self, principal: Principal, credential_id: str, actor: Actor, *, name: str | None, disabled: bool | None
    ) -> ProviderCredential:
        """In force within 5 s. What is None stays. Raises NotFound."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            stored = _stored(work, credential_id)
            changed = replace(
                stored,
                name=stored.name if name is None else name,
                disabled=stored.disabled if disabled is None else disabled,
            )
            work.credentials.save(changed)
            self.auditor.write(work, actor, _change("credential.change", stored.id, stored, changed))
        return changed

    def remove(self, principal: Principal, credential_id: str, actor: Actor) -> None:
        """In force within 5 s. Raises NotFound."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            stored = _stored(work, credential_id)
            work.credentials.delete(credential_id)
            self.auditor.write(work, actor, _change("credential.delete", stored.id, stored, None))

    def price_list(self, principal: Principal) -> list[tuple[str, Price]]:
        """What is in force, by model."""
        principal.require(Scope.ADMIN)
        return sorted(self.prices.book.prices.items())

    def price_history(
        self, principal: Principal, model: str | None, limit: int, before: str | None
    ) -> list[PriceChange]:
        """Newest first; `before` is the last id of the page before."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            return work.prices.history(model, limit, before)

    def set_price(self, principal: Principal, model: str, price: Price | None, actor: Actor) -> PriceChange:
        """A new version; None takes the administrators' price back. In force within 5 s; calls that run keep theirs.

        Raises InvalidRequest unless `model` is `provider/model` of a provider that there could be.
        """
        principal.require(Scope.ADMIN)
        self._check_model(model)
        fields = {} if price is None else asdict(price)
        change = PriceChange(self.new_id("prc"), model, self.clock.now(), principal.user_id, **fields)
        with self.begin() as work:
            before = work.prices.history(model, 1, None)
            work.prices.add(change)
            action = "price.remove" if price is None else "price.set"
            self.auditor.write(work, actor, Change(action, model, _figures(before), _figures([change])))
        return change

    def _sealed(self, principal: Principal, order: CredentialOrder) -> ProviderCredential:
        names = self.providers()
        if order.provider not in names:
            raise InvalidRequest(f"A key can be for one of {', '.join(sorted(names))}.", param="provider")
        secret = checked_secret(order.secret)
        return ProviderCredential(
            id=self.new_id("cred"),
            provider=order.provider,
            name=order.name,
            sealed=self.vault.seal(PURPOSE, secret),
            last4=tail_of(secret),
            created_at=self.clock.now(),
            created_by=principal.user_id,
            base_url=None if order.base_url is None else checked_address(order.base_url),
        )

    def _check_model(self, model: str) -> None:
        provider, _, name = model.partition("/")
        word = model.isascii() and model.isprintable() and " " not in model and len(model) <= _MODEL_LENGTH
        names = self.providers()
        if not word or not name or provider not in names:
            raise InvalidRequest(
                f"A price is for provider/model, with one of the providers {', '.join(sorted(names))}.",
                param="model",
            )


def _stored(work: UnitOfWork, credential_id: str) -> ProviderCredential:
    credential = work.credentials.get(credential_id)
    if credential is None:
        raise NotFound
    return credential


def _change(
    action: str, credential_id: str, before: ProviderCredential | None, after: ProviderCredential | None
) -> Change:
    return Change(action, credential_id, _visible(before), _visible(after))


def _visible(credential: ProviderCredential | None) -> dict[str, object]:
    return {} if credential is None else {name: getattr(credential, name) for name in _SHOWN}


def _figures(changes: Sequence[PriceChange]) -> dict[str, int | None]:
    """Of the newest; nano-units per million tokens, and per image."""
    names = ("input", "output", "cached_input", "cache_write", "reasoning", "image")
    return {name: getattr(change, name) for change in changes[:1] for name in names}
