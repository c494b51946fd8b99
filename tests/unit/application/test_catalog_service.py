import pytest

from application.model_ports import Choice, Plan
from domain.errors import UnknownModel
from tests.builders import a_deployment, a_principal
from tests.fakes import ScriptedModel
from tests.world import World


@pytest.fixture
def world() -> World:
    return World(None, a_deployment(ScriptedModel("Hi"), "acme/vendor/small"))


def test_a_caller_sees_the_models_it_may_use(world: World):
    everything = [model.id for model in world.catalog.models(a_principal())]
    allowed = [model.id for model in world.catalog.models(a_principal(models=("acme/large",)))]

    assert everything == ["acme/large", "acme/vendor/small"]
    assert allowed == ["acme/large"]


def test_a_model_shows_its_price_or_that_it_has_none(world: World):
    large, small = world.catalog.models(a_principal())

    assert large.price == world.prices.book.prices["acme/large"]
    assert small.price is None


def test_one_model_is_found_by_its_id(world: World):
    found = world.catalog.model(a_principal(), "acme/vendor/small")

    assert (found.provider, found.card.name) == ("acme", "vendor/small")


@pytest.mark.parametrize(("model", "models"), [("acme/none", ()), ("acme/large", ("acme/vendor/small",))])
def test_a_model_that_may_not_be_used_does_not_exist(world: World, model: str, models: tuple[str, ...]):
    with pytest.raises(UnknownModel, match=model):
        world.catalog.model(a_principal(models=models), model)


# ── routes and aliases ───────────────────────────────────────────────────────────────────────────────────────────


def routed(world: World, *targets: str, name: str = "careful") -> None:
    choices = tuple(Choice(a_deployment(ScriptedModel(), target), tier) for tier, target in enumerate(targets))
    plan = Plan(name, choices)
    world.models.routes = lambda: (plan,)  # type: ignore[method-assign]


def test_a_route_is_listed_after_the_models_as_what_is_tried_first(world: World):
    routed(world, "acme/large", "other/small")
    *_, route = world.catalog.models(a_principal())

    assert (route.id, route.provider, route.card.name) == ("careful", "acme", "careful")
    assert route.card.context_window == 8_192
    assert world.catalog.model(a_principal(), "careful") == route


@pytest.mark.parametrize(
    ("models", "owner"),
    [(("careful",), "acme"), (("other/*",), "other"), (("acme/large",), "acme"), (("third/x",), None)],
)
def test_a_route_is_seen_by_who_may_use_it_or_anything_that_it_leads_to(world: World, models, owner):
    routed(world, "acme/large", "other/small")
    found = {model.id: model.provider for model in world.catalog.models(a_principal(models=models))}

    assert found.get("careful") == owner


def test_a_route_has_a_price_only_if_it_is_the_same_whoever_answers(world: World):
    routed(world, "acme/large")
    assert world.catalog.model(a_principal(), "careful").price == world.prices.book.prices["acme/large"]

    routed(world, "acme/large", "other/small")
    assert world.catalog.model(a_principal(), "careful").price is None
