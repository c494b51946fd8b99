"""The models a caller may use."""

from dataclasses import dataclass, replace

from application.model_ports import Models, Plan
from application.ports import Prices
from domain.completion import ModelCard
from domain.errors import UnknownModel
from domain.usage import Price
from domain.user import Principal


@dataclass(frozen=True, slots=True)
class ListedModel:
    """`id` is `provider/model`, or the name of a route or alias, which is described by what is tried first.

    `price` is None when it is not known, or not the same for all that may answer.
    """

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
        routes = (self._route(principal, plan) for plan in self.catalog.routes())
        return [*(model for model in listed if principal.may_use(model.id)), *filter(None, routes)]

    def model(self, principal: Principal, model_id: str) -> ListedModel:
        """Raises UnknownModel, for a model the caller may not use as well."""
        for model in self.models(principal):
            if model.id == model_id:
                return model
        raise UnknownModel(f"There is no model {model_id}.", param="model")

    def _route(self, principal: Principal, plan: Plan) -> ListedModel | None:
        """None for who may use neither the route nor anything that it leads to."""
        by_name = principal.may_use(plan.name)
        usable = [it for it in plan.deployments if by_name or principal.may_use(it.id)]
        if not usable:
            return None
        prices = {self.prices.book.prices.get(deployment.id) for deployment in usable}
        card = replace(usable[0].card, name=plan.name)
        return ListedModel(plan.name, usable[0].provider, card, prices.pop() if len(prices) == 1 else None)

    def _listed(self, provider: str, card: ModelCard) -> ListedModel:
        model_id = f"{provider}/{card.name}"
        return ListedModel(model_id, provider, card, self.prices.book.prices.get(model_id))
