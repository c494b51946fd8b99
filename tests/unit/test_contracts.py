"""The contracts of the ports, on the fakes: a test that passes on a fake says something about the real part."""

import pytest

from adapters.ai.echo import EchoEmbedder
from tests.contracts.account_store import AccountStoreContract
from tests.contracts.admin_store import AdminStoreContract
from tests.contracts.apply import ApplyContract
from tests.contracts.budgets import BudgetsContract
from tests.contracts.chat_model import ChatModelContract
from tests.contracts.embedder import EmbedderContract
from tests.contracts.idempotency import IdempotencyContract
from tests.contracts.signals import SignalsContract
from tests.contracts.unit_of_work import UnitOfWorkContract
from tests.contracts.usage_log import UsageLogContract
from tests.fakes import MemoryBegin, RecordingSignals, ScriptedModel


@pytest.fixture
def begin():
    return MemoryBegin()


@pytest.fixture
def apply(begin):
    return begin.apply


class TestMemoryBegin(UnitOfWorkContract):
    pass


class TestMemoryAccounts(AccountStoreContract):
    pass


class TestMemoryAdministration(AdminStoreContract):
    pass


class TestMemoryBudgets(BudgetsContract):
    pass


class TestMemoryUsageLog(UsageLogContract):
    pass


class TestMemoryApply(ApplyContract):
    pass


class TestMemoryIdempotency(IdempotencyContract):
    pass


class TestScriptedModel(ChatModelContract):
    good = slow = "large"

    @pytest.fixture
    def chat(self):
        return ScriptedModel("one", "two", "three")


class TestEchoEmbedder(EmbedderContract):
    good = "echo"

    @pytest.fixture
    def embedder(self):
        return EchoEmbedder()


class TestRecordingSignals(SignalsContract):
    @pytest.fixture
    def signals(self):
        return RecordingSignals()
