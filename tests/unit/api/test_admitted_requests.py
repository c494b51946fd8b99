"""Limits and budgets of a key, as its caller meets them over HTTP."""

import pytest

from api.limits import init_limits
from domain.limits import Budget, Kind, Limits, Unit, Window
from tests.fakes import MemoryCounters

COMPLETIONS, CHAT, STREAM = "/api/v1/chat/completions", "/api/v1/chat", "/api/v1/chat/stream"
ASKED = {"model": "acme/large", "messages": [{"role": "user", "content": "Hello"}]}
SAID = {"session_id": "sess_1", "message": "Hello"}
MESSAGES = "/api/v1/messages"
ASKED_OF_MESSAGES = {**ASKED, "max_tokens": 1_024}
WAYS = {
    "whole": (COMPLETIONS, ASKED),
    "stream": (COMPLETIONS, {**ASKED, "stream": True}),
    "message": (MESSAGES, ASKED_OF_MESSAGES),
    "streamed message": (MESSAGES, {**ASKED_OF_MESSAGES, "stream": True}),
    "turn": (CHAT, SAID),
    "streamed turn": (STREAM, SAID),
}

every_way = pytest.mark.parametrize(("path", "body"), WAYS.values(), ids=WAYS.keys())


class ThisTestsCounters:
    """One application serves all tests of this file, each with counters of its own."""

    current: MemoryCounters

    def hit(self, *of):
        return self.current.hit(*of)

    def peek(self, *of):
        return self.current.peek(*of)


@pytest.fixture(scope="module")
def counters(staged_app, stage):
    counters = ThisTestsCounters()
    init_limits(staged_app, counters=counters, record=stage.container.record())
    return counters


@pytest.fixture
def site(site, staged_app):
    return type(site)(site.world, staged_app)


@pytest.fixture
def limit(counters, site):
    """Sets what the caller's key may use."""
    counters.current = MemoryCounters(site.world.clock)

    def put(**limits):
        with site.world.begin() as work:
            work.limits.put(Kind.KEY, "key_1", Limits(**limits))

    return put


def told(answer, what: str = "tokens") -> list[str]:
    return [answer.headers[f"x-ratelimit-{name}-{what}"] for name in ("limit", "remaining", "reset")]


@every_way
def test_an_answer_tells_how_tokens_and_requests_stand(site, limit, path, body):
    limit(tpm=10_000, rpm=5)

    answer = site.post(path, body)

    assert answer.status_code == 200
    assert told(answer, "requests") == ["5", "4", "60s"]
    maximum, remaining, reset = told(answer)
    assert (maximum, reset) == ("10000", "60s")
    assert 8_900 < int(remaining) < 9_000, "the most that it may answer is reserved"


@every_way
def test_a_call_without_room_is_told_what_was_hit_and_when_to_come_back(site, limit, path, body):
    limit(tpm=1_100)
    site.world.script("abcd" * 800, Exception())
    site.post(COMPLETIONS, {**ASKED, "stream": True})
    site.world.clock.advance(12)

    refusal = site.post(path, body)

    error = refusal.json["error"]
    assert (refusal.status_code, error["code"], error["retryable"]) == (429, "rate_limited", True)
    assert error["message"].startswith("This key may use 1,100 tokens per minute")
    assert refusal.headers["Retry-After"] == "48"
    assert told(refusal) == ["1100", "293", "48s"]
    assert len(site.world.in_flight) == 0


@every_way
def test_a_spent_budget_is_another_status_and_not_worth_a_retry(site, limit, path, body):
    limit(budgets=(Budget(Unit.MONEY, Window.DAY, 1),))

    refusal = site.post(path, body)

    error = refusal.json["error"]
    kind = "billing_error" if path == MESSAGES else "insufficient_quota"
    assert (refusal.status_code, error["code"], error["type"]) == (402, "budget_exceeded", kind)
    assert error["message"].endswith("it resets at 2026-11-22T00:00:00Z.")
    assert (error["retryable"], "Retry-After" in refusal.headers) == (False, False)


@every_way
def test_a_budget_in_money_refuses_a_model_without_a_price(site, limit, path, body):
    limit(budgets=(Budget(Unit.MONEY, Window.DAY, 1),))
    site.world.prices.book = type(site.world.prices.book)("v2", {})

    refusal = site.post(path, body)

    assert (refusal.status_code, refusal.json["error"]["code"]) == (403, "model_unpriced")
