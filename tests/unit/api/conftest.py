"""The HTTP API on the services of `tests.world`, without a socket."""

from collections.abc import Iterator

import pytest
from dependency_injector import containers, providers
from flask import Flask
from flask.testing import FlaskClient

from api.csrf import CsrfGuard
from api.origin_policy import OriginPolicy
from api.v1 import MODULES
from api.wiring import init_api
from application.health import HealthService
from domain.user import Role
from tests.builders import a_key, a_token, a_user
from tests.fakes import counting_ids
from tests.world import World

WIRED = (
    *("identity", "sessions", "chat", "completions", "usage", "catalog", "in_flight", "clock", "record"),
    *("accounts", "logins", "factors", "keys", "teams"),
    *("user_admin", "team_admin", "limit_admin", "provider_admin", "overview"),
)


ORIGIN = "https://parley.example.org"
CSRF = CsrfGuard(b"c" * 32, ORIGIN)


class Site:
    """The world, its web application, and a client that has the key of the world's user."""

    def __init__(self, world: World, app: Flask) -> None:
        self.world = world
        self.app = app
        self.client = app.test_client()
        self.token = a_token()
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def anonymous(self) -> FlaskClient:
        """Keeps no cookies; a test sends those it means."""
        return self.app.test_client(use_cookies=False)

    def login(self, user_id: str = "usr_1") -> str:
        """The access token of a new login of the user."""
        with self.world.begin() as work:
            return self.world.logins.issue(work, work.users.get(user_id), "192.0.2.1", "Browser/1").token

    def page_headers(self, token: str) -> dict[str, str]:
        """What a page of our own sends whose cookie carries `token`."""
        return {
            "Cookie": f"__Host-sid={token}",
            "Sec-Fetch-Site": "same-origin",
            "X-CSRF-Token": CSRF.token(token),
        }

    def ask(self, method: str, path: str, token: str, json=None):
        """With an access token instead of the key."""
        headers = {"Authorization": f"Bearer {token}"}
        return self.anonymous().open(path, method=method, headers=headers, json=json, buffered=True)

    def get(self, path: str, **options):
        headers = {**self.headers, **options.pop("headers", {})}
        return self.client.get(path, headers=headers, buffered=True, **options)

    def post(self, path: str, json=None, **options):
        given = {"json": json} if json is not None else {}
        headers = {**self.headers, **options.pop("headers", {})}
        return self.client.post(path, headers=headers, buffered=True, **given, **options)

    def patch(self, path: str, json):
        return self.client.patch(path, headers=self.headers, json=json, buffered=True)

    def put(self, path: str, json):
        return self.client.put(path, headers=self.headers, json=json, buffered=True)

    def delete(self, path: str):
        return self.client.delete(path, headers=self.headers, buffered=True)

    def become(self, role: Role) -> None:
        """From now on another user calls: `usr_<role>`, with `key_<role>`."""
        token = a_token(kid=f"{role:0<10}")
        with self.world.begin() as work:
            work.users.add(a_user(id=f"usr_{role}", email=f"{role}@example.org", role=role))
            work.keys.add(a_key(token, id=f"key_{role}", user_id=f"usr_{role}"))
        self.headers = {"Authorization": f"Bearer {token}"}

    def raw(self, path: str, body: bytes, content_type: str = "application/json", method: str = "POST"):
        return self.client.open(
            path, method=method, headers=self.headers, data=body, content_type=content_type, buffered=True
        )


def a_container(world: World, health: HealthService) -> containers.DynamicContainer:
    """What `infrastructure.container` offers to the API, on fakes."""
    container = containers.DynamicContainer()
    for name in WIRED:
        setattr(container, name, providers.Object(getattr(world, name)))
    container.health = providers.Object(health)
    container.csrf = providers.Object(CSRF)
    container.origin_policy = providers.Object(OriginPolicy())
    container.public_url = providers.Object(ORIGIN)
    container.oidc = providers.Object(None)
    container.oidc_label = providers.Object("")
    container.new_id = providers.Object(counting_ids())
    container.total_seconds = providers.Object(600.0)
    container.send_seconds = providers.Object(30.0)
    container.body_seconds = providers.Object(15.0)
    return container


def an_app(container: containers.DynamicContainer) -> Flask:
    app = Flask("parley", static_folder=None)
    app.extensions["parley"] = container
    init_api(app)
    return app


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def health(world: World) -> HealthService:
    return HealthService(world.in_flight, {}, {}, lambda: "0001", "c0ffee")


@pytest.fixture
def container(world: World, health: HealthService) -> Iterator[containers.DynamicContainer]:
    container = a_container(world, health)
    container.wire(modules=MODULES, warn_unresolved=True)
    yield container
    container.unwire()


@pytest.fixture
def app(container: containers.DynamicContainer) -> Flask:
    return an_app(container)


@pytest.fixture
def site(world: World, app: Flask) -> Site:
    return Site(world, app)


@pytest.fixture
def admin(site: Site) -> Site:
    """The site, called by an administrator."""
    site.become(Role.ADMIN)
    return site


@pytest.fixture(scope="module")
def shared_site() -> Iterator[Site]:
    """One for a whole file, whose tests change nothing; not to be mixed with `site`, since wiring is global."""
    world = World()
    container = a_container(world, HealthService(world.in_flight, {}, {}, lambda: "0001", "c0ffee"))
    container.wire(modules=MODULES, warn_unresolved=True)
    yield Site(world, an_app(container))
    container.unwire()


@pytest.fixture
def clean_site(shared_site: Site) -> Iterator[Site]:
    """The shared one for tests that change rows: they are put back. An application for each test would take long."""
    world = shared_site.world
    rows = world.begin.rows.copy()
    yield Site(world, shared_site.app)
    world.begin.rows, world.begin.down = rows, None
    for memory in (world.forgotten, world.identity.touched, world.record.facts):
        memory.clear()
