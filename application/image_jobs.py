"""Images that are made in the background: taken, run by the worker that took them, looked at, deleted."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from application.call import Call
from application.cancellation import Cancellation
from application.files import require_owner
from application.generation import Generation
from application.images import ImageOrder, ImageStudio
from application.in_flight import InFlight
from application.order import Order
from application.ports import Signals
from application.store import UnitOfWork
from domain.errors import DatabaseBusy, Overloaded, ParleyError, RequestAbandoned, StoppedByUser, Unavailable
from domain.image_job import ImageJob, JobError
from domain.ledger import LedgerEntry, State
from domain.stored_file import StoredFile
from domain.user import Principal, Scope

Spawn = Callable[[Callable[[], None]], object]
"""Runs it beside whoever calls, and returns at once."""
Report = Callable[[BaseException, str], ParleyError]
"""Of a defect and the request it happened in: for the log everything, for the client what is returned."""

_LEASE = timedelta(seconds=30)
_RENEWED = 10.0
"""Seconds after which a lease is moved on although there was no progress."""
_STALE = 50
_GONE = "The worker that made these images is gone. Whatever it had kept is in the files."
_RETRIES = 3
"""After DatabaseBusy."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A job with those of its files that its owner has not deleted."""

    job: ImageJob
    files: tuple[StoredFile, ...]


@dataclass(slots=True)
class _Running:
    """What this worker knows of a job that it runs; `written` is a monotonic moment."""

    job: ImageJob
    cancellation: Cancellation
    written: float
    progress: float = 0.0
    stored: float = -1.0

    def tell(self, progress: float) -> None:
        """Never back, and not the end: that is told by the job's status."""
        self.progress = max(self.progress, min(0.99, progress))


