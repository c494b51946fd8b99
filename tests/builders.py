"""Things to test with: every builder makes a valid one, and takes what the test cares about."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from application.admin_store import Claim
from application.model_ports import ChatModel, Deployment
from application.records import Opened, Settled, Turn
from domain.api_key import ApiKey, compose, digest, kid_of
from domain.completion import ModelCard, Prompt
from domain.ledger import Kind, LedgerEntry, State
from domain.limits import Hold, Unit, Window
from domain.limits import Kind as LimitKind
from domain.login import Login
from domain.mail import Locale, MailKind, QueuedMail
from domain.one_time_token import OneTimeToken, Purpose
from domain.session import Message, Session
from domain.usage import Source, Usage
from domain.user import Principal, Role, User

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KID = "k1dk1dk1d0"
OPTIONS = frozenset({"temperature", "max_tokens", "top_p", "stop", "tools", "tool_choice", "n", "seed"})


def a_token(kid: str = KID, secret: str = "s" * 43, environment: str = "test") -> str:
    return compose(environment, kid, secret)


def a_user(**fields: Any) -> User:
    return User(**{"id": "usr_1", "email": "ada@example.org", "role": Role.MEMBER, "created_at": NOW, **fields})


def a_key(token: str | None = None, **fields: Any) -> ApiKey:
    """The key as stored for `token`, which is `a_token()` when none is given."""
    token = token or a_token()
    given = {
        "id": "key_1",
        "kid": kid_of(token),
        "user_id": "usr_1",
        "name": "laptop",
        "digest": digest(token),
        "last4": token[-4:],
        "created_at": NOW,
    }
    return ApiKey(**{**given, **fields})


def a_login(token: str | None = None, **fields: Any) -> Login:
    """The login as stored for `token`, which is `a_token(environment="login")` when none is given."""
    token = token or a_token(environment="login")
    times = dict.fromkeys(("created_at", "seen_at", "authenticated_at"), NOW)
    return Login(
        **{"id": "login_1", "kid": kid_of(token), "user_id": "usr_1", "digest": digest(token), **times, **fields}
    )


def a_one_time_token(**fields: Any) -> OneTimeToken:
    given = {
        "id": "ott_1",
        "purpose": Purpose.RESET,
        "digest": digest("ott_1"),
        "email": "ada@example.org",
        "created_at": NOW,
        "expires_at": NOW + timedelta(minutes=15),
    }
    return OneTimeToken(**{**given, **fields})


def a_queued_mail(**fields: Any) -> QueuedMail:
    given = {
        "id": "mail_1",
        "kind": MailKind.RESET,
        "email": "ada@example.org",
        "locale": Locale.EN,
        "created_at": NOW,
        "due_at": NOW,
    }
    return QueuedMail(**{**given, **fields})


def a_principal(**fields: Any) -> Principal:
    given = {"user_id": "usr_1", "key_id": "key_1", "role": Role.MEMBER, "scopes": frozenset()}
    return Principal(**{**given, **fields})


def a_session(**fields: Any) -> Session:
    given = {
        "id": "sess_1",
        "user_id": "usr_1",
        "title": "",
        "provider": "acme",
        "model": "large",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Session(**{**given, **fields})


def a_message(**fields: Any) -> Message:
    given = {
        "id": "msg_1",
        "session_id": "sess_1",
        "seq": 1,
        "role": "user",
        "content": "Hello",
        "created_at": NOW,
    }
    return Message(**{**given, **fields})


def a_history(*texts: str, session_id: str = "sess_1") -> list[Message]:
    """Question, answer, question, answer …, from oldest to newest."""
    return [
        a_message(
            id=f"msg_{seq}",
            session_id=session_id,
            seq=seq,
            role="user" if seq % 2 else "assistant",
            content=text,
        )
        for seq, text in enumerate(texts, 1)
    ]


def a_prompt(text: str = "Hello", model: str = "large", **options: Any) -> Prompt:
    return Prompt(model, [{"role": "user", "content": text}], options)


def a_deployment(chat: ChatModel, id: str = "acme/large", *, options: Iterable[str] = OPTIONS) -> Deployment:  # noqa: A002 - named as its field
    provider, _, name = id.partition("/")
    return Deployment(id, provider, name, chat, ModelCard(name, context_window=8_192), frozenset(options))


def a_usage(**fields: Any) -> Usage:
    return Usage(**{"input": 12, "output": 3, "source": Source.PROVIDER, **fields})


def an_entry(**fields: Any) -> LedgerEntry:
    given = {
        "request_id": "req_1",
        "attempt": 0,
        "kind": Kind.FINAL,
        "user_id": "usr_1",
        "key_id": "key_1",
        "model_requested": "acme/large",
        "model_used": "acme/large",
        "provider": "acme",
        "usage": a_usage(),
        "state": State.COMPLETED,
        "started_at": NOW,
        "duration_ms": 420,
        "cost": 1_500,
        "charged": 1_500,
        "price_version": "v1",
    }
    return LedgerEntry(**{**given, **fields})


def a_turn(**fields: Any) -> Turn:
    given = {"session_id": "sess_1", "question_id": "msg_1", "answer_id": "msg_2", "question": "Hello"}
    return Turn(**{**given, **fields})


def an_opened(**fields: Any) -> Opened:
    given = {
        "request_id": "req_1",
        "user_id": "usr_1",
        "key_id": "key_1",
        "model_requested": "acme/large",
        "model": "acme/large",
        "provider": "acme",
        "prompt_tokens": 12,
        "started_at": NOW,
        "streamed": False,
        "price_version": "v1",
    }
    return Opened(**{**given, **fields})


def a_settled(*, session: bool = False, **fields: Any) -> Settled:
    """One attempt and its final row; with `session` also the messages of `a_turn()`."""
    request_id = fields.get("request_id", "req_1")
    given: dict[str, Any] = {
        "request_id": request_id,
        "entries": (
            an_entry(request_id=request_id, attempt=1, kind=Kind.ATTEMPT),
            an_entry(request_id=request_id, session_id="sess_1" if session else None),
        ),
        "ended_at": NOW,
    }
    if session:
        given |= {"turn": a_turn(), "answer": "Hi there", "finish_reason": "stop"}
    return Settled(**{**given, **fields})


def a_hold(**fields: Any) -> Hold:
    given = {
        "kind": LimitKind.KEY,
        "subject_id": "key_1",
        "unit": Unit.MONEY,
        "window": Window.DAY,
        "period": NOW.date(),
        "amount": 1_000,
    }
    return Hold(**{**given, **fields})


def a_claim(hold: Hold, limit: int, *, enforced: bool = True) -> Claim:
    return Claim(hold, limit, enforced)
