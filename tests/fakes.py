"""One fake per port. `Memory…` works, `Scripted…` plays back, `Recording…` remembers.

The cache, the counters and the capacity in memory are real adapters, and good enough here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TypeVar

from adapters.cache.memory import MemoryCache
from adapters.limits.memory import MemoryCounters
from adapters.limits.memory_capacity import MemoryCapacity
from application.cancellation import Attempt, Cancellation
from application.model_ports import Deployment, Plan, plan_of
from application.records import Opened, Progressed, Settled
from domain.completion import Completion, Delta, ModelCard, Prompt
from domain.errors import ParleyError, RecipientRefused, UnknownModel
from domain.mail import Mail
from domain.tokens import METHOD, estimate_text
from domain.usage import PriceBook, Source, Usage
from tests.memory_store import MemoryBegin

__all__ = [
    "CountedCodes",
    "FixedPrices",
    "FrozenClock",
    "MemoryBegin",
    "MemoryCache",
    "MemoryCapacity",
    "MemoryCounters",
    "MemoryJournal",
    "MemoryModels",
    "PlainHasher",
    "PlainVault",
    "RecordingMailer",
    "RecordingRecorder",
    "RecordingSignals",
    "ScriptedModel",
    "counting_ids",
    "counting_secrets",
]

Fact = TypeVar("Fact")

Step = str | list[str] | Delta | BaseException | Callable[[], None]
Part = Step | Completion
"""A step of a script: text that arrives, several texts in one read, an event, the end, an error, or an act."""


class FrozenClock:
    """Stands still until a test moves it."""

    def __init__(self, at: datetime = datetime(2026, 11, 21, 12, tzinfo=UTC)) -> None:
        self._start = at
        self._seconds = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return 1_000.0 + self._seconds

    def advance(self, seconds: float) -> None:
        self._seconds += seconds


class RecordingRecorder:
    """Remembers every fact, in order."""

    def __init__(self) -> None:
        self.facts: list[object] = []

    def __call__(self, fact: object) -> None:
        self.facts.append(fact)

    def of(self, kind: type[Fact]) -> list[Fact]:
        return [fact for fact in self.facts if isinstance(fact, kind)]


class RecordingSignals:
    """Remembers what was asked of the other workers."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self._listeners: list[Callable[[str], object]] = []

    def publish(self, request_id: str) -> None:
        self.published.append(request_id)
        for listener in self._listeners:
            listener(request_id)

    def listen(self, callback: Callable[[str], object]) -> None:
        self._listeners.append(callback)


def counting_ids() -> Callable[[str], str]:
    """A `NewId` in the shape of the real one: `req_00000000000000000000000001`, then …2, whatever the prefix."""
    numbers = count(1)
    return lambda prefix: f"{prefix}_{next(numbers):026d}"


def counting_secrets() -> Callable[[int], str]:
    """A `NewSecret` without randomness; each one differs from all others."""
    numbers = count(1)
    return lambda length: f"{next(numbers):0{length}d}"


class PlainHasher:
    """Counts what it hashes; a hash that begins with `old:` is outdated. Set `busy` and it raises."""

    def __init__(self) -> None:
        self.hashed = 0
        self.busy: ParleyError | None = None
        self._begin: MemoryBegin | None = None

    def watch(self, begin: MemoryBegin) -> None:
        """From now on no transaction of `begin` may be open while a password is hashed."""
        self._begin = begin

    def hash(self, password: str) -> str:
        self._work()
        return f"plain:{password}"

    def verify(self, password_hash: str | None, password: str) -> bool:
        self._work()
        return password_hash is not None and password_hash.partition(":")[2] == password

    def outdated(self, password_hash: str) -> bool:
        return password_hash.startswith("old:")

    def _work(self) -> None:
        assert self._begin is None or self._begin.open == 0, "a transaction is open while a password is hashed"
        if self.busy is not None:
            raise self.busy
        self.hashed += 1


class PlainVault:
    """Seals by naming the purpose."""

    def seal(self, purpose: str, secret: str) -> bytes:
        return f"sealed {purpose} {secret[::-1]}".encode()

    def open(self, purpose: str, sealed: bytes) -> str:
        mark, found, secret = sealed.decode().split(" ", 2)
        if (mark, found) != ("sealed", purpose):
            raise ValueError(purpose)
        return secret[::-1]


class CountedCodes:
    """The code of a moment is its time step, six digits."""

    def new_secret(self) -> str:
        return "JBSWY3DPEHPK3PXP"

    def uri(self, secret: str, email: str) -> str:
        return f"otpauth://totp/Parley:{email}?secret={secret}"

    def step_of(self, secret: str, code: str, at: datetime) -> int | None:
        now = int(at.timestamp()) // 30
        return next((step for step in (now - 1, now, now + 1) if code == self.code(step)), None)

    @staticmethod
    def code(step: int) -> str:
        return f"{step % 1_000_000:06}"


class RecordingMailer:
    """Remembers what was sent. Set `down` and it raises; nobody at an address in `refused` gets anything."""

    def __init__(self) -> None:
        self.sent: list[Mail] = []
        self.down: ParleyError | None = None
        self.refused: set[str] = set()

    def send(self, mail: Mail) -> None:
        if self.down is not None:
            raise self.down
        if mail.to in self.refused:
            raise RecipientRefused
        self.sent.append(mail)


