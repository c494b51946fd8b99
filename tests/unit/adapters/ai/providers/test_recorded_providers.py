"""Each provider of OpenAI's wire, in the shapes that it documents."""

import json
from dataclasses import replace
from importlib import import_module
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.ai.catalog import known_profiles
from adapters.ai.openai_compatible import OpenAIChat
from adapters.ai.profile import Profile
from adapters.ai.sse import EventParser
from domain.completion import Completion, Delta, Prompt
from domain.provider_errors import ProviderError, UpstreamTruncated
from domain.usage import Usage
from tests.unit.adapters.ai.providers.recorded import CALL, Recorded, chunk, events

PROFILES = {name: profile for name, profile in known_profiles().items() if profile.wire == "openai"}
PROMPT = Prompt("m", [{"role": "user", "content": "Wer grüßt?"}])


def recorded(name: str) -> Recorded:
    return import_module(f"tests.unit.adapters.ai.providers.recorded_{name}").RECORDED


ALL = [pytest.param(profile, recorded(name), id=name) for name, profile in PROFILES.items()]
REFUSALS = [
    pytest.param(profile, *refusal, id=f"{name}-{refusal[0]}-{number}")
    for name, profile in PROFILES.items()
    for number, refusal in enumerate(recorded(name).errors)
]
ENDS = [
    pytest.param(profile, event, kind, id=f"{name}-{number}")
    for name, profile in PROFILES.items()
    for number, (event, kind) in enumerate(recorded(name).in_stream)
]


def read(profile: Profile, *pieces: bytes) -> tuple[list[Delta], Completion]:
    parser, decoder = EventParser(names=OpenAIChat.events), OpenAIChat(profile.quirks).decoder(PROMPT, profile)
    deltas = [delta for piece in pieces for delta in decoder.feed(parser.feed(piece))]
    deltas += decoder.feed(parser.flush())
    return deltas, decoder.close()


def told(deltas: list[Delta]) -> tuple[str, str]:
    return "".join(delta.text for delta in deltas), "".join(delta.reasoning for delta in deltas)


@pytest.mark.parametrize(("profile", "recorded"), ALL)
class TestRecorded:
    def test_an_answer_is_read(self, profile, recorded):
        completion = OpenAIChat(profile.quirks).decode(json.dumps(recorded.answer).encode(), PROMPT, profile)
        (choice,) = completion.choices

        assert (completion.text, completion.finish) == (recorded.text, recorded.finish)
        assert completion.text == choice["message"]["content"]
        assert choice["message"].get("reasoning_content", "") == recorded.reasoning
        assert choice["finish_reason"] == recorded.finish
        assert completion.usage == recorded.usage

    def test_a_stream_says_the_same_as_the_answer(self, profile, recorded):
        deltas, closing = read(profile, recorded.events())

        assert told(deltas) == (recorded.text, recorded.reasoning)
        assert (closing.finish, closing.usage, closing.choices) == (recorded.finish, recorded.usage, [])
        last = next(choice for delta in reversed(deltas) for choice in delta.choices)
        assert last["finish_reason"] == recorded.finish

    def test_reasoning_has_its_canonical_name_and_text_is_text(self, profile, recorded):
        deltas, _ = read(profile, recorded.events())
        said = [choice["delta"] for delta in deltas for choice in delta.choices]

        assert not any("reasoning" in delta for delta in said)
        assert "".join(delta.get("reasoning_content") or "" for delta in said) == recorded.reasoning
        assert "".join(delta.get("content") or "" for delta in said) == recorded.text

    @settings(max_examples=25, deadline=None)
    @given(cuts=st.lists(st.floats(0, 1), max_size=12))
    def test_a_stream_that_is_split_anywhere_says_the_same(self, profile, recorded, cuts):
        raw = recorded.events()
        at = sorted({0, len(raw), *(int(cut * len(raw)) for cut in cuts)})
        pieces = [raw[start:end] for start, end in pairwise(at)]
        whole, split = read(profile, raw), read(profile, *pieces)

        assert (told(split[0]), split[1]) == (told(whole[0]), whole[1])
        assert [delta.choices for delta in split[0]] == [delta.choices for delta in whole[0]]

    def test_the_classes_of_tokens_are_disjoint_and_add_up_to_what_the_provider_counted(self, profile, recorded):
        counted = recorded.answer["usage"]
        usage = recorded.usage

        assert usage.prompt_tokens == counted["prompt_tokens"]
        assert usage.completion_tokens == counted["completion_tokens"]
        assert usage.total_tokens == counted["total_tokens"]
        assert min(usage.input, usage.cached_input, usage.cache_write, usage.output, usage.reasoning) >= 0

    def test_a_call_of_a_tool_is_read(self, profile, recorded):
        completion = OpenAIChat(profile.quirks).decode(json.dumps(recorded.tools).encode(), PROMPT, profile)

        assert completion.finish == "tool_calls"
        assert completion.choices[0]["message"]["tool_calls"] == [CALL]

    def test_a_stream_without_its_end_is_no_answer(self, profile, recorded):
        begun = [event for event in recorded.stream if not event["choices"] or not finish(event)]

        with pytest.raises(UpstreamTruncated):
            read(profile, events(*begun))

    def test_what_was_recorded_has_reached_every_field_of_usage_that_is_told(self, profile, recorded):
        """So that no class is zero because nobody wrote it down."""
        assert recorded.usage.input > 0
        assert recorded.usage.output > 0
        assert isinstance(recorded.usage, Usage)


