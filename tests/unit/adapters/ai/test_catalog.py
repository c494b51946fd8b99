from typing import Any

import pytest

from adapters.ai.catalog import Catalog, ProviderConfig, known_profiles, list_prices, load_catalog
from adapters.ai.credentials import Credential, Credentials
from adapters.ai.profile import Profile, price
from adapters.ai.providers.echo import PROFILE as ECHO
from adapters.ai.routes import Route, Target
from application.cancellation import Cancellation
from domain.completion import ModelCard, Prompt
from domain.errors import InvalidRequest, UnknownModel
from domain.provider_errors import UpstreamRateLimited
from domain.usage import NANO, Price
from tests.fakes import FrozenClock, RecordingRecorder

ACME = Profile(
    "acme",
    "http://127.0.0.1:1/v1",
    default_model="large",
    models=(ModelCard("large", 8_000, 1_000), ModelCard("shared"), ModelCard("org/nested")),
    prices={"large": price("0.15", "0.60", cached_input="0.075")},
)
OTHER = Profile("other", "http://127.0.0.1:1/v1", models=(ModelCard("shared"),))


def catalog(*configured: ProviderConfig) -> Catalog:
    return load_catalog(configured, RecordingRecorder())


def both() -> Catalog:
    return catalog(ProviderConfig("acme", ACME), ProviderConfig("other", OTHER))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("acme/large", "acme/large"),
        ("acme/anything/at:all", "acme/anything/at:all"),
        ("large", "acme/large"),
        ("org/nested", "acme/org/nested"),
        ("acme/org/nested", "acme/org/nested"),
    ],
)
def test_a_model_is_found_by_its_full_name_and_by_a_bare_one(asked, found):
    deployment = both().resolve(asked).first

    assert deployment.id == found == f"{deployment.provider}/{deployment.name}"


def test_a_deployment_knows_its_card_and_what_its_provider_documents():
    deployment = both().resolve("acme/large").first

    assert deployment.card == ModelCard("large", 8_000, 1_000)
    assert deployment.options == ACME.options


@pytest.mark.parametrize("asked", ["", "/", "acme", "acme/", "nobody/large", "shared", "medium", "x" * 5000])
def test_an_unknown_model_is_told_without_the_names_of_what_there_is(asked):
    with pytest.raises(UnknownModel, match=r"GET /models") as caught:
        both().resolve(asked)

    assert caught.value.param == "model"
    assert len(caught.value.message) < 400
    assert "other" not in caught.value.message
    assert caught.value.message.count("acme") == asked.count("acme")


def test_a_provider_may_be_limited_to_some_of_its_models():
    limited = catalog(ProviderConfig("acme", ACME, models=("small", "large")))

    assert [card.name for _, card in limited.listed()] == ["small", "large"]
    assert limited.resolve("small").first.id == "acme/small"
    with pytest.raises(UnknownModel):
        limited.resolve("acme/shared")


def test_all_known_models_are_listed():
    assert [(provider, card.name) for provider, card in both().listed()] == [
        ("acme", "large"),
        ("acme", "shared"),
        ("acme", "org/nested"),
        ("other", "shared"),
    ]


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ([ProviderConfig("echo", ECHO)], "echo/echo"),
        ([ProviderConfig("echo", ECHO), ProviderConfig("acme", ACME)], "acme/large"),
        ([ProviderConfig("other", OTHER), ProviderConfig("acme", ACME)], "other/shared"),
        ([ProviderConfig("local", Profile("local", "http://127.0.0.1:1")), ProviderConfig("acme", ACME)], "acme/large"),
        ([ProviderConfig("acme", ACME, models=("small",))], "acme/small"),
    ],
)
def test_the_default_is_a_model_of_the_first_real_provider(configured, expected):
    assert catalog(*configured).default() == expected


@pytest.mark.parametrize("configured", [[], [ProviderConfig("local", Profile("local", "http://127.0.0.1:1"))]])
def test_without_any_known_model_there_is_no_default(configured):
    with pytest.raises(UnknownModel):
        catalog(*configured).default()