@dataclass
class FixedPrices:
    book: PriceBook


class ScriptedModel:
    """Plays its script to every caller: `ScriptedModel("Hel", "lo")`, `ScriptedModel("Hel", UpstreamReset())`.

    A script without an end gets a good one, with `USAGE`. An empty list is a heartbeat. `then` adds a script for the
    next call; the last one repeats. A piece is a token for `max_tokens`. Every step asserts that no transaction is
    open in `begin`, and honours the cancellation.
    """

    USAGE = Usage(input=12, output=3, source=Source.PROVIDER)

    def __init__(self, *script: Part, begin: MemoryBegin | None = None) -> None:
        self._scripts = [script]
        self._begin = begin
        self.dials = True
        """False makes it fail, or answer, before it counts as an attempt."""
        self.prompts: list[Prompt] = []
        self.cancellations: list[Cancellation] = []
        self.closed = 0
        """How many streams have ended, by whichever side."""

    def play(self, *script: Part) -> None:
        """Forget all scripts but this one."""
        self._scripts = [script]

    def then(self, *script: Part) -> "ScriptedModel":
        self._scripts.append(script)
        return self

    def watch(self, begin: MemoryBegin) -> None:
        """From now on no transaction of `begin` may be open while this model works."""
        self._begin = begin

    def complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        *_, answer = self._play(prompt, cancellation)
        assert isinstance(answer, Completion)
        message = {"role": "assistant", "content": answer.text}
        answer.choices = [{"index": 0, "message": message, "finish_reason": answer.finish}]
        return answer

    def stream(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        return self._play(prompt, cancellation)

    def _play(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        self.prompts.append(prompt)
        self.cancellations.append(cancellation)
        if self.dials:
            cancellation.attempts.append(Attempt("acme", f"acme/{prompt.model}", 0.0))
        heard = ""
        left = prompt.options.get("max_tokens") or prompt.options.get("max_completion_tokens") or 1_000_000
        try:
            for part in (*script, Completion("", "stop", self.USAGE)):
                self._check(cancellation)
                if isinstance(part, Completion):
                    yield replace(part, text=part.text or heard, choices=[])
                    return
                if left == 0:
                    yield Completion(heard, "length", Usage(input=12, output=1, source=Source.PROVIDER))
                    return
                deltas = _act(part)
                if deltas is not None:
                    left -= len(deltas)
                    heard += "".join(delta.text for delta in deltas)
                    yield deltas
        finally:
            self.closed += 1

    def _check(self, cancellation: Cancellation) -> None:
        assert self._begin is None or self._begin.open == 0, "a transaction is open while a model is called"
        cancellation.check()


def _act(part: Step) -> list[Delta] | None:
    if isinstance(part, BaseException):
        raise part
    if isinstance(part, str):
        return [a_delta(part)]
    if isinstance(part, Delta):
        return [part]
    if isinstance(part, list):
        return [a_delta(text) for text in part]
    part()
    return None


def a_delta(text: str) -> Delta:
    return Delta([{"index": 0, "delta": {"content": text}, "finish_reason": None}], text)


class LettersCounted:
    """Counts by the estimate, as for every model whose tokenizer is not known."""

    def count(self, model: str, text: str) -> int:
        return estimate_text(text)

    def method(self, model: str) -> str:
        return METHOD


class MemoryModels:
    """What was given; the first one is the default."""

    def __init__(self, *deployments: Deployment) -> None:
        self._deployments = {deployment.id: deployment for deployment in deployments}
        self.named: dict[str, Plan] = {}
        """Routes and aliases."""

    def resolve(self, model: str) -> Plan:
        if model in self.named:
            return self.named[model]
        found = [found for id_, found in self._deployments.items() if model in (id_, found.name)]
        if len(found) != 1:
            raise UnknownModel(param="model")
        return plan_of(found[0])

    def routes(self) -> Sequence[Plan]:
        return ()

    def default(self, provider: str | None = None) -> str:
        for found in self._deployments.values():
            if provider in (None, found.provider):
                return found.id
        raise UnknownModel(param="ai_provider")

    def listed(self) -> Sequence[tuple[str, ModelCard]]:
        return [(found.provider, found.card) for found in self._deployments.values()]


@dataclass(frozen=True, slots=True)
class MemoryReceipt:
    applied: bool

    def wait_applied(self, seconds: float) -> bool:
        return self.applied


class MemoryJournal:
    """Remembers all records; with a `begin` it applies each settled one at once, unless the database is down.

    Set `refuse` to an error and every further `open` and `settle` raises it.
    """

    def __init__(self, begin: MemoryBegin | None = None) -> None:
        self._begin = begin
        self.opened: list[Opened] = []
        self.progressed: list[Progressed] = []
        self.settled: list[Settled] = []
        self.refuse: ParleyError | None = None
        self.on_progress: Callable[[], None] = lambda: None

    def open(self, record: Opened) -> None:
        self._check()
        self.opened.append(record)

    def progress(self, record: Progressed) -> None:
        self.progressed.append(record)
        self.on_progress()

    def settle(self, record: Settled) -> MemoryReceipt:
        self._check()
        self.settled.append(record)
        if self._begin is None or self._begin.down is not None:
            return MemoryReceipt(applied=False)
        self._begin.apply([record])
        return MemoryReceipt(applied=True)

    def _check(self) -> None:
        if self.refuse is not None:
            raise self.refuse
