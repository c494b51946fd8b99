from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from hashlib import sha256

import pytest

from application.account_store import SecondFactor
from application.oidc import Claims, OidcService
from domain.api_key import digest
from domain.errors import Conflict, InvalidCredentials, OidcUnavailable, ParleyError, RateLimited
from domain.login import Login
from domain.one_time_token import Purpose
from domain.throttle import ADDRESS
from domain.user import Role, User, canonical_email
from tests.builders import NOW, a_key, a_one_time_token, a_user
from tests.memory_accounts import MemoryUsers
from tests.world import World

CALLBACK = "https://parley.example.org/api/v1/auth/oidc/callback"
ADA = Claims("https://id.example.com", "248289761001", "Ada@Example.org", email_verified=True, name="Ada Lovelace")


class ScriptedProvider:
    """Gives `claims`, or raises what was set in their place. Remembers what it was asked."""

    def __init__(self, world: World) -> None:
        self.claims: Claims | ParleyError = ADA
        self.asked: dict[str, str] = {}
        self.redeemed: list[tuple[str, str, str, str]] = []
        self._begin = world.begin

    def authorize_url(self, state: str, nonce: str, challenge: str, redirect_uri: str) -> str:
        self.asked = {"state": state, "nonce": nonce, "challenge": challenge, "redirect_uri": redirect_uri}
        return "https://id.example.com/authorize?…"

    def redeem(self, code: str, verifier: str, nonce: str, redirect_uri: str) -> Claims:
        assert self._begin.open == 0, "a transaction is open while the provider is asked"
        self.redeemed.append((code, verifier, nonce, redirect_uri))
        if isinstance(self.claims, ParleyError):
            raise self.claims
        return self.claims


