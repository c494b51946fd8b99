"""A provider that speaks OpenAI's chat completions."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from time import monotonic

from adapters.ai.exchange import Exchange
from adapters.ai.openai_errors import discreet, in_band, refusal, wrong_content
from adapters.ai.openai_stream import StreamDecoder
from adapters.ai.openai_wire import PATH, decode, encode, parsed
from adapters.ai.profile import Profile
from adapters.ai.sse import EventParser
from adapters.ai.transport import Transport
from application.cancellation import Cancellation
from application.facts import EventsDropped
from application.ports import Record
from domain.completion import Completion, Delta, Prompt
from domain.provider_errors import ProviderError, UpstreamIdleTimeout, UpstreamReset, UpstreamTooLarge

_AGENT = "parley"
_SUCCESS = 2
_ONCE_WHOLE = (UpstreamReset, UpstreamIdleTimeout)
"""Failures that do not matter any more when the answer was whole before."""


class OpenAICompatible:
    """Takes its `keys` in turn, one per call; without any it sends no Authorization."""

    def __init__(
        self, profile: Profile, transport: Transport, keys: Sequence[str], record: Record, heartbeat: float
    ) -> None:
        self._profile = profile
        self._transport = transport
        self._record = record
        self._heartbeat = heartbeat
        self._keys = tuple(keys)
        self._heads = cycle([self._head(key, "application/json") for key in keys or ("",)])
        self._stream_heads = cycle([self._head(key, "text/event-stream") for key in keys or ("",)])

    def complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        with discreet(self._keys):
            return self._complete(prompt, cancellation)

    def stream(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        with discreet(self._keys):
            yield from self._stream(prompt, cancellation)

    def _complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        body = encode(prompt, self._profile, stream=False)
        exchange = self._transport.open(next(self._heads), body, cancellation, _printable(prompt.request_id))
        exchange.generates_first()
        exchange.head()
        self._check(exchange, "json")
        return decode(exchange.body())

    def _stream(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        body = encode(prompt, self._profile, stream=True)
        exchange = self._transport.open(next(self._stream_heads), body, cancellation, _printable(prompt.request_id))
        decoder, events = StreamDecoder(prompt, self._profile), EventParser()
        try:
            while not exchange.answer.begun:
                if not exchange.read(self._heartbeat):
                    yield []
            self._check(exchange, "event-stream")
            yield from self._relay(exchange, events, decoder)
            yield decoder.close()
        finally:
            cancellation.counted = decoder.counted
            exchange.finish()
            dropped = decoder.malformed + decoder.unknown + events.dropped
            if dropped:
                self._record(EventsDropped(self._profile.name, dropped))

    def _relay(self, exchange: Exchange, events: EventParser, decoder: StreamDecoder) -> Iterator[list[Delta]]:
        """Comments and events that are dropped are silence to the reader; they do not put off its heartbeat."""
        answer, heard, spoke_at = exchange.answer, False, monotonic()
        while True:
            deltas = decoder.feed(events.feed(answer.take()))
            if deltas:
                if not heard:
                    heard = True
                    exchange.hear()
                yield deltas
                spoke_at = monotonic()
            if decoder.failure is not None:
                raise decoder.failure
            if decoder.done or exchange.ended:
                break
            if not self._more(exchange, decoder) or monotonic() - spoke_at >= self._heartbeat:
                yield []
                spoke_at = monotonic()
        if not decoder.done and (last := decoder.feed(events.flush())):
            yield last

    def _more(self, exchange: Exchange, decoder: StreamDecoder) -> bool:
        try:
            return exchange.read(self._heartbeat)
        except _ONCE_WHOLE:
            if not decoder.whole:
                raise
            exchange.ended = True
            return True

    def _check(self, exchange: Exchange, content: str) -> None:
        """Raises unless the answer is 2xx, not compressed and of that kind of content."""
        error = _objection(exchange, content)
        if error is not None:
            exchange.close()
            raise error

    def _head(self, key: str, accept: str) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": accept, "User-Agent": _AGENT}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        return self._transport.head("POST", PATH, headers)


def _objection(exchange: Exchange, content: str) -> ProviderError | None:
    answer = exchange.answer
    if answer.status // 100 != _SUCCESS:
        return refusal(answer.status, _body(exchange), answer.headers.get("retry-after"))
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        return UpstreamTooLarge("The provider's answer is compressed, which was not asked for.")
    kind = answer.headers.get("content-type", "").lower()
    return None if content in kind else _mismatch(exchange, kind)


def _mismatch(exchange: Exchange, kind: str) -> ProviderError:
    """Some servers answer a stream's request with a JSON error and status 200."""
    if "json" in kind:
        answer = parsed(_body(exchange))
        if answer and answer.get("error"):
            return in_band(answer["error"])
    return wrong_content(kind)


def _body(exchange: Exchange) -> bytes:
    """The body of a refusal, or nothing when it does not arrive; the status matters more."""
    try:
        return exchange.body()
    except ProviderError:
        return b""


def _printable(request_id: str) -> str:
    return request_id if request_id.isascii() and request_id.isprintable() else ""
