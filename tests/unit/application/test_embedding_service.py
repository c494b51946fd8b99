from dataclasses import dataclass, field, replace

import pytest

from application.cancellation import Attempt, Cancellation
from application.embeddings import EmbeddingOrder, EmbeddingService
from application.guardrails import Rule
from application.model_ports import Choice, Plan
from domain import tokens
from domain.embedding import EmbeddingPrompt, Embeddings, as_messages, packed
from domain.errors import Forbidden, GuardrailBlocked, ModelNotAllowed, UnknownModel, UnsupportedParameter
from domain.guardrail import MASK, Action, Side, Span
from domain.ledger import State
from domain.limits import Bound, Budget, Kind, Limits, Unit, Window
from domain.provider_errors import UpstreamFailed
from domain.usage import Source, Usage
from domain.user import Scope
from tests.builders import a_deployment, a_principal
from tests.fakes import MemoryModels
from tests.world import World

TEXTS = ["one", "two"]
COUNTED = Usage(input=7, source=Source.PROVIDER)


@dataclass
class ScriptedEmbedder:
    """Makes vectors that hold the length of their text, or raises."""

    usage: Usage | None = COUNTED
    error: Exception | None = None
    owed: Usage | None = None
    begin: object = None
    prompts: list[EmbeddingPrompt] = field(default_factory=list)

    def embed(self, prompt: EmbeddingPrompt, cancellation: Cancellation) -> Embeddings:
        assert self.begin.open == 0, "a transaction is open while a model works"
        cancellation.attempts.append(Attempt("acme", f"acme/{prompt.model}", 0.0))
        self.prompts.append(prompt)
        if self.error is not None:
            cancellation.counted = self.owed
            raise self.error
        return Embeddings([packed([float(len(text))]) for text in prompt.inputs], self.usage, prompt.model)


@pytest.fixture
def embedder(world: World) -> ScriptedEmbedder:
    return ScriptedEmbedder(begin=world.begin)


@pytest.fixture
def service(world: World, embedder: ScriptedEmbedder) -> EmbeddingService:
    able = replace(a_deployment(world.model), embedder=embedder)
    world.models = MemoryModels(able, a_deployment(world.model, "other/chatty"))
    return EmbeddingService(replace(world.router, models=world.models), world.generations)


def embed(world: World, service: EmbeddingService, model: str = "acme/large", principal=None, **fields):
    order = EmbeddingOrder(model, fields.pop("inputs", TEXTS), **fields)
    return service.embed(principal or a_principal(), order, world.call())


def test_each_input_has_its_vector_and_the_answer_says_who_made_them(world, service, embedder):
    answer = embed(world, service, dimensions=1, user="ada")

    assert list(answer.result.vectors) == [packed([3.0]), packed([3.0])]
    assert (answer.model, answer.request_id, answer.attempts) == ("acme/large", "req_1", 1)
    assert embedder.prompts == [EmbeddingPrompt("large", TEXTS, 1, "ada", "req_1")]


def test_what_the_provider_counted_is_billed_once(world, service):
    answer = embed(world, service)
    final = world.final()

    assert (answer.usage, answer.cost) == (COUNTED, 7)
    assert (final.usage, final.charged, final.state) == (COUNTED, 7, State.COMPLETED)


def test_what_nobody_counted_is_estimated_from_the_inputs(world, service, embedder):
    embedder.usage = None
    usage = embed(world, service, inputs=["x" * 400, [1, 2, 3]]).usage

    assert usage.source is Source.ESTIMATED
    assert usage.input == tokens.estimate_messages(as_messages(["x" * 400, [1, 2, 3]]))
    assert usage.output == 0


def test_no_output_is_reserved_for(world, service):
    needed = tokens.estimate_messages(as_messages(TEXTS))
    limited = a_principal(bounds=(Bound(Kind.KEY, "key_1", Limits(budgets=(Budget(Unit.MONEY, Window.DAY, needed),))),))
    embed(world, service, principal=limited)
    (opened,) = world.journal.opened

    assert opened.prompt_tokens == needed


def test_a_failure_before_anything_was_made_costs_nothing(world, service, embedder):
    embedder.error = UpstreamFailed()

    with pytest.raises(UpstreamFailed) as caught:
        embed(world, service)

    assert caught.value.provider == "acme"
    assert (world.final().state, world.final().charged, world.final().error_code) == (State.FAILED, 0, "upstream_error")


