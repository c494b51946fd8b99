"""The first schema: users, keys, sessions, messages, the ledger and its sums."""

import sqlalchemy as sa
from alembic import op

from infrastructure.migrations.steps import create, create_index, dialect, digest, long_text, name, utc

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

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
    create(
        "users",
        sa.Column("id", name(64), primary_key=True),
        sa.Column("email", name(254), nullable=False),
        sa.Column("role", name(64), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("name", name(255), nullable=False),
        sa.Column("password_hash", name(255)),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.UniqueConstraint("email", name="uq_users_email"),
    )


def _create_api_keys() -> None:
    create(
        "api_keys",
        sa.Column("id", name(64), primary_key=True),
        sa.Column("kid", name(64), nullable=False),
        sa.Column("user_id", name(64), sa.ForeignKey("users.id", name="fk_api_keys_user"), nullable=False),
        sa.Column("name", name(255), nullable=False),
        sa.Column("digest", digest(), nullable=False),
        sa.Column("last4", name(64), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("scopes", long_text(), nullable=False),
        sa.Column("models", long_text(), nullable=False),
        sa.Column("rpm", sa.BigInteger),
        sa.Column("tpm", sa.BigInteger),
        sa.Column("concurrency", sa.BigInteger),
        sa.Column("budget", sa.BigInteger),
        sa.Column("window", name(64)),
        sa.Column("expires_at", utc()),
        sa.Column("revoked_at", utc()),
        sa.UniqueConstraint("kid", name="uq_api_keys_kid"),
    )
    create_index("ix_api_keys_user", "api_keys", "user_id", "id")


def _create_sessions() -> None:
    create(
        "sessions",
        sa.Column("id", name(64), primary_key=True),
        sa.Column("user_id", name(64), sa.ForeignKey("users.id", name="fk_sessions_user"), nullable=False),
        sa.Column("title", name(255), nullable=False),
        sa.Column("provider", name(64), nullable=False),
        sa.Column("model", name(255), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("updated_at", utc(), nullable=False),
        sa.Column("config", long_text(), nullable=False),
        sa.Column("message_count", sa.Integer, nullable=False),
        sa.Column("active_request_id", name(64)),
        sa.Column("active_since", utc()),
        sa.Column("deleted_at", utc()),
    )
    create_index("ix_sessions_user", "sessions", "user_id", "id")
    create_index("ix_sessions_active", "sessions", "active_request_id")


def _create_messages() -> None:
    create(
        "messages",
        sa.Column("id", name(64), primary_key=True),
        sa.Column("session_id", name(64), sa.ForeignKey("sessions.id", name="fk_messages_session"), nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("role", name(64), nullable=False),
        sa.Column("content", long_text(), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("state", name(64), nullable=False),
        sa.Column("request_id", name(64)),
        sa.Column("model", name(255)),
        sa.Column("finish_reason", name(64)),
        sa.UniqueConstraint("session_id", "seq", name="uq_messages_seq"),
        sa.UniqueConstraint("request_id", "role", name="uq_messages_request"),
    )


def _create_usage_ledger() -> None:
    create(
        "usage_ledger",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("request_id", name(64), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("kind", name(64), nullable=False),
        sa.Column("user_id", name(64), nullable=False),
        sa.Column("key_id", name(64), nullable=False),
        sa.Column("session_id", name(64)),
        sa.Column("model_requested", name(255), nullable=False),
        sa.Column("model_used", name(255), nullable=False),
        sa.Column("provider", name(64), nullable=False),
        sa.Column("input", sa.BigInteger, nullable=False),
        sa.Column("cached_input", sa.BigInteger, nullable=False),
        sa.Column("cache_write", sa.BigInteger, nullable=False),
        sa.Column("output", sa.BigInteger, nullable=False),
        sa.Column("reasoning", sa.BigInteger, nullable=False),
        sa.Column("source", name(64), nullable=False),
        sa.Column("estimate_method", name(64)),
        sa.Column("state", name(64), nullable=False),
        sa.Column("error_code", name(64)),
        sa.Column("cost", sa.BigInteger),
        sa.Column("charged", sa.BigInteger),
        sa.Column("price_version", name(64), nullable=False),
        sa.Column("streamed", sa.Boolean, nullable=False),
        sa.Column("started_at", utc(), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        sa.Column("first_token_ms", sa.BigInteger),
        sa.Column("recorded_at", utc(), server_default=sa.text(_NOW[dialect()]), nullable=False),
        sa.UniqueConstraint("request_id", "attempt", "kind", name="uq_usage_ledger_record"),
    )
    create_index("ix_usage_ledger_user", "usage_ledger", "user_id", "kind", "request_id")


def _create_usage_rollups() -> None:
    create(
        "usage_rollups",
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("user_id", name(64), primary_key=True),
        sa.Column("key_id", name(64), primary_key=True),
        sa.Column("model", name(255), primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("input", sa.BigInteger, nullable=False),
        sa.Column("cached_input", sa.BigInteger, nullable=False),
        sa.Column("cache_write", sa.BigInteger, nullable=False),
        sa.Column("output", sa.BigInteger, nullable=False),
        sa.Column("reasoning", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.BigInteger, nullable=False),
        sa.Column("unpriced", sa.BigInteger, nullable=False),
    )
    create_index("ix_usage_rollups_user", "usage_rollups", "user_id", "day")


def _create_rollup_watermark() -> None:
    create(
        "rollup_watermark",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("ledger_id", sa.BigInteger, nullable=False),
    )
    if op.get_bind().execute(sa.text("SELECT COUNT(*) FROM rollup_watermark")).scalar() == 0:
        op.execute("INSERT INTO rollup_watermark (id, ledger_id) VALUES (1, 0)")
