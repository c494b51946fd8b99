from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.tokens import TokenMeter, estimate_messages, estimate_prompt, estimate_text, estimated, owed_so_far
from domain.usage import Source, Usage


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 0), ("a", 1), ("abcd", 2), ("a" * 400, 101), ("你好世界", 5), ("naïve café", 3), ("hi 你好", 3)],
)
def test_a_token_is_four_latin_characters_or_one_wide_one(text: str, number: int):
    assert estimate_text(text) == number


@given(st.text(min_size=1))
def test_any_text_has_at_least_one_token_and_no_more_than_its_characters_and_one(text: str):
    assert 1 <= estimate_text(text) <= len(text) + 1


@given(st.text(), st.text())
def test_a_longer_text_never_has_fewer_tokens(text: str, more: str):
    assert estimate_text(text + more) >= estimate_text(text)


@given(st.lists(st.text()))
def test_text_in_pieces_counts_as_the_whole(pieces: list[str]):
    meter = TokenMeter()

    for piece in pieces:
        meter.add(piece)

    assert meter.tokens == estimate_text("".join(pieces))


@pytest.mark.parametrize(
    ("content", "number"),
    [
        ("abcd", 4 + 2),
        (None, 4),
        ([], 4),
        ([{"type": "text", "text": "abcd"}], 4 + 2),
        ([{"type": "text", "text": "abcd"}, {"type": "image_url", "image_url": {"url": "data:"}}], 4 + 2 + 765),
        ([{"type": "text", "text": 7}], 4 + 765),
        (["not a part"], 4),
    ],
    ids=["text", "none", "empty", "part", "image", "odd text", "odd part"],
)
def test_a_message_counts_its_content_and_its_frame(content: Any, number: int):
    assert estimate_messages([{"role": "user", "content": content}]) == number


@pytest.mark.parametrize("field", ["tool_calls", "function_call", "refusal", "reasoning_content"])
def test_whatever_else_a_message_says_counts_as_the_text_it_is(field: str):
    assert estimate_messages([{"role": "assistant", "content": "abcd", field: ["x" * 400]}]) > 6 + 100


def test_a_prompt_is_the_sum_of_its_messages():
    messages = [{"role": "system", "content": "abcd"}, {"role": "assistant"}, {"role": "user", "content": "abcd"}]

    assert estimate_messages(messages) == 6 + 4 + 6


def test_an_estimate_says_that_it_is_one():
    usage = estimated(12, 3)

    assert (usage.prompt_tokens, usage.completion_tokens, usage.source) == (12, 3, Source.ESTIMATED)


def test_tool_definitions_count_as_the_text_they_are():
    messages = [{"role": "user", "content": "abcd"}]

    assert estimate_prompt(messages) == estimate_prompt(messages, []) == 6
    assert estimate_prompt(messages, [{"type": "function"}]) > 6


@pytest.mark.parametrize(
    ("counted", "owed"),
    [
        (None, Usage(input=6, output=11, source=Source.ESTIMATED)),
        (Usage(source=Source.PROVIDER), Usage(input=6, output=11, source=Source.ESTIMATED)),
        (
            Usage(input=7, cached_input=900, cache_write=50, source=Source.PROVIDER),
            Usage(input=7, cached_input=900, cache_write=50, output=11, source=Source.ESTIMATED),
        ),
        (Usage(input=7, output=3, source=Source.PROVIDER), Usage(input=7, output=3, source=Source.PROVIDER)),
        (Usage(input=7, reasoning=3, source=Source.PROVIDER), Usage(input=7, reasoning=3, source=Source.PROVIDER)),
    ],
    ids=["nothing", "zeros", "the prompt", "all", "thoughts"],
)
def test_of_a_cut_answer_what_is_not_counted_is_estimated(counted: Usage | None, owed: Usage):
    assert owed_so_far(counted, 6, 11) == owed
