from dataclasses import replace
from typing import Any

import pytest

from adapters.recorders.logs import LogRecorder
from application.facts import (
    BreakerChanged,
    CredentialChanged,
    EventsDropped,
    HttpServed,
    JournalApplied,
    JournalDegraded,
    LimiterFailed,
    MailSent,
    ModelCalled,
    RedisRefused,
    TurnSettled,
)
from tests.fakes import FrozenClock

SERVED = HttpServed("POST", "/api/v1/chat", 200, 1.5, "req_1", "key_1", 700)
SETTLED = TurnSettled("req_1", "acme", "acme/large", "completed", "ok", True, 1.4, 0.2, 30, 12, "provider", 4200, 2)


class MemoryLog:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append(("warning", event, fields))


@pytest.fixture
def log():
    return MemoryLog()


@pytest.fixture
def clock():
    return FrozenClock()


@pytest.fixture
def record(log, clock):
    return LogRecorder(log, clock.monotonic)


@pytest.mark.parametrize(("retry", "told"), [(None, {}), (0, {}), (2, {"client_retry": 2})])
def test_a_request_that_the_client_had_tried_before_says_how_often(log, record, retry, told):
    record(replace(SERVED, client_retry=retry))

    ((_, _, fields),) = log.lines
    assert {name: value for name, value in fields.items() if name == "client_retry"} == told


def test_a_request_and_its_turn_make_one_line(log, record):
    record(SETTLED)
    record(replace(SERVED, client_request_id="mine", overhead_seconds=0.002, upstream_seconds=1.4))

    assert log.lines == [
        (
            "info",
            "request",
            {
                "method": "POST",
                "route": "/api/v1/chat",
                "status": 200,
                "ms": 1500.0,
                "request_id": "req_1",
                "bytes": 700,
                "key_id": "key_1",
                "client_request_id": "mine",
                "overhead_ms": 2.0,
                "upstream_ms": 1400.0,
                "provider": "acme",
                "model": "acme/large",
                "state": "completed",
                "outcome": "ok",
                "streamed": True,
                "prompt_tokens": 30,
                "completion_tokens": 12,
                "source": "provider",
                "cost_nano": 4200,
                "attempts": 2,
                "first_token_ms": 200.0,
            },
        )
    ]


def test_a_request_without_a_turn_has_no_fields_of_one(log, record):
    record(replace(SERVED, key_id=None))

    assert set(log.lines[0][2]) == {"method", "route", "status", "ms", "request_id", "bytes"}


def test_a_failure_of_ours_is_a_warning(log, record):
    record(replace(SERVED, status=503))

    assert log.lines[0][0] == "warning"


@pytest.mark.parametrize("route", ["/livez", "/readyz", "/metrics"])
def test_a_probe_makes_a_line_only_when_it_fails(log, record, route):
    record(replace(SERVED, route=route))
    assert log.lines == []

    record(replace(SERVED, route=route, status=503))
    assert len(log.lines) == 1


def test_a_turn_is_told_once(log, record):
    record(SETTLED)
    record(SERVED)
    record(SERVED)

    assert ["model" in fields for _, _, fields in log.lines] == [True, False]


def test_a_turn_whose_request_never_ends_is_written_alone_in_the_end(log, record):
    for number in range(1025):
        record(replace(SETTLED, request_id=f"req_{number}"))

    assert [(event, fields["request_id"]) for _, event, fields in log.lines] == [("turn", "req_0")]
    assert len(record._turns) == 1024


@pytest.mark.parametrize(
    ("fact", "event"),
    [
        (ModelCalled("acme", "acme/large", "upstream_reset", 0.1, None), "model_call_failed"),
        (EventsDropped("acme", 3), "upstream_events_dropped"),
        (BreakerChanged("redis", open=True, reason="timeout"), "breaker_opened"),
        (BreakerChanged("redis", open=False, reason=""), "breaker_closed"),
        (JournalApplied(4, 0.1, reaped=True), "journal_reaped"),
        (JournalDegraded("full", "sql"), "journal_degraded"),
        (RedisRefused("OutOfMemoryError"), "redis_refused"),
        (LimiterFailed("TypeError"), "limiter_failed"),
        (MailSent("reset", "postponed", "TimeoutError"), "mail_not_sent"),
    ],
)
def test_what_an_operator_must_know_is_a_warning_once_in_ten_seconds(log, record, clock, fact, event):
    for _ in range(3):
        record(fact)
    assert [line[:2] for line in log.lines] == [("warning", event)]

    clock.advance(10)
    record(fact)
    assert log.lines[1][2]["suppressed"] == 2


def test_one_kind_does_not_silence_another(log, record):
    record(BreakerChanged("redis", open=True, reason="timeout"))
    record(BreakerChanged("database", open=True, reason="timeout"))
    record(BreakerChanged("redis", open=False, reason=""))

    assert len(log.lines) == 3


def test_kinds_that_never_come_back_are_forgotten(log, record):
    for number in range(1000):
        record(EventsDropped(f"acme-{number}", 1))

    assert len(record._paused._last) == 256


@pytest.mark.parametrize("fact", [ModelCalled("acme", "x", "ok", 1, 1), JournalApplied(1, 0, reaped=False), "other"])
def test_what_goes_well_makes_no_line_of_its_own(log, record, fact):
    record(fact)

    assert log.lines == []


def test_a_mail_that_left_is_no_warning(log, record):
    record(MailSent("reset", "sent"))

    assert log.lines == []


def test_a_credential_that_rests_makes_a_line_and_another_one_when_it_works_again(log, record):
    record(CredentialChanged("acme", "#2", "large", "open", 9.96, "upstream_error"))
    record(CredentialChanged("acme", "#2", "large", "closed", 0.0, ""))

    who = {"provider": "acme", "credential": "#2", "model": "large"}
    assert log.lines == [
        ("warning", "credential_rests", {**who, "state": "open", "seconds": 10.0, "reason": "upstream_error"}),
        ("warning", "credential_works_again", who),
    ]
