import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from adapters.recorders.labels import OTHER, Bounded
from adapters.recorders.prometheus import PrometheusRecorder
from application.facts import (
    BreakerChanged,
    EventsDropped,
    HttpServed,
    JournalApplied,
    JournalDegraded,
    LimiterFailed,
    LimitHit,
    MailSent,
    ModelCalled,
    RedisRefused,
    RequestRepeated,
    TurnSettled,
)
from application.model_ports import Rest

MODEL = "acme/large"
SERVED = HttpServed(
    "POST", "/api/v1/chat", 200, 1.5, "req_1", "key_1", 700, overhead_seconds=0.002, upstream_seconds=1.4
)
CALLED = ModelCalled("acme", MODEL, "ok", 1.4, 0.2)
SETTLED = TurnSettled("req_1", "acme", MODEL, "completed", "ok", True, 1.4, 0.2, 30, 12, "provider", 4200)


@pytest.fixture
def record() -> PrometheusRecorder:
    return PrometheusRecorder(models=[MODEL], registry=CollectorRegistry())


def value(record: PrometheusRecorder, name: str, **labels: str) -> float | None:
    return record.registry.get_sample_value(f"parley_{name}", labels)


def series(record: PrometheusRecorder) -> int:
    families = text_string_to_metric_families(generate_latest(record.registry).decode())
    return sum(len(family.samples) for family in families)


def test_a_request_is_counted_by_method_route_and_status(record):
    record(SERVED)
    record(replace(SERVED, status=503))
    record(SERVED)

    assert value(record, "http_requests_total", method="POST", route="/api/v1/chat", status="200") == 2
    assert value(record, "http_requests_total", method="POST", route="/api/v1/chat", status="503") == 1
    assert value(record, "http_seconds_sum", route="/api/v1/chat") == 4.5
    assert value(record, "overhead_seconds_count") == 3


def test_a_request_without_a_provider_has_no_overhead(record):
    record(replace(SERVED, overhead_seconds=None))

    assert value(record, "overhead_seconds_count") == 0


def test_a_turn_is_counted_with_its_tokens_and_its_cost(record):
    record(SETTLED)
    record(replace(SETTLED, state="partial", outcome="client_gone"))

    labels = {"provider": "acme", "model": MODEL}
    assert value(record, "turns_total", **labels, state="completed", outcome="ok") == 1
    assert value(record, "turns_total", **labels, state="partial", outcome="client_gone") == 1
    assert value(record, "tokens_total", **labels, kind="prompt") == 60
    assert value(record, "tokens_total", **labels, kind="completion") == 24
    assert value(record, "cost_nano_total", **labels) == 8400
    assert value(record, "first_token_seconds_count", **labels) == 2
    assert value(record, "turn_seconds_sum", provider="acme") == pytest.approx(2.8)


def test_an_unknown_price_is_counted_and_is_no_cost_of_nothing(record):
    record(replace(SETTLED, cost=None))
    record(replace(SETTLED, cost=0))

    labels = {"provider": "acme", "model": MODEL}
    assert value(record, "unpriced_total", **labels) == 1
    assert value(record, "cost_nano_total", **labels) == 0


def test_a_turn_that_never_had_a_first_token_does_not_distort_the_histogram(record):
    record(replace(SETTLED, first_token_seconds=None))

    assert value(record, "first_token_seconds_count", provider="acme", model=MODEL) == 0


def test_every_attempt_at_a_provider_is_counted(record):
    record(CALLED)
    record(replace(CALLED, outcome="upstream_reset"))

    assert value(record, "model_calls_total", provider="acme", model=MODEL, outcome="ok") == 1
    assert value(record, "model_calls_total", provider="acme", model=MODEL, outcome="upstream_reset") == 1
    assert value(record, "model_seconds_count", provider="acme") == 2


