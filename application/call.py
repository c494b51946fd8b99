"""What a paid route knows of its HTTP request."""

from dataclasses import dataclass

from application.cancellation import Cancellation


@dataclass(frozen=True, slots=True)
class TokenStanding:
    """How the tightest limit on tokens per minute stands, this call's estimate counted; `reset` in whole seconds."""

    limit: int
    remaining: int
    reset: int


@dataclass(slots=True)
class Call:
    request_id: str
    cancellation: Cancellation
    streamed: bool
    fresh: bool = False
    """Its client wants no answer that was given before."""
    unkept: bool = False
    """Nor does it want its answer to be given to others later."""
    standing: TokenStanding | None = None
    """Known from admission on, where tokens are limited."""
    dialled: bool = False
    """From here on a provider may have got it: what happens now is its end, and not a reason to make it again."""
