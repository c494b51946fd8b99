"""Teams and their members in SQL."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable, Select, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from adapters.persistence.account_tables import team_members, teams
from adapters.persistence.dialects import insert_or_replace
from domain.errors import Conflict
from domain.team import Membership, Team, TeamRole

_BY_ID = select(teams).where(teams.c.id == bindparam("team_id"))
_OF_TEAM = select(team_members).where(team_members.c.team_id == bindparam("value")).order_by(team_members.c.user_id)
_OF_USER = select(team_members).where(team_members.c.user_id == bindparam("value")).order_by(team_members.c.team_id)


@dataclass(frozen=True, slots=True)
class SqlTeams:
    connection: Connection

    def add(self, team: Team) -> None:
        self._write(insert(teams).values(id=team.id, name=team.name, created_at=team.created_at))

    def get(self, team_id: str) -> Team | None:
        row = self.connection.execute(_BY_ID, {"team_id": team_id}).mappings().first()
        return None if row is None else Team(**row)

    def page(self, limit: int, before: str | None) -> list[Team]:
        query = select(teams).order_by(teams.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(teams.c.id < before)
        return [Team(**row) for row in self.connection.execute(query).mappings()]

    def save(self, team: Team) -> None:
        self._write(update(teams).where(teams.c.id == team.id).values(name=team.name))

    def delete(self, team_id: str) -> None:
        self.connection.execute(delete(team_members).where(team_members.c.team_id == team_id))
        self.connection.execute(delete(teams).where(teams.c.id == team_id))

    def members(self, team_id: str) -> list[Membership]:
        return self._memberships(_OF_TEAM, team_id)

    def of_user(self, user_id: str) -> list[Membership]:
        return self._memberships(_OF_USER, user_id)

    def put_member(self, membership: Membership) -> None:
        row = {"team_id": membership.team_id, "user_id": membership.user_id, "role": membership.role.value}
        self.connection.execute(insert_or_replace(self.connection.dialect.name, team_members, ("role",)), row)

    def remove_member(self, team_id: str, user_id: str) -> bool:
        this = (team_members.c.team_id == team_id) & (team_members.c.user_id == user_id)
        return self.connection.execute(delete(team_members).where(this)).rowcount == 1

    def _write(self, statement: Executable) -> None:
        try:
            self.connection.execute(statement)
        except IntegrityError as error:
            raise Conflict("A team has this name already.", param="name") from error

    def _memberships(self, query: Select[Any], value: str) -> list[Membership]:
        rows = self.connection.execute(query, {"value": value})
        return [Membership(row.team_id, row.user_id, TeamRole(row.role)) for row in rows]
