"""Log lines: JSON on standard output, one per event, with every secret masked on the way out."""

import logging
import sys
from collections.abc import Iterable, MutableMapping
from datetime import UTC, datetime
from traceback import format_exception
from typing import Any

import orjson
import structlog
from gunicorn.glogging import Logger

from infrastructure.log_sink import LINE_BYTES, Sink
from infrastructure.redaction import Redactor

_Event = MutableMapping[str, Any]
_WORDS = 400
_TRACEBACK = 1100
_OWN_HANDLERS = ("gunicorn.error", "gunicorn.access")

_redactor = Redactor()
_sink = Sink()


def configure_logging(secrets: Iterable[str] = (), level: int = logging.INFO) -> None:
    """Send structlog, the standard library's loggers and warnings through one sink. May be called again."""
    for secret in secrets:
        _redactor.register(secret)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, stamp, finish],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(_sink),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, SinkHandler)] + [
        SinkHandler(_sink)
    ]
    root.setLevel(max(level, logging.WARNING))  # libraries tell every request at INFO
    for name in _OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    logging.captureWarnings(capture=True)


def register_secret(value: str | None) -> None:
    """Mask this value, in its usual encodings too, in every line from now on."""
    _redactor.register(value)


def log_to_standard_error() -> None:
    """For commands, whose standard output is their result."""
    _sink.redirect(2)


def dropped_lines() -> int:
    """How many lines this process could not write."""
    return _sink.dropped


def stamp(_: Any, method: str, event: _Event) -> _Event:
    """Level and time, UTC with milliseconds, first in the line."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"time": now[:-6] + "Z", "level": method, "event": event.pop("event", "")}
    exception = event.pop("exc_info", None)
    line.update(event)
    if exception:
        line["exception"] = _traceback(exception)
    return line


def finish(_: Any, __: str, event: _Event) -> bytes:
    """The line itself, newline included."""
    line = _render(event)
    if not _redactor.is_innocent(event):
        line = _redactor.redact(line)
    return line[: LINE_BYTES - 1] + b"\n"


class SinkHandler(logging.Handler):
    """The standard library's records in the same form."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        event: _Event = {"event": _message(record), "logger": record.name, "exc_info": record.exc_info}
        level = record.levelname.lower()
        self._sink.write(finish(None, level, stamp(None, level, event)))


class GunicornLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own lines; it makes no access log, because there is one line per request already."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        configure_logging()

    def exception(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """A client that stops reading is no failure of ours; its request's own line tells how it ended."""
        if isinstance(sys.exception(), TimeoutError):
            self.error_log.debug(msg, *args, **kwargs)
        else:
            super().exception(msg, *args, **kwargs)


class _Lines:
    """What structlog calls with the finished line."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def msg(self, line: bytes) -> None:
        self._sink.write(line)

    debug = info = warning = error = critical = exception = msg


def _render(event: _Event) -> bytes:
    """JSON; whatever has no JSON form is shown by its type alone, because a repr may contain anything."""
    try:
        line = orjson.dumps(event, default=_type_name, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:  # text that is not Unicode, numbers beyond 64 bits, circles
        line = orjson.dumps({name: ascii(value) for name, value in event.items() if isinstance(value, str | int)})
    return line if len(line) < LINE_BYTES else orjson.dumps(_shortened(event))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):  # arguments that do not fit must not cost the line
        return str(record.msg)


def _traceback(exception: Any) -> str:
    """`exc_info` in any of its three forms: an exception, the triple, or True for the current one."""
    if exception is True:
        exception = sys.exception()
    elif isinstance(exception, tuple):
        exception = exception[1]
    return "".join(format_exception(exception)) if isinstance(exception, BaseException) else ""


def _shortened(event: _Event) -> _Event:
    """The end of a traceback and the beginning of everything else."""
    short: dict[str, Any] = {"time": event["time"], "level": event["level"], "event": _plain(event["event"])[:_WORDS]}
    if "request_id" in event:
        short["request_id"] = _plain(event["request_id"])[:_WORDS]
    if "exception" in event:
        short["exception"] = _plain(event["exception"])[-_TRACEBACK:]
    return {**short, "truncated": True}


def _plain(text: Any) -> str:
    """ASCII without control characters, so that JSON needs at most two bytes for each."""
    plain = str(text).encode("ascii", "backslashreplace").decode()
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in plain)


def _type_name(value: Any) -> str:
    return f"<{type(value).__name__}>"
