"""How an upstream's pace reaches the reader of a stream, and whose words its refusals are in."""

import json

import pytest

from adapters.ai.catalog import known_profiles
from adapters.ai.openai_compatible import OpenAIWire
from adapters.ai.profile import Link, Profile
from application.cancellation import Cancellation
from domain.completion import Completion, Prompt
from domain.image import ImagePrompt
from domain.provider_errors import UpstreamAuth, UpstreamRateLimited
from domain.usage import Source, Usage
from tests.fakes import FrozenClock, RecordingRecorder

EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\n'


class Answer:
    begun = True
    status = 200

    def __init__(self) -> None:
        self.headers = {"content-type": "text/event-stream"}
        self.arrived = b""

    def take(self) -> bytes:
        arrived, self.arrived = self.arrived, b""
        return arrived


class Line:
    """A transport and its only exchange, on which one piece arrives per read."""

    ended = False

    def __init__(self, *pieces: bytes) -> None:
        self.answer = Answer()
        self._pieces = list(pieces)

    def head(self, *_: object) -> bytes:
        return b""

    def open(self, *_: object) -> "Line":
        return self

    def read(self, _heartbeat: float) -> bool:
        self.answer.arrived = self._pieces.pop(0)
        return True

    def hear(self) -> None:
        pass

    def finish(self) -> None:
        pass


def test_comments_of_the_provider_do_not_put_off_the_heartbeats_of_the_reader():
    line = Line(b": working\n\n", b": working\n\n", EVENT, b"data: [DONE]\n\n")
    model = OpenAIWire().chat(Profile("acme", ""), Link(line, "", RecordingRecorder(), heartbeat=0.0))

    parts = list(model.stream(Prompt("large", []), Cancellation(600, FrozenClock().monotonic)))

    assert parts[0] == []
    assert parts[1] == []
    assert [delta.text for part in parts[:-1] for delta in part] == ["Hi"]
    assert isinstance(parts[-1], Completion)


def test_a_stream_that_is_closed_early_leaves_what_the_provider_had_counted():
    usage = b'"usage": {"prompt_tokens": 3, "completion_tokens": 1}'
    line = Line(EVENT.replace(b'{"choices"', b"{" + usage + b', "choices"'))
    model = OpenAIWire().chat(Profile("acme", ""), Link(line, "", RecordingRecorder(), heartbeat=5.0))
    cancellation = Cancellation(600, FrozenClock().monotonic)

    parts = model.stream(Prompt("large", []), cancellation)
    next(parts)
    parts.close()

    assert cancellation.counted == Usage(input=3, output=1, source=Source.PROVIDER)


class Refusing(Line):
    """A transport to a server that answers everything with one refusal."""

    ended = True

    def __init__(self, status: int, body: dict) -> None:
        super().__init__()
        self.answer.status = status
        self._body = json.dumps(body).encode()

    def at(self, _path: str) -> "Refusing":
        return self

    def head(self, *_: object) -> bytes | None:
        return b""

    def body(self) -> bytes:
        return self._body

    def generates_first(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("provider", "model", "status", "body", "error"),
    [
        ("siliconflow", "Kwai-Kolors/Kolors", 400, {"code": 30001, "message": "No balance"}, UpstreamAuth),
        ("qwen", "wan2.2-t2i-flash", 400, {"code": "Throttling", "message": "Slower"}, UpstreamRateLimited),
        ("qwen", "wan2.2-t2i-flash", 400, {"code": "Arrearage", "message": "No balance"}, UpstreamAuth),
    ],
)
def test_images_are_refused_in_the_providers_own_codes(provider, model, status, body, error):
    line = Refusing(status, body)
    maker = OpenAIWire().images(known_profiles()[provider], Link(line, "", RecordingRecorder(), heartbeat=5.0))

    with pytest.raises(error):
        maker.make(ImagePrompt(model, "A fox"), Cancellation(600, FrozenClock().monotonic), lambda _share: None)
