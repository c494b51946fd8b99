"""In which order equals are tried. Each rule takes its chance as numbers from 0 up to, but not including, 1."""

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from math import log1p

Draw = Callable[[], float]
"""The next number of chance."""

_HASH_BYTES = 6
"""As many as a float keeps exactly."""


def by_weight(weights: Sequence[float], chances: Iterable[float]) -> list[int]:
    """Indices, in random order; an index is first as often as its share in the sum of the (positive) weights.

    The rule is Efraimidis' and Spirakis' (2006): sort by -ln(1 - chance) ÷ weight.
    """
    keys = [-log1p(-chance) / weight for weight, chance in zip(weights, chances, strict=True)]
    return sorted(range(len(keys)), key=keys.__getitem__)


def by_affinity(affinity: str, names: Sequence[str], weights: Sequence[float]) -> list[int]:
    """The same order for the same affinity, as long as nobody comes or goes; over all affinities as `by_weight`.

    Weighted rendezvous hashing: who comes takes over its own share from all others, and nothing else moves.
    """
    return by_weight(weights, [_chance(affinity, name) for name in names])


def by_latency(latencies: Sequence[float | None], draw: Draw) -> list[int]:
    """Of two that chance picks the quicker one comes first, then the same among the rest: power of two choices.

    One whose latency is unknown is taken for quick, so that it becomes known.
    """
    left, order = list(range(len(latencies))), []
    while len(left) > 1:
        one = left.pop(int(draw() * len(left)))
        other = left[int(draw() * len(left))]
        if (latencies[other] or 0.0) < (latencies[one] or 0.0):
            left[left.index(other)] = one
            one = other
        order.append(one)
    return order + left


def _chance(affinity: str, name: str) -> float:
    digest = blake2b(f"{affinity}\0{name}".encode(), digest_size=_HASH_BYTES).digest()
    return int.from_bytes(digest) / (1 << 8 * _HASH_BYTES)
