"""What a provider may say, and what an ID token has to be. The real thing is in tests/integration/test_oidc.py."""

import hmac
import json
import ssl
from base64 import b64decode, urlsafe_b64encode
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey

from adapters.accounts.oidc import OidcProvider
from adapters.accounts.oidc_http import Answer, OidcHttp
from application.oidc import Claims
from domain.errors import InvalidCredentials, OidcUnavailable
from tests.fakes import FrozenClock

ISSUER = "https://id.example.com/realm"
CALLBACK = "https://parley.example.org/callback"
DISCOVERY = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
    "userinfo_endpoint": f"{ISSUER}/userinfo",
}
KEY = RSAKey.generate_key(2048, {"kid": "one"})
OTHER = ECKey.generate_key("P-256", {"kid": "two"})


class ScriptedHttp:
    """Answers from `pages`, by the last word of the path; remembers each address and what was posted."""

    def __init__(self, pages: dict[str, Any]) -> None:
        self.pages = pages
        self.asked: list[str] = []
        self.posted: list[tuple[dict[str, str], dict[str, str]]] = []
        self.bearers: list[str] = []
        self.checked = OidcHttp(ISSUER, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)).checked

    def get(self, address, headers=None) -> Answer:
        self.asked.append(address)
        self.bearers.append((headers or {}).get("Authorization", ""))
        return self._answer(address)

    def post(self, address, headers, form) -> Answer:
        self.posted.append((dict(headers), dict(parse_qsl(form))))
        return self._answer(address)

    def _answer(self, address: str) -> Answer:
        page = self.pages[address.rpartition("/")[2]]
        return page if isinstance(page, Answer) else Answer(200, json.dumps(page).encode())


class Case:
    def __init__(self) -> None:
        self.clock = FrozenClock()
        pages = {
            "openid-configuration": dict(DISCOVERY),
            "keys": {"keys": [KEY.as_dict(private=False)]},
            "token": {"access_token": "at", "id_token": self.token()},
        }
        self.http = ScriptedHttp(pages)
        self.provider = self.client()

    def client(self, secret: str | None = None) -> OidcProvider:
        return OidcProvider(ISSUER, "parley", secret, self.clock, self.http)

    def claims(self, **fields: Any) -> dict[str, Any]:
        now = int(self.clock.now().timestamp())
        given = {"iss": ISSUER, "sub": "ada", "aud": "parley", "nonce": "nonce", "iat": now, "exp": now + 300}
        given |= {"email": "ada@example.org", "email_verified": True, "name": "Ada"}
        return {name: value for name, value in (given | fields).items() if value is not ...}

    def token(self, key: Any = KEY, header: dict[str, Any] | None = None, **fields: Any) -> str:
        head = {"alg": "ES256" if key is OTHER else "RS256", "kid": key.kid, **(header or {})}
        registry = jws.JWSRegistry(algorithms=[head["alg"]], strict_check_header=False)
        return jwt.encode(head, self.claims(**fields), key, registry=registry)

    def redeem(self, token: object = None) -> Claims:
        if token is not None:
            self.http.pages["token"]["id_token"] = token
        return self.provider.redeem("code", "verifier", "nonce", CALLBACK)

    def refuse(self, token: object) -> None:
        with pytest.raises(InvalidCredentials):
            self.redeem(token)

    def unavailable(self, page: str, answer: Any) -> None:
        self.http.pages[page] = answer
        with pytest.raises(OidcUnavailable):
            self.redeem()

    def fetched(self, page: str) -> int:
        return sum(address.endswith(page) for address in self.http.asked)


@pytest.fixture
def case() -> Case:
    return Case()


def unsigned(header: dict[str, Any], claims: object, signature: str = "") -> str:
    parts = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
    return ".".join((*parts, signature))


# ── the way there ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_address_asks_for_a_code_with_pkce_state_and_nonce(case: Case):
    address = urlsplit(case.provider.authorize_url("st&te", "nonce", "challenge", CALLBACK))

    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{ISSUER}/authorize"
    assert dict(parse_qsl(address.query)) == {
        "response_type": "code",
        "client_id": "parley",
        "redirect_uri": CALLBACK,
        "scope": "openid email profile",
        "state": "st&te",
        "nonce": "nonce",
        "code_challenge": "challenge",
        "code_challenge_method": "S256",
    }