class Visit:
    """A service whose provider is scripted, and one browser."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.provider = ScriptedProvider(world)
        made = (world.begin, world.clock, world.new_id, world.new_secret)
        after = (world.logins, world.vault, world.auditor, CALLBACK)
        self.service = OidcService(*made, self.provider, *after, frozenset({"example.org"}))

    def log_in(self, claims: Claims | None = None):
        if claims is not None:
            self.provider.claims = claims
        _, sealed = self.service.start()
        return self.service.finish(sealed, self.provider.asked["state"], "code", "192.0.2.1", "Firefox")

    def refused(self, claims: Claims) -> None:
        before = self.world.begin.rows
        with pytest.raises(InvalidCredentials):
            self.log_in(claims)
        assert replace(self.world.begin.rows, throttles=before.throttles) == before

    @property
    def users(self) -> dict[str, User]:
        return self.world.begin.rows.users

    def actions(self) -> list[str]:
        return [entry.action for entry in self.world.begin.rows.audit.values()]


@pytest.fixture
def visit(world: World) -> Visit:
    return Visit(world)


# ── there and back ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_browser_is_sent_with_a_challenge_and_comes_back_with_what_fits_it(visit: Visit):
    address, sealed = visit.service.start()
    asked = visit.provider.asked

    visit.service.finish(sealed, asked["state"], "a code", "192.0.2.1", "Firefox")

    ((code, verifier, nonce, redirect_uri),) = visit.provider.redeemed
    assert address == "https://id.example.com/authorize?…"
    assert (code, nonce, redirect_uri) == ("a code", asked["nonce"], CALLBACK)
    assert redirect_uri == asked["redirect_uri"]
    expected = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert asked["challenge"] == expected
    assert len(verifier) >= 43
    assert len({asked["state"], nonce, verifier}) == 3


def test_two_visits_share_nothing(visit: Visit):
    visit.service.start()
    first = visit.provider.asked
    visit.service.start()

    assert not {first[it] for it in ("state", "nonce", "challenge")} & set(visit.provider.asked.values())


def test_the_sealed_state_fits_a_cookie_and_shows_nothing(visit: Visit):
    _, sealed = visit.service.start()

    assert sealed.replace("-", "").replace("_", "").isalnum()
    assert visit.provider.asked["state"] not in sealed


@pytest.mark.parametrize("state", ["", "x", "Ÿ", "0" * 43])
def test_another_state_is_refused_before_the_provider_is_asked(visit: Visit, state: str):
    _, sealed = visit.service.start()

    with pytest.raises(InvalidCredentials):
        visit.service.finish(sealed, state, "code", "", "")

    assert visit.provider.redeemed == []


def test_a_state_of_another_visit_is_refused(visit: Visit):
    visit.service.start()
    other = visit.provider.asked["state"]
    _, sealed = visit.service.start()

    with pytest.raises(InvalidCredentials):
        visit.service.finish(sealed, other, "code", "", "")


@pytest.mark.parametrize("sealed", ["", "x", "Ÿ", "!!!!", "e30"])
def test_a_cookie_that_we_did_not_seal_is_refused(visit: Visit, sealed: str):
    with pytest.raises(InvalidCredentials):
        visit.service.finish(sealed, "", "code", "", "")


def test_what_was_sealed_for_another_purpose_is_refused(visit: Visit):
    _, sealed = visit.service.start()
    plain = visit.world.vault.open("oidc", urlsafe_b64_decoded(sealed))
    other = urlsafe_b64encode(visit.world.vault.seal("totp", plain)).decode()

    with pytest.raises(InvalidCredentials):
        visit.service.finish(other, visit.provider.asked["state"], "code", "", "")


def urlsafe_b64_decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_a_visit_may_take_ten_minutes(visit: Visit):
    _, sealed = visit.service.start()
    visit.world.clock.advance(599)
    visit.service.finish(sealed, visit.provider.asked["state"], "code", "", "")

    visit.world.clock.advance(1)
    with pytest.raises(InvalidCredentials):
        visit.service.finish(sealed, visit.provider.asked["state"], "code", "", "")


@pytest.mark.parametrize("error", [InvalidCredentials(), OidcUnavailable()])
def test_what_the_provider_refuses_comes_out_unchanged(visit: Visit, error: ParleyError):
    visit.provider.claims = error

    with pytest.raises(type(error)):
        visit.log_in()

    assert visit.world.begin.rows.logins == {}


# ── whose account ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_verified_address_links_to_the_account_that_has_it(visit: Visit):
    login = visit.log_in()

    assert login.user.id == "usr_1"
    assert visit.world.begin.rows.identities == {("https://id.example.com", "248289761001"): "usr_1"}
    assert visit.actions() == ["identity.link"]
    (entry,) = visit.world.begin.rows.audit.values()
    assert entry.after == {"issuer": "https://id.example.com", "subject": "248289761001"}
    assert (entry.actor.user_id, entry.actor.ip) == ("usr_1", "192.0.2.1")


def test_the_login_is_one_of_ours(visit: Visit):
    login = visit.log_in()

    assert visit.world.identity.authenticate(login.token).user_id == "usr_1"
    assert (login.login.ip, login.login.user_agent) == ("192.0.2.1", "Firefox")


def test_later_logins_find_the_account_by_the_subject_alone(visit: Visit):
    visit.log_in()
    visit.users["usr_1"] = a_user(email="countess@example.org")

    again = visit.log_in(replace(ADA, email=None, email_verified=False))

    assert again.user.id == "usr_1"
    assert visit.actions() == ["identity.link"]


def test_the_same_subject_of_another_issuer_is_somebody_else(visit: Visit):
    visit.log_in()

    visit.refused(replace(ADA, issuer="https://id.example.net", email=None))


@pytest.mark.parametrize(
    "fields",
    [
        {"email_verified": False},
        {"email": None},
        {"email": "not an address"},
        {"email": "ada@example.org\nx"},
        {"email": "ada@example.net"},
        {"email": "ada@sub.example.org"},
        {"email": "ada@example.org.example.net"},
    ],
)
def test_without_a_verified_address_that_is_known_or_welcome_there_is_no_account(visit: Visit, fields: dict):
    visit.refused(replace(ADA, **fields))


def test_a_disabled_user_is_refused_at_first_sight_and_later(visit: Visit):
    visit.users["usr_1"] = a_user(disabled=True)
    visit.refused(ADA)

    visit.users["usr_1"] = a_user()
    visit.log_in()
    visit.users["usr_1"] = a_user(disabled=True)
    visit.refused(ADA)


def test_the_second_factor_of_an_account_is_not_asked_for(visit: Visit):
    visit.users["usr_1"] = a_user(totp=True)

    login = visit.log_in()

    assert login.user.totp


def test_an_address_of_a_welcome_domain_gets_a_new_member(visit: Visit):
    login = visit.log_in(replace(ADA, email="Grace@EXAMPLE.org", name="Grace Hopper"))

    user = visit.users[login.user.id]
    assert (user.email, user.name, user.role) == ("grace@example.org", "Grace Hopper", Role.MEMBER)
    assert (user.confirmed, user.password_hash) == (True, None)
    assert visit.actions() == ["user.create", "identity.link"]


def test_without_welcome_domains_nobody_gets_a_new_account(visit: Visit):
    visit.service = replace(visit.service, domains=frozenset())

    visit.refused(replace(ADA, email="grace@example.org"))
    assert visit.log_in(ADA).user.id == "usr_1"


def test_a_welcome_domain_may_be_written_in_capitals(visit: Visit):
    visit.service = replace(visit.service, domains=frozenset({"Example.ORG"}))

    assert visit.log_in(replace(ADA, email="grace@example.org")).user.email == "grace@example.org"


def test_an_account_whose_address_was_never_confirmed_loses_all_that_let_its_maker_in(visit: Visit):
    rows = visit.world.begin.rows
    visit.users["usr_1"] = a_user(confirmed=False, password_hash="plain:mine", totp=True)
    rows.logins["login_0"] = Login("login_0", "kid", "usr_1", digest("x"), NOW, NOW, NOW)
    rows.factors["usr_1"] = SecondFactor("usr_1", b"sealed", confirmed=True)
    rows.keys["key_2"] = a_key(id="key_2", kid="other", user_id="usr_2")

    login = visit.log_in()

    rows = visit.world.begin.rows
    user = rows.users["usr_1"]
    assert (user.confirmed, user.password_hash, user.totp) == (True, None, False)
    assert rows.factors == {}
    assert rows.logins["login_0"].ended_at is not None
    assert rows.logins[login.login.id].ended_at is None
    assert visit.world.forgotten == ["kid"]
    assert rows.keys["key_1"].revoked_at is not None
    assert rows.keys["key_2"].revoked_at is None
    assert visit.actions() == ["user.change", "identity.link"]


def test_a_confirmed_account_keeps_its_password_keys_and_logins(visit: Visit):
    visit.users["usr_1"] = a_user(password_hash="plain:mine")

    visit.log_in()

    assert visit.users["usr_1"].password_hash == "plain:mine"
    assert visit.world.begin.rows.keys["key_1"].revoked_at is None
    assert visit.world.forgotten == []


def test_of_two_first_logins_at_once_the_second_finds_what_the_first_made(visit: Visit):
    grace = replace(ADA, email="grace@example.org")
    begin, lost = visit.world.begin, []

    def begin_late():
        # What the other login commits meanwhile, when this one has counted and begins to log in.
        lost.append(True)
        if len(lost) == 2:
            raise Conflict
        return begin()

    visit.service = replace(visit.service, begin=begin_late)

    assert visit.log_in(grace).user.email == "grace@example.org"


def test_without_an_audit_entry_nothing_is_linked(visit: Visit):
    visit.world.begin.rows.refuse_audit = RuntimeError()

    with pytest.raises(RuntimeError):
        visit.log_in()

    assert (visit.world.begin.rows.identities, visit.world.begin.rows.logins) == ({}, {})


# ── who asks too often, and whose address it is not ──────────────────────────────────────────────────────────────


def test_a_network_cannot_make_us_ask_the_provider_without_end(visit: Visit):
    visit.provider.claims = InvalidCredentials()
    for _ in range(ADDRESS.free):
        with pytest.raises(InvalidCredentials):
            visit.log_in()

    with pytest.raises(RateLimited):
        visit.log_in()

    assert len(visit.provider.redeemed) == ADDRESS.free


def test_good_logins_do_not_count_for_their_network(visit: Visit):
    for _ in range(ADDRESS.free + 1):
        visit.log_in()

    assert visit.world.begin.rows.throttles["ip:192.0.2.1"].count == 0


@pytest.mark.parametrize(
    "email", ["ada@straße.example.org", "ſam@example.org", "\u212aay@example.org", "ａda@example.org"]
)
def test_an_address_that_only_looks_like_ours_after_folding_is_somebody_elses(visit: Visit, email: str):
    """The provider checked another mailbox than the one that the account belongs to."""
    with visit.world.begin() as work:
        work.users.add(a_user(id="usr_2", email=canonical_email(email).replace("ada@example.org", "eve@example.org")))

    visit.refused(replace(ADA, email=email))


def test_an_account_that_is_taken_over_keeps_nothing_that_could_still_be_confirmed(visit: Visit):
    with visit.world.begin() as work:
        work.users.save(a_user(confirmed=False))
        work.tokens.add(a_one_time_token(user_id="usr_1", email="mallory@example.org", purpose=Purpose.CONFIRM))

    visit.log_in()

    assert [it.used_at for it in visit.world.begin.rows.tokens.values()] == [NOW]


def test_a_user_who_was_disabled_meanwhile_gets_no_login(visit: Visit, monkeypatch):
    visit.log_in()
    monkeypatch.setattr(MemoryUsers, "lock", lambda users, id_: replace(users.get(id_), disabled=True))

    visit.refused(ADA)
