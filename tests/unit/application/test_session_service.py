import pytest

from application.model_ports import Choice, Plan
from application.sessions import SessionDraft
from domain.errors import Forbidden, KeyRevoked, ModelNotAllowed, NotFound, UnknownModel
from domain.session import SessionConfig
from domain.user import Role
from tests.builders import a_deployment, a_history, a_principal, a_user
from tests.fakes import ScriptedModel
from tests.world import World

ADA, EVE = a_principal(), a_principal(user_id="usr_2")


@pytest.fixture
def world() -> World:
    small, tiny = (a_deployment(ScriptedModel("Hi"), model) for model in ("acme/small", "other/tiny"))
    return World(None, small, tiny)


def model_of(world: World, **draft) -> str:
    return world.sessions.open(ADA, SessionDraft(**draft)).model_id


def test_a_session_that_names_nothing_uses_the_default_model(world: World):
    session = world.sessions.open(ADA, SessionDraft())

    assert (session.model_id, session.title, session.config) == ("acme/large", "", SessionConfig())
    assert (session.created_at, session.message_count) == (world.clock.now(), 0)
    assert world.sessions.get(ADA, session.id) == session


@pytest.mark.parametrize(
    ("draft", "model"),
    [
        ({"model": "acme/small"}, "acme/small"),
        ({"model": "small"}, "acme/small"),
        ({"ai_provider": "other"}, "other/tiny"),
        ({"ai_provider": "other", "model": "tiny"}, "other/tiny"),
        ({"ai_provider": "other", "model": "other/tiny"}, "other/tiny"),
    ],
)
def test_a_model_is_found_by_provider_by_name_or_by_both(world: World, draft: dict, model: str):
    assert model_of(world, **draft) == model


@pytest.mark.parametrize("draft", [{"ai_provider": "nobody"}, {"ai_provider": "other", "model": "large"}])
def test_what_no_provider_has_is_unknown(world: World, draft: dict):
    with pytest.raises(UnknownModel):
        model_of(world, **draft)


def test_a_session_with_a_model_outside_the_key_is_refused(world: World):
    with pytest.raises(ModelNotAllowed):
        world.sessions.open(a_principal(models=("other/*",)), SessionDraft(model="acme/large"))


@pytest.mark.parametrize(
    ("models", "chosen"),
    [
        (("other/*",), "other/tiny"),
        (("other/tiny", "acme/small"), "other/tiny"),
        (("acme/small", "acme/large"), "acme/large"),
        (("acme/*",), "acme/large"),
    ],
)
def test_a_key_that_may_not_use_the_default_model_uses_the_first_that_it_may(
    world: World, models: tuple[str, ...], chosen: str
):
    assert world.sessions.open(a_principal(models=models), SessionDraft()).model_id == chosen


def test_nothing_is_opened_for_a_user_who_is_going(world: World):
    world.begin.rows.users["usr_1"] = a_user(disabled=True)

    with pytest.raises(KeyRevoked):
        world.sessions.open(ADA, SessionDraft())


@pytest.mark.parametrize("models", [(), ("careful",), ("other/*",)])
def test_a_session_may_be_with_a_route(world: World, models: tuple[str, ...]):
    choices = tuple(map(Choice, (world.models.resolve("acme/small").first, world.models.resolve("other/tiny").first)))
    world.models.named["careful"] = Plan("careful", choices)
    session = world.sessions.open(a_principal(models=models), SessionDraft(model="careful"))

    assert (session.provider, session.model, session.model_id) == ("", "careful", "careful")
    with pytest.raises(ModelNotAllowed):
        world.sessions.open(a_principal(models=("nobody/*",)), SessionDraft(model="careful"))


def test_pages_go_from_new_to_old_and_hold_no_foreign_session(world: World):
    world.begin.rows.sessions.clear()
    world.begin.rows.users["usr_2"] = a_user(id="usr_2", email="eve@example.com")
    opened = [world.sessions.open(ADA, SessionDraft()).id for _ in range(3)]
    world.sessions.open(EVE, SessionDraft())

    first = world.sessions.page(ADA, 2, None)
    second = world.sessions.page(ADA, 9, first[-1].id)

    assert [session.id for session in first] == opened[:0:-1]
    assert [session.id for session in second] == [opened[0]]


