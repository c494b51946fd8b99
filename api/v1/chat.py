"""`/chat`: one turn in a session, whole or streamed, and stopping it."""

from typing import Any

import orjson
from dependency_injector.wiring import Provide, inject
from flask import request

from api.answer import Answer
from api.auth import current_principal, requires
from api.idempotency import once
from api.paid import begin_call
from api.v1.blueprint import Blueprint
from api.v1.bodies import chat_body, paid_answer
from api.v1.documentation import CHAT, CHAT_STREAM
from api.v1.schemas import ChatIn, StoppingOut
from api.v1.streams import (
    LINES,
    chat_events,
    chat_lines,
    refused_event,
    refused_line,
    stream_answer,
)
from application.chat import ChatOrder, ChatService
from domain.user import Scope

blueprint = Blueprint("chat", __name__, "Turns in chat sessions")


@blueprint.route("/chat", methods=["POST"])
@blueprint.arguments(ChatIn)
@blueprint.doc(**CHAT)
@requires(Scope.CHAT)
@inject
def send_message(body: dict[str, Any], chat: ChatService = Provide["chat"]) -> Answer:
    """Send a message and wait for the answer."""
    return _streamed(chat, body) if body["stream"] else once(body, lambda: _whole(chat, _order(body)))


@blueprint.route("/chat/stream", methods=["POST"])
@blueprint.arguments(ChatIn)
@blueprint.doc(**CHAT_STREAM)
@requires(Scope.CHAT)
@inject
def stream_message(body: dict[str, Any], chat: ChatService = Provide["chat"]) -> Answer:
    """Send a message and read the answer while it is written."""
    return _streamed(chat, body)


@blueprint.route("/chat/<request_id>/stop", methods=["POST"])
@blueprint.response(202, StoppingOut)
@blueprint.doc(operationId="stopGeneration")
@requires(Scope.CHAT)
@inject
def stop_generation(request_id: str, chat: ChatService = Provide["chat"]) -> dict[str, str]:
    """Stop a running generation."""
    chat.stop(current_principal(), request_id)
    return {"request_id": request_id, "status": "stopping"}


def _whole(chat: ChatService, order: ChatOrder) -> Answer:
    with begin_call(streamed=False) as paid:
        answer = chat.send(current_principal(), order, paid.call)
        return paid_answer(orjson.dumps(chat_body(answer)), answer)


def _order(body: dict[str, Any]) -> ChatOrder:
    return ChatOrder(**{name: value for name, value in body.items() if name != "stream"})


def _streamed(chat: ChatService, body: dict[str, Any]) -> Answer:
    lines = LINES in request.headers.get("Accept", "")
    return once(body, lambda: _stream(chat, _order(body), lines=lines), LINES if lines else "")


def _stream(chat: ChatService, order: ChatOrder, *, lines: bool) -> Answer:
    with begin_call(streamed=True) as paid:
        stream = chat.stream(current_principal(), order, paid.call)
        if lines:
            return stream_answer(stream, paid, chat_lines(stream), refused_line(stream), LINES)
        return stream_answer(stream, paid, chat_events(stream, order.session_id), refused_event(stream))
