"""What is left of users who go, by their own wish or an administrator's: bare ids, for the ledger and the audit log."""

from dataclasses import replace
from datetime import datetime
from functools import partial

from application.pages import each
from application.store import UnitOfWork
from domain.api_key import ApiKey
from domain.limits import NO_LIMITS, Kind
from domain.team import TeamRole
from domain.user import User, rights_of


def erase(work: UnitOfWork, user: User, at: datetime, heir: User | None = None) -> None:
    """End logins, keys and sessions of `user` and forget all that is personal.

    Team keys go on in the name of `heir`, or without one in that of another lead of the team; where there is neither,
    they are revoked. That an enabled owner is left is for the caller to see to.
    """
    work.logins.end_all(user.id, at)
    work.tokens.withdraw_all(user.id, user.email, at)
    for key in each(partial(work.keys.page, user.id, None)):
        if not bequeath(work, key, user, heir or _lead(work, key.team_id, user.id)):
            work.keys.revoke(key.id, at)
    for session in each(partial(work.sessions.page, user.id)):
        work.sessions.delete(session.id, at)
    for membership in work.teams.of_user(user.id):
        work.teams.remove_member(membership.team_id, user.id)
    work.factors.remove(user.id)
    work.identities.forget(user.id)
    work.idempotency.forget(user.id)
    work.image_jobs.forget(user.id)
    work.files.forget(user.id)  # their contents are swept
    work.limits.put(Kind.USER, user.id, NO_LIMITS)
    work.users.save(_anonymous(user))


def bequeath(work: UnitOfWork, key: ApiKey, maker: User, heir: User | None) -> bool:
    """Let a team's key go on in the name of `heir`, with at most the rights that it had; False when it cannot."""
    key = work.keys.lock(key.id) or key
    # The token is known to people who have not the heir's role: what the key could not do, it must not learn now.
    scopes = rights_of(maker.role) & (key.scopes or rights_of(maker.role))
    if key.revoked_at is not None or key.team_id is None or heir is None or not scopes:
        return False
    work.keys.save(replace(key, user_id=heir.id, scopes=scopes))
    return True


def erased(user: User) -> bool:
    """Whether this is what `erase` leaves; nobody can register such an address."""
    return user.email == _address(user)


def _lead(work: UnitOfWork, team_id: str | None, but: str) -> User | None:
    members = work.teams.members(team_id) if team_id else []
    leads = (work.users.get(it.user_id) for it in members if it.role is TeamRole.LEAD and it.user_id != but)
    return next((lead for lead in leads if lead is not None and not lead.disabled), None)


def _anonymous(user: User) -> User:
    return replace(user, email=_address(user), name="", password_hash=None, disabled=True, totp=False)


def _address(user: User) -> str:
    return f"deleted-{user.id}@invalid"
