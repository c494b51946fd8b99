"""Everything that can go wrong, in the words of the domain.

ParleyError
├── InvalidRequest              the caller must change the request
│   ├── InvalidJson · InvalidEncoding · JsonTooDeep · UnknownField · UnsupportedParameter
│   └── TooManyMessages · ContextOverflow · IdempotencyKeyReused · GuardrailBlocked
├── PayloadTooLarge · UnsupportedMediaType · RequestTimeout
├── Unauthenticated
│   └── InvalidCredentials · SecondFactorRequired
├── BudgetExceeded · RateLimited
├── Forbidden
│   ├── ModelNotAllowed · ModelUnpriced
│   └── ReauthenticationRequired · CsrfRejected · RegistrationClosed
├── NotFound
│   └── UnknownModel
├── Conflict
│   └── ConversationBusy · IdempotencyInProgress
├── RequestAbandoned            it began once, and nobody knows its answer
├── Unavailable                 our side; the same request may succeed later
│   ├── Overloaded · CircuitOpen · DatabaseUnavailable (SchemaMismatch) · DatabaseBusy · AccountingUnavailable
│   └── ServerShuttingDown · MailUnavailable (RecipientRefused) · OidcUnavailable · StorageFull
├── Cancelled                   the generation was ended from our side of the wire
│   ├── ClientGone · StoppedByUser · KeyRevoked
└── ProviderError               the provider's side: `provider_errors`

The HTTP status of each lives in `api/errors.py`; a test asserts that every class has one.
"""

from typing import ClassVar


class ParleyError(Exception):
    """Base of every error that a caller may see.

    `code` is part of the public contract. `retryable` tells whether the same request can succeed later without
    a change. `param` names the offending field (`messages.0.role`), `retry_after` is in whole seconds.
    """

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    default: ClassVar[str] = "The request could not be served."

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        retry_after: int | None = None,
        provider: str | None = None,
    ) -> None:
        super().__init__(message or self.default)
        self.message = message or self.default
        self.param = param
        self.retry_after = retry_after
        self.provider = provider


class InvalidRequest(ParleyError):
    code = "invalid_request"
    default = "The request is not valid."


class InvalidJson(InvalidRequest):
    code = "invalid_json"
    default = "The body is not valid JSON."


class InvalidEncoding(InvalidRequest):
    code = "invalid_encoding"
    default = "The body must be UTF-8 without a byte order mark."


class JsonTooDeep(InvalidRequest):
    code = "json_too_deep"
    default = "The body is nested more than 32 levels deep."


class UnknownField(InvalidRequest):
    code = "unknown_field"
    default = "The request has a field that is not accepted here."


class ContextOverflow(InvalidRequest):
    code = "context_overflow"
    default = "The conversation does not fit into the context any more."


class UnsupportedParameter(InvalidRequest):
    code = "unsupported_parameter"
    default = "The provider of this model does not support a parameter."


class TooManyMessages(InvalidRequest):
    code = "too_many_messages"
    default = "At most 2,000 messages are accepted."


class IdempotencyKeyReused(InvalidRequest):
    code = "idempotency_key_reused"
    default = "This idempotency key belongs to another request: each request needs a key of its own."


class GuardrailBlocked(InvalidRequest):
    """A rule of the operator forbids the prompt or the answer; the message names the rule and none of the text."""

    code = "guardrail_blocked"
    default = "A guardrail of this installation does not allow this content."


class PayloadTooLarge(ParleyError):
    code = "request_too_large"
    default = "The request is too large."


class UnsupportedMediaType(ParleyError):
    code = "unsupported_media_type"
    default = "The body must be application/json."


class RequestTimeout(ParleyError):
    code = "request_timeout"
    retryable = True
    default = "The request body did not arrive in time."


class Unauthenticated(ParleyError):
    code = "unauthenticated"
    default = "A valid bearer token is required."


class InvalidCredentials(Unauthenticated):
    """Says the same for an unknown address, a wrong password and an account that may not log in."""

    code = "invalid_credentials"
    default = "The address or the password is wrong, or the address is not confirmed yet."


