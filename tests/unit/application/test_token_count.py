import pytest

from application.completions import CompletionOrder
from application.token_count import count_tokens
from domain import tokens
from domain.errors import Forbidden, ModelNotAllowed, UnknownModel
from domain.user import Scope
from tests.builders import a_principal
from tests.world import World

MESSAGES = [{"role": "user", "content": "Hello"}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def count(world, principal=None, model="acme/large", **options):
    order = CompletionOrder((model,), MESSAGES, options)
    caller = principal or a_principal(scopes=frozenset({Scope.CHAT}))
    return count_tokens(caller, order, world.router)


def test_what_the_model_reads_is_counted_and_nothing_is_called():
    world = World()

    assert count(world) == tokens.estimate_messages(MESSAGES)
    assert count(world, tools=TOOLS) == tokens.estimate_prompt(MESSAGES, [TOOLS])
    assert count(world, top_k=1) == count(world)
    assert world.model.prompts == []


def test_whoever_may_not_call_a_model_may_not_count_for_it():
    world = World()

    with pytest.raises(UnknownModel):
        count(world, model="acme/none")
    with pytest.raises(ModelNotAllowed):
        count(world, a_principal(scopes=frozenset({Scope.CHAT}), models=("acme/other",)))
    with pytest.raises(Forbidden):
        count(world, a_principal(scopes=frozenset({Scope.USAGE_READ})))
