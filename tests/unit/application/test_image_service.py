"""Images made while the caller waits: whatever happens, nobody pays for what nobody can get."""

from contextlib import nullcontext
from dataclasses import replace
from hashlib import sha256

import pytest

from application.guardrails import Rule
from application.images import ImageOrder
from application.model_ports import Choice, Plan
from domain.completion import ModelCard
from domain.errors import (
    ClientGone,
    DatabaseBusy,
    Forbidden,
    GuardrailBlocked,
    KeyRevoked,
    ModelNotAllowed,
    StorageFull,
    UnknownModel,
    UnsupportedParameter,
)
from domain.guardrail import MASK, Action, Side, Span
from domain.ledger import State
from domain.provider_errors import UpstreamBadContent, UpstreamFailed
from domain.stored_file import Purpose
from domain.usage import Price, PriceBook, Source, Usage
from domain.user import Role, Scope
from tests.builders import a_deployment, a_principal, a_user
from tests.fakes import MemoryModels, ScriptedModel
from tests.world import World

PER_IMAGE = PriceBook("v2", {"acme/large": Price(0, 0, image=40_000_000)})


def make(world: World, principal=None, **fields):
    order = ImageOrder(**{"model": "acme/large", "text": "a cat", **fields})
    return world.images.make(principal or a_principal(), order, world.call())


def test_what_was_ordered_reaches_the_provider_in_its_own_words(world: World):
    make(world, count=2, size="64x64", options={"quality": "high"}, user="somebody")

    (prompt,) = world.painter.prompts
    assert (prompt.model, prompt.text, prompt.count, prompt.size) == ("large", "a cat", 2, "64x64")
    assert (prompt.options, prompt.user, prompt.request_id) == ({"quality": "high"}, "somebody", "req_1")


def test_every_image_is_kept_as_a_file_of_the_caller(world: World):
    answer = make(world, count=2)

    stored = sorted(world.begin.rows.files.values(), key=lambda it: it.id)
    assert [it.file for it in answer.result.images] == stored
    for kept in answer.result.images:
        file = kept.file
        assert world.blobs.kept[file.blob][0] == kept.image.content
        assert (file.user_id, file.purpose, file.media_type) == ("usr_1", Purpose.IMAGE, "image/png")
        assert (file.size, file.sha256) == (len(kept.image.content), sha256(kept.image.content).hexdigest())
        assert (file.name, file.request_id, file.created_at) == (f"{file.id}.png", "req_1", world.clock.now())


def test_it_is_paid_by_the_piece_where_the_model_has_such_a_price(world: World):
    world.prices.book = PER_IMAGE

    answer = make(world, count=3)

    assert (answer.usage.images, answer.cost) == (3, 120_000_000)
    final = world.final()
    assert (final.state, final.usage.images, final.charged) == (State.COMPLETED, 3, 120_000_000)
    assert (answer.model, answer.request_id, answer.attempts) == ("acme/large", "req_1", 1)
    assert answer.started_at == world.clock.now()


def test_fewer_than_ordered_are_paid_as_what_they_are(world: World):
    world.prices.book = PER_IMAGE
    world.painter.fewer = 1

    answer = make(world, count=3)

    assert (len(answer.result.images), answer.usage.images, answer.cost) == (2, 2, 80_000_000)


def test_what_nobody_counted_is_counted_by_its_images(world: World):
    world.painter.counted = False

    assert make(world, count=2).usage == Usage(images=2, source=Source.ESTIMATED)


def test_a_budget_holds_what_the_images_may_cost_whoever_makes_them(world: World):
    painters = [
        replace(a_deployment(ScriptedModel(), id_), images=world.painter, card=ModelCard("x", None, most, ("images",)))
        for id_, most in (("acme/small", None), ("acme/large", 6_240))
    ]
    models = MemoryModels(*painters)
    models.named["both"] = Plan("both", tuple(Choice(at, tier) for tier, at in enumerate(painters)))
    studio = replace(world.studio, router=replace(world.router, models=models))

    order = studio.order(a_principal(), ImageOrder("both", "a cat", count=2))

    assert (order.images, order.output_tokens) == (2, 12_480)


def test_an_answer_without_an_image_is_none(world: World):
    world.painter.fewer = 1

    with pytest.raises(UpstreamBadContent):
        make(world)

    assert world.final().state is State.FAILED


def test_a_failure_costs_nothing_and_keeps_nothing(world: World):
    world.painter.play(UpstreamFailed())

    with pytest.raises(UpstreamFailed):
        make(world)

    final = world.final()
    assert (final.state, final.charged, final.error_code) == (State.FAILED, 0, "upstream_error")
    assert (world.begin.rows.files, world.blobs.kept) == ({}, {})


def test_what_the_provider_bills_is_in_the_ledger_although_the_client_left(world: World):
    world.prices.book = PER_IMAGE

    def leave():
        (cancellation,) = world.painter.cancellations
        cancellation.counted = Usage(images=1, source=Source.ESTIMATED)
        cancellation.cancel(ClientGone())

    world.painter.play(leave)
    with pytest.raises(ClientGone):
        make(world)

    final = world.final()
    assert (final.state, final.usage.images, final.charged) == (State.PARTIAL, 1, 40_000_000)
    assert world.begin.rows.files == {}


def test_nothing_is_bought_that_there_is_no_room_for(world: World):
    world.blobs.full = StorageFull()

    with pytest.raises(StorageFull):
        make(world)

    assert (world.painter.prompts, world.journal.opened) == ([], [])


