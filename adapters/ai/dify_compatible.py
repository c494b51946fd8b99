"""Providers that speak Dify's wire: the apps of a Dify, each behind its own key."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from adapters.ai.dify_errors import ConversationLost, StreamsOnly, refusal
from adapters.ai.dify_files import Uploads
from adapters.ai.dify_question import Question, question_of
from adapters.ai.dify_stops import Stops
from adapters.ai.dify_stream import EVENTS, StreamDecoder, Task
from adapters.ai.dify_wire import PATH, decode, encode, user_of, whole
from adapters.ai.http_chat import HttpChat
from adapters.ai.http_json import JsonCalls
from adapters.ai.profile import Link, Profile
from application.cancellation import Cancellation
from application.model_ports import ChatModel, Embedder, ImageMaker
from domain.completion import Completion, Delta, JsonObject, Prompt
from domain.provider_errors import ProviderError

Parts = Iterator[list[Delta] | Completion]


class DifyQuestion:
    """Implements `ChatFormat` for one question, whose files Dify has already."""

    events = EVENTS

    def __init__(self, question: Question, files: Sequence[JsonObject]) -> None:
        self._question = question
        self._files = files
        self.task = Task()

    def path(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the key stands for the app
        return PATH

    def headers(self, key: str) -> Mapping[str, str]:
        return _bearer(key)

    def encode(self, prompt: Prompt, profile: Profile, *, stream: bool) -> bytes:  # noqa: ARG002 - says all itself
        return encode(self._question, self._files, prompt, stream=stream)

    def decode(self, body: bytes, prompt: Prompt, profile: Profile) -> Completion:  # noqa: ARG002 - says all itself
        return decode(body, prompt)

    def decoder(self, prompt: Prompt, profile: Profile) -> StreamDecoder:
        return StreamDecoder(prompt, profile, self.task)

    def refusal(self, status: int, body: bytes, retry_after: str | None) -> ProviderError:
        return refusal(status, body, retry_after)


class DifyChat:
    """Implements `ChatModel` with one credential. A conversation that Dify has lost is begun anew, once."""

    def __init__(self, profile: Profile, link: Link, stops: Stops) -> None:
        self._profile = profile
        self._link = link
        self._calls = JsonCalls(link, _bearer, refusal)
        self._uploads = Uploads(self._calls)
        self._stops = stops
        self._streams_only = False
        """What kind of app is behind the key is known by its first refusal."""

    def complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        try:
            return self._whole(prompt, cancellation)
        except ConversationLost:
            if not prompt.conversation:
                raise
        return self._whole(_anew(prompt), cancellation)

    def stream(self, prompt: Prompt, cancellation: Cancellation) -> Parts:
        """Dify looks for the conversation before it answers anything at all, so nothing is out when it is lost."""
        try:
            yield from self._streamed(prompt, cancellation)
        except ConversationLost:
            if not prompt.conversation:
                raise
        else:
            return
        yield from self._streamed(_anew(prompt), cancellation)

    def _whole(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        asked = question_of(prompt)
        files = [self._file(asked, at, prompt, cancellation) for at in range(len(asked.attachments))]
        if not self._streams_only:
            try:
                return self._http(DifyQuestion(asked, files)).complete(prompt, cancellation)
            except StreamsOnly:
                self._streams_only = True
        return _gathered(self._answered(DifyQuestion(asked, files), prompt, cancellation))

    def _streamed(self, prompt: Prompt, cancellation: Cancellation) -> Parts:
        asked = question_of(prompt)
        files: list[JsonObject] = []
        for at in range(len(asked.attachments)):
            files.append(self._file(asked, at, prompt, cancellation))
            yield []
        yield from self._answered(DifyQuestion(asked, files), prompt, cancellation)

    def _answered(self, question: DifyQuestion, prompt: Prompt, cancellation: Cancellation) -> Parts:
        try:
            yield from self._http(question).stream(prompt, cancellation)
        finally:
            if not question.task.over:
                self._stops.send(self._calls, question.task.id, user_of(prompt))

    def _file(self, asked: Question, at: int, prompt: Prompt, cancellation: Cancellation) -> JsonObject:
        return self._uploads.reference(asked.attachments[at], user_of(prompt), cancellation, prompt.request_id)

    def _http(self, question: DifyQuestion) -> HttpChat:
        return HttpChat(question, self._profile, self._link)


class DifyWire:
    """Implements `Wire`."""

    def __init__(self) -> None:
        self._stops = Stops()

    def chat(self, profile: Profile, link: Link) -> ChatModel:
        return DifyChat(profile, link, self._stops)

    def embedder(self, profile: Profile, link: Link) -> Embedder | None:  # noqa: ARG002 - Dify has none
        return None

    def images(self, profile: Profile, link: Link) -> ImageMaker | None:  # noqa: ARG002 - nor these
        return None


def _anew(prompt: Prompt) -> Prompt:
    return replace(prompt, conversation="")


def _gathered(parts: Parts) -> Completion:
    """A stream as the whole answer that it adds up to."""
    text: list[str] = []
    reasoning: list[str] = []
    for part in parts:
        if isinstance(part, Completion):
            part.text = "".join(text)
            return whole(part, "".join(reasoning))
        text += (delta.text for delta in part)
        reasoning += (delta.reasoning for delta in part)
    raise AssertionError  # pragma: no cover - a stream ends with its completion or raises


def _bearer(key: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}
