"""Exchanging the catalog and the prices while calls run."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from gevent import socket as gevent_socket

from adapters.ai.catalog import Catalog, ProviderConfig, load_catalog
from adapters.ai.credentials import Credential
from adapters.ai.live_catalog import LiveCatalog
from adapters.ai.profile import Profile
from adapters.ai.sockets import _PlainPool
from application.cancellation import Cancellation
from domain.completion import Completion, ModelCard, Prompt
from domain.errors import UnknownModel
from domain.usage import Price, PriceBook, Source, Usage
from tests.fakes import FrozenClock, RecordingRecorder

ACME = ProviderConfig(
    "acme",
    Profile("acme", "http://127.0.0.1:1/v1", default_model="large", models=(ModelCard("large"),)),
    credentials=(Credential("old"),),
)
OTHER = ProviderConfig("other", Profile("other", "http://127.0.0.1:1/v1", models=(ModelCard("small"),)))
BOOK = PriceBook("v1", {"acme/large": Price(5_000_000, 10_000_000)})
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PROMPT = Prompt("large", [{"role": "user", "content": "hi"}])


class Providers:
    """The far ends of all connections, in the order in which they were opened. Each says `Hel` at once."""

    def __init__(self) -> None:
        self.ends: list[Any] = []

    def connect(self) -> Any:
        near, far = gevent_socket.socketpair()
        self.ends.append(far)
        far.settimeout(5)
        far.sendall(HEAD)
        self.says(-1, "Hel")
        return near

    def hears(self, number: int) -> bytes:
        heard: bytes = self.ends[number].recv(65_536)
        return heard

    def says(self, number: int, *events: str, over: bool = False) -> None:
        body = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in map(_event, events))
        self.ends[number].sendall(body + (b"0\r\n\r\n" if over else b""))


def _event(text: str) -> bytes:
    if text == "[DONE]":
        return b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    return b'data: {"choices": [{"index": 0, "delta": {"content": "%b"}}]}\n\n' % text.encode()


@pytest.fixture
def providers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Providers]:
    found = Providers()
    monkeypatch.setattr(_PlainPool, "_create_socket", lambda _pool: found.connect())
    yield found
    for end in found.ends:
        end.close()


def a_catalog(*configured: ProviderConfig, before: Catalog | None = None) -> Catalog:
    return load_catalog(configured, RecordingRecorder(), before=before)


def swap(live: LiveCatalog, *configured: ProviderConfig) -> None:
    live.swap(a_catalog(*configured, before=live.now.catalog), live.book)


def a_stream(live: LiveCatalog) -> Iterator[Any]:
    return live.resolve("acme/large").first.chat.stream(PROMPT, Cancellation(600, FrozenClock().monotonic))


def texts(parts: list[Any]) -> list[str]:
    return [delta.text for part in parts if isinstance(part, list) for delta in part if delta.text]


def test_a_swap_is_seen_by_the_next_call():
    live = LiveCatalog(a_catalog(ACME), BOOK)
    assert (live.default(), [card.name for _, card in live.listed()]) == ("acme/large", ["large"])

    live.swap(a_catalog(OTHER), PriceBook("v2", {}))

    assert (live.default(), [card.name for _, card in live.listed()]) == ("other/small", ["small"])
    assert live.book.version == "v2"
    with pytest.raises(UnknownModel):
        live.resolve("acme/large")


def test_whoever_has_a_book_keeps_it():
    live = LiveCatalog(a_catalog(ACME), BOOK)
    usage = Usage(input=1_000_000, source=Source.PROVIDER)
    frozen = live.book
    assert live.cost("acme/large", usage) == 5_000_000

    live.swap(live.now.catalog, PriceBook("v2", {"acme/large": Price(7_000_000, 0)}))

    assert frozen.cost("acme/large", usage) == 5_000_000
    assert live.cost("acme/large", usage) == 7_000_000


def test_a_provider_that_did_not_change_keeps_everything_it_has():
    live = LiveCatalog(a_catalog(ACME, OTHER), BOOK)
    acme, other = live.resolve("acme/large").first.chat, live.resolve("other/small").first.chat

    swap(live, replace(ACME, credentials=(Credential("new"),)), OTHER)

    assert live.resolve("other/small").first.chat is other
    assert live.resolve("acme/large").first.chat is not acme


def test_a_stream_that_runs_on_the_old_key_finishes_and_the_next_call_has_the_new_one(providers):
    live = LiveCatalog(a_catalog(ACME), BOOK)
    stream = a_stream(live)
    parts = [next(stream)]
    assert b"Authorization: Bearer old\r\n" in providers.hears(0)

    swap(live, replace(ACME, credentials=(Credential("new"),)))
    providers.says(0, "lo", "[DONE]", over=True)
    parts += list(stream)

    assert texts(parts) == ["Hel", "lo"]
    assert isinstance(parts[-1], Completion)
    assert parts[-1].finish == "stop"
    following = a_stream(live)
    assert texts([next(following)]) == ["Hel"]
    assert b"Authorization: Bearer new\r\n" in providers.hears(1)
    following.close()


def test_connections_that_nobody_uses_any_more_are_closed(providers):
    live = LiveCatalog(a_catalog(ACME), BOOK)
    stream = a_stream(live)
    parts = [next(stream)]
    providers.says(0, "lo", "[DONE]", over=True)
    assert texts([*parts, *stream]) == ["Hel", "lo"]
    providers.hears(0)
    del stream, parts

    swap(live)

    assert providers.hears(0) == b""


def test_a_call_that_has_not_dialled_yet_still_can_after_the_swap(providers):
    live = LiveCatalog(a_catalog(ACME), BOOK)
    stream = a_stream(live)

    swap(live)

    assert texts([next(stream)]) == ["Hel"]
    assert b"Authorization: Bearer old\r\n" in providers.hears(0)
