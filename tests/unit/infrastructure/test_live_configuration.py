"""What administrators enter comes into force while the gateway runs."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from adapters.ai.catalog import load_catalog
from adapters.ai.live_catalog import LiveCatalog
from application.live import PURPOSE
from domain.errors import DatabaseUnavailable, UnknownModel
from domain.provider_credential import PriceChange, ProviderCredential
from domain.usage import Price
from infrastructure.live_configuration import LiveConfiguration
from infrastructure.provider_parts import configured_providers, price_book
from infrastructure.settings import load
from tests.builders import NOW
from tests.fakes import MemoryBegin, PlainVault, RecordingRecorder


class Running:
    """A worker's configuration on stored rows; `told` is what it told, in order."""

    def __init__(self) -> None:
        settings = load()
        self.begin, self.vault = MemoryBegin(), PlainVault()
        self.told: list[str] = []
        on = configured_providers(settings)
        build = partial(load_catalog, record=RecordingRecorder())
        self.live = LiveCatalog(build(on), price_book(settings, on))
        self.live.swap = self._swapping(self.live.swap)
        self.configuration = LiveConfiguration(
            settings,
            self.begin,
            self.vault,
            self.live,
            build,
            know=lambda names: self.told.extend(f"model {name}" for name in names),
            register=lambda secret: self.told.append(f"secret {secret}"),
        )

    def _swapping(self, swap: Callable[..., None]) -> Callable[..., None]:
        def told(*given: Any) -> None:
            self.told.append("swap")
            swap(*given)

        return told

    def store(self, number: int, provider: str, secret: str = "sk-0123456789", **fields: Any) -> None:
        sealed = self.vault.seal(PURPOSE, secret)
        given = {"id": f"cred_{number}", "provider": provider, "name": "", "sealed": sealed, "last4": ""}
        with self.begin() as work:
            work.credentials.add(ProviderCredential(**{**given, "created_at": NOW, "created_by": "usr_1", **fields}))

    def price(self, number: int, model: str, **fields: int) -> None:
        with self.begin() as work:
            work.prices.add(PriceChange(f"prc_{number}", model, NOW, "usr_1", **fields))

    def key_of(self, model: str) -> bytes:
        """The head that its provider sends."""
        chat: Any = self.live.resolve(model).first.chat
        head: bytes = chat.clients[0]._head("/chat/completions", "application/json")
        return head

    def swaps(self) -> int:
        return self.told.count("swap")


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Running:
    monkeypatch.chdir(tmp_path)
    return Running()


def test_an_entered_key_is_used_by_the_next_call(running):
    with pytest.raises(UnknownModel):
        running.live.resolve("openai/gpt-4o")
    running.store(1, "openai", "sk-first", base_url="https://llm.example.com/v1")

    running.configuration.refresh()

    assert b"Host: llm.example.com\r\n" in running.key_of("openai/gpt-4o")
    assert b"Authorization: Bearer sk-first\r\n" in running.key_of("openai/gpt-4o")


def test_a_newer_key_takes_over_and_a_disabled_one_gives_back(running):
    running.store(1, "openai", "sk-first")
    running.store(2, "openai", "sk-second")
    running.configuration.refresh()
    assert b"Bearer sk-second\r\n" in running.key_of("openai/gpt-4o")

    running.store(2, "openai", "sk-second", disabled=True)
    running.configuration.refresh()

    assert b"Bearer sk-first\r\n" in running.key_of("openai/gpt-4o")


def test_a_key_that_is_removed_is_used_no_more(running):
    running.store(1, "openai")
    running.configuration.refresh()
    running.begin.rows.credentials.clear()

    running.configuration.refresh()

    with pytest.raises(UnknownModel):
        running.live.resolve("openai/gpt-4o")


def test_an_entered_price_makes_a_new_version_of_the_book_and_taking_it_back_the_old_one(running):
    first = running.live.book.version
    running.price(1, "echo/echo", input=5, output=10)
    running.configuration.refresh()
    entered = running.live.book
    assert entered.prices["echo/echo"] == Price(5, 10)
    assert entered.version != first

    running.price(2, "echo/echo")
    running.configuration.refresh()

    assert running.live.book.version == first
    assert entered.prices["echo/echo"] == Price(5, 10), "calls that run keep the book they have"


