"""The tables of files and image jobs."""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, Table, UniqueConstraint

from adapters.persistence.tables import metadata
from adapters.persistence.types import LongText, Name, Utc

_ID = Name(64)
_WORD = Name(64)
_MODEL = Name(255)

files = Table(
    "files",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("user_id", _ID, nullable=False),
    Column("purpose", _WORD, nullable=False),
    Column("name", Name(255), nullable=False),
    Column("media_type", _WORD, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", _WORD, nullable=False),
    Column("blob", _ID, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("request_id", _ID),
    UniqueConstraint("blob", name="uq_files_blob"),
    Index("ix_files_user", "user_id", "id"),
    Index("ix_files_request", "request_id"),
)

image_jobs = Table(
    "image_jobs",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("user_id", _ID, nullable=False),
    Column("key_id", _ID, nullable=False),
    Column("request_id", _ID, nullable=False),
    Column("model", _MODEL, nullable=False),
    Column("prompt", LongText, nullable=False),
    Column("count", Integer, nullable=False),
    Column("size", _WORD),
    Column("created_at", Utc, nullable=False),
    Column("lease_until", Utc, nullable=False),
    Column("status", _WORD, nullable=False),
    Column("progress", Double, nullable=False),
    Column("ended_at", Utc),
    Column("error", LongText),
    Column("usage", LongText),
    Column("cost", BigInteger),
    UniqueConstraint("request_id", name="uq_image_jobs_request"),
    Index("ix_image_jobs_user", "user_id", "id"),
    Index("ix_image_jobs_status", "status", "id"),
)
"""`error` and `usage` are JSON objects."""
