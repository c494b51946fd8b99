"""Every installed provider, against a server that speaks its wire."""

from dataclasses import replace

import pytest

from adapters.ai.catalog import known_profiles
from adapters.ai.deadlines import Deadlines
from adapters.ai.echo import SLOW, EchoModel
from adapters.ai.openai_compatible import OpenAIWire
from adapters.ai.profile import Link
from adapters.ai.transport import Transport
from tests.contracts.chat_model import ChatModelContract, OpenAIWireContract, completed
from tests.contracts.embedder import OpenAIEmbedderContract, embedded
from tests.fakes import RecordingRecorder
from tests.servers.scripted_provider import ScriptedProvider

PROFILES = known_profiles()
DEADLINES = Deadlines(connect=1, headers=0.8, first_token=1.5, idle=0.8, heartbeat=0.2)
KEY = "sk-upstream-0123456789"


def on_wire(wire: str) -> list[str]:
    return [name for name, profile in PROFILES.items() if profile.wire == wire]


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    provider = ScriptedProvider(tmp_path_factory.mktemp("upstream")).run()
    yield provider
    provider.stop()


@pytest.fixture(scope="module")
def transport(upstream):
    transport = Transport(upstream.base_url, DEADLINES)
    yield transport
    transport.close()


@pytest.fixture
def profile(name):
    """The server counts only where it is asked to; a provider that cannot be asked counts anyway."""
    return replace(PROFILES[name], refuses_stream_options=False)


@pytest.fixture
def link(transport):
    return Link(transport, KEY, RecordingRecorder(), DEADLINES.heartbeat)


@pytest.mark.parametrize("name", on_wire("openai"), scope="class")
class TestProvidersOfOpenAIsWire(OpenAIWireContract):
    @pytest.fixture
    def chat(self, profile, link):
        return OpenAIWire().chat(profile, link)

    def test_the_credential_and_the_request_id_go_along(self, chat, upstream):
        upstream.forget()
        completed(chat, "ok")

        assert upstream.bill("req_ok")["headers"].items() >= {
            ("authorization", f"Bearer {KEY}"),
            ("accept-encoding", "identity"),
            ("x-request-id", "req_ok"),
        }


@pytest.mark.parametrize("name", [name for name in on_wire("openai") if PROFILES[name].embeddings], scope="class")
class TestEmbeddingsOnOpenAIsWire(OpenAIEmbedderContract):
    @pytest.fixture
    def rules(self, profile):
        return profile.embeddings

    @pytest.fixture
    def embedder(self, profile, link):
        return OpenAIWire().embedder(profile, link)

    def test_the_credential_and_the_request_id_go_along(self, embedder, upstream):
        upstream.forget()
        embedded(embedder, "ok")

        assert upstream.bill("req_ok")["headers"].items() >= {
            ("authorization", f"Bearer {KEY}"),
            ("accept-encoding", "identity"),
            ("x-request-id", "req_ok"),
        }


@pytest.mark.parametrize("name", [name for name in on_wire("openai") if not PROFILES[name].embeddings])
def test_a_provider_without_embeddings_offers_none(profile, link):
    assert OpenAIWire().embedder(profile, link) is None


@pytest.mark.parametrize("name", on_wire("echo"))
class TestBuiltInProviders(ChatModelContract):
    slow = SLOW

    @pytest.fixture
    def chat(self, name):
        self.good = PROFILES[name].default_model
        return EchoModel()
