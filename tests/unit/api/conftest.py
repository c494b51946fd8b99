"""The HTTP API on the services of `tests.world`, without a socket."""

from collections.abc import Iterator
from contextlib import contextmanager

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
    "idempotency",
    "embeddings",
    "token_counts",
    *("images", "image_jobs", "files"),
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


class Stage:
    """One application for many worlds: to build it takes a hundred times as long as most tests.

    What it was built with asks the world that is on stage at the moment.
    """

    def __init__(self) -> None:
        self.enter(World())
        self.container = a_container(self.world, self.health)
        for name in WIRED:
            getattr(self.container, name).override(providers.Object(OnStage(self, name)))
        self.container.health.override(providers.Callable(lambda: self.health))
        self.container.new_id.override(providers.Object(self._next_id))
        self.container.wire(modules=MODULES, warn_unresolved=True)
        self.app = an_app(self.container)

    def enter(self, world: World) -> None:
        self.world, self.health, self.new_id = world, a_health(world), counting_ids()

    def _next_id(self, prefix: str) -> str:
        return self.new_id(prefix)


class OnStage:
    """Whatever the current world has under this name."""

    def __init__(self, stage: Stage, name: str) -> None:
        self._stage = stage
        self._name = name

    def __getattr__(self, attribute: str):
        return getattr(getattr(self._stage.world, self._name), attribute)

    def __call__(self, *arguments):
        return getattr(self._stage.world, self._name)(*arguments)


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


def a_health(world: World) -> HealthService:
    return HealthService(world.in_flight, {}, {}, lambda: "0001", lambda: "c0ffee")


def an_app(container: containers.DynamicContainer) -> Flask:
    app = Flask("parley", static_folder=None)
    app.extensions["parley"] = container
    init_api(app)
    return app


@contextmanager
def wired(container: containers.DynamicContainer, stage: Stage) -> Iterator[None]:
    """Wiring is global: while this container has it, the one on stage has not."""
    container.wire(modules=MODULES, warn_unresolved=True)
    yield
    container.unwire()
    stage.container.wire(modules=MODULES, warn_unresolved=True)


@pytest.fixture(scope="session")
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="module", autouse=True)
def _wiring(stage: Stage) -> None:
    """Tests elsewhere build whole applications, which take the wiring over."""
    stage.container.wire(modules=MODULES, warn_unresolved=True)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def staged_app(stage: Stage) -> Flask:
    """For a whole file that adds to its application, which asks the world on stage."""
    return an_app(stage.container)


@pytest.fixture
def container(world: World, stage: Stage) -> Iterator[containers.DynamicContainer]:
    container = a_container(world, a_health(world))
    with wired(container, stage):
        yield container


@pytest.fixture
def app(container: containers.DynamicContainer) -> Flask:
    """An application of one's own, to be changed."""
    return an_app(container)


@pytest.fixture
def site(request: pytest.FixtureRequest, world: World, stage: Stage) -> Site:
    stage.enter(world)
    own = "app" in request.fixturenames or "container" in request.fixturenames
    return Site(world, request.getfixturevalue("app") if own else stage.app)


@pytest.fixture
def health(site: Site, stage: Stage) -> HealthService:
    return stage.health


@pytest.fixture
def admin(site: Site) -> Site:
    """The site, called by an administrator."""
    site.become(Role.ADMIN)
    return site


@pytest.fixture(scope="module")
def shared_site(stage: Stage) -> Iterator[Site]:
    """One for a whole file, whose tests change nothing but may add routes; not to be mixed with `site`."""
    world = World()
    container = a_container(world, a_health(world))
    with wired(container, stage):
        yield Site(world, an_app(container))


@pytest.fixture
def clean_site(shared_site: Site) -> Iterator[Site]:
    """The shared one for tests that change rows: they are put back. An application for each test would take long."""
    world = shared_site.world
    rows = world.begin.rows.copy()
    yield Site(world, shared_site.app)
    world.begin.rows, world.begin.down = rows, None
    for memory in (world.forgotten, world.identity.touched, world.record.facts):
        memory.clear()
