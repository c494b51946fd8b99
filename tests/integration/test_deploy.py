"""The deployment's nginx and Prometheus, as configured, around the real gateway."""

import http.client
import json
import math
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.servers.gateway import FAST, Gateway
from tests.servers.nginx import NAME, Nginx, Tls, asked
from tests.servers.program import free_port, require, wait_until
from tests.servers.prometheus import Prometheus
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = [pytest.mark.xdist_group("deploy"), pytest.mark.timeout(120)]

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/parley.json").read_text())
QUERIES = {
    f"{panel['title']}: {target['legendFormat']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
}
TOKEN = "metrics-token-of-the-tests"
CHAT = "/api/v1/chat/completions"
MIB = 1 << 20


@pytest.fixture(scope="module")
def provider(tmp_path_factory) -> Iterator[ScriptedProvider]:
    it = ScriptedProvider(tmp_path_factory.mktemp("provider")).run()
    yield it
    it.stop()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, provider) -> Iterator[Gateway]:
    config = f'[providers.scripted]\nbase_url = "{provider.base_url}"\n'
    config += f'[providers.refusing]\nbase_url = "{provider.base_url}"\n'
    config += '[guardrails.greetings]\nwords = ["hello"]\naction = "note"\non = ["input"]\n'
    config += '[prices."scripted/ok-n-5"]\ninput = 1\noutput = 2\n'
    it = Gateway(tmp_path_factory.mktemp("gateway"), config=config + FAST).start()
    yield it
    it.end()


@pytest.fixture(scope="module")
def nginx(tmp_path_factory, gateway) -> Iterator[Nginx]:
    it = Nginx(tmp_path_factory.mktemp("nginx"), f"127.0.0.1:{gateway.port}").begin()
    yield it
    it.stop()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory, gateway) -> Iterator[Prometheus]:
    it = Prometheus(tmp_path_factory.mktemp("prometheus"), f"127.0.0.1:{gateway.port}", TOKEN).begin()
    yield it
    it.stop()


