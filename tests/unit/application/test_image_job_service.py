"""Image jobs: run once by the worker that took them, ended by the ledger's word where that worker is gone."""

from dataclasses import replace

import pytest

from application.images import ImageOrder
from domain.errors import (
    DatabaseBusy,
    DatabaseUnavailable,
    Forbidden,
    KeyRevoked,
    NotFound,
    Overloaded,
    ServerShuttingDown,
    StorageFull,
)
from domain.image_job import JobStatus
from domain.ledger import Kind, State
from domain.provider_errors import UpstreamFailed
from domain.usage import Price, PriceBook, Source, Usage
from domain.user import Scope
from tests.builders import a_principal, a_settled, an_entry
from tests.contracts.files import a_file
from tests.world import World

ORDER = ImageOrder("acme/large", "a cat", count=2)
PER_IMAGE = PriceBook("v2", {"acme/large": Price(0, 0, image=40_000_000)})


def start(world: World, request_id="req_1", principal=None):
    return world.image_jobs.start(principal or a_principal(), ORDER, world.image_jobs.call(request_id))


def stored(world: World, job):
    return world.begin.rows.image_jobs[job.id]


def view(world: World, job):
    return world.image_jobs.get(a_principal(), job.id)


def settle(world: World, request_id="req_1", **fields):
    """What a journal says of the call of a worker that is gone."""
    world.begin.apply([a_settled(request_id=request_id, entries=(an_entry(request_id=request_id, **fields),))])


def lost(world: World, request_id="req_1"):
    """A job whose worker died: the row is there, and nobody runs it."""
    job = start(world, request_id)
    world.spawned.waiting.clear()
    world.image_jobs.running.clear()
    return job


# ── taken ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_is_queued_and_accounted_for_before_anybody_works_on_it(world: World):
    job = start(world)

    assert (job.status, job.progress, job.request_id) == (JobStatus.QUEUED, 0.0, "req_1")
    assert (job.user_id, job.key_id, job.model, job.prompt, job.count) == ("usr_1", "key_1", "acme/large", "a cat", 2)
    assert stored(world, job) == job
    assert [it.request_id for it in world.journal.opened] == ["req_1"]
    assert world.painter.prompts == []
    assert len(world.in_flight) == 1


def test_a_worker_takes_only_so_many_at_a_time(world: World):
    world.image_jobs = replace(world.image_jobs, most=3)
    for number in range(3):
        start(world, f"req_{number}")

    with pytest.raises(Overloaded) as refusal:
        start(world, "req_9")

    assert refusal.value.retry_after == 5
    assert len(world.journal.opened) == 3
    world.spawned.run()
    start(world, "req_9")


def test_one_that_is_being_stored_has_its_place_already(world: World):
    """The store may take its time, and others ask meanwhile."""
    stored_slowly, refusals = world.begin, []

    def begin():
        if not refusals:
            refusals.append(None)
            with pytest.raises(Overloaded):
                start(world, "req_2")
        return stored_slowly()

    studio = replace(world.image_jobs.studio, begin=begin)
    world.image_jobs = replace(world.image_jobs, most=1, studio=studio)
    start(world, "req_1")

    assert [it.request_id for it in world.journal.opened] == ["req_1"]
    assert world.image_jobs.starting == set()


def test_nothing_is_stored_for_who_was_erased_meanwhile(world: World):
    world.begin.rows.users.clear()

    with pytest.raises(KeyRevoked):
        start(world)

    assert (world.begin.rows.image_jobs, len(world.in_flight), world.image_jobs.starting) == ({}, 0, set())


def test_a_worker_that_ends_takes_none(world: World):
    world.in_flight.draining = True

    with pytest.raises(ServerShuttingDown):
        start(world)

    assert world.begin.rows.image_jobs == {}


def test_a_job_that_cannot_be_journalled_is_not_stored(world: World):
    world.journal.refuse = StorageFull()

    with pytest.raises(StorageFull):
        start(world)

    assert (world.begin.rows.image_jobs, len(world.in_flight), world.spawned.waiting) == ({}, 0, [])


def test_a_job_that_cannot_be_stored_is_settled_as_never_made(world: World):
    class Losing:
        """Its commit fails."""

        def __call__(self):
            return self

        def __enter__(self):
            self.unit = world.begin()
            return self.unit.__enter__()

        def __exit__(self, *error):
            lost = DatabaseUnavailable()
            self.unit.__exit__(DatabaseUnavailable, lost, None)
            raise lost

    jobs = replace(world.image_jobs, studio=replace(world.studio, begin=Losing()))
    with pytest.raises(DatabaseUnavailable):
        jobs.start(a_principal(), ORDER, jobs.call("req_1"))

    assert (len(world.in_flight), world.spawned.waiting) == (0, [])
    assert world.journal.settled[-1].entries[-1].state is State.FAILED


