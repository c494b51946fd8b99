import pytest

from application.auditing import Change
from domain.audit import SYSTEM, Actor
from domain.team import Team
from tests.builders import NOW
from tests.world import World

ACTOR = Actor("usr_1", "key_1", "192.0.2.7", "req_1")


def written(world: World, change: Change, actor: Actor = ACTOR):
    with world.begin() as work:
        world.auditor.write(work, actor, change)
    (entry,) = world.begin.rows.audit.values()
    return entry


def test_an_entry_tells_who_did_what_when_and_from_where(world: World):
    entry = written(world, Change("team.create", "team_1", after={"name": "Red"}))

    assert (entry.at, entry.actor, entry.action, entry.object_id) == (world.clock.now(), ACTOR, "team.create", "team_1")
    assert (entry.before, entry.after) == ({}, {"name": "Red"})


def test_only_what_differs_is_written_down(world: World):
    before = {"name": "Red", "role": "lead", "gone": 1}
    entry = written(world, Change("x.change", "x_1", before, {"name": "Blue", "role": "lead", "new": 2}))

    assert (entry.before, entry.after) == ({"name": "Red", "gone": 1}, {"name": "Blue", "new": 2})


def test_a_command_on_the_server_has_no_caller(world: World):
    assert written(world, Change("user.create", "usr_1"), SYSTEM).actor == Actor(None, None)


def test_a_change_that_cannot_be_audited_does_not_happen(world: World):
    world.begin.rows.refuse_audit = OSError()

    def change() -> None:
        with world.begin() as work:
            work.teams.add(Team("team_1", "Red", NOW))
            world.auditor.write(work, ACTOR, Change("team.create", "team_1"))

    with pytest.raises(OSError):
        change()
    assert world.begin.rows.teams == {}