def test_an_endpoint_may_have_a_query_of_its_own(case: Case):
    case.http.pages["openid-configuration"]["authorization_endpoint"] = f"{ISSUER}/authorize?tenant=7"

    assert "?tenant=7&response_type=code&" in case.provider.authorize_url("s", "n", "c", CALLBACK)


def test_the_discovery_document_and_the_keys_are_kept_for_ten_minutes(case: Case):
    case.redeem()
    case.clock.advance(599)
    case.redeem(case.token())
    assert (case.fetched("configuration"), case.fetched("keys")) == (1, 1)

    case.clock.advance(1)
    case.redeem(case.token())
    assert (case.fetched("configuration"), case.fetched("keys")) == (2, 2)


@pytest.mark.parametrize("issuer", [f"{ISSUER}/", "https://ID.example.com/realm", "https://evil.example.com", None, 7])
def test_a_provider_that_calls_itself_something_else_is_refused(case: Case, issuer: object):
    case.unavailable("openid-configuration", DISCOVERY | {"issuer": issuer})


@pytest.mark.parametrize("field", ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"])
@pytest.mark.parametrize("address", ["http://id.example.com/x", "http://127.0.0.1/x", "file:///etc/passwd", "", 7, "x"])
def test_every_endpoint_has_to_be_https(case: Case, field: str, address: object):
    case.unavailable("openid-configuration", DISCOVERY | {field: address})


@pytest.mark.parametrize("field", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_an_endpoint_that_is_missing_is_missed(case: Case, field: str):
    case.unavailable("openid-configuration", {name: it for name, it in DISCOVERY.items() if name != field})


@pytest.mark.parametrize("page", ["openid-configuration", "keys", "token"])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_an_answer_that_is_no_json_object_is_nonsense(case: Case, page: str, body: bytes):
    case.unavailable(page, Answer(200, body))


@pytest.mark.parametrize("page", ["openid-configuration", "keys", "token"])
@pytest.mark.parametrize("status", [302, 404, 500, 503])
def test_a_status_that_is_not_ok_is_no_answer(case: Case, page: str, status: int):
    case.unavailable(page, Answer(status, json.dumps(DISCOVERY).encode()))


# ── the exchange ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_public_client_names_itself_and_sends_its_verifier(case: Case):
    case.redeem()

    ((headers, form),) = case.http.posted
    assert headers == {}
    assert form == {
        "grant_type": "authorization_code",
        "code": "code",
        "redirect_uri": CALLBACK,
        "code_verifier": "verifier",
        "client_id": "parley",
    }


@pytest.mark.parametrize("methods", [None, ["client_secret_post", "client_secret_basic"]])
def test_a_secret_goes_into_the_header_where_the_provider_takes_it_there(case: Case, methods: list[str] | None):
    case.http.pages["openid-configuration"]["token_endpoint_auth_methods_supported"] = methods
    case.provider = case.client("s%cr:t +&")

    case.redeem()

    ((headers, form),) = case.http.posted
    assert b64decode(headers["Authorization"].removeprefix("Basic ")) == b"parley:s%25cr%3At+%2B%26"
    assert "client_secret" not in form


def test_a_secret_goes_into_the_form_where_the_provider_wants_it_there(case: Case):
    case.http.pages["openid-configuration"]["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    case.provider = case.client("secret")

    case.redeem()

    ((headers, form),) = case.http.posted
    assert headers == {}
    assert (form["client_id"], form["client_secret"]) == ("parley", "secret")


@pytest.mark.parametrize("error", ["invalid_grant", "invalid_request", None])
def test_a_bad_code_is_the_visitors(case: Case, error: str | None):
    case.http.pages["token"] = Answer(400, json.dumps({"error": error}).encode())

    with pytest.raises(InvalidCredentials):
        case.redeem()


@pytest.mark.parametrize(("status", "error"), [(401, "invalid_client"), (400, "unauthorized_client"), (400, ["x"])])
def test_a_bad_client_is_not_the_visitors(case: Case, status: int, error: object):
    answer = Answer(status, json.dumps({"error": error}).encode())
    kind = InvalidCredentials if error == ["x"] else OidcUnavailable
    case.http.pages["token"] = answer

    with pytest.raises(kind):
        case.redeem()


@pytest.mark.parametrize("token", [7, [], {}])
def test_an_answer_without_an_id_token_is_nonsense(case: Case, token: object):
    case.http.pages["token"]["id_token"] = token

    with pytest.raises(OidcUnavailable):
        case.redeem()


# ── the ID token ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_good_token_says_who_it_is(case: Case):
    assert case.redeem() == Claims(ISSUER, "ada", "ada@example.org", email_verified=True, name="Ada")


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256"])
def test_asymmetric_signatures_are_good(case: Case, algorithm: str):
    assert case.redeem(case.token(header={"alg": algorithm})).subject == "ada"


def test_a_header_that_we_do_not_know_is_no_harm(case: Case):
    assert case.redeem(case.token(header={"x5t": "abc", "custom": "1"})).subject == "ada"


def test_a_header_that_has_to_be_understood_and_is_not_is_refused(case: Case):
    head = {"alg": "RS256", "kid": "one", "crit": ["exp2"], "exp2": 1}
    case.refuse(unsigned(head, case.claims(), "c2ln"))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 7])
def test_a_token_without_a_signature_is_refused(case: Case, algorithm: object):
    case.refuse(unsigned({"alg": algorithm, "kid": "one"}, case.claims()))


@pytest.mark.parametrize("kid", ["one", "secret"])
def test_a_token_signed_with_what_everybody_knows_is_refused(case: Case, kid: str):
    """The old trick: the public key, or the client's secret, taken for the key of an HMAC."""
    secret = KEY.as_pem(private=False) if kid == "one" else b"client secret"
    case.http.pages["keys"]["keys"].append({"kty": "oct", "kid": "secret", "k": "Y2xpZW50IHNlY3JldA"})
    token = unsigned({"alg": "HS256", "kid": kid}, case.claims())
    signature = hmac.digest(secret, token.removesuffix(".").encode(), "sha256")

    case.refuse(token + urlsafe_b64encode(signature).rstrip(b"=").decode())


def test_a_token_signed_by_a_key_that_it_brings_along_is_refused(case: Case):
    stranger = RSAKey.generate_key(2048, {"kid": "one"})
    header = {"alg": "RS256", "kid": "one", "jwk": stranger.as_dict(private=False)}

    case.refuse(jwt.encode(header, case.claims(), stranger, algorithms=["RS256"]))


def test_a_token_that_was_changed_is_refused(case: Case):
    head, _, signature = case.token().split(".")
    _, claims, _ = unsigned({}, case.claims(sub="eve")).split(".")

    case.refuse(f"{head}.{claims}.{signature}")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "..",
        "a.b.c",
        "Ÿ.Ÿ.Ÿ",
        unsigned([], {}),
        unsigned({}, {}),
        unsigned({"alg": "RS256", "kid": {}}, {}),
        unsigned({"alg": ["RS256"], "kid": "one"}, {}),
        "a" * 500_000,
    ],
)
def test_garbage_is_refused(case: Case, token: str):
    case.refuse(token)


