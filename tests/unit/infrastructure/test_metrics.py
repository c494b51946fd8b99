import gevent
import pytest
from flask import Flask
from prometheus_client import CollectorRegistry

from adapters.recorders.metrics import Metrics
from api.answer import init_answers
from api.errors import init_errors
from api.middleware import init_middleware
from infrastructure.metrics import Sampler, init_metrics
from tests.fakes import FrozenClock, RecordingRecorder, counting_ids

TOKEN = "scrape-token"
LOOPBACK = {"REMOTE_ADDR": "127.0.0.1"}


def client(token: str | None):
    app, registry = Flask("parley"), CollectorRegistry()
    init_answers(app)
    init_middleware(app, clock=FrozenClock(), new_id=counting_ids(), record=RecordingRecorder())
    init_errors(app)
    init_metrics(app, token, registry)
    Metrics(registry).in_flight.set(7)
    return app.test_client()


def get(token: str | None, *, headers=None, environ=LOOPBACK):
    return client(token).get("/metrics", headers=headers or {}, environ_base=environ)


def test_the_token_opens_the_metrics_from_anywhere():
    answer = get(TOKEN, headers={"Authorization": f"Bearer {TOKEN}"}, environ={"REMOTE_ADDR": "192.0.2.7"})

    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    assert b"parley_in_flight 7.0" in answer.data


@pytest.mark.parametrize("header", [None, "Bearer wrong", f"Basic {TOKEN}", "Bearer ", f"Bearer {TOKEN}x", "Bearer ü"])
def test_without_the_configured_token_nobody_reads_them_not_even_this_machine(header):
    answer = get(TOKEN, headers={"Authorization": header} if header else {})

    assert answer.status_code == 401
    assert answer.json["error"]["code"] == "unauthenticated"
    assert answer.json["error"]["request_id"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_without_a_token_a_direct_peer_of_this_machine_reads_them(address):
    assert get(None, environ={"REMOTE_ADDR": address}).status_code == 200


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "", "127.0.0.1.evil", "::ffff:192.0.2.7"])
def test_without_a_token_nobody_else_does(address):
    answer = get(None, environ={"REMOTE_ADDR": address})

    assert answer.status_code == 403
    assert answer.json["error"]["code"] == "forbidden"


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "x-forwarded-for", "Via"])
def test_without_a_token_nothing_that_came_through_a_proxy_does(header):
    assert get(None, headers={header: "127.0.0.1"}).status_code == 403


def sampler(**fields):
    metrics = Metrics(registry := CollectorRegistry())
    parts = {"in_flight": lambda: 4, "lag": lambda: (9, 1.5), "dropped_lines": lambda: 2, **fields}
    return registry, Sampler(metrics, **parts)


def test_a_sample_sets_what_no_fact_tells():
    registry, it = sampler()

    it.sample()
    it.sample()

    assert registry.get_sample_value("parley_in_flight") == 4
    assert registry.get_sample_value("parley_workers") == 1
    assert registry.get_sample_value("parley_journal_lag_records") == 9
    assert registry.get_sample_value("parley_journal_lag_seconds") == 1.5
    assert registry.get_sample_value("parley_log_lines_dropped_total") == 2
    assert registry.get_sample_value("parley_resident_bytes") > 1_000_000


def test_a_hub_that_stood_still_is_counted(monkeypatch):
    moments = iter([10.0, 10.1, 20.0, 21.0])
    monkeypatch.setattr("infrastructure.metrics.time.monotonic", lambda: next(moments))
    monkeypatch.setattr("infrastructure.metrics.time.sleep", lambda _: None)
    registry, it = sampler(seconds=0.1)

    it.rest()
    assert registry.get_sample_value("parley_hub_blocked_total") == 0
    it.rest()
    assert registry.get_sample_value("parley_hub_blocked_total") == 1


def test_sampling_goes_on_until_its_greenlet_is_killed(monkeypatch):
    monkeypatch.setattr("infrastructure.metrics.time.sleep", gevent.sleep)
    count = iter(range(100))
    _, it = sampler(in_flight=lambda: next(count), seconds=0.001)

    greenlet = gevent.spawn(it.run)
    gevent.sleep(0.05)
    greenlet.kill()

    assert next(count) > 1
