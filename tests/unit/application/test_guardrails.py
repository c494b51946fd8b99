import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.facts import GuardrailFailed, GuardrailHit
from application.guardrails import Guardrails, Rule
from application.screen import Screen
from domain.completion import Completion, Delta
from domain.errors import GuardrailBlocked
from domain.guardrail import MASK, Action, Side, Span
from tests.fakes import RecordingRecorder

BOTH = frozenset(Side)
SECRET = "tok-12345"


def finds(pattern: str):
    return lambda text: [Span(it.start(), it.end()) for it in re.finditer(pattern, text) if it.group()]


def fails(text: str) -> Sequence[Span]:
    raise RuntimeError(text)


def guarded(action: Action, find: Any = None, window: int = 16, **rule: Any) -> Guardrails:
    made = Rule("secrets", find or finds(r"tok-\d+"), action, rule.pop("sides", BOTH), **rule)
    return Guardrails([made], RecordingRecorder(), window)


def hits(guardrails: Guardrails) -> list[object]:
    return guardrails._record.facts


def a_chunk(finish: str | None = None, index: int = 0, **delta: Any) -> Delta:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return Delta([choice], delta.get("content") or "", delta.get("reasoning_content") or "")


def a_content(text: str) -> Delta:
    return a_chunk(content=text)


def texts(deltas: list[Delta], field: str = "content", index: int = 0) -> str:
    choices = [choice for delta in deltas for choice in delta.choices if choice["index"] == index]
    return "".join(choice["delta"].get(field, "") for choice in choices)


# ── prompts ──────────────────────────────────────────────────────────────────────────────────────────────────────


def ask(guardrails: Guardrails, text: str) -> str:
    (message,) = guardrails.prompt([{"role": "user", "content": text}])
    return message["content"]


def test_a_prompt_is_masked_in_all_its_messages():
    messages = [{"role": "system", "content": SECRET}, {"role": "user", "content": f"It is {SECRET}."}]

    shown = guarded(Action.MASK).prompt(messages)

    assert [message["content"] for message in shown] == [MASK, f"It is {MASK}."]


def test_a_blocked_prompt_names_the_rule_and_none_of_the_text():
    guardrails = guarded(Action.BLOCK)

    with pytest.raises(GuardrailBlocked) as caught:
        ask(guardrails, SECRET)

    assert "secrets" in caught.value.message
    assert SECRET not in caught.value.message
    assert hits(guardrails) == [GuardrailHit("secrets", "block", "input")]