@pytest.mark.parametrize(
    "fields",
    [
        {"iss": "https://evil.example.com"},
        {"iss": f"{ISSUER}/"},
        {"iss": [ISSUER]},
        {"iss": ...},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": []},
        {"aud": {"parley": 1}},
        {"aud": ...},
        {"aud": ["parley", "another"]},
        {"aud": ["parley", "another"], "azp": "another"},
        {"azp": "another"},
        {"azp": None},
        {"nonce": "another"},
        {"nonce": ""},
        {"nonce": ["nonce"]},
        {"nonce": None},
        {"nonce": ...},
        {"sub": ""},
        {"sub": 7},
        {"sub": ...},
        {"sub": "x" * 256},
        {"sub": "ada\0"},
        {"sub": "ada "},
        {"exp": ...},
        {"exp": "tomorrow"},
        {"iat": ...},
        {"iat": None},
    ],
)
def test_a_token_that_is_not_for_us_or_not_whole_is_refused(case: Case, fields: dict[str, Any]):
    case.refuse(case.token(**fields))


@pytest.mark.parametrize("fields", [{"aud": ["parley"]}, {"aud": ["parley", "b"], "azp": "parley"}, {"azp": "parley"}])
def test_a_token_for_us_among_others_is_good(case: Case, fields: dict[str, Any]):
    assert case.redeem(case.token(**fields)).subject == "ada"