def test_a_change_touches_only_what_it_names(world: World):
    world.configure(title="Old", config=SessionConfig(temperature=0.5, history=7))
    world.clock.advance(60)

    changed = world.sessions.change(ADA, "sess_1", {"config": {"temperature": None, "max_tokens": 9}})

    assert changed.config == SessionConfig(max_tokens=9, history=7)
    assert (changed.title, changed.model_id, changed.updated_at) == ("Old", "acme/large", world.clock.now())
    assert world.sessions.get(ADA, "sess_1") == changed


@pytest.mark.parametrize(
    ("changes", "model"),
    [({"model": "acme/small"}, "acme/small"), ({"ai_provider": "other"}, "other/tiny"), ({"title": "T"}, "acme/large")],
)
def test_the_model_of_a_session_can_be_changed(world: World, changes: dict, model: str):
    assert world.sessions.change(ADA, "sess_1", changes).model_id == model


def test_a_change_to_a_model_outside_the_key_changes_nothing(world: World):
    with pytest.raises(ModelNotAllowed):
        world.sessions.change(a_principal(models=("acme/large",)), "sess_1", {"title": "T", "model": "acme/small"})

    assert world.session().title == ""


def test_the_messages_of_a_session_come_oldest_first_in_pages(world: World):
    world.begin.rows.messages |= {message.id: message for message in a_history("a", "b", "c", "d")}

    texts = [message.content for message in world.sessions.messages(ADA, "sess_1", 2, after=1)]

    assert texts == ["b", "c"]


def test_an_export_has_the_session_and_all_it_says(world: World):
    world.begin.rows.messages |= {message.id: message for message in a_history("a", "b")}

    session, messages = world.sessions.export(ADA, "sess_1")

    assert (session.id, [message.content for message in messages]) == ("sess_1", ["a", "b"])


def test_a_deleted_session_is_gone(world: World):
    world.sessions.delete(ADA, "sess_1")

    with pytest.raises(NotFound):
        world.sessions.get(ADA, "sess_1")
    assert world.sessions.page(ADA, 9, None) == []
    assert world.signals.published == []


def test_a_turn_that_runs_in_a_deleted_session_is_stopped(world: World):
    with world.begin() as work:
        assert work.turns.take("sess_1", "req_1", world.clock.now(), world.clock.now())

    world.sessions.delete(ADA, "sess_1")

    assert world.signals.published == ["req_1"]


@pytest.mark.parametrize(
    "visit",
    [
        lambda sessions, who: sessions.get(who, "sess_1"),
        lambda sessions, who: sessions.change(who, "sess_1", {"title": "Mine"}),
        lambda sessions, who: sessions.delete(who, "sess_1"),
        lambda sessions, who: sessions.messages(who, "sess_1", 9, 0),
        lambda sessions, who: sessions.export(who, "sess_1"),
    ],
    ids=["get", "change", "delete", "messages", "export"],
)
def test_a_stranger_cannot_see_a_session(world: World, visit):
    with pytest.raises(NotFound):
        visit(world.sessions, EVE)

    assert world.sessions.get(ADA, "sess_1").title == ""


@pytest.mark.parametrize(
    "act",
    [
        lambda sessions, who: sessions.open(who, SessionDraft()),
        lambda sessions, who: sessions.change(who, "sess_1", {}),
        lambda sessions, who: sessions.delete(who, "sess_1"),
    ],
    ids=["open", "change", "delete"],
)
def test_a_viewer_may_look_and_not_touch(world: World, act):
    viewer = a_principal(role=Role.VIEWER)

    assert world.sessions.get(viewer, "sess_1")
    with pytest.raises(Forbidden):
        act(world.sessions, viewer)
