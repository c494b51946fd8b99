"""`/key`: what the caller's own key is and may do."""

from dataclasses import asdict
from typing import Any

from dependency_injector.wiring import Provide, inject
from flask import g

from api.auth import AUTHENTICATED, current_principal, requires
from api.v1.blueprint import Blueprint
from api.v1.usage_schemas import KeyOut
from application.identity import IdentityService
from application.usage import UsageService

blueprint = Blueprint("keys", __name__, "API keys")


@blueprint.route("/key", methods=["GET"])
@blueprint.response(200, KeyOut)
@blueprint.doc(operationId="getOwnKey")
@requires(AUTHENTICATED)
@inject
def get_own_key(
    identity: IdentityService = Provide["identity"], usage: UsageService = Provide["usage"]
) -> dict[str, Any]:
    """Read the key that this request was made with: its limits, what it has used and what is left."""
    caller = current_principal()
    return {**asdict(identity.describe(caller)), "use": usage.of_key(caller), "rest": g.get("rate")}
