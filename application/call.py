"""What a paid route knows of its HTTP request."""

from dataclasses import dataclass

from application.cancellation import Cancellation


@dataclass(frozen=True, slots=True)
class Call:
    request_id: str
    cancellation: Cancellation
    streamed: bool
