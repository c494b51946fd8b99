"""What the application asks of storage about files and image jobs, and of whoever keeps the bytes."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from domain.image_job import ImageJob
from domain.ledger import LedgerEntry
from domain.stored_file import Purpose, StoredFile


class Files(Protocol):
    """Every look-up takes the owner's id: other people's files do not exist."""

    def add(self, file: StoredFile) -> None: ...

    def get(self, file_id: str, user_id: str) -> StoredFile:
        """Raises NotFound."""
        ...

    def page(self, user_id: str, limit: int, before: str | None, purpose: Purpose | None = None) -> list[StoredFile]:
        """Newest first by id; `before` is the last id of the previous page."""
        ...

    def of_requests(self, request_ids: Sequence[str]) -> list[StoredFile]:
        """Those that these calls made, oldest first."""
        ...

    def delete(self, file_id: str) -> None: ...

    def forget(self, user_id: str) -> None:
        """Delete all of a user."""
        ...

    def unknown(self, blobs: Sequence[str]) -> list[str]:
        """Those of `blobs` that no file has."""
        ...


class ImageJobs(Protocol):
    """Every look-up takes the owner's id: other people's jobs do not exist."""

    def add(self, job: ImageJob) -> None: ...

    def get(self, job_id: str, user_id: str) -> ImageJob:
        """Raises NotFound."""
        ...

    def page(self, user_id: str, limit: int, before: str | None) -> list[ImageJob]:
        """Newest first by id; `before` is the last id of the previous page."""
        ...

    def renew(self, job_id: str, progress: float, lease_until: datetime) -> bool:
        """It is running, and this far; False when nobody waits for it any more: it was deleted or has ended."""
        ...

    def finish(self, job: ImageJob) -> None:
        """Stores how it ended: status, progress, `ended_at`, error, usage and cost. The first end counts."""
        ...

    def stale(self, now: datetime, gone: datetime, limit: int) -> list[ImageJob]:
        """Active ones whose worker is gone, oldest first.

        The ledger calls their call abandoned; or the lease has passed and the ledger knows how the call ended; or the
        lease passed before `gone`. A worker that merely could not reach the database has no final row yet.
        """
        ...

    def settlement(self, request_id: str) -> LedgerEntry | None:
        """The final row of a job's call, None when the ledger has none yet."""
        ...

    def delete(self, job_id: str) -> None: ...

    def forget(self, user_id: str) -> None:
        """Delete all of a user."""
        ...


class Content(Protocol):
    """The bytes of a blob, read piece by piece; `close` must be called in any case."""

    @property
    def size(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class Blobs(Protocol):
    """Keeps bytes. An id of a blob is ours alone: random, and never what a client sent."""

    def put(self, content: bytes) -> str:
        """The id. Durable on return. Raises StorageFull, and nothing is kept then."""
        ...

    def open(self, blob: str) -> Content:
        """Raises NotFound."""
        ...

    def delete(self, blob: str) -> None:
        """Idempotent."""
        ...

    def older(self, than: datetime) -> Iterator[str]:
        """Those that were put before that time; what was left of unfinished ones is removed on the way."""
        ...

    def require_room(self, size: int) -> None:
        """Raises StorageFull when so many bytes have no room."""
        ...
