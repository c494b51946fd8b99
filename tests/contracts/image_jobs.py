"""What the repository of image jobs does. Provide the fixtures `begin` on an empty store, and `apply`."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.errors import NotFound
from domain.image_job import ImageJob, JobError, JobStatus
from domain.ledger import Kind, State
from domain.provider_errors import UpstreamFailed
from domain.usage import Source, Usage
from tests.builders import NOW, a_settled, an_entry
from tests.contracts.populated import EMOJI, ids

SECOND = timedelta(seconds=1)
LEASE = NOW + 30 * SECOND
LONG_AGO = NOW - 600 * SECOND
USAGE = Usage(input=3, output=4, images=2, source=Source.PROVIDER)


def a_job(number: int = 1, **fields: Any) -> ImageJob:
    given = {
        "id": f"img_{number}",
        "user_id": "usr_1",
        "key_id": "key_1",
        "request_id": f"req_{number}",
        "model": "acme/large",
        "prompt": EMOJI * 500,
        "count": 2,
        "size": "64x64",
        "created_at": NOW,
        "lease_until": LEASE,
    }
    return ImageJob(**{**given, **fields})


def put(begin, *jobs):
    with begin() as work:
        for job in jobs:
            work.image_jobs.add(job)


def get(begin, number=1):
    with begin() as work:
        return work.image_jobs.get(f"img_{number}", "usr_1")


def settle(apply, number, **fields):
    apply([a_settled(request_id=f"req_{number}", entries=(an_entry(request_id=f"req_{number}", **fields),))])


def stale(begin, now, gone=LONG_AGO, limit=9):
    with begin() as work:
        return ids(work.image_jobs.stale(now, gone, limit))


class ImageJobsContract:
    def test_a_job_is_found_as_it_was_stored(self, begin):
        error = JobError("content_filter", EMOJI, "prompt", "acme", retryable=True)
        jobs = [
            a_job(1, size=None),
            a_job(2, status=JobStatus.RUNNING, progress=0.1 + 0.2),
            a_job(3, status=JobStatus.FAILED, ended_at=NOW, error=error),
            a_job(4, status=JobStatus.SUCCEEDED, progress=1.0, ended_at=NOW, usage=USAGE, cost=10**15),
        ]
        put(begin, *jobs)

        assert [get(begin, number) for number in (1, 2, 3, 4)] == jobs

    def test_jobs_of_others_do_not_exist(self, begin):
        put(begin, a_job(), a_job(2, user_id="usr_2"))

        with begin() as work:
            for job_id, user_id in (("img_1", "usr_2"), ("img_2", "usr_1"), ("img_9", "usr_1")):
                with pytest.raises(NotFound):
                    work.image_jobs.get(job_id, user_id)
            assert ids(work.image_jobs.page("usr_2", 9, None)) == ["img_2"]

    def test_pages_follow_each_other_from_the_newest(self, begin):
        put(begin, *(a_job(number) for number in (3, 1, 4, 2)))

        with begin() as work:
            assert ids(work.image_jobs.page("usr_1", 3, None)) == ["img_4", "img_3", "img_2"]
            assert ids(work.image_jobs.page("usr_1", 3, "img_2")) == ["img_1"]

    def test_a_renewal_makes_it_run_and_tells_how_far_it_is(self, begin):
        put(begin, a_job(), a_job(2))
        with begin() as work:
            assert work.image_jobs.renew("img_1", 0.25, LEASE + SECOND)

        assert get(begin) == replace(a_job(), status=JobStatus.RUNNING, progress=0.25, lease_until=LEASE + SECOND)
        assert get(begin, 2) == a_job(2)

    def test_the_same_renewal_again_is_one_as_well(self, begin):
        """Some servers count the rows that they changed, and not those that they found."""
        put(begin, a_job())

        with begin() as work:
            assert [work.image_jobs.renew("img_1", 0.25, LEASE) for _ in range(2)] == [True, True]

    def test_what_is_over_or_gone_cannot_be_renewed(self, begin):
        put(begin, ended := a_job().succeeded(NOW, USAGE, 7))

        with begin() as work:
            assert not work.image_jobs.renew("img_1", 0.5, LEASE)
            assert not work.image_jobs.renew("img_2", 0.5, LEASE)
        assert get(begin) == ended

    def test_the_first_end_counts(self, begin):
        put(begin, a_job(), a_job(2))
        first = a_job().succeeded(NOW, USAGE, 7)
        with begin() as work:
            work.image_jobs.finish(first)
            work.image_jobs.finish(a_job().failed(LEASE, UpstreamFailed()))
            work.image_jobs.finish(a_job(3).failed(LEASE, UpstreamFailed()))

        assert (get(begin), get(begin, 2)) == (first, a_job(2))
        with pytest.raises(NotFound):
            get(begin, 3)

    def test_a_failure_keeps_how_far_it_had_come(self, begin):
        put(begin, running := a_job(status=JobStatus.RUNNING, progress=0.5))
        with begin() as work:
            work.image_jobs.finish(running.failed(NOW, UpstreamFailed("No.", param="prompt", provider="acme")))

        ended = get(begin)
        assert (ended.status, ended.progress, ended.ended_at) == (JobStatus.FAILED, 0.5, NOW)
        assert ended.error == JobError("upstream_error", "No.", "prompt", "acme", retryable=True)

    def test_a_job_whose_call_was_abandoned_is_stale_at_once(self, begin, apply):
        put(begin, a_job(1), a_job(2), a_job(3))
        settle(apply, 1, state=State.ABANDONED)
        settle(apply, 2, state=State.COMPLETED)

        assert stale(begin, NOW) == ["img_1"]

    def test_a_lease_that_has_passed_needs_the_ledgers_word(self, begin, apply):
        put(begin, *(a_job(number) for number in (1, 2, 3)), a_job(4, lease_until=LEASE + 2 * SECOND))
        settle(apply, 1, state=State.COMPLETED)
        settle(apply, 2, state=State.FAILED)
        settle(apply, 4, state=State.FAILED)

        assert stale(begin, LEASE) == []
        assert stale(begin, LEASE + SECOND) == ["img_1", "img_2"]
        assert stale(begin, LEASE + SECOND, limit=1) == ["img_1"]

    def test_an_attempt_is_no_such_word(self, begin, apply):
        put(begin, a_job())
        attempt = an_entry(kind=Kind.ATTEMPT, attempt=1, state=State.ABANDONED)
        apply([a_settled(entries=(attempt,))])

        assert stale(begin, LEASE + SECOND) == []

    def test_a_lease_that_passed_very_long_ago_needs_none(self, begin):
        put(begin, a_job(), a_job(2, lease_until=LEASE + SECOND))

        assert stale(begin, NOW, gone=LEASE + SECOND) == ["img_1"]

    def test_what_is_over_is_not_stale(self, begin, apply):
        put(begin, a_job().succeeded(NOW, USAGE, 7), a_job(2).failed(NOW, UpstreamFailed()))
        for number in (1, 2):
            settle(apply, number, state=State.ABANDONED)

        assert stale(begin, LEASE + SECOND, gone=LEASE + SECOND) == []

    def test_the_settlement_is_the_final_row(self, begin, apply):
        put(begin, a_job())
        attempt = an_entry(kind=Kind.ATTEMPT, attempt=1)
        apply([a_settled(entries=(attempt, final := an_entry(usage=USAGE, charged=9)))])

        with begin() as work:
            assert work.image_jobs.settlement("req_1") == final
            assert work.image_jobs.settlement("req_2") is None

    def test_a_deleted_job_is_gone(self, begin):
        put(begin, a_job(), a_job(2))
        with begin() as work:
            work.image_jobs.delete("img_1")
            work.image_jobs.delete("img_1")

        with begin() as work:
            assert ids(work.image_jobs.page("usr_1", 9, None)) == ["img_2"]

    def test_a_user_who_goes_leaves_none(self, begin):
        put(begin, a_job(), a_job(2, user_id="usr_2"))
        with begin() as work:
            work.image_jobs.forget("usr_1")

        with begin() as work:
            assert work.image_jobs.page("usr_1", 9, None) == []
            assert ids(work.image_jobs.page("usr_2", 9, None)) == ["img_2"]
