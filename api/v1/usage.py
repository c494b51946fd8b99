"""`/usage`: one's own totals and records."""

from functools import partial
from operator import attrgetter
from typing import Any

from dependency_injector.wiring import Provide, inject

from api.auth import current_principal, requires
from api.v1.blueprint import Blueprint
from api.v1.paging import page
from api.v1.schemas import PageIn
from api.v1.usage_schemas import RecordPageOut, UsageOut
from application.usage import UsageService
from domain.user import Scope

blueprint = Blueprint("usage", __name__, "Usage and cost")


@blueprint.route("/usage", methods=["GET"])
@blueprint.response(200, UsageOut)
@blueprint.doc(operationId="getUsage")
@requires(Scope.USAGE_READ)
@inject
def get_usage(usage: UsageService = Provide["usage"]) -> dict[str, Any]:
    """Sum up one's use: today, this week, this month, ever; by day, model and key."""
    found = usage.summary(current_principal())
    return {
        "today": found.today,
        "week": found.week,
        "month": found.month,
        "total": found.total,
        "days": [{"date": day, "total": total} for day, total in found.days],
        "models": [{"model": model, "total": total} for model, total in found.models],
        "keys": [{"key_id": key_id, "total": total} for key_id, total in found.keys],
    }


@blueprint.route("/usage/records", methods=["GET"])
@blueprint.arguments(PageIn, location="query")
@blueprint.response(200, RecordPageOut)
@blueprint.doc(operationId="listUsageRecords")
@requires(Scope.USAGE_READ)
@inject
def list_records(query: dict[str, Any], usage: UsageService = Provide["usage"]) -> dict[str, Any]:
    """List one's requests with their tokens and cost, newest first."""
    read = partial(usage.records, current_principal(), cursor=query["cursor"])
    return page(read, query["limit"], attrgetter("request_id"))
