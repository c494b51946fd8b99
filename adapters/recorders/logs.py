"""Facts become log lines: one per request, and warnings that cannot flood."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from application.facts import (
    BreakerChanged,
    CredentialChanged,
    EventsDropped,
    GuardrailFailed,
    GuardrailHit,
    HttpServed,
    JournalApplied,
    JournalDegraded,
    JournalRejected,
    LimiterFailed,
    MailSent,
    ModelCalled,
    RedisRefused,
    TurnSettled,
)

_WAITING = 1024
_KINDS = 256
_PAUSE_SECONDS = 10.0
_FAILED = 500
_PROBES = frozenset({"/livez", "/readyz", "/metrics"})

_Fields = dict[str, Any]


class LogRecorder:
    """Takes any fact. A turn's fields wait for the line of its request; prompts and answers are in no fact.

    Health probes and scrapes that succeed make no line.
    """

    def __init__(self, log: Any = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = structlog.get_logger() if log is None else log
        self._turns: OrderedDict[str, TurnSettled] = OrderedDict()
        self._paused = Paused(monotonic)
        self._take: Mapping[type, Callable[[Any], None]] = {
            HttpServed: self._http_served,
            TurnSettled: self._turn_settled,
            ModelCalled: self._model_called,
            EventsDropped: self._events_dropped,
            BreakerChanged: self._breaker_changed,
            CredentialChanged: self._credential_changed,
            JournalApplied: self._journal_applied,
            JournalDegraded: self._journal_degraded,
            JournalRejected: self._journal_rejected,
            RedisRefused: self._redis_refused,
            LimiterFailed: self._limiter_failed,
            MailSent: self._mail_sent,
            GuardrailHit: self._guardrail_hit,
            GuardrailFailed: self._guardrail_failed,
        }

    def __call__(self, fact: object) -> None:
        take = self._take.get(type(fact))
        if take is not None:
            take(fact)

    def _http_served(self, fact: HttpServed) -> None:
        turn = self._turns.pop(fact.request_id, None)
        if fact.route in _PROBES and fact.status < _FAILED:
            return
        fields: _Fields = {
            "method": fact.method,
            "route": fact.route,
            "status": fact.status,
            "ms": _ms(fact.seconds),
            "request_id": fact.request_id,
            "bytes": fact.bytes,
        }
        if fact.key_id is not None:
            fields["key_id"] = fact.key_id
        if fact.client_request_id is not None:
            fields["client_request_id"] = fact.client_request_id
        if fact.client_retry:
            fields["client_retry"] = fact.client_retry
        if fact.overhead_seconds is not None:
            fields["overhead_ms"] = _ms(fact.overhead_seconds)
        if fact.upstream_seconds is not None:
            fields["upstream_ms"] = _ms(fact.upstream_seconds)
        if turn is not None:
            _add_turn(fields, turn)
        write = self._log.warning if fact.status >= _FAILED else self._log.info
        write("request", **fields)

    def _turn_settled(self, fact: TurnSettled) -> None:
        """A turn whose request never ends here is written by itself when its place is needed."""
        self._turns[fact.request_id] = fact
        if len(self._turns) > _WAITING:
            request_id, turn = self._turns.popitem(last=False)
            fields: _Fields = {"request_id": request_id}
            _add_turn(fields, turn)
            self._log.info("turn", **fields)

    def _model_called(self, fact: ModelCalled) -> None:
        if fact.outcome != "ok":
            fields = {"provider": fact.provider, "model": fact.model, "outcome": fact.outcome, "ms": _ms(fact.seconds)}
            self._warn(f"model_call_failed {fact.provider} {fact.outcome}", "model_call_failed", fields)

    def _events_dropped(self, fact: EventsDropped) -> None:
        fields = {"provider": fact.provider, "count": fact.count}
        self._warn(f"events_dropped {fact.provider}", "upstream_events_dropped", fields)

    def _breaker_changed(self, fact: BreakerChanged) -> None:
        event = "breaker_opened" if fact.open else "breaker_closed"
        self._warn(f"{event} {fact.resource}", event, {"resource": fact.resource, "reason": fact.reason})

    def _credential_changed(self, fact: CredentialChanged) -> None:
        event = "credential_works_again" if fact.state == "closed" else "credential_rests"
        fields: _Fields = {"provider": fact.provider, "credential": fact.credential, "model": fact.model}
        if fact.state != "closed":
            fields |= {"state": fact.state, "seconds": round(fact.seconds, 1), "reason": fact.reason}
        self._warn(f"{event} {fact.provider} {fact.credential} {fact.state}", event, fields)

    def _journal_applied(self, fact: JournalApplied) -> None:
        if fact.reaped:
            self._warn("journal_reaped", "journal_reaped", {"records": fact.records, "ms": _ms(fact.seconds)})

    def _journal_degraded(self, fact: JournalDegraded) -> None:
        fields = {"reason": fact.reason, "fallback": fact.fallback}
        self._warn(f"journal_degraded {fact.fallback}", "journal_degraded", fields)

    def _journal_rejected(self, fact: JournalRejected) -> None:
        """Never held back: each is money that somebody has to look after."""
        self._log.error("journal_rejected", request_id=fact.request_id, reason=fact.reason, file=fact.file)

    def _redis_refused(self, fact: RedisRefused) -> None:
        self._warn("redis_refused", "redis_refused", {"reason": fact.reason})

    def _limiter_failed(self, fact: LimiterFailed) -> None:
        self._warn("limiter_failed", "limiter_failed", {"reason": fact.reason})

    def _guardrail_hit(self, fact: GuardrailHit) -> None:
        fields = {"rule": fact.rule, "action": fact.action, "side": fact.side}
        self._warn(f"guardrail {fact.rule} {fact.side}", "guardrail_hit", fields)

    def _guardrail_failed(self, fact: GuardrailFailed) -> None:
        fields = {"rule": fact.rule, "reason": fact.reason, "blocked": fact.blocked}
        self._warn(f"guardrail_failed {fact.rule}", "guardrail_failed", fields)

    def _mail_sent(self, fact: MailSent) -> None:
        if fact.outcome != "sent":
            fields = {"mail": fact.kind, "outcome": fact.outcome, "reason": fact.reason}
            self._warn(f"mail {fact.outcome}", "mail_not_sent", fields)

    def _warn(self, kind: str, event: str, fields: _Fields) -> None:
        silent = self._paused.since_last(kind)
        if silent is None:
            return
        if silent:
            fields["suppressed"] = silent
        self._log.warning(event, **fields)


class Paused:
    """At most one line per kind in 10 s; the next one tells how many there would have been."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._now = monotonic
        self._last: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def since_last(self, kind: str) -> int | None:
        """How many lines were held back since the last one; None to hold this one back too."""
        now = self._now()
        last, held = self._last.get(kind, (float("-inf"), 0))
        if now - last < _PAUSE_SECONDS:
            self._last[kind] = (last, held + 1)
            return None
        self._last[kind] = (now, 0)
        if len(self._last) > _KINDS:
            self._last.popitem(last=False)
        return held


def _add_turn(fields: _Fields, turn: TurnSettled) -> None:
    fields["provider"] = turn.provider
    fields["model"] = turn.model
    fields["state"] = turn.state
    fields["outcome"] = turn.outcome
    fields["streamed"] = turn.streamed
    fields["prompt_tokens"] = turn.prompt_tokens
    fields["completion_tokens"] = turn.completion_tokens
    fields["source"] = turn.source
    fields["cost_nano"] = turn.cost
    fields["attempts"] = turn.attempts
    if turn.first_token_seconds is not None:
        fields["first_token_ms"] = _ms(turn.first_token_seconds)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
