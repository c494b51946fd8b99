"""Files that belong to a user."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Purpose(StrEnum):
    """Where a file comes from, and so what it is for."""

    IMAGE = "image_output"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What is known of a file; its content is the blob of that id. `sha256` is the content's, in hexadecimal."""

    id: str
    user_id: str
    purpose: Purpose
    name: str
    media_type: str
    size: int
    """Bytes."""
    sha256: str
    blob: str
    created_at: datetime
    request_id: str | None = None
    """The call that made it, where one did."""
