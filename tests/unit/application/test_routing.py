"""Who may answer a call, and in which order they are tried."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from application.model_ports import Choice, Deployment, Plan, plan_of
from application.routing import Router
from domain.completion import ModelCard
from domain.errors import ModelNotAllowed, UnknownModel, UnsupportedParameter
from tests.builders import OPTIONS, a_deployment, a_principal
from tests.fakes import ScriptedModel

ANYBODY = a_principal()
IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}


@dataclass(frozen=True)
class FixedHealth:
    waits: float = 0.0
    took: float | None = None

    def wait(self) -> float:
        return self.waits

    def latency(self) -> float | None:
        return self.took


@dataclass
class Named:
    """`Models` that know plans by name, and every deployment by its id."""

    plans: dict[str, Plan]

    def resolve(self, model: str) -> Plan:
        if model in self.plans:
            return self.plans[model]
        for plan in self.plans.values():
            for deployment in plan.deployments:
                if deployment.id == model:
                    return plan_of(deployment)
        raise UnknownModel(param="model")

    def default(self, provider: str | None = None) -> str:
        raise UnknownModel

    def listed(self) -> Sequence[tuple[str, ModelCard]]:
        return ()

    def routes(self) -> Sequence[Plan]:
        return ()


def at(id_: str, *, waits: float = 0.0, took: float | None = None, **fields: Any) -> Deployment:
    deployment = a_deployment(ScriptedModel(), id_, options=fields.pop("options", OPTIONS))
    return replace(deployment, health=FixedHealth(waits, took), **fields)


def a_plan(*tiers: Deployment | list[Deployment | Choice], name: str = "careful", **fields: Any) -> Plan:
    choices: list[Choice] = []
    for tier, equals in enumerate(tiers):
        listed = equals if isinstance(equals, list) else [equals]
        choices += [replace(it, tier=tier) if isinstance(it, Choice) else Choice(it, tier) for it in listed]
    return Plan(name, tuple(choices), **fields)


def a_router(*plans: Plan) -> Router:
    return Router(Named({plan.name: plan for plan in plans}), Random(7).random)  # noqa: S311 - chance, no secret


def ids(plan: Plan) -> list[str]:
    return [choice.deployment.id for choice in plan.choices]


# ── tiers and equals ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_of_one_deployment_is_its_own_plan():
    plan = plan_of(at("acme/large"))

    assert a_router(plan).plan(ANYBODY, ("acme/large",), {}) is plan


def test_tiers_are_tried_in_their_order():
    plan = a_plan(at("a/x"), at("b/x"), at("c/x"))

    assert ids(a_router(plan).plan(ANYBODY, ("careful",), {})) == ["a/x", "b/x", "c/x"]


def test_equals_with_weights_are_first_as_often_as_their_share():
    router = a_router(a_plan([Choice(at("a/x"), weight=3), at("b/x")]))
    first = Counter(ids(router.plan(ANYBODY, ("careful",), {}))[0] for _ in range(2_000))

    assert first["a/x"] / 2_000 == pytest.approx(0.75, abs=0.04)


def test_equals_without_weights_are_tried_by_their_latency():
    router = a_router(a_plan([at("a/x", took=0.9), at("b/x", took=0.1)], at("c/x", took=0.01)))

    assert ids(router.plan(ANYBODY, ("careful",), {})) == ["b/x", "a/x", "c/x"]


def test_equals_of_which_nothing_is_known_share():
    equals = [a_deployment(ScriptedModel(), f"{name}/x") for name in "ab"]
    router = a_router(a_plan([*equals]))

    assert {ids(router.plan(ANYBODY, ("careful",), {}))[0] for _ in range(50)} == {"a/x", "b/x"}


def test_who_is_not_worth_calling_goes_last_in_its_tier_and_stays():
    plan = a_plan([at("a/x", waits=9, took=0.1), at("b/x", took=0.9)], at("c/x"))

    assert ids(a_router(plan).plan(ANYBODY, ("careful",), {})) == ["b/x", "a/x", "c/x"]


def test_the_same_affinity_goes_to_the_same_equal_and_all_of_them_get_some():
    router = a_router(a_plan([at("a/x", took=0.1), at("b/x", took=0.9), at("c/x")]))
    orders = {
        f"sess_{n}": {tuple(ids(router.plan(ANYBODY, ("careful",), {}, affinity=f"sess_{n}"))) for _ in range(3)}
        for n in range(60)
    }

    assert all(len(found) == 1 for found in orders.values())
    assert {order[0] for found in orders.values() for order in found} == {"a/x", "b/x", "c/x"}


@pytest.mark.parametrize("plan", [a_plan(at("a/x")), a_plan([at("a/x"), at("b/x")])], ids=["one", "two"])
def test_the_plan_tells_the_affinity_for_the_credentials(plan):
    assert a_router(plan).plan(ANYBODY, ("careful",), {}, affinity="sess_1").affinity == "sess_1"
    assert a_router(plan).plan(ANYBODY, ("careful",), {}).affinity == ""


def test_what_is_tried_after_an_error_is_ordered_too():
    instead = {"context_length": a_plan([at("a/x", took=0.9), at("b/x", took=0.1)]).choices}
    plan = a_router(a_plan(at("c/x"), instead=instead)).plan(ANYBODY, ("careful",), {})

    assert [choice.deployment.id for choice in plan.instead["context_length"]] == ["b/x", "a/x"]


def test_several_names_are_tried_one_after_the_other():
    first, second = a_plan(at("a/x"), at("b/x"), name="first"), a_plan([at("b/x"), at("c/x")], name="second")
    plan = a_router(first, second).plan(ANYBODY, ("first", "second"), {})

    assert ids(plan)[:2] == ["a/x", "b/x"]
    assert [(choice.deployment.id, choice.tier) for choice in plan.choices] == [("a/x", 0), ("b/x", 1), ("c/x", 2)]
    assert plan.name == "first"


def test_of_several_names_the_first_one_that_has_an_answer_to_an_error_is_asked():
    mine, theirs = (a_plan(at(f"{name}/long")).choices for name in "ab")
    first = a_plan(at("a/x"), name="first", instead={"context_length": mine}, continues=True)
    second = a_plan(at("b/x"), name="second", instead={"context_length": theirs, "rate_limit": theirs})
    plan = a_router(first, second).plan(ANYBODY, ("first", "second"), {})

    assert {error: choices[0].deployment.id for error, choices in plan.instead.items()} == {
        "context_length": "a/long",
        "rate_limit": "b/long",
    }
    assert plan.continues


def test_a_name_that_nobody_knows_is_refused_wherever_it_stands():
    with pytest.raises(UnknownModel):
        a_router(a_plan(at("a/x"))).plan(ANYBODY, ("careful", "nobody/x"), {})


# ── rights ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_who_may_use_a_route_may_use_all_that_it_leads_to():
    router = a_router(a_plan(at("a/x"), at("b/x")))

    assert ids(router.plan(a_principal(models=("careful",)), ("careful",), {})) == ["a/x", "b/x"]


@pytest.mark.parametrize(("models", "left"), [(("b/x",), ["b/x"]), (("a/*",), ["a/x"])])
def test_others_are_led_only_to_what_they_may_use(models, left):
    instead = {"context_length": a_plan(at("a/long"), at("b/x")).choices}
    plan = a_router(a_plan(at("a/x"), at("b/x"), instead=instead)).plan(a_principal(models=models), ("careful",), {})

    assert ids(plan) == left
    assert {choice.deployment.provider for choice in plan.instead["context_length"]} == {left[0][0]}


def test_who_may_use_nothing_of_it_is_refused_by_its_name():
    router = a_router(a_plan(at("a/x"), at("b/x")))

    with pytest.raises(ModelNotAllowed, match="careful"):
        router.plan(a_principal(models=("c/x",)), ("careful",), {})
    with pytest.raises(ModelNotAllowed, match="a/x"):
        router.plan(a_principal(models=("careful",)), ("a/x",), {})


def test_of_several_names_those_that_are_not_allowed_drop_out():
    router = a_router(a_plan(at("a/x"), name="one"), a_plan(at("b/x"), name="two"))

    assert ids(router.plan(a_principal(models=("two",)), ("one", "two"), {})) == ["b/x"]


# ── what deployments can do ──────────────────────────────────────────────────────────────────────────────────────


def test_who_does_not_document_an_option_drops_out():
    router = a_router(a_plan(at("a/x", options=("stop",)), at("b/x")))

    assert ids(router.plan(ANYBODY, ("careful",), {"seed": 7})) == ["b/x"]


def test_an_option_that_nobody_documents_is_named_with_the_first_provider():
    router = a_router(a_plan(at("a/x", options=("stop",)), at("b/x", options=("seed",))))

    with pytest.raises(UnsupportedParameter, match="a does not document the parameter seed") as caught:
        router.plan(ANYBODY, ("careful",), {"seed": 7, "stop": "x"})
    assert caught.value.param == "seed"


def test_a_wish_to_reason_keeps_nobody_out():
    router = a_router(a_plan(at("a/x", options=())))
    wish = {"reasoning_effort": "high", "thinking": {"type": "enabled", "budget_tokens": 2_000}}

    assert ids(router.plan(ANYBODY, ("careful",), wish)) == ["a/x"]


@pytest.mark.parametrize(
    ("options", "messages", "param", "words"),
    [
        ({"tools": [{}]}, [], "tools", "a/x does not support tools"),
        ({"response_format": {"type": "json_schema"}}, [], "response_format", "a JSON schema"),
        ({}, [IMAGE], "messages", "images"),
    ],
)
def test_who_is_known_not_to_be_able_drops_out_and_if_all_are_it_is_said(options, messages, param, words):
    documented = (*OPTIONS, "response_format")
    poor = at("a/x", options=documented, card=ModelCard("x", capabilities=("chat", "reasoning")))
    rich = at("b/x", options=documented, card=ModelCard("x", capabilities=("tools", "json_schema", "vision")))
    silent = at("c/x", options=documented)

    both = a_router(a_plan(poor, rich, silent)).plan(ANYBODY, ("careful",), options, messages=messages)
    assert ids(both) == ["b/x", "c/x"]
    with pytest.raises(UnsupportedParameter, match=words) as caught:
        a_router(a_plan(poor)).plan(ANYBODY, ("careful",), options, messages=messages)
    assert caught.value.param == param


def test_who_does_not_fit_is_not_tried_after_an_error_either():
    instead = {"context_length": a_plan(at("b/long", options=()), at("c/long")).choices}
    plan = a_router(a_plan(at("a/x"), instead=instead)).plan(ANYBODY, ("careful",), {"seed": 7})

    assert [choice.deployment.id for choice in plan.instead["context_length"]] == ["c/long"]


# ── other things than chat ───────────────────────────────────────────────────────────────────────────────────────


class Vectors:
    def embed(self, prompt: Any, cancellation: Any) -> Any:
        raise NotImplementedError


def test_only_who_offers_it_is_asked():
    able = at("b/x", embedder=Vectors())
    router = a_router(a_plan(at("a/x"), able))

    plan = router.offering(ANYBODY, "careful", lambda deployment: deployment.embedder, "embeddings")

    assert ids(plan) == ["b/x"]


def test_when_nobody_offers_it_the_first_provider_is_named():
    router = a_router(a_plan(at("a/x"), at("b/x")))

    with pytest.raises(UnsupportedParameter, match="a does not offer embeddings") as caught:
        router.offering(ANYBODY, "careful", lambda deployment: deployment.embedder, "embeddings")
    assert caught.value.param == "model"


def test_who_may_not_use_a_model_hears_no_other_name_of_it_than_his_own():
    bare = a_plan(at("a/x"))
    router = Router(Named({"x": replace(bare, name="a/x")}), lambda: 0.0)

    with pytest.raises(ModelNotAllowed) as caught:
        router.plan(a_principal(models=("c/x",)), ("x",), {})

    assert "a/x" not in caught.value.message


def test_rights_count_for_it_as_well():
    router = a_router(a_plan(at("a/x", embedder=Vectors())))

    with pytest.raises(ModelNotAllowed):
        router.offering(a_principal(models=("b/x",)), "careful", lambda it: it.embedder, "embeddings")
