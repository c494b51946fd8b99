"""Accounts, teams, limits, budgets and administration. The limits of keys move into a table of their own."""

import json

import sqlalchemy as sa
from alembic import op

from infrastructure.migrations.steps import (
    add,
    columns_of,
    create,
    create_index,
    digest,
    drop,
    drop_index,
    long_text,
    name,
    tables,
    utc,
)

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_LIMITS = ("rpm", "tpm", "concurrency")
_MOVED = (*_LIMITS, "budget", "window")
_CREATED = (
    "logins",
    "one_time_tokens",
    "second_factors",
    "recovery_codes",
    "identities",
    "throttles",
    "outbox",
    "teams",
    "team_members",
    "limits",
    "budget_windows",
    "budget_holds",
    "provider_credentials",
    "price_changes",
    "audit_log",
    "workers",
)


def upgrade() -> None:
    _extend_first_schema()
    _create_logins()
    _create_one_time_tokens()
    _create_second_factors()
    _create_identities()
    _create_throttles()
    _create_outbox()
    _create_teams()
    _create_limits()
    _create_budget_windows()
    _create_budget_holds()
    _create_provider_credentials()
    _create_price_changes()
    _create_audit_log()
    _create_workers()
    _move_limits()


def downgrade() -> None:
    """Back to the first schema; only the limits of keys that it knows are kept."""
    add("api_keys", *(sa.Column(it, name(64) if it == "window" else sa.BigInteger()) for it in _MOVED))
    _move_limits_back()
    for table in reversed(_CREATED):
        op.drop_table(table, if_exists=True)
    drop_index("ix_api_keys_team", "api_keys")
    drop_index("ix_usage_ledger_key", "usage_ledger")
    drop_index("ix_usage_ledger_all", "usage_ledger")
    drop("api_keys", "team_id", "replaced_by", "last_used_at")
    drop("users", "confirmed", "locale", "totp")


