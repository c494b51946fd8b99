"""The one retry layer: a call goes to one of a provider's credentials, and if that fails perhaps to another.

Circuit breaker, credentials that rest, second tries and their budget are decided here, for one provider. Which
provider is tried next is decided in `application.dispatch`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import uniform
from typing import TypeVar

from adapters.ai.credentials import Credentials, Lease
from adapters.ai.decorators import Observed, pause
from adapters.ai.retries import RetryBudget
from application.cancellation import Cancellation
from application.model_ports import ChatModel, Embedder, ImageMaker, close
from domain.completion import Completion, Delta, Prompt
from domain.embedding import EmbeddingPrompt, Embeddings
from domain.image import ImagePrompt, Images
from domain.provider_errors import ProviderError, UpstreamAuth, UpstreamRateLimited

Got = TypeVar("Got")
Parts = Iterator[list[Delta] | Completion]

_JITTER = (0.1, 0.3)
_LONGEST_WAIT = 2
"""Seconds of Retry-After that are waited out; who asks for more gets no second call."""
_MARGIN = 0.01
"""Seconds by which a timer may be early."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """A call is given the number of the credential that it has to use.

    At most `extra` further calls follow failures of the provider. A credential that is refused or limited makes way for
    the next one and does not count as such. All further calls spend from the `budget`; none follows silence, a refusal
    of the request itself, or the first event of a stream.
    """

    credentials: Credentials
    observed: Observed
    budget: RetryBudget
    extra: int = 1
    wait: Callable[[float, Cancellation], None] = pause

    def whole(self, model: str, call: Callable[[int], Got], cancellation: Cancellation, affinity: str = "") -> Got:
        run = _Run(self, model, affinity, cancellation)
        try:
            while True:
                lease = run.lease()
                try:
                    got = self.observed.whole(model, partial(call, lease.at), cancellation)
                except BaseException as error:
                    if not run.goes_on_after(error, paid=cancellation.counted is not None):
                        raise
                else:
                    run.heard()
                    lease.succeeded()
                    return got
        finally:
            run.end()

    def stream(self, model: str, call: Callable[[int], Parts], cancellation: Cancellation, affinity: str = "") -> Parts:
        run = _Run(self, model, affinity, cancellation)
        try:
            while True:
                lease = run.lease()
                parts = self.observed.stream(model, call(lease.at), cancellation)
                try:
                    for part in parts:
                        if part:
                            run.heard()
                            if isinstance(part, Completion):
                                lease.succeeded()
                        yield part
                except BaseException as error:
                    close(parts)
                    if not run.goes_on_after(error):
                        raise
                else:
                    return
        finally:
            run.end()


class _Run:
    """One call by a client, and all tries that it takes."""

    def __init__(self, rotation: Rotation, model: str, affinity: str, cancellation: Cancellation) -> None:
        self._rotation = rotation
        self._model = model
        self._affinity = affinity
        self._cancellation = cancellation
        self._lease: Lease | None = None
        self._began = 0.0
        self._heard = False
        self._failures = 0
        self._spent = 0
        self._error: ProviderError | None = None
        rotation.budget.begin()

    def lease(self) -> Lease:
        """Raises why there is none, at once: CircuitOpen, UpstreamRateLimited, UpstreamAuth."""
        credentials = self._rotation.credentials
        avoid = None if self._lease is None else self._lease.at
        lease = credentials.lease(self._model, avoid, self._affinity)
        if lease is None:
            raise credentials.refusal(self._model) from self._error
        self._lease = lease
        self._began = self._rotation.observed.monotonic()
        return lease

    def heard(self) -> None:
        """Of all that is heard the first tells that it answers."""
        if not self._heard and self._lease is not None:
            self._heard = True
            self._lease.heard(self._rotation.observed.monotonic() - self._began)

    def end(self) -> None:
        self._rotation.budget.end(self._spent)

    def goes_on_after(self, error: BaseException, *, paid: bool = False) -> bool:
        """Whether to call again; then this returns when it is time to.

        What was `paid` for in part is not, and nothing is for a client who has left.
        """
        if self._lease is not None:
            self._lease.failed(error)
        if self._heard or paid or self._cancellation.left or not isinstance(error, ProviderError):
            return False
        self._error = error
        seconds = self._seconds(error)
        if seconds is None or not self._spend(seconds):
            return False
        if seconds:
            self._rotation.wait(seconds, self._cancellation)
        return True

    def _seconds(self, error: ProviderError) -> float | None:
        """How long to wait before the next try, None when there is to be none."""
        if isinstance(error, UpstreamAuth):
            return self._other_than_refused(error)
        if isinstance(error, UpstreamRateLimited) and self._has_other():
            return 0.0
        if not error.retryable or self._failures >= self._rotation.extra:
            return None
        self._failures += 1
        wait, ready = error.retry_after, self._rotation.credentials.wait(self._model)
        if wait is not None and not self._has_other():
            short = max(wait, ready) <= _LONGEST_WAIT and self._cancellation.patient
            return wait + _MARGIN if short else None
        return uniform(*_JITTER) if ready <= 0 else None  # noqa: S311 - spreads retries, guards nothing

    def _other_than_refused(self, error: UpstreamAuth) -> float | None:
        """When no credential is left, what is told is why the others are not, if that passes."""
        if self._has_other():
            return 0.0
        refusal = self._rotation.credentials.refusal(self._model)
        if refusal.retryable:
            raise refusal from error
        return None

    def _has_other(self) -> bool:
        at = None if self._lease is None else self._lease.at
        return self._rotation.credentials.is_ready(self._model, besides=at)

    def _spend(self, seconds: float) -> bool:
        if seconds >= self._cancellation.remaining() or not self._rotation.budget.spend():
            return False
        self._spent += 1
        return True


@dataclass(frozen=True, slots=True)
class RotatingChat:
    """Implements `ChatModel` with one for each credential, in their order; the other classes likewise."""

    rotation: Rotation
    clients: Sequence[ChatModel]

    def complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        clients = self.clients
        return self.rotation.whole(
            prompt.model, lambda at: clients[at].complete(prompt, cancellation), cancellation, prompt.affinity
        )

    def stream(self, prompt: Prompt, cancellation: Cancellation) -> Parts:
        clients = self.clients
        return self.rotation.stream(
            prompt.model, lambda at: clients[at].stream(prompt, cancellation), cancellation, prompt.affinity
        )


@dataclass(frozen=True, slots=True)
class RotatingEmbedder:
    rotation: Rotation
    clients: Sequence[Embedder]

    def embed(self, prompt: EmbeddingPrompt, cancellation: Cancellation) -> Embeddings:
        clients = self.clients
        return self.rotation.whole(prompt.model, lambda at: clients[at].embed(prompt, cancellation), cancellation)


@dataclass(frozen=True, slots=True)
class RotatingImages:
    rotation: Rotation
    clients: Sequence[ImageMaker]

    def make(self, prompt: ImagePrompt, cancellation: Cancellation, progress: Callable[[float], object]) -> Images:
        clients = self.clients
        return self.rotation.whole(
            prompt.model, lambda at: clients[at].make(prompt, cancellation, progress), cancellation
        )
