import pytest

from application.completions import CompletionOrder
from domain.errors import Forbidden, ModelNotAllowed, UnknownModel, UnsupportedParameter
from domain.user import Role
from tests.builders import a_deployment, a_principal
from tests.fakes import ScriptedModel
from tests.world import World

MESSAGES = [{"role": "user", "content": "Hello", "name": "ada"}]


def complete(world: World, model: str = "acme/large", principal=None, **options):
    return world.completions.complete(
        principal or a_principal(), CompletionOrder((model,), MESSAGES, options), world.call()
    )


def test_messages_and_options_reach_the_provider_unchanged(world: World):
    tools = [{"type": "function", "function": {"name": "weather"}}]

    complete(world, tools=tools, temperature=0)

    (prompt,) = world.model.prompts
    assert (prompt.model, prompt.messages) == ("large", MESSAGES)
    assert prompt.options == {"tools": tools, "temperature": 0}
    assert prompt.request_id == "req_1"


def test_nothing_is_remembered_but_the_bill(world: World):
    complete(world)

    assert world.texts() == []
    assert world.final().session_id is None
    assert world.journal.settled[0].turn is None


def test_the_answer_names_who_gave_it(world: World):
    answer = complete(world, "large")

    assert (answer.model, answer.request_id, answer.attempts) == ("acme/large", "req_1", 1)
    assert answer.created_at == world.clock.now()
    assert world.final().model_requested == "large"


def test_a_parameter_that_the_provider_does_not_document_is_refused_by_name(world: World):
    with pytest.raises(UnsupportedParameter, match="logit_bias") as refusal:
        complete(world, temperature=1, logit_bias={})

    assert refusal.value.param == "logit_bias"
    assert (world.model.prompts, world.journal.opened) == ([], [])


def test_an_unknown_model_is_unknown(world: World):
    with pytest.raises(UnknownModel):
        complete(world, "acme/none")


def test_a_bare_name_that_two_providers_have_is_unknown():
    world = World(None, a_deployment(ScriptedModel("Hi"), "other/large"))

    with pytest.raises(UnknownModel):
        complete(world, "large")


def test_a_model_outside_the_key_is_refused_also_by_its_bare_name(world: World):
    for name in ("acme/large", "large"):
        with pytest.raises(ModelNotAllowed):
            complete(world, name, a_principal(models=("other/*",)))


def test_a_viewer_may_not_spend_money(world: World):
    with pytest.raises(Forbidden):
        complete(world, principal=a_principal(role=Role.VIEWER))


def test_a_stream_is_refused_like_a_call(world: World):
    with pytest.raises(UnsupportedParameter):
        world.completions.stream(
            a_principal(), CompletionOrder(("acme/large",), MESSAGES, {"x": 1}), world.call(streamed=True)
        )


def test_no_transaction_is_open_while_a_model_works(world: World):
    seen = []
    world.script(lambda: seen.append(world.begin.open), "Hello")

    complete(world)

    assert seen == [0]


def test_the_fake_model_notices_an_open_transaction(world: World):
    with world.begin(), pytest.raises(AssertionError, match="transaction is open"):
        complete(world)
