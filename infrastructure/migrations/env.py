"""What alembic runs around the migrations; `infrastructure/schema_changes.py` opens and ends the transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