@dataclass(frozen=True, slots=True)
class ImageJobService:
    """`most` jobs run at a time in this worker; a job may take `total_seconds`.

    A key that a team shares acts for nobody in person, so it has no jobs either.
    """

    studio: ImageStudio
    in_flight: InFlight
    signals: Signals
    spawn: Spawn
    report: Report
    total_seconds: float = 600.0
    turn_seconds: float = 660.0
    """The age from which no call can be running any more."""
    most: int = 16
    running: dict[str, _Running] = field(default_factory=dict)
    starting: set[str] = field(default_factory=set)
    """The calls that are not stored yet: their place is taken, whatever the store takes."""

    def call(self, request_id: str) -> Call:
        """For a job: independent of the connection that it came on."""
        return Call(request_id, Cancellation(self.total_seconds, self.studio.clock.monotonic), streamed=False)

    def start(self, principal: Principal, order: ImageOrder, call: Call) -> ImageJob:
        """Admitted, journalled and stored when this returns. Raises what `ImageService.make` raises before it asks."""
        if len(self.running) + len(self.starting) >= self.most:
            raise Overloaded("This worker makes as many images as it may at a time.", retry_after=5)
        paid = self.studio.order(principal, order)
        self.in_flight.enter(call.request_id, call.cancellation, principal)
        self.starting.add(call.request_id)
        try:
            job = self._job(principal, order, call)
            generation = self._opened(job, paid, call)
        except BaseException:
            self.in_flight.leave(call.request_id)
            raise
        finally:
            self.starting.discard(call.request_id)
        self.running[job.id] = _Running(job, call.cancellation, self.studio.clock.monotonic())
        self.spawn(partial(self._run, job, order, generation))
        return job

    def page(self, principal: Principal, limit: int, cursor: str | None) -> list[JobView]:
        """Newest first; `cursor` is the id of the last job of the previous page."""
        principal.require_person()
        with self.studio.begin() as work:
            return _views(work, work.image_jobs.page(principal.user_id, limit, cursor))

    def get(self, principal: Principal, job_id: str) -> JobView:
        principal.require_person()
        with self.studio.begin() as work:
            return _views(work, [work.image_jobs.get(job_id, principal.user_id)])[0]

    def delete(self, principal: Principal, job_id: str) -> None:
        """One that runs is stopped; what the provider may bill for it until then is in the ledger. Files stay."""
        principal.require(Scope.IMAGES)
        principal.require_person()
        with self.studio.begin() as work:
            job = work.image_jobs.get(job_id, principal.user_id)
            work.image_jobs.delete(job_id)
        if job.active and not self.in_flight.stop(job.request_id):
            self.signals.publish(job.request_id)

    # ── the worker that runs it ──────────────────────────────────────────────────────────────────────────────────

    def renew(self) -> None:
        """About once a second: store the progress of this worker's jobs, and that they still run.

        Whose job was deleted elsewhere is stopped, also where no signal came through.
        """
        now = self.studio.clock.monotonic()
        for it in list(self.running.values()):
            if it.progress != it.stored or now - it.written >= _RENEWED:
                self._renew(it, now)

    def _renew(self, it: _Running, now: float) -> None:
        progress, until = it.progress, self.studio.clock.now() + _LEASE
        with self.studio.begin() as work:
            wanted = work.image_jobs.renew(it.job.id, progress, until)
        it.stored, it.written = progress, now
        if not wanted and it.job.id in self.running:
            it.cancellation.cancel(StoppedByUser())

    def _job(self, principal: Principal, order: ImageOrder, call: Call) -> ImageJob:
        now = self.studio.clock.now()
        return ImageJob(
            id=self.studio.new_id("img"),
            user_id=principal.user_id,
            key_id=principal.key_id,
            request_id=call.request_id,
            model=order.model,
            prompt=order.text,
            count=order.count,
            size=order.size,
            created_at=now,
            lease_until=now + _LEASE,
        )

    def _opened(self, job: ImageJob, paid: Order, call: Call) -> Generation:
        """The job and its budgets in one unit; OPEN is journalled before that is committed."""
        generation: Generation | None = None
        try:
            with self.studio.begin() as work:
                require_owner(work, job.user_id)
                work.image_jobs.add(job)
                generation = self.studio.generations.open(paid, call, work)
        except BaseException as error:
            if generation is not None:  # the job was not stored after all
                generation.cut(error)
            raise
        return generation

    def _run(self, job: ImageJob, order: ImageOrder, generation: Generation) -> None:
        try:
            self._finish(self._made(job, order, generation))
        finally:
            del self.running[job.id]
            self.in_flight.leave(job.request_id)

    def _made(self, job: ImageJob, order: ImageOrder, generation: Generation) -> ImageJob:
        it, now = self.running[job.id], self.studio.clock.now
        with suppress(Unavailable):  # it runs all the same, and is told to be running with the next renewal
            self._renew(it, self.studio.clock.monotonic())
        try:
            outcome = self.studio.deliver(order, generation, it.tell)
        except ParleyError as error:
            return job.failed(now(), error)
        except Exception as error:  # noqa: BLE001 - nobody else is there to hear of it
            return job.failed(now(), self.report(error, job.request_id))
        return job.succeeded(now(), outcome.usage, outcome.cost)

    def _finish(self, job: ImageJob) -> None:
        """The ledger has the truth of it: where this cannot be stored now, a sweep stores it later."""
        for _ in range(_RETRIES):
            try:
                with self.studio.begin() as work:
                    return work.image_jobs.finish(job)
            except DatabaseBusy:
                continue
            except Unavailable:
                return None
        return None

    # ── any worker ───────────────────────────────────────────────────────────────────────────────────────────────

    def sweep(self) -> int:
        """End the jobs whose worker is gone, as the ledger says that they ended; none is ever run again.

        Returns how many.
        """
        now = self.studio.clock.now()
        gone = now - timedelta(seconds=self.turn_seconds)
        with self.studio.begin() as work:
            jobs = [it for it in work.image_jobs.stale(now, gone, _STALE) if it.id not in self.running]
            for job in jobs:
                work.image_jobs.finish(_told(job, work.image_jobs.settlement(job.request_id), now))
        return len(jobs)


def _told(job: ImageJob, final: LedgerEntry | None, now: datetime) -> ImageJob:
    if final is None or final.state is State.ABANDONED:
        return job.failed(now, RequestAbandoned(_GONE))
    if final.state is State.COMPLETED:
        return job.succeeded(now, final.usage, final.charged)
    failed = job.failed(now, ParleyError())
    return replace(failed, error=JobError(final.error_code or ParleyError.code, ParleyError.default))


def _views(work: UnitOfWork, jobs: list[ImageJob]) -> list[JobView]:
    """In two queries, however many there are."""
    files = work.files.of_requests([job.request_id for job in jobs])
    return [JobView(job, tuple(it for it in files if it.request_id == job.request_id)) for job in jobs]
