"""Anthropic's dialect and the shape all providers share say the same: nothing is lost on the way, in either form."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from api.v1.messages_answer import message_body
from api.v1.messages_request import message_request
from api.v1.messages_stream import MessageEvents
from application.completions import CompletionAnswer
from domain.completion import Completion, Delta
from domain.usage import Source, Usage
from tests.builders import NOW
from tests.examples import examples
from tests.message_events import Played, assembled, events_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS, JSON, max_size=3)
MARKERS = ({"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"})
CACHING = st.just({}) | st.sampled_from([{"cache_control": marker} for marker in MARKERS])


def block(kind: str, **members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda made, caching: {"type": kind, **made, **caching}, st.fixed_dictionaries(members), CACHING)


def source(kind: str, **members: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), **members})


BASE64 = st.from_regex(r"[A-Za-z0-9+/]{1,20}={0,2}", fullmatch=True)
TEXT = block("text", text=TEXTS)
IMAGE = block(
    "image",
    source=source("base64", media_type=st.sampled_from(["image/png", "image/jpeg"]), data=BASE64)
    | source("url", url=st.just("https://example.org/a.png")),
)
PDF = st.builds(
    lambda made, title: {**made, **title},
    block("document", source=source("base64", media_type=st.just("application/pdf"), data=BASE64)),
    st.just({}) | st.fixed_dictionaries({"title": NAMES}),
)
RESULT = st.builds(
    lambda used, content, failed: {"type": "tool_result", "tool_use_id": used, "content": content, **failed},
    NAMES,
    TEXTS | st.lists(TEXT | IMAGE, min_size=1, max_size=3),
    st.sampled_from([{}, {"is_error": True}]),
)
USE = block("tool_use", id=NAMES, name=NAMES, input=OBJECTS)
THOUGHT = st.fixed_dictionaries(
    {"type": st.just("thinking"), "thinking": TEXTS | st.just(""), "signature": TEXTS}
) | st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": TEXTS})


def several(blocks: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[list[Any]]:
    return st.lists(blocks, min_size=least, max_size=3)


USER = st.builds(lambda results, others: results + others, several(RESULT), several(TEXT | IMAGE | PDF)).filter(bool)
ASSISTANT = st.builds(
    lambda thoughts, texts, used: thoughts + texts + used, several(THOUGHT), several(TEXT), several(USE)
).filter(bool)
TURNS = st.lists(st.tuples(USER, ASSISTANT), min_size=1, max_size=3)


@given(TURNS, st.none() | TEXTS | several(TEXT, 1))
def test_what_a_conversation_holds_is_all_there_afterwards(turns, system):
    messages = [
        {"role": role, "content": content}
        for pair in turns
        for role, content in zip(("user", "assistant"), pair, strict=True)
    ]
    body = {"model": "a", "max_tokens": 1, "messages": messages, "system": system}

    canonical = json.loads(json.dumps(message_request(body).order.messages))

    found_system = canonical.pop(0)["content"] if canonical[0]["role"] == "system" else None
    assert (found_system and blocks_of(found_system)) == (system and blocks_of(system))
    assert turns_of(canonical) == [{**turn, "content": spelled_out(turn["content"])} for turn in messages]


def spelled_out(blocks):
    """With the content of results as blocks, for which a text alone is shorthand."""
    return [
        {**block, "content": blocks_of(block["content"])} if block["type"] == "tool_result" else block
        for block in blocks
    ]


def turns_of(canonical):
    """The way back."""
    turns: list[dict[str, Any]] = []
    for message in canonical:
        role = "assistant" if message["role"] == "assistant" else "user"
        if not turns or turns[-1]["role"] != role:
            turns.append({"role": role, "content": []})
        turns[-1]["content"] += _BACK[message["role"]](message)
    return turns


def _assistant(message):
    used = [_used(call) for call in message.get("tool_calls", ())]
    return [*message.get("reasoning_details", ()), *blocks_of(message["content"] or []), *used]


def _used(call):
    caching = {"cache_control": call["cache_control"]} if "cache_control" in call else {}
    name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
    return {"type": "tool_use", "id": call["id"], "name": name, "input": arguments, **caching}


def _result(message):
    failed = {"is_error": True} if message.get("is_error") else {}
    content = blocks_of(message["content"])
    return [{"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content, **failed}]


_BACK = {"assistant": _assistant, "tool": _result, "user": lambda message: blocks_of(message["content"])}


def blocks_of(content):
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [_block(part) for part in parts]


def _block(part):
    caching = {"cache_control": part["cache_control"]} if "cache_control" in part else {}
    if part["type"] == "image_url":
        return {"type": "image", "source": _source(part["image_url"]["url"]), **caching}
    if part["type"] == "file":
        title = {"title": part["file"]["filename"]} if "filename" in part["file"] else {}
        return {"type": "document", "source": _source(part["file"]["file_data"]), **title, **caching}
    return part


def _source(url):
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    media_type, _, encoded = url.removeprefix("data:").partition(";base64,")
    return {"type": "base64", "media_type": media_type, "data": encoded}


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────

USAGE = Usage(input=10, output=4, source=Source.PROVIDER)
CALLS = st.lists(st.tuples(NAMES, OBJECTS), max_size=4)
SIGNED = st.lists(st.tuples(TEXTS, TEXTS), max_size=2)


@settings(max_examples=examples(200))
@given(st.data(), st.text(max_size=20), SIGNED, st.none() | TEXTS, CALLS)
def test_a_stream_put_together_is_the_whole_answer(data, text, signed, unsigned, calls):
    message, fragments = an_answer(data.draw, text, signed, unsigned, calls)
    finish = "tool_calls" if calls else "stop"
    whole = Completion("", finish, USAGE, choices=[{"index": 0, "message": message, "finish_reason": finish}])

    found = events_of(
        MessageEvents(Played(*reads(data.draw, fragments), answer(Completion("", finish, USAGE)))).pieces()
    )

    assert found[-1] == {"type": "message_stop"}
    assert assembled(found) == message_body(answer(whole))


def answer(completion):
    return CompletionAnswer("req_1", "acme/large", completion, USAGE, None, NOW, 1, 20)


def an_answer(draw, text, signed, unsigned, calls):
    """The message of a whole answer, and the deltas of the same as a stream."""
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    deltas = []
    if signed:
        message["reasoning_details"] = [
            {"type": "thinking", "thinking": thought, "signature": signature} for thought, signature in signed
        ]
        message["reasoning_content"] = "".join(thought for thought, _ in signed)
        for index, (thought, signature) in enumerate(signed):
            deltas += [a_delta(reasoning=piece) for piece in split(draw, thought)]
            deltas.append(a_delta(reasoning_details=[{"type": "thinking", "index": index, "signature": signature}]))
    elif unsigned:
        message["reasoning_content"] = unsigned
        deltas += [a_delta(reasoning=piece) for piece in split(draw, unsigned)]
    deltas += [a_delta(content=piece) for piece in split(draw, text)]
    if calls:
        message["tool_calls"] = [
            {"id": f"t{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(given_to)}}
            for at, (name, given_to) in enumerate(calls)
        ]
        deltas += [a_delta(tool_calls=[fragment]) for fragment in interleaved(draw, message["tool_calls"])]
    return message, deltas


def a_delta(content="", reasoning="", **inner):
    told = {"content": content} if content else {"reasoning_content": reasoning} if reasoning else inner
    return Delta([{"index": 0, "delta": told, "finish_reason": None}], content, reasoning)


def split(draw, text):
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=4)) | {0, len(text)})
    return [text[start:end] for start, end in pairwise(cuts)]


def interleaved(draw, calls):
    """The pieces of all calls mixed; each call begins after those before it began, as its index says."""
    queues = []
    for index, call in enumerate(calls):
        function = call["function"]
        first = {"index": index, "id": call["id"], "type": "function"}
        queue = [{**first, "function": {"name": function["name"], "arguments": ""}}]
        queue += [{"index": index, "function": {"arguments": piece}} for piece in split(draw, function["arguments"])]
        queues.append(queue)
    begun = 0
    while any(queues):
        ready = [at for at, queue in enumerate(queues) if queue and at <= begun]
        at = draw(st.sampled_from(ready))
        begun = max(begun, at + 1)
        yield queues[at].pop(0)


def reads(draw, deltas):
    """Several deltas come in one read, and heartbeats between them."""
    left = list(deltas)
    while left:
        size = draw(st.sampled_from([4, 3, 2, 1, 0]))
        yield left[:size]
        del left[:size]
