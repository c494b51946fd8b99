"""Idempotency keys: which requests have them, and what those were answered with."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from infrastructure.migrations.steps import create, create_index, digest, long_text, name, utc

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create(
        "idempotency_keys",
        sa.Column("id", digest(), primary_key=True),
        sa.Column("user_id", name(64), nullable=False),
        sa.Column("fingerprint", digest(), nullable=False),
        sa.Column("request_id", name(64), nullable=False),
        sa.Column("claimed_at", utc(), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("headers", long_text()),
        sa.Column("body", sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")),
    )
    create_index("ix_idempotency_keys_user", "idempotency_keys", "user_id")
    create_index("ix_idempotency_keys_claimed", "idempotency_keys", "claimed_at")


def downgrade() -> None:
    """What is kept is forgotten: a repeat executes again."""
    op.drop_table("idempotency_keys", if_exists=True)
