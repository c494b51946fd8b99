"""The first schema: users, keys, sessions, messages, the ledger and its sums.

MySQL commits every statement on its own, so a killed migration leaves some tables behind: the next run skips what is
there already.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BINARY = {"mysql": "utf8mb4_bin", "postgresql": "C"}
_NOW = {
    "mysql": "CURRENT_TIMESTAMP(6)",
    "postgresql": "clock_timestamp()",
    "sqlite": "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))",
}


def upgrade() -> None:
    _create_users()
    _create_api_keys()
    _create_sessions()
    _create_messages()
    _create_usage_ledger()
    _create_usage_rollups()
    _create_rollup_watermark()


def downgrade() -> None:
    for table in (
        "rollup_watermark",
        "usage_rollups",
        "usage_ledger",
        "messages",
        "sessions",
        "api_keys",
        "users",
    ):
        op.drop_table(table, if_exists=True)


def _create_users() -> None:
    _create(
        "users",
        sa.Column("id", _name(64), primary_key=True),
        sa.Column("email", _name(254), nullable=False),
        sa.Column("role", _name(64), nullable=False),
        sa.Column("created_at", _utc(), nullable=False),
        sa.Column("name", _name(255), nullable=False),
        sa.Column("password_hash", _name(255)),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.UniqueConstraint("email", name="uq_users_email"),
    )


def _create_api_keys() -> None:
    _create(
        "api_keys",
        sa.Column("id", _name(64), primary_key=True),
        sa.Column("kid", _name(64), nullable=False),
        sa.Column("user_id", _name(64), sa.ForeignKey("users.id", name="fk_api_keys_user"), nullable=False),
        sa.Column("name", _name(255), nullable=False),
        sa.Column("digest", sa.LargeBinary(32).with_variant(mysql.VARBINARY(32), "mysql"), nullable=False),
        sa.Column("last4", _name(64), nullable=False),
        sa.Column("created_at", _utc(), nullable=False),
        sa.Column("scopes", _long_text(), nullable=False),
        sa.Column("models", _long_text(), nullable=False),
        sa.Column("rpm", sa.BigInteger),
        sa.Column("tpm", sa.BigInteger),
        sa.Column("concurrency", sa.BigInteger),
        sa.Column("budget", sa.BigInteger),
        sa.Column("window", _name(64)),
        sa.Column("expires_at", _utc()),
        sa.Column("revoked_at", _utc()),
        sa.UniqueConstraint("kid", name="uq_api_keys_kid"),
    )
    _create_index("ix_api_keys_user", "api_keys", "user_id", "id")


def _create_sessions() -> None:
    _create(
        "sessions",
        sa.Column("id", _name(64), primary_key=True),
        sa.Column("user_id", _name(64), sa.ForeignKey("users.id", name="fk_sessions_user"), nullable=False),
        sa.Column("title", _name(255), nullable=False),
        sa.Column("provider", _name(64), nullable=False),
        sa.Column("model", _name(255), nullable=False),
        sa.Column("created_at", _utc(), nullable=False),
        sa.Column("updated_at", _utc(), nullable=False),
        sa.Column("config", _long_text(), nullable=False),
        sa.Column("message_count", sa.Integer, nullable=False),
        sa.Column("active_request_id", _name(64)),
        sa.Column("active_since", _utc()),
        sa.Column("deleted_at", _utc()),
    )
    _create_index("ix_sessions_user", "sessions", "user_id", "id")
    _create_index("ix_sessions_active", "sessions", "active_request_id")


def _create_messages() -> None:
    _create(
        "messages",
        sa.Column("id", _name(64), primary_key=True),
        sa.Column("session_id", _name(64), sa.ForeignKey("sessions.id", name="fk_messages_session"), nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("role", _name(64), nullable=False),
        sa.Column("content", _long_text(), nullable=False),
        sa.Column("created_at", _utc(), nullable=False),
        sa.Column("state", _name(64), nullable=False),
        sa.Column("request_id", _name(64)),
        sa.Column("model", _name(255)),
        sa.Column("finish_reason", _name(64)),
        sa.UniqueConstraint("session_id", "seq", name="uq_messages_seq"),
        sa.UniqueConstraint("request_id", "role", name="uq_messages_request"),
    )


def _create_usage_ledger() -> None:
    _create(
        "usage_ledger",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("request_id", _name(64), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("kind", _name(64), nullable=False),
        sa.Column("user_id", _name(64), nullable=False),
        sa.Column("key_id", _name(64), nullable=False),
        sa.Column("session_id", _name(64)),
        sa.Column("model_requested", _name(255), nullable=False),
        sa.Column("model_used", _name(255), nullable=False),
        sa.Column("provider", _name(64), nullable=False),
        sa.Column("input", sa.BigInteger, nullable=False),
        sa.Column("cached_input", sa.BigInteger, nullable=False),
        sa.Column("cache_write", sa.BigInteger, nullable=False),
        sa.Column("output", sa.BigInteger, nullable=False),
        sa.Column("reasoning", sa.BigInteger, nullable=False),
        sa.Column("source", _name(64), nullable=False),
        sa.Column("estimate_method", _name(64)),
        sa.Column("state", _name(64), nullable=False),
        sa.Column("error_code", _name(64)),
        sa.Column("cost", sa.BigInteger),
        sa.Column("charged", sa.BigInteger),
        sa.Column("price_version", _name(64), nullable=False),
        sa.Column("streamed", sa.Boolean, nullable=False),
        sa.Column("started_at", _utc(), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        sa.Column("first_token_ms", sa.BigInteger),
        sa.Column("recorded_at", _utc(), server_default=sa.text(_NOW[_dialect()]), nullable=False),
        sa.UniqueConstraint("request_id", "attempt", "kind", name="uq_usage_ledger_record"),
    )
    _create_index("ix_usage_ledger_user", "usage_ledger", "user_id", "kind", "request_id")


def _create_usage_rollups() -> None:
    _create(
        "usage_rollups",
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("user_id", _name(64), primary_key=True),
        sa.Column("key_id", _name(64), primary_key=True),
        sa.Column("model", _name(255), primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("input", sa.BigInteger, nullable=False),
        sa.Column("cached_input", sa.BigInteger, nullable=False),
        sa.Column("cache_write", sa.BigInteger, nullable=False),
        sa.Column("output", sa.BigInteger, nullable=False),
        sa.Column("reasoning", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.BigInteger, nullable=False),
        sa.Column("unpriced", sa.BigInteger, nullable=False),
    )
    _create_index("ix_usage_rollups_user", "usage_rollups", "user_id", "day")


def _create_rollup_watermark() -> None:
    _create(
        "rollup_watermark",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("ledger_id", sa.BigInteger, nullable=False),
    )
    if op.get_bind().execute(sa.text("SELECT COUNT(*) FROM rollup_watermark")).scalar() == 0:
        op.execute("INSERT INTO rollup_watermark (id, ledger_id) VALUES (1, 0)")


def _create(name: str, *columns: sa.schema.SchemaItem) -> None:
    options = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
    op.create_table(name, *columns, if_not_exists=True, **options)


def _create_index(name: str, table: str, *columns: str) -> None:
    """MySQL has no `IF NOT EXISTS` for an index."""
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, list(columns))


def _dialect() -> str:
    return op.get_bind().dialect.name


def _name(length: int) -> sa.String:
    return sa.String(length, collation=_BINARY.get(_dialect()))


def _long_text() -> sa.types.TypeEngine[str]:
    if _dialect() == "mysql":
        return mysql.MEDIUMTEXT(collation=_BINARY["mysql"])
    return sa.Text(collation=_BINARY.get(_dialect()))


def _utc() -> sa.DateTime:
    return mysql.DATETIME(fsp=6) if _dialect() == "mysql" else sa.DateTime(timezone=_dialect() == "postgresql")
