"""Keys whose streams show no signs of life."""

import sqlalchemy as sa

from infrastructure.migrations.steps import add, drop

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add("api_keys", sa.Column("heartbeats", sa.Boolean, nullable=False, server_default=sa.true()))


def downgrade() -> None:
    """All streams show them again."""
    drop("api_keys", "heartbeats")
