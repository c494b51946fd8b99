"""Image jobs in SQL."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, RowMapping, and_, bindparam, delete, exists, insert, or_, select, update

from adapters.persistence.file_tables import image_jobs as jobs
from adapters.persistence.tables import usage_ledger
from adapters.persistence.usage import entry_from
from domain.errors import NotFound
from domain.image_job import ACTIVE, ImageJob, JobError, JobStatus
from domain.ledger import Kind, LedgerEntry, State
from domain.usage import Source, Usage

_FIELDS = tuple(column.name for column in jobs.c)
_ENDED = ("progress", "ended_at", "cost")
_ACTIVE = jobs.c.status.in_([status.value for status in ACTIVE])
_THIS = jobs.c.id == bindparam("job_id")
_ONE = select(jobs).where(_THIS, jobs.c.user_id == bindparam("owner_id"))
_RENEW = (
    update(jobs)
    .where(_THIS, _ACTIVE)
    .values(
        status=JobStatus.RUNNING.value, progress=bindparam("new_progress"), lease_until=bindparam("new_lease_until")
    )
)
_FINISH = update(jobs).where(_THIS, _ACTIVE)
_DELETE = delete(jobs).where(_THIS)
_FORGET = delete(jobs).where(jobs.c.user_id == bindparam("owner_id"))
_FINAL = and_(usage_ledger.c.attempt == 0, usage_ledger.c.kind == Kind.FINAL.value)
_SETTLEMENT = select(usage_ledger).where(usage_ledger.c.request_id == bindparam("request_id"), _FINAL)
_SETTLED = exists().where(usage_ledger.c.request_id == jobs.c.request_id, _FINAL)
_ABANDONED = exists().where(
    usage_ledger.c.request_id == jobs.c.request_id, _FINAL, usage_ledger.c.state == State.ABANDONED.value
)
_STALE = (
    select(jobs)
    .where(
        _ACTIVE,
        or_(
            _ABANDONED,
            and_(jobs.c.lease_until < bindparam("now"), _SETTLED),
            jobs.c.lease_until < bindparam("gone"),
        ),
    )
    .order_by(jobs.c.id)
    .limit(bindparam("most"))
)


@dataclass(frozen=True, slots=True)
class SqlImageJobs:
    connection: Connection

    def add(self, job: ImageJob) -> None:
        self.connection.execute(insert(jobs).values(_row(job)))

    def get(self, job_id: str, user_id: str) -> ImageJob:
        row = self.connection.execute(_ONE, {"job_id": job_id, "owner_id": user_id}).mappings().first()
        if row is None:
            raise NotFound
        return _job(row)

    def page(self, user_id: str, limit: int, before: str | None) -> list[ImageJob]:
        query = select(jobs).where(jobs.c.user_id == user_id).order_by(jobs.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(jobs.c.id < before)
        return [_job(row) for row in self.connection.execute(query).mappings()]

    def renew(self, job_id: str, progress: float, lease_until: datetime) -> bool:
        values = {"job_id": job_id, "new_progress": progress, "new_lease_until": lease_until}
        return self.connection.execute(_RENEW, values).rowcount == 1

    def finish(self, job: ImageJob) -> None:
        row = _row(job)
        changes = {name: row[name] for name in (*_ENDED, "status", "error", "usage")}
        self.connection.execute(_FINISH.values(changes), {"job_id": job.id})

    def stale(self, now: datetime, gone: datetime, limit: int) -> list[ImageJob]:
        rows = self.connection.execute(_STALE, {"now": now, "gone": gone, "most": limit}).mappings()
        return [_job(row) for row in rows]

    def settlement(self, request_id: str) -> LedgerEntry | None:
        row = self.connection.execute(_SETTLEMENT, {"request_id": request_id}).mappings().first()
        return None if row is None else entry_from(row)

    def delete(self, job_id: str) -> None:
        self.connection.execute(_DELETE, {"job_id": job_id})

    def forget(self, user_id: str) -> None:
        self.connection.execute(_FORGET, {"owner_id": user_id})


def _row(job: ImageJob) -> dict[str, Any]:
    row = {name: getattr(job, name) for name in _FIELDS}
    row["error"] = None if job.error is None else orjson.dumps(job.error).decode()
    row["usage"] = None if job.usage is None else orjson.dumps(asdict(job.usage)).decode()
    return row | {"status": job.status.value}


def _job(row: RowMapping) -> ImageJob:
    error = None if row["error"] is None else JobError(**orjson.loads(row["error"]))
    usage = None if row["usage"] is None else orjson.loads(row["usage"])
    counted = None if usage is None else Usage(**{**usage, "source": Source(usage["source"])})
    return ImageJob(**{**row, "status": JobStatus(row["status"]), "error": error, "usage": counted})
