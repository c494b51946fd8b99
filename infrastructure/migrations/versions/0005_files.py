"""Files, and images that are made in the background."""

import sqlalchemy as sa
from alembic import op

from infrastructure.migrations.steps import create, create_index, long_text, name, utc

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create(
        "files",
        sa.Column("id", name(64), primary_key=True),
        sa.Column("user_id", name(64), nullable=False),
        sa.Column("purpose", name(64), nullable=False),
        sa.Column("name", name(255), nullable=False),
        sa.Column("media_type", name(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", name(64), nullable=False),
        sa.Column("blob", name(64), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("request_id", name(64)),
        sa.UniqueConstraint("blob", name="uq_files_blob"),
    )
    create_index("ix_files_user", "files", "user_id", "id")
    create_index("ix_files_request", "files", "request_id")
    create(
        "image_jobs",
        sa.Column("id", name(64), primary_key=True),
        sa.Column("user_id", name(64), nullable=False),
        sa.Column("key_id", name(64), nullable=False),
        sa.Column("request_id", name(64), nullable=False),
        sa.Column("model", name(255), nullable=False),
        sa.Column("prompt", long_text(), nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("size", name(64)),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("lease_until", utc(), nullable=False),
        sa.Column("status", name(64), nullable=False),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("ended_at", utc()),
        sa.Column("error", long_text()),
        sa.Column("usage", long_text()),
        sa.Column("cost", sa.BigInteger),
        sa.UniqueConstraint("request_id", name="uq_image_jobs_request"),
    )
    create_index("ix_image_jobs_user", "image_jobs", "user_id", "id")
    create_index("ix_image_jobs_status", "image_jobs", "status", "id")


def downgrade() -> None:
    """The contents of files stay where they are until they are swept."""
    op.drop_table("image_jobs", if_exists=True)
    op.drop_table("files", if_exists=True)
