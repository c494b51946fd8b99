"""Chat with a provider over HTTP and Server-Sent Events, whatever its wire format says."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from time import monotonic

from adapters.ai.decoder import Decoder
from adapters.ai.exchange import Exchange
from adapters.ai.profile import ChatFormat, Link, Profile
from adapters.ai.refusals import PromptBlocked, discreet, wrong_content
from adapters.ai.sse import EventParser
from application.cancellation import Cancellation
from application.facts import EventsDropped
from domain.completion import Completion, Delta, Prompt
from domain.provider_errors import ProviderError, UpstreamIdleTimeout, UpstreamReset, UpstreamTooLarge

AGENT = "parley"
Refusal = Callable[[int, bytes, str | None], ProviderError]
"""`ChatFormat.refusal`."""
_SUCCESS = 2
_PATHS = 64
_ONCE_WHOLE = (UpstreamReset, UpstreamIdleTimeout)
"""Failures that do not matter any more when the answer was whole before."""


class HttpChat:
    """Implements `ChatModel` with one credential."""

    def __init__(self, format: ChatFormat, profile: Profile, link: Link) -> None:  # noqa: A002 - its name
        self._format = format
        self._profile = profile
        self._link = link
        self._keys = (link.key,)
        self._head = lru_cache(_PATHS)(partial(_made_head, format, link))  # no cycle: who is replaced goes at once

    def complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        with discreet(self._keys):
            exchange = self._open(prompt, cancellation, stream=False)
            exchange.generates_first()
            exchange.head()
            self._check(exchange, "json")
            return self._decoded(exchange.body(), prompt, cancellation)

    def _decoded(self, body: bytes, prompt: Prompt, cancellation: Cancellation) -> Completion:
        try:
            return self._format.decode(body, prompt, self._profile)
        except PromptBlocked as blocked:
            cancellation.counted = blocked.usage
            raise

    def stream(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        with discreet(self._keys):
            yield from self._stream(prompt, cancellation)

    def _stream(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        exchange = self._open(prompt, cancellation, stream=True)
        decoder = self._format.decoder(prompt, self._profile)
        events = EventParser(names=self._format.events)
        try:
            while not exchange.answer.begun:
                if not exchange.read(self._link.heartbeat):
                    yield []
            self._check(exchange, "event-stream")
            yield from self._relay(exchange, events, decoder)
            yield decoder.close()
        finally:
            cancellation.counted = decoder.counted
            exchange.finish()
            dropped = decoder.malformed + decoder.unknown + events.dropped
            if dropped:
                self._link.record(EventsDropped(self._profile.name, dropped))

    def _open(self, prompt: Prompt, cancellation: Cancellation, *, stream: bool) -> Exchange:
        body = self._format.encode(prompt, self._profile, stream=stream)
        accept = "text/event-stream" if stream else "application/json"
        head = self._head(self._format.path(prompt.model, stream=stream), accept)
        return self._link.transport.open(head, body, cancellation, printable(prompt.request_id))

    def _relay(self, exchange: Exchange, events: EventParser, decoder: Decoder) -> Iterator[list[Delta]]:
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
            if not self._more(exchange, decoder) or monotonic() - spoke_at >= self._link.heartbeat:
                yield []
                spoke_at = monotonic()
        if not decoder.done and (last := decoder.feed(events.flush())):
            yield last

    def _more(self, exchange: Exchange, decoder: Decoder) -> bool:
        try:
            return exchange.read(self._link.heartbeat)
        except _ONCE_WHOLE:
            if not decoder.whole:
                raise
            exchange.ended = True
            return True

    def _check(self, exchange: Exchange, content: str) -> None:
        """Raises unless the answer is 2xx, not compressed and of that kind of content."""
        error = objection(self._format.refusal, exchange, content)
        if error is not None:
            exchange.close()
            raise error


def _made_head(format: ChatFormat, link: Link, path: str, accept: str) -> bytes:  # noqa: A002 - its name
    headers = {"Content-Type": "application/json", "Accept": accept, "User-Agent": AGENT}
    return link.transport.head("POST", path, {**headers, **format.headers(link.key)})


def objection(refusal: Refusal, exchange: Exchange, content: str) -> ProviderError | None:
    """What is wrong with the head of an answer, None when it is 2xx, plain and of that kind of content."""
    answer = exchange.answer
    if answer.status // 100 != _SUCCESS:
        return refusal(answer.status, _body(exchange), answer.headers.get("retry-after"))
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        return UpstreamTooLarge("The provider's answer is compressed, which was not asked for.")
    kind = answer.headers.get("content-type", "").lower()
    if content in kind:
        return None
    # Some servers answer a stream's request with a JSON error and status 200.
    body = _body(exchange) if "json" in kind else b""
    return refusal(answer.status, body, None) if b'"error"' in body else wrong_content(kind)


def _body(exchange: Exchange) -> bytes:
    """The body of a refusal, or nothing when it does not arrive; the status matters more."""
    try:
        return exchange.body()
    except ProviderError:
        return b""


def printable(request_id: str) -> str:
    """What can go into a header, or nothing."""
    return request_id if request_id.isascii() and request_id.isprintable() else ""
