"""Files: list, read, delete. Every method sees the caller's own files only."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from application.file_store import Blobs, Content
from application.ports import Clock
from application.store import Begin, UnitOfWork
from domain.errors import KeyRevoked
from domain.stored_file import Purpose, StoredFile
from domain.user import Principal, Scope

_ORPHANED = timedelta(hours=1)
"""A younger blob may belong to a file whose row is just being written."""
_BATCH = 200


@dataclass(frozen=True, slots=True)
class FileService:
    """A key that a team shares has no files: they belong to people."""

    begin: Begin
    blobs: Blobs
    clock: Clock

    def page(
        self, principal: Principal, limit: int, cursor: str | None, purpose: Purpose | None = None
    ) -> list[StoredFile]:
        """Newest first; `cursor` is the id of the last file of the previous page."""
        _require(principal)
        with self.begin() as work:
            return work.files.page(principal.user_id, limit, cursor, purpose)

    def get(self, principal: Principal, file_id: str) -> StoredFile:
        _require(principal)
        with self.begin() as work:
            return work.files.get(file_id, principal.user_id)

    def read(self, principal: Principal, file_id: str) -> tuple[StoredFile, Content]:
        """Whoever gets the content has to close it."""
        file = self.get(principal, file_id)
        return file, self.blobs.open(file.blob)

    def delete(self, principal: Principal, file_id: str) -> None:
        """The row first: a blob that is left behind is swept."""
        _require(principal)
        with self.begin() as work:
            file = work.files.get(file_id, principal.user_id)
            work.files.delete(file_id)
        with suppress(OSError):
            self.blobs.delete(file.blob)

    def sweep(self) -> int:
        """Delete what no row names: deleted files, erased users, calls that failed half way. Returns how many."""
        orphans = 0
        for blobs in _batches(self.blobs.older(self.clock.now() - _ORPHANED)):
            with self.begin() as work:
                unknown = work.files.unknown(blobs)
            for blob in unknown:
                self.blobs.delete(blob)
            orphans += len(unknown)
        return orphans


def require_owner(work: UnitOfWork, user_id: str) -> None:
    """Before something is stored for a user: whoever is being erased would keep it for ever.

    Held until the unit ends. Raises KeyRevoked.
    """
    user = work.users.lock(user_id)
    if user is None or user.disabled:
        raise KeyRevoked


def _require(principal: Principal) -> None:
    principal.require(Scope.FILES)
    principal.require_person()


def _batches(blobs: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(blobs)
    while batch := list(islice(rest, _BATCH)):
        yield batch
