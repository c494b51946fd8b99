"""Sessions over Dify through the gateway: it remembers them by its own conversations, and the gateway by which."""

import json
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.servers.gateway import FAST, Gateway
from tests.servers.program import wait_until
from tests.servers.scripted_dify import ScriptedDify

pytestmark = pytest.mark.xdist_group("dify-sessions")

WORDS = "word1 word2 word3 word4 word5 "
PRICES = '\n[prices."dify/app"]\ninput = 1.0\noutput = 2.0\n'


@pytest.fixture(scope="module")
def dify(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedDify]:
    dify = ScriptedDify(tmp_path_factory.mktemp("dify-app")).run()
    yield dify
    dify.stop()


@pytest.fixture(scope="module")
def gateway(dify: ScriptedDify, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    env = {"DIFY_API_KEY": "app-0123456789", "DIFY_BASE_URL": dify.base_url}
    # The model that answers by itself is only there when it is asked for, once another provider is on.
    config = FAST + PRICES + '\n[providers.echo]\nmodels = ["*"]\n'
    gateway = Gateway(tmp_path_factory.mktemp("dify-gateway"), env=env, config=config).start()
    yield gateway
    gateway.end()


@pytest.fixture(autouse=True)
def _fresh(dify: ScriptedDify) -> None:
    dify.forget()


class Talk:
    """One session of the gateway's first user, over `dify/app`."""

    def __init__(self, gateway: Gateway, **config: Any) -> None:
        self.gateway = gateway
        status, session = gateway.call("POST", "/sessions", {"model": "dify/app", "config": config})
        assert status == 201, session
        self.id = session["id"]

    def say(self, message: str, *, model: str | None = None) -> str:
        status, answer = self.gateway.call("POST", "/chat", self._body(message, model))
        assert status == 200, answer
        return str(answer["content"])

    def stream(self, message: str) -> tuple[str, dict[str, Any]]:
        """What arrived, and the last event."""
        connection = self.open(message)
        lines = [json.loads(line) for line in connection.getresponse().read().splitlines()]
        connection.close()
        return "".join(line.get("text", "") for line in lines), lines[-1]

    def open(self, message: str) -> HTTPConnection:
        connection = HTTPConnection("127.0.0.1", self.gateway.port, timeout=20)
        headers = {
            "Authorization": f"Bearer {self.gateway.key}",
            "Content-Type": "application/json",
            "Accept": "application/x-ndjson",
        }
        connection.request("POST", "/api/v1/chat/stream", json.dumps(self._body(message)), headers)
        return connection

    def change(self, **changes: Any) -> None:
        assert self.gateway.call("PATCH", f"/sessions/{self.id}", changes)[0] == 200

    def messages(self) -> list[tuple[str, str]]:
        _, page = self.gateway.call("GET", f"/sessions/{self.id}/messages")
        return [(message["content"], message["state"]) for message in page["data"]]

    def _body(self, message: str, model: str | None = None) -> dict[str, Any]:
        return {"session_id": self.id, "message": message, **({"model": model} if model else {})}


def asked(dify: ScriptedDify) -> list[dict[str, Any]]:
    return [bill["payload"] for bill in dify.bills()]


def test_a_session_remembers_whole_and_streamed_by_one_conversation_of_its_user(
    gateway: Gateway, dify: ScriptedDify
) -> None:
    talk = Talk(gateway, system_prompt="Be brief.")
    assert talk.say("I am Ada.") == WORDS
    text, _ = talk.stream("script:recall Who am I?")
    assert "I am Ada." in text
    assert "I am Ada." in talk.say("script:recall Again?")

    first, second, third = asked(dify)
    assert first["query"].endswith("[system]\nBe brief.\n\n[user]\nI am Ada.")
    assert (second["query"], third["query"]) == ("script:recall Who am I?", "script:recall Again?")
    assert first["conversation_id"] == ""
    assert second["conversation_id"] == third["conversation_id"] != ""
    (user,) = {payload["user"] for payload in (first, second, third)}
    assert user.startswith("usr_")


def test_sessions_stay_with_the_app_that_keeps_their_conversation(dify: ScriptedDify, tmp_path: Path) -> None:
    table = f'[providers.dify]\nbase_url = "{dify.base_url}"\n'
    apps = 'credentials = [{api_key_env = "FIRST_APP"}, {api_key_env = "SECOND_APP"}]\n'
    env = {"FIRST_APP": "app-first-012345", "SECOND_APP": "app-second-012345"}
    gateway = Gateway(tmp_path, env=env, config=FAST + PRICES + table + apps).start()
    try:
        talks = [Talk(gateway) for _ in range(7)]
        for talk in talks:
            talk.say("I am Ada.")
        assert all("I am Ada." in talk.say("script:recall Who am I?") for talk in talks)
    finally:
        gateway.end()

    assert {bill["headers"]["authorization"] for bill in dify.bills()} == {f"Bearer {key}" for key in env.values()}
    assert len(asked(dify)) == 14, "no conversation was lost and begun anew"


def test_a_restart_of_the_gateway_between_two_turns_forgets_nothing(gateway: Gateway, dify: ScriptedDify) -> None:
    talk = Talk(gateway)
    talk.say("I am Ada.")
    gateway.stop()
    gateway.start()

    assert "I am Ada." in talk.say("script:recall Who am I?")
    assert asked(dify)[-1]["query"] == "script:recall Who am I?"
    assert asked(dify)[-1]["conversation_id"]


def test_a_stopped_answer_is_stopped_at_dify_and_the_next_turn_tells_what_there_was_of_it(
    gateway: Gateway, dify: ScriptedDify
) -> None:
    talk = Talk(gateway)
    talk.say("I am Ada.")
    connection = talk.open("script:slow-700ms Tell me more.")
    answer = connection.getresponse()
    heard = ""
    while not heard:
        heard = json.loads(answer.readline()).get("text", "")
    request_id = answer.headers["X-Request-Id"]
    assert gateway.call("POST", f"/chat/{request_id}/stop")[0] == 202
    rest = answer.read().splitlines()
    connection.close()

    assert json.loads(rest[-1])["error"]["code"] == "stopped"
    wait_until(lambda: bool(dify.stops()), 20, "the stop")
    (stop,) = dify.stops()
    assert stop["runs"]
    assert stop["user"] == asked(dify)[0]["user"]
    wait_until(lambda: talk.messages()[-1][1] == "incomplete", 20, "what there was of the answer")

    talk.say("Go on.")
    last = asked(dify)[-1]
    assert last["conversation_id"] == ""
    for said in ("I am Ada.", WORDS.strip(), "Tell me more.", "word1", "Go on."):
        assert said in last["query"]


def test_a_client_that_leaves_has_its_answer_stopped(gateway: Gateway, dify: ScriptedDify) -> None:
    talk = Talk(gateway)
    connection = talk.open("script:slow-700ms Tell me.")
    answer = connection.getresponse()
    answer.readline()
    answer.close()
    connection.close()

    wait_until(lambda: bool(dify.stops()), 20, "the stop")


def test_turns_that_another_model_answered_are_told_to_dify_afterwards(gateway: Gateway, dify: ScriptedDify) -> None:
    talk = Talk(gateway)
    talk.say("I am Ada.")
    assert "Psst" in talk.say("Psst, I am 36.", model="echo/echo")
    talk.say("How old am I?")

    last = asked(dify)[-1]
    assert last["conversation_id"] == ""
    assert "Psst, I am 36." in last["query"]
    talk.say("And now?")
    assert (asked(dify)[-1]["query"], asked(dify)[-1]["conversation_id"] != "") == ("And now?", True)


def test_a_conversation_that_dify_has_lost_is_begun_anew_and_goes_on(gateway: Gateway, dify: ScriptedDify) -> None:
    talk = Talk(gateway)
    talk.say("I am Ada.")
    dify.lose_conversations()

    text, end = talk.stream("Who am I?")
    assert text == WORDS == end["content"]
    assert [payload["conversation_id"] != "" for payload in asked(dify)] == [False, True, False]
    assert "I am Ada." in asked(dify)[-1]["query"]
    assert talk.messages()[-1] == (WORDS, "complete")
    talk.say("And now?")
    assert asked(dify)[-1]["query"] == "And now?"


def test_new_instructions_reach_dify(gateway: Gateway, dify: ScriptedDify) -> None:
    talk = Talk(gateway, system_prompt="Be brief.")
    talk.say("I am Ada.")
    talk.change(config={"system_prompt": "Be rude."})
    talk.say("Who am I?")

    assert "Be rude." in asked(dify)[-1]["query"]
    assert "Be brief." not in asked(dify)[-1]["query"]


def test_an_answer_that_dify_takes_back_never_looks_complete(gateway: Gateway) -> None:
    talk = Talk(gateway)
    text, last = talk.stream("script:replaced Tell me.")

    assert text == WORDS
    assert last["error"]["code"] == "content_filter"
    wait_until(lambda: talk.messages()[-1][1] == "incomplete", 20, "what there was of the answer")


def test_two_users_are_two_users_at_dify(gateway: Gateway, dify: ScriptedDify) -> None:
    gateway.cli("users", "create", "grace@example.org", "--role", "member")
    key = gateway.cli("keys", "create", "--user", "grace@example.org", "--name", "laptop")
    body = {"model": "dify/app", "messages": [{"role": "user", "content": "Hello"}]}
    for token in (gateway.key, key):
        assert gateway.call("POST", "/chat/completions", body, key=token)[0] == 200

    first, second = asked(dify)
    assert first["user"] != second["user"]


def test_a_picture_reaches_dify_and_what_it_cannot_take_is_told(gateway: Gateway, dify: ScriptedDify) -> None:
    def ask(url: str) -> tuple[int, Any]:
        parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
        body = {"model": "dify/app", "messages": [{"role": "user", "content": parts}], "inputs": {"city": "Köln"}}
        return gateway.call("POST", "/chat/completions", body)

    png = b64encode(b"\x89PNG").decode()
    assert ask(f"data:image/png;base64,{png}")[0] == 200
    (payload,) = asked(dify)
    (file,) = dify.files()
    assert payload["files"] == [{"type": "image", "transfer_method": "local_file", "upload_file_id": file["id"]}]
    assert (payload["inputs"], file["user"]) == ({"city": "Köln"}, payload["user"])

    status, answer = ask(f"data:image/tiff;base64,{png}")
    assert (status, answer["error"]["param"]) == (415, "messages.0.content.1.image_url.url")


def test_what_an_app_decides_itself_is_refused_by_name(gateway: Gateway) -> None:
    body = {"model": "dify/app", "messages": [{"role": "user", "content": "Hello"}], "temperature": 1}
    status, answer = gateway.call("POST", "/chat/completions", body)

    assert (status, answer["error"]["param"]) == (400, "temperature")


def test_what_dify_counted_is_what_is_billed(gateway: Gateway, dify: ScriptedDify) -> None:
    talk = Talk(gateway)
    status, answer = gateway.call("POST", "/chat", {"session_id": talk.id, "message": "One two three"})
    (bill,) = dify.bills()
    usage = answer["usage"]

    assert (status, usage["source"], usage["cost"]) == (200, "provider", 0.000013)
    assert usage["prompt_tokens"] == bill["prompt_tokens"] == 3
    assert usage["completion_tokens"] == bill["completion_tokens"] == 5
