"""Content blocks of a streamed message, which go out one after the other whatever order their pieces arrive in.

Providers may write several calls of tools at once. The first of them streams; what belongs to others waits until its
input is complete, and that is all that is ever held back.
"""

import re
from collections import deque

import orjson

from api.v1.messages_answer import call_id, signed_block
from domain.completion import JsonObject
from domain.members import object_of, text_of
from domain.provider_errors import MaxOutputExceeded

HELD = 4_000_000
"""Characters that may wait."""
_CALLS = 1_000
_PER_BLOCK = 1_000
"""Characters that a block that waits counts for beside its own."""

_MARKS = re.compile(r'\\.|\\\Z|["{}\[\]]', re.DOTALL)
_dumps = orjson.dumps


class Block:
    """A content block: `start` as the client gets it first, `field` and `delta` of what follows."""

    __slots__ = ("_begun", "_depth", "_escaped", "_quoted", "delta", "pieces", "signature", "start", "stopped")

    def __init__(self, start: JsonObject, delta: bytes = b"") -> None:
        self.start = start
        self.delta = delta
        self.pieces: list[str] = []
        """What waits."""
        self.signature = ""
        self.stopped = False
        self._depth = 0
        self._quoted = self._escaped = self._begun = False

    @property
    def may_stop(self) -> bool:
        """Whether another block may follow now: input of a tool has to be complete, as far as brackets tell."""
        return self.delta is not _INPUT or (self._begun and self._depth <= 0)

    def read(self, piece: str) -> None:
        """Count the brackets of a piece of JSON, outside of its strings."""
        if self._escaped:
            piece, self._escaped = piece[1:], False
        for mark in _MARKS.findall(piece):
            if mark[0] == "\\":
                self._escaped = len(mark) == 1
            elif mark == '"':
                self._quoted = not self._quoted
            elif not self._quoted:
                self._depth += 1 if mark in "{[" else -1
                self._begun = True


_TEXT = b'{"type":"text_delta","text":'
_THINKING = b'{"type":"thinking_delta","thinking":'
_INPUT = b'{"type":"input_json_delta","partial_json":'
_SIGNATURE = b'{"type":"signature_delta","signature":'


class BlockWriter:
    """Writes events of content blocks; `take` what has come together. O(1) state but for what waits."""

    def __init__(self, request_id: str) -> None:
        self.called = False
        """Whether a tool was called."""
        self._request_id = request_id
        self._out: list[bytes] = []
        self._index = -1
        self._head = b""
        self._open: Block | None = None
        self._last: Block | None = None
        """The newest, while text or thinking may still be added to it."""
        self._calls: dict[int | None, Block] = {}
        self._waiting: deque[Block] = deque()
        self._held = 0

    def take(self) -> bytes:
        written = b"".join(self._out)
        self._out.clear()
        return written

    def text(self, piece: str) -> None:
        last = self._last
        if last is None or last.delta is not _TEXT:
            last = self._last = self._begin(Block({"type": "text", "text": ""}, _TEXT))
        self._add(last, piece)

    def thinking(self, piece: str) -> None:
        self._add(self._thought(), piece)

    def reasoning_detail(self, detail: JsonObject) -> None:
        """A provider's own: the signature of the thinking before it, or a block of its own. Others are dropped."""
        whole = signed_block(detail)
        if whole is not None:
            self._begin(Block(whole))
            self._last = None
        elif detail.get("type") == "thinking":
            self._sign(self._thought(), text_of(detail, "signature"))

    def call(self, fragment: JsonObject) -> None:
        """A piece of a call, told apart by its index, or by its id where a provider gives all the same index."""
        named = object_of(fragment, "function")
        name, own_id, index = text_of(named, "name"), text_of(fragment, "id"), fragment.get("index")
        place = index if isinstance(index, int) else None
        block = self._calls.get(place)
        if block is None or (name and own_id and own_id != block.start["id"]):
            block = self._calls[place] = self._new_call(own_id, name)
        arguments = text_of(named, "arguments")
        if arguments:
            block.read(arguments)
            self._add(block, arguments)

    def finish(self) -> None:
        """Nothing more will come: what waits goes out, and the last block is stopped."""
        self._stop()
        while self._waiting:
            self._resume(self._waiting.popleft())
            self._stop()

    def _thought(self) -> Block:
        last = self._last
        if last is None or last.delta is not _THINKING:
            start = {"type": "thinking", "thinking": "", "signature": ""}
            last = self._last = self._begin(Block(start, _THINKING))
        return last

    def _new_call(self, own_id: str, name: str) -> Block:
        position = len(self._calls)
        if position >= _CALLS:
            raise MaxOutputExceeded
        self.called, self._last = True, None
        start = {"type": "tool_use", "id": own_id or call_id(self._request_id, position), "name": name, "input": {}}
        return self._begin(Block(start, _INPUT))

    def _begin(self, block: Block) -> Block:
        if self._waiting or (self._open is not None and not self._open.may_stop):
            self._waiting.append(block)
            self._hold(_PER_BLOCK)
        else:
            self._stop()
            self._start(block)
        return block

    def _add(self, block: Block, piece: str) -> None:
        if block is self._open:
            self._write(block.delta, piece)
            if self._waiting and block.may_stop:
                self._go_on()
        elif not block.stopped:
            block.pieces.append(piece)
            self._hold(len(piece))

    def _hold(self, characters: int) -> None:
        self._held += characters
        if self._held > HELD:
            raise MaxOutputExceeded

    def _sign(self, block: Block, signature: str) -> None:
        self._last = None
        if block is not self._open:
            block.signature = signature
        elif signature:
            self._write(_SIGNATURE, signature)

    def _go_on(self) -> None:
        """The open block is complete: others may follow, as far as they are complete."""
        while self._waiting and (self._open is None or self._open.may_stop):
            self._stop()
            self._resume(self._waiting.popleft())

    def _resume(self, block: Block) -> None:
        self._held -= _PER_BLOCK
        self._start(block)
        if block.pieces:
            piece = "".join(block.pieces)
            block.pieces.clear()
            self._held -= len(piece)
            self._write(block.delta, piece)
        if block.signature:
            self._write(_SIGNATURE, block.signature)

    def _start(self, block: Block) -> None:
        self._index += 1
        self._open = block
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % self._index
        )
        self._out.append(
            b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
            % (self._index, _dumps(block.start))
        )

    def _write(self, delta: bytes, piece: str) -> None:
        self._out.append(self._head + delta + _dumps(piece) + b"}}\n\n")

    def _stop(self) -> None:
        if self._open is not None:
            self._open.stopped = True
            self._open = None
            self._out.append(
                b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index
            )