def chat(nginx: Nginx, gateway: Gateway, model: str, *, stream: bool = True):
    body = {"model": f"scripted/{model}", "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
    return asked(Tls(nginx), "POST", CHAT, json.dumps(body).encode(), headers_of(gateway))


def post(nginx: Nginx, gateway: Gateway, body: bytes) -> tuple[int, dict[str, Any]]:
    with asked(Tls(nginx), "POST", CHAT, body, headers_of(gateway)) as answer:
        return answer.status, json.loads(answer.read())


def headers_of(gateway: Gateway) -> dict[str, str]:
    return {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json"}


def direct(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=20)


# ── nginx ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nginx_accepts_its_configuration(nginx):
    assert "syntax is ok" in nginx.check()


def test_a_stream_arrives_event_by_event(nginx, gateway):
    arrivals = []
    with chat(nginx, gateway, "slow-100ms") as answer:
        while line := answer.readline():
            if line.startswith(b'data: {"'):
                arrivals.append(time.monotonic())

    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    assert answer.status == 200
    assert answer.getheader("Transfer-Encoding") == "chunked"
    assert len([gap for gap in gaps if gap > 0.05]) >= 2  # what is held back comes at once


def test_a_killed_worker_is_a_broken_body_and_never_a_clean_end(nginx, gateway, provider):
    provider.forget()
    with chat(nginx, gateway, "slow-400ms") as answer:
        assert answer.readline().startswith(b"data:")
        gateway.kill_worker()

        with pytest.raises((http.client.IncompleteRead, OSError)):
            answer.read()

    wait_until(lambda: gateway.status("/livez") == 200, 20, "a new worker")
    assert len(provider.bills()) == 1


def test_a_client_that_leaves_is_noticed_by_the_provider(nginx, gateway, provider):
    provider.forget()
    with chat(nginx, gateway, "slow-400ms") as answer:
        answer.readline()
    left = time.time()

    wait_until(lambda: provider.bills()[0]["ended"] == "client_gone", 20, "the provider to notice")
    assert provider.bills()[0]["ended_at"] - left < 2


def test_a_body_above_26_mib_is_refused_by_nginx_in_json(nginx, gateway):
    status, body = post(nginx, gateway, b" " * (26 * MIB + 1))

    assert (status, body["error"]["code"]) == (413, "request_too_large")
    assert body["error"]["request_id"]


@pytest.mark.parametrize("size", [25 * MIB, 26 * MIB - 100])
def test_a_body_that_nginx_lets_through_is_refused_by_the_gateway_in_json(nginx, gateway, size):
    status, body = post(nginx, gateway, b'{"model": "' + b"x" * size + b'"}')

    assert (status, body["error"]["code"]) == (413, "request_too_large")
    assert body["error"]["request_id"].startswith("req_")


def test_an_answer_without_a_stream_passes_unchanged(nginx, gateway):
    with chat(nginx, gateway, "ok-n-5", stream=False) as answer:
        body = json.loads(answer.read())

    assert body["usage"]["completion_tokens"] == 5
    assert answer.getheader("X-Request-Id").startswith("req_")
    assert "max-age=" in answer.getheader("Strict-Transport-Security")


def test_an_error_passes_unchanged(nginx, gateway):
    with chat(nginx, gateway, "429-ra-7", stream=False) as answer:
        body = json.loads(answer.read())

    assert (answer.status, answer.getheader("Retry-After")) == (429, "7")
    assert body["error"]["code"] == "upstream_rate_limited"


@pytest.mark.parametrize(
    "path", ["/metrics", "//metrics", "/metrics/", "/%6detrics", "/api/../metrics", "/metrics?x=1"]
)
def test_metrics_do_not_leave_the_machine(nginx, path):
    with asked(Tls(nginx), "GET", path) as answer:
        body = answer.read()

    assert answer.status == 404
    assert b"parley_" not in body
    assert json.loads(body)["error"]["code"] == "not_found"


def test_nobody_is_served_under_another_name(nginx):
    with pytest.raises(ssl.SSLError):
        Tls(nginx, "evil.test").connect()


@pytest.mark.parametrize("name", ["evil.test", "127.0.0.1"])
def test_another_name_gets_no_answer_at_all(nginx, name):
    with (
        pytest.raises(ConnectionResetError),
        asked(direct(nginx.http_port), "GET", "/", None, {"Host": name}),
    ):
        pass


def test_plain_http_is_sent_to_https(nginx):
    with asked(direct(nginx.http_port), "GET", "/api/v1/models?limit=1", None, {"Host": NAME}) as answer:
        assert (answer.status, answer.getheader("Location")) == (308, f"https://{NAME}/api/v1/models?limit=1")


def test_nginx_tells_docker_that_it_is_well(nginx):
    with asked(direct(nginx.health_port), "GET", "/") as answer:
        assert answer.status == 204


@pytest.fixture
def silent_gateway() -> Iterator[socket.socket]:
    """Listens; what it answers is up to the test."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(10)
        yield listener


@contextmanager
def nginx_before(folder: Path, *ports: int) -> Iterator[Nginx]:
    alone = Nginx(folder, "; server ".join(f"127.0.0.1:{port}" for port in ports)).begin()
    try:
        yield alone
    finally:
        alone.stop()


def test_a_gateway_that_is_gone_is_a_503_in_json_with_a_time_to_wait(tmp_path):
    with nginx_before(tmp_path, free_port()) as alone, asked(Tls(alone), "GET", "/api/v1/models") as answer:
        body = json.loads(answer.read())

    assert (answer.status, answer.getheader("Retry-After")) == (503, "2")
    assert body["error"]["code"] == "unavailable"
    assert body["error"]["request_id"] == answer.getheader("X-Request-Id")


def test_what_a_client_claims_about_its_address_does_not_reach_the_gateway(tmp_path, silent_gateway):
    claims = dict.fromkeys(("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Forwarded-Prefix"), "6.6.6.6")
    claims |= {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.test"}
    with nginx_before(tmp_path, silent_gateway.getsockname()[1]) as alone, closing(Tls(alone)) as connection:
        connection.request("GET", "/api/v1/models", headers=claims)
        accepted, _ = silent_gateway.accept()
        with accepted:
            seen = accepted.recv(10_000).decode()

    assert "6.6.6.6" not in seen
    assert "evil.test" not in seen
    assert seen.startswith("GET /api/v1/models HTTP/1.1\r\n")
    assert "X-Forwarded-For: 127.0.0.1\r\n" in seen
    assert "X-Forwarded-Proto: https\r\n" in seen


def test_a_call_that_costs_money_is_never_sent_twice(tmp_path, silent_gateway):
    port = silent_gateway.getsockname()[1]
    with nginx_before(tmp_path, port, port) as alone, closing(Tls(alone)) as connection:
        connection.request("POST", CHAT, b"{}", {"Content-Type": "application/json"})
        accepted, _ = silent_gateway.accept()
        accepted.recv(10_000)
        accepted.close()
        silent_gateway.settimeout(1)
        with pytest.raises(TimeoutError):
            silent_gateway.accept()
        with closing(connection.getresponse()) as answer:
            assert answer.status == 503


def test_the_log_of_nginx_has_no_credential_and_no_argument(nginx, gateway):
    log = nginx.folder / "access.log"
    with asked(Tls(nginx), "GET", "/api/v1/models?api_key=canary-argument", None, headers_of(gateway)) as answer:
        answer.read()

    wait_until(lambda: '"path":"/api/v1/models"' in log.read_text(), 20, "the line")
    assert "canary-argument" not in log.read_text()
    assert gateway.key[-20:] not in log.read_text()
    assert {json.loads(line)["event"] for line in log.read_text().splitlines()} == {"nginx"}


# ── Prometheus ───────────────────────────────────────────────────────────────────────────────────────────────────


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run([require("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_its_configuration_and_its_rules(prometheus):
    promtool("check", "config", prometheus.config)


def test_every_alert_fires_when_it_should_and_only_then():
    promtool("test", "rules", DEPLOY / "prometheus/alerts.test.yml")


def test_the_metrics_are_well_formed(gateway):
    done = subprocess.run(
        [require("promtool"), "check", "metrics"], input=scrape(gateway), capture_output=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def scrape(gateway: Gateway) -> bytes:
    with asked(direct(gateway.port), "GET", "/metrics", None, {"Authorization": f"Bearer {TOKEN}"}) as answer:
        assert answer.status == 200
        return answer.read()


def traffic(gateway: Gateway) -> None:
    """A little of everything that the dashboard shows."""
    calls = [("ok-n-5", True), ("ok-n-5", False), ("ok", True), ("rst", False), ("unknown-events", True)]
    calls = [(f"scripted/{model}", stream) for model, stream in calls] + [("refusing/auth", False)]
    for model, stream in calls:
        body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
        with asked(direct(gateway.port), "POST", CHAT, json.dumps(body).encode(), headers_of(gateway)) as answer:
            answer.read()
    assert gateway.call("GET", "/sessions/sess_none")[0] == 404


def has_numbers(prometheus: Prometheus, query: str) -> bool:
    query = query.replace("$__rate_interval", "15s")
    return any(not math.isnan(float(series["value"][1])) for series in prometheus.ask(query))


def test_every_query_of_the_dashboard_finds_data_after_some_traffic(prometheus, gateway):
    wait_until(lambda: has_numbers(prometheus, 'up{job="parley"} == 1'), 20, "the first scrape")
    empty = dict(QUERIES)
    deadline = time.monotonic() + 80
    while empty and time.monotonic() < deadline:
        traffic(gateway)
        time.sleep(1)
        empty = {name: query for name, query in empty.items() if not has_numbers(prometheus, query)}

    assert empty == {}


def test_the_rules_are_loaded_and_can_be_evaluated(prometheus):
    def states() -> list[str]:
        groups = json.loads(prometheus.get("/api/v1/rules") or b"{}")["data"]["groups"]
        return [rule["health"] for group in groups for rule in group["rules"]]

    wait_until(lambda: "unknown" not in states(), 20, "the first evaluation")
    assert set(states()) == {"ok"}


def test_dashboard_and_alerts_name_only_metrics_and_labels_that_exist(gateway):
    traffic(gateway)
    wait_until(lambda: b"parley_credentials_resting{" in scrape(gateway), 20, "a gauge that is sampled now and then")
    samples = [
        sample for family in text_string_to_metric_families(scrape(gateway).decode()) for sample in family.samples
    ]
    rare = {"parley_redis_refused_total", "parley_limiter_failed_total", "parley_guardrail_failures_total"}
    known = {sample.name for sample in samples} | rare
    labels = {label for sample in samples for label in sample.labels} | {"job", "blocked"}
    text = "\n".join(QUERIES.values()) + (DEPLOY / "prometheus/alerts.yml").read_text()

    assert set(re.findall(r"\bparley_\w+", text)) - known == set()
    used = re.findall(r"by \(([^)]*)\)", text) + re.findall(r"(\w+)(?:=~|!=|=)\"", text)
    assert {name.strip() for names in used for name in names.split(",")} - labels == set()


def test_no_secret_is_in_the_metrics_or_in_the_log(gateway):
    assert gateway.key[-20:].encode() not in scrape(gateway)
    lines = [line for line in gateway.program.log.read_text().splitlines() if line.startswith("{")]
    assert lines
    assert not any(gateway.key[-20:] in line or TOKEN in line for line in lines)
