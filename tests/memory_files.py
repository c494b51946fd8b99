"""Files and image jobs in memory, and blobs that are bytes in a dictionary."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from application.ports import Clock
from domain.errors import NotFound, ParleyError
from domain.image_job import ImageJob, JobStatus
from domain.ledger import Kind, LedgerEntry, State
from domain.stored_file import Purpose, StoredFile
from tests.rows import Rows, newest


@dataclass(frozen=True, slots=True)
class MemoryFiles:
    rows: Rows

    def add(self, file: StoredFile) -> None:
        self.rows.files[file.id] = file

    def get(self, file_id: str, user_id: str) -> StoredFile:
        file = self.rows.files.get(file_id)
        if file is None or file.user_id != user_id:
            raise NotFound
        return file

    def page(self, user_id: str, limit: int, before: str | None, purpose: Purpose | None = None) -> list[StoredFile]:
        mine = [it for it in self.rows.files.values() if it.user_id == user_id and purpose in (None, it.purpose)]
        return newest(mine, limit, before)

    def of_requests(self, request_ids: Sequence[str]) -> list[StoredFile]:
        return newest(it for it in self.rows.files.values() if it.request_id in request_ids)[::-1]

    def delete(self, file_id: str) -> None:
        self.rows.files.pop(file_id, None)

    def forget(self, user_id: str) -> None:
        for file in [it for it in self.rows.files.values() if it.user_id == user_id]:
            del self.rows.files[file.id]

    def unknown(self, blobs: Sequence[str]) -> list[str]:
        known = {file.blob for file in self.rows.files.values()}
        return [blob for blob in blobs if blob not in known]


@dataclass(frozen=True, slots=True)
class MemoryImageJobs:
    rows: Rows

    def add(self, job: ImageJob) -> None:
        self.rows.image_jobs[job.id] = job

    def get(self, job_id: str, user_id: str) -> ImageJob:
        job = self.rows.image_jobs.get(job_id)
        if job is None or job.user_id != user_id:
            raise NotFound
        return job

    def page(self, user_id: str, limit: int, before: str | None) -> list[ImageJob]:
        return newest((it for it in self.rows.image_jobs.values() if it.user_id == user_id), limit, before)

    def renew(self, job_id: str, progress: float, lease_until: datetime) -> bool:
        job = self._active(job_id)
        if job is None:
            return False
        changed = replace(job, status=JobStatus.RUNNING, progress=progress, lease_until=lease_until)
        self.rows.image_jobs[job_id] = changed
        return True

    def finish(self, job: ImageJob) -> None:
        stored = self._active(job.id)
        if stored is not None:
            ended = {name: getattr(job, name) for name in ("status", "progress", "ended_at", "error", "usage", "cost")}
            self.rows.image_jobs[job.id] = replace(stored, **ended)

    def stale(self, now: datetime, gone: datetime, limit: int) -> list[ImageJob]:
        return [it for it in newest(self.rows.image_jobs.values())[::-1] if it.active and self._lost(it, now, gone)][
            :limit
        ]

    def settlement(self, request_id: str) -> LedgerEntry | None:
        return self.rows.ledger.get((request_id, 0, Kind.FINAL))

    def delete(self, job_id: str) -> None:
        self.rows.image_jobs.pop(job_id, None)

    def forget(self, user_id: str) -> None:
        for job in [it for it in self.rows.image_jobs.values() if it.user_id == user_id]:
            del self.rows.image_jobs[job.id]

    def _active(self, job_id: str) -> ImageJob | None:
        job = self.rows.image_jobs.get(job_id)
        return job if job is not None and job.active else None

    def _lost(self, job: ImageJob, now: datetime, gone: datetime) -> bool:
        final = self.settlement(job.request_id)
        if final is not None and (final.state is State.ABANDONED or job.lease_until < now):
            return True
        return job.lease_until < gone


class MemoryContent:
    """In pieces of three bytes, so that nobody relies on getting all at once."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        return (self._content[at : at + 3] for at in range(0, self.size, 3))

    def close(self) -> None:
        self.closed = True


class MemoryBlobs:
    """Set `full` to an error and nothing has room any more; set `broken`, and nothing can be deleted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.kept: dict[str, tuple[bytes, datetime]] = {}
        self.opened: list[MemoryContent] = []
        self.full: ParleyError | None = None
        self.broken: OSError | None = None
        self._count = 0

    def put(self, content: bytes) -> str:
        self.require_room(len(content))
        self._count += 1
        blob = f"{self._count:032x}"
        self.kept[blob] = (content, self._clock.now())
        return blob

    def open(self, blob: str) -> MemoryContent:
        if blob not in self.kept:
            raise NotFound
        self.opened.append(MemoryContent(self.kept[blob][0]))
        return self.opened[-1]

    def delete(self, blob: str) -> None:
        if self.broken is not None:
            raise self.broken
        self.kept.pop(blob, None)

    def older(self, than: datetime) -> Iterator[str]:
        return iter([blob for blob, (_, at) in self.kept.items() if at < than])

    def require_room(self, size: int) -> None:
        if self.full is not None:
            raise self.full
