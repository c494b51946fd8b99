"""The catalog and the price book that are in force, and can be exchanged while calls run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adapters.ai.catalog import Catalog
from application.model_ports import Plan, Rest
from domain.completion import ModelCard
from domain.usage import PriceBook, Usage


@dataclass(frozen=True, slots=True)
class InForce:
    catalog: Catalog
    book: PriceBook


class LiveCatalog:
    """Implements `Models` and `Prices`. Whoever got a deployment or a book keeps it to the end of the call."""

    def __init__(self, catalog: Catalog, book: PriceBook) -> None:
        self._now = InForce(catalog, book)

    @property
    def now(self) -> InForce:
        return self._now

    @property
    def book(self) -> PriceBook:
        return self._now.book

    def swap(self, catalog: Catalog, book: PriceBook) -> None:
        """Both at once, in one assignment, so that no thread ever sees one without the other."""
        self._now = InForce(catalog, book)

    def cost(self, model: str, usage: Usage) -> int | None:
        """By the book in force now; a call that has begun asks its own."""
        return self._now.book.cost(model, usage)

    def resolve(self, model: str) -> Plan:
        return self._now.catalog.resolve(model)

    def default(self, provider: str | None = None) -> str:
        return self._now.catalog.default(provider)

    def listed(self) -> Sequence[tuple[str, ModelCard]]:
        return self._now.catalog.listed()

    def routes(self) -> Sequence[Plan]:
        return self._now.catalog.routes()

    def rests(self) -> Iterator[Rest]:
        return self._now.catalog.rests()
