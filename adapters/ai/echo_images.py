"""Pictures without a painter: squares of one colour, the same for the same prompt. For a first run, and for tests."""

from collections.abc import Callable
from hashlib import sha256

from gevent import sleep

from adapters.png import png
from application.cancellation import Cancellation
from domain import tokens
from domain.errors import UnsupportedParameter
from domain.image import ImagePrompt, Images, MadeImage
from domain.usage import Source, Usage

LARGEST = 512
"""Pixels of a side; a larger one is made as large as this."""
SLOW = "slow"
_USUAL = 256
_STEPS = 10
_STEP_SECONDS = 0.2
IDLE = frozenset({"quality", "style", "moderation", "safety_identifier", "seed"})
"""What makes no difference to it. What would is refused by name."""


class EchoImages:
    """The model `slow` takes two seconds, and tells how far it is."""

    def make(self, prompt: ImagePrompt, cancellation: Cancellation, progress: Callable[[float], object]) -> Images:
        for option in prompt.options:
            if option not in IDLE:
                raise UnsupportedParameter(f"{prompt.model} makes nothing of the parameter {option}.", param=option)
        for step in range(_STEPS):
            if prompt.model == SLOW:
                sleep(_STEP_SECONDS)
            cancellation.check()
            progress((step + 1) / _STEPS)
        width, height = _sides(prompt.size)
        images = [
            MadeImage(png(width, height, _colour(prompt.text, number)), "image/png") for number in range(prompt.count)
        ]
        usage = Usage(input=tokens.estimate_text(prompt.text), images=prompt.count, source=Source.PROVIDER)
        return Images(images, usage, prompt.model)


def _colour(text: str, number: int) -> bytes:
    return sha256(f"{number} {text}".encode()).digest()[:3]


def _sides(size: str | None) -> tuple[int, int]:
    width, _, height = (size or f"{_USUAL}x{_USUAL}").partition("x")
    return min(LARGEST, int(width)), min(LARGEST, int(height))
