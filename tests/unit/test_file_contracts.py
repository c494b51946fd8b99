"""The contracts of files, image jobs, blobs and makers of images, on the fakes and on what needs no server."""

from datetime import UTC, datetime, timedelta

import pytest

from adapters.ai.echo_images import EchoImages
from tests.contracts.blobs import BlobsContract
from tests.contracts.files import FilesContract
from tests.contracts.image_jobs import ImageJobsContract
from tests.contracts.image_maker import ImageMakerContract
from tests.fakes import FrozenClock, MemoryBegin
from tests.image_fakes import ScriptedImages
from tests.memory_files import MemoryBlobs


@pytest.fixture
def begin():
    return MemoryBegin()


@pytest.fixture
def apply(begin):
    return begin.apply


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
