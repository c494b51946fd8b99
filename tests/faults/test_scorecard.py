"""The sixteen scenarios of an independent fault scorecard: one provider misbehaves, one fallback answers.

What counts as passed is the scorecard's; times are those of the test profile (2 s where it has 30). Each scenario is
asked for whole and as a stream; those that end a stream early, by each dialect.
"""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.servers.dialects import COMPLETIONS, DIALECTS, Dialect
from tests.servers.failover import CAPABLE, Answered, Failover, failover, route

pytestmark = [pytest.mark.xdist_group("scorecard"), pytest.mark.timeout(120)]

ANSWER = "word1 word2 word3 word4 word5 "
TIMEOUT = 2.0
"""Of headers, of the first token, and of silence."""
SLACK = 2.0
"""Seconds that a busy machine may take for everything else."""
LONGEST = 2.0
"""Seconds that a provider which failed is left alone at most."""
DOWN, UP = 3, 4
"""Seconds, of the provider that flaps."""

_BREAKER = f"\n[breaker]\nfailures = 3\nopen = 0.5\nlongest = {LONGEST}\n"
_FALLBACK = ("backup/ok",)
_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "S01": ("429-ra-2-once", {}),
    "S01-alone": ("429-ra-2-once", {"others": ()}),
    "S02": ("429", {}),
    "S03": ("500-once", {}),
    "S04": ("503", {}),
    "S05": ("rst-once", {}),
    "S06": ("ttfb-30", {}),
    "S07-whole": ("slow-4000ms", {}),
    "S07-streamed": ("silence-20", {}),
    "S08-reset": ("rst-after-3", {}),
    "S08-end": ("eof-after-3", {}),
    "S08-on": ("rst-after-3", {"others": (*_FALLBACK, CAPABLE), "goes_on": True}),
    "S09": ("stall-after-3", {}),
    "S09-on": ("stall-after-3", {"others": (CAPABLE,), "goes_on": True}),
    "S10-whole": ("bad-json-once", {}),
    "S10-streamed": ("bad-json-events-1", {}),
    "S11": ("no-done", {}),
    "S12": ("context-length", {}),
    "S12-larger": ("context-length", {"fallback": 'context_length = ["backup/ok"]'}),
    "S13": ("content-filter", {}),
    "S13-around": ("content-filter", {"fallback": 'content_filter = ["backup/ok"]'}),
    "S14": ("eof-after-3", {"goes_on": True}),
    "S14-capable": ("eof-after-3", {"others": (*_FALLBACK, CAPABLE), "goes_on": True}),
    "S15": (f"flaps-{DOWN}-{UP}", {}),
    "S16": ("500", {}),
}
"""By scenario: what the primary does, and the route. Each question has a model of its own, which no other breaks."""


def _routes() -> str:
    cells = [f"{dialect.name}-{how}" for dialect in DIALECTS for how in ("whole", "streamed")]
    return "".join(
        route(f"{case}.{cell}", f"primary/{fault}~{case}.{cell}", *options.get("others", _FALLBACK), **_given(options))
        for case, (fault, options) in _CASES.items()
        for cell in cells
    )


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "others"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Failover]:
    with failover(tmp_path_factory.mktemp("scorecard"), _BREAKER + _routes()) as site:
        yield site


@pytest.fixture
def ask(site: Failover, streamed: bool) -> Callable[..., Answered]:
    """Asks a case for a whole answer or a stream, as the test is."""

    def asked(case: str, dialect: Dialect = COMPLETIONS) -> Answered:
        return site.ask(f"{case}.{dialect.name}-{'streamed' if streamed else 'whole'}", dialect, streamed=streamed)

    return asked


both = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
streams = pytest.mark.parametrize("streamed", [True], ids=["streamed"])
each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


def complete(answered: Answered) -> bool:
    return answered.reply.status == 200 and answered.told.whole and answered.told.text == ANSWER


def clear_error(answered: Answered, code: str) -> bool:
    """What came is there, and the stream says that it is not all."""
    told = answered.told
    return told.code == code and not told.whole and ANSWER.startswith(told.text) and told.text != ANSWER


@both
def test_s01_a_rate_limit_is_left_to_another_or_waited_out_as_long_as_it_says(site: Failover, ask: Any) -> None:
    relieved, alone = ask("S01"), ask("S01-alone")

    assert complete(relieved)
    assert complete(alone)
    first, second = site.calls(alone)[0]
    assert second["began_at"] - first["ended_at"] >= 2
    primary, backup = site.calls(relieved)
    assert [len(primary), len(backup)] == [1, 1]


