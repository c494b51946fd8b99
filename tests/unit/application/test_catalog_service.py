import pytest

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
