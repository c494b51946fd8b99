"""The models a caller may use."""

from dataclasses import dataclass

from application.ports import Models, Prices
from domain.completion import ModelCard
from domain.errors import UnknownModel
from domain.usage import Price
from domain.user import Principal


@dataclass(frozen=True, slots=True)
class ListedModel:
    """`id` is `provider/model`; `price` is None when it is not known."""

    id: str
    provider: str
    card: ModelCard
    price: Price | None


@dataclass(frozen=True, slots=True)
class CatalogService:
    catalog: Models
    prices: Prices

    def models(self, principal: Principal) -> list[ListedModel]:
        listed = (self._listed(provider, card) for provider, card in self.catalog.listed())
        return [model for model in listed if principal.may_use(model.id)]

    def model(self, principal: Principal, model_id: str) -> ListedModel:
        """Raises UnknownModel, for a model the caller may not use as well."""
        for model in self.models(principal):
            if model.id == model_id:
                return model
        raise UnknownModel(f"There is no model {model_id}.", param="model")

    def _listed(self, provider: str, card: ModelCard) -> ListedModel:
        model_id = f"{provider}/{card.name}"
        return ListedModel(model_id, provider, card, self.prices.book.prices.get(model_id))
