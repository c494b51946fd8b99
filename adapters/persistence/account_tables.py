"""The tables of accounts: what people log in with, teams, mails to be sent."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Table, UniqueConstraint

from adapters.persistence.tables import metadata
from adapters.persistence.types import DIGEST, Name, Utc

_ID = Name(64)
_WORD = Name(64)
_EMAIL = Name(254)
_KEY = Name(255)

logins = Table(
    "logins",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("kid", _WORD, nullable=False),
    Column("user_id", _ID, ForeignKey("users.id", name="fk_logins_user"), nullable=False),
    Column("digest", DIGEST, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("seen_at", Utc, nullable=False),
    Column("authenticated_at", Utc, nullable=False),
    Column("ip", _WORD, nullable=False),
    Column("user_agent", _KEY, nullable=False),
    Column("ended_at", Utc),
    UniqueConstraint("kid", name="uq_logins_kid"),
    Index("ix_logins_user", "user_id", "id"),
    Index("ix_logins_created", "created_at"),
)

one_time_tokens = Table(
    "one_time_tokens",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("purpose", _WORD, nullable=False),
    Column("digest", DIGEST, nullable=False),
    Column("email", _EMAIL, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False),
    Column("user_id", _ID),
    Column("role", _WORD),
    Column("used_at", Utc),
    UniqueConstraint("digest", name="uq_one_time_tokens_digest"),
    Index("ix_one_time_tokens_email", "email", "purpose"),
    Index("ix_one_time_tokens_user", "user_id"),
    Index("ix_one_time_tokens_expires", "expires_at"),
)
"""`used_at` is also set when a newer token takes the place of one, or when one is withdrawn."""

second_factors = Table(
    "second_factors",
    metadata,
    Column("user_id", _ID, ForeignKey("users.id", name="fk_second_factors_user"), primary_key=True),
    Column("sealed", LargeBinary(512), nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("last_step", BigInteger, nullable=False),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("user_id", _ID, ForeignKey("users.id", name="fk_recovery_codes_user"), primary_key=True),
    Column("digest", DIGEST, primary_key=True),
)
"""Those that are not used yet."""

identities = Table(
    "identities",
    metadata,
    Column("issuer", _KEY, primary_key=True),
    Column("subject", _KEY, primary_key=True),
    Column("user_id", _ID, ForeignKey("users.id", name="fk_identities_user"), nullable=False),
    Index("ix_identities_user", "user_id"),
)

throttles = Table(
    "throttles",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("since", Utc, nullable=False),
    Column("blocked_until", Utc, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("kind", _WORD, nullable=False),
    Column("email", _EMAIL, nullable=False),
    Column("locale", _WORD, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("due_at", Utc, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("subject_id", _ID),
    Index("ix_outbox_due", "due_at"),
)

teams = Table(
    "teams",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", _KEY, nullable=False),
    Column("created_at", Utc, nullable=False),
    UniqueConstraint("name", name="uq_teams_name"),
)

team_members = Table(
    "team_members",
    metadata,
    Column("team_id", _ID, ForeignKey("teams.id", name="fk_team_members_team"), primary_key=True),
    Column("user_id", _ID, ForeignKey("users.id", name="fk_team_members_user"), primary_key=True),
    Column("role", _WORD, nullable=False),
    Index("ix_team_members_user", "user_id"),
)
