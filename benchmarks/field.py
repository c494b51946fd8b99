"""Everything that runs during a measurement: one upstream, one load driver, and the contenders asked for so far."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.cells import Cell, measure, wait_until_quiet, write_bodies
from benchmarks.contenders import Contender
from benchmarks.instruments import Driver, Load, Upstream
from benchmarks.machine import allow_many_files, pinned


class Field:
    def __init__(self, folder: Path, paths: Mapping[str, str], stack: ExitStack) -> None:
        self.folder = folder
        self._paths = paths
        self._stack = stack
        self._driver = Driver(folder)
        self._upstream = Upstream(folder)
        self._contenders: dict[type[Contender], Contender] = {}
        write_bodies(paths, folder)
        self._upstream.run()
        stack.callback(self._upstream.stop)

    @property
    def upstream(self) -> str:
        return self._upstream.url

    def contender(self, kind: type[Contender], environment: Mapping[str, str] | None = None) -> Contender:
        """Started at the first call, with `environment` added to its own. Raises Unavailable."""
        if kind not in self._contenders:
            contender = kind(self.folder, self.upstream, self._paths)
            self._stack.callback(contender.stop)
            contender.prepare()
            contender.environment |= environment or {}
            with pinned(1):
                contender.start()
            wait_until_quiet(contender)
            self._contenders[kind] = contender
        return self._contenders[kind]

    def measure(self, kind: type[Contender], name: str, load: Load, repeat: int = 0) -> Cell:
        return measure(self.contender(kind), name, load, self._driver, repeat)


@contextmanager
def a_field(paths: Mapping[str, str]) -> Iterator[Field]:
    """In a temporary folder, on CPU 0 except for the gateways; all that was started has ended afterwards."""
    allow_many_files()
    with TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack, pinned(0):
        yield Field(Path(folder), paths, stack)
