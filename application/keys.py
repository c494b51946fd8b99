"""API keys: made, listed, changed, rotated, revoked. A key can only be made by what may do at least as much."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from application.auditing import Auditor, Change
from application.key_rights import (
    authorize,
    changeable,
    leads,
    require_end,
    require_rights,
    team_role,
    tighter,
    visible,
)
from application.pages import each
from application.ports import Clock, NewId, NewSecret
from application.store import Begin, UnitOfWork
from domain.api_key import KID_LENGTH, SECRET_LENGTH, ApiKey, compose, digest
from domain.audit import SYSTEM, Actor
from domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from domain.limits import NO_LIMITS, Kind, Limits
from domain.user import EVERYDAY, Principal, Scope, User, canonical_email, rights_of

OVERLAP = timedelta(hours=24)
"""How long a rotated key goes on, unless the caller says otherwise."""

NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """A key to be made; no scopes means all of the user's role."""

    name: str
    scopes: frozenset[Scope] = EVERYDAY
    models: tuple[str, ...] = ()
    limits: Limits = NO_LIMITS
    heartbeats: bool = True
    team_id: str | None = None
    expires_at: datetime | None = None


KeyChange = Mapping[str, Any]
"""What to change: fields of KeyOrder but `team_id`; `limits` names what changes of Limits, in the same way."""


