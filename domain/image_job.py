"""Images that are made while nobody waits."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from domain.errors import ParleyError
from domain.usage import Usage


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


ACTIVE = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed, as a client may see it."""

    code: str
    message: str
    param: str | None = None
    provider: str | None = None
    retryable: bool = False

    @classmethod
    def of(cls, error: ParleyError) -> "JobError":
        return cls(error.code, error.message, error.param, error.provider, error.retryable)


@dataclass(frozen=True, slots=True)
class ImageJob:
    """`request_id` names its one paid call, and with it its rows in the ledger and its files.

    Nobody but the worker that took it ever runs it. That worker moves `lease_until` on; once that has passed, the
    worker is gone.
    """

    id: str
    user_id: str
    key_id: str
    request_id: str
    model: str
    prompt: str
    count: int
    size: str | None
    created_at: datetime
    lease_until: datetime
    status: JobStatus = JobStatus.QUEUED
    progress: float = 0.0
    """0.0 … 1.0."""
    ended_at: datetime | None = None
    error: JobError | None = None
    usage: Usage | None = None
    cost: int | None = None
    """Nano-units that the user is charged; None until it is known, and for a model without a price."""

    @property
    def active(self) -> bool:
        return self.status in ACTIVE

    def succeeded(self, at: datetime, usage: Usage, cost: int | None) -> "ImageJob":
        return replace(self, status=JobStatus.SUCCEEDED, progress=1.0, ended_at=at, usage=usage, cost=cost)

    def failed(self, at: datetime, error: ParleyError) -> "ImageJob":
        return replace(self, status=JobStatus.FAILED, ended_at=at, error=JobError.of(error))