def _extend_first_schema() -> None:
    add(
        "users",
        sa.Column("confirmed", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("locale", name(64), nullable=False, server_default="en"),
        sa.Column("totp", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    add(
        "api_keys",
        sa.Column("team_id", name(64)),
        sa.Column("replaced_by", name(64)),
        sa.Column("last_used_at", utc()),
    )
    create_index("ix_api_keys_team", "api_keys", "team_id", "id")
    create_index("ix_usage_ledger_key", "usage_ledger", "key_id", "kind", "request_id")
    create_index("ix_usage_ledger_all", "usage_ledger", "kind", "request_id")


def _create_logins() -> None:
    create(
        "logins",
        sa.Column("id", name(64), primary_key=True),
        sa.Column("kid", name(64), nullable=False),
        sa.Column("user_id", name(64), sa.ForeignKey("users.id", name="fk_logins_user"), nullable=False),
        sa.Column("digest", digest(), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("seen_at", utc(), nullable=False),
        sa.Column("authenticated_at", utc(), nullable=False),
        sa.Column("ip", name(64), nullable=False),
        sa.Column("user_agent", name(255), nullable=False),
        sa.Column("ended_at", utc()),
        sa.UniqueConstraint("kid", name="uq_logins_kid"),
    )
    create_index("ix_logins_user", "logins", "user_id", "id")
    create_index("ix_logins_created", "logins", "created_at")


def _create_one_time_tokens() -> None:
    create(
        "one_time_tokens",
        sa.Column("id", name(64), primary_key=True),
        sa.Column("purpose", name(64), nullable=False),
        sa.Column("digest", digest(), nullable=False),
        sa.Column("email", name(254), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("expires_at", utc(), nullable=False),
        sa.Column("user_id", name(64)),
        sa.Column("role", name(64)),
        sa.Column("used_at", utc()),
        sa.UniqueConstraint("digest", name="uq_one_time_tokens_digest"),
    )
    create_index("ix_one_time_tokens_email", "one_time_tokens", "email", "purpose")
    create_index("ix_one_time_tokens_user", "one_time_tokens", "user_id")
    create_index("ix_one_time_tokens_expires", "one_time_tokens", "expires_at")


def _create_second_factors() -> None:
    create(
        "second_factors",
        sa.Column("user_id", name(64), sa.ForeignKey("users.id", name="fk_second_factors_user"), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(512), nullable=False),
        sa.Column("confirmed", sa.Boolean, nullable=False),
        sa.Column("last_step", sa.BigInteger, nullable=False),
    )
    create(
        "recovery_codes",
        sa.Column("user_id", name(64), sa.ForeignKey("users.id", name="fk_recovery_codes_user"), primary_key=True),
        sa.Column("digest", digest(), primary_key=True),
    )


def _create_identities() -> None:
    create(
        "identities",
        sa.Column("issuer", name(255), primary_key=True),
        sa.Column("subject", name(255), primary_key=True),
        sa.Column("user_id", name(64), sa.ForeignKey("users.id", name="fk_identities_user"), nullable=False),
    )
    create_index("ix_identities_user", "identities", "user_id")


def _create_throttles() -> None:
    create(
        "throttles",
        sa.Column("id", name(255), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("since", utc(), nullable=False),
        sa.Column("blocked_until", utc(), nullable=False),
    )


def _create_outbox() -> None:
    create(
        "outbox",
        sa.Column("id", name(64), primary_key=True),
        sa.Column("kind", name(64), nullable=False),
        sa.Column("email", name(254), nullable=False),
        sa.Column("locale", name(64), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("due_at", utc(), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("subject_id", name(64)),
    )
    create_index("ix_outbox_due", "outbox", "due_at")


def _create_teams() -> None:
    create(
        "teams",
        sa.Column("id", name(64), primary_key=True),
        sa.Column("name", name(255), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.UniqueConstraint("name", name="uq_teams_name"),
    )
    create(
        "team_members",
        sa.Column("team_id", name(64), sa.ForeignKey("teams.id", name="fk_team_members_team"), primary_key=True),
        sa.Column("user_id", name(64), sa.ForeignKey("users.id", name="fk_team_members_user"), primary_key=True),
        sa.Column("role", name(64), nullable=False),
    )
    create_index("ix_team_members_user", "team_members", "user_id")


def _create_limits() -> None:
    create(
        "limits",
        sa.Column("kind", name(64), primary_key=True),
        sa.Column("subject_id", name(64), primary_key=True),
        sa.Column("rpm", sa.BigInteger),
        sa.Column("tpm", sa.BigInteger),
        sa.Column("concurrency", sa.BigInteger),
        sa.Column("budgets", long_text(), nullable=False),
        sa.Column("shadow", sa.Boolean, nullable=False),
    )


def _create_budget_windows() -> None:
    create(
        "budget_windows",
        sa.Column("kind", name(64), primary_key=True),
        sa.Column("subject_id", name(64), primary_key=True),
        sa.Column("unit", name(64), primary_key=True),
        sa.Column("window", name(64), primary_key=True),
        sa.Column("period", sa.Date, primary_key=True),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.Column("reserved", sa.BigInteger, nullable=False),
    )


def _create_budget_holds() -> None:
    create(
        "budget_holds",
        sa.Column("request_id", name(64), primary_key=True),
        sa.Column("kind", name(64), primary_key=True),
        sa.Column("subject_id", name(64), primary_key=True),
        sa.Column("unit", name(64), primary_key=True),
        sa.Column("window", name(64), primary_key=True),
        sa.Column("period", sa.Date, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("state", name(64), nullable=False),
    )
    create_index("ix_budget_holds_created", "budget_holds", "created_at")


def _create_provider_credentials() -> None:
    create(
        "provider_credentials",
        sa.Column("id", name(64), primary_key=True),
        sa.Column("provider", name(64), nullable=False),
        sa.Column("name", name(255), nullable=False),
        sa.Column("sealed", sa.LargeBinary(4096), nullable=False),
        sa.Column("last4", name(64), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("created_by", name(64), nullable=False),
        sa.Column("base_url", name(1024)),
        sa.Column("disabled", sa.Boolean, nullable=False),
    )


def _create_price_changes() -> None:
    create(
        "price_changes",
        sa.Column("id", name(64), primary_key=True),
        sa.Column("model", name(255), nullable=False),
        sa.Column("at", utc(), nullable=False),
        sa.Column("by", name(64), nullable=False),
        sa.Column("input", sa.BigInteger),
        sa.Column("output", sa.BigInteger),
        sa.Column("cached_input", sa.BigInteger),
        sa.Column("cache_write", sa.BigInteger),
        sa.Column("reasoning", sa.BigInteger),
    )
    create_index("ix_price_changes_model", "price_changes", "model", "id")


def _create_audit_log() -> None:
    create(
        "audit_log",
        sa.Column("id", name(64), primary_key=True),
        sa.Column("at", utc(), nullable=False),
        sa.Column("user_id", name(64)),
        sa.Column("key_id", name(64)),
        sa.Column("ip", name(64), nullable=False),
        sa.Column("request_id", name(64), nullable=False),
        sa.Column("action", name(64), nullable=False),
        sa.Column("object_id", name(255), nullable=False),
        sa.Column("before", long_text(), nullable=False),
        sa.Column("after", long_text(), nullable=False),
    )


def _create_workers() -> None:
    create(
        "workers",
        sa.Column("id", name(64), primary_key=True),
        sa.Column("host", name(255), nullable=False),
        sa.Column("started_at", utc(), nullable=False),
        sa.Column("seen_at", utc(), nullable=False),
        sa.Column("state", long_text(), nullable=False),
    )


def _move_limits() -> None:
    """Into the new table, then the old columns go; a row that is there already is left as it is."""
    if columns_of("api_keys").issuperset(_MOVED):
        _copy_limits()
    drop("api_keys", *_MOVED)


def _copy_limits() -> None:
    connection, limits, keys = op.get_bind(), _limits(), _keys()
    done = set(connection.execute(sa.select(limits.c.subject_id).where(limits.c.kind == "key")).scalars())
    for key in connection.execute(sa.select(keys)).mappings().all():
        row = {it: key[it] for it in _LIMITS}
        budgets = [] if key["budget"] is None else [["money", key["window"] or "total", key["budget"]]]
        if key["id"] not in done and (budgets or any(value is not None for value in row.values())):
            row |= {"kind": "key", "subject_id": key["id"], "budgets": json.dumps(budgets), "shadow": False}
            connection.execute(sa.insert(limits).values(row))


def _move_limits_back() -> None:
    if "limits" not in tables():
        return
    connection, limits, keys = op.get_bind(), _limits(), _keys()
    for row in connection.execute(sa.select(limits).where(limits.c.kind == "key")).mappings().all():
        values = {it: row[it] for it in _LIMITS}
        money = next((budget for budget in json.loads(row["budgets"]) if budget[0] == "money"), None)
        if money is not None:
            values |= {"window": money[1], "budget": money[2]}
        connection.execute(sa.update(keys).where(keys.c.id == row["subject_id"]).values(values))


def _keys() -> sa.TableClause:
    return sa.table("api_keys", sa.column("id"), *(sa.column(it) for it in _MOVED))


def _limits() -> sa.TableClause:
    names = ("kind", "subject_id", *_LIMITS, "budgets")
    return sa.table("limits", *(sa.column(it) for it in names), sa.column("shadow", sa.Boolean))
