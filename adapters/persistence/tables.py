"""The tables of sessions, keys and usage; `account_tables` and `admin_tables` have the others.

Columns carry the names of the entities' fields; money is in nano-units, times are UTC.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    FetchedValue,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
)

from adapters.persistence.types import BIG_ID, DIGEST, LongText, Name, Utc

metadata = MetaData()

_ID = Name(64)
_WORD = Name(64)
_MODEL = Name(255)

users = Table(
    "users",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("email", Name(254), nullable=False),
    Column("role", _WORD, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("name", Name(255), nullable=False),
    Column("password_hash", Name(255)),
    Column("disabled", Boolean, nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("locale", _WORD, nullable=False),
    Column("totp", Boolean, nullable=False),
    UniqueConstraint("email", name="uq_users_email"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("kid", _WORD, nullable=False),
    Column("user_id", _ID, ForeignKey("users.id", name="fk_api_keys_user"), nullable=False),
    Column("name", Name(255), nullable=False),
    Column("digest", DIGEST, nullable=False),
    Column("last4", _WORD, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("scopes", LongText, nullable=False),
    Column("models", LongText, nullable=False),
    Column("heartbeats", Boolean, nullable=False),
    Column("team_id", _ID),
    Column("expires_at", Utc),
    Column("revoked_at", Utc),
    Column("replaced_by", _ID),
    Column("last_used_at", Utc),
    UniqueConstraint("kid", name="uq_api_keys_kid"),
    Index("ix_api_keys_user", "user_id", "id"),
    Index("ix_api_keys_team", "team_id", "id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("user_id", _ID, ForeignKey("users.id", name="fk_sessions_user"), nullable=False),
    Column("title", Name(255), nullable=False),
    Column("provider", _WORD, nullable=False),
    Column("model", _MODEL, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    Column("config", LongText, nullable=False),
    Column("message_count", Integer, nullable=False),
    Column("active_request_id", _ID),
    Column("active_since", Utc),
    Column("deleted_at", Utc),
    Column("conversation", Name(255), nullable=False),
    Index("ix_sessions_user", "user_id", "id"),
    Index("ix_sessions_active", "active_request_id"),
)

session_summaries = Table(
    "session_summaries",
    metadata,
    Column("session_id", _ID, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("messages", Integer, nullable=False),
    Column("text", LongText, nullable=False),
    Column("created_at", Utc, nullable=False),
)
"""What stands for messages of a session up to `seq`, and for how many."""

messages = Table(
    "messages",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("session_id", _ID, ForeignKey("sessions.id", name="fk_messages_session"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("role", _WORD, nullable=False),
    Column("content", LongText, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("request_id", _ID),
    Column("model", _MODEL),
    Column("finish_reason", _WORD),
    UniqueConstraint("session_id", "seq", name="uq_messages_seq"),
    UniqueConstraint("request_id", "role", name="uq_messages_request"),
)

usage_ledger = Table(
    "usage_ledger",
    metadata,
    Column("id", BIG_ID, primary_key=True, autoincrement=True),
    Column("request_id", _ID, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("kind", _WORD, nullable=False),
    Column("user_id", _ID, nullable=False),
    Column("key_id", _ID, nullable=False),
    Column("session_id", _ID),
    Column("model_requested", _MODEL, nullable=False),
    Column("model_used", _MODEL, nullable=False),
    Column("provider", _WORD, nullable=False),
    Column("input", BigInteger, nullable=False),
    Column("cached_input", BigInteger, nullable=False),
    Column("cache_write", BigInteger, nullable=False),
    Column("output", BigInteger, nullable=False),
    Column("reasoning", BigInteger, nullable=False),
    Column("images", Integer, nullable=False),
    Column("source", _WORD, nullable=False),
    Column("estimate_method", _WORD),
    Column("state", _WORD, nullable=False),
    Column("error_code", _WORD),
    Column("cost", BigInteger),
    Column("charged", BigInteger),
    Column("price_version", _WORD, nullable=False),
    Column("streamed", Boolean, nullable=False),
    Column("cache_hit", Boolean, nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("day", Date, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("first_token_ms", BigInteger),
    Column("recorded_at", Utc, FetchedValue(), nullable=False),
    UniqueConstraint("request_id", "attempt", "kind", name="uq_usage_ledger_record"),
    Index("ix_usage_ledger_user", "user_id", "kind", "request_id"),
    Index("ix_usage_ledger_key", "key_id", "kind", "request_id"),
    Index("ix_usage_ledger_all", "kind", "request_id"),
)
"""Insert-only. `day` is the UTC date of `started_at`; the server's clock sets `recorded_at`."""

usage_rollups = Table(
    "usage_rollups",
    metadata,
    Column("day", Date, primary_key=True),
    Column("user_id", _ID, primary_key=True),
    Column("key_id", _ID, primary_key=True),
    Column("model", _MODEL, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("input", BigInteger, nullable=False),
    Column("cached_input", BigInteger, nullable=False),
    Column("cache_write", BigInteger, nullable=False),
    Column("output", BigInteger, nullable=False),
    Column("reasoning", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("unpriced", BigInteger, nullable=False),
    Index("ix_usage_rollups_user", "user_id", "day"),
)
"""Derived from the ledger's final and adjust rows up to the watermark. `cost` is the sum of `charged`."""

rollup_watermark = Table(
    "rollup_watermark",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("ledger_id", BigInteger, nullable=False),
)
"""One row: the newest ledger row that is in the rollups."""