def test_what_has_not_changed_is_left_alone(running):
    running.store(1, "openai")
    running.configuration.refresh()
    chat = running.live.resolve("openai/gpt-4o").first.chat

    running.configuration.refresh()
    assert running.swaps() == 1

    running.store(2, "qwen")
    running.configuration.refresh()
    assert running.swaps() == 2
    assert running.live.resolve("openai/gpt-4o").first.chat is chat


def test_nothing_entered_changes_nothing(running):
    running.configuration.refresh()

    assert running.told == []


def test_the_redactor_and_the_metrics_learn_of_it_before_it_can_be_used(running):
    running.store(1, "openai", "sk-first")

    running.configuration.refresh()

    assert running.told[0] == "secret sk-first"
    assert "model openai/gpt-4o" in running.told
    assert running.told[-1] == "swap"


def test_a_broken_row_is_reported_once_and_stops_nothing_else(running, caplog):
    running.store(1, "openai", sealed=b"garbage")
    running.store(2, "qwen", "sk-whole")
    with caplog.at_level(logging.WARNING):
        running.configuration.refresh()
        running.price(1, "echo/echo", input=5, output=10)
        running.configuration.refresh()

    assert [record.getMessage() for record in caplog.records] == [
        "the provider credential cred_1 cannot be used and is left out"
    ]
    assert b"Bearer sk-whole\r\n" in running.key_of("qwen/qwen-plus")
    assert running.live.book.prices["echo/echo"] == Price(5, 10)


def test_without_the_database_what_is_in_force_stays(running, caplog):
    running.store(1, "openai")
    running.configuration.refresh()
    running.begin.down = DatabaseUnavailable()

    with pytest.raises(DatabaseUnavailable):
        running.configuration.refresh()

    assert running.live.resolve("openai/gpt-4o").first.id == "openai/gpt-4o"
    assert caplog.records == []


def test_a_defect_changes_nothing_and_is_met_again_later(running):
    running.store(1, "openai")
    working, running.configuration.load = running.configuration.load, _fail

    with pytest.raises(OverflowError):
        running.configuration.refresh()
    assert running.swaps() == 0

    running.configuration.load = working
    running.configuration.refresh()
    assert running.swaps() == 1


def test_the_states_are_those_in_force(running):
    running.store(1, "openai", base_url="https://llm.example.com/v1")
    before = {state.name: state.sources for state in running.configuration.states()}

    running.configuration.refresh()

    after = {state.name: state for state in running.configuration.states()}
    assert (before["openai"], after["openai"].sources) == ((), ("credential",))
    assert after["openai"].base_url == "https://llm.example.com/v1"


def test_no_repr_shows_a_key(running):
    running.store(1, "openai", "sk-first")
    running.configuration.refresh()

    assert "sk-first" not in repr(running.configuration)


def _fail(*_: object, **__: object) -> NoReturn:
    raise OverflowError("a defect")


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────

MINE = '[providers.mine]\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["large"]\n'


def write(text: str) -> None:
    Path("parley.toml").write_text(text)


def test_a_changed_file_comes_into_force(running):
    before = running.configuration.config_hash()
    write(MINE + '[aliases]\nfast = "mine/large"\n[prices."mine/large"]\ninput = 1\noutput = 2')

    running.configuration.reload()

    assert running.live.resolve("fast").first.id == "mine/large"
    assert running.live.book.prices["mine/large"].input == 1_000_000_000
    assert running.configuration.config_hash() != before
    assert "model mine/large" in running.told


def test_a_target_of_a_route_has_a_name_in_the_metrics_as_soon_as_it_is_in_force(running):
    write(MINE.replace("large", "*") + '[aliases]\nfast = "mine/large"')

    running.configuration.reload()

    assert running.told.index("model mine/large") < running.told.index("swap")


