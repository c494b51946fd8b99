"""The application on fakes: every service, wired as the container wires the real parts."""

from dataclasses import replace
from typing import Any

from application.call import Call
from application.cancellation import Cancellation
from application.catalog import CatalogService
from application.chat import ChatService
from application.completions import CompletionService
from application.generations import Generations
from application.identity import IdentityService, KeyOwner
from application.in_flight import InFlight
from application.ports import Deployment
from application.sessions import SessionService
from application.usage import UsageService
from domain.ledger import Kind, LedgerEntry
from domain.session import Session
from domain.usage import Price, PriceBook
from tests.builders import a_deployment, a_key, a_session, a_user
from tests.fakes import (
    FrozenClock,
    MemoryBegin,
    MemoryJournal,
    MemoryModels,
    Part,
    PlainHasher,
    RecordingRecorder,
    RecordingSignals,
    ScriptedModel,
    counting_ids,
    counting_secrets,
)

PRICES = PriceBook("v1", {"acme/large": Price(input=1_000_000, output=2_000_000)})
"""One nano-unit per input token and two per output token of `acme/large`; no other model has a price."""


class World:
    """A user, her key and an empty session; `acme/large` answers what `script` says. Every part is open to tests."""

    def __init__(self, model: ScriptedModel | None = None, *more: Deployment) -> None:
        self.clock = FrozenClock()
        self.begin = MemoryBegin()
        self.model = model or ScriptedModel("Hel", "lo")
        self.model.watch(self.begin)
        self.journal = MemoryJournal(self.begin)
        self.record = RecordingRecorder()
        self.signals = RecordingSignals()
        self.models = MemoryModels(a_deployment(self.model), *more)
        self.in_flight = InFlight()
        new_id = counting_ids()
        self.generations = Generations(self.journal, PRICES, self.clock, self.record)
        self.completions = CompletionService(self.models, self.generations)
        self.chat = ChatService(
            self.begin, self.models, self.generations, self.in_flight, self.signals, self.clock, new_id
        )
        self.sessions = SessionService(self.begin, self.models, self.clock, new_id)
        self.usage = UsageService(self.begin, self.clock)
        self.catalog = CatalogService(self.models, PRICES)
        self.identity = IdentityService(
            self.begin, self.find_key, self.clock, new_id, counting_secrets(), PlainHasher(), "test"
        )
        with self.begin() as work:
            work.users.add(a_user())
            work.keys.add(a_key())
            work.sessions.add(a_session())

    def find_key(self, kid: str) -> KeyOwner | None:
        with self.begin() as work:
            return work.keys.by_kid(kid)

    def call(self, request_id: str = "req_1", *, streamed: bool = False, seconds: float = 600) -> Call:
        return Call(request_id, Cancellation(seconds, self.clock.monotonic), streamed)

    def session(self, session_id: str = "sess_1") -> Session:
        return self.begin.rows.sessions[session_id]

    def script(self, *parts: Part) -> None:
        """What the model answers from now on."""
        self.model.play(*parts)

    def configure(self, **fields: Any) -> None:
        """Change the session before the test begins."""
        self.begin.rows.sessions["sess_1"] = replace(self.session(), **fields)

    def final(self) -> LedgerEntry:
        """The one final row there is."""
        (entry,) = (entry for entry in self.begin.rows.ledger.values() if entry.kind is Kind.FINAL)
        return entry

    def texts(self) -> list[tuple[str, str, str]]:
        """The stored conversation: role, text and state."""
        stored = sorted(self.begin.rows.messages.values(), key=lambda message: message.seq)
        return [(message.role, message.content, message.state.value) for message in stored]