@both
def test_s02_a_lasting_rate_limit_gets_few_calls_and_then_the_fallback(site: Failover, ask: Any) -> None:
    answered = ask("S02")

    assert complete(answered)
    assert answered.seconds <= 3
    assert len(site.calls(answered)[0]) <= 4


@both
def test_s03_one_failure_costs_one_retry(site: Failover, ask: Any) -> None:
    answered = ask("S03")

    assert complete(answered)
    assert [len(calls) for calls in site.calls(answered)] == [2, 0]


@both
def test_s04_a_provider_that_stays_unavailable_gets_two_calls_and_then_the_fallback(site: Failover, ask: Any) -> None:
    answered = ask("S04")

    assert complete(answered)
    assert answered.seconds <= TIMEOUT + SLACK
    assert [len(calls) for calls in site.calls(answered)] == [2, 1]


@both
def test_s05_a_connection_that_is_reset_before_the_answer_is_tried_again(site: Failover, ask: Any) -> None:
    answered = ask("S05")

    assert complete(answered)
    assert [len(calls) for calls in site.calls(answered)] == [2, 0]


@both
def test_s06_silence_costs_one_timeout_and_is_not_asked_again(site: Failover, ask: Any) -> None:
    answered = ask("S06")

    assert complete(answered)
    assert TIMEOUT <= answered.seconds <= TIMEOUT + SLACK
    assert [len(calls) for calls in site.calls(answered)] == [1, 1]


@both
def test_s07_a_first_token_that_does_not_come_costs_one_timeout(site: Failover, ask: Any, streamed: bool) -> None:
    answered = ask("S07-streamed" if streamed else "S07-whole")

    assert complete(answered)
    assert TIMEOUT <= answered.seconds <= TIMEOUT + SLACK
    assert [len(calls) for calls in site.calls(answered)] == [1, 1]


@each_dialect
@streams
@pytest.mark.parametrize(("case", "code"), [("S08-reset", "upstream_reset"), ("S08-end", "upstream_truncated")])
def test_s08_a_stream_that_is_cut_says_so(site: Failover, ask: Any, dialect: Dialect, case: str, code: str) -> None:
    answered = ask(case, dialect)

    assert answered.reply.status == 200
    assert answered.told.text == "word1 word2 word3 "
    assert clear_error(answered, code)
    assert [len(calls) for calls in site.calls(answered)] == [1, 0], "nothing may follow the first token"


@each_dialect
@both
def test_s08_what_was_cut_is_completed_where_the_route_says_so(site: Failover, ask: Any, dialect: Dialect) -> None:
    answered = ask("S08-on", dialect)

    assert complete(answered)
    assert answered.told.usage


@pytest.mark.parametrize("streamed", [False], ids=["whole"])
@pytest.mark.parametrize("case", ["S08-reset", "S08-end"])
def test_s08_a_whole_answer_that_is_cut_is_asked_for_elsewhere(site: Failover, ask: Any, case: str) -> None:
    answered = ask(case)

    assert complete(answered)
    assert len(site.calls(answered)[1]) == 1


@each_dialect
@both
def test_s09_a_stall_is_found_in_bounded_time(site: Failover, ask: Any, dialect: Dialect, streamed: bool) -> None:
    answered = ask("S09", dialect)

    assert clear_error(answered, "upstream_idle_timeout") if streamed else complete(answered)
    assert TIMEOUT <= answered.seconds <= TIMEOUT + SLACK
    assert len(site.calls(answered)[0]) == 1


@streams
def test_s09_what_stalled_is_completed_where_the_route_says_so(site: Failover, ask: Any) -> None:
    answered = ask("S09-on")

    assert complete(answered)
    assert answered.seconds <= TIMEOUT + SLACK


@both
def test_s10_one_malformed_event_spoils_nothing(site: Failover, ask: Any, streamed: bool) -> None:
    answered = ask("S10-streamed" if streamed else "S10-whole")

    assert complete(answered)
    assert len(site.calls(answered)[1]) == 0


