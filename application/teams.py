"""Teams, as their members and leads see them; what only administrators may do is in `team_admin`."""

from collections.abc import Iterator
from dataclasses import dataclass

from application import memberships
from application.auditing import Auditor
from application.erasure import erased
from application.key_rights import team_role
from application.memberships import Member
from application.store import Begin, UnitOfWork
from domain.audit import Actor
from domain.errors import Conflict, Forbidden, NotFound
from domain.team import Membership, Team, TeamRole
from domain.user import Principal, User


@dataclass(frozen=True, slots=True)
class TeamService:
    """What changes a team needs a recent login: whoever is in it sees and uses what the team shares."""

    begin: Begin
    auditor: Auditor

    def mine(self, principal: Principal) -> list[tuple[Team, TeamRole]]:
        """By name; a team's key knows that one alone."""
        with self.begin() as work:
            seats = [it for it in work.teams.of_user(principal.user_id) if principal.team_id in (None, it.team_id)]
            found = [(work.teams.get(it.team_id), it.role) for it in seats]
        return sorted(((team, role) for team, role in found if team is not None), key=lambda it: it[0].name)

    def members(self, principal: Principal, team_id: str) -> list[Member]:
        """Raises NotFound for a team that the caller is not in."""
        with self.begin() as work:
            _role(work, principal, team_id)
            return memberships.members_of(work, team_id)

    def put_member(self, principal: Principal, membership: Membership, actor: Actor) -> None:
        """Add a user, or change the role of one who is a member already; for leads.

        Raises NotFound for a foreign team or an unknown user, Forbidden for a mere member, Conflict when the last lead
        would step down.
        """
        with self.begin() as work:
            _require_lead(work, principal, membership.team_id)
            user = work.users.get(membership.user_id)
            if user is None or erased(user):
                raise NotFound("There is no such user.")
            former = memberships.membership_of(work, membership.team_id, membership.user_id)
            if former == membership:
                return
            if former is not None:
                _require_other_lead(work, former)
            memberships.put(work, self.auditor, former, membership, actor)

    def remove_member(self, principal: Principal, team_id: str, user_id: str, actor: Actor) -> None:
        """By a lead, or by members of themselves.

        Team keys that the member made go on in the caller's name; of members who leave, in that of a lead. Raises as
        `put_member` does.
        """
        with self.begin() as work:
            if user_id == principal.user_id:
                _require_member(work, principal, team_id)
            else:
                _require_lead(work, principal, team_id)
            former, user = memberships.membership_of(work, team_id, user_id), work.users.get(user_id)
            if former is None or user is None:
                raise NotFound("There is no such member.")
            _require_other_lead(work, former)
            leaves = user_id == principal.user_id
            heir = next(_other_leads(work, former), None) if leaves else work.users.get(principal.user_id)
            memberships.remove(work, self.auditor, former, user, heir, actor)


def _role(work: UnitOfWork, principal: Principal, team_id: str) -> TeamRole:
    role = team_role(work, principal, team_id)
    if role is None:
        raise NotFound("You are in no such team.")
    return role


def _require_member(work: UnitOfWork, principal: Principal, team_id: str) -> TeamRole:
    principal.require_login()
    principal.require_recent()
    return _role(work, principal, team_id)


def _require_lead(work: UnitOfWork, principal: Principal, team_id: str) -> None:
    if _require_member(work, principal, team_id) is not TeamRole.LEAD:
        raise Forbidden("Only those who lead the team can change its members.")


def _require_other_lead(work: UnitOfWork, former: Membership) -> None:
    if former.role is TeamRole.LEAD and next(_other_leads(work, former), None) is None:
        raise Conflict("This is the last lead of the team: make another member a lead first.")


def _other_leads(work: UnitOfWork, but: Membership) -> Iterator[User]:
    leads = (it for it in work.teams.members(but.team_id) if it.role is TeamRole.LEAD and it.user_id != but.user_id)
    users = (work.users.get(it.user_id) for it in leads)
    return (user for user in users if user is not None and not user.disabled)
