import re
from collections.abc import Iterator

import pytest
from flask import Flask, Response, abort, g, request
from flask.testing import FlaskClient

from api.limits import init_limits
from application.facts import LimiterFailed
from application.ports import Counters
from domain.errors import RateLimited
from tests.builders import a_principal
from tests.fakes import FrozenClock, MemoryCounters, RecordingRecorder

LIMIT_HEADERS = {
    "RateLimit",
    "RateLimit-Policy",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
}


class BrokenCounters:
    def hit(self, key: str, window: int, amount: int = 1) -> tuple[int, float]:
        raise ZeroDivisionError

    def peek(self, key: str) -> tuple[int, float]:
        raise ZeroDivisionError


class CountedCounters:
    """Remembers how often it was asked, by key."""

    def __init__(self, clock: FrozenClock) -> None:
        self._inner = MemoryCounters(clock)
        self.asked: list[str] = []

    def hit(self, key: str, window: int, amount: int = 1) -> tuple[int, float]:
        self.asked.append(key)
        return self._inner.hit(key, window, amount)

    def peek(self, key: str) -> tuple[int, float]:
        self.asked.append(key)
        return self._inner.peek(key)


@pytest.fixture
def clock():
    return FrozenClock()


@pytest.fixture
def counters(clock):
    return CountedCounters(clock)


@pytest.fixture
def record():
    return RecordingRecorder()


def an_app(counters: Counters, record: RecordingRecorder, default_rpm: int | None = None) -> Flask:
    """Its callers name their key and its limit in headers; without them they are nobody."""
    app = Flask("test")

    @app.before_request
    def authenticate() -> None:
        if key := request.headers.get("key"):
            g.principal = a_principal(key_id=key, rpm=request.headers.get("rpm", type=int))

    init_limits(app, counters=counters, record=record, default_rpm=default_rpm)

    @app.errorhandler(RateLimited)
    def refused(error: RateLimited) -> tuple[str, int, dict[str, str]]:
        return error.message, 429, {"Retry-After": str(error.retry_after)}

    @app.get("/answer")
    def answer() -> str:
        return "ok"

    @app.get("/wrong")
    def wrong() -> str:
        abort(422)

    @app.get("/stream")
    def stream() -> Response:
        def events() -> Iterator[str]:
            yield "data: 1\n\n"

        return Response(events(), mimetype="text/event-stream")

    return app


@pytest.fixture
def client(counters, record):
    return an_app(counters, record).test_client()


def ask(client: FlaskClient, path: str = "/answer", key: str = "key_1", rpm: int | None = 3):
    return client.get(path, headers={"key": key} | ({} if rpm is None else {"rpm": str(rpm)}))


def test_a_key_gets_exactly_its_requests_per_minute(client):
    assert [ask(client).status_code for _ in range(5)] == [200, 200, 200, 429, 429]


def test_the_next_minute_begins_sixty_seconds_after_the_first_request(client, clock):
    for _ in range(4):
        ask(client)
    clock.advance(59.9)
    assert ask(client).status_code == 429

    clock.advance(0.2)

    assert ask(client).status_code == 200


def test_keys_are_limited_apart(client):
    for _ in range(4):
        ask(client, key="key_1")

    assert ask(client, key="key_2").status_code == 200


def test_all_routes_count_together_the_unknown_ones_as_well(client):
    statuses = [ask(client, path).status_code for path in ("/answer", "/wrong", "/nowhere", "/answer")]

    assert statuses == [200, 422, 404, 429]


def test_the_refusal_says_what_was_hit_and_when_to_come_back(client, clock):
    for _ in range(3):
        ask(client)
    clock.advance(47.5)

    refusal = ask(client)

    assert refusal.headers["Retry-After"] == "13"
    assert refusal.text == "This key may make 3 requests per minute and has made them. Try again in 13 s."


@pytest.mark.parametrize("path", ["/answer", "/wrong", "/nowhere", "/stream"])
def test_every_answer_carries_both_families_of_headers(client, clock, path):
    ask(client)
    clock.advance(17.2)

    headers = ask(client, path).headers

    assert headers["RateLimit-Policy"] == '"requests";q=3;w=60'
    assert headers["RateLimit"] == '"requests";r=1;t=43'
    assert headers["x-ratelimit-limit-requests"] == "3"
    assert headers["x-ratelimit-remaining-requests"] == "1"
    assert headers["x-ratelimit-reset-requests"] == "43s"


def test_a_refusal_carries_them_too_and_never_a_negative_rest(client):
    for _ in range(5):
        refusal = ask(client)

    assert refusal.headers["RateLimit"] == '"requests";r=0;t=60'
    assert refusal.headers["x-ratelimit-remaining-requests"] == "0"


def test_the_headers_are_valid_structured_fields(client):
    item = re.compile(r'"[a-z]+"(;[a-z]+=\d+)+')

    headers = ask(client).headers

    assert item.fullmatch(headers["RateLimit"])
    assert item.fullmatch(headers["RateLimit-Policy"])


def test_a_request_costs_one_count_and_no_look_up_for_its_headers(client, counters):
    ask(client)

    assert counters.asked == ["rpm:key_1"]


def test_a_key_without_a_limit_is_neither_counted_nor_told_of_one(client, counters):
    answer = ask(client, rpm=None)

    assert answer.status_code == 200
    assert counters.asked == []
    assert not LIMIT_HEADERS & set(answer.headers.keys())


def test_a_request_of_nobody_is_not_limited_here(counters, record):
    client = an_app(counters, record, default_rpm=1).test_client()

    answers = [client.get("/answer") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert counters.asked == []
    assert not LIMIT_HEADERS & set(answers[-1].headers.keys())


def test_a_key_without_a_limit_of_its_own_has_the_configured_one(counters, record):
    client = an_app(counters, record, default_rpm=2).test_client()

    assert [ask(client, rpm=None).status_code for _ in range(3)] == [200, 200, 429]


def test_the_limit_of_a_key_goes_before_the_configured_one(counters, record):
    client = an_app(counters, record, default_rpm=1).test_client()

    assert [ask(client, rpm=2).status_code for _ in range(3)] == [200, 200, 429]


def test_a_limit_of_zero_lets_nothing_pass(client):
    assert ask(client, rpm=0).status_code == 429


def test_a_changed_limit_goes_on_with_the_count_it_finds(client):
    for _ in range(3):
        ask(client, rpm=3)

    answer = ask(client, rpm=10)

    assert answer.headers["x-ratelimit-remaining-requests"] == "6"


def test_a_broken_limiter_lets_the_request_pass_and_says_so(record):
    client = an_app(BrokenCounters(), record).test_client()

    answer = ask(client)

    assert answer.status_code == 200
    assert not LIMIT_HEADERS & set(answer.headers.keys())
    assert record.of(LimiterFailed) == [LimiterFailed("ZeroDivisionError")]


def test_a_request_does_not_pay_for_the_hooks_of_flask_limiter(counters, record):
    app = Flask("test")
    limiter = init_limits(app, counters=counters, record=record)

    hooks = [*app.before_request_funcs[None], *app.after_request_funcs[None], *app.teardown_request_funcs[None]]

    assert len(hooks) == 2
    assert all(getattr(hook, "__self__", None) is not limiter for hook in hooks)
