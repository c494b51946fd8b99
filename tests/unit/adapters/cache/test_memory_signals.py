import pytest

from adapters.cache.signals import MemorySignals
from tests.contracts.signals import SignalsContract


class TestMemorySignals(SignalsContract):
    @pytest.fixture
    def signals(self):
        return MemorySignals()