# ── run ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_that_went_well_has_its_files_and_what_they_cost(world: World):
    world.prices.book = PER_IMAGE
    job = start(world)
    world.clock.advance(3)

    world.spawned.run()

    found = view(world, job)
    assert (found.job.status, found.job.progress, found.job.error) == (JobStatus.SUCCEEDED, 1.0, None)
    assert (found.job.usage.images, found.job.cost, found.job.ended_at) == (2, 80_000_000, world.clock.now())
    assert [file.request_id for file in found.files] == ["req_1", "req_1"]
    assert (world.final().state, world.final().charged) == (State.COMPLETED, 80_000_000)
    assert (len(world.in_flight), world.image_jobs.running) == (0, {})


def test_a_file_that_was_deleted_is_no_longer_among_them(world: World):
    job = start(world)
    world.spawned.run()
    first, second = view(world, job).files

    world.files.delete(a_principal(), first.id)

    assert view(world, job).files == (second,)


def test_a_job_that_failed_says_why(world: World):
    world.painter.play(UpstreamFailed("No paint.", param="prompt"))
    job = start(world)

    world.spawned.run()

    error = view(world, job).job.error
    assert (error.code, error.message, error.param, error.provider) == (
        "upstream_error",
        "No paint.",
        "prompt",
        "acme",
    )
    assert error.retryable
    assert world.final().state is State.FAILED


def test_a_defect_is_reported_and_told_as_no_more_than_that(world: World):
    world.painter.play(ZeroDivisionError("secret"))
    job = start(world)

    world.spawned.run()

    assert (view(world, job).job.error.code, "secret" in view(world, job).job.error.message) == (
        "internal_error",
        False,
    )
    assert [type(error) for error in world.defects] == [ZeroDivisionError]


def test_it_runs_from_the_first_moment(world: World):
    seen = []
    job = start(world)
    world.painter.play(lambda: seen.append(stored(world, job).status))

    world.spawned.run()

    assert seen == [JobStatus.RUNNING]


def test_progress_is_stored_at_most_with_every_renewal(world: World):
    seen = []

    def look():
        seen.append(stored(world, job).progress)

    def renewed():
        world.image_jobs.renew()
        look()

    world.painter.play(0.25, 0.5, look, renewed, 0.4, renewed, 1.0, renewed)
    job = start(world)
    begun = world.begin.begun
    world.spawned.run()

    assert seen == [0.0, 0.5, 0.5, 0.99]
    assert stored(world, job).progress == 1.0
    assert world.begin.begun - begun < 9


def test_a_lease_is_moved_on_also_without_progress(world: World):
    def wait():
        for _ in range(30):
            world.clock.advance(1)
            world.image_jobs.renew()
            assert stored(world, job).lease_until > world.clock.now()

    world.painter.play(wait)
    job = start(world)
    world.spawned.run()

    assert view(world, job).job.status is JobStatus.SUCCEEDED


def test_a_store_that_is_away_does_not_end_a_job(world: World):
    def go_away():
        world.begin.down = DatabaseUnavailable()

    def come_back():
        world.begin.down = None

    job = start(world)
    world.painter.play(come_back)
    go_away()
    world.spawned.run()

    assert view(world, job).job.status is JobStatus.SUCCEEDED


@pytest.mark.parametrize("error", [DatabaseBusy, DatabaseUnavailable])
def test_an_end_that_cannot_be_stored_is_found_in_the_ledger_later(world: World, error):
    job = start(world)
    settle_one = world.journal.settle

    def settle_and_lose(record):
        receipt = settle_one(record)
        world.begin.down = error()
        return receipt

    world.journal.settle = settle_and_lose
    world.spawned.run()
    world.begin.down = None
    assert stored(world, job).status is JobStatus.RUNNING

    assert world.image_jobs.sweep() == 0
    world.clock.advance(31)
    assert world.image_jobs.sweep() == 1

    found = view(world, job)
    assert (found.job.status, found.job.usage.images, len(found.files)) == (JobStatus.SUCCEEDED, 2, 2)
    assert found.job.cost == world.final().charged


class Busy:
    """A store that is busy so many times once the job's call is settled."""

    def __init__(self, world: World, times: int) -> None:
        self.world, self.times = world, times

    def __call__(self):
        if self.times and self.world.journal.settled:
            self.times -= 1
            raise DatabaseBusy
        return self.world.begin()


def test_a_busy_store_is_asked_again(world: World):
    busy = Busy(world, 2)
    jobs = replace(world.image_jobs, studio=replace(world.studio, begin=busy))
    job = jobs.start(a_principal(), ORDER, jobs.call("req_1"))

    world.spawned.run()

    assert busy.times == 0
    assert stored(world, job).status is JobStatus.SUCCEEDED


# ── deleted ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_deleting_a_job_that_runs_stops_it_and_the_ledger_has_what_the_provider_bills(world: World):
    world.prices.book = PER_IMAGE

    def delete():
        world.painter.cancellations[0].counted = Usage(images=2, source=Source.ESTIMATED)
        world.image_jobs.delete(a_principal(), job.id)

    world.painter.play(delete)
    job = start(world)
    world.spawned.run()

    with pytest.raises(NotFound):
        view(world, job)
    final = world.final()
    assert (final.state, final.error_code, final.charged) == (State.PARTIAL, "stopped", 80_000_000)
    assert (world.begin.rows.files, world.signals.published) == ({}, [])