def test_what_cannot_be_kept_is_not_charged(world: World):
    world.prices.book = PER_IMAGE

    def fill():
        world.painter.cancellations[0].counted = Usage(images=1, source=Source.PROVIDER)
        world.blobs.full = StorageFull()

    world.painter.play(fill)
    with pytest.raises(StorageFull):
        make(world)

    final = world.final()
    assert (final.state, final.charged, final.error_code) == (State.FAILED, 0, "storage_full")
    assert world.begin.rows.files == {}


class Busy:
    """A store that is so many times, once somebody was asked for images."""

    def __init__(self, world: World, times: int) -> None:
        self.world, self.times = world, times

    def __call__(self):
        if self.times and self.world.painter.prompts:
            self.times -= 1
            raise DatabaseBusy
        return self.world.begin()


@pytest.mark.parametrize(("times", "kept"), [(2, 2), (3, 0)])
def test_images_that_were_bought_are_not_given_up_for_a_busy_store(world: World, times: int, kept: int):
    world.images = replace(world.images, studio=replace(world.studio, begin=Busy(world, times)))

    with nullcontext() if kept else pytest.raises(DatabaseBusy):
        assert len(make(world, count=2).result.images) == kept

    assert len(world.begin.rows.files) == kept
    assert len(world.painter.prompts) == 1


@pytest.mark.parametrize("gone", ["erased", "unknown"])
def test_who_was_erased_meanwhile_gets_no_new_files(world: World, gone: str):
    def erase():
        if gone == "unknown":
            world.begin.rows.users.clear()
        else:
            world.begin.rows.users["usr_1"] = a_user(disabled=True)

    world.painter.play(erase)
    with pytest.raises(KeyRevoked):
        make(world)

    assert world.begin.rows.files == {}
    assert world.final().charged == 0


def test_a_guardrail_is_asked_like_for_chat(world: World):
    def finds(word: str):
        return lambda text: [Span(at, at + len(word))] if (at := text.find(word)) >= 0 else []

    sides = frozenset({Side.INPUT})
    world.guardrails.use(
        [Rule("cats", finds("cat"), Action.BLOCK, sides), Rule("places", finds("address"), Action.MASK, sides)]
    )

    with pytest.raises(GuardrailBlocked):
        make(world, text="a cat")
    with pytest.raises(GuardrailBlocked):
        make(world, text="a dog", options={"quality": "of a cat"})
    make(world, text="my address", options={"quality": "no address"})

    assert [(prompt.text, prompt.options) for prompt in world.painter.prompts] == [
        (f"my {MASK}", {"quality": f"no {MASK}"})
    ]


def test_what_a_guardrail_takes_out_of_the_user_never_reaches_the_provider(world: World):
    world.guardrails.use(
        [Rule("people", lambda text: [Span(0, 3)] if text == "ada" else [], Action.MASK, frozenset(Side))]
    )

    make(world, user="ada", options={"quality": "high"})

    assert [(prompt.user, prompt.options) for prompt in world.painter.prompts] == [(MASK, {"quality": "high"})]


def no_cats(action: Action):
    return [Rule("cats", lambda text: [Span(2, 5)] if "cat" in text else [], action, frozenset({Side.OUTPUT}))]


def test_what_a_provider_made_of_the_prompt_is_looked_at(world: World):
    world.painter.revised = "a cat"
    world.guardrails.use(no_cats(Action.MASK))

    (kept,) = make(world).result.images

    assert kept.image.revised_prompt == f"a {MASK}"


@pytest.mark.parametrize("counted", [True, False])
def test_images_that_a_guardrail_holds_back_are_paid_and_not_kept(world: World, counted: bool):
    world.painter.revised, world.painter.counted = "a cat", counted
    world.guardrails.use(no_cats(Action.BLOCK))

    with pytest.raises(GuardrailBlocked):
        make(world)

    assert world.begin.rows.files == {}
    assert (world.final().usage.images, world.final().error_code) == (1, "guardrail_blocked")


def test_a_model_that_makes_no_images_is_refused_by_name():
    world = World(None, a_deployment(ScriptedModel(), "acme/words"))

    with pytest.raises(UnsupportedParameter) as refusal:
        make(world, model="acme/words")
    with pytest.raises(UnknownModel):
        make(world, model="acme/none")

    assert "images" in refusal.value.message


def test_a_parameter_that_nobody_documents_is_refused_by_name_before_anything_is_paid(world: World):
    with pytest.raises(UnsupportedParameter) as refusal:
        make(world, options={"quality": "high", "warp_factor": 9})

    assert refusal.value.param == "warp_factor"
    assert (world.painter.prompts, world.journal.opened) == ([], [])


@pytest.mark.parametrize(
    ("principal", "error"),
    [
        (a_principal(role=Role.VIEWER), Forbidden),
        (a_principal(scopes=frozenset({Scope.CHAT, Scope.FILES})), Forbidden),
        (a_principal(team_id="team_1"), Forbidden),
        (a_principal(models=("other/*",)), ModelNotAllowed),
    ],
)
def test_who_may_not_make_images_makes_none(world: World, principal, error):
    with pytest.raises(error):
        make(world, principal)

    assert (world.painter.prompts, world.journal.opened) == ([], [])


def test_a_jpeg_has_the_name_of_one(world: World):
    make_one = world.painter.make

    def jpeg(*given):
        images = make_one(*given)
        return replace(images, images=[replace(images.images[0], media_type="image/jpeg")])

    world.painter.make = jpeg

    assert make(world).result.images[0].file.name.endswith(".jpg")
