"""Which providers are on, and with what settings."""

from pathlib import Path

import pytest

from adapters.ai.catalog import ProviderConfig
from infrastructure.parts import configured_providers
from infrastructure.settings import load


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def configured(text: str = "") -> dict[str, ProviderConfig]:
    Path("parley.toml").write_text(text)
    return {provider.name: provider for provider in configured_providers(load())}


def test_without_any_key_only_the_built_in_provider_is_on() -> None:
    assert [provider.profile.built_in for provider in configured().values()] == [True]


def test_a_key_or_an_address_in_the_environment_turns_a_provider_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-1")
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://127.0.0.1:11434/v1")

    found = configured()

    assert found["qwen"].credentials == ("sk-1",)
    assert found["ollama"].base_url == "http://127.0.0.1:11434/v1"
    assert next(reversed(found)) == "echo", "the built-in one is never the default when there is a real one"


def test_the_file_overrides_what_is_known_of_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-2")

    found = configured('[providers.openai]\nbase_url = "http://127.0.0.1:9/v1"\napi_key_env = "MY_KEY"\nmodels = ["a"]')

    assert found["openai"].base_url == "http://127.0.0.1:9/v1"
    assert (found["openai"].credentials, found["openai"].models) == (("sk-2",), ("a",))


def test_an_answer_that_is_not_streamed_may_take_as_long_as_a_request_unless_headers_are_limited() -> None:
    mine = '[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"\n'

    assert configured(mine)["mine"].deadlines.answer == 600
    assert configured(mine + "[deadlines]\ntotal = 90")["mine"].deadlines.answer == 90
    assert configured(mine + "[providers.mine.deadlines]\nheaders = 7")["mine"].deadlines.answer == 7
