"""Who makes images, and who runs what nobody waits for, in tests."""

from collections.abc import Callable

from adapters.png import png
from application.cancellation import Attempt, Cancellation
from domain.errors import UnsupportedParameter
from domain.image import ImagePrompt, Images, MadeImage
from domain.usage import Source, Usage
from tests.memory_store import MemoryBegin

Act = float | BaseException | Callable[[], object]
"""A step of a script: progress that is told, an error, or an act."""

OPTIONS = frozenset({"quality", "negative_prompt"})


class ScriptedImages:
    """Plays its script, then makes what was ordered: tiny PNG images, each of its own. Says so in `usage`.

    Every step asserts that no transaction is open in `begin`, and honours the cancellation.
    """

    def __init__(self, begin: MemoryBegin, *script: Act) -> None:
        self._begin = begin
        self._script = script
        self.prompts: list[ImagePrompt] = []
        self.fewer = 0
        """So many less are made than ordered."""
        self.revised: str | None = None
        self.counted = True
        """False: the provider does not count."""
        self.dials = True
        self.cancellations: list[Cancellation] = []

    def play(self, *script: Act) -> None:
        self._script = script

    def make(self, prompt: ImagePrompt, cancellation: Cancellation, progress: Callable[[float], object]) -> Images:
        for option in prompt.options:
            if option not in OPTIONS:
                raise UnsupportedParameter(param=option)
        self.prompts.append(prompt)
        self.cancellations.append(cancellation)
        if self.dials:
            cancellation.attempts.append(Attempt("acme", f"acme/{prompt.model}", 0.0))
        for step in self._script:
            assert self._begin.open == 0, "a transaction is open while images are made"
            cancellation.check()
            _act(step, progress)
        cancellation.check()
        made = [self._made(number) for number in range(prompt.count - self.fewer)]
        return Images(made, Usage(7, output=11, images=len(made), source=Source.PROVIDER) if self.counted else None)

    def _made(self, number: int) -> MadeImage:
        return MadeImage(png(1, 1, bytes([number, 0, 0])), "image/png", self.revised)


def _act(step: Act, progress: Callable[[float], object]) -> None:
    if isinstance(step, BaseException):
        raise step
    if isinstance(step, float):
        progress(step)
    else:
        step()


class Spawned:
    """What was to run beside the caller, until a test lets it."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        self.waiting.append(work)

    def run(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()
