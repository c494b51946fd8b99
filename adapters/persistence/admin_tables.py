"""The tables of limits, budgets and administration."""

from sqlalchemy import BigInteger, Boolean, Column, Date, Index, Integer, LargeBinary, Table

from adapters.persistence.tables import metadata
from adapters.persistence.types import DIGEST, LongBytes, LongText, Name, Utc

_ID = Name(64)
_WORD = Name(64)
_MODEL = Name(255)

limits = Table(
    "limits",
    metadata,
    Column("kind", _WORD, primary_key=True),
    Column("subject_id", _ID, primary_key=True),
    Column("rpm", BigInteger),
    Column("tpm", BigInteger),
    Column("concurrency", BigInteger),
    Column("budgets", LongText, nullable=False),
    Column("shadow", Boolean, nullable=False),
)
"""`budgets` is a JSON list of `[unit, window, amount]`."""

budget_windows = Table(
    "budget_windows",
    metadata,
    Column("kind", _WORD, primary_key=True),
    Column("subject_id", _ID, primary_key=True),
    Column("unit", _WORD, primary_key=True),
    Column("window", _WORD, primary_key=True),
    Column("period", Date, primary_key=True),
    Column("used", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
)

budget_holds = Table(
    "budget_holds",
    metadata,
    Column("request_id", _ID, primary_key=True),
    Column("kind", _WORD, primary_key=True),
    Column("subject_id", _ID, primary_key=True),
    Column("unit", _WORD, primary_key=True),
    Column("window", _WORD, primary_key=True),
    Column("period", Date, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("state", _WORD, nullable=False),
    Index("ix_budget_holds_created", "created_at"),
)
"""`state`: `held` counts in the window's `reserved`; `swept` was given back, and is only kept to be seen. Settling
deletes the row: a request is settled when its final row is in the ledger, whatever is here."""

provider_credentials = Table(
    "provider_credentials",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("provider", _WORD, nullable=False),
    Column("name", _MODEL, nullable=False),
    Column("sealed", LargeBinary(4096), nullable=False),
    Column("last4", _WORD, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("created_by", _ID, nullable=False),
    Column("base_url", Name(1024)),
    Column("disabled", Boolean, nullable=False),
)

price_changes = Table(
    "price_changes",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("model", _MODEL, nullable=False),
    Column("at", Utc, nullable=False),
    Column("by", _ID, nullable=False),
    Column("input", BigInteger),
    Column("output", BigInteger),
    Column("cached_input", BigInteger),
    Column("cache_write", BigInteger),
    Column("reasoning", BigInteger),
    Column("image", BigInteger),
    Index("ix_price_changes_model", "model", "id"),
)
"""Insert-only."""

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("user_id", _ID),
    Column("key_id", _ID),
    Column("ip", _WORD, nullable=False),
    Column("request_id", _ID, nullable=False),
    Column("action", _WORD, nullable=False),
    Column("object_id", _MODEL, nullable=False),
    Column("before", LongText, nullable=False),
    Column("after", LongText, nullable=False),
)
"""Insert-only. `before` and `after` are JSON objects."""

workers = Table(
    "workers",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("host", _MODEL, nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("seen_at", Utc, nullable=False),
    Column("state", LongText, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("id", DIGEST, primary_key=True),
    Column("user_id", _ID, nullable=False),
    Column("fingerprint", DIGEST, nullable=False),
    Column("request_id", _ID, nullable=False),
    Column("claimed_at", Utc, nullable=False),
    Column("status", Integer),
    Column("headers", LongText),
    Column("body", LongBytes),
    Index("ix_idempotency_keys_user", "user_id"),
    Index("ix_idempotency_keys_claimed", "claimed_at"),
)
"""`id` is a digest of the key and of whose it is. Without a `status` the request has no reply yet. `headers` is a JSON
list of pairs."""

idempotency_parts = Table(
    "idempotency_parts",
    metadata,
    Column("key_id", DIGEST, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("body", LongBytes, nullable=False),
)
"""What follows `body` of the key's reply, from 1. A key without a reply has none."""
