"""Keys of providers that an administrator entered."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ProviderCredential:
    """`sealed` is the encrypted key; what is ever shown of it are its `last4` characters."""

    id: str
    provider: str
    name: str
    sealed: bytes
    last4: str
    created_at: datetime
    created_by: str
    base_url: str | None = None
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class PriceChange:
    """One version of a model's price; the newest counts. Nano-units per million tokens, and per `image`.

    Without `input` and `output` it takes the price back, and what the file or the provider's list says counts again.
    """

    id: str
    model: str
    at: datetime
    by: str
    input: int | None = None
    output: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    image: int | None = None
