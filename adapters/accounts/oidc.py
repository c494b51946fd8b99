"""An OpenID provider: its addresses by discovery, its keys with rotation, and its ID tokens checked."""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from joserfc import jws, jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

from adapters.accounts.oidc_http import OidcHttp
from application.oidc import Claims
from application.ports import Clock
from domain.errors import InvalidCredentials, OidcUnavailable

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Asymmetric ones only: never `none`, and never a signature that the client's own secret could make."""

_KEPT_SECONDS = 600.0
_REFETCH_SECONDS = 60.0
_SKEW = 60
_ASYMMETRIC = ("RSA", "EC", "OKP")
_OURS = ("invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope")
"""Errors of the token endpoint that say something about the configuration and nothing about the visitor."""
_NAME_LENGTH = 100
_SUBJECT_LENGTH = 255
"""As OpenID Connect Core 2 has it. A longer one would be cut by storage, and could then be somebody else's."""
_OK, _BAD_REQUEST = 200, 400
_REFUSED = "The identity provider's answer is not good for a login."


@dataclass(frozen=True, slots=True)
class _Provider:
    """What its discovery document says."""

    authorization: str
    token: str
    keys: str
    userinfo: str | None
    methods: tuple[str, ...]


@dataclass(slots=True)
class _Kept:
    """What was fetched, and when, on the monotonic clock."""

    provider: _Provider | None = None
    provider_at: float = 0.0
    keys: KeySet | None = None
    keys_at: float = 0.0
    refetched_at: float = -_REFETCH_SECONDS


