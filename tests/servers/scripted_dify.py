"""A Dify with one app for each key: it keeps conversations and files per user, and misbehaves on request.

What it does is named by the variable `script` of the question's `inputs`, or by `script:…` in its newest message; the
names are those of `scripted_provider`. Of its own it has `recall` (tells all that it was asked in this conversation),
`agent` (answers nothing but streams), `workflow` (all that a chatflow tells beside its answer), `replaced`,
`replaced-first`, `stopped`, `paused`, `failed`, and `code-…` (any of Dify's codes). A file with `large` or `strange` in
its name is refused. `GET /_log` tells `stops`, `files` and `conversations` too; `DELETE /_conversations` loses those.
"""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import Request, urlopen
from uuid import uuid4

from gevent.server import StreamServer

from tests.servers import scripted_answers as answers
from tests.servers.program import Program
from tests.servers.scripted_answers import MASKED_KEY, Bill, Body, Script
from tests.servers.scripted_provider import ROOT, ScriptedProvider, Server
from tests.servers.scripted_turn import ClientGone, Cut, Line, Turn

CODES = {
    "app_unavailable": 400,
    "completion_request_error": 400,
    "conversation_completed": 400,
    "invalid_param": 400,
    "model_currently_not_support": 400,
    "not_chat_app": 400,
    "provider_not_initialize": 400,
    "provider_quota_exceeded": 400,
    "rate_limit_error": 429,
    "too_many_requests": 429,
    "internal_server_error": 500,
}
PING = b"event: ping\n\n"

_CODES = {400: "invalid_param", 401: "unauthorized", 404: "not_found", 429: "too_many_requests"}
_MESSAGES = {
    "context-length": "[openai] Bad Request Error, This model's maximum context length is 8 tokens.",
    "context-size": "[acme] Bad Request Error, the request exceeds the context window",
    "content-filter": "[azure] Bad Request Error, content_filter",
    "auth": f"Access token {MASKED_KEY} is invalid",
    "key-in-message": f"You sent {MASKED_KEY}.",
}
_OF_THE_MODEL = ("context-length", "context-size", "content-filter")
_NAMED = re.compile(r"script:([\w.-]+)")


