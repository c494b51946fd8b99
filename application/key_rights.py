"""Who may do what with which key. All of it asks SQL, so a lost right is lost at once."""

from datetime import datetime

from application.store import UnitOfWork
from domain.api_key import ApiKey
from domain.errors import Forbidden, NotFound
from domain.limits import NO_LIMITS, Limits
from domain.team import TeamRole
from domain.user import Principal, Scope, rights_of


def authorize(work: UnitOfWork, principal: Principal) -> None:
    """Whether the caller may change any key at all. Raises Forbidden and ReauthenticationRequired."""
    principal.require(Scope.KEYS)
    principal.require_recent()
    if principal.login:
        return
    own = work.keys.get(principal.key_id)
    if own is None or own.models or own.limits != NO_LIMITS:
        raise Forbidden("A key with models or limits of its own cannot make or change keys.")


def require_rights(principal: Principal, scopes: frozenset[Scope]) -> None:
    """A key without scopes has all that its user's role has, so its maker must have all of it too."""
    beyond = (scopes or rights_of(principal.role)) - principal.rights
    if beyond:
        raise Forbidden(f"You cannot give what you do not have: {', '.join(sorted(beyond))}.", param="scopes")


def require_end(work: UnitOfWork, principal: Principal, expires_at: datetime | None) -> None:
    own = None if principal.login else work.keys.get(principal.key_id)
    last = None if own is None else own.expires_at
    if last is not None and (expires_at is None or expires_at > last):
        raise Forbidden("A key cannot make one that lasts longer than itself.", param="expires_at")


def visible(work: UnitOfWork, principal: Principal, key_id: str) -> ApiKey:
    """Raises NotFound."""
    return _seen(work, principal, work.keys.get(key_id))


def _seen(work: UnitOfWork, principal: Principal, key: ApiKey | None) -> ApiKey:
    if key is None or not _may_see(work, principal, key):
        raise NotFound
    return key


def _may_see(work: UnitOfWork, principal: Principal, key: ApiKey) -> bool:
    if key.team_id is not None:
        return team_role(work, principal, key.team_id) is not None
    return key.user_id == principal.user_id and principal.team_id is None


def changeable(work: UnitOfWork, principal: Principal, key_id: str) -> ApiKey:
    """The key, locked. Raises NotFound, and Forbidden for a team's key where the caller is a mere member."""
    authorize(work, principal)
    visible(work, principal, key_id)  # before it is locked: nobody holds up the keys of strangers
    key = _seen(work, principal, work.keys.lock(key_id))
    if key.team_id is not None and not leads(work, principal, key.team_id):
        raise Forbidden("Only those who lead the team can change its keys.")
    return key


def leads(work: UnitOfWork, principal: Principal, team_id: str | None) -> bool:
    return team_role(work, principal, team_id) is TeamRole.LEAD


def team_role(work: UnitOfWork, principal: Principal, team_id: str | None) -> TeamRole | None:
    """None outside the team, which for a team's key is every other team."""
    if principal.team_id not in (None, team_id):
        return None
    memberships = work.teams.of_user(principal.user_id)
    return next((it.role for it in memberships if it.team_id == team_id), None)


def tighter(new: Limits, old: Limits) -> bool:
    """Whether `new` allows nothing that `old` does not."""
    pairs = ((new.rpm, old.rpm), (new.tpm, old.tpm), (new.concurrency, old.concurrency))
    amounts = {(it.unit, it.window): it.amount for it in new.budgets}
    budgets = ((amounts.get((it.unit, it.window)), it.amount) for it in old.budgets)
    return all(most is None or (now is not None and now <= most) for now, most in (*pairs, *budgets))
