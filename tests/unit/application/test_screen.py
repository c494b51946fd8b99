"""What `test_guardrails` shows of visible text holds for every other text that is told in pieces."""

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from application.guardrails import Guardrails, Rule
from application.screen import Screen
from domain.completion import Delta
from domain.guardrail import MASK, Action, Side, Span
from tests.fakes import RecordingRecorder


def finds(pattern: str):
    return lambda text: [Span(it.start(), it.end()) for it in re.finditer(pattern, text)]


def screen(pattern: str = r"\btok-\d+", window: int = 16) -> Screen:
    rule = Rule("secrets", finds(pattern), Action.MASK, frozenset(Side))
    return Screen(Guardrails([rule], RecordingRecorder(), window))


def a_chunk(finish: str | None = None, **delta: Any) -> Delta:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return Delta([choice], delta.get("content") or "", delta.get("reasoning_content") or "")


def shown(*deltas: Delta, by: Screen | None = None) -> list[dict[str, Any]]:
    """What is said of the first choice."""
    it = by or screen()
    return [delta.choices[0]["delta"] for delta in [*it.feed(list(deltas)), *it.flush()]]


def a_call(text: str, kind: str = "function", member: str = "arguments", **more: str) -> dict[str, Any]:
    return {"index": 0, "type": kind, kind: {**more, member: text}}


def written(said: list[dict[str, Any]], kind: str = "function", member: str = "arguments") -> str:
    return "".join(call[kind][member] for delta in said for call in delta.get("tool_calls", ()))


def test_the_input_of_a_custom_tool_waits_and_has_nothing_of_a_function():
    pieces = ["It is tok-", "12", " now"]
    said = shown(*(a_chunk(tool_calls=[a_call(it, "custom", "input")]) for it in pieces), a_chunk("tool_calls"))

    assert written(said, "custom", "input") == f"It is {MASK} now"
    assert not any("function" in call for delta in said for call in delta.get("tool_calls", ()))


def test_what_waits_for_a_custom_tool_is_told_when_the_stream_breaks_off():
    said = shown(a_chunk(tool_calls=[a_call("tok-1", "custom", "input")]))

    assert said[-1] == {"tool_calls": [{"index": 0, "custom": {"input": MASK}}]}


@pytest.mark.parametrize(
    ("name", "member", "beside"), [("audio", "transcript", {"id": "a"}), ("function_call", "arguments", {"name": "f"})]
)
def test_a_text_within_something_else_waits_while_the_rest_of_it_is_told(name: str, member: str, beside: dict):
    said = shown(
        a_chunk(**{name: {**beside, member: "It is tok-"}}), a_chunk(**{name: {member: "12 now"}}), a_chunk("stop")
    )

    assert said[0] == {name: {**beside, member: ""}}
    assert "".join(delta.get(name, {}).get(member, "") for delta in said) == f"It is {MASK} now"


TEXTS = st.text('atok-15\n\t"\\\x07中😀', max_size=60)


@example(text="Hi\ntok-1", cuts=[], ascii_only=False)
@example(text="中\ttok-15 中", cuts=[5, 6, 7, 8, 14, 15], ascii_only=True)
@example(text="a" * 40 + '"tok-15"', cuts=[30, 47, 50], ascii_only=True)
@given(text=TEXTS, cuts=st.lists(st.integers(0, 300), max_size=12), ascii_only=st.booleans())
def test_arguments_are_looked_at_as_they_read_and_stay_json(text: str, cuts: list[int], ascii_only: bool):
    pattern = r"\btok-\d{1,6}"
    document = json.dumps({"a": text}, ensure_ascii=ascii_only)
    places = sorted({0, len(document), *(cut for cut in cuts if cut < len(document))})

    said = shown(
        *(a_chunk(tool_calls=[a_call(document[a:b])]) for a, b in pairwise(places)),
        a_chunk("tool_calls"),
        by=screen(pattern),
    )

    assert json.loads(written(said)) == {"a": re.sub(pattern, MASK, text)}


def a_detail(text: str, **more: str) -> dict[str, Any]:
    return {"type": "reasoning.text", "index": 0, "text": text, **more}


def test_reasoning_in_pieces_of_its_own_is_told_as_one_when_it_is_over():
    said = shown(
        a_chunk(reasoning_content="It is tok-", reasoning_details=[a_detail("It is tok-")]),
        a_chunk(reasoning_content="12.", reasoning_details=[a_detail("12.", signature="s")]),
        a_chunk(content="Done."),
        a_chunk("stop"),
    )

    assert said == [
        {"reasoning_content": f"It is {MASK}."},
        {"reasoning_details": [a_detail(f"It is {MASK}.")]},
        {"content": "Done."},
    ]


@pytest.mark.parametrize("end", [[], [a_chunk("stop")], [a_chunk(tool_calls=[a_call("", name="f")])]])
def test_reasoning_in_pieces_keeps_its_signature_where_nothing_was_taken_out(end: list[Delta]):
    said = shown(
        a_chunk(reasoning_details=[a_detail("Let me")]), a_chunk(reasoning_details=[a_detail("", signature="s")]), *end
    )

    assert [it["reasoning_details"] for it in said if it.get("reasoning_details")] == [
        [a_detail("Let me", signature="s")]
    ]


def test_all_that_waits_is_told_when_the_stream_breaks_off():
    said = shown(a_chunk(reasoning_content="tok-1", reasoning_details=[a_detail("tok-1")]))

    assert said == [{"reasoning_content": MASK}, {"reasoning_details": [a_detail(MASK)]}]


def test_a_text_waits_although_something_is_signed_beside_it():
    sign = {"type": "thought_signature", "signature": "s"}
    said = shown(a_chunk(content="tok-", reasoning_details=[sign]), a_chunk(content="12"), a_chunk("stop"))

    assert said == [{"reasoning_details": [sign]}, {"content": MASK}]


def test_what_follows_reasoning_in_pieces_still_waits():
    said = shown(
        a_chunk(reasoning_details=[a_detail("hm")]), a_chunk(content="tok-"), a_chunk(content="12"), a_chunk("stop")
    )

    assert said[-1]["content"] == MASK


SIGNED = {"type": "thinking", "index": 0, "signature": "s"}


def test_a_thought_of_which_something_was_taken_out_is_not_signed_any_more_and_the_next_one_is():
    said = shown(
        a_chunk(reasoning_content="tok-12."),
        a_chunk(reasoning_details=[SIGNED]),
        a_chunk(reasoning_content="More."),
        a_chunk(reasoning_details=[SIGNED]),
        a_chunk(content="Done."),
    )

    assert [it["reasoning_details"] for it in said if "reasoning_details" in it] == [
        [{"type": "thinking", "index": 0}],
        [SIGNED],
    ]