@pytest.mark.parametrize(("field", "good", "bad"), [("exp", -59, -60), ("iat", 60, 61), ("nbf", 60, 61)])
def test_clocks_may_differ_by_a_minute(case: Case, field: str, good: int, bad: int):
    now = int(case.clock.now().timestamp())

    assert case.redeem(case.token(**{field: now + good})).subject == "ada"
    case.refuse(case.token(**{field: now + bad}))


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_key_is_looked_for_once_a_minute(case: Case):
    case.redeem()
    stranger = case.token(OTHER)
    for _ in range(3):
        case.refuse(stranger)
    assert case.fetched("keys") == 2

    case.http.pages["keys"] = {"keys": [KEY.as_dict(private=False), OTHER.as_dict(private=False)]}
    case.clock.advance(59)
    case.refuse(stranger)
    case.clock.advance(1)
    assert case.redeem(stranger).subject == "ada"
    assert case.redeem(case.token()).subject == "ada"


def test_a_key_that_the_provider_took_back_is_good_for_ten_minutes_at_most(case: Case):
    case.redeem()
    case.http.pages["keys"] = {"keys": [OTHER.as_dict(private=False)]}
    case.clock.advance(600)

    case.refuse(case.token())


def test_a_key_for_encryption_signs_nothing(case: Case):
    case.http.pages["keys"] = {"keys": [KEY.as_dict(private=False, use="enc")]}

    case.refuse(case.token())


def test_keys_that_we_do_not_understand_are_passed_over(case: Case):
    strange = [
        7,
        {"kty": ["RSA"]},
        {},
        {"kty": "AKP", "kid": "one"},
        {"kty": "EC", "kid": "one", "crv": "P-9"},
        {"kty": "RSA", "kid": "x"},
    ]
    case.http.pages["keys"]["keys"] = [*strange, *case.http.pages["keys"]["keys"]]

    assert case.redeem().subject == "ada"


@pytest.mark.parametrize("keys", [None, {}, [], [{"kty": "oct", "k": "eA"}]])
def test_a_provider_without_keys_is_none(case: Case, keys: object):
    case.unavailable("keys", {"keys": keys})


# ── the claims ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "verified"), [(True, True), ("true", True), (False, False), ("false", False), (1, False), (..., False)]
)
def test_an_address_is_verified_only_when_the_provider_says_so(case: Case, said: object, verified: bool):
    assert case.redeem(case.token(email_verified=said)).email_verified is verified


@pytest.mark.parametrize("email", [None, 7, ["ada@example.org"]])
def test_an_address_that_is_no_text_is_none(case: Case, email: object):
    assert case.redeem(case.token(email=email)).email is None


@pytest.mark.parametrize(("name", "kept"), [("A\nd\0a", "Ada"), ("x" * 300, "x" * 100), (7, ""), (None, "")])
def test_a_name_is_cleaned(case: Case, name: object, kept: str):
    assert case.redeem(case.token(name=name)).name == kept


def test_what_the_token_leaves_out_is_asked_of_the_userinfo_endpoint(case: Case):
    case.http.pages["userinfo"] = {"sub": "ada", "email": "countess@example.org", "email_verified": True, "name": "A."}

    found = case.redeem(case.token(email=..., email_verified=..., name=...))

    assert found == Claims(ISSUER, "ada", "countess@example.org", email_verified=True, name="A.")
    assert case.http.bearers[-1] == "Bearer at"


def test_an_address_and_its_verification_come_from_one_place(case: Case):
    case.http.pages["userinfo"] = {"sub": "ada", "email": "countess@example.org"}

    assert not case.redeem(case.token(email=..., email_verified=True)).email_verified


@pytest.mark.parametrize("subject", ["eve", None, 7])
def test_userinfo_about_somebody_else_is_refused(case: Case, subject: object):
    case.http.pages["userinfo"] = {"sub": subject, "email": "eve@example.org", "email_verified": True}

    case.refuse(case.token(email=...))


def test_userinfo_that_does_not_answer_is_unavailable(case: Case):
    case.http.pages["token"]["id_token"] = case.token(email=...)

    case.unavailable("userinfo", Answer(500, b"{}"))


def test_without_a_userinfo_endpoint_there_is_no_address(case: Case):
    del case.http.pages["openid-configuration"]["userinfo_endpoint"]

    found = case.redeem(case.token(email=..., email_verified=..., name=...))

    assert found == Claims(ISSUER, "ada", None, email_verified=False)
