"""Chat sessions: open, read, change, delete. Every method sees the caller's own sessions only."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from application.files import require_owner
from application.model_ports import Models
from application.ports import Clock, NewId, Signals
from application.store import Begin
from domain.session import Message, Session, SessionConfig
from domain.user import Principal, Scope

_EXPORT_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class SessionDraft:
    """What is not named is chosen: the first provider and its default model, a title from the first message.

    For a key that may not use that one it is the first model on its list.
    """

    title: str = ""
    ai_provider: str | None = None
    model: str | None = None
    config: SessionConfig = field(default_factory=SessionConfig)


@dataclass(frozen=True, slots=True)
class SessionService:
    begin: Begin
    models: Models
    clock: Clock
    new_id: NewId
    signals: Signals

    def open(self, principal: Principal, draft: SessionDraft) -> Session:
        """Raises UnknownModel, ModelNotAllowed, and KeyRevoked when its user is gone by now."""
        principal.require(Scope.CHAT)
        principal.require_person()
        provider, model = self._model(principal, draft.ai_provider, draft.model)
        now = self.clock.now()
        session = Session(
            id=self.new_id("sess"),
            user_id=principal.user_id,
            title=draft.title,
            provider=provider,
            model=model,
            created_at=now,
            updated_at=now,
            config=draft.config,
        )
        with self.begin() as work:
            require_owner(work, principal.user_id)
            work.sessions.add(session)
        return session

    def page(self, principal: Principal, limit: int, cursor: str | None) -> list[Session]:
        """Newest first; `cursor` is the id of the last session of the previous page."""
        principal.require_person()
        with self.begin() as work:
            return work.sessions.page(principal.user_id, limit, cursor)

    def get(self, principal: Principal, session_id: str) -> Session:
        principal.require_person()
        with self.begin() as work:
            return work.sessions.get(session_id, principal.user_id)

    def change(self, principal: Principal, session_id: str, changes: Mapping[str, Any]) -> Session:
        """Change only what `changes` names: `title`, `ai_provider`, `model`, and inside `config` single settings."""
        principal.require(Scope.CHAT)
        principal.require_person()
        with self.begin() as work:
            session = self._changed(principal, work.sessions.get(session_id, principal.user_id), changes)
            work.sessions.save(session)
        return session

    def delete(self, principal: Principal, session_id: str) -> None:
        """A turn that runs is stopped: nobody will read its answer."""
        principal.require(Scope.CHAT)
        principal.require_person()
        with self.begin() as work:
            session = work.sessions.get(session_id, principal.user_id)
            work.sessions.delete(session_id, self.clock.now())
        if session.active_request_id is not None:
            self.signals.publish(session.active_request_id)

    def messages(self, principal: Principal, session_id: str, limit: int, after: int) -> list[Message]:
        """Oldest first, those with `seq` > `after`."""
        principal.require_person()
        with self.begin() as work:
            work.sessions.get(session_id, principal.user_id)
            return work.messages.page(session_id, limit, after)

    def export(self, principal: Principal, session_id: str) -> tuple[Session, list[Message]]:
        """The session with its messages; of very long ones the newest 10,000."""
        with self.begin() as work:
            session = work.sessions.get(session_id, principal.user_id)
            return session, work.messages.window(session_id, _EXPORT_LIMIT)

    def _changed(self, principal: Principal, session: Session, changes: Mapping[str, Any]) -> Session:
        provider, model = session.provider, session.model
        if "model" in changes or "ai_provider" in changes:
            provider, model = self._model(principal, changes.get("ai_provider"), changes.get("model"))
        return replace(
            session,
            title=changes.get("title", session.title),
            provider=provider,
            model=model,
            config=replace(session.config, **changes.get("config", {})),
            updated_at=self.clock.now(),
        )

    def _model(self, principal: Principal, provider: str | None, model: str | None) -> tuple[str, str]:
        """`model` may carry the provider as a prefix or leave it to `provider`; a route or an alias has none."""
        wanted = model or self._usual(principal, provider)
        if provider and not wanted.startswith(f"{provider}/"):
            wanted = f"{provider}/{wanted}"
        plan = self.models.resolve(wanted)
        if not any(principal.may_use(deployment.id) for deployment in plan.deployments):
            principal.require_model(plan.name)  # a route may be allowed by its own name
        provider, slash, name = plan.name.partition("/")
        return (provider, name) if slash else ("", plan.name)

    def _usual(self, principal: Principal, provider: str | None) -> str:
        usual = self.models.default(provider)
        if provider or principal.may_use(usual):
            return usual
        allowed = principal.models[0]
        return self.models.default(allowed.removesuffix("/*")) if allowed.endswith("/*") else allowed