def test_a_failure_in_the_middle_is_billed_for_what_was_made(world, service, embedder):
    embedder.error, embedder.owed = UpstreamFailed(), Usage(input=5, source=Source.PROVIDER)

    with pytest.raises(UpstreamFailed):
        embed(world, service)

    assert (world.final().state, world.final().charged) == (State.PARTIAL, 5)
    assert world.final().usage == embedder.owed


def test_what_is_owed_in_part_is_made_by_nobody_else(world, embedder):
    embedder.error, embedder.owed = UpstreamFailed(), Usage(input=5, source=Source.PROVIDER)
    second = ScriptedEmbedder(begin=world.begin)

    with pytest.raises(UpstreamFailed):
        embed(world, served_by(world, embedder, second))

    assert second.prompts == []


def test_another_deployment_answers_when_nothing_was_made(world, embedder):
    embedder.error = UpstreamFailed()
    second = ScriptedEmbedder(begin=world.begin)

    assert embed(world, served_by(world, embedder, second)).model == "acme/second"


def served_by(world: World, *embedders: ScriptedEmbedder) -> EmbeddingService:
    """Embeddings of a plan with `acme/first` and `acme/second`."""
    ids = ("acme/first", "acme/second")
    made = [replace(a_deployment(world.model, id_), embedder=it) for id_, it in zip(ids, embedders, strict=True)]
    plan = Plan("acme/both", tuple(map(Choice, made)))
    return EmbeddingService(OnlyPlan(plan), world.generations)


@dataclass(frozen=True)
class OnlyPlan:
    """A router that has one plan."""

    only: Plan

    def offering(self, *_: object, **__: object) -> Plan:
        return self.only


def test_a_model_without_embeddings_is_refused_before_anything_is_reserved(world, service):
    with pytest.raises(UnsupportedParameter) as refusal:
        embed(world, service, "other/chatty")

    assert refusal.value.param == "model"
    assert world.journal.opened == []


def test_who_may_not_is_refused(world, service):
    with pytest.raises(Forbidden):
        embed(world, service, principal=a_principal(scopes=frozenset({Scope.CHAT})))
    with pytest.raises(ModelNotAllowed):
        embed(world, service, principal=a_principal(models=("other/*",)))
    with pytest.raises(UnknownModel):
        embed(world, service, "acme/none")
    assert world.journal.opened == []


def a_rule(action: Action) -> Rule:
    return Rule("no-one", lambda text: [Span(0, 3)] if text == "one" else [], action, frozenset({Side.INPUT}))


def test_what_a_guardrail_takes_out_never_reaches_the_provider(world, service, embedder):
    world.guardrails.use([a_rule(Action.MASK)])

    embed(world, service)

    assert list(embedder.prompts[0].inputs) == [MASK, "two"]


def test_what_a_guardrail_takes_out_of_the_user_never_reaches_the_provider_either(world, service, embedder):
    world.guardrails.use([a_rule(Action.MASK)])

    embed(world, service, user="one")
    embed(world, service, user="two")

    assert [prompt.user for prompt in embedder.prompts] == [MASK, "two"]


def test_inputs_are_looked_at_each_for_itself(world, service, embedder):
    find = lambda text: [Span(at, at + 6)] if (at := text.find("onetwo")) >= 0 else []  # noqa: E731 - a matcher
    world.guardrails.use([Rule("no-one", find, Action.BLOCK, frozenset({Side.INPUT}))])

    embed(world, service, inputs=["one", "two"])

    assert list(embedder.prompts[0].inputs) == ["one", "two"]


def test_tokens_cannot_be_looked_at_so_that_a_closed_rule_blocks_them(world, service, embedder):
    world.guardrails.use([a_rule(Action.NOTE)])

    with pytest.raises(GuardrailBlocked):
        embed(world, service, inputs=["two", (1, 2, 3)])

    world.guardrails.use([replace(a_rule(Action.NOTE), closed=False)])
    embed(world, service, inputs=["two", (1, 2, 3)])
    assert [list(prompt.inputs) for prompt in embedder.prompts] == [["two", (1, 2, 3)]]
