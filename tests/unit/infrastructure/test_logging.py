import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from gunicorn.config import Config

from infrastructure import logging as parley_logging
from infrastructure.log_sink import LINE_BYTES, Sink
from infrastructure.redaction import secrets_of
from infrastructure.settings import load
from tests.builders import a_token

ROOT = Path(__file__).resolve().parents[3]
CANARY = "canary-7f3a9c1e5b2d8f60"


class MemorySink(Sink):
    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.dropped = 0

    def write(self, line: bytes) -> None:
        self.raw.append(line)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.raw]


@pytest.fixture
def sink(monkeypatch) -> Iterator[MemorySink]:
    """The configured logging with its lines kept in memory; everything as before afterwards."""
    memory, root = MemorySink(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(parley_logging, "_sink", memory)
    parley_logging.configure_logging([CANARY])
    yield memory
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_an_event_is_one_line_of_json_with_time_level_and_fields(sink):
    structlog.contextvars.bind_contextvars(request_id="req_1")
    structlog.get_logger().info("hello", n=1, text="grüß")

    line = sink.lines[0]
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "event": "hello", "request_id": "req_1", "n": 1, "text": "grüß"}
    assert sink.raw[0].endswith(b"}\n")


def test_the_standard_library_speaks_the_same_way(sink):
    logging.getLogger("some.library").warning("lost %d of %s", 2, "three")

    line = sink.lines[0]
    assert line["level"], line["event"] == ("warning", "lost 2 of three")
    assert line["logger"] == "some.library"


def test_libraries_do_not_tell_of_every_request(sink):
    logging.getLogger("httpx2").info("HTTP Request: POST https://…")

    assert sink.raw == []


def test_gunicorn_speaks_the_same_way_and_its_own_handlers_are_gone(sink):
    config = Config()
    config.set("accesslog", None)

    logger = parley_logging.GunicornLogger(config)
    logger.info("Booting worker with pid: %s", 7)

    assert sink.lines[-1]["event"] == "Booting worker with pid: 7"
    assert logging.getLogger("gunicorn.error").handlers == []
    assert not logger.access_log_enabled


def test_a_record_whose_arguments_do_not_fit_is_written_all_the_same(sink):
    record = logging.LogRecord("library", logging.ERROR, "x.py", 1, "%d of %d", (1,), None)

    parley_logging.SinkHandler(sink).emit(record)

    assert sink.lines[0]["event"] == "%d of %d"


def test_configuring_twice_does_not_double_the_lines(sink):
    parley_logging.configure_logging()
    logging.getLogger("library").error("once")

    assert len(sink.raw) == 1


def fails(text: str = CANARY) -> None:
    raise ValueError(f"it broke with {text}")


@pytest.mark.parametrize("through", ["structlog", "logging"])
def test_an_exception_comes_with_its_traceback_in_the_same_line_and_masked(sink, through):
    log = structlog.get_logger() if through == "structlog" else logging.getLogger("library")
    try:
        fails()
    except ValueError:
        log.exception("failed")

    assert "in fails" in sink.lines[0]["exception"]
    assert CANARY.encode() not in sink.raw[0]


def test_an_exception_can_be_given_as_itself(sink):
    structlog.get_logger().error("failed", exc_info=KeyError("x"))

    assert sink.lines[0]["exception"] == "KeyError: 'x'\n"


def test_a_long_line_is_cut_to_what_a_pipe_takes_whole_and_stays_json(sink):
    try:
        fails("\x1b\U0001f600x" * 3000 + " the end")
    except ValueError:
        structlog.get_logger().exception("failed", request_id="req_1", huge="y" * 9000)

    assert len(sink.raw[0]) <= LINE_BYTES
    line = sink.lines[0]
    assert line["truncated"] is True
    assert line["request_id"] == "req_1"
    assert line["exception"].endswith("the end\n")


@pytest.mark.parametrize("odd", ["\ud800", 2**70, object(), {1: 2}, float("nan"), b"bytes"])
def test_no_value_can_break_a_line(sink, odd):
    structlog.get_logger().info("hello", odd=odd)

    assert sink.lines[0]["event"] in ("hello", "'hello'")


def test_a_repr_is_never_written(sink):
    class Holder:
        def __repr__(self) -> str:
            return CANARY

    structlog.get_logger().info("hello", holder=Holder())

    assert sink.lines[0]["holder"] == "<Holder>"


def test_a_client_cannot_forge_a_line(sink):
    structlog.get_logger().info("request", client_request_id='x"}\n{"event":"forged"')

    assert len(sink.raw) == 1
    assert sink.raw[0].count(b"\n") == 1


@pytest.mark.parametrize("field", ["event", "key", "value", "nested", "bound"])
def test_a_registered_secret_is_masked_wherever_it_stands(sink, field):
    log = structlog.get_logger()
    if field == "event":
        log.info(CANARY)
    elif field == "key":
        log.info("hello", **{CANARY: 1})
    elif field == "value":
        log.info("hello", value=CANARY)
    elif field == "nested":
        log.info("hello", nested=[{"a": CANARY}])
    else:
        structlog.contextvars.bind_contextvars(bound=CANARY)
        log.info("hello")

    assert CANARY.encode() not in sink.raw[0]
    assert b"[redacted]" in sink.raw[0]


def test_a_key_in_a_message_of_a_library_is_masked(sink):
    logging.getLogger("library").error("GET /x?key=%s", a_token())

    assert a_token()[:-4].encode() not in sink.raw[0]


def test_a_secret_can_be_registered_later(sink):
    parley_logging.register_secret("entered-by-an-administrator")
    structlog.get_logger().info("entered-by-an-administrator")

    assert b"entered-by" not in sink.raw[0]


def test_every_secret_of_the_settings_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {
        "PARLEY_SECRET_KEY": "kq3vz8Yw1RtbN5xJ0cLhG7dMfP2sEa9u",
        "PARLEY_METRICS_TOKEN": "metrics-token-x7c6v5b4",
        "DATABASE_URL": "mysql+pymysql://parley:database-word@db/parley",
        "REDIS_URL": "redis://:redis-word@cache/0",
        "ACME_API_KEY": "acme-key",
        "UNUSUAL_NAME": "named-in-the-file",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "parley.toml").write_text(
        '[providers.acme]\nwire = "openai"\nbase_url = "http://127.0.0.1:1/v1"\napi_key_env = "UNUSUAL_NAME"\n'
    )

    found = set(secrets_of(load()))

    expected = {"database-word", "redis-word", "metrics-token-x7c6v5b4", "acme-key", "named-in-the-file"}
    assert found >= expected | {"kq3vz8Yw1RtbN5xJ0cLhG7dMfP2sEa9u"}


LOGS_FOR_EVER = """
import logging, warnings
from infrastructure.logging import configure_logging, dropped_lines
configure_logging()
for _ in range(100):
    logging.getLogger("x").error("hello")
warnings.warn("old", stacklevel=1)
raise SystemExit(0 if dropped_lines() else 3)
"""


@pytest.mark.parametrize("target", ["closed pipe", "full volume"])
def test_a_program_whose_log_is_gone_runs_on(target):
    if target == "full volume":
        out = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, out = os.pipe()
        os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", LOGS_FOR_EVER],
        cwd=ROOT,
        stdout=out,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    os.close(out)

    assert done.returncode == 0, done.stderr.decode()


def test_importing_changes_nothing():
    code = "import logging, sys; import infrastructure.logging; sys.exit(len(logging.getLogger().handlers))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )

    assert done.returncode == 0
