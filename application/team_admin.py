"""Teams, as administrators see them."""

from dataclasses import dataclass, replace
from functools import partial

from application import memberships
from application.auditing import Auditor, Change
from application.erasure import erased
from application.memberships import Member
from application.pages import each
from application.ports import Clock, NewId
from application.store import Begin, UnitOfWork
from domain.audit import Actor
from domain.errors import NotFound
from domain.limits import NO_LIMITS, Kind
from domain.team import Membership, Team
from domain.user import Principal, Scope


@dataclass(frozen=True, slots=True)
class TeamAdmin:
    """Every method requires the scope `admin` (and a recent login). An unknown team or user is NotFound."""

    begin: Begin
    clock: Clock
    new_id: NewId
    auditor: Auditor

    def page(self, principal: Principal, limit: int, before: str | None) -> list[Team]:
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            return work.teams.page(limit, before)

    def create(self, principal: Principal, name: str, actor: Actor) -> Team:
        """Raises Conflict for a taken name."""
        principal.require(Scope.ADMIN)
        team = Team(self.new_id("team"), name, self.clock.now())
        with self.begin() as work:
            work.teams.add(team)
            self.auditor.write(work, actor, Change("team.create", team.id, after={"name": name}))
        return team

    def get(self, principal: Principal, team_id: str) -> tuple[Team, list[Member]]:
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            return _existing(work, team_id), memberships.members_of(work, team_id)

    def rename(self, principal: Principal, team_id: str, name: str, actor: Actor) -> Team:
        """Raises Conflict for a taken name."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            team = _existing(work, team_id)
            renamed = replace(team, name=name)
            if renamed != team:
                work.teams.save(renamed)
                self.auditor.write(work, actor, Change("team.change", team.id, {"name": team.name}, {"name": name}))
        return renamed

    def delete(self, principal: Principal, team_id: str, actor: Actor) -> None:
        """Revokes its keys and forgets its limits."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            team = _existing(work, team_id)
            keys = [key.id for key in each(partial(work.keys.page, None, team_id)) if key.revoked_at is None]
            for key_id in keys:
                work.keys.revoke(key_id, self.clock.now())
            work.limits.put(Kind.TEAM, team_id, NO_LIMITS)
            work.teams.delete(team_id)
            self.auditor.write(work, actor, Change("team.delete", team_id, {"name": team.name, "keys": keys}))

    def put_member(self, principal: Principal, membership: Membership, actor: Actor) -> None:
        """Add a user, or change the role of one who is a member already."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            _existing(work, membership.team_id)
            user = work.users.get(membership.user_id)
            if user is None or erased(user):
                raise NotFound
            former = memberships.membership_of(work, membership.team_id, membership.user_id)
            if former == membership:
                return
            memberships.put(work, self.auditor, former, membership, actor)

    def remove_member(self, principal: Principal, team_id: str, user_id: str, actor: Actor) -> None:
        """Team keys that the member made go on in the caller's name."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            former = memberships.membership_of(work, team_id, user_id)
            user, heir = work.users.get(user_id), work.users.get(principal.user_id)
            if former is None or user is None:
                raise NotFound
            memberships.remove(work, self.auditor, former, user, heir, actor)


def _existing(work: UnitOfWork, team_id: str) -> Team:
    team = work.teams.get(team_id)
    if team is None:
        raise NotFound
    return team
