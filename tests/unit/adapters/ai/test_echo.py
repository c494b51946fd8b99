import time
from math import hypot

import pytest

from adapters.ai.echo import SLOW, EchoEmbedder, EchoModel
from application.cancellation import Cancellation
from domain.completion import Completion, Prompt
from domain.embedding import EmbeddingPrompt, unpacked
from domain.errors import StoppedByUser, UnsupportedParameter
from domain.tokens import estimate_text
from tests.contracts.chat_model import ChatModelContract
from tests.fakes import FrozenClock


def a_cancellation() -> Cancellation:
    return Cancellation(60, FrozenClock().monotonic)


def echoed(text: object, **options: object) -> Completion:
    return EchoModel().complete(Prompt("echo", [{"role": "user", "content": text}], options), a_cancellation())


class TestEcho(ChatModelContract):
    good = "echo"
    slow = SLOW

    @pytest.fixture
    def chat(self):
        return EchoModel()


@pytest.mark.parametrize("text", ["hello", "two\n\nlines ", " leading", "", "   ", "世界 👋🏽", "a" * 10_000])
def test_the_message_comes_back_exactly(text):
    *parts, _ = EchoModel().stream(Prompt("echo", [{"role": "user", "content": text}]), a_cancellation())

    assert echoed(text).text == text
    assert "".join(delta.text for part in parts for delta in part) == text


def test_the_last_message_of_the_user_is_the_one():
    messages = [
        {"role": "user", "content": "first"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "second"}, {"type": "image_url", "image_url": {"url": "x"}}],
        },
        {"role": "assistant", "content": "third"},
    ]

    assert EchoModel().complete(Prompt("echo", messages), a_cancellation()).text == "second"


def test_no_message_gives_an_empty_answer():
    assert EchoModel().complete(Prompt("echo", []), a_cancellation()).text == ""


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("limit", [1, 2, 5, 9])
def test_an_answer_beyond_its_limit_is_cut(field, limit):
    completion = echoed("the quick brown fox jumps over the lazy dog", **{field: limit})

    assert completion.finish == "length"
    assert completion.usage.completion_tokens == estimate_text(completion.text) <= limit


def test_the_slow_model_takes_its_time_and_stops_when_told():
    started = time.monotonic()
    cancellation = a_cancellation()
    parts = EchoModel().stream(Prompt("slow", [{"role": "user", "content": "a b c d"}]), cancellation)
    next(parts)
    cancellation.cancel(StoppedByUser())

    with pytest.raises(StoppedByUser):
        next(parts)
    assert 0.1 <= time.monotonic() - started < 2


def test_echo_has_eight_dimensions_and_no_more():
    made = EchoEmbedder().embed(EmbeddingPrompt("echo", ["Hello", [1, 2]]), a_cancellation())

    assert [len(unpacked(vector)) for vector in made.vectors] == [8, 8]
    assert all(hypot(*unpacked(vector)) == pytest.approx(1) for vector in made.vectors)
    with pytest.raises(UnsupportedParameter, match="8 dimensions"):
        EchoEmbedder().embed(EmbeddingPrompt("echo", ["Hello"], dimensions=9), a_cancellation())
