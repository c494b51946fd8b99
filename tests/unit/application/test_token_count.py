import pytest

from application.completions import CompletionOrder
from application.token_count import TokenCountService
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
    return world.token_counts.count(caller, order)


def test_what_the_model_reads_is_counted_and_nothing_is_called():
    world = World()

    assert count(world) == tokens.estimate_messages(MESSAGES)
    assert count(world, tools=TOOLS) == tokens.estimate_prompt(MESSAGES, [TOOLS])
    assert count(world, top_k=1) == count(world)
    assert world.model.prompts == []


class WordsCounted:
    def count(self, model, text):
        return len(text.split()) if model == "acme/large" else 0

    def method(self, model):
        return "words"


def test_texts_are_counted_as_the_models_tokenizer_counts_them():
    world = World()
    service = TokenCountService(world.router, WordsCounted())
    order = CompletionOrder(("acme/large",), [{"role": "user", "content": "one two three"}])
    said = [{"type": "text", "text": "one two"}, {"type": "image_url", "image_url": {"url": "data:"}}]

    alone = service.count(a_principal(), order)
    with_image = service.count(a_principal(), CompletionOrder(("acme/large",), [{"role": "user", "content": said}]))

    assert alone == 3 + 4
    assert with_image == 2 + 4 + 765


def test_whoever_may_not_call_a_model_may_not_count_for_it():
    world = World()

    with pytest.raises(UnknownModel):
        count(world, model="acme/none")
    with pytest.raises(ModelNotAllowed):
        count(world, a_principal(scopes=frozenset({Scope.CHAT}), models=("acme/other",)))
    with pytest.raises(Forbidden):
        count(world, a_principal(scopes=frozenset({Scope.USAGE_READ})))
