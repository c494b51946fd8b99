import re
from collections.abc import Iterator

import pytest
from flask import Flask, Response, abort, g, request
from flask.testing import FlaskClient

from api.limits import change_default_rate, init_limits
from application.call import Call, TokenStanding
from application.cancellation import Cancellation
from application.facts import LimiterFailed, LimitHit
from application.ports import Counters
from domain.errors import RateLimited
from domain.limits import Bound, Kind, Limits
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


def an_app(
    counters: Counters,
    record: RecordingRecorder,
    default_rpm: int | None = None,
    *,
    bounds: tuple[Bound, ...] = (),
    shadow: bool = False,
) -> Flask:
    """Its callers name their key or login and its limit in headers; without them they are nobody."""
    app = Flask("test")

    @app.before_request
    def authenticate() -> None:
        if key := request.headers.get("key"):
            rpm = request.headers.get("rpm", type=int)
            own = () if rpm is None else (a_bound(rpm, Kind.KEY, key),)
            g.principal = a_principal(key_id=key, login=key.startswith("login"), bounds=(*own, *bounds))

    init_limits(app, counters=counters, record=record, default_rpm=default_rpm, shadow=shadow)

    _add_routes(app)
    return app


def _add_routes(app: Flask) -> None:
    @app.errorhandler(RateLimited)
    def refused(error: RateLimited) -> tuple[str, int, dict[str, str]]:
        return error.message, 429, {"Retry-After": str(error.retry_after)}

    @app.get("/answer")
    def answer() -> str:
        return "ok"

    @app.get("/paid")
    def paid() -> str:
        g.call = Call("req_1", Cancellation(1, lambda: 0), streamed=False)
        g.call.standing = TokenStanding(1_000, 250, 31) if request.args else None
        if "refused" in request.args:
            raise RateLimited("no tokens", retry_after=31)
        return "ok"

    @app.get("/wrong")
    def wrong() -> str:
        abort(422)

    @app.get("/stream")
    def stream() -> Response:
        def events() -> Iterator[str]:
            yield "data: 1\n\n"

        return Response(events(), mimetype="text/event-stream")


def a_bound(rpm: int | None, kind: Kind, id: str = "", **limits) -> Bound:  # noqa: A002 - named as its field
    return Bound(kind, id, Limits(rpm=rpm, **limits))


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

    assert counters.asked == ["rpm:key:key_1"]


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


TEAM, EVERYBODY = a_bound(2, Kind.TEAM, "team_1"), a_bound(100, Kind.GLOBAL)


def test_every_limit_that_a_caller_is_under_counts_its_requests(counters, record):
    unlimited = a_bound(None, Kind.USER, "usr_1", tpm=9)
    client = an_app(counters, record, default_rpm=50, bounds=(unlimited, TEAM, EVERYBODY)).test_client()

    ask(client, rpm=10)

    assert counters.asked == ["rpm:key:key_1", "rpm:team:team_1", "rpm:global:"]


def test_two_keys_of_a_team_share_its_limit(counters, record):
    client = an_app(counters, record, bounds=(TEAM,)).test_client()

    assert [ask(client, key=key, rpm=10).status_code for key in ("key_1", "key_2", "key_3")] == [200, 200, 429]


def test_a_limit_of_a_wider_circle_does_not_lift_the_default_of_the_credential(counters, record):
    client = an_app(counters, record, default_rpm=2, bounds=(EVERYBODY,)).test_client()

    assert [ask(client, rpm=None).status_code for _ in range(3)] == [200, 200, 429]


def test_a_request_that_its_own_key_may_not_make_costs_the_team_nothing(counters, record):
    client = an_app(counters, record, bounds=(TEAM,)).test_client()
    for _ in range(3):
        ask(client, rpm=1)

    assert counters.asked.count("rpm:team:team_1") == 1


@pytest.mark.parametrize(
    ("bound", "who"),
    [
        (TEAM, "This team"),
        (a_bound(2, Kind.USER, "usr_1"), "This user"),
        (a_bound(2, Kind.GLOBAL), "The whole installation"),
    ],
    ids=str,
)
def test_the_refusal_names_whose_limit_it_was(counters, record, bound, who):
    client = an_app(counters, record, bounds=(bound,)).test_client()
    for _ in range(3):
        refusal = ask(client, rpm=None)

    assert refusal.text == f"{who} may make 2 requests per minute and has made them. Try again in 60 s."
    assert record.facts == [LimitHit(bound.kind, "requests", shadow=False)]


def test_a_login_is_limited_like_a_key(counters, record):
    client = an_app(counters, record, default_rpm=1).test_client()
    ask(client, key="login_1", rpm=None)

    refusal = ask(client, key="login_1", rpm=None)

    assert refusal.text.startswith("This login may make 1 requests per minute")
    assert counters.asked[-1] == "rpm:key:login_1"


def test_the_headers_tell_of_the_limit_of_which_least_is_left(counters, record):
    client = an_app(counters, record, bounds=(a_bound(8, Kind.GLOBAL),)).test_client()

    headers = [ask(client, key=key, rpm=4).headers for key in ("key_1", "key_2", "key_2", "key_2", "key_3")]

    told = [(it["x-ratelimit-limit-requests"], it["x-ratelimit-remaining-requests"]) for it in headers]
    assert told == [("4", "3"), ("4", "3"), ("4", "2"), ("4", "1"), ("8", "3")]
    assert [len(it.getlist("RateLimit")) for it in headers] == [1] * 5


def test_a_limit_in_shadow_is_measured_and_refuses_nothing(counters, record):
    client = an_app(counters, record, bounds=(a_bound(1, Kind.TEAM, "team_1", shadow=True),)).test_client()

    answers = [ask(client, rpm=None) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert record.facts == [LimitHit("team", "requests", shadow=True)] * 2
    assert not LIMIT_HEADERS & set(answers[-1].headers.keys())


def test_in_global_shadow_nobody_is_refused(counters, record):
    client = an_app(counters, record, default_rpm=1, bounds=(TEAM,), shadow=True).test_client()

    assert [ask(client, rpm=None).status_code for _ in range(5)] == [200] * 5
    assert {fact.shadow for fact in record.of(LimitHit)} == {True}


@pytest.mark.parametrize("path", ["/paid?standing", "/paid?refused"])
def test_a_paid_call_tells_how_its_tokens_stand_whether_it_was_let_in_or_not(client, path):
    headers = ask(client, path).headers

    names = ("limit", "remaining", "reset")
    assert [headers[f"x-ratelimit-{name}-tokens"] for name in names] == ["1000", "250", "31s"]
    assert headers.getlist("RateLimit-Policy") == ['"requests";q=3;w=60', '"tokens";q=1000;w=60']
    assert headers.getlist("RateLimit") == ['"requests";r=2;t=60', '"tokens";r=250;t=31']


def test_a_paid_call_without_a_limit_on_tokens_tells_nothing_of_them(client):
    assert "x-ratelimit-limit-tokens" not in ask(client, "/paid").headers


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


def test_the_default_and_the_shadow_may_change_while_requests_come(counters, record):
    app = an_app(counters, record, default_rpm=1)
    client = app.test_client()
    assert [client.get("/answer", headers={"key": "key_1"}).status_code for _ in range(2)] == [200, 429]

    change_default_rate(app, 5, shadow=False)
    assert client.get("/answer", headers={"key": "key_1"}).headers["x-ratelimit-limit-requests"] == "5"

    change_default_rate(app, 1, shadow=True)
    assert client.get("/answer", headers={"key": "key_1"}).status_code == 200