@each_dialect
@both
def test_s11_a_stream_is_complete_by_its_finish_reason_and_tells_its_usage(
    site: Failover, ask: Any, dialect: Dialect
) -> None:
    answered = ask("S11", dialect)

    assert complete(answered)
    assert 5 in answered.told.usage.values(), answered.told.usage
    assert [len(calls) for calls in site.calls(answered)] == [1, 0]


@both
def test_s12_what_is_too_long_is_never_sent_again_at_the_same_size(site: Failover, ask: Any) -> None:
    refused, larger = ask("S12"), ask("S12-larger")

    assert (refused.reply.status, refused.told.code) == (400, "context_length_exceeded")
    assert [len(calls) for calls in site.calls(refused)] == [1, 0]
    assert complete(larger)
    assert [len(calls) for calls in site.calls(larger)] == [1, 1]


@both
def test_s13_a_content_filter_is_told_in_the_providers_words_and_not_routed_around(site: Failover, ask: Any) -> None:
    refused, around = ask("S13"), ask("S13-around")

    assert (refused.reply.status, refused.told.code) == (400, "content_filter")
    assert refused.told.message == "The prompt was filtered."
    assert [len(calls) for calls in site.calls(refused)] == [1, 0]
    assert complete(around), "the operator may want it otherwise"


@each_dialect
@streams
def test_s14_nobody_goes_on_with_an_answer_who_cannot(site: Failover, ask: Any, dialect: Dialect) -> None:
    error, capable = ask("S14", dialect), ask("S14-capable", dialect)

    assert clear_error(error, "upstream_truncated")
    assert [len(calls) for calls in site.calls(error)] == [1, 0]
    assert complete(capable)
    assert [call["model"] for call in site.calls(capable)[1]] == [CAPABLE.partition("/")[2]]


@pytest.mark.parametrize("streamed", [False], ids=["whole"])
def test_s14_an_answer_of_which_nothing_was_sent_begins_anew(site: Failover, ask: Any) -> None:
    answered = ask("S14")

    assert complete(answered)
    assert [call["model"] for call in site.calls(answered)[1]] == ["ok"]


@both
def test_s15_a_provider_that_comes_and_goes_is_spared_and_comes_back(site: Failover, ask: Any, streamed: bool) -> None:
    """Three failures, then probes 0.5, 1 and 2 s apart; without a breaker there would be two calls for each answer."""
    began, answers = time.monotonic(), []
    while time.monotonic() - began < 2 * (DOWN + UP):
        answers.append(ask("S15"))
        time.sleep(0.1)

    model = f"S15.completions-{'streamed' if streamed else 'whole'}"
    calls = [call for call in site.primary.bills() if call["model"].endswith(model)]
    assert all(map(complete, answers))
    assert len(answers) > 40
    assert answers[-1].reply.headers["X-Parley-Provider"] == "primary"
    for outage in (0, DOWN + UP):
        since = [(call["began_at"] - calls[0]["began_at"] - outage, call["status"]) for call in calls]
        failed = [at for at, status in since if 0 <= at < DOWN and status == 503]
        assert 3 <= len(failed) <= 7, since
        assert min(at for at, status in since if at >= DOWN and status == 200) <= DOWN + LONGEST + SLACK


@both
def test_s16_after_a_failover_the_fallback_is_named_and_alone_is_paid(site: Failover, ask: Any, streamed: bool) -> None:
    answered = ask("S16")
    *attempts, final = site.rows(answered)
    (bill,) = site.calls(answered)[1]
    headers = answered.reply.headers
    assert complete(answered)
    assert (final.kind, final.state, final.model_used, final.provider) == ("final", "completed", "backup/ok", "backup")
    assert [(row.provider, row.state, row.error_code, row.cost) for row in attempts[:2]] == [
        ("primary", "failed", "upstream_error", 0)
    ] * 2
    assert (final.input, final.output) == (bill["prompt_tokens"], bill["completion_tokens"])
    assert final.charged == final.cost == attempts[2].cost == 1000 * final.input + 2000 * final.output
    assert [headers[f"X-Parley-{name}"] for name in ("Provider", "Model", "Attempts")] == ["backup", "ok", "3"]


def test_all_sixteen_scenarios_are_here_whole_and_streamed(request: pytest.FixtureRequest) -> None:
    """Whatever is selected with `-k`: the card is complete only if it has all its rows."""
    here = {name[5:8] for name in globals() if re.match(r"test_s\d\d_", name)}

    assert here == {f"s{number:02}" for number in range(1, 17)}
