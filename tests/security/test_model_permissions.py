"""Which models a key may use: by their ids, by the names of routes and aliases, and never around either."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.servers.caller import Caller, Reply
from tests.servers.gateway import FAST, Gateway
from tests.servers.program import wait_until
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = pytest.mark.xdist_group("model-permissions")

CONFIG = """
[providers.scripted]
base_url = "{url}"
models = ["ok", "other", "picture", "500", "context-length"]
[aliases]
fast = "scripted/ok"
painter = "scripted/picture"
[routes.careful]
try = ["scripted/500", "scripted/ok"]
[routes.longer]
try = ["scripted/context-length"]
[routes.longer.fallback]
context_length = ["scripted/ok"]
"""

FAILED = {502, 503}
"""What the model `500` answers with, until its breaker is open and afterwards."""


class House:
    def __init__(self, gateway: Gateway, provider: ScriptedProvider) -> None:
        self.gateway = gateway
        self.provider = provider
        self.owner = Caller(gateway.port).bearing(gateway.key)

    def key(self, *models: str) -> Caller:
        reply = self.owner.post("/keys", {"name": " ".join(models)[:40], "models": list(models)})
        assert reply.status == 201, reply.raw
        return Caller(self.gateway.port).bearing(reply.json["key"])

    def asked(self) -> list[str]:
        """The models that the provider was asked for."""
        return [bill["model"] for bill in self.provider.bills()]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    provider = ScriptedProvider(tmp_path_factory.mktemp("provider")).run()
    config = CONFIG.format(url=provider.base_url) + FAST
    gateway = Gateway(tmp_path_factory.mktemp("house"), config=config).start()
    yield House(gateway, provider)
    gateway.end()
    provider.stop()


@pytest.fixture
def house(running: House) -> House:
    running.provider.forget()
    return running


Ask = Callable[[Caller, str], Reply]


def _chat(path: str, **more: Any) -> Ask:
    def ask(caller: Caller, model: str) -> Reply:
        return caller.post(path, {"model": model, "messages": [{"role": "user", "content": "hi"}], **more})

    return ask


def _responses(caller: Caller, model: str) -> Reply:
    return caller.post("/responses", {"model": model, "input": "hi"})


def _embeddings(caller: Caller, model: str) -> Reply:
    return caller.post("/embeddings", {"model": model, "input": "hi"})


def _images(path: str) -> Ask:
    return lambda caller, model: caller.post(path, {"model": model, "prompt": "hi"})


def _turn(caller: Caller, model: str) -> Reply:
    session = caller.post("/sessions", {"model": model})
    if session.status != 201:
        return session
    return caller.post("/chat", {"session_id": session.json["id"], "message": "hi", "model": model})


WORDS: dict[str, Ask] = {
    "chat": _turn,
    "completions": _chat("/chat/completions"),
    "streamed": _chat("/chat/completions", stream=True),
    "embeddings": _embeddings,
    "messages": _chat("/messages", max_tokens=9),
    "count": _chat("/messages/count_tokens"),
    "responses": _responses,
}
PICTURES = {"images": _images("/images/generations"), "jobs": _images("/images")}
words = pytest.mark.parametrize("ask", WORDS.values(), ids=WORDS)
pictures = pytest.mark.parametrize("ask", PICTURES.values(), ids=PICTURES)


@pytest.mark.parametrize("ask", [ask for ask in WORDS.values() if ask is not _turn])
@pytest.mark.parametrize("allowed", ["scripted/ok", "scripted/*", "fast"])
def test_an_alias_is_for_whoever_may_use_it_or_its_target(house: House, ask: Ask, allowed: str) -> None:
    assert ask(house.key(allowed), "fast").status == 200


@pictures
@pytest.mark.parametrize("allowed", ["scripted/picture", "painter"])
def test_an_alias_of_a_painter_is_as_good(house: House, ask: Ask, allowed: str) -> None:
    assert ask(house.key(allowed), "painter").status in {200, 202}
    wait_until(lambda: house.asked() == ["picture"], 20, "the image")


@words
@pytest.mark.parametrize("model", ["scripted/ok", "scripted/other", "ok", "other", "careful", "echo/echo"])
def test_who_may_use_a_name_may_not_use_what_it_leads_to_by_its_own(house: House, ask: Ask, model: str) -> None:
    reply = ask(house.key("fast"), model)

    assert (reply.status, reply.code, house.asked()) == (403, "model_not_allowed", [])


@pictures
def test_nor_for_images(house: House, ask: Ask) -> None:
    for model in ("scripted/picture", "picture", "echo/echo"):
        reply = ask(house.key("painter"), model)
        assert (reply.status, reply.code, house.asked()) == (403, "model_not_allowed", [])


@words
@pytest.mark.parametrize(
    "model",
    ["FAST", "Scripted/ok", "scripted/OK", "scripted//ok", "scripted/ok/", "./fast", "fast/", "/fast", "fast/ok"],
)
def test_another_spelling_is_another_model(house: House, ask: Ask, model: str) -> None:
    assert ask(house.key("fast", "scripted/ok"), model).status in {400, 403, 404}
    assert house.asked() == []


@words
@pytest.mark.parametrize(
    "model", ["scripted/ok\r\nX-Evil: 1", "scripted/\n", "scripted/ök", "a b", "\x7f", "", "x" * 201]
)
def test_what_no_header_could_carry_is_no_model(house: House, ask: Ask, model: str) -> None:
    reply = ask(house.owner, model)

    assert reply.status == 400
    assert "X-Evil" not in reply.headers
    assert "X-Parley-Model" not in reply.headers


@words
def test_a_route_is_for_who_may_use_its_name_with_all_that_it_leads_to(house: House, ask: Ask) -> None:
    assert ask(house.key("careful"), "careful").status == 200
    assert house.asked()[-1:] in (["ok"], [])  # nobody is asked to count


@pytest.mark.parametrize("stream", [False, True])
def test_who_may_not_use_a_route_uses_of_it_what_is_his_own(house: House, stream: bool) -> None:
    ask = _chat("/chat/completions", stream=stream)

    reply = ask(house.key("scripted/500"), "careful")

    assert reply.status in FAILED
    assert set(house.asked()) <= {"500"}


@pytest.mark.parametrize("stream", [False, True])
def test_what_takes_over_after_an_error_is_under_the_same_rule(house: House, stream: bool) -> None:
    ask = _chat("/chat/completions", stream=stream)

    assert ask(house.key("scripted/context-length"), "longer").status == 400
    assert set(house.asked()) == {"context-length"}
    assert ask(house.key("longer"), "longer").status == 200


@pytest.mark.parametrize("stream", [False, True])
def test_of_several_models_only_those_that_are_allowed_are_asked(house: House, stream: bool) -> None:
    ask = _chat("/chat/completions", stream=stream, models=["scripted/ok", "careful", "fast"])

    assert ask(house.key("scripted/500"), "scripted/500").status in FAILED
    assert set(house.asked()) <= {"500"}
    refused = ask(house.key("scripted/other"), "scripted/500")
    assert (refused.status, refused.code) == (403, "model_not_allowed")
    assert set(house.asked()) <= {"500"}
    assert ask(house.key("fast"), "scripted/500").status == 200
    assert house.asked()[-1] == "ok"


def test_a_session_of_another_key_s_model_is_answered_to_none_that_may_not(house: House) -> None:
    session = house.owner.post("/sessions", {"model": "scripted/ok"}).json["id"]
    caller = house.key("scripted/other")

    for path in ("/chat", "/chat/stream"):
        reply = caller.post(path, {"session_id": session, "message": "hi"})
        assert (reply.status, reply.code) == (403, "model_not_allowed")
    assert caller.call("PATCH", f"/sessions/{session}", {"model": "scripted/ok"}).status in {200, 403}
    assert caller.post("/chat", {"session_id": session, "message": "hi"}).status == 403
    assert house.asked() == []


def test_the_list_of_models_has_what_may_be_used_and_nothing_else(house: House) -> None:
    def listed(*models: str) -> set[str]:
        return {model["id"] for model in house.key(*models).get("/models").json["data"]}

    assert listed("fast") == {"fast"}
    assert listed("scripted/ok") == {"scripted/ok", "fast", "careful", "longer"}
    assert house.key("fast").get("/models/scripted/ok").status == 404


@pytest.mark.parametrize(
    "table",
    [
        '[aliases]\nscripted = "echo/echo"\n',
        '[aliases]\nopenai = "echo/echo"\n',
        '[routes.echo]\ntry = ["echo/echo"]\n',
        '[routes."openai/gpt-4o"]\ntry = ["echo/echo"]\n',
        '[aliases]\n"scripted/*" = "echo/echo"\n',
        '[aliases]\none = "echo/echo"\n[routes.one]\ntry = ["echo/echo"]\n',
        '[aliases]\none = "echo/echo"\ntwo = "one"\n',
    ],
)
def test_no_name_stands_in_for_a_provider_or_for_another_name(
    house: House, tmp_path_factory: pytest.TempPathFactory, table: str
) -> None:
    """A key that may use the one would get the other."""
    config = f'[providers.scripted]\nbase_url = "{house.provider.base_url}"\n{table}'

    with pytest.raises(AssertionError, match=r"aliases|routes"):
        Gateway(tmp_path_factory.mktemp("names"), config=config).cli("check")
