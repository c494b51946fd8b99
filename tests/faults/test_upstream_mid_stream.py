"""What providers do in the middle of a stream: how clients are told, what is kept of the answer, and what it costs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.caller import Caller
from tests.servers.dialects import CHAT, COMPLETIONS, events
from tests.servers.failover import Answered, Failover, failover
from tests.servers.program import wait_until

pytestmark = [pytest.mark.xdist_group("mid-stream"), pytest.mark.timeout(120)]

ANSWER = "word1 word2 word3 word4 word5 "
IDLE = 2.0
TOTAL = 3.0
"""Seconds, of the provider `short`."""
SLACK = 2.0
MEGABYTE = 1024
"""In the unit of /proc."""

CUTS = [
    pytest.param("primary/rst-after-3", "upstream_reset", 0.2, id="B1-reset"),
    pytest.param("primary/eof-after-3", "upstream_truncated", 0.2, id="B2-end-without-finish"),
    pytest.param("primary/done-after-3", "upstream_truncated", 0.2, id="B2-done-without-finish"),
    pytest.param("primary/stall-after-3", "upstream_idle_timeout", IDLE, id="B3-silence"),
    pytest.param("primary/bad-json-events-5", "upstream_malformed", 0.2, id="B4-many-malformed-events"),
    pytest.param("short/drip", "upstream_total_timeout", TOTAL, id="B5-drip"),
    pytest.param("primary/big-line", "upstream_event_too_large", 1.0, id="B6-line-without-end"),
    pytest.param("primary/error-event", "upstream_error", 0.2, id="B7-error-event"),
    pytest.param("primary/endless", "max_output_exceeded", 2.0, id="B12-endless"),
]
"""Model, code, and within how many seconds."""
_PRICED = {*(str(cut.values[0]) for cut in CUTS), *(f"primary/{name}" for name in ("no-usage", "absurd-usage"))}
_MORE = """
[providers.short]
base_url = "{primary}"
api_key_env = "PRIMARY_KEY"
[providers.short.deadlines]
total = 3.0
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Failover]:
    priced = [*sorted(_PRICED), "primary/zero-usage"]
    prices = "".join(f'[prices."{name}"]\ninput = 1.0\noutput = 2.0\n' for name in priced)
    with failover(tmp_path_factory.mktemp("mid-stream"), _MORE + prices) as site:
        yield site


def heard(answered: Answered) -> list[dict[str, Any]]:
    """The chunks of a stream in OpenAI's dialect."""
    return [json.loads(text) for _, text in events(answered.reply.raw) if text != "[DONE]"]


@pytest.mark.parametrize(("model", "code", "seconds"), CUTS)
def test_a_stream_that_is_cut_ends_with_an_error_and_no_done_and_is_billed_for_what_came(
    site: Failover, model: str, code: str, seconds: float
) -> None:
    answered = site.ask(model, streamed=True, max_tokens=100)

    *_, last, alone = heard(answered)
    assert answered.reply.status == 200
    assert alone == {"error": last["error"]}
    assert (last["choices"][0]["finish_reason"], last["error"]["code"]) == ("error", code)
    assert last["error"]["request_id"] == answered.request_id
    assert b"[DONE]" not in answered.reply.raw
    assert answered.told.text.startswith("word1 ")
    assert answered.seconds <= seconds + SLACK
    assert len(site.calls(answered)[0]) == 1

    attempt, final = site.rows(answered)
    assert (final.state, final.source, final.error_code) == ("partial", "estimated", code)
    assert (attempt.state, attempt.cost) == ("partial", final.charged)
    assert final.charged == 1000 * final.input + 2000 * final.output
    assert final.input > 0
    assert len(answered.told.text) // 4 <= final.output <= len(answered.told.text) // 4 + 300


@pytest.mark.parametrize(("model", "code", "seconds"), CUTS)
def test_a_cut_turn_is_kept_as_far_as_the_user_saw_it_and_marked(
    site: Failover, model: str, code: str, seconds: float
) -> None:
    made = site.caller.post("/sessions", {"ai_provider": "backup", "model": "ok", "config": {"max_tokens": 100}})
    answered = site.ask(model, CHAT, streamed=True, session_id=made.json["id"])

    messages = site.caller.get(f"/sessions/{made.json['id']}/messages").json["data"]
    assert answered.told.code == code
    assert [message["state"] for message in messages] == ["complete", "incomplete"]
    assert messages[1]["content"] == answered.told.text
    assert site.ask("backup/ok", CHAT, streamed=True, session_id=made.json["id"]).told.whole, "the session is free"


