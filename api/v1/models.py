"""`/models`: what the caller may use, in OpenAI's list shape."""

from typing import Any

from dependency_injector.wiring import Provide, inject

from api.auth import AUTHENTICATED, current_principal, requires
from api.v1.blueprint import Blueprint
from api.v1.documentation import MODEL_PATH
from api.v1.usage_schemas import ModelListOut, ModelOut
from application.catalog import CatalogService, ListedModel

blueprint = Blueprint("models", __name__, "Models")


@blueprint.route("/models", methods=["GET"])
@blueprint.response(200, ModelListOut)
@blueprint.doc(operationId="listModels")
@requires(AUTHENTICATED)
@inject
def list_models(catalog: CatalogService = Provide["catalog"]) -> dict[str, Any]:
    """List the models that one may use."""
    return {"data": catalog.models(current_principal())}


@blueprint.route("/models/<path:model_id>", methods=["GET"], parameters=[MODEL_PATH])
@blueprint.response(200, ModelOut)
@blueprint.doc(operationId="getModel")
@requires(AUTHENTICATED)
@inject
def get_model(model_id: str, catalog: CatalogService = Provide["catalog"]) -> ListedModel:
    """Read one model."""
    return catalog.model(current_principal(), model_id)