def finish(event: dict) -> str | None:
    return event["choices"][0]["finish_reason"]


@pytest.mark.parametrize(("profile", "status", "body", "kind"), REFUSALS)
def test_each_documented_refusal_has_its_name(profile, status, body, kind):
    refusal = OpenAIChat(profile.quirks).refusal(status, json.dumps(body).encode(), None)

    assert type(refusal) is kind
    assert refusal.message


@pytest.mark.parametrize(("profile", "event", "kind"), ENDS)
def test_what_ends_a_stream_has_its_name_and_what_came_before_is_kept(profile, event, kind):
    heard: list[Delta] = []
    decoder = OpenAIChat(profile.quirks).decoder(PROMPT, profile)
    heard += decoder.feed([json.dumps(chunk({"content": "Grüße"})).encode(), json.dumps(event).encode(), b"[DONE]"])

    with pytest.raises(ProviderError) as caught:
        decoder.close()

    assert type(caught.value) is kind
    assert told(heard)[0] == "Grüße"


@pytest.mark.parametrize(
    ("name", "param"), [("mistral", "stream_options"), ("openai", "temperature"), ("vllm", "max_tokens")]
)
def test_a_refusal_names_the_field(name, param):
    refuse = OpenAIChat(PROFILES[name].quirks).refusal
    refusals = [refuse(status, json.dumps(body).encode(), None) for status, body, _ in recorded(name).errors]

    assert param in {refusal.param for refusal in refusals}


def test_every_provider_is_recorded_and_refuses_something():
    assert len(REFUSALS) > 5 * len(PROFILES)


# ── what goes out ────────────────────────────────────────────────────────────────────────────────────────────────


def sent(name: str, messages: list[dict], **options: object) -> dict:
    prompt = replace(PROMPT, messages=messages, options=options)
    return json.loads(OpenAIChat(PROFILES[name].quirks).encode(prompt, PROFILES[name], stream=True))


HELLO = [{"role": "user", "content": "Hello"}]
DETAILS = [{"type": "reasoning.text", "text": "hm"}, {"type": "thinking", "thinking": "hm", "signature": "s"}]
THOUGHT = {"role": "assistant", "content": "Hi", "reasoning_content": "hm", "reasoning_details": DETAILS}
CACHED = {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}


def test_a_seed_and_a_forced_tool_have_mistrals_names():
    body = sent("mistral", HELLO, seed=7, tool_choice="required", tools=[])

    assert (body["random_seed"], body["tool_choice"]) == (7, "any")
    assert "seed" not in body
    assert "stream_options" not in body


@pytest.mark.parametrize("choice", ["auto", {"type": "function", "function": {"name": "f"}}])
def test_what_a_provider_has_no_other_word_for_stays(choice):
    assert sent("mistral", HELLO, tool_choice=choice)["tool_choice"] == choice


def test_a_user_has_zhipus_name():
    assert sent("zhipu", HELLO, user="somebody")["user_id"] == "somebody"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("openai", set()),
        ("mistral", set()),
        ("deepseek", {"reasoning_content"}),
        ("vllm", {"reasoning_content"}),
        ("openrouter", {"reasoning_details"}),
    ],
)
def test_reasoning_goes_back_to_those_who_document_it_once(name, kept):
    (message, _) = sent(name, [THOUGHT, *HELLO])["messages"]

    assert message.keys() - {"role", "content"} == kept
    assert message.get("reasoning_details", DETAILS[:1]) == DETAILS[:1], "Anthropic's own go to Anthropic alone"


@pytest.mark.parametrize(("name", "kept"), [("openai", False), ("qwen", True), ("openrouter", True)])
def test_marks_for_the_cache_go_to_those_who_document_them(name, kept):
    (message,) = sent(name, [CACHED])["messages"]

    assert ("cache_control" in message["content"][0]) is kept
    assert CACHED["content"][0]["cache_control"], "the caller's own message stays as it is"


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_failed_tool_is_told_in_its_text_alone(name):
    failed = {"role": "tool", "tool_call_id": "call_1", "content": "no", "is_error": True}

    assert "is_error" not in sent(name, [failed])["messages"][0]


@pytest.mark.parametrize(("name", "flag"), [("mistral", "prefix"), ("moonshot", "partial"), ("qwen", "partial")])
def test_a_begun_answer_is_gone_on_with_where_that_is_documented(name, flag):
    begun = [*HELLO, {"role": "assistant", "content": "Once"}]

    assert sent(name, begun)["messages"][-1] == {"role": "assistant", "content": "Once", flag: True}
    assert sent(name, [*begun, *HELLO])["messages"][1] == begun[1]
    assert flag not in sent(name, [*HELLO, {"role": "assistant", "tool_calls": [CALL]}])["messages"][-1]


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_model_that_goes_on_with_an_answer_has_a_flag_for_it_and_the_other_way_round(name):
    able = any("prefill" in card.capabilities for card in PROFILES[name].models)

    assert able == bool(PROFILES[name].quirks.prefill)


def test_answers_that_are_billed_to_their_end_are_those_of_three_providers():
    drained = {name for name, profile in known_profiles().items() if profile.on_disconnect == "drain"}

    assert drained == {"gemini", "groq", "mistral"}
