"""What a scripted provider answers to `/embeddings`, chosen by the name of the model as in `scripted_provider`.

Good: `ok` (base64 where it is asked for), `packed-only`, `digits-only`, `shuffled`, `no-index`, `no-usage`,
`zero-usage`. Bad: `short` (a vector is missing), `twice` (one has the index of another), `null` and `text` (in place
of a number), `huge` (no 32-bit number), `nan` (in base64), `ragged`, `empty`, `stubborn` (wants nothing of
`dimensions`), `cut-packed`, `no-list`, `bad-json`. `fails-after-1` answers 500 to further requests of a request id.
"""

import json
import struct
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from tests.servers.scripted_answers import Bill, Body, Script
from tests.servers.scripted_turn import Line, Turn

DIMENSIONS = 4


class EmbeddingTurn(Turn):
    """`asked` is how many requests of this request id came before."""

    def __init__(self, line: Line, bill: Bill, script: Script, wire: Any, asked: int) -> None:
        super().__init__(line, bill, script, wire)
        self._asked = asked

    def play(self) -> None:
        if self.script.name == "fails-after" and self._asked >= self.script.number(1):
            self.line.whole(500, b'{"error": {"message": "Scripted status 500."}}')
        else:
            self.before()
        if self.line.status:
            self.bill.status = self.line.status
            return
        if self.script.name == "slow":
            self.line.pause(self.script.number(100) / 1000)
        self.bill.prompt_tokens = tokens_of(self.bill.payload["input"])
        body = json.dumps(answer(self.bill.payload, self.script.name)).encode()
        self.line.whole(200, body[:-10] if self.script.name == "bad-json" else body)


def answer(payload: Body, name: str) -> Body:
    wanted = payload.get("dimensions") or payload.get("output_dimension")
    vectors = [vector(text, wanted) for text in payload["input"]]
    if name == "stubborn":
        vectors = [vector(text, None) for text in payload["input"]]
    if name in SPOILT:
        vectors[-1] = SPOILT[name](vectors[-1])
    items = [{"object": "embedding", "index": index, "embedding": it} for index, it in enumerate(vectors)]
    if name in {"packed-only", "nan", "cut-packed"} or (
        payload.get("encoding_format") == "base64" and name not in {"digits-only", *SPOILT}
    ):
        for item in items:
            item["embedding"] = _base64(item["embedding"], name)
    items = REARRANGED.get(name, lambda it: it)(items)
    body = {"object": "list", "model": payload["model"], "data": items, "usage": usage(payload["input"], name)}
    return {**body, "data": "none"} if name == "no-list" else body


def vector(text: Any, dimensions: int | None) -> list[Any]:
    """Numbers that 32 bits hold exactly, different for texts of different length."""
    return [(len(text) + place) / 8 for place in range(dimensions or DIMENSIONS)]


def tokens_of(texts: list[Any]) -> int:
    return sum(len(text.split()) if isinstance(text, str) else len(text) for text in texts)


def usage(texts: list[Any], name: str) -> Body | None:
    if name == "no-usage":
        return None
    count = 0 if name == "zero-usage" else tokens_of(texts)
    return {"prompt_tokens": count, "total_tokens": count}


SPOILT: dict[str, Callable[[list[Any]], list[Any]]] = {
    "null": lambda numbers: [None, *numbers[1:]],
    "text": lambda numbers: ["0.5", *numbers[1:]],
    "huge": lambda numbers: [1e300, *numbers[1:]],
    "ragged": lambda numbers: numbers[1:],
    "empty": lambda numbers: numbers[:0],
}
REARRANGED: dict[str, Callable[[list[Any]], list[Any]]] = {
    "shuffled": lambda items: items[::-1],
    "no-index": lambda items: [{"embedding": item["embedding"]} for item in items],
    "short": lambda items: items[:-1],
    "twice": lambda items: [*items[:-1], {**items[-1], "index": 0}],
}


def _base64(numbers: list[float], name: str) -> str:
    if name == "nan":
        numbers = [float("nan"), *numbers[1:]]
    packed = struct.pack(f"<{len(numbers)}f", *numbers)
    return b64encode(packed[:-1] if name == "cut-packed" else packed).decode()
