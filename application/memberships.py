"""Who is in a team: what its leads and administrators do alike, each under rules of their own."""

from dataclasses import dataclass
from functools import partial

from application.auditing import Auditor, Change
from application.erasure import bequeath
from application.pages import each
from application.store import UnitOfWork
from domain.audit import Actor
from domain.team import Membership, TeamRole
from domain.user import User


@dataclass(frozen=True, slots=True)
class Member:
    user: User
    role: TeamRole


def members_of(work: UnitOfWork, team_id: str) -> list[Member]:
    found = [(work.users.get(it.user_id), it.role) for it in work.teams.members(team_id)]
    return [Member(user, role) for user, role in found if user is not None]


def membership_of(work: UnitOfWork, team_id: str, user_id: str) -> Membership | None:
    return next((it for it in work.teams.members(team_id) if it.user_id == user_id), None)


def put(work: UnitOfWork, auditor: Auditor, former: Membership | None, membership: Membership, actor: Actor) -> None:
    """`former` is what the user was in the team before."""
    work.teams.put_member(membership)
    before = {} if former is None else {"role": former.role}
    auditor.write(work, actor, Change("member.put", _seat(membership), before, {"role": membership.role}))


def remove(
    work: UnitOfWork, auditor: Auditor, former: Membership, maker: User, heir: User | None, actor: Actor
) -> None:
    """Team keys of the member, who is their `maker`, go on in the name of `heir`, or are revoked where they cannot."""
    work.teams.remove_member(former.team_id, former.user_id)
    for key in each(partial(work.keys.page, maker.id, former.team_id)):
        if not bequeath(work, key, maker, heir):
            work.keys.revoke(key.id, auditor.clock.now())
    auditor.write(work, actor, Change("member.remove", _seat(former), {"role": former.role}))


def _seat(membership: Membership) -> str:
    """What the audit log calls a membership, which has no id of its own."""
    return f"{membership.team_id}/{membership.user_id}"
