"""`/admin/providers` and `/admin/prices`: the providers' keys, and what their models cost."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from operator import attrgetter
from typing import Any

from dependency_injector.wiring import Provide, inject

from api.actor import current_actor
from api.answer import Answer, empty_answer
from api.auth import current_principal, requires
from api.v1.blueprint import Blueprint
from api.v1.documentation import NO_CONTENT
from api.v1.paging import page
from api.v1.provider_schemas import (
    CredentialChangeIn,
    CredentialIn,
    CredentialListOut,
    CredentialOut,
    PriceChangeOut,
    PriceHistoryIn,
    PriceHistoryOut,
    PriceIn,
    PriceListOut,
    ProviderListOut,
)
from application.provider_admin import CredentialOrder, ProviderAdmin
from domain.provider_credential import PriceChange, ProviderCredential
from domain.user import Scope

blueprint = Blueprint("providers", __name__, "The providers' keys and prices, for administrators")


@blueprint.route("/admin/providers", methods=["GET"])
@blueprint.response(200, ProviderListOut)
@blueprint.doc(operationId="listProviders")
@requires(Scope.ADMIN)
@inject
def list_providers(admin: ProviderAdmin = Provide["provider_admin"]) -> dict[str, Sequence[Any]]:
    """List all providers that there could be, and what turns them on."""
    return {"data": admin.states(current_principal())}


@blueprint.route("/admin/providers/credentials", methods=["GET"])
@blueprint.response(200, CredentialListOut)
@blueprint.doc(operationId="listProviderCredentials")
@requires(Scope.ADMIN)
@inject
def list_credentials(admin: ProviderAdmin = Provide["provider_admin"]) -> dict[str, Sequence[Any]]:
    """List the providers' keys that administrators entered, without the keys."""
    return {"data": admin.credentials(current_principal())}


@blueprint.route("/admin/providers/credentials", methods=["POST"])
@blueprint.arguments(CredentialIn)
@blueprint.response(201, CredentialOut)
@blueprint.doc(operationId="createProviderCredential")
@requires(Scope.ADMIN)
@inject
def create_credential(order: CredentialOrder, admin: ProviderAdmin = Provide["provider_admin"]) -> ProviderCredential:
    """Enter a provider's key. Of several that are enabled the newest counts, within 5 s."""
    return admin.add(current_principal(), order, current_actor())


@blueprint.route("/admin/providers/credentials/<credential_id>", methods=["PATCH"])
@blueprint.arguments(CredentialChangeIn)
@blueprint.response(200, CredentialOut)
@blueprint.doc(operationId="updateProviderCredential")
@requires(Scope.ADMIN)
@inject
def update_credential(
    changes: dict[str, Any], credential_id: str, admin: ProviderAdmin = Provide["provider_admin"]
) -> ProviderCredential:
    """Rename, disable or enable a provider's key."""
    return admin.change(current_principal(), credential_id, current_actor(), **changes)


@blueprint.route("/admin/providers/credentials/<credential_id>", methods=["DELETE"])
@blueprint.doc(operationId="deleteProviderCredential", **NO_CONTENT)
@requires(Scope.ADMIN)
@inject
def delete_credential(credential_id: str, admin: ProviderAdmin = Provide["provider_admin"]) -> Answer:
    """Delete a provider's key. Calls that run with it finish."""
    admin.remove(current_principal(), credential_id, current_actor())
    return empty_answer()


@blueprint.route("/admin/prices", methods=["GET"])
@blueprint.response(200, PriceListOut)
@blueprint.doc(operationId="listPrices")
@requires(Scope.ADMIN)
@inject
def list_prices(admin: ProviderAdmin = Provide["provider_admin"]) -> dict[str, Sequence[Any]]:
    """List the prices in force, wherever they come from."""
    return {"data": [{"model": model, **asdict(price)} for model, price in admin.price_list(current_principal())]}


@blueprint.route("/admin/prices", methods=["POST"])
@blueprint.arguments(PriceIn)
@blueprint.response(201, PriceChangeOut)
@blueprint.doc(operationId="setPrice")
@requires(Scope.ADMIN)
@inject
def set_price(body: dict[str, Any], admin: ProviderAdmin = Provide["provider_admin"]) -> PriceChange:
    """Set a model's price, or take it back. In force within 5 s; calls that run keep theirs."""
    return admin.set_price(current_principal(), body["model"], body["price"], current_actor())


@blueprint.route("/admin/prices/history", methods=["GET"])
@blueprint.arguments(PriceHistoryIn, location="query")
@blueprint.response(200, PriceHistoryOut)
@blueprint.doc(operationId="listPriceHistory")
@requires(Scope.ADMIN)
@inject
def list_price_history(query: dict[str, Any], admin: ProviderAdmin = Provide["provider_admin"]) -> dict[str, Any]:
    """List the changes that administrators made to prices, newest first."""
    read = partial(_history, admin, query["model"], query["cursor"])
    return page(read, query["limit"], attrgetter("id"))


def _history(admin: ProviderAdmin, model: str | None, cursor: str | None, limit: int) -> list[PriceChange]:
    return admin.price_history(current_principal(), model, limit, cursor)