def test_a_job_of_another_worker_is_stopped_there(world: World):
    job = lost(world)
    world.in_flight.leave("req_1")

    world.image_jobs.delete(a_principal(), job.id)

    assert world.signals.published == ["req_1"]


def test_a_job_whose_row_is_gone_stops_also_where_no_signal_came_through(world: World):
    def forget():
        del world.begin.rows.image_jobs[job.id]
        world.clock.advance(10)
        world.image_jobs.renew()

    world.painter.play(forget)
    job = start(world)
    world.spawned.run()

    assert (world.final().state, world.final().error_code) == (State.FAILED, "stopped")
    assert world.begin.rows.files == {}


def test_deleting_a_job_that_is_over_leaves_its_files(world: World):
    job = start(world)
    world.spawned.run()

    world.image_jobs.delete(a_principal(), job.id)

    assert (len(world.begin.rows.files), world.begin.rows.image_jobs, world.signals.published) == (2, {}, [])


# ── lost ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_whose_worker_was_killed_fails_and_is_never_made_again(world: World):
    job = lost(world)
    assert world.image_jobs.sweep() == 0

    settle(world, state=State.ABANDONED)
    assert world.image_jobs.sweep() == 1

    found = view(world, job).job
    assert (found.status, found.error.code, found.ended_at) == (
        JobStatus.FAILED,
        "request_abandoned",
        world.clock.now(),
    )
    assert world.image_jobs.sweep() == 0
    assert (world.painter.prompts, world.spawned.waiting) == ([], [])


def test_what_was_kept_before_the_worker_was_killed_is_the_jobs_and_not_called_gone(world: World):
    job = lost(world)
    with world.begin() as work:
        work.files.add(a_file(user_id=job.user_id, request_id=job.request_id))
    settle(world, state=State.ABANDONED)

    world.image_jobs.sweep()

    found = view(world, job)
    assert len(found.files) == 1
    assert found.job.error.message == "The worker that made these images is gone. Whatever it had kept is in the files."


def test_a_job_that_the_ledger_calls_failed_has_failed_of_the_same(world: World):
    job = lost(world)
    settle(world, state=State.FAILED, error_code="upstream_timeout")
    world.clock.advance(31)

    world.image_jobs.sweep()

    assert view(world, job).job.error.code == "upstream_timeout"


def test_an_end_without_a_reason_in_the_ledger_is_an_internal_error(world: World):
    job = lost(world)
    settle(world, state=State.PARTIAL)
    world.clock.advance(31)

    world.image_jobs.sweep()

    assert view(world, job).job.error.code == "internal_error"


def test_a_lease_alone_proves_nothing_until_no_call_can_run_any_more(world: World):
    """The worker may be unable to reach the database, and be making images all the same."""
    job = lost(world)
    world.clock.advance(659)
    assert world.image_jobs.sweep() == 0

    world.clock.advance(32)
    assert world.image_jobs.sweep() == 1
    assert view(world, job).job.error.code == "request_abandoned"


def test_a_worker_does_not_sweep_what_it_runs_itself(world: World):
    job = start(world)
    settle(world, state=State.ABANDONED)

    assert world.image_jobs.sweep() == 0
    assert stored(world, job).status is JobStatus.QUEUED


def test_the_first_end_counts(world: World):
    job = lost(world)
    settle(world, state=State.ABANDONED)
    world.image_jobs.sweep()
    before = stored(world, job)

    with world.begin() as work:
        work.image_jobs.finish(job.succeeded(world.clock.now(), Usage(), 0))

    assert stored(world, job) == before


# ── whose ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_jobs_are_listed_newest_first_with_their_files(world: World):
    jobs = [start(world, f"req_{number}") for number in (1, 2, 3)]
    world.spawned.run()

    found = world.image_jobs.page(a_principal(), 2, None)

    assert [it.job.id for it in found] == [jobs[2].id, jobs[1].id]
    assert [{file.request_id for file in it.files} for it in found] == [{"req_3"}, {"req_2"}]
    assert [it.job.id for it in world.image_jobs.page(a_principal(), 2, jobs[1].id)] == [jobs[0].id]


def test_a_foreign_job_does_not_exist(world: World):
    job = start(world)
    stranger = a_principal(user_id="usr_2")

    for act in (world.image_jobs.get, world.image_jobs.delete):
        with pytest.raises(NotFound):
            act(stranger, job.id)

    assert world.image_jobs.page(stranger, 9, None) == []
    assert stored(world, job) == job


def test_a_teams_key_has_no_jobs_and_who_makes_no_images_ends_none(world: World):
    job = start(world)
    shared = a_principal(team_id="team_1")

    for act in (
        lambda: start(world, "req_2", shared),
        lambda: world.image_jobs.page(shared, 9, None),
        lambda: world.image_jobs.get(shared, job.id),
        lambda: world.image_jobs.delete(shared, job.id),
        lambda: world.image_jobs.delete(a_principal(scopes=frozenset({Scope.CHAT})), job.id),
    ):
        with pytest.raises(Forbidden):
            act()

    assert len([entry for entry in world.begin.rows.ledger.values() if entry.kind is Kind.FINAL]) == 0
