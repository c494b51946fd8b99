"""Teams: people who share keys and budgets."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class TeamRole(StrEnum):
    LEAD = "lead"
    """May change the team's members and keys."""
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Team:
    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Membership:
    team_id: str
    user_id: str
    role: TeamRole