class OidcProvider:
    """The provider at `issuer`, which has to call itself exactly that. Without a secret it is a public client."""

    def __init__(
        self, issuer: str, client_id: str, client_secret: str | None, clock: Clock, http: OidcHttp | None = None
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._clock = clock
        self._http = http or OidcHttp(issuer)
        self._kept = _Kept()

    def authorize_url(self, state: str, nonce: str, challenge: str, redirect_uri: str) -> str:
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid email profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = self._provider().authorization
        return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(asked)}"

    def redeem(self, code: str, verifier: str, nonce: str, redirect_uri: str) -> Claims:
        provider = self._provider()
        given = {"code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
        tokens = self._exchange(provider, given)
        claims = self._checked(provider, tokens.get("id_token"), nonce)
        # With a code, a provider may leave the address to its userinfo endpoint (OpenID Connect Core 5.4).
        about = claims if "email" in claims else self._userinfo(provider, tokens, claims["sub"])
        return Claims(
            issuer=self._issuer,
            subject=claims["sub"],
            email=about["email"] if isinstance(about.get("email"), str) else None,
            # Some providers write the boolean as text.
            email_verified=about.get("email_verified") is True or about.get("email_verified") == "true",
            name=_name(about),
        )

    # ── what is fetched ──────────────────────────────────────────────────────────────────────────────────────────

    def _provider(self) -> _Provider:
        kept, now = self._kept, self._clock.monotonic()
        if kept.provider is None or now - kept.provider_at >= _KEPT_SECONDS:
            kept.provider, kept.provider_at = self._discovered(), now
        return kept.provider

    def _discovered(self) -> _Provider:
        found = self._document(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self._issuer:
            raise OidcUnavailable("The identity provider calls itself something else than what is configured.")
        methods = found.get("token_endpoint_auth_methods_supported")
        userinfo = found.get("userinfo_endpoint")
        return _Provider(
            authorization=self._http.checked(found.get("authorization_endpoint")),
            token=self._http.checked(found.get("token_endpoint")),
            keys=self._http.checked(found.get("jwks_uri")),
            userinfo=None if userinfo is None else self._http.checked(userinfo),
            methods=tuple(methods) if isinstance(methods, list) else ("client_secret_basic",),
        )

    def _keys(self, provider: _Provider) -> KeySet:
        kept, now = self._kept, self._clock.monotonic()
        if kept.keys is None or now - kept.keys_at >= _KEPT_SECONDS:
            kept.keys, kept.keys_at = _key_set(self._document(provider.keys)), now
        return kept.keys

    def _newer_keys(self, provider: _Provider) -> KeySet | None:
        """None when they were asked for within the last minute: tokens cannot make this a source of load."""
        kept, now = self._kept, self._clock.monotonic()
        if now - kept.refetched_at < _REFETCH_SECONDS:
            return None
        kept.refetched_at, kept.keys = now, None
        return self._keys(provider)

    def _document(self, address: str) -> dict[str, Any]:
        answer = self._http.get(address)
        if answer.status != _OK:
            raise OidcUnavailable(f"The identity provider answers {answer.status}.")
        return answer.document()

    def _userinfo(self, provider: _Provider, tokens: Mapping[str, Any], subject: str) -> dict[str, Any]:
        if provider.userinfo is None:
            return {}
        answer = self._http.get(provider.userinfo, {"Authorization": f"Bearer {tokens.get('access_token')}"})
        if answer.status != _OK:
            raise OidcUnavailable(f"The identity provider answers {answer.status}.")
        found = answer.document()
        if found.get("sub") != subject:
            raise InvalidCredentials(_REFUSED)
        return found

    # ── code and token ───────────────────────────────────────────────────────────────────────────────────────────

    def _exchange(self, provider: _Provider, given: Mapping[str, str]) -> dict[str, Any]:
        form = {"grant_type": "authorization_code", **given}
        headers = {}
        if self._client_secret is None:
            form["client_id"] = self._client_id
        elif "client_secret_basic" in provider.methods:
            pair = f"{quote_plus(self._client_id)}:{quote_plus(self._client_secret)}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        answer = self._http.post(provider.token, headers, urlencode(form))
        if answer.status == _BAD_REQUEST and answer.document().get("error") not in _OURS:
            raise InvalidCredentials(_REFUSED)
        if answer.status != _OK:
            raise OidcUnavailable(f"The identity provider answers {answer.status}.")
        return answer.document()

    def _checked(self, provider: _Provider, token: object, nonce: str) -> dict[str, Any]:
        if not isinstance(token, str):
            raise OidcUnavailable("The identity provider sent no ID token.")
        try:
            claims = self._signed(provider, token)
            self._registry().validate(claims)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            raise InvalidCredentials(_REFUSED) from None
        if not self._meant_for_us(claims) or not _is(claims.get("nonce"), nonce) or not _storable(claims["sub"]):
            raise InvalidCredentials(_REFUSED)
        return claims

    def _signed(self, provider: _Provider, token: str) -> dict[str, Any]:
        try:
            return _decoded(token, self._keys(provider))
        except InvalidKeyIdError:
            keys = self._newer_keys(provider)
            if keys is None:
                raise
            return _decoded(token, keys)

    def _registry(self) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(self._clock.now().timestamp()),
            leeway=_SKEW,
            iss={"essential": True, "value": self._issuer},
            sub={"essential": True},
            aud={"essential": True, "value": self._client_id},
            exp={"essential": True},
            iat={"essential": True},
        )

    def _meant_for_us(self, claims: Mapping[str, Any]) -> bool:
        """Among several audiences, and wherever it is named, the authorized party has to be this client."""
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        return bool(claims.get("azp", None if several else self._client_id) == self._client_id)


def _decoded(token: str, keys: KeySet) -> dict[str, Any]:
    registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    return jwt.decode(token, keys, registry=registry).claims


def _key_set(document: Mapping[str, Any]) -> KeySet:
    listed = document.get("keys")
    keys = [key for it in listed if (key := _key(it))] if isinstance(listed, list) else []
    if not keys:
        raise OidcUnavailable("The identity provider has no keys.")
    return KeySet(keys)


def _key(found: object) -> Key | None:
    """None for one that is not understood: a newer kind of key must not take the older ones with it."""
    if not isinstance(found, dict) or found.get("kty") not in _ASYMMETRIC:
        return None
    try:
        return JWKRegistry.import_key(found)
    except (JoseError, ValueError):
        return None


def _is(found: object, wanted: str) -> bool:
    return isinstance(found, str) and hmac.compare_digest(found.encode(), wanted.encode())


def _storable(subject: str) -> bool:
    """Blanks at its end make no difference to some databases, so such a one could be somebody else's as well."""
    return 0 < len(subject) <= _SUBJECT_LENGTH and subject.isprintable() and subject == subject.strip()


def _name(claims: Mapping[str, Any]) -> str:
    name = claims.get("name")
    return "".join(char for char in name if char.isprintable())[:_NAME_LENGTH] if isinstance(name, str) else ""
