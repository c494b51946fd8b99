"""Logging in at an identity provider: OpenID Connect, authorization code with PKCE."""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Protocol

from application import attempts
from application.auditing import Auditor, Change
from application.logins import LoginService, NewLogin
from application.pages import each
from application.ports import Clock, NewId, NewSecret, Vault
from application.store import Begin, UnitOfWork
from domain.api_key import SECRET_LENGTH
from domain.audit import Actor
from domain.errors import Conflict, InvalidCredentials, InvalidRequest
from domain.user import Role, User, canonical_email

PURPOSE = "oidc"
LIFETIME = timedelta(minutes=10)
"""So long a browser may be away at the provider."""

_REFUSED = "The login at the identity provider did not succeed, or it gives no account here."


@dataclass(frozen=True, slots=True)
class Claims:
    """What a checked ID token says."""

    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    name: str = ""


class IdentityProvider(Protocol):
    """Raises OidcUnavailable when the provider does not answer or answers nonsense."""

    def authorize_url(self, state: str, nonce: str, challenge: str, redirect_uri: str) -> str:
        """Where the browser has to go; `challenge` is S256 of the code verifier (RFC 7636)."""
        ...

    def redeem(self, code: str, verifier: str, nonce: str, redirect_uri: str) -> Claims:
        """Exchange the code and check the ID token: signature, issuer, audience, expiry, nonce.

        Raises InvalidCredentials for a code or token that is not good.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Flight:
    """What a browser on its way to the provider has with it, sealed. `ends` is in Unix seconds."""

    state: str
    nonce: str
    verifier: str
    ends: float


@dataclass(frozen=True, slots=True)
class OidcService:
    """Accounts are linked by (issuer, subject).

    At first sight a verified address links to the account that has it. Where that account's own address was never
    confirmed, somebody else may have made it: its password, second factor, keys and logins end. Else a new member is
    made when the address's domain is in `domains`. The second factor of an account is not asked for: who logs in at
    the provider, and how strongly, is the provider's business.
    """

    begin: Begin
    clock: Clock
    new_id: NewId
    new_secret: NewSecret
    provider: IdentityProvider
    logins: LoginService
    vault: Vault
    auditor: Auditor
    redirect_uri: str
    domains: frozenset[str] = frozenset()

    def start(self) -> tuple[str, str]:
        """The address to go to, and the sealed state that the browser must bring back (in a cookie, for 10 min)."""
        ends = (self.clock.now() + LIFETIME).timestamp()
        state, nonce, verifier = (self.new_secret(SECRET_LENGTH) for _ in range(3))
        flight = _Flight(state, nonce, verifier, ends)
        challenge = _text(sha256(flight.verifier.encode()).digest())
        address = self.provider.authorize_url(flight.state, flight.nonce, challenge, self.redirect_uri)
        return address, _text(self.vault.seal(PURPOSE, json.dumps(asdict(flight))))

    def finish(self, sealed: str, state: str, code: str, ip: str, user_agent: str) -> NewLogin:
        """Raises InvalidCredentials for a state that does not fit, a bad code, or somebody who gets no account.

        Raises RateLimited (per network), which also bounds how often strangers make us ask the provider.
        """
        flight = self._landed(sealed, state)
        self._count(ip)
        claims = self.provider.redeem(code, flight.verifier, flight.nonce, self.redirect_uri)
        try:
            return self._log_in(claims, ip, user_agent)
        except Conflict:
            # Two first logins at once: what the other one made is there now.
            return self._log_in(claims, ip, user_agent)

    def _count(self, ip: str) -> None:
        with self.begin() as work:
            wait = attempts.count(work, self.clock.now(), attempts.visitor(ip))
        attempts.refuse(wait)

    def _landed(self, sealed: str, state: str) -> _Flight:
        try:
            flight = _Flight(**json.loads(self.vault.open(PURPOSE, _bytes(sealed))))
        except ValueError:
            raise InvalidCredentials(_REFUSED) from None
        fits = hmac.compare_digest(flight.state.encode(), state.encode())
        if not fits or flight.ends <= self.clock.now().timestamp():
            raise InvalidCredentials(_REFUSED)
        return flight

    def _log_in(self, claims: Claims, ip: str, user_agent: str) -> NewLogin:
        with self.begin() as work:
            attempts.refund(work, attempts.visitor(ip))
            user_id = work.identities.find(claims.issuer, claims.subject)
            user = self._linked(work, claims, ip) if user_id is None else work.users.lock(user_id)
            if user is None or user.disabled:
                raise InvalidCredentials(_REFUSED)
            return self.logins.issue(work, user, ip, user_agent)

    def _linked(self, work: UnitOfWork, claims: Claims, ip: str) -> User | None:
        """Whoever has the verified address, linked from now on; None for nobody."""
        email = _verified(claims)
        if email is None:
            return None
        known = work.users.by_email(email)
        user = self._new_member(work, email, claims.name, ip) if known is None else work.users.lock(known.id)
        if user is None or user.disabled:
            return None
        if not user.confirmed:
            user = self._taken_over(work, user, self.clock.now())
        work.identities.add(claims.issuer, claims.subject, user.id)
        identity = {"issuer": claims.issuer, "subject": claims.subject}
        self.auditor.write(work, Actor(user.id, None, ip), Change("identity.link", user.id, after=identity))
        return user

    def _new_member(self, work: UnitOfWork, email: str, name: str, ip: str) -> User | None:
        if email.rpartition("@")[2] not in {domain.casefold() for domain in self.domains}:
            return None
        user = User(self.new_id("usr"), email, Role.MEMBER, self.clock.now(), name=name)
        work.users.add(user)
        after = {"email": email, "role": user.role}
        self.auditor.write(work, Actor(user.id, None, ip), Change("user.create", user.id, after=after))
        return user

    def _taken_over(self, work: UnitOfWork, user: User, now: datetime) -> User:
        """The account without anything that let its maker in, who never showed that the address is theirs."""
        mine = replace(user, password_hash=None, confirmed=True, totp=False)
        work.users.save(mine)
        work.factors.remove(user.id)
        work.tokens.withdraw_all(user.id, user.email, now)
        for key in each(partial(work.keys.page, user.id, None)):
            work.keys.revoke(key.id, now)
        for login in work.logins.end_all(user.id, now):
            self.logins.forget(login.kid)
        before, after = {"confirmed": False}, {"confirmed": True}
        self.auditor.write(work, Actor(user.id, None), Change("user.change", user.id, before, after))
        return mine


def _verified(claims: Claims) -> str | None:
    """None also for an address that only folding makes one of ours: `faß.example` is not `fass.example`."""
    if not claims.email_verified or claims.email is None:
        return None
    try:
        email = canonical_email(claims.email)
    except InvalidRequest:
        return None
    typed = claims.email.lower() if claims.email.isascii() else claims.email
    return email if email == typed else None


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