@dataclass(frozen=True, slots=True)
class KeyService:
    """Users see and change their own keys. Members see those of their teams, leads change them. Others do not exist.

    Everything that changes is audited, and needs a recent login or a key with the scope `keys` that has neither
    models nor limits of its own: what is limited cannot make something that is not. For the same reason a key that
    ends makes none that lasts longer, and a team's key knows no keys but the team's.

    Limits are free when a key is made. Later its user can only make them tighter, because an administrator may have
    set them.
    """

    begin: Begin
    clock: Clock
    new_id: NewId
    new_secret: NewSecret
    auditor: Auditor
    forget: Callable[[str], None]
    """Drops a kid from this worker's memory, so that a change counts at once."""
    environment: str = "live"

    def create(self, principal: Principal, order: KeyOrder, actor: Actor) -> tuple[ApiKey, str]:
        """Make a key; returns it and its token, which exists nowhere else.

        Raises Forbidden for scopes beyond the caller's rights, ReauthenticationRequired, NotFound for a team that the
        caller does not lead.
        """
        with self.begin() as work:
            authorize(work, principal)
            require_rights(principal, order.scopes)
            require_end(work, principal, order.expires_at)
            if (order.team_id or principal.team_id) and not leads(work, principal, order.team_id):
                raise NotFound("There is no such team among those you lead.", param="team_id")
            return self._make(work, principal.user_id, order, actor)

    def page(self, principal: Principal, team_id: str | None, limit: int, before: str | None) -> list[ApiKey]:
        """The caller's own, or those of a team that the caller is in; newest first."""
        team_id = team_id or principal.team_id
        with self.begin() as work:
            if team_id is None:
                return work.keys.page(principal.user_id, None, limit, before)
            if team_role(work, principal, team_id) is None:
                raise NotFound("You are in no such team.", param="team_id")
            return work.keys.page(None, team_id, limit, before)

    def get(self, principal: Principal, key_id: str) -> ApiKey:
        with self.begin() as work:
            return visible(work, principal, key_id)

    def change(self, principal: Principal, key_id: str, changes: KeyChange, actor: Actor) -> ApiKey:
        """Raises Forbidden for wider scopes or limits, Conflict for a revoked key.

        A lead who changes the scopes of a team's key becomes its user: it cannot lend the rights of somebody else.
        """
        with self.begin() as work:
            before = changeable(work, principal, key_id)
            if before.revoked_at is not None:
                raise Conflict("The key was revoked.")
            after = self._changed(work, principal, before, changes)
            work.keys.save(after)
            work.limits.put(Kind.KEY, after.id, after.limits)
            self.auditor.write(work, actor, Change("key.change", after.id, _facts(before), _facts(after)))
        self.forget(after.kid)
        return after

    def rotate(self, principal: Principal, key_id: str, overlap: timedelta, actor: Actor) -> tuple[ApiKey, str]:
        """A new key, in the caller's name, with the same rights and limits; the old one goes on for `overlap`.

        Its budgets begin with what the old key has used of them. While both work, each can spend what is left: that is
        no more than whoever may rotate can have anyway, by making a key without limits.

        Raises Conflict for a key that was rotated, revoked or has expired, Forbidden as `create` does.
        """
        now = self.clock.now()
        with self.begin() as work:
            old = changeable(work, principal, key_id)
            if old.replaced_by is not None or not old.works(now):
                raise Conflict("The key was rotated or revoked, or has expired.")
            scopes = _scopes_for(work, principal, old)
            require_rights(principal, scopes)
            require_end(work, principal, old.expires_at)
            order = KeyOrder(old.name, scopes, old.models, old.limits, old.heartbeats, old.team_id, old.expires_at)
            new, token = self._make(work, principal.user_id, order, actor)
            work.budgets.inherit(new.id, old.id, old.limits.budgets, now)
            ends = min(now + overlap, old.expires_at or datetime.max.replace(tzinfo=now.tzinfo))
            replaced = replace(old, replaced_by=new.id, expires_at=ends)
            work.keys.save(replaced)
            self.auditor.write(work, actor, Change("key.rotate", old.id, _facts(old), _facts(replaced)))
        self.forget(old.kid)
        return new, token

    def revoke(self, principal: Principal, key_id: str, actor: Actor) -> None:
        """At once in this worker, within 5 s in all. Revoking twice is no error."""
        with self.begin() as work:
            key = changeable(work, principal, key_id)
            self._revoke(work, key, actor)
        self.forget(key.kid)

    def describe(self, principal: Principal) -> ApiKey:
        """The caller's own key. Raises NotFound for a login, which has none."""
        with self.begin() as work:
            key = None if principal.login else work.keys.get(principal.key_id)
        if key is None:
            raise NotFound("This request was not made with a key.")
        return key

    def add(self, work: UnitOfWork, user: User, order: KeyOrder) -> tuple[ApiKey, str]:
        """Make and store a key, whoever asks: the right to do so was checked before."""
        return self._add(work, user.id, order)

    def issue(self, email: str, order: KeyOrder) -> tuple[ApiKey, str]:
        """For the command line. Raises NotFound for an unknown user."""
        with self.begin() as work:
            user = work.users.by_email(canonical_email(email))
            if user is None:
                raise NotFound(f"There is no user {email}.")
            return self._make(work, user.id, order, SYSTEM)

    def all(self) -> list[ApiKey]:
        """For the command line: of everybody, newest first."""
        with self.begin() as work:
            return list(each(partial(work.keys.page, None, None)))

    def revoke_any(self, key_id: str) -> None:
        """For the command line: by id or kid. Raises NotFound."""
        with self.begin() as work:
            record = work.keys.by_kid(key_id)
            key = work.keys.get(key_id) if record is None else record.key
            if key is None:
                raise NotFound(f"There is no key {key_id}.")
            self._revoke(work, key, SYSTEM)
        self.forget(key.kid)

    def _make(self, work: UnitOfWork, user_id: str, order: KeyOrder, actor: Actor) -> tuple[ApiKey, str]:
        self._check(asdict(order))
        key, token = self._add(work, user_id, order)
        self.auditor.write(work, actor, Change("key.create", key.id, after=_facts(key)))
        return key, token

    def _add(self, work: UnitOfWork, user_id: str, order: KeyOrder) -> tuple[ApiKey, str]:
        kid = self.new_secret(KID_LENGTH)
        token = compose(self.environment, kid, self.new_secret(SECRET_LENGTH))
        key = ApiKey(
            id=self.new_id("key"),
            kid=kid,
            user_id=user_id,
            name=order.name,
            digest=digest(token),
            last4=token[-4:],
            created_at=self.clock.now(),
            scopes=order.scopes,
            models=order.models,
            limits=order.limits,
            heartbeats=order.heartbeats,
            team_id=order.team_id,
            expires_at=order.expires_at,
        )
        work.keys.add(key)
        work.limits.put(Kind.KEY, key.id, key.limits)
        return key, token

    def _changed(self, work: UnitOfWork, principal: Principal, key: ApiKey, changes: KeyChange) -> ApiKey:
        self._check(changes)
        limits = replace(key.limits, **changes.get("limits", {}))
        if not tighter(limits, key.limits):
            raise Forbidden("Limits can be made tighter; only an administrator can widen them.", param="limits")
        after = replace(key, **{**changes, "limits": limits})
        if "expires_at" in changes:
            require_end(work, principal, after.expires_at)
        if "scopes" in changes:
            require_rights(principal, after.scopes)
            after = replace(after, user_id=principal.user_id)
        return after

    def _check(self, fields: Mapping[str, Any]) -> None:
        """Raises InvalidRequest. The command line comes here too, so no schema stands before it."""
        name, expires_at = fields.get("name"), fields.get("expires_at")
        if name is not None and not 0 < len(name.strip()) <= NAME_LENGTH:
            raise InvalidRequest(f"A name has 1 to {NAME_LENGTH} characters.", param="name")
        if expires_at is not None and expires_at <= self.clock.now():
            raise InvalidRequest("The key would have expired already.", param="expires_at")
        if any(not _is_word(model) for model in fields.get("models", ())):
            raise InvalidRequest("A model is `provider/model` or `provider/*`, without spaces.", param="models")

    def _revoke(self, work: UnitOfWork, key: ApiKey, actor: Actor) -> None:
        if key.revoked_at is None:
            now = self.clock.now()
            work.keys.revoke(key.id, now)
            change = Change("key.revoke", key.id, {"revoked_at": None}, {"revoked_at": now.isoformat()})
            self.auditor.write(work, actor, change)


def _scopes_for(work: UnitOfWork, principal: Principal, key: ApiKey) -> frozenset[Scope]:
    """Of a key's heir: what was all of its maker's role must not become all of a mightier one."""
    maker = work.users.get(key.user_id)
    if key.scopes or maker is None or maker.id == principal.user_id:
        return key.scopes
    return rights_of(maker.role) & rights_of(principal.role)


def _is_word(text: str) -> bool:
    return text.isascii() and text.isprintable() and text != "" and " " not in text


def _facts(key: ApiKey) -> dict[str, Any]:
    """For the audit log: neither token nor digest."""
    return {
        "name": key.name,
        "user_id": key.user_id,
        "team_id": key.team_id,
        "scopes": sorted(key.scopes),
        "models": list(key.models),
        "limits": {**asdict(key.limits), "budgets": [str(budget) for budget in key.limits.budgets]},
        "heartbeats": key.heartbeats,
        "expires_at": key.expires_at and key.expires_at.isoformat(),
        "replaced_by": key.replaced_by,
    }
