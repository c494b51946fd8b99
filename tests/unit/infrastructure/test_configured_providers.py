"""Which providers are on, and with what settings."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.ai.breakers import Breaking
from adapters.ai.catalog import ProviderConfig, known_profiles
from adapters.ai.credentials import Credential
from adapters.ai.retries import Retries
from application.live import EnteredKey
from domain.completion import ModelCard
from domain.usage import NANO, Price
from infrastructure.configuration import ConfigurationError
from infrastructure.provider_parts import (
    NONE_ENTERED,
    configured_providers,
    price_book,
    provider_names,
    provider_states,
)
from infrastructure.settings import load


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def configured(text: str = "", entered: Mapping[str, EnteredKey] = NONE_ENTERED) -> dict[str, ProviderConfig]:
    Path("parley.toml").write_text(text)
    return {provider.name: provider for provider in configured_providers(load(), entered)}


def test_without_any_key_only_the_built_in_provider_is_on() -> None:
    assert [provider.profile.built_in for provider in configured().values()] == [True]


def test_a_key_or_an_address_in_the_environment_turns_a_provider_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-1")
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://127.0.0.1:11434/v1")

    found = configured()

    assert found["qwen"].credentials == (Credential("sk-1"),)
    assert found["ollama"].base_url == "http://127.0.0.1:11434/v1"
    assert next(reversed(found)) == "echo", "the built-in one is never the default when there is a real one"


def test_the_file_overrides_what_is_known_of_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-2")

    found = configured('[providers.openai]\nbase_url = "http://127.0.0.1:9/v1"\napi_key_env = "MY_KEY"\nmodels = ["a"]')

    assert found["openai"].base_url == "http://127.0.0.1:9/v1"
    assert (found["openai"].credentials, found["openai"].models) == ((Credential("sk-2"),), ("a",))


def test_an_answer_that_is_not_streamed_may_take_as_long_as_a_request_unless_headers_are_limited() -> None:
    mine = '[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"\n'

    assert configured(mine)["mine"].deadlines.answer == 600
    assert configured(mine + "[deadlines]\ntotal = 90")["mine"].deadlines.answer == 90
    assert configured(mine + "[providers.mine.deadlines]\nheaders = 7")["mine"].deadlines.answer == 7


def test_the_file_tells_what_nobody_could_know_of_a_model() -> None:
    mine = "[providers.mine]\nbase_url = 'http://127.0.0.1:9/v1'\n[models.'mine/a/b']\ncontext_window = 8_192\n"

    found = configured(mine + "capabilities = ['chat', 'prefill']")["mine"]

    assert found.cards() == [ModelCard("a/b", 8_192, None, ("chat", "prefill"))]
    assert found.profile.card("other") == ModelCard("other")


def test_the_file_corrects_what_is_known_of_a_model_and_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    usual = configured()["openai"].profile

    changed = configured("[models.'openai/gpt-4o']\ncontext_window = 9_000")["openai"].profile

    assert changed.card("gpt-4o") == replace(usual.card("gpt-4o"), context_window=9_000)
    assert [card.name for card in changed.models] == [card.name for card in usual.models]
    assert changed.card("gpt-4o-mini") == usual.card("gpt-4o-mini")


def test_a_model_of_a_provider_that_is_not_there_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"models\.mine/small: there is no such provider"):
        configured("[models.'mine/small']\nmax_output = 9")


# ── what administrators entered ──────────────────────────────────────────────────────────────────────────────────

ENTERED = {"openai": EnteredKey("sk-entered", "https://entered.example/v1")}


def test_a_key_that_was_entered_counts_before_the_file_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-2")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-3")
    text = '[providers.openai]\nbase_url = "http://127.0.0.1:9/v1"\napi_key_env = "MY_KEY"\nmodels = ["a"]'

    found = configured(text, ENTERED)["openai"]

    assert (found.credentials, found.base_url) == ((Credential("sk-entered"),), "https://entered.example/v1")
    assert found.models == ("a",), "what was not entered is the file's"


def test_an_entered_key_without_an_address_goes_where_the_provider_is() -> None:
    text = '[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"'

    assert configured(text, {"mine": EnteredKey("sk-1")})["mine"].base_url == "http://127.0.0.1:9/v1"


def test_an_entered_key_turns_its_provider_on() -> None:
    assert list(configured("", ENTERED)) == ["openai", "echo"]
    assert list(configured("")) == ["echo"]


def test_all_providers_are_told_with_what_turns_them_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-3")
    Path("parley.toml").write_text('[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["a", "b"]')

    found = {state.name: state for state in provider_states(load(), ENTERED)}

    assert list(found) == sorted({*known_profiles(), "mine"})
    assert found["openai"].sources == ("credential", "environment")
    assert found["openai"].base_url == "https://entered.example/v1"
    assert found["openai"].models > 0
    assert (found["mine"].sources, found["mine"].models) == (("file",), 2)
    assert found["echo"].sources == ("built-in",)
    assert (found["qwen"].sources, found["qwen"].models) == ((), 0)
    assert found["qwen"].base_url == known_profiles()["qwen"].base_url


def test_a_key_can_be_entered_for_every_provider_that_has_a_server() -> None:
    Path("parley.toml").write_text('[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"')

    assert provider_names(load()) == {"mine", *known_profiles()} - {"echo"}


def test_an_entered_price_counts_before_the_files_and_that_before_the_list() -> None:
    Path("parley.toml").write_text(
        "[prices.'openai/gpt-4o']\ninput = 1\noutput = 2\n[prices.'openai/gpt-4o-mini']\ninput = 3\noutput = 4"
    )
    settings = load()
    on = configured_providers(settings, ENTERED)
    listed = price_book(settings, on)

    book = price_book(settings, on, {"openai/gpt-4o": Price(5, 6)})

    assert book.prices["openai/gpt-4o"] == Price(5, 6)
    assert book.prices["openai/gpt-4o-mini"] == Price(3 * NANO, 4 * NANO)
    assert book.prices.keys() >= {f"openai/{name}" for name in known_profiles()["openai"].prices}
    assert book.version != listed.version
    assert price_book(settings, on).version == listed.version, "the same prices have the same version"


# ── credentials, retries, breaker ────────────────────────────────────────────────────────────────────────────────

MINE = '[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"\n'


def test_a_provider_may_have_several_credentials_with_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST", "sk-1")
    monkeypatch.setenv("SECOND", "sk-2")

    found = configured(MINE + 'credentials = [{api_key_env = "FIRST", weight = 2}, {api_key_env = "SECOND"}]')

    assert found["mine"].credentials == (Credential("sk-1", 2), Credential("sk-2", 1))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('credentials = [{api_key_env = "GONE"}]', "providers.mine: the environment variable GONE is not set"),
        ('api_key_env = "GONE"', "providers.mine: the environment variable GONE is not set"),
        ('wire = "morse"', r"providers.mine.wire: Must be one of: openai"),
        ("credentials = []", "providers.mine.credentials: Length must be between 1 and 100"),
        ("credentials = [{weight = 2}]", "providers.mine.credentials.0.api_key_env: Missing data"),
        ('credentials = [{api_key_env = "A", weight = 0}]', "providers.mine.credentials.0.weight: Must be"),
        ('api_key_env = "A"\ncredentials = [{api_key_env = "B"}]', "api_key_env or credentials, not both"),
        ('credentials = [{api_key_env = "A"}, {api_key_env = "A"}]', "each credential once"),
    ],
)
def test_credentials_and_wires_that_cannot_be_are_refused(lines: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        configured(MINE + lines)


@pytest.mark.parametrize("wire", ["openai", "morse"])
def test_a_provider_that_is_known_has_no_other_wire_than_its_own(wire: str) -> None:
    with pytest.raises(ConfigurationError, match=r"providers\.anthropic\.wire: anthropic has a wire of its own"):
        configured(f'[providers.anthropic]\nwire = "{wire}"')

    assert configured('[providers.anthropic]\nwire = "anthropic"')["anthropic"].profile.wire == "anthropic"


def test_a_price_for_a_model_of_no_provider_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"prices\.opnai/gpt-4o: there is no such provider"):
        configured('[prices."opnai/gpt-4o"]\ninput = 1\noutput = 1')


@pytest.mark.parametrize("key", ["sk-1\r", "sk-1\n", "sk-1\r\nX-Evil: 1", "sk-“1”", "sk 1"])
@pytest.mark.parametrize("text", ["", '[providers.openai]\napi_key_env = "OPENAI_API_KEY"'])
def test_a_key_that_fits_into_no_header_is_refused_by_the_name_of_its_variable(
    text: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)

    with pytest.raises(
        ConfigurationError, match=r"providers\.openai: the environment variable OPENAI_API_KEY: A key has"
    ):
        configured(text)


def test_an_address_that_cannot_be_dialled_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigurationError, match=r"providers\.mine\.base_url: A provider's base URL"):
        configured('[providers.mine]\nbase_url = "http://user@127.0.0.1:9/v1"')


def test_retries_and_breaker_are_those_of_the_file() -> None:
    found = configured(
        MINE + "[retries]\nper_deployment = 0\nbudget = 0.5\n[breaker]\nfailures = 2\nopen = 1\nlongest = 4"
    )

    assert found["mine"].retries == Retries(0, 0.5)
    assert found["mine"].breaking == Breaking(2, 1.0, 4.0)
    assert configured(MINE)["mine"].breaking == Breaking(5, 10.0, 30.0)


def test_a_breaker_cannot_rest_shorter_in_the_end_than_at_first() -> None:
    with pytest.raises(ConfigurationError, match=r"breaker\.longest: not shorter than open"):
        configured("[breaker]\nopen = 31.0")


def test_the_file_says_what_becomes_of_an_answer_whose_client_leaves() -> None:
    own = '[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"\n'
    groq = '[providers.groq]\nbase_url = "http://127.0.0.1:9/v1"\n'

    assert configured(own)["mine"].profile.on_disconnect == "cancel"
    assert configured(own + 'on_disconnect = "drain"')["mine"].profile.on_disconnect == "drain"
    assert configured(groq)["groq"].profile.on_disconnect == "drain"
    assert configured(groq + 'on_disconnect = "cancel"')["groq"].profile.on_disconnect == "cancel"
    with pytest.raises(ConfigurationError, match="on_disconnect"):
        configured(own + 'on_disconnect = "wait"')
