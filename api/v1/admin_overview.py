"""`/admin/usage`, `/admin/records`, `/admin/audit`, `/admin/status`: what goes on."""

from collections.abc import Iterator
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any

import orjson
from dependency_injector.wiring import Provide, inject
from werkzeug.datastructures import Headers

from api.answer import DOWNLOAD_HEADERS, Answer
from api.auth import current_principal, requires
from api.errors import envelope
from api.trace import current_trace
from api.v1.admin_overview_schemas import (
    AdminRecordPageIn,
    AdminRecordPageOut,
    AuditEntryOut,
    AuditPageIn,
    AuditPageOut,
    StatusOut,
    UseIn,
    UseOut,
)
from api.v1.blueprint import Blueprint
from api.v1.documentation import AUDIT_EXPORT
from api.v1.paging import page
from api.v1.streams import LINES
from application.overview import Overview, Status
from application.store import GroupBy, UsageFilter
from domain.audit import AuditEntry
from domain.errors import ParleyError
from domain.user import Scope

blueprint = Blueprint("admin_overview", __name__, "Everybody's usage, the audit log and the state of the workers")


@blueprint.route("/admin/usage", methods=["GET"])
@blueprint.arguments(UseIn, location="query")
@blueprint.response(200, UseOut)
@blueprint.doc(operationId="adminGetUsage")
@requires(Scope.ADMIN)
@inject
def get_usage(query: dict[str, Any], overview: Overview = Provide["overview"]) -> dict[str, Any]:
    """Sum up everybody's use by day, user, team, model or key."""
    by = GroupBy(query.pop("by"))
    groups = overview.usage(current_principal(), UsageFilter(**query), by)
    return {"by": by, "data": [{"group": group, "total": total} for group, total in groups]}


@blueprint.route("/admin/records", methods=["GET"])
@blueprint.arguments(AdminRecordPageIn, location="query")
@blueprint.response(200, AdminRecordPageOut)
@blueprint.doc(operationId="adminListRecords")
@requires(Scope.ADMIN)
@inject
def list_records(query: dict[str, Any], overview: Overview = Provide["overview"]) -> dict[str, Any]:
    """List everybody's requests with their tokens and cost, newest first."""
    limit, cursor = query.pop("limit"), query.pop("cursor")
    read = partial(overview.records, current_principal(), UsageFilter(**query), before=cursor)
    return page(read, limit, attrgetter("request_id"))


@blueprint.route("/admin/audit", methods=["GET"])
@blueprint.arguments(AuditPageIn, location="query")
@blueprint.response(200, AuditPageOut)
@blueprint.doc(operationId="adminListAudit")
@requires(Scope.ADMIN)
@inject
def list_audit(query: dict[str, Any], overview: Overview = Provide["overview"]) -> dict[str, Any]:
    """List who changed what, newest first."""
    read = partial(overview.audit, current_principal(), query["action"], query["user_id"], before=query["cursor"])
    return page(read, query["limit"], attrgetter("id"))


@blueprint.route("/admin/audit/export", methods=["GET"])
@blueprint.doc(**AUDIT_EXPORT)
@requires(Scope.ADMIN)
@inject
def export_audit(overview: Overview = Provide["overview"]) -> Answer:
    """Download the whole audit log, newest first, one entry on a line."""
    pages = overview.export_audit(current_principal())
    first = next(pages, [])  # before the status line, so that a store that does not answer has a status of its own
    lines = AuditLines(chain([first], pages), current_trace().request_id)
    disposition = 'attachment; filename="audit.ndjson"'
    answer = Answer(lines, 200, Headers([("Content-Type", LINES), ("Content-Disposition", disposition)]))
    answer.fixed = DOWNLOAD_HEADERS
    return answer


@blueprint.route("/admin/status", methods=["GET"])
@blueprint.response(200, StatusOut)
@blueprint.doc(operationId="adminGetStatus")
@requires(Scope.ADMIN)
@inject
def get_status(overview: Overview = Provide["overview"]) -> Status:
    """Tell how the workers are, and how many mails wait."""
    return overview.status(current_principal())


class AuditLines:
    """One piece per page. An export that is cut says so in its last line, so that it never looks complete."""

    def __init__(self, pages: Iterator[list[AuditEntry]], request_id: str) -> None:
        self.sent_bytes = 0
        self._pages = pages
        self._request_id = request_id

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces():
            self.sent_bytes += len(piece)
            yield piece

    def _pieces(self) -> Iterator[bytes]:
        schema = AuditEntryOut()
        try:
            for entries in self._pages:
                yield b"".join(orjson.dumps(schema.dump(entry)) + b"\n" for entry in entries)
        except ParleyError as error:
            yield orjson.dumps({"error": envelope(error, self._request_id)}) + b"\n"
