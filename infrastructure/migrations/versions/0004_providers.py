"""What providers keep and bill beside tokens: conversations, images; answers from the cache; summaries of sessions."""

import json

import sqlalchemy as sa
from alembic import op

from infrastructure.migrations.steps import add, create, drop, long_text, name, utc

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_AT_ONCE = 500


def upgrade() -> None:
    add(
        "usage_ledger",
        sa.Column("images", sa.Integer, nullable=False, server_default="0"),
        sa.Column("cache_hit", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    add("price_changes", sa.Column("image", sa.BigInteger))
    add("sessions", sa.Column("conversation", name(255), nullable=False, server_default=""))
    create(
        "session_summaries",
        sa.Column("session_id", name(64), primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("messages", sa.Integer, nullable=False),
        sa.Column("text", long_text(), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
    )


def downgrade() -> None:
    """Conversations with providers that keep them begin anew; ledger rows stay, without what is new in them."""
    _forget_strategies()
    op.drop_table("session_summaries", if_exists=True)
    drop("price_changes", "image")
    drop("sessions", "conversation")
    drop("usage_ledger", "images", "cache_hit")


def _forget_strategies() -> None:
    """An older program takes no session whose settings it does not know all of."""
    sessions = sa.table("sessions", sa.column("id", sa.String), sa.column("config", sa.Text))
    found = sa.select(sessions).where(sessions.c.config.like('%"context"%')).order_by(sessions.c.id).limit(_AT_ONCE)
    connection, last = op.get_bind(), ""
    while rows := connection.execute(found.where(sessions.c.id > last)).all():
        for session_id, config in rows:
            kept = {name: value for name, value in json.loads(config).items() if name != "context"}
            changed = sa.update(sessions).where(sessions.c.id == session_id).values(config=json.dumps(kept))
            connection.execute(changed)
        last = rows[-1].id
