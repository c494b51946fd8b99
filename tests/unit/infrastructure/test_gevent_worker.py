"""What the server refuses before the application sees it, in the same envelope as everything else."""

import json
import signal
import socket

import pytest
from gunicorn.http import errors
from gunicorn.workers.ggevent import GeventWorker

from domain.errors import ParleyError
from infrastructure.gevent_worker import Worker, refusal, status_of


class Lines:
    def __init__(self) -> None:
        self.told: list[str] = []

    def warning(self, message: str, *arguments: object) -> None:
        self.told.append(message % arguments)

    def error(self, message: str, *arguments: object, exc_info: BaseException) -> None:
        self.told.append(f"{message % arguments}: {exc_info!r}")


def answer_to(error: BaseException) -> tuple[str, dict[str, str], dict[str, object], str]:
    """Status line, headers, the error and the line in the log."""
    worker = Worker.__new__(Worker)
    worker.log = Lines()
    ours, theirs = socket.socketpair()
    theirs.settimeout(2)
    with ours, theirs:
        worker.handle_error(None, ours, None, error)
        head, _, body = theirs.recv(65_536).decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert int(headers["content-length"]) == len(body)
    told = json.loads(body)
    assert (told["type"], told["request_id"]) == ("error", told["error"]["request_id"]), "for clients of Anthropic"
    return first, headers, told["error"], worker.log.told[0]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidRequestLine("GET"), 400),
        (errors.InvalidHeader("Authorization: Bearer canary"), 400),
        (errors.ObsoleteFolding("x"), 400),
        (errors.UnsupportedTransferCoding("canary"), 400),
        (errors.InvalidChunkSize(b"canary"), 400),
        (errors.LimitRequestLine(9_000, 8_190), 414),
        (errors.LimitRequestHeaders("limit request headers fields"), 431),
        (errors.ExpectationFailed("canary"), 417),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_http_is_a_4xx_in_the_envelope_that_repeats_nothing_of_it(error: Exception, status: int):
    first, headers, told, line = answer_to(error)

    assert first.split(" ")[1] == str(status)
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    assert headers["x-request-id"] == told["request_id"]
    assert (told["type"], told["code"], told["retryable"]) == ("invalid_request_error", "invalid_http", False)
    assert "canary" not in f"{headers}{told}{line}"
    assert type(error).__name__ in line


@pytest.mark.parametrize("error", [RuntimeError("canary"), errors.InvalidResponseHeader("canary"), SystemExit(1)])
def test_what_is_our_fault_is_a_500_whose_request_id_is_in_the_log(error: BaseException):
    first, _, told, line = answer_to(error)

    assert first == "HTTP/1.1 500 Internal Server Error"
    assert told["code"] == ParleyError.code
    assert "canary" not in str(told)
    assert str(told["request_id"]) in line


def test_a_client_that_is_gone_is_not_answered():
    worker = Worker.__new__(Worker)
    worker.log = Lines()
    ours, theirs = socket.socketpair()
    ours.close()
    theirs.close()

    worker.handle_error(None, ours, None, errors.InvalidRequestLine("GET"))

    assert worker.log.told


def test_a_reload_that_comes_before_the_worker_is_ready_does_not_end_it(monkeypatch: pytest.MonkeyPatch):
    """Gunicorn resets what is in SIGNALS to what the system does with it, which for SIGHUP is to end the program."""
    seen: list[object] = []
    monkeypatch.setattr(GeventWorker, "init_signals", lambda _: seen.append(signal.getsignal(signal.SIGHUP)))
    before = signal.getsignal(signal.SIGHUP)
    try:
        Worker.__new__(Worker).init_signals()
    finally:
        signal.signal(signal.SIGHUP, before)

    assert seen == [signal.SIG_IGN]
    assert signal.SIGHUP not in Worker.SIGNALS
    assert signal.SIGTERM in Worker.SIGNALS


def test_every_status_has_its_words():
    kinds = [errors.LimitRequestLine, errors.LimitRequestHeaders, errors.ExpectationFailed, errors.InvalidHeader]

    assert all(refusal(status_of(kind.__new__(kind)), "req_1") for kind in kinds)