@pytest.mark.parametrize("model", ["no-done", "rst-at-end"])
def test_b2b_with_its_finish_reason_an_answer_is_whole_however_it_ends(site: Failover, model: str) -> None:
    answered = site.ask(f"primary/{model}", streamed=True)

    assert (answered.told.text, answered.told.whole) == (ANSWER, True)
    final = site.rows(answered)[-1]
    assert (final.state, final.source, final.output) == ("completed", "provider", 5)


def test_b4_a_malformed_event_is_dropped_and_counted(site: Failover) -> None:
    before = dropped(site)
    answered = site.ask("primary/bad-json-events-1", streamed=True)

    assert (answered.told.text, answered.told.whole) == (ANSWER, True)
    assert site.rows(answered)[-1].state == "completed"
    assert dropped(site) == before + 1


def dropped(site: Failover) -> float:
    """Events of the primary that were not relayed, since the start."""
    metrics = Caller(site.gateway.port, {"Authorization": "Bearer metrics-token-of-the-tests"}, prefix="")
    found = re.search(
        r'^parley_events_dropped_total{provider="primary"} (\S+)$', metrics.get("/metrics").raw.decode(), re.MULTILINE
    )
    return float(found.group(1)) if found else 0.0


@pytest.mark.parametrize("model", ["primary/big-line", "short/drip", "primary/gzip"])
def test_b5_b6_b13_no_answer_costs_a_worker_memory(site: Failover, model: str) -> None:
    site.ask(model, streamed=True)
    (worker,) = site.gateway.workers()
    before = peak(worker)
    for _ in range(2):
        site.ask(model, streamed=True)

    assert peak(worker) - before < 4 * MEGABYTE


def peak(pid: int) -> int:
    """Kilobytes of memory, at most so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def test_b8_what_nobody_counted_is_estimated_and_says_so(site: Failover) -> None:
    for streamed in (False, True):
        answered = site.ask("primary/no-usage", streamed=streamed)
        final = site.rows(answered)[-1]

        assert answered.told.whole
        assert answered.told.usage["source"] == "estimated"
        assert (final.state, final.source, final.estimate_method) == ("completed", "estimated", "chars/4")
        assert final.charged == 1000 * final.input + 2000 * final.output > 0
        assert site.gateway.record(answered.request_id)["source"] == "estimated"


def test_b9_an_explicit_zero_is_a_zero(site: Failover) -> None:
    for streamed in (False, True):
        answered = site.ask("primary/zero-usage", streamed=streamed)
        final = site.rows(answered)[-1]

        assert answered.told.whole
        assert (final.state, final.source, final.input, final.output) == ("completed", "provider", 0, 0)
        assert final.charged == 0


def test_b10_of_several_counts_the_last_holds_and_an_absurd_one_does_not(site: Failover) -> None:
    twice, absurd = (site.ask(f"primary/{model}", streamed=True) for model in ("usage-twice", "absurd-usage"))

    assert (site.rows(twice)[-1].source, site.rows(twice)[-1].output) == ("provider", 5)
    final = site.rows(absurd)[-1]
    assert (final.state, final.source) == ("completed", "estimated")
    assert 0 < final.input < 100
    assert 0 < final.output < 100


@pytest.mark.parametrize("dialect", [COMPLETIONS, CHAT], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    ("model", "text"), [("crlf-split", ANSWER), ("comments", ANSWER), ("unicode", "Grüße, 世界 👋🏽 \u2028fin")]
)
def test_b11_however_events_are_cut_into_reads_the_answer_is_the_same(
    site: Failover, model: str, text: str, dialect: Any
) -> None:
    answered = site.ask(f"primary/{model}", dialect, streamed=True)

    assert (answered.told.text, answered.told.whole) == (text, True)
    assert site.rows(answered)[-1].source == "provider"


def test_b12_the_provider_of_an_endless_answer_is_cut_off(site: Failover) -> None:
    answered = site.ask("primary/endless", streamed=True, max_tokens=50)

    wait_until(lambda: site.primary.ended(answered.request_id) == "client_gone", 10, "the end of its call")


@pytest.mark.parametrize(("model", "code"), [("gzip", "upstream_too_large"), ("redirect", "upstream_redirect")])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_b13_b14_what_was_not_asked_for_is_not_unpacked_and_not_followed(
    site: Failover, model: str, code: str, streamed: bool
) -> None:
    answered = site.ask(f"primary/{model}", streamed=streamed)

    final = site.rows(answered)[-1]
    assert (answered.reply.status, answered.told.code) == (502, code)
    assert (final.state, final.source, final.charged, final.cost) == ("failed", "none", 0, 0)
    (call,) = site.calls(answered)[0]
    assert call["headers"]["accept-encoding"] == "identity"


def test_events_of_no_known_kind_reach_no_client(site: Failover) -> None:
    answered = site.ask("primary/unknown-events", streamed=True)

    assert (answered.told.text, answered.told.whole) == (ANSWER, True)
    assert b"execute" not in answered.reply.raw
