"""What providers do before the first byte of an answer, seen by clients, by the provider and in the ledger."""

import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers.authority import Authority
from tests.servers.failover import PRIMARY_KEY, Answered, Failover, failover
from tests.servers.program import closed_port, wait_until

pytestmark = [pytest.mark.xdist_group("before the first byte"), pytest.mark.timeout(120)]

TIMEOUT = 2.0
SLACK = 2.0
OPEN = 2.0
"""Seconds that a provider rests after five failures."""
EARLY = 0.05
"""Seconds by which clocks differ."""
_ELSEWHERE = """
[providers.{name}]
base_url = "{url}"
api_key_env = "PRIMARY_KEY"
"""


@pytest.fixture(scope="module")
def full_port() -> Iterator[int]:
    """A listener whose backlog is full: the kernel answers no further connection."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


class Impostor:
    """Speaks TLS with a certificate that nobody vouches for; keeps whatever is said to it all the same."""

    def __init__(self, folder: Path) -> None:
        self.heard = b""
        self.connections = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(Authority(folder).certificate("127.0.0.1"))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                with suppress(OSError), sock, self._context.wrap_socket(sock, server_side=True) as line:
                    line.settimeout(2)
                    self.heard += line.recv(65_536)


@pytest.fixture(scope="module")
def impostor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Impostor]:
    impostor = Impostor(tmp_path_factory.mktemp("impostor"))
    yield impostor
    impostor.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, full_port: int, impostor: Impostor) -> Iterator[Failover]:
    closed = closed_port()
    places = {
        "closed": f"http://127.0.0.1:{closed.getsockname()[1]}/v1",
        "full": f"http://127.0.0.1:{full_port}/v1",
        "impostor": f"https://127.0.0.1:{impostor.port}/v1",
        "locked": "{primary}",
    }
    more = "".join(_ELSEWHERE.replace("{name}", name).replace("{url}", url) for name, url in places.items())
    with closed, failover(tmp_path_factory.mktemp("before"), f"{more}[breaker]\nopen = {OPEN}\n") as site:
        yield site


both = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def refused(site: Failover, answered: Answered, status: int, code: str) -> list[Any]:
    """It has its real status, and was recorded as failed at no cost; the rows of its attempts."""
    error = answered.reply.json["error"]
    assert (answered.reply.status, error["code"]) == (status, code)
    assert error["request_id"] == answered.request_id
    *attempts, final = site.rows(answered)
    assert (final.kind, final.state, final.source, final.error_code) == ("final", "failed", "none", code)
    assert {row.cost for row in [*attempts, final]} == {0}
    assert final.charged == 0
    return attempts


@both
def test_a1_a_closed_port_is_unreachable_after_two_attempts(site: Failover, streamed: bool) -> None:
    answered = site.ask("closed/any", streamed=streamed)

    assert len(refused(site, answered, 502, "upstream_unreachable")) == 2
    assert answered.seconds <= 1.5 + SLACK


@both
def test_a2_a_connection_that_is_not_accepted_is_a_timeout(site: Failover, streamed: bool) -> None:
    answered = site.ask("full/any", streamed=streamed)

    assert len(refused(site, answered, 504, "upstream_connect_timeout")) == 2
    assert answered.seconds <= 2 * 1.0 + 0.3 + SLACK


@both
def test_a4_a_wrong_certificate_is_tried_once_and_gets_no_key(
    site: Failover, impostor: Impostor, streamed: bool
) -> None:
    before = impostor.connections
    answered = site.ask("impostor/any", streamed=streamed)

    assert len(refused(site, answered, 502, "upstream_tls")) == 1
    assert impostor.connections == before + 1
    assert impostor.heard == b""


@both
@pytest.mark.parametrize("status", [500, 502, 504])
def test_a5_a_failing_provider_gets_one_retry(site: Failover, status: int, streamed: bool) -> None:
    answered = site.ask(f"primary/{status}~A5-{streamed}", streamed=streamed)

    assert len(refused(site, answered, 502, "upstream_error")) == 2
    assert len(site.calls(answered)[0]) == 2


@both
@pytest.mark.parametrize("status", [503, 529])
def test_a6_an_overloaded_provider_gets_the_time_it_asks_for(site: Failover, status: int, streamed: bool) -> None:
    answered = site.ask(f"primary/{status}-ra-1-once~A6-{streamed}", streamed=streamed)

    first, second = site.calls(answered)[0]
    lost, won, final = site.rows(answered)
    assert answered.told.whole
    assert second["began_at"] - first["ended_at"] >= 1
    assert [(row.state, row.output) for row in (lost, won, final)] == [
        ("failed", 0),
        ("completed", 5),
        ("completed", 5),
    ]


@both
@pytest.mark.parametrize(
    ("wait", "calls", "told"),
    [
        ("-ra-2", 2, 2),
        ("-ra-3600", 1, 120),
        ("-ra-Wed,_21_Oct_2099_07:28:00_GMT", 1, 120),
        ("-ra-Wed,_21_Oct_2015_07:28:00_GMT", 2, 1),
        ("-ra--1", 2, 1),
        ("-ra-abc", 2, 1),
        ("", 2, 1),
    ],
)
def test_a7_a_rate_limit_is_waited_out_once_when_that_is_short_and_else_told(
    site: Failover, wait: str, calls: int, told: int, streamed: bool
) -> None:
    model = f"primary/429{wait}~A7-{streamed}"
    answered = site.ask(model, streamed=streamed)

    assert len(refused(site, answered, 429, "upstream_rate_limited")) == calls
    assert int(answered.reply.headers["Retry-After"]) == told
    assert len(site.calls(answered)[0]) == calls


@both
def test_a7_until_its_limit_is_over_a_provider_is_not_called(site: Failover, streamed: bool) -> None:
    model = f"primary/429-ra-60~cooled-{streamed}"
    site.ask(model, streamed=streamed)
    answered = site.ask(model, streamed=streamed)

    assert refused(site, answered, 429, "upstream_rate_limited") == []
    assert 50 <= int(answered.reply.headers["Retry-After"]) <= 60
    assert site.calls(answered)[0] == []


@pytest.mark.parametrize(("model", "provider"), [("key-echo-401", "locked"), ("key-echo-403", "primary")])
def test_a8_a_refused_credential_rests_and_is_told_to_nobody(site: Failover, model: str, provider: str) -> None:
    answered = site.ask(f"{provider}/{model}", streamed=False)
    again = site.ask(f"{provider}/{model}", streamed=True)

    assert len(refused(site, answered, 502, "upstream_auth")) == 1
    assert answered.reply.headers["x-should-retry"] == "false"
    assert refused(site, again, 502, "upstream_auth") == []
    assert PRIMARY_KEY not in answered.reply.raw.decode()
    rest = (provider, "refused")
    wait_until(lambda: rest in [(it["provider"], it["state"]) for it in site.log("credential_rests")], 5, "logged")
    assert PRIMARY_KEY not in site.gateway.program.log.read_text()


@both
def test_a9_a_request_that_the_provider_refuses_counts_for_nothing(site: Failover, streamed: bool) -> None:
    answers = [site.ask(f"primary/param~A9-{streamed}", streamed=streamed) for _ in range(7)]

    for answered in answers:
        assert len(refused(site, answered, 400, "upstream_rejected")) == 1
        assert answered.reply.json["error"]["param"] == "top_p"
        assert answered.reply.json["error"]["message"] == "Unsupported value for 'top_p'."
        assert len(site.calls(answered)[0]) == 1


def test_a10_a_provider_that_never_answers_is_a_timeout(site: Failover) -> None:
    answered = site.ask("primary/ttfb-30", streamed=False)

    assert len(refused(site, answered, 504, "upstream_timeout")) == 1
    assert TIMEOUT <= answered.seconds <= TIMEOUT + SLACK


@pytest.mark.parametrize("model", ["ttfb-30", "silence-30"])
def test_a11_a_stream_that_never_begins_ends_in_an_error_event_after_heartbeats(site: Failover, model: str) -> None:
    answered = site.ask(f"primary/{model}~A11", streamed=True)

    assert answered.reply.status == 200
    assert answered.reply.raw.startswith(b": ping\n\n")
    assert "X-Parley-Provider" not in answered.reply.headers, "nobody has answered yet"
    assert (answered.told.text, answered.told.whole, answered.told.code) == ("", False, "upstream_timeout")
    assert TIMEOUT <= answered.seconds <= TIMEOUT + SLACK
    assert site.rows(answered)[-1].charged == 0


def test_a11_what_fails_while_the_status_is_held_back_has_its_real_one(site: Failover) -> None:
    answered = site.ask("primary/429-ra-60-in-0.3~A11", streamed=True)

    refused(site, answered, 429, "upstream_rate_limited")


@both
def test_a12_what_is_no_answer_at_all_is_told_without_a_word_of_it(site: Failover, streamed: bool) -> None:
    answered = site.ask(f"primary/html~A12-{streamed}", streamed=streamed)

    assert len(refused(site, answered, 502, "upstream_bad_content")) == 1
    assert b"Welcome" not in answered.reply.raw


@pytest.mark.parametrize("model", ["bad-json", "eof-after-3"])
def test_a13_an_answer_that_cannot_be_read_gets_one_retry(site: Failover, model: str) -> None:
    answered = site.ask(f"primary/{model}~A13", streamed=False)

    assert len(refused(site, answered, 502, "upstream_bad_json")) == 2


def test_a14_after_five_failures_nobody_waits_and_the_first_success_ends_it(site: Failover) -> None:
    model = "primary/fails-5~A14"
    failed = [site.ask(model, streamed=False) for _ in range(3)]
    spared = site.ask(model, streamed=False)

    assert [answered.reply.json["error"]["code"] for answered in failed][:2] == ["upstream_overloaded"] * 2
    assert refused(site, spared, 503, "circuit_open") == []
    assert 1 <= int(spared.reply.headers["Retry-After"]) <= OPEN
    assert spared.seconds < TIMEOUT

    wait_until(lambda: site.ask(model, streamed=False).told.whole, OPEN + SLACK, "back")
    *_, last, probe = calls = [call for call in site.primary.bills() if call["model"] == model.partition("/")[2]]
    assert [call["status"] for call in calls] == [503] * 5 + [200]
    assert OPEN - EARLY <= probe["began_at"] - last["ended_at"] <= OPEN + SLACK


def test_a15_fifty_clients_of_a_dead_provider_cause_few_retries(tmp_path: Path) -> None:
    """Without the breaker, which would hide it: the retries of all together are bounded."""
    with failover(tmp_path, "[breaker]\nfailures = 1000\n") as site, ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: site.ask("primary/503-in-1", streamed=False), range(50)))

        assert {answered.reply.status for answered in answers} == {503}
        assert 50 < len(site.primary.bills()) <= 1.25 * 50