def test_prices_are_in_nano_units_by_full_name():
    assert list_prices([ProviderConfig("mine", ACME)]) == {
        "mine/large": Price(input=NANO * 15 // 100, output=NANO * 60 // 100, cached_input=75_000_000)
    }


def test_a_model_of_the_catalog_answers():
    chat = catalog(ProviderConfig("echo", ECHO)).resolve("echo/echo").first.chat
    cancellation = Cancellation(10, FrozenClock().monotonic)

    assert chat.complete(Prompt("echo", [{"role": "user", "content": "hi"}]), cancellation).text == "hi"
    assert [attempt.model for attempt in cancellation.attempts] == ["echo/echo"]


def test_a_credential_is_not_shown():
    assert "sk-secret" not in repr(ProviderConfig("acme", ACME, credentials=(Credential("sk-secret"),)))


def test_an_unusable_address_is_refused_at_once():
    with pytest.raises(InvalidRequest):
        catalog(ProviderConfig("acme", ACME, base_url="http://user@acme.example"))


@pytest.mark.parametrize(("name", "profile"), known_profiles().items())
class TestInstalledProviders:
    def test_it_is_named_like_its_entry_point(self, name, profile):
        assert profile.name == name

    def test_its_default_model_and_its_prices_are_of_models_it_lists(self, name, profile):
        names = {card.name for card in profile.models}

        assert {profile.default_model} - {""} <= names
        assert set(profile.prices) <= names

    def test_it_has_an_address_and_a_name_for_its_key_if_it_needs_them(self, name, profile):
        assert profile.built_in or profile.base_url.startswith(("https://", "http://127.0.0.1:"))
        assert profile.key_env or not profile.needs_key

    def test_it_takes_no_destination_and_no_credential_from_a_request(self, name, profile):
        suspicious = ("url", "host", "base", "key", "token", "auth", "header", "callback", "webhook", "proxy")
        allowed = {"max_tokens", "max_completion_tokens", "prompt_cache_key", "skip_special_tokens", "min_tokens"}
        allowed |= {"stop_token_ids", "truncate_prompt_tokens", "dry_base"}

        assert not {option for option in profile.options - allowed if any(word in option for word in suspicious)}


# ── routes and aliases ───────────────────────────────────────────────────────────────────────────────────────────

CAREFUL = Route(
    "careful",
    ((Target("acme/large"),), (Target("other/shared", 3), Target("acme/shared"))),
    continues=True,
    instead={"context_length": ((Target("other/long"),),)},
)


def routed(*routes: Route) -> Catalog:
    return load_catalog(
        [ProviderConfig("acme", ACME), ProviderConfig("other", OTHER)], RecordingRecorder(), routes=routes
    )


def test_a_route_leads_to_its_targets_in_tiers():
    plan = routed(CAREFUL).resolve("careful")

    assert [(choice.deployment.id, choice.tier, choice.weight) for choice in plan.choices] == [
        ("acme/large", 0, None),
        ("other/shared", 1, 3),
        ("acme/shared", 1, None),
    ]
    assert (plan.name, plan.continues) == ("careful", True)
    assert [choice.deployment.id for choice in plan.instead["context_length"]] == ["other/long"]


def test_a_name_of_the_operator_counts_before_a_bare_name_of_a_model():
    assert routed(Route("large", ((Target("other/shared"),),))).resolve("large").first.id == "other/shared"


def test_targets_of_providers_that_are_off_are_left_out():
    half = Route(
        "half", ((Target("gone/large"),), (Target("acme/large"),)), instead={"rate_limit": ((Target("gone/x"),),)}
    )
    plan = routed(half).resolve("half")

    assert [choice.deployment.id for choice in plan.choices] == ["acme/large"]
    assert plan.instead == {"rate_limit": ()}


def test_a_route_that_leads_nowhere_is_no_model():
    found = routed(Route("gone", ((Target("gone/large"),),)), CAREFUL)

    assert [plan.name for plan in found.routes()] == ["careful"]
    with pytest.raises(UnknownModel):
        found.resolve("gone")


def test_routes_are_listed_by_name():
    alias = Route("alias", ((Target("acme/large"),),))

    assert [plan.name for plan in routed(CAREFUL, alias).routes()] == ["alias", "careful"]


def test_targets_of_routes_are_named_as_well_as_the_models_that_are_listed():
    hidden = Route("hidden", ((Target("acme/unlisted"),),), instead={"rate_limit": ((Target("other/relief"),),)})

    listed = {f"{provider}/{card.name}" for provider, card in routed().listed()}

    assert set(routed(hidden).named()) == listed | {"acme/unlisted", "other/relief"}


# ── credentials ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_provider_has_a_client_for_each_credential_and_one_without_any():
    chat: Any = catalog(ProviderConfig("acme", ACME, credentials=(Credential("a"), Credential("b"))))
    assert len(chat.resolve("acme/large").first.chat.clients) == 2
    chat = both()
    assert len(chat.resolve("acme/large").first.chat.clients) == 1


def test_the_health_of_a_deployment_is_that_of_its_credentials_for_its_model():
    found = both()
    large, shared = found.resolve("acme/large").first, found.resolve("acme/shared").first
    assert (large.health.wait(), large.health.latency()) == (0, None)
    credentials: Credentials = large.health.credentials  # type: ignore[attr-defined]
    lease = credentials.lease("large")
    assert lease is not None
    lease.heard(0.25)
    lease.failed(UpstreamRateLimited(retry_after=30))

    assert 29 < large.health.wait() <= 30
    assert (shared.health.wait(), large.health.latency()) == (0, 0.25)
    assert [(rest.provider, rest.model, rest.state) for rest in found.rests()] == [("acme", "large", "limited")]
