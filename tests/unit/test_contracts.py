"""The contracts of the ports, on the fakes: a test that passes on a fake says something about the real part."""

from datetime import UTC, datetime, timedelta

import pytest

from adapters.ai.echo import EchoEmbedder
from adapters.ai.echo_images import EchoImages
from tests.contracts.account_store import AccountStoreContract
from tests.contracts.admin_store import AdminStoreContract
from tests.contracts.apply import ApplyContract
from tests.contracts.blobs import BlobsContract
from tests.contracts.budgets import BudgetsContract
from tests.contracts.chat_model import ChatModelContract
from tests.contracts.embedder import EmbedderContract
from tests.contracts.files import FilesContract
from tests.contracts.idempotency import IdempotencyContract
from tests.contracts.image_jobs import ImageJobsContract
from tests.contracts.image_maker import ImageMakerContract
from tests.contracts.signals import SignalsContract
from tests.contracts.unit_of_work import UnitOfWorkContract
from tests.contracts.usage_log import UsageLogContract
from tests.fakes import FrozenClock, MemoryBegin, RecordingSignals, ScriptedModel
from tests.image_fakes import ScriptedImages
from tests.memory_files import MemoryBlobs


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


class TestMemoryFiles(FilesContract):
    pass


class TestMemoryImageJobs(ImageJobsContract):
    pass


class TestMemoryBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self):
        return MemoryBlobs(FrozenClock(datetime.now(UTC)))

    @pytest.fixture
    def age(self, blobs):
        def older(blob):
            content, at = blobs.kept[blob]
            blobs.kept[blob] = (content, at - timedelta(hours=1))
            return at

        return older


class TestEchoImages(ImageMakerContract):
    good, slow = "echo", "echo"

    @pytest.fixture
    def maker(self):
        return EchoImages()


class TestScriptedImages(ImageMakerContract):
    good = slow = "large"

    @pytest.fixture
    def maker(self):
        return ScriptedImages(MemoryBegin(), 0.5, 1.0)
