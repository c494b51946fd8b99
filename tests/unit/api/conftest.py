"""The HTTP API on the services of `tests.world`, without a socket."""

from collections.abc import Iterator

import pytest
from dependency_injector import containers, providers
from flask import Flask
from flask.testing import FlaskClient

from api.v1 import MODULES
from api.wiring import init_api
from application.health import HealthService
from tests.builders import a_token
from tests.fakes import counting_ids
from tests.world import World

WIRED = ("identity", "sessions", "chat", "completions", "usage", "catalog", "in_flight", "clock", "record")


class Site:
    """The world, its web application, and a client that has the key of the world's user."""

    def __init__(self, world: World, app: Flask) -> None:
        self.world = world
        self.app = app
        self.client = app.test_client()
        self.token = a_token()
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def anonymous(self) -> FlaskClient:
        return self.app.test_client()

    def get(self, path: str, **options):
        headers = {**self.headers, **options.pop("headers", {})}
        return self.client.get(path, headers=headers, buffered=True, **options)

    def post(self, path: str, json=None, **options):
        given = {"json": json} if json is not None else {}
        headers = {**self.headers, **options.pop("headers", {})}
        return self.client.post(path, headers=headers, buffered=True, **given, **options)

    def patch(self, path: str, json):
        return self.client.patch(path, headers=self.headers, json=json, buffered=True)

    def delete(self, path: str):
        return self.client.delete(path, headers=self.headers, buffered=True)

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


@pytest.fixture(scope="module")
def shared_site() -> Iterator[Site]:
    """One for a whole file, whose tests change nothing; not to be mixed with `site`, since wiring is global."""
    world = World()
    container = a_container(world, HealthService(world.in_flight, {}, {}, lambda: "0001", "c0ffee"))
    container.wire(modules=MODULES, warn_unresolved=True)
    yield Site(world, an_app(container))
    container.unwire()
