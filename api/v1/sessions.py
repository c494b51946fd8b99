"""`/sessions`: open, list, read, change, delete, export."""

from functools import partial
from operator import attrgetter
from typing import Any

import orjson
from dependency_injector.wiring import Provide, inject

from api.answer import DOWNLOAD_HEADERS, JSON, Answer, empty_answer
from api.auth import current_principal, requires
from api.v1.blueprint import Blueprint
from api.v1.documentation import EXPORT, NO_CONTENT
from api.v1.export import markdown
from api.v1.paging import page
from api.v1.schemas import (
    ExportIn,
    ExportOut,
    MessagePageIn,
    MessagePageOut,
    PageIn,
    SessionChangeIn,
    SessionIn,
    SessionOut,
    SessionPageOut,
)
from application.sessions import SessionDraft, SessionService
from domain.session import Session
from domain.user import Scope

blueprint = Blueprint("sessions", __name__, "Chat sessions and their messages")


@blueprint.route("/sessions", methods=["POST"])
@blueprint.arguments(SessionIn)
@blueprint.response(201, SessionOut)
@blueprint.doc(operationId="createSession")
@requires(Scope.CHAT)
@inject
def create_session(draft: SessionDraft, sessions: SessionService = Provide["sessions"]) -> Session:
    """Open a chat session."""
    return sessions.open(current_principal(), draft)


@blueprint.route("/sessions", methods=["GET"])
@blueprint.arguments(PageIn, location="query")
@blueprint.response(200, SessionPageOut)
@blueprint.doc(operationId="listSessions")
@requires(Scope.CHAT)
@inject
def list_sessions(query: dict[str, Any], sessions: SessionService = Provide["sessions"]) -> dict[str, Any]:
    """List one's sessions, newest first."""
    read = partial(sessions.page, current_principal(), cursor=query["cursor"])
    return page(read, query["limit"], attrgetter("id"))


@blueprint.route("/sessions/<session_id>", methods=["GET"])
@blueprint.response(200, SessionOut)
@blueprint.doc(operationId="getSession")
@requires(Scope.CHAT)
@inject
def get_session(session_id: str, sessions: SessionService = Provide["sessions"]) -> Session:
    """Read a session."""
    return sessions.get(current_principal(), session_id)


@blueprint.route("/sessions/<session_id>", methods=["PATCH"])
@blueprint.arguments(SessionChangeIn)
@blueprint.response(200, SessionOut)
@blueprint.doc(operationId="updateSession")
@requires(Scope.CHAT)
@inject
def update_session(changes: dict[str, Any], session_id: str, sessions: SessionService = Provide["sessions"]) -> Session:
    """Change what the body names."""
    return sessions.change(current_principal(), session_id, changes)


@blueprint.route("/sessions/<session_id>", methods=["DELETE"])
@blueprint.doc(operationId="deleteSession", **NO_CONTENT)
@requires(Scope.CHAT)
@inject
def delete_session(session_id: str, sessions: SessionService = Provide["sessions"]) -> Answer:
    """Delete a session and its messages."""
    sessions.delete(current_principal(), session_id)
    return empty_answer()


@blueprint.route("/sessions/<session_id>/messages", methods=["GET"])
@blueprint.arguments(MessagePageIn, location="query")
@blueprint.response(200, MessagePageOut)
@blueprint.doc(operationId="listMessages")
@requires(Scope.CHAT)
@inject
def list_messages(
    query: dict[str, Any], session_id: str, sessions: SessionService = Provide["sessions"]
) -> dict[str, Any]:
    """List the messages of a session, oldest first."""
    read = partial(sessions.messages, current_principal(), session_id, after=query["cursor"])
    return page(read, query["limit"], attrgetter("seq"))


@blueprint.route("/sessions/<session_id>/export", methods=["GET"])
@blueprint.arguments(ExportIn, location="query")
@blueprint.doc(**EXPORT)
@requires(Scope.CHAT)
@inject
def export_session(query: dict[str, str], session_id: str, sessions: SessionService = Provide["sessions"]) -> Answer:
    """Download a session with all its messages."""
    session, messages = sessions.export(current_principal(), session_id)
    if query["format"] == "markdown":
        return _download(markdown(session, messages).encode(), "text/markdown; charset=utf-8", f"{session.id}.md")
    body = ExportOut().dump({"session": session, "messages": messages})
    return _download(orjson.dumps(body, option=orjson.OPT_INDENT_2), JSON, f"{session.id}.json")


def _download(body: bytes, kind: str, name: str) -> Answer:
    answer = Answer([body], 200, [("Content-Type", kind), ("Content-Disposition", f'attachment; filename="{name}"')])
    answer.fixed = DOWNLOAD_HEADERS
    return answer
