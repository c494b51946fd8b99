"""`/admin/limits` and `/admin/keys`: how much everybody may use, and with what."""

from functools import partial
from operator import attrgetter
from typing import Any

from dependency_injector.wiring import Provide, inject

from api.actor import current_actor
from api.answer import Answer, empty_answer
from api.auth import current_principal, requires
from api.v1.blueprint import Blueprint
from api.v1.documentation import NO_CONTENT
from api.v1.key_schemas import KeyPageOut
from api.v1.limit_schemas import (
    ALL,
    AdminKeyPageIn,
    BoundPageIn,
    BoundPageOut,
    BoundStateOut,
    LimitsIn,
)
from api.v1.paging import page, page_of
from application.limit_admin import LimitAdmin
from domain.errors import NotFound
from domain.limits import Kind, Limits
from domain.user import Scope

blueprint = Blueprint("admin_limits", __name__, "Administration of limits, budgets and keys")


@blueprint.route("/admin/limits", methods=["GET"])
@blueprint.arguments(BoundPageIn, location="query")
@blueprint.response(200, BoundPageOut)
@blueprint.doc(operationId="adminListLimits")
@requires(Scope.ADMIN)
@inject
def list_limits(query: dict[str, Any], limits: LimitAdmin = Provide["limit_admin"]) -> dict[str, Any]:
    """List what has limits, by id: all keys, users or teams that do, or the installation."""
    found = limits.page(current_principal(), Kind(query["kind"]))
    return page_of(found, query["limit"], query["cursor"], ascending=True)


@blueprint.route("/admin/limits/<kind>/<subject_id>", methods=["GET"])
@blueprint.response(200, BoundStateOut)
@blueprint.doc(operationId="adminGetLimits")
@requires(Scope.ADMIN)
@inject
def get_limits(kind: str, subject_id: str, limits: LimitAdmin = Provide["limit_admin"]) -> dict[str, Any]:
    """Read the limits of a `key`, `user` or `team`, or of `global/all`, and how its budgets stand."""
    return _bound(limits, *_subject(kind, subject_id))


@blueprint.route("/admin/limits/<kind>/<subject_id>", methods=["PUT"])
@blueprint.arguments(LimitsIn)
@blueprint.response(200, BoundStateOut)
@blueprint.doc(operationId="adminPutLimits")
@requires(Scope.ADMIN)
@inject
def put_limits(
    wanted: Limits, kind: str, subject_id: str, limits: LimitAdmin = Provide["limit_admin"]
) -> dict[str, Any]:
    """Set all limits of a `key`, `user` or `team`, or of `global/all`; what was used stays counted."""
    subject = _subject(kind, subject_id)
    limits.put(current_principal(), *subject, wanted, current_actor())
    return _bound(limits, *subject)


@blueprint.route("/admin/keys", methods=["GET"])
@blueprint.arguments(AdminKeyPageIn, location="query")
@blueprint.response(200, KeyPageOut)
@blueprint.doc(operationId="adminListKeys")
@requires(Scope.ADMIN)
@inject
def list_keys(query: dict[str, Any], limits: LimitAdmin = Provide["limit_admin"]) -> dict[str, Any]:
    """List everybody's keys, newest first."""
    read = partial(limits.keys, current_principal(), query["user_id"], query["team_id"], before=query["cursor"])
    return page(read, query["limit"], attrgetter("id"))


@blueprint.route("/admin/keys/<key_id>", methods=["DELETE"])
@blueprint.doc(operationId="adminRevokeKey", **NO_CONTENT)
@requires(Scope.ADMIN)
@inject
def revoke_key(key_id: str, limits: LimitAdmin = Provide["limit_admin"]) -> Answer:
    """Revoke anybody's key, within 5 s everywhere."""
    limits.revoke_key(current_principal(), key_id, current_actor())
    return empty_answer()


def _subject(kind: str, subject_id: str) -> tuple[Kind, str]:
    if kind not in set(Kind):
        raise NotFound
    if kind != Kind.GLOBAL:
        return Kind(kind), subject_id
    if subject_id != ALL:
        raise NotFound
    return Kind.GLOBAL, ""


def _bound(limits: LimitAdmin, kind: Kind, subject_id: str) -> dict[str, Any]:
    found, states = limits.get(current_principal(), kind, subject_id)
    return {"kind": kind, "id": subject_id, "limits": found, "budgets": states}