def test_a_file_whose_order_alone_has_changed_comes_into_force(running):
    write(MINE + MINE.replace("mine", "yours"))
    running.configuration.reload()
    before = running.configuration.config_hash()
    write(MINE.replace("mine", "yours") + MINE)

    running.configuration.reload()

    assert running.live.default() == "yours/large"
    assert running.configuration.config_hash() != before


def test_a_key_can_be_entered_for_a_provider_that_came_with_the_changed_file(running):
    write(MINE)
    running.configuration.reload()
    assert "mine" in running.configuration.names()

    write("")
    running.configuration.reload()
    assert "mine" not in running.configuration.names()


def test_what_administrators_entered_stays_in_force_through_a_reload(running):
    running.store(1, "openai", "sk-first")
    running.price(1, "echo/echo", input=5, output=10)
    running.configuration.refresh()
    write(MINE)

    running.configuration.reload()

    assert b"Bearer sk-first\r\n" in running.key_of("openai/gpt-4o")
    assert running.live.book.prices["echo/echo"] == Price(5, 10)


def test_what_the_file_says_stays_in_force_through_a_refresh(running):
    write(MINE + '[aliases]\nfast = "mine/large"')
    running.configuration.reload()
    running.store(1, "openai")

    running.configuration.refresh()

    assert running.live.resolve("fast").first.id == "mine/large"


def test_providers_that_did_not_change_keep_all_they_have(running):
    write(MINE)
    running.configuration.reload()
    chat = running.live.resolve("mine/large").first.chat

    write(MINE + '[providers.other]\nbase_url = "http://127.0.0.1:9/v1"')
    running.configuration.reload()
    assert running.live.resolve("mine/large").first.chat is chat

    write(MINE + "[breaker]\nfailures = 2")
    running.configuration.reload()
    assert running.live.resolve("mine/large").first.chat is not chat


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[typo]", "typo: Unknown field"),
        ("[providers", "parley.toml"),
        ('[aliases]\nfast = "nobody/x"', "aliases.fast: there is no model nobody/x"),
        ('[providers.x]\nbase_url = "http://u@h"', "providers.x.base_url"),
        ('[providers.x]\nbase_url = "http://h"\napi_key_env = "GONE"', "GONE is not set"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing_and_is_told_in_one_line(running, caplog, text, reason):
    write(MINE)
    running.configuration.reload()
    before, catalog, swaps = running.configuration.settings, running.live.now, running.swaps()
    write(text)
    caplog.clear()
    running.configuration.reload()

    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert reason in record.getMessage()
    assert running.configuration.settings is before
    assert running.live.now is catalog
    assert running.swaps() == swaps


def test_a_file_that_says_nothing_new_changes_nothing(running, caplog):
    running.configuration.reload()

    assert running.told == []
    assert caplog.records == []


def test_followers_are_told_the_settings_in_the_same_moment(running):
    seen: list[tuple[int, bool]] = []
    running.configuration.follow(
        lambda settings: seen.append((settings.limits["rpm"], running.configuration.settings is settings))
    )
    write("[limits]\nrpm = 7")
    running.configuration.reload()

    assert seen == [(7, True)]


def test_what_needs_a_restart_stays_as_it_is(running):
    before = running.configuration.settings
    write(MINE + '[server]\nin_flight = 7\n[accounts]\nregistration = "open"')
    running.configuration.reload()

    now = running.configuration.settings
    assert (now.server, now.accounts) == (before.server, before.accounts)
    assert "mine" in now.providers


def test_a_copy_counts_in_place_of_the_file(running):
    write("[typo]")
    Path("copy.toml").write_text(MINE)
    running.configuration.reload(Path("copy.toml"))

    assert running.live.resolve("mine/large").first.id == "mine/large"


def test_keys_of_the_file_are_masked_before_they_can_be_used(running, monkeypatch):
    running.configuration.settings = replace(
        running.configuration.settings, environment={**running.configuration.settings.environment, "ODD": "sk-odd-name"}
    )
    monkeypatch.setenv("ODD", "sk-odd-name")
    write(MINE + 'credentials = [{api_key_env = "ODD"}]')
    running.configuration.reload()

    assert "secret sk-odd-name" in running.told
    assert running.told.index("secret sk-odd-name") < running.told.index("swap")
