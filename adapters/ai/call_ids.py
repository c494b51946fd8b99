"""Ids for calls of tools: results are sent back by them, so each call of an answer needs one that no other has."""

from domain.provider_errors import MaxOutputExceeded

_LONGEST = 256
"""Characters; a longer one would be refused when it comes back."""


_MOST = 1_000
"""Calls in one answer: each is remembered."""


class CallIds:
    """Of one choice of an answer."""

    def __init__(self, request_id: str, choice: int = 0) -> None:
        self._prefix = f"call_{request_id.partition('_')[2]}_{choice}"
        self._taken: set[str] = set()

    def __len__(self) -> int:
        """How many were given."""
        return len(self._taken)

    def give(self, own: str) -> str:
        """The provider's `own` where it can be had, else one of ours. Raises MaxOutputExceeded."""
        if len(self._taken) >= _MOST:
            raise MaxOutputExceeded
        given = own if self._is_usable(own) else f"{self._prefix}_{len(self._taken)}"
        self._taken.add(given)
        return given

    def _is_usable(self, own: str) -> bool:
        return 0 < len(own) <= _LONGEST and own not in self._taken and not own.startswith(self._prefix)