def test_a_breaker_shows_whether_it_is_open_and_how_often_it_opened(record):
    for state in (True, False, True):
        record(BreakerChanged("redis", state, "timeout"))

    assert value(record, "breaker_open", resource="redis") == 1
    assert value(record, "breaker_opened_total", resource="redis") == 2
    record(BreakerChanged("redis", open=False, reason=""))
    assert value(record, "breaker_open", resource="redis") == 0


def test_the_journal_is_measured(record):
    record(JournalApplied(20, 0.01, reaped=False))
    record(JournalApplied(3, 0.01, reaped=True))
    record(JournalDegraded("No space left on device", "sql"))

    assert value(record, "journal_records_total") == 23
    assert value(record, "journal_reaped_total") == 3
    assert value(record, "journal_apply_seconds_count") == 2
    assert value(record, "journal_degraded_total", fallback="sql") == 1


def test_what_was_dropped_refused_or_not_counted_shows(record):
    record(EventsDropped("acme", 7))
    record(RedisRefused("OutOfMemoryError"))
    record(LimiterFailed("TypeError"))

    assert value(record, "events_dropped_total", provider="acme") == 7
    assert value(record, "redis_refused_total", reason="OutOfMemoryError") == 1
    assert value(record, "limiter_failed_total", reason="TypeError") == 1


def test_limits_that_were_hit_are_counted_by_whose_they_are_and_what_they_limit(record):
    record(LimitHit("team", "tokens", shadow=False))
    record(LimitHit("team", "tokens", shadow=True))
    record(LimitHit("made up", "made up", shadow=True))

    assert value(record, "limit_hits_total", kind="team", metric="tokens", shadow="no") == 1
    assert value(record, "limit_hits_total", kind="team", metric="tokens", shadow="yes") == 1
    assert value(record, "limit_hits_total", kind=OTHER, metric=OTHER, shadow="yes") == 1


def test_repeated_requests_are_counted_by_what_they_got(record):
    record(RequestRepeated("replayed"))
    record(RequestRepeated("replayed"))
    record(RequestRepeated("idempotency_in_progress"))

    assert value(record, "repeated_requests_total", outcome="replayed") == 2
    assert value(record, "repeated_requests_total", outcome="idempotency_in_progress") == 1


def test_a_fact_of_another_kind_is_ignored(record):
    before = series(record)

    record("something else")

    assert series(record) == before


def test_ten_thousand_made_up_names_make_no_new_series(record):
    made_up: list[Any] = [replace(SETTLED, model=OTHER), replace(CALLED, model=OTHER), replace(SERVED, method="OTHER")]
    for fact in (SETTLED, CALLED, SERVED, *made_up):
        record(fact)
    before = series(record)

    for number in range(10_000):
        record(replace(SETTLED, model=f"acme/made-up-{number}"))
        record(replace(CALLED, model=f"acme/made-up-{number}"))
        record(replace(SERVED, method=f"M{number}"))

    assert series(record) == before
    assert value(record, "turns_total", provider="acme", model=OTHER, state="completed", outcome="ok") == 10_001


def test_made_up_names_do_not_fill_the_memory_either(record):
    for number in range(1000):
        record(replace(SETTLED, model=f"acme/{number}", outcome=f"o{number}", provider=f"p{number}"))
        record(replace(SERVED, route=f"/{number}"))

    assert len(record._models) <= 101
    assert len(record._served) <= 200
    assert series(record) < 30_000


def test_at_most_200_known_models_have_a_name_of_their_own():
    record = PrometheusRecorder(registry=CollectorRegistry())
    record.know(f"acme/{number}" for number in range(500))

    for number in range(500):
        record(replace(SETTLED, model=f"acme/{number}"))

    assert value(record, "cost_nano_total", provider="acme", model="acme/199") == 4200
    assert value(record, "cost_nano_total", provider="acme", model="acme/200") is None
    assert value(record, "cost_nano_total", provider="acme", model=OTHER) == 4200 * 300


