"""What can go wrong on the provider's side.

ProviderError
├── UpstreamUnreachable · UpstreamDns · UpstreamAddressRefused · UpstreamTls · UpstreamReset
├── UpstreamConnectTimeout · UpstreamTimeout · UpstreamIdleTimeout · UpstreamTotalTimeout
├── UpstreamRateLimited · UpstreamOverloaded · UpstreamAuth (UpstreamForbidden) · UpstreamRejected · UpstreamFailed
├── ContextLengthExceeded · ContentFiltered
├── UpstreamBadContent · UpstreamBadJson · UpstreamRedirect · UpstreamTooLarge · UpstreamResultLost
└── UpstreamTruncated · UpstreamMalformed · UpstreamEventTooLarge · MaxOutputExceeded
"""

from typing import ClassVar

from domain.errors import ParleyError


class ProviderError(ParleyError):
    """Raised by `ChatModel`s only. `dialled` is False when the provider certainly never saw the request."""

    code = "upstream_error"
    default = "The provider failed."
    dialled: ClassVar[bool] = True


class UpstreamUnreachable(ProviderError):
    code = "upstream_unreachable"
    retryable = True
    default = "The provider refused the connection."
    dialled = False


class UpstreamDns(ProviderError):
    code = "upstream_dns"
    default = "The provider's address could not be resolved."
    dialled = False


class UpstreamAddressRefused(ProviderError):
    """A public name leads into a private network, or any name to where nobody goes: `domain.network`."""

    code = "upstream_address_refused"
    default = "The provider's name leads to an address that the gateway does not connect to."
    dialled = False


class UpstreamTls(ProviderError):
    code = "upstream_tls"
    default = "The provider's certificate was not accepted."
    dialled = False


class UpstreamReset(ProviderError):
    code = "upstream_reset"
    retryable = True
    default = "The provider cut the connection."


class UpstreamConnectTimeout(ProviderError):
    code = "upstream_connect_timeout"
    retryable = True
    default = "The provider did not accept a connection in time."
    dialled = False


class UpstreamTimeout(ProviderError):
    code = "upstream_timeout"
    default = "The provider did not answer in time."


class UpstreamIdleTimeout(ProviderError):
    code = "upstream_idle_timeout"
    default = "The provider stopped sending."


class UpstreamTotalTimeout(ProviderError):
    code = "upstream_total_timeout"
    default = "The answer took longer than a request may take."


class UpstreamRateLimited(ProviderError):
    code = "upstream_rate_limited"
    retryable = True
    default = "The provider is limiting requests."


class UpstreamOverloaded(ProviderError):
    code = "upstream_overloaded"
    retryable = True
    default = "The provider is overloaded."


class UpstreamAuth(ProviderError):
    code = "upstream_auth"
    default = "The provider did not accept the gateway's credential."


class UpstreamForbidden(UpstreamAuth):
    """The credential is accepted, but not for this model. To a client there is no difference."""


class UpstreamRejected(ProviderError):
    """The provider answered 4xx to the content of the request; `param` is the provider's when it named one."""

    code = "upstream_rejected"
    default = "The provider rejected the request."


class UpstreamFailed(ProviderError):
    code = "upstream_error"
    retryable = True
    default = "The provider failed."


class ContextLengthExceeded(UpstreamRejected):
    code = "context_length_exceeded"
    default = "The conversation is longer than the model's context window."


class ContentFiltered(UpstreamRejected):
    code = "content_filter"
    default = "The provider's content filter rejected the request."


class UpstreamBadContent(ProviderError):
    code = "upstream_bad_content"
    default = "The provider answered with an unexpected content type."


class UpstreamBadJson(ProviderError):
    code = "upstream_bad_json"
    retryable = True
    default = "The provider's answer could not be parsed."


class UpstreamResultLost(ProviderError):
    """What the provider made, and bills, could not be had: its address expired, leads nowhere, or to no image.

    Never retried: that would buy it once more.
    """

    code = "upstream_result_lost"
    default = "What the provider made could not be fetched."


class UpstreamRedirect(ProviderError):
    code = "upstream_redirect"
    default = "The provider answered with a redirect, which is not followed."


class UpstreamTooLarge(ProviderError):
    code = "upstream_too_large"
    default = "The provider's answer is larger than allowed."


class UpstreamTruncated(ProviderError):
    code = "upstream_truncated"
    default = "The provider's stream ended before its answer was complete."


class UpstreamMalformed(ProviderError):
    code = "upstream_malformed"
    default = "The provider's stream contains too many malformed events."


class UpstreamEventTooLarge(ProviderError):
    code = "upstream_event_too_large"
    default = "The provider sent an event of more than 1 MB."


class MaxOutputExceeded(ProviderError):
    code = "max_output_exceeded"
    default = "The provider's answer passed the output limit."