def parts(*texts: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


@pytest.mark.parametrize(
    ("split", "shown"),
    [
        (("tok-", "12345"), MASK),
        (("a to", "k-", "1 b"), f"a {MASK} b"),
        (("tok-1", "2"), MASK),
        (("", "t", "", "ok-1", ""), MASK),
    ],
)
def test_what_is_split_over_neighbouring_parts_is_found_all_the_same(split, shown):
    assert guarded(Action.MASK).prompt([parts(*split)]) == [parts(shown)]
    with pytest.raises(GuardrailBlocked):
        guarded(Action.BLOCK).prompt([parts(*split)])


def test_parts_without_a_match_between_them_stay_apart():
    messages = [parts(SECRET, "and", SECRET), parts("tok", "en"), parts("one"), parts()]

    shown = guarded(Action.MASK).prompt(messages)

    assert shown == [parts(MASK, "and", MASK), parts("tok", "en"), parts("one"), parts()]


def test_a_picture_between_them_keeps_parts_apart():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [{"type": "text", "text": "tok-"}, picture, {"type": "text", "text": "12345"}]

    (shown,) = guarded(Action.BLOCK).prompt([{"role": "user", "content": content}])

    assert shown["content"] == content


def test_parts_that_are_joined_keep_what_stands_beside_the_last():
    first, last = (
        {"type": "text", "text": "tok-"},
        {"type": "text", "text": "1", "cache_control": {"type": "ephemeral"}},
    )

    (shown,) = guarded(Action.MASK).prompt([{"role": "user", "content": [first, last]}])

    assert shown["content"] == [{**last, "text": MASK}]


@given(st.lists(st.text("tok-1 ", max_size=6), min_size=1, max_size=6))
def test_no_match_is_left_in_what_the_parts_are_together(split):
    (shown,) = guarded(Action.MASK).prompt([parts(*split)])

    assert not re.search(r"tok-\d", "".join(part["text"] for part in shown["content"]))


def test_a_noted_prompt_goes_on_as_it_is():
    guardrails = guarded(Action.NOTE)

    assert ask(guardrails, SECRET) == SECRET
    assert hits(guardrails) == [GuardrailHit("secrets", "note", "input")]


@pytest.mark.parametrize(
    "options",
    [
        {"tools": [{"type": "function", "function": {"name": "f", "description": SECRET}}]},
        {"tools": [{"type": "function", "function": {"name": SECRET}}]},
        {"tools": [{"function": {"parameters": {"properties": {SECRET: {"enum": []}}}}}]},
        {"response_format": {"json_schema": {"schema": {"properties": {"a": {"const": SECRET}}}}}},
        {"prediction": {"type": "content", "content": [{"type": "text", "text": SECRET}]}},
        {"metadata": {"data": SECRET}},
        {"stop": [SECRET]},
        {"user": SECRET},
    ],
    ids=str,
)
def test_nothing_is_smuggled_in_beside_the_messages(options: dict):
    with pytest.raises(GuardrailBlocked):
        guarded(Action.BLOCK).options(options)

    shown = guarded(Action.MASK).options({**options, "temperature": 0.5})
    assert shown.pop("temperature") == 0.5
    assert shown == eval(repr(options).replace(SECRET, MASK))  # noqa: S307 - it was written ten lines above


def test_a_prompt_that_cannot_be_looked_at_is_one_that_a_rule_failed_on():
    guarded(Action.BLOCK, closed=False).unreadable("Tokens")
    guarded(Action.BLOCK, sides=frozenset({Side.OUTPUT})).unreadable("Tokens")
    guardrails = guarded(Action.NOTE)

    with pytest.raises(GuardrailBlocked):
        guardrails.unreadable("Tokens")

    assert hits(guardrails) == [GuardrailFailed("secrets", "Tokens", blocked=True)]


def test_new_rules_take_the_place_of_the_old_ones():
    guardrails = guarded(Action.BLOCK)
    guardrails.use([])

    assert (guardrails.watches_prompts, guardrails.watches_answers) == (False, False)


# ── a rule that fails ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_closed_rule_that_fails_blocks():
    guardrails = guarded(Action.NOTE, fails)

    with pytest.raises(GuardrailBlocked):
        ask(guardrails, "anything")

    assert hits(guardrails) == [GuardrailFailed("secrets", "RuntimeError", blocked=True)]


def test_a_rule_is_not_asked_about_nothing():
    assert ask(guarded(Action.NOTE, fails), "") == ""


def test_an_open_rule_that_fails_lets_through_and_the_others_still_count():
    broken = Rule("broken", fails, Action.BLOCK, BOTH, closed=False)
    guardrails = Guardrails([broken, Rule("mask", finds(SECRET), Action.MASK, BOTH)], RecordingRecorder())

    assert ask(guardrails, SECRET) == MASK
    assert hits(guardrails)[0] == GuardrailFailed("broken", "RuntimeError", blocked=False)


# ── whole answers ────────────────────────────────────────────────────────────────────────────────────────────────


def a_completion(text: str, **choice: Any) -> Completion:
    message = {"role": "assistant", "content": text}
    return Completion(text, "stop", choices=[{"index": 0, "message": message, "finish_reason": "stop", **choice}])


def test_an_answer_is_masked_wherever_it_is_read():
    shown = guarded(Action.MASK).answer(a_completion(f"Use {SECRET}."))

    assert shown.text == shown.choices[0]["message"]["content"] == f"Use {MASK}."


def test_every_choice_of_an_answer_is_looked_at():
    second = {"index": 1, "message": {"content": None, "refusal": SECRET}, "finish_reason": "stop"}
    completion = a_completion("Fine.")
    completion.choices.append(second)

    shown = guarded(Action.MASK).answer(completion)

    assert (shown.choices[0], shown.choices[1]["message"]["refusal"]) == (completion.choices[0], MASK)


def test_probabilities_do_not_tell_what_was_masked():
    logprobs = {"content": [{"token": "tok"}, {"token": "-12345"}]}

    assert guarded(Action.MASK).answer(a_completion("Fine.", logprobs=logprobs)).choices[0]["logprobs"] == logprobs
    assert "logprobs" not in guarded(Action.MASK).answer(a_completion(SECRET, logprobs=logprobs)).choices[0]


@pytest.mark.parametrize("text", [SECRET, "Fine."])
def test_an_answer_that_nobody_changes_is_the_same_object(text: str):
    completion = a_completion(text)

    assert guarded(Action.MASK, sides=frozenset({Side.INPUT})).answer(completion) is completion
    assert guarded(Action.NOTE).answer(completion) is completion


def test_an_odd_answer_is_passed_on():
    odd = Completion("", "stop", choices=[{"index": 0, "message": {"content": None}}, {"index": 1}, {"message": None}])

    assert guarded(Action.MASK).answer(odd) is odd
    assert guarded(Action.MASK).answer(Completion("", "stop")).choices == []


def test_an_answer_whose_first_choice_is_odd_is_still_masked():
    odd = Completion("", "stop", choices=[{"index": 0}, {"index": 1, "message": {"content": SECRET}}])

    shown = guarded(Action.MASK).answer(odd)

    assert (shown.text, shown.choices[1]["message"]["content"]) == ("", MASK)


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────


def screened(guardrails: Guardrails, *deltas: Delta) -> list[Delta]:
    screen = Screen(guardrails)
    return [*screen.feed(list(deltas)), *screen.flush()]


def cut_at(text: str, cuts: list[int]) -> list[Delta]:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    return [a_chunk(content=text[a:b]) for a, b in pairwise(places)]


@pytest.mark.parametrize("pattern", [r"tok-\d+", r"\btok-\d+\b", r"\b\d{2,4}\b", r"(?<!o)k-"], ids=str)
@given(text=st.text("tok-159 x", max_size=80), cuts=st.lists(st.integers(0, 80), max_size=12))
def test_a_stream_shows_what_the_whole_answer_would_however_it_is_cut(pattern: str, text: str, cuts: list[int]):
    whole = guarded(Action.MASK, finds(pattern)).answer(a_completion(text)).text

    longest = max((len(it) for it in re.findall(pattern, text)), default=0)
    window = max(6, longest) + 2  # it has to be longer than any match
    shown = screened(guarded(Action.MASK, finds(pattern), window), *cut_at(text, cuts), a_chunk("stop"))

    assert texts(shown) == whole


@given(text=st.text("catr sin", max_size=60), cuts=st.lists(st.integers(0, 60), max_size=12))
def test_a_stream_is_blocked_when_the_whole_answer_would_be_and_only_then(text: str, cuts: list[int]):
    guardrails = guarded(Action.BLOCK, finds(r"\bcat\b"), window=8)
    allowed = re.search(r"\bcat\b", text) is None

    try:
        shown = texts(screened(guardrails, *cut_at(text, cuts), a_chunk("stop")))
    except GuardrailBlocked:
        assert not allowed, "half a word is not the word"
    else:
        assert allowed
        assert shown == text


@given(text=st.text("abcx", max_size=60), cuts=st.lists(st.integers(0, 60), max_size=12))
def test_rules_that_overlap_take_out_what_each_of_them_finds(text: str, cuts: list[int]):
    rules = [
        Rule(pattern, finds(pattern), Action.MASK, BOTH) for pattern in ("a[abx]{1,6}", "b[abcx]{2,9}c", "[bc]{2,6}x")
    ]
    whole = Guardrails(rules, RecordingRecorder()).answer(a_completion(text)).text

    shown = screened(Guardrails(rules, RecordingRecorder(), 24), *cut_at(text, cuts), a_chunk("stop"))

    assert texts(shown) == whole


def test_half_a_word_is_not_the_word():
    guardrails = guarded(Action.BLOCK, finds(r"\bcat\b"))

    assert texts(screened(guardrails, *map(a_content, ["the cat", "alog ", "con", "cat", "enates"]))) == (
        "the catalog concatenates"
    )
    with pytest.raises(GuardrailBlocked):
        screened(guardrails, a_content("the cat"), a_content(" sat"))
    with pytest.raises(GuardrailBlocked):
        screened(guardrails, a_content("the cat"))


def test_where_rules_overlap_the_text_waits_for_both_of_them():
    rules = [Rule(it, finds(it), Action.MASK, BOTH) for it in ("<[^>]*>", "{[^}]*}")]
    text = "." * 10 + "<" + "a" * 29 + "{" + "a" * 9 + ">" + "b" * 49 + "}" + "." * 20

    shown = screened(Guardrails(rules, RecordingRecorder(), window=40), a_content(text))

    assert texts(shown) == "." * 10 + MASK + "." * 20


def test_nothing_of_a_blocked_match_gets_out():
    screen = Screen(guarded(Action.BLOCK))
    shown = screen.feed([a_chunk(content="A long enough beginning, and then: tok-")])

    with pytest.raises(GuardrailBlocked):
        screen.feed([a_chunk(content="12345 ")])

    assert "tok" not in texts(shown)


def test_the_last_text_comes_with_the_finish_reason():
    shown = screened(
        guarded(Action.MASK), a_chunk(role="assistant", content="Hel"), a_chunk(content="lo"), a_chunk("stop")
    )

    (only,) = shown
    assert only.choices == [{"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]
    assert only.text == "Hello"


def test_who_speaks_is_told_with_the_first_text():
    screen = Screen(guarded(Action.MASK, window=4))

    assert screen.feed([a_chunk(role="assistant", content=""), a_chunk(content="It")]) == []
    (first,) = screen.feed([a_chunk(content=" goes on.")])

    assert first.choices[0]["delta"]["role"] == "assistant"


def test_a_stream_without_a_finish_reason_gives_out_what_is_left():
    shown = screened(guarded(Action.MASK), a_chunk(role="assistant", content="Hel"), a_chunk(content="lo"))

    assert [delta.choices for delta in shown] == [
        [{"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": None}]
    ]


def a_call(index: int, arguments: str, **more: Any) -> dict:
    return {"index": index, "function": {"arguments": arguments}, **more}


def arguments_of(deltas: list[Delta]) -> dict[int, str]:
    written: dict[int, str] = {}
    for delta in deltas:
        for choice in delta.choices:
            for call in choice["delta"].get("tool_calls", []):
                written[call["index"]] = written.get(call["index"], "") + call["function"]["arguments"]
    return written


def test_choices_channels_and_tools_are_held_back_each_for_itself():
    shown = screened(
        guarded(Action.MASK),
        a_chunk(content="to"),
        a_chunk(index=1, content="tok-7"),
        a_chunk(reasoning_content="k-1 tok-2"),
        a_chunk(tool_calls=[a_call(0, "tok-"), a_call(1, "a")]),
        a_chunk(tool_calls=[a_call(1, "9"), {"index": 2, "id": "c2"}]),
        a_chunk("stop"),
        a_chunk("stop", index=1),
    )

    assert (texts(shown), texts(shown, index=1), texts(shown, "reasoning_content")) == ("to", MASK, f"k-1 {MASK}")
    assert arguments_of(shown) == {0: "tok-", 1: "a9", 2: ""}


def test_one_text_is_over_before_another_begins():
    """In the order in which they were said: dialects have one block after the other."""
    signature = {"type": "thinking", "index": 0, "signature": "s"}
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    shown = screened(
        guarded(Action.MASK),
        a_chunk(role="assistant", reasoning_content="Let me"),
        a_chunk(reasoning_content=" think."),
        a_chunk(reasoning_details=[signature]),
        a_chunk(content="It is"),
        a_chunk(tool_calls=[call]),
        a_chunk(tool_calls=[a_call(0, "{}")]),
        a_chunk(tool_calls=[a_call(1, "[]", id="d")]),
        a_chunk("tool_calls"),
    )

    said = [{name: value for name, value in delta.choices[0]["delta"].items() if name != "role"} for delta in shown]
    assert said == [
        {"reasoning_content": "Let me think."},
        {"reasoning_details": [signature]},
        {"content": "It is"},
        {"tool_calls": [call]},
        {"tool_calls": [a_call(0, "{}")]},
        {"tool_calls": [{"index": 1, "id": "d", "function": {"arguments": ""}}]},
        {"tool_calls": [a_call(1, "[]")]},
    ]


def test_a_thought_is_whole_when_its_signature_comes_with_its_end():
    shown = screened(
        guarded(Action.MASK),
        a_chunk(reasoning_content="tok-"),
        a_chunk(reasoning_content="12", reasoning_details=[{"type": "thinking", "signature": "s"}]),
        a_chunk(content="Done."),
    )

    assert [delta.reasoning for delta in shown] == [MASK, ""]


def test_several_texts_of_one_event_go_out_in_the_order_of_reading():
    shown = screened(guarded(Action.MASK), a_chunk("stop", content="b", reasoning_content="a", refusal="c"))

    (only,) = shown
    assert list(only.choices[0]["delta"]) == ["reasoning_content", "content", "refusal"]


def test_a_match_is_found_although_something_else_was_said_in_between():
    """What is out is out, and not a letter more."""
    guardrails = guarded(Action.MASK)
    shown = screened(
        guardrails,
        a_chunk(content="It is tok-1"),
        a_chunk(reasoning_content="hm"),
        a_chunk(content="2345."),
        a_chunk("stop"),
    )

    assert texts(shown) == f"It is {MASK}{MASK}."
    with pytest.raises(GuardrailBlocked):
        screened(
            guarded(Action.BLOCK), a_chunk(content="tok-"), a_chunk(refusal="x"), a_chunk(content="1"), a_chunk("s")
        )


def test_calls_that_have_all_the_same_position_are_told_apart_by_their_ids():
    shown = screened(
        guarded(Action.MASK),
        a_chunk(tool_calls=[a_call(0, "tok-", id="c1")]),
        a_chunk(tool_calls=[a_call(0, "1 ", id="c1")]),
        a_chunk(tool_calls=[a_call(0, "b", id="c2"), a_call(0, "c", id="c3")]),
        a_chunk("tool_calls"),
    )

    calls = [call for delta in shown for call in delta.choices[0]["delta"].get("tool_calls", [])]
    assert [(call.get("id"), call["function"]["arguments"]) for call in calls] == [
        ("c1", ""),
        ("c1", ""),
        (None, f"{MASK} "),
        ("c2", "b"),
        ("c3", ""),
        (None, "c"),
    ]


def test_names_of_tools_and_whatever_else_a_provider_sends_are_looked_at():
    call = {"index": 0, "id": SECRET, "function": {"name": SECRET, "arguments": ""}}

    shown = screened(
        guarded(Action.MASK), a_chunk(tool_calls=[call]), a_chunk(annotations=[{"title": SECRET}]), a_chunk("stop")
    )

    assert shown[0].choices[0]["delta"]["tool_calls"][0]["function"]["name"] == MASK
    assert shown[1].choices[0]["delta"]["annotations"] == [{"title": MASK}]


def test_probabilities_do_not_tell_what_is_held_back():
    delta = a_chunk(content="tok-1 and so on, for a long time")
    delta.choices[0]["logprobs"] = {"content": [{"token": "tok"}]}

    assert [choice["logprobs"] for it in screened(guarded(Action.MASK), delta)[:1] for choice in it.choices] == [None]


def test_a_match_that_never_ends_is_not_waited_for():
    screen = Screen(guarded(Action.MASK, finds(r"x+"), window=4))

    shown = screen.feed([a_chunk(content="x" * 10) for _ in range(10)])

    assert set(texts(shown).replace(MASK, "")) == set()
    assert MASK in texts(shown)


def test_a_match_that_never_ends_is_blocked_in_the_end():
    screen = Screen(guarded(Action.BLOCK, finds(r"x+"), window=4))

    with pytest.raises(GuardrailBlocked):
        screen.feed([a_chunk(content="x" * 10) for _ in range(10)])


def test_a_match_in_a_stream_is_told_of_once():
    guardrails = guarded(Action.NOTE)

    screened(
        guardrails, *(a_chunk(content=piece) for piece in "the tok-1 is here, and nothing else at all"), a_chunk("stop")
    )

    assert hits(guardrails) == [GuardrailHit("secrets", "note", "output")]


@pytest.mark.parametrize(
    ("delta", "changed"),
    [
        (a_chunk("stop", content=SECRET), True),
        (a_chunk("stop", annotations=[SECRET]), True),
        (a_chunk("stop", content="plain"), False),
    ],
)
def test_a_screen_knows_whether_it_took_something_out(delta: Delta, changed: bool):
    screen = Screen(guarded(Action.MASK))
    screen.feed([delta])

    assert screen.changed is changed


def test_odd_deltas_do_no_harm():
    odd = Delta(
        [
            {"index": 0, "delta": None, "finish_reason": None},
            {"index": 0, "delta": {"role": "assistant", "tool_calls": [7, {"index": "x", "function": 8}]}},
            {"index": 0, "delta": {"tool_calls": {"not": "a list"}, "content": ["x"]}},
        ]
    )

    assert [delta.choices for delta in screened(guarded(Action.MASK), odd)] == [
        [{"index": 0, "delta": {"role": "assistant", "content": ["x"]}}]
    ]
