"""One call through the deployments of its plan: the first that answers, answers."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from application.cancellation import Cancellation
from application.continuation import Continuation
from application.model_ports import Choice, Deployment, Plan, close
from domain import capabilities, reasoning
from domain.completion import Completion, Delta, Prompt
from domain.errors import CircuitOpen, ClientGone, ParleyError
from domain.provider_errors import (
    ContentFiltered,
    ContextLengthExceeded,
    ProviderError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTotalTimeout,
)

Got = TypeVar("Got")
_LIMIT = "max_tokens"
_PASSED_ON = (ProviderError, CircuitOpen)
"""What another deployment may be better at. Everything else is the caller's, or our own."""
_WAITING = (CircuitOpen, UpstreamRateLimited)
"""What passes by itself: of several, the one that is over first says when to come back."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """`plan` is in the order of trying. `prompt_tokens` is the estimate of what is sent, `hints` are as in `Order`.

    When nobody answers, what is raised is the first error after which a retry can help, else the first one.
    """

    plan: Plan
    prompt_tokens: int = 0
    hints: frozenset[str] = frozenset()

    def whole(self, ask: Callable[[Deployment, Cancellation], Got], cancellation: Cancellation) -> Got:
        """What `ask` gets from the first deployment that does not fail."""
        walk = _Walk(self, cancellation)
        for deployment in walk:
            try:
                return ask(deployment, cancellation)
            except _PASSED_ON as error:
                if cancellation.counted is not None and not isinstance(error, ContentFiltered):
                    raise  # it is owed for a part, and would be owed for all of it again
                walk.note(deployment, error)
        raise walk.failure()

    def complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        return self.whole(lambda at, until: at.chat.complete(self._addressed(prompt, at), until), cancellation)

    def stream(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        """As `ChatModel.stream`; nothing is tried again once a delta is out, unless the plan `continues`."""
        return self._continued(prompt, cancellation) if self.plan.continues else self._streamed(prompt, cancellation)

    def _streamed(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        walk = _Walk(self, cancellation)
        for deployment in walk:
            parts = deployment.chat.stream(self._addressed(prompt, deployment), cancellation)
            heard = False
            try:
                for part in parts:
                    heard = heard or bool(part)
                    yield part
                    if heard:
                        break
                yield from parts
            except _PASSED_ON as error:
                if heard:
                    raise
                walk.note(deployment, error)
            else:
                return
            finally:
                close(parts)
        raise walk.failure()

    def _continued(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        walk, answer = _Walk(self, cancellation), Continuation(prompt, self.prompt_tokens, cancellation)
        try:
            for deployment in walk:
                heard = False
                parts = deployment.chat.stream(self._addressed(answer.prompt, deployment), cancellation)
                try:
                    for part in parts:
                        if isinstance(part, Completion):
                            yield answer.close(part)
                        elif part:
                            heard = True
                            yield answer.add(part)
                        else:
                            yield part
                except _PASSED_ON as error:
                    if heard and not answer.break_off(error):
                        raise
                    walk.note_in_answer(deployment, error, cut=heard)
                else:
                    return
                finally:
                    close(parts)
            raise walk.failure()
        finally:
            answer.leave()

    def _addressed(self, prompt: Prompt, deployment: Deployment) -> Prompt:
        """With what this deployment documents, and its own name of the model. A conversation is its keeper's alone."""
        thinks = capabilities.reasons(deployment.card)
        options = reasoning.adapted(prompt.options, deployment.options, thinks=thinks)
        if not options.keys() <= deployment.options:
            options = {name: value for name, value in options.items() if name in deployment.options}
        if _LIMIT in self.hints:
            options = _within(options, deployment.card.max_output)
        keeper, _, conversation = prompt.conversation.partition(":")
        if keeper != deployment.provider:
            conversation = ""
        return replace(prompt, model=deployment.name, options=options, conversation=conversation)


def _within(options: Mapping[str, Any], most: int | None) -> Mapping[str, Any]:
    """Who has to name a limit names what would do for any model, and providers refuse more than the model's own."""
    asked = options.get(_LIMIT)
    return options if most is None or asked is None or asked <= most else {**options, _LIMIT: most}


class _Walk:
    """The deployments that are left to try, and the errors of those that were tried."""

    def __init__(self, dispatch: Dispatch, cancellation: Cancellation) -> None:
        self._plan = dispatch.plan
        self._prompt_tokens = dispatch.prompt_tokens
        self._cancellation = cancellation
        self._left = _deployments(dispatch.plan.choices)
        self._tried: set[str] = set()
        self._errors: list[ParleyError] = []
        self._cut: ParleyError | None = None

    def __iter__(self) -> Iterator[Deployment]:
        while self._left:
            deployment = self._left.pop(0)
            if deployment.id in self._tried:
                continue
            self._tried.add(deployment.id)
            if self._cancellation.left:  # for nobody another call is made
                raise ClientGone
            self._cancellation.pass_on()
            self._cancellation.drains = deployment.drains
            self._cancellation.patient = not any(map(self._is_ready, [*self._left, *self._relieving()]))
            yield deployment

    def note(self, deployment: Deployment, error: ParleyError) -> None:
        """Whom to try after this. Raises the error when nobody may be tried after it."""
        if error.provider is None:
            error.provider = deployment.provider
        self._errors.append(error)
        match error:
            case ContextLengthExceeded():
                self._narrow("context_length", self._larger_than(deployment), error)
            case ContentFiltered():
                self._narrow("content_filter", [], error)
            case UpstreamRejected():
                raise error
            case UpstreamTotalTimeout() if self._cancellation.is_over:
                raise error
            case UpstreamRateLimited() if "rate_limit" in self._plan.instead:
                self._left = self._relieving()
        self._cancellation.counted = None  # a prompt that was read and blocked: what follows is billed for itself

    def note_in_answer(self, deployment: Deployment, error: ParleyError, *, cut: bool) -> None:
        """As `note`, where the client may have the beginning of an answer: few can go on with that."""
        if not cut and self._cut is None:
            self.note(deployment, error)
            return
        if cut:
            self._cut = error
            error.provider = error.provider or deployment.provider
            self._left = [other for other in self._left if capabilities.PREFILL in other.card.capabilities]
        if self._cancellation.is_over:
            self._left = []

    def failure(self) -> ParleyError:
        if self._cut is not None:
            return self._cut
        if all(isinstance(error, _WAITING) for error in self._errors):
            return min(self._errors, key=lambda error: error.retry_after or 0)
        return next((error for error in self._errors if error.retryable), self._errors[0])

    def _is_ready(self, deployment: Deployment) -> bool:
        return deployment.id not in self._tried and deployment.health.wait() <= 0

    def _relieving(self) -> list[Deployment]:
        """Who takes over when requests are being limited."""
        return _deployments(self._plan.instead.get("rate_limit", ()))

    def _narrow(self, kind: str, otherwise: list[Deployment], error: ParleyError) -> None:
        configured = self._plan.instead.get(kind)
        self._left = otherwise if configured is None else _deployments(configured)
        if all(deployment.id in self._tried for deployment in self._left):
            raise error

    def _larger_than(self, deployment: Deployment) -> list[Deployment]:
        """Those whose known window is larger than the one that was too small; nobody gets the same again."""
        window = deployment.card.context_window or self._prompt_tokens
        return [other for other in self._left if (other.card.context_window or 0) > window]


def _deployments(choices: Iterable[Choice]) -> list[Deployment]:
    return [choice.deployment for choice in choices]