def test_a_bounded_label_without_a_list_takes_whatever_comes_first():
    label = Bounded(2)

    assert [label(name) for name in ("a", "b", "c", "a")] == ["a", "b", OTHER, "a"]
    label.allow(["c"])
    assert label("c") == OTHER


WORKER = """
import os, sys
import prometheus_client  # as gunicorn's master does, before the folder has a name
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from adapters.recorders.prometheus import PrometheusRecorder
from application.facts import JournalApplied
record = PrometheusRecorder()
record(JournalApplied(5, 0.01, reaped=False))
record.metrics.in_flight.set(3)
print(os.getpid())
"""
READER = """
import os, sys, json
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from infrastructure.metrics import exposition
from prometheus_client.multiprocess import mark_process_dead
before = exposition(None).decode()
mark_process_dead(int(sys.argv[2]))
print(json.dumps([before, exposition(None).decode()]))
"""


def run(code: str, *arguments: str) -> str:
    root = Path(__file__).resolve().parents[4]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout


def test_workers_add_up_and_a_dead_one_leaves_its_counts_but_not_its_gauges(tmp_path):
    first, _ = run(WORKER, str(tmp_path)), run(WORKER, str(tmp_path))

    before, after = json.loads(run(READER, str(tmp_path), first.strip()))

    assert "parley_journal_records_total 10.0" in before
    assert "parley_in_flight 6.0" in before
    assert "parley_journal_records_total 10.0" in after
    assert "parley_in_flight 3.0" in after


def test_the_files_of_a_worker_have_their_blocks_before_they_are_mapped(tmp_path):
    run(WORKER, str(tmp_path))

    files = list(tmp_path.glob("*.db"))
    assert len(files) == 4
    assert [file.name for file in files if file.stat().st_blocks * 512 < file.stat().st_size] == []


def test_metrics_stay_in_memory_when_there_is_no_room_for_their_files(tmp_path):
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\nimport signal\n"
    limited += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"

    assert run(limited + WORKER, str(tmp_path)).strip().isdigit()


def test_the_documented_table_of_metrics_is_the_real_one(record):
    page = (Path(__file__).resolve().parents[4] / "docs/operations.md").read_text()
    documented = re.findall(r"^\| `(parley_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", page, re.MULTILINE)

    real = []
    for metric in vars(record.metrics).values():
        if isinstance(metric, MetricWrapperBase):
            name = metric._name + ("_total" if metric._type == "counter" else "")
            labels = " ".join(f"`{label}`" for label in metric._labelnames) or "–"
            real.append((name, metric._type, labels, metric._documentation))
    assert documented == real


def test_mails_are_counted_by_kind_and_outcome(record):
    record(MailSent("reset", "postponed", "TimeoutError"))
    record(MailSent("reset", "sent"))

    assert value(record, "mails_total", kind="reset", outcome="postponed") == 1
    assert value(record, "mails_total", kind="reset", outcome="sent") == 1


def a_rest(model: str = "large", state: str = "open", credential: str = "#1") -> Rest:
    return Rest("acme", credential, model, state, 5.0, "upstream_error")


def resting(record: PrometheusRecorder, model: str, state: str) -> float | None:
    return value(record, "credentials_resting", provider="acme", model=model, state=state)


def test_credentials_that_rest_are_counted_and_those_that_do_so_no_more_are_not(record):
    record.count_rests([a_rest(), a_rest(credential="#2"), a_rest("*", "refused")])
    assert (resting(record, MODEL, "open"), resting(record, "*", "refused")) == (2, 1)

    record.count_rests([a_rest(state="half_open")])
    assert (resting(record, MODEL, "open"), resting(record, "*", "refused")) == (0, 0)
    assert resting(record, MODEL, "half_open") == 1


def test_credentials_that_rest_for_models_that_clients_made_up_are_one_series(record):
    before = series(record)
    record.count_rests(a_rest(f"made-up-{number}") for number in range(500))

    assert series(record) - before == 1
    assert resting(record, OTHER, "open") == 500
