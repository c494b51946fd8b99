"""`/keys`: make, list, read, change, rotate, revoke; `/key`: what the caller's own key is and may do."""

from datetime import timedelta
from functools import partial
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

from dependency_injector.wiring import Provide, inject
from flask import g

from api.actor import current_actor
from api.answer import Answer, empty_answer
from api.auth import AUTHENTICATED, current_principal, requires
from api.v1.blueprint import Blueprint
from api.v1.documentation import NO_CONTENT, or_conflict
from api.v1.key_schemas import (
    KeyChangeIn,
    KeyIn,
    KeyOut,
    KeyPageIn,
    KeyPageOut,
    NewKeyOut,
    OwnKeyOut,
    RotationIn,
)
from api.v1.paging import page
from api.v1.with_more import with_more
from application.keys import KeyOrder, KeyService
from application.limit_admin import BudgetState, LimitAdmin
from application.usage import UsageService
from domain.api_key import ApiKey
from domain.limits import Kind
from domain.user import Scope

blueprint = Blueprint("keys", __name__, "API keys")


@blueprint.route("/keys", methods=["POST"])
@blueprint.arguments(KeyIn)
@blueprint.response(201, NewKeyOut)
@blueprint.doc(operationId="createKey")
@requires(Scope.KEYS)
@inject
def create_key(order: KeyOrder, keys: KeyService = Provide["keys"]) -> SimpleNamespace:
    """Make a key; its token is shown this once."""
    key, token = keys.create(current_principal(), order, current_actor())
    return with_more(key, key=token)


@blueprint.route("/keys", methods=["GET"])
@blueprint.arguments(KeyPageIn, location="query")
@blueprint.response(200, KeyPageOut)
@blueprint.doc(operationId="listKeys")
@requires(Scope.KEYS)
@inject
def list_keys(query: dict[str, Any], keys: KeyService = Provide["keys"]) -> dict[str, Any]:
    """List one's keys, or those of a team, newest first."""
    read = partial(keys.page, current_principal(), query["team_id"], before=query["cursor"])
    return page(read, query["limit"], attrgetter("id"))


@blueprint.route("/keys/<key_id>", methods=["GET"])
@blueprint.response(200, KeyOut)
@blueprint.doc(operationId="getKey")
@requires(Scope.KEYS)
@inject
def get_key(key_id: str, keys: KeyService = Provide["keys"]) -> ApiKey:
    """Read a key."""
    return keys.get(current_principal(), key_id)


@blueprint.route("/keys/<key_id>", methods=["PATCH"])
@blueprint.arguments(KeyChangeIn)
@blueprint.response(200, KeyOut)
@blueprint.doc(operationId="updateKey", **or_conflict("The key was revoked"))
@requires(Scope.KEYS)
@inject
def update_key(changes: dict[str, Any], key_id: str, keys: KeyService = Provide["keys"]) -> ApiKey:
    """Change what the body names."""
    return keys.change(current_principal(), key_id, changes, current_actor())


@blueprint.route("/keys/<key_id>", methods=["DELETE"])
@blueprint.doc(operationId="revokeKey", **NO_CONTENT)
@requires(Scope.KEYS)
@inject
def revoke_key(key_id: str, keys: KeyService = Provide["keys"]) -> Answer:
    """Revoke a key; its running calls end."""
    keys.revoke(current_principal(), key_id, current_actor())
    return empty_answer()


@blueprint.route("/keys/<key_id>/rotate", methods=["POST"])
@blueprint.arguments(RotationIn)
@blueprint.response(201, NewKeyOut)
@blueprint.doc(operationId="rotateKey", **or_conflict("The key was rotated or revoked, or has expired"))
@requires(Scope.KEYS)
@inject
def rotate_key(order: dict[str, int], key_id: str, keys: KeyService = Provide["keys"]) -> SimpleNamespace:
    """Make a key that takes the place of another, which goes on for a while."""
    overlap = timedelta(seconds=order["overlap_seconds"])
    key, token = keys.rotate(current_principal(), key_id, overlap, current_actor())
    return with_more(key, key=token)


@blueprint.route("/key", methods=["GET"])
@blueprint.response(200, OwnKeyOut)
@blueprint.doc(operationId="getOwnKey")
@requires(AUTHENTICATED)
@inject
def get_own_key(
    keys: KeyService = Provide["keys"],
    usage: UsageService = Provide["usage"],
    limits: LimitAdmin = Provide["limit_admin"],
) -> SimpleNamespace:
    """Read the key that this request was made with: its limits, what it has used and what is left."""
    caller = current_principal()
    shown = with_more(keys.describe(caller))
    shown.use, shown.rest = usage.of_key(caller), g.get("rate")
    shown.budgets = [_budget(bound.kind, state) for bound in caller.bounds for state in limits.standing(bound)]
    return shown


def _budget(kind: Kind, state: BudgetState) -> SimpleNamespace:
    names = ("budget", "used", "reserved", "left", "resets_at")
    return SimpleNamespace(of=kind, **{name: getattr(state, name) for name in names})
