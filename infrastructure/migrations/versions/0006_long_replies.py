"""Replies that are longer than one row takes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from infrastructure.migrations.steps import create, digest, tables

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_PARTS = "idempotency_parts"


def upgrade() -> None:
    create(
        _PARTS,
        sa.Column("key_id", digest(), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("body", sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql"), nullable=False),
    )


def downgrade() -> None:
    """An older program would give the beginning of a long reply for the whole: to it they were never kept."""
    if _PARTS not in tables():
        return
    keys = sa.table("idempotency_keys", *map(sa.column, ("id", "status", "headers", "body")))
    long = keys.c.id.in_(sa.select(sa.column("key_id")).select_from(sa.table(_PARTS)))
    op.execute(sa.update(keys).where(long).values(status=None, headers=None, body=None))
    op.drop_table(_PARTS)
