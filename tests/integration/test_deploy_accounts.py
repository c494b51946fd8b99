"""Accounts behind the deployment's nginx: https, the cookie of the pages, and whose address is written down."""

import json
from collections.abc import Iterator
from http.client import HTTPResponse
from secrets import token_hex

import pytest
import yaml

from tests.servers.caller import Caller
from tests.servers.gateway import FAST, ROOT, Gateway
from tests.servers.nginx import NAME, Nginx, Tls, asked

pytestmark = pytest.mark.xdist_group("deploy")

PASSWORD = "correct horse 17 battery"
PAGE = f"https://{NAME}"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """With what the Compose file sets, for a proxy on this machine."""
    compose = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())
    given = compose["services"]["gateway"]["environment"]
    env = {name: given[name].replace("${PARLEY_SERVER_NAME:?}", NAME) for name in given if name.startswith("PARLEY_")}
    env |= {"PARLEY_TRUSTED_PROXY": "1", "PARLEY_WORKERS": "1"}
    env |= {name: token_hex() for name in ("PARLEY_SECRET_KEY", "PARLEY_METRICS_TOKEN")}
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), config=FAST, env=env).start()
    gateway.cli("users", "create", "ada@example.org", "--role", "admin", text=f"{PASSWORD}\n")
    yield gateway
    gateway.end()


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory, gateway: Gateway) -> Iterator[Nginx]:
    nginx = Nginx(tmp_path_factory.mktemp("nginx"), f"127.0.0.1:{gateway.port}").begin()
    yield nginx
    nginx.stop()


def told(nginx: Nginx, method: str, path: str, body: object = None, **headers: str) -> tuple[HTTPResponse, dict]:
    content = None if body is None else json.dumps(body).encode()
    with asked(
        Tls(nginx), method, f"/api/v1{path}", content, {"Content-Type": "application/json", **headers}
    ) as answer:
        raw = answer.read()
    return answer, json.loads(raw) if raw else {}


def test_a_page_logs_in_with_a_cookie_and_changes_something(nginx: Nginx) -> None:
    login = {"email": "ada@example.org", "password": PASSWORD, "cookie": True}

    answer, body = told(nginx, "POST", "/auth/login", login, Origin=PAGE)
    sid = str(answer.getheader("Set-Cookie")).partition(";")[0]
    changed, me = told(
        nginx, "PATCH", "/me", {"name": "Ada"}, Origin=PAGE, Cookie=sid, **{"X-CSRF-Token": body["csrf_token"]}
    )

    assert (answer.status, changed.status, me["name"]) == (200, 200, "Ada")
    assert sid.startswith("__Host-sid=parley_")


def test_another_page_cannot(nginx: Nginx) -> None:
    login = {"email": "ada@example.org", "password": PASSWORD, "cookie": True}

    assert told(nginx, "POST", "/auth/login", login, Origin="https://evil.example")[0].status == 403


def test_the_address_of_the_client_is_written_down_and_what_it_claims_is_not(nginx: Nginx) -> None:
    told(nginx, "POST", "/auth/login", {"email": "ada@example.org", "password": PASSWORD})
    _, body = told(
        nginx,
        "POST",
        "/auth/login",
        {"email": "ada@example.org", "password": PASSWORD},
        **{"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"},
    )

    _, logins = told(nginx, "GET", "/auth/logins", Authorization=f"Bearer {body['access_token']}")

    assert {login["ip"] for login in logins["data"]} == {"127.0.0.1"}


def test_browsers_are_told_once_to_come_back_by_https_alone(nginx: Nginx, gateway: Gateway) -> None:
    answer, _ = told(nginx, "GET", "/models", Authorization=f"Bearer {gateway.key}")

    assert answer.status == 200
    assert answer.headers.get_all("Strict-Transport-Security") == ["max-age=63072000"]


def test_without_the_proxy_only_probes_are_answered(gateway: Gateway) -> None:
    caller = Caller(gateway.port).bearing(gateway.key)

    assert caller.get("/models", Host=NAME).status == 403
    assert caller.get("/models").status == 400
    assert gateway.status("/readyz") == 200