class ScriptedDify(ScriptedProvider):
    """The program of this module on a free port."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        argv = [sys.executable, "-m", "tests.servers.scripted_dify", str(self.port)]
        Program.__init__(self, argv, folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, name="dify")

    def stops(self) -> list[Body]:
        """What it was asked to stop: `task`, `user`, and whether that `runs`."""
        return list(self.told()["stops"])

    def files(self) -> list[Body]:
        return list(self.told()["files"])

    def conversations(self) -> dict[str, Body]:
        """By their ids: their `user`, and their `turns` of a question and an answer."""
        return dict(self.told()["conversations"])

    def lose_conversations(self) -> None:
        request = Request(f"{self.root}/_conversations", method="DELETE")
        urlopen(request, timeout=10).close()


@dataclass
class Conversation:
    """`app` is the key: each app has its own."""

    user: str
    app: str
    turns: list[tuple[str, str]] = field(default_factory=list)


class DifyServer(Server):
    def __init__(self) -> None:
        super().__init__()
        self.conversations: dict[str, Conversation] = {}
        self.running: dict[str, str] = {}
        """Users by the ids of their tasks."""
        self.stops: list[Body] = []
        self.files: list[Body] = []

    def answer(self, line: Line, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        if path == "/_log":
            self.log(line, method)
        elif path == "/_conversations":
            self.conversations.clear()
            line.whole(204, b"")
        elif path == "/v1/files/upload":
            self.upload(line, headers, body)
        elif match := re.fullmatch(r"/v1/chat-messages/([^/]+)/stop", path):
            self.stop(line, match[1], json.loads(body))
        else:
            assert path == "/v1/chat-messages", path
            self.ask(line, headers, json.loads(body))

    def log(self, line: Line, method: str) -> None:
        calls = [vars(bill) for bill in self.bills]
        told = {
            "requests": len(calls),
            "connections": self.connections,
            "calls": calls,
            "stops": list(self.stops),
            "files": list(self.files),
            "conversations": {id_: vars(kept) for id_, kept in self.conversations.items()},
        }
        if method == "DELETE":
            self.bills.clear()
            self.stops.clear()
            self.files.clear()
        line.whole(200, json.dumps(told).encode())

    def upload(self, line: Line, headers: dict[str, str], body: bytes) -> None:
        head = f"Content-Type: {headers['content-type']}\r\n\r\n".encode()
        form = message_from_bytes(head + body, policy=policy.HTTP)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        name = parts["file"].get_filename()
        if "large" in name or "strange" in name:
            status, code = (413, "file_too_large") if "large" in name else (415, "unsupported_file_type")
            line.whole(status, _error(status, code, "Not this file."))
            return
        file = {
            "id": str(uuid4()),
            "user": parts["user"].get_payload(decode=True).decode(),
            "name": name,
            "type": parts["file"].get_content_type(),
            "size": len(parts["file"].get_payload(decode=True)),
            "authorization": headers["authorization"],
        }
        self.files.append(file)
        line.whole(201, json.dumps({**file, "extension": name.rpartition(".")[2]}).encode())

    def stop(self, line: Line, task: str, payload: Body) -> None:
        runs = self.running.get(task) == payload["user"]
        self.stops.append({"task": task, "user": payload["user"], "runs": runs})
        line.whole(200, b'{"result": "success"}')

    def ask(self, line: Line, headers: dict[str, str], payload: Body) -> None:
        newest = payload["query"].rpartition("[user]\n")[2]
        named = payload["inputs"].get("script") or next(iter(_NAMED.findall(newest)), "ok")
        streamed = payload["response_mode"] == "streaming"
        request_id = headers.get("x-request-id") or payload["user"]
        bill = Bill(request_id, named, streamed, len(payload["query"].split()), headers=headers, payload=payload)
        self.bills.append(bill)
        refused = self.refused(headers, payload)
        if refused is not None:
            bill.status, bill.ended = refused[0], "complete"
            line.whole(*refused)
            return
        script = Script.of(named)
        if script.once and request_id in self.seen:
            script = Script.of("ok")
        self.seen.add(request_id)
        self.play(line, bill, script)

    def refused(self, headers: dict[str, str], payload: Body) -> tuple[int, bytes] | None:
        if not payload["query"] or not payload["user"]:
            return 400, _error(400, "invalid_param", "query is required")
        known, conversation = self.conversations.get(payload["conversation_id"]), payload["conversation_id"]
        if conversation and (known is None or (known.user, known.app) != (payload["user"], headers["authorization"])):
            return 404, _error(404, "not_found", "Conversation Not Exists.")
        uploaded = {file["id"]: file["user"] for file in self.files}
        for file in payload["files"]:
            if file["transfer_method"] == "local_file" and uploaded.get(file["upload_file_id"]) != payload["user"]:
                return 400, _error(400, "invalid_param", "Invalid upload file")
        return None

    def play(self, line: Line, bill: Bill, script: Script) -> None:
        user = bill.payload["user"]
        conversation = bill.payload["conversation_id"] or str(uuid4())
        kept = self.conversations.setdefault(conversation, Conversation(user, bill.headers["authorization"]))
        words = Words(line, bill, script, conversation)
        turn = DifyTurn(line, bill, script, words, [asked for asked, _ in kept.turns])
        self.running[words.task] = user
        try:
            turn.play()
            bill.ended = "complete"
        except (ClientGone, OSError):
            bill.ended = "client_gone"
            raise
        except Cut:
            bill.ended = "cut"
            raise
        finally:
            kept.turns.append((bill.payload["query"], bill.sent))


class DifyTurn(Turn):
    def __init__(self, line: Line, bill: Bill, script: Script, words: "Words", asked: list[str]) -> None:
        super().__init__(line, bill, script, words)
        self.asked = asked

    def play(self) -> None:
        if self.script.name == "agent" and not self.bill.streamed:
            self.line.whole(400, _error(400, "invalid_param", "Agent Chat App does not support blocking mode"))
        else:
            self.before()
        if self.line.status:
            self.bill.status = self.line.status
            return
        pieces = answers.words(self.bill.payload, self.script)
        if self.script.name == "recall":
            pieces = [f"{asked} | " for asked in [*self.asked, self.bill.payload["query"]]]
        (self.stream if self.bill.streamed else self.wait)(pieces, "stop")


class Words:
    """What `Turn` asks its wire for, of one question."""

    DONE: bytes | None = None
    STATUSES: ClassVar = {"auth": 401, **{f"code-{code}": status for code, status in CODES.items()}}

    def __init__(self, line: Line, bill: Bill, script: Script, conversation: str) -> None:
        self.line = line
        self.bill = bill
        self.script = script
        self.task = str(uuid4())
        self.head = {
            "task_id": self.task,
            "message_id": "msg-scripted",
            "conversation_id": conversation,
            "created_at": 1_700_000_000,
        }

    def lines(self, payload: bytes) -> bytes:
        return b"data: " + payload

    def completion(self, _bill: Bill, pieces: list[str], _finish: str, _script: Script) -> bytes:
        answer = {"event": "message", "mode": "chat", "answer": "".join(pieces), "metadata": self.metadata()}
        return _json({**self.head, **answer})

    def chunks(self, _bill: Bill, pieces: list[str], _finish: str, script: Script) -> Iterator[tuple[bytes, str]]:
        """The payloads of a stream, each with the visible text in it."""
        yield from ((self.told(event), "") for event in _BEFORE.get(script.name, ()))
        kind = "agent_message" if script.name == "agent" else "message"
        for text in pieces:
            if script.name == "workflow":
                with suppress(OSError):
                    self.line.chunk(PING)
            yield self.told({"event": kind, "answer": text}), text
        yield from ((self.told(event), "") for event in _AFTER.get(script.name, ()))
        if script.name not in ("failed", "paused"):
            yield self.told({"event": "message_end", "id": "msg-scripted", "metadata": self.metadata()}), ""
        if script.name == "workflow":
            yield self.told({"event": "workflow_finished", "data": {"status": "succeeded"}}), ""
            yield self.told({"event": "tts_message_end", "audio": ""}), ""

    def error_body(self, status: int, script: Script) -> bytes:
        message = _MESSAGES.get(script.name, f"Scripted status {status}.")
        code = "completion_request_error" if script.name in _OF_THE_MODEL else _CODES.get(status, "scripted")
        if script.name.startswith("code-"):
            code = script.name.removeprefix("code-")
        return _error(400, "invalid_param", message, event="error") if status == 200 else _error(status, code, message)

    def error_event(self) -> bytes:
        return b"data: " + _error(500, "internal_server_error", "Backend died.", event="error", **self.head) + b"\n\n"

    def piece(self, _bill: Bill, text: str) -> bytes:
        return self.told({"event": "message", "answer": text})

    def quoted(self, key: str) -> bytes:
        return _error(400, f"unknown {key}", f"What is {key}?")

    def metadata(self) -> Body:
        counted = {"prompt_tokens": self.bill.prompt_tokens, "completion_tokens": self.bill.completion_tokens}
        by_name: dict[str, Body | None] = {
            "no-usage": None,
            "zero-usage": {"prompt_tokens": 0, "completion_tokens": 0},
            "absurd-usage": {"prompt_tokens": 10**12, "completion_tokens": -5},
        }
        usage = by_name.get(self.script.name, counted)
        prices = {"total_price": "0.0012890", "currency": "USD", "latency": 0.7682376249867957}
        return {"retriever_resources": [], **({} if usage is None else {"usage": {**usage, **prices}})}

    def told(self, event: Body) -> bytes:
        return _json({**self.head, **event})


_BEFORE: dict[str, list[Body]] = {
    "workflow": [
        {"event": "workflow_started", "data": {"inputs": {}}},
        {"event": "node_started", "data": {"node_id": "llm", "node_type": "llm"}},
    ],
    "reasoning": [
        {"event": "reasoning_chunk", "data": {"reasoning": "Let me ", "is_final": False}},
        {"event": "reasoning_chunk", "data": {"reasoning": "think.", "is_final": False}},
        {"event": "reasoning_chunk", "data": {"reasoning": "", "is_final": True}},
    ],
    "agent": [
        {"event": "agent_thought", "position": 1, "thought": "", "tool": "dalle3", "observation": "secret"},
        {"event": "message_file", "type": "image", "belongs_to": "assistant", "url": "https://dify.example/cat.png"},
    ],
    "replaced-first": [{"event": "message_replace", "answer": "I may not say that. "}],
    "paused": [{"event": "human_input_required", "data": {}}],
}
_AFTER: dict[str, list[Body]] = {
    "workflow": [{"event": "node_finished", "data": {"status": "succeeded"}}],
    "agent": [{"event": "agent_thought", "position": 1, "thought": "word1 word2", "tool": "", "observation": ""}],
    "replaced": [{"event": "message_replace", "answer": "I may not say that."}],
    "stopped": [{"event": "workflow_finished", "data": {"status": "stopped"}}],
    "paused": [{"event": "workflow_paused", "data": {"status": "paused"}}],
    "failed": [
        {"event": "workflow_finished", "data": {"status": "failed", "error": "No."}},
        {"event": "error", "status": 400, "code": "completion_request_error", "message": "Run failed: No."},
    ],
}


def _error(status: int, code: str, message: str, **more: Any) -> bytes:
    return _json({"code": code, "message": message, "status": status, **more})


def _json(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


if __name__ == "__main__":
    StreamServer(("127.0.0.1", int(sys.argv[1])), DifyServer().serve, backlog=512).serve_forever()
