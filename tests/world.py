"""The application on fakes: every service, wired as the container wires the real parts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from adapters.cache.memory import MemoryCache
from application.account_store import KeyRecord, LoginRecord
from application.accounts import AccountService
from application.admission import Admission
from application.answer_cache import AnswerCache
from application.auditing import Auditor
from application.call import Call
from application.cancellation import Cancellation
from application.catalog import CatalogService
from application.chat import ChatService
from application.completions import CompletionService
from application.embeddings import EmbeddingService
from application.files import FileService
from application.generations import Generations
from application.guardrails import Guardrails
from application.idempotency import IdempotencyService
from application.identity import IdentityService
from application.image_jobs import ImageJobService
from application.images import ImageService, ImageStudio
from application.in_flight import InFlight
from application.installation import Installation
from application.keys import KeyService
from application.limit_admin import LimitAdmin
from application.logins import LoginService
from application.mails import MailService
from application.model_ports import Deployment
from application.overview import Overview
from application.passwords import PasswordRules
from application.provider_admin import ProviderAdmin, ProviderState
from application.revocation import RevocationWatch
from application.routing import Router
from application.second_factor import SecondFactorService
from application.sessions import SessionService
from application.summaries import Summaries
from application.team_admin import TeamAdmin
from application.teams import TeamService
from application.token_count import TokenCountService
from application.usage import UsageService
from application.user_admin import UserAdmin
from domain.errors import ParleyError
from domain.ledger import Kind, LedgerEntry
from domain.session import Session
from domain.usage import Price, PriceBook
from tests.builders import a_deployment, a_key, a_session, a_user
from tests.fakes import (
    CountedCodes,
    FixedPrices,
    FrozenClock,
    LettersCounted,
    MemoryBegin,
    MemoryCapacity,
    MemoryJournal,
    MemoryModels,
    Part,
    PlainHasher,
    PlainVault,
    RecordingMailer,
    RecordingRecorder,
    RecordingSignals,
    ScriptedModel,
    counting_ids,
    counting_secrets,
)
from tests.image_fakes import OPTIONS, ScriptedImages, Spawned
from tests.memory_files import MemoryBlobs

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
        self.painter = ScriptedImages(self.begin)
        self.models = MemoryModels(replace(a_deployment(self.model), images=self.painter, image_options=OPTIONS), *more)
        self.in_flight = InFlight()
        new_id = counting_ids()
        self.prices, self.capacity = FixedPrices(PRICES), MemoryCapacity(self.clock)
        self.admission = Admission(self.begin, self.capacity, self.prices, self.clock, self.record)
        self.guardrails = Guardrails([], self.record)
        self.cache = AnswerCache(MemoryCache(self.clock), self.record)
        self.generations = Generations(
            self.journal, self.prices, self.clock, self.record, self.admission, self.guardrails, self.cache
        )
        self.router = Router(self.models, lambda: 0.5)
        self.completions = CompletionService(self.router, self.generations)
        self.embeddings = EmbeddingService(self.router, self.generations)
        self.summaries = Summaries(self.begin, self.router, self.generations, self.clock, new_id)
        self.chat = ChatService(
            self.begin,
            self.router,
            self.generations,
            self.in_flight,
            self.signals,
            self.clock,
            new_id,
            self.summaries,
            LettersCounted(),
        )
        self.token_counts = TokenCountService(self.router, LettersCounted())
        self.sessions = SessionService(self.begin, self.models, self.clock, new_id, self.signals)
        self.usage = UsageService(self.begin, self.clock)
        self.idempotency = IdempotencyService(self.begin, self.clock, self.record)
        self.catalog = CatalogService(self.models, self.prices)
        self.new_id, self.new_secret = new_id, counting_secrets()
        self.identity = IdentityService(self.begin, self.find_key, self.find_login, self.clock)
        self.revocations = RevocationWatch(self.identity, self.in_flight)
        self._add_images()
        self._add_accounts()
        self._add_administration()
        with self.begin() as work:
            work.users.add(a_user())
            work.keys.add(a_key())
            work.sessions.add(a_session())

    def _add_images(self) -> None:
        self.blobs, self.spawned = MemoryBlobs(self.clock), Spawned()
        self.defects: list[BaseException] = []
        self.files = FileService(self.begin, self.blobs, self.clock)
        self.studio = ImageStudio(self.router, self.generations, self.begin, self.blobs, self.clock, self.new_id)
        self.images = ImageService(self.studio)
        self.image_jobs = ImageJobService(
            self.studio, self.in_flight, self.signals, self.spawned, self._report, most=1_000
        )

    def _report(self, error: BaseException, _request_id: str) -> ParleyError:
        self.defects.append(error)
        return ParleyError()

    def _add_accounts(self) -> None:
        self.passwords, self.vault, self.codes, self.mailer = (
            PlainHasher(),
            PlainVault(),
            CountedCodes(),
            RecordingMailer(),
        )
        self.passwords.watch(self.begin)
        self.forgotten: list[str] = []
        forget = self.forgotten.append
        auditor = self.auditor = Auditor(self.clock, self.new_id)
        rules = PasswordRules(frozenset({"passwordpassword", "correct horse battery"}))
        made = (self.begin, self.clock, self.new_id, self.new_secret)
        self.factors = SecondFactorService(self.begin, self.clock, self.new_secret, self.codes, self.vault, auditor)
        self.logins = LoginService(*made, self.passwords, self.factors, auditor, forget)
        self.accounts = AccountService(*made, self.passwords, rules, auditor, registration="open", mails=True)
        self.keys = KeyService(*made, auditor, forget, "test")
        self.teams = TeamService(self.begin, auditor)
        self.installation = Installation(self.begin, self.clock, self.new_id, self.keys)
        self.mails = MailService(
            self.begin, self.clock, self.new_secret, self.mailer, self.record, "https://parley.example.org"
        )

    def _add_administration(self) -> None:
        made = (self.begin, self.clock, self.new_id)
        self.user_admin = UserAdmin(*made, self.new_secret, self.auditor, mails=True)
        self.team_admin = TeamAdmin(*made, self.auditor)
        self.limit_admin = LimitAdmin(self.begin, self.clock, self.auditor, self.forgotten.append)
        self.provider_admin = ProviderAdmin(
            *made,
            self.vault,
            self.auditor,
            FixedPrices(PRICES),
            lambda: frozenset({"acme", "openai"}),
            lambda: [ProviderState("acme", "https://acme.example/v1", ("file",), 1)],
        )
        self.reports: list[Callable[[], object]] = []
        self.overview = Overview(self.begin, self.clock, lambda: [report() for report in self.reports])

    def find_key(self, kid: str) -> KeyRecord | None:
        with self.begin() as work:
            return work.keys.by_kid(kid)

    def find_login(self, kid: str) -> LoginRecord | None:
        with self.begin() as work:
            return work.logins.by_kid(kid)

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
