"""Facts become metrics. Runs several times per request, so every child is looked up once and then kept."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from adapters.recorders.labels import Bounded
from adapters.recorders.metrics import Metrics, new_registry
from application.facts import (
    BreakerChanged,
    CacheAsked,
    EventsDropped,
    GuardrailFailed,
    GuardrailHit,
    HttpServed,
    JournalApplied,
    JournalDegraded,
    JournalRejected,
    LimiterFailed,
    LimitHit,
    MailSent,
    ModelCalled,
    RedisRefused,
    RequestRepeated,
    TurnSettled,
)
from application.model_ports import Rest
from domain.limits import Kind

_MODELS = 200
_ROUTES = 200
_PROVIDERS = 100
_REASONS = 50
_LIMITED = ("requests", "tokens", "concurrency", "budget")
_METHODS = ("GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS")

_Add = Callable[[float], None]


class _Model:
    """What is counted for one model of one provider, its children bound."""

    def __init__(self, metrics: Metrics, provider: str, model: str) -> None:
        self._metrics = metrics
        self._labels = labels = (provider, model)
        self.prompt = metrics.tokens.labels(*labels, "prompt").inc
        self.completion = metrics.tokens.labels(*labels, "completion").inc
        self.cost = metrics.cost_nano.labels(*labels).inc
        self.first_token = metrics.first_token_seconds.labels(*labels).observe
        self.seconds = metrics.turn_seconds.labels(provider).observe
        self.call_seconds = metrics.model_seconds.labels(provider).observe
        self.turns: dict[tuple[str, str], _Add] = {}
        self.calls: dict[str, _Add] = {}

    def turn(self, state: str, outcome: str) -> _Add:
        made = self.turns[state, outcome] = self._metrics.turns.labels(*self._labels, state, outcome).inc
        return made

    def call(self, outcome: str) -> _Add:
        made = self.calls[outcome] = self._metrics.model_calls.labels(*self._labels, outcome).inc
        return made

    def unpriced(self) -> None:
        self._metrics.unpriced.labels(*self._labels).inc()


class PrometheusRecorder:
    """Takes any fact; those that it does not know count for nothing.

    `models` are the ids (`provider/model`) that may be label values; `know` adds more once they are read.
    """

    def __init__(self, models: Iterable[str] = (), registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or new_registry()
        self.metrics = Metrics(self.registry)
        self._known = Bounded(_MODELS, models)
        self._route, self._method = Bounded(_ROUTES), Bounded(len(_METHODS), _METHODS)
        self._provider, self._outcome, self._reason = Bounded(_PROVIDERS), Bounded(_REASONS * 2), Bounded(_REASONS)
        self._kind, self._metric = Bounded(len(Kind), Kind), Bounded(len(_LIMITED), _LIMITED)
        self._overhead = self.metrics.overhead_seconds.observe
        self._served: dict[tuple[str, str, int], tuple[_Add, _Add]] = {}
        self._models: dict[tuple[str, str], _Model] = {}
        self._resting: set[tuple[str, str, str]] = set()
        self._take: Mapping[type, Callable[[Any], None]] = {
            HttpServed: self._http_served,
            TurnSettled: self._turn_settled,
            ModelCalled: self._model_called,
            EventsDropped: self._events_dropped,
            BreakerChanged: self._breaker_changed,
            JournalApplied: self._journal_applied,
            JournalDegraded: self._journal_degraded,
            JournalRejected: self._journal_rejected,
            RedisRefused: self._redis_refused,
            LimiterFailed: self._limiter_failed,
            LimitHit: self._limit_hit,
            MailSent: self._mail_sent,
            RequestRepeated: self._request_repeated,
            GuardrailHit: self._guardrail_hit,
            GuardrailFailed: self._guardrail_failed,
            CacheAsked: self._cache_asked,
        }

    def __call__(self, fact: object) -> None:
        take = self._take.get(type(fact))
        if take is not None:
            take(fact)

    def know(self, models: Iterable[str]) -> None:
        """Let these ids be label values too."""
        self._known.allow(models)

    def count_rests(self, rests: Iterable[Rest]) -> None:
        """Those of this moment; what was counted before and rests no more is 0 from now on."""
        counted = Counter((self._provider(it.provider), self._model_of(it), it.state) for it in rests)
        for labels in self._resting - counted.keys():
            self.metrics.credentials_resting.labels(*labels).set(0)
        for labels, number in counted.items():
            self.metrics.credentials_resting.labels(*labels).set(number)
        self._resting = set(counted)

    def _model_of(self, rest: Rest) -> str:
        return rest.model if rest.model == "*" else self._known(f"{rest.provider}/{rest.model}")

    def _http_served(self, fact: HttpServed) -> None:
        count, observe = self._served.get((fact.method, fact.route, fact.status)) or self._serve(fact)
        count(1)
        observe(fact.seconds)
        if fact.overhead_seconds is not None:
            self._overhead(fact.overhead_seconds)

    def _turn_settled(self, fact: TurnSettled) -> None:
        model = self._models.get((fact.provider, fact.model)) or self._model(fact.provider, fact.model)
        (model.turns.get((fact.state, fact.outcome)) or model.turn(fact.state, self._outcome(fact.outcome)))(1)
        model.seconds(fact.seconds)
        if fact.first_token_seconds is not None:
            model.first_token(fact.first_token_seconds)
        if fact.prompt_tokens:
            model.prompt(fact.prompt_tokens)
        if fact.completion_tokens:
            model.completion(fact.completion_tokens)
        if fact.cost is None:
            model.unpriced()
        elif fact.cost:
            model.cost(fact.cost)

    def _model_called(self, fact: ModelCalled) -> None:
        model = self._models.get((fact.provider, fact.model)) or self._model(fact.provider, fact.model)
        (model.calls.get(fact.outcome) or model.call(self._outcome(fact.outcome)))(1)
        model.call_seconds(fact.seconds)

    def _serve(self, fact: HttpServed) -> tuple[_Add, _Add]:
        method, route, status = self._method(fact.method), self._route(fact.route), str(fact.status)
        observe = self.metrics.http_seconds.labels(route).observe
        bound = self.metrics.http_requests.labels(method, route, status).inc, observe
        if (method, route) == (fact.method, fact.route):
            self._served[method, route, fact.status] = bound
        return bound

    def _model(self, provider: str, name: str) -> _Model:
        """Cached under bounded labels only, so that made-up names cannot fill the memory either."""
        key = self._provider(provider), self._known(name)
        if key not in self._models:
            self._models[key] = _Model(self.metrics, *key)
        return self._models[key]

    def _events_dropped(self, fact: EventsDropped) -> None:
        self.metrics.events_dropped.labels(self._provider(fact.provider)).inc(fact.count)

    def _breaker_changed(self, fact: BreakerChanged) -> None:
        resource = self._reason(fact.resource)
        self.metrics.breaker_open.labels(resource).set(int(fact.open))
        if fact.open:
            self.metrics.breaker_opened.labels(resource).inc()

    def _journal_applied(self, fact: JournalApplied) -> None:
        self.metrics.journal_records.inc(fact.records)
        self.metrics.journal_apply_seconds.observe(fact.seconds)
        if fact.reaped:
            self.metrics.journal_reaped.inc(fact.records)

    def _journal_degraded(self, fact: JournalDegraded) -> None:
        self.metrics.journal_degraded.labels(fact.fallback).inc()

    def _mail_sent(self, fact: MailSent) -> None:
        self.metrics.mails.labels(self._reason(fact.kind), self._reason(fact.outcome)).inc()

    def _request_repeated(self, fact: RequestRepeated) -> None:
        self.metrics.repeats.labels(self._reason(fact.outcome)).inc()

    def _guardrail_hit(self, fact: GuardrailHit) -> None:
        self.metrics.guardrail_hits.labels(self._reason(fact.rule), fact.action, fact.side).inc()

    def _guardrail_failed(self, fact: GuardrailFailed) -> None:
        self.metrics.guardrail_failures.labels(self._reason(fact.rule), "yes" if fact.blocked else "no").inc()

    def _cache_asked(self, fact: CacheAsked) -> None:
        self.metrics.cache_lookups.labels("yes" if fact.hit else "no").inc()

    def _journal_rejected(self, _: JournalRejected) -> None:
        self.metrics.journal_rejected.inc()

    def _redis_refused(self, fact: RedisRefused) -> None:
        self.metrics.redis_refused.labels(self._reason(fact.reason)).inc()

    def _limiter_failed(self, fact: LimiterFailed) -> None:
        self.metrics.limiter_failed.labels(self._reason(fact.reason)).inc()

    def _limit_hit(self, fact: LimitHit) -> None:
        labels = self._kind(fact.kind), self._metric(fact.metric), "yes" if fact.shadow else "no"
        self.metrics.limit_hits.labels(*labels).inc()
