from datetime import timedelta

import pytest

from domain.errors import Forbidden, NotFound
from domain.stored_file import Purpose, StoredFile
from domain.user import Scope
from tests.builders import NOW, a_principal
from tests.world import World


def a_file(world: World, number: int = 1, **fields) -> StoredFile:
    """A stored one, whose content says which it is."""
    blob = world.blobs.put(f"content {number}".encode())
    given = {
        "id": f"file_{number}",
        "user_id": "usr_1",
        "purpose": Purpose.IMAGE,
        "name": "cat.png",
        "media_type": "image/png",
        "size": 9,
        "sha256": "0" * 64,
        "blob": blob,
        "created_at": NOW,
    }
    file = StoredFile(**{**given, **fields})
    with world.begin() as work:
        work.files.add(file)
    return file


def test_files_are_listed_newest_first(world: World):
    files = [a_file(world, number) for number in (1, 2, 3)]

    assert world.files.page(a_principal(), 2, None) == [files[2], files[1]]
    assert world.files.page(a_principal(), 2, "file_2", Purpose.IMAGE) == [files[0]]


def test_a_file_is_read_whole(world: World):
    file = a_file(world)

    found, content = world.files.read(a_principal(), "file_1")

    assert (found, world.files.get(a_principal(), "file_1")) == (file, file)
    assert (b"".join(content), content.size) == (b"content 1", 9)


def test_a_deleted_file_is_gone_with_its_content(world: World):
    a_file(world)

    world.files.delete(a_principal(), "file_1")

    assert (world.begin.rows.files, world.blobs.kept) == ({}, {})
    with pytest.raises(NotFound):
        world.files.read(a_principal(), "file_1")


def test_a_content_that_cannot_be_deleted_is_swept_later(world: World):
    a_file(world)
    world.blobs.broken = OSError("busy")
    world.files.delete(a_principal(), "file_1")
    assert (world.begin.rows.files, len(world.blobs.kept)) == ({}, 1)

    world.blobs.broken = None
    world.clock.advance(3_601)

    assert world.files.sweep() == 1
    assert world.blobs.kept == {}


def test_only_what_nobody_names_and_is_old_is_swept(world: World):
    named = a_file(world)
    orphan = world.blobs.put(b"orphan")
    world.clock.advance(timedelta(hours=1).total_seconds() + 1)
    young = world.blobs.put(b"young")
    world.clock.advance(60)

    assert (world.files.sweep(), world.files.sweep()) == (1, 0)
    assert orphan not in world.blobs.kept
    assert {named.blob, young} == set(world.blobs.kept)


def test_a_sweep_asks_for_many_at_once(world: World):
    for _ in range(450):
        world.blobs.put(b"orphan")
    world.clock.advance(7_200)
    begun = world.begin.begun

    assert world.files.sweep() == 450
    assert world.begin.begun - begun == 3


def test_a_foreign_file_does_not_exist(world: World):
    file = a_file(world)
    stranger = a_principal(user_id="usr_2")

    for act in (world.files.get, world.files.read, world.files.delete):
        with pytest.raises(NotFound):
            act(stranger, "file_1")

    assert world.files.page(stranger, 9, None) == []
    assert world.begin.rows.files == {"file_1": file}


@pytest.mark.parametrize(
    "principal", [a_principal(team_id="team_1"), a_principal(scopes=frozenset({Scope.IMAGES, Scope.CHAT}))]
)
def test_a_teams_key_and_one_without_the_scope_have_no_files(world: World, principal):
    a_file(world)

    for act in (
        lambda: world.files.page(principal, 9, None),
        lambda: world.files.get(principal, "file_1"),
        lambda: world.files.read(principal, "file_1"),
        lambda: world.files.delete(principal, "file_1"),
    ):
        with pytest.raises(Forbidden):
            act()
