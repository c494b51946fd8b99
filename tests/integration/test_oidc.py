"""Logging in at a real OpenID provider, with the real adapters and a store in SQLite."""

import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.accounts.oidc import OidcProvider
from adapters.accounts.vault import Vault
from adapters.clock import SystemClock, new_id, new_secret
from adapters.persistence.unit_of_work import SqlBegin
from application.auditing import Auditor
from application.breaker import Breaker
from application.logins import LoginService, NewLogin
from application.oidc import OidcService
from application.second_factor import SecondFactorService
from domain.errors import InvalidCredentials, OidcUnavailable
from domain.user import Role
from infrastructure import schema_changes
from infrastructure.database import create_engine_for
from tests.builders import a_user
from tests.fakes import CountedCodes, PlainHasher, RecordingRecorder
from tests.servers.oidc_provider import CALLBACK, SECRET, Browser, OidcServer

pytestmark = pytest.mark.xdist_group("oidc")


class FastClock(SystemClock):
    """Runs `ahead` of the real one, which is the provider's."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcServer]:
    server = OidcServer(tmp_path_factory.mktemp("oidc")).run()
    yield server
    server.stop()


class Site:
    """Our side: a service, and visitors who log in through it."""

    def __init__(self, folder: Path, issuer: str) -> None:
        self.clock = clock = FastClock()
        self.issuer = issuer
        self.engine = create_engine_for(f"sqlite:///{folder}/parley.db", Path())
        schema_changes.migrate(self.engine)
        self.begin = SqlBegin(self.engine, Breaker("database", clock, RecordingRecorder()))
        vault, auditor = Vault(["k" * 32]), Auditor(clock, new_id)
        factors = SecondFactorService(self.begin, clock, new_secret, CountedCodes(), vault, auditor)
        made = (self.begin, clock, new_id, new_secret)
        logins = LoginService(*made, PlainHasher(), factors, auditor, lambda _: None)
        self.service = OidcService(
            *made, self.client("public", None), logins, vault, auditor, CALLBACK, frozenset({"example.org"})
        )

    def client(self, name: str, secret: str | None) -> OidcProvider:
        return OidcProvider(self.issuer, name, secret, self.clock)

    def visit(self, account: str = "ada", change: Callable[[str], str] = lambda address: address) -> tuple[str, ...]:
        """Through the provider and back: what `finish` takes. `change` tampers with the address that we send to."""
        address, sealed = self.service.start()
        back = Browser().log_in(change(address), account)
        return sealed, back["state"], back["code"], "192.0.2.1", "Firefox"

    def log_in(self, account: str = "ada") -> NewLogin:
        return self.service.finish(*self.visit(account))


@pytest.fixture
def site(tmp_path: Path, provider: OidcServer) -> Iterator[Site]:
    site = Site(tmp_path, provider.issuer)
    yield site
    site.engine.dispose()


@pytest.mark.parametrize(("client", "secret"), [("public", None), ("confidential", SECRET)])
def test_a_first_login_makes_a_member_and_the_second_one_finds_it(site: Site, client: str, secret: str | None):
    site.service = replace(site.service, provider=site.client(client, secret))

    first, second = site.log_in(), site.log_in()

    user = first.user
    assert (user.email, user.name, user.role, user.confirmed) == ("ada@example.org", "Ada Lovelace", Role.MEMBER, True)
    assert second.user.id == user.id
    assert first.token != second.token
    with site.begin() as work:
        assert work.identities.find(site.issuer, "ada") == user.id
        assert [login.id for login in work.logins.of_user(user.id)] == [second.login.id, first.login.id]


def test_a_verified_address_links_to_the_account_that_is_there(site: Site):
    with site.begin() as work:
        work.users.add(a_user(role=Role.ADMIN))

    assert site.log_in().user.id == "usr_1"


def test_a_wrong_state_is_refused_and_the_code_stays_unused(site: Site):
    sealed, state, *rest = site.visit()

    with pytest.raises(InvalidCredentials):
        site.service.finish(sealed, state[::-1], *rest)

    assert site.service.finish(sealed, state, *rest).user.email == "ada@example.org"


def test_a_state_of_somebody_elses_browser_is_refused(site: Site):
    _, other = site.service.start()
    _, *rest = site.visit()

    with pytest.raises(InvalidCredentials):
        site.service.finish(other, *rest)


def test_a_code_works_once(site: Site):
    landed = site.visit()
    site.service.finish(*landed)

    with pytest.raises(InvalidCredentials):
        site.service.finish(*landed)


def test_a_code_of_another_visit_is_refused_for_its_verifier(site: Site):
    _, _, stolen, *_ = site.visit("ada")
    sealed, state, _, *rest = site.visit("ada")

    with pytest.raises(InvalidCredentials):
        site.service.finish(sealed, state, stolen, *rest)


def test_an_id_token_with_another_nonce_is_refused(site: Site):
    def tamper(address: str) -> str:
        head, _, query = address.partition("?")
        return f"{head}?{urllib.parse.urlencode(dict(urllib.parse.parse_qsl(query)) | {'nonce': 'another'})}"

    landed = site.visit(change=tamper)

    with pytest.raises(InvalidCredentials):
        site.service.finish(*landed)


def test_an_address_that_is_not_verified_gets_no_account(site: Site):
    landed = site.visit("eve")

    with pytest.raises(InvalidCredentials):
        site.service.finish(*landed)

    with site.begin() as work:
        assert not work.users.any()


def test_a_wrong_client_secret_is_our_mistake_and_not_the_visitors(site: Site):
    site.service = replace(site.service, provider=site.client("confidential", "wrong"))
    landed = site.visit()

    with pytest.raises(OidcUnavailable):
        site.service.finish(*landed)


def test_another_name_of_the_same_provider_is_not_the_issuer(site: Site, provider: OidcServer):
    other = OidcProvider(f"http://localhost:{provider.port}", "public", None, site.clock)

    with pytest.raises(OidcUnavailable, match="calls itself"):
        other.authorize_url("s", "n", "c", CALLBACK)


def test_new_keys_of_the_provider_are_fetched_but_not_more_than_once_a_minute(tmp_path: Path):
    server = OidcServer(tmp_path, complete=True).run()
    site = Site(tmp_path, server.issuer)
    try:
        user = site.log_in().user
        assert user.name == "Ada Lovelace"
        for _ in range(2):
            server.stop()
            server.run()
            site.clock.ahead += 61
            assert site.log_in().user.id == user.id
        server.stop()
        server.run()
        with pytest.raises(InvalidCredentials):
            site.log_in()
        site.clock.ahead += 61
        assert site.log_in().user.id == user.id
    finally:
        server.stop()
        site.engine.dispose()


def test_a_provider_that_is_down_is_unavailable_at_every_step(tmp_path: Path):
    server = OidcServer(tmp_path).run()
    site = Site(tmp_path, server.issuer)
    landed = site.visit()
    server.kill()

    with pytest.raises(OidcUnavailable):
        site.service.finish(*landed)
    site.clock.ahead += 601
    with pytest.raises(OidcUnavailable):
        site.service.start()
    site.engine.dispose()
