"""`/key`: what the caller's own key is and may do."""

from dependency_injector.wiring import Provide, inject

from api.auth import AUTHENTICATED, current_principal, requires
from api.v1.blueprint import Blueprint
from api.v1.usage_schemas import KeyOut
from application.identity import IdentityService
from domain.api_key import ApiKey

blueprint = Blueprint("keys", __name__, "API keys")


@blueprint.route("/key", methods=["GET"])
@blueprint.response(200, KeyOut)
@blueprint.doc(operationId="getOwnKey")
@requires(AUTHENTICATED)
@inject
def get_own_key(identity: IdentityService = Provide["identity"]) -> ApiKey:
    """Read the key that this request was made with."""
    return identity.describe(current_principal())
