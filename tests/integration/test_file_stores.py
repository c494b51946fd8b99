"""The contracts of files and image jobs, on every server that Parley runs on."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from tests.builders import NOW
from tests.contracts.files import FilesContract
from tests.contracts.image_jobs import ImageJobsContract, a_job, put


class TestFiles(FilesContract):
    pass


class TestImageJobs(ImageJobsContract):
    def test_one_of_many_ends_is_stored_however_they_race(self, begin):
        put(begin, a_job())

        def end(number):
            with begin() as work:
                work.image_jobs.finish(a_job().succeeded(NOW + timedelta(seconds=number), None, number))
                return work.image_jobs.get("img_1", "usr_1").cost

        with ThreadPoolExecutor(4) as pool:
            found = set(pool.map(end, range(1, 9)))

        with begin() as work:
            final = work.image_jobs.get("img_1", "usr_1").cost
        assert final in found
