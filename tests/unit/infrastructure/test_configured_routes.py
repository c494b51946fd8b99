"""Routes and aliases as the file has them."""

from pathlib import Path

import pytest

from adapters.ai.routes import Route, Target
from infrastructure.configuration import ConfigurationError
from infrastructure.provider_parts import configured_providers
from infrastructure.route_parts import check, configured_routes
from infrastructure.settings import load

ACME = '[providers.acme]\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["small", "large", "org/nested"]\n'


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def routes(text: str) -> dict[str, Route]:
    Path("parley.toml").write_text(ACME + text)
    settings = load()
    return {route.name: route for route in configured_routes(settings, configured_providers(settings))}


def test_an_alias_is_another_name_for_one_model() -> None:
    assert routes('[aliases]\nfast = "acme/small"\n"gpt-4.1" = "acme/org/nested"') == {
        "fast": Route("fast", ((Target("acme/small"),),)),
        "gpt-4.1": Route("gpt-4.1", ((Target("acme/org/nested"),),)),
    }


def test_a_position_is_a_tier_and_an_inner_list_has_equals() -> None:
    text = """
        [routes.careful]
        try = ["acme/large", ["acme/small", {model = "echo/echo", weight = 3}]]
        continue = true
        [routes.careful.fallback]
        context_length = ["acme/org/nested"]
        content_filter = []
    """

    assert routes(text)["careful"] == Route(
        "careful",
        ((Target("acme/large"),), (Target("acme/small"), Target("echo/echo", 3))),
        continues=True,
        instead={"context_length": ((Target("acme/org/nested"),),), "content_filter": ()},
    )


def test_without_a_word_a_route_does_not_continue_and_has_no_fallbacks() -> None:
    route = routes('[routes.plain]\ntry = ["acme/large"]')["plain"]

    assert (route.continues, route.instead) == (False, {})


def test_a_provider_that_is_known_and_off_may_be_a_target_because_its_key_may_be_entered_later() -> None:
    assert "fast" in routes('[aliases]\nfast = "openai/gpt-4o-mini"')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[aliases]\nfast = "nobody/x"', "aliases.fast: there is no model nobody/x"),
        ('[aliases]\nfast = "acme/tiny"', "aliases.fast: there is no model acme/tiny"),
        ('[aliases]\nacme = "acme/large"', "aliases.acme: a provider has that name"),
        ('[aliases]\nopenai = "acme/large"', "aliases.openai: a provider has that name"),
        ('[aliases]\nfast = "large"', "aliases.fast: a target is provider/model"),
        ('[aliases]\n"a/b" = "acme/large"', "aliases.a/b: a name has"),
        ('[routes.echo]\ntry = ["acme/large"]', "routes.echo: a provider has that name"),
        ('[aliases]\nx = "acme/large"\n[routes.x]\ntry = ["acme/large"]', "routes.x: an alias has that name"),
        ('[routes.x]\ntry = ["acme/large", "acme/tiny"]', r"routes.x.try.1: there is no model acme/tiny"),
        ('[routes.x]\ntry = ["acme/large", ["acme/large"]]', r"routes.x.try.1: acme/large is there twice"),
        ('[routes.x]\ntry = ["x/y"]\n[routes.y]\ntry = ["acme/large"]', "routes.x.try.0: there is no model x/y"),
        (
            '[routes.x]\ntry = ["y"]\n[routes.y]\ntry = ["acme/large"]',
            "routes.x.try.0: model: a target is provider/model",
        ),
        ("[routes.x]\ntry = []", "routes.x.try: Length must be between 1 and 32"),
        ("[routes.x]\ntry = [[]]", "routes.x.try.0: at least one target"),
        ("[routes.x]\ntry = [7]", "routes.x.try.0: a target is"),
        ('[routes.x]\ntry = [{model = "acme/large", share = 1}]', "routes.x.try.0: share: Unknown field"),
        ('[routes.x]\ntry = [{model = "acme/large", weight = 0}]', "routes.x.try.0: weight: Must be"),
        ("[routes.x]\ncontinue = true", "routes.x.try: Missing data"),
        ('[routes.x]\ntry = ["acme/large"]\ncontinue = "yes"', "routes.x.continue: Not a valid boolean"),
        (
            '[routes.x]\ntry = ["acme/large"]\n[routes.x.fallback]\nrate_limit = ["nobody/x"]',
            "routes.x.fallback.rate_limit.0: there is no model nobody/x",
        ),
        ('[routes.x]\ntry = ["acme/large"]\n[routes.x.fallback]\nweather = []', "fallback.weather: Unknown field"),
    ],
)
def test_a_name_or_a_target_that_cannot_be_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        routes(text)


def test_the_check_of_a_whole_configuration_says_the_same() -> None:
    Path("parley.toml").write_text(ACME + '[aliases]\nfast = "nobody/x"')
    with pytest.raises(ConfigurationError, match="nobody/x"):
        check(load())

    Path("parley.toml").write_text(ACME + '[aliases]\nfast = "acme/large"')
    check(load())


def test_what_is_in_force_is_told_in_the_words_of_the_file() -> None:
    Path("parley.toml").write_text(ACME + '[aliases]\nfast = "acme/small"\n[routes.x]\ntry = ["acme/large"]')
    told = load().effective()

    assert told["aliases"] == {"fast": "acme/small"}
    assert told["routes"]["x"] == {
        "try": [[{"model": "acme/large", "weight": None}]],
        "continue": False,
        "fallback": {},
    }


@pytest.mark.parametrize("model", ["echo/echo", "fast", "careful"])
def test_summaries_are_made_by_a_model_a_route_or_an_alias(model: str) -> None:
    text = '[aliases]\nfast = "echo/echo"\n[routes.careful]\ntry = ["echo/echo"]\n'

    assert routes(f'{text}[context]\nsummary_model = "{model}"\n')


@pytest.mark.parametrize("model", ["nobody/any", "echo"])
def test_summaries_are_not_left_to_a_model_that_is_not_there(model: str) -> None:
    with pytest.raises(ConfigurationError, match=r"context\.summary_model"):
        routes(f'[aliases]\nfast = "echo/echo"\n[context]\nsummary_model = "{model}"\n')