class SecondFactorRequired(Unauthenticated):
    code = "second_factor_required"
    default = "This account has a second factor: send its current code, or a recovery code, as `code`."


class BudgetExceeded(ParleyError):
    code = "budget_exceeded"
    default = "The budget is spent."


class Forbidden(ParleyError):
    code = "forbidden"
    default = "This key may not do that."


class ModelNotAllowed(Forbidden):
    code = "model_not_allowed"
    default = "This key may not use that model."


class ModelUnpriced(Forbidden):
    code = "model_unpriced"
    default = "There is a budget in money, and this model has no price: an administrator can set one."


class ReauthenticationRequired(Forbidden):
    code = "reauthentication_required"
    default = "This needs a recent login: prove with `POST /auth/reauthenticate` that it is still you."


class CsrfRejected(Forbidden):
    code = "csrf_rejected"
    default = "A request with the login cookie must come from Parley's own pages, with their `X-CSRF-Token`."


class RegistrationClosed(Forbidden):
    code = "registration_closed"
    default = "Registration needs a valid invitation."


class NotFound(ParleyError):
    code = "not_found"
    default = "There is no such object."


class UnknownModel(NotFound):
    code = "model_not_found"
    default = "There is no such model."


class Conflict(ParleyError):
    code = "conflict"
    default = "The object exists already."


class ConversationBusy(Conflict):
    code = "conversation_busy"
    retryable = True
    default = "Another message of this session is being answered."


class IdempotencyInProgress(Conflict):
    code = "idempotency_in_progress"
    retryable = True
    default = "The first request with this idempotency key is still being answered."


class RequestAbandoned(ParleyError):
    """What was used up to that moment is billed; a repeat with the same key is never executed."""

    code = "request_abandoned"
    default = "The first request with this idempotency key was begun and its answer is lost. Send it with a new key."


class RateLimited(ParleyError):
    code = "rate_limited"
    retryable = True
    default = "Too many requests."


class Unavailable(ParleyError):
    code = "unavailable"
    retryable = True
    default = "The service is not available at the moment."


class Overloaded(Unavailable):
    code = "overloaded"
    default = "Too many requests are in flight."


class CircuitOpen(Unavailable):
    """Every deployment that could answer has failed too often a moment ago; `retry_after` is the shortest wait."""

    code = "circuit_open"
    default = "No provider of this model can answer at the moment."


class DatabaseUnavailable(Unavailable):
    code = "db_unavailable"
    default = "The database does not answer."


class SchemaMismatch(DatabaseUnavailable):
    code = "schema_mismatch"
    default = "The database has not the schema that this program needs; `parley migrate` brings it there."


class DatabaseBusy(Unavailable):
    code = "db_busy"
    default = "All database connections are busy."


class AccountingUnavailable(Unavailable):
    code = "accounting_unavailable"
    default = "The call could not be recorded, so it was not made."


class MailUnavailable(Unavailable):
    code = "mail_unavailable"
    default = "The mail server did not take the mail."


class RecipientRefused(MailUnavailable):
    """Says nothing about the mail to others."""

    code = "recipient_refused"
    default = "The mail server takes no mail for this address."


class OidcUnavailable(Unavailable):
    code = "oidc_unavailable"
    default = "The identity provider does not answer."


class StorageFull(Unavailable):
    code = "storage_full"
    default = "There is no room for files at the moment."


class ServerShuttingDown(Unavailable):
    code = "server_shutting_down"
    default = "The server is shutting down."


class Cancelled(ParleyError):
    code = "cancelled"
    default = "The generation was cancelled."


class ClientGone(Cancelled):
    code = "client_gone"
    default = "The client closed the connection."


class StoppedByUser(Cancelled):
    code = "stopped"
    default = "The generation was stopped on request."


class KeyRevoked(Cancelled):
    code = "key_revoked"
    default = "The credential of this call lost its right."
