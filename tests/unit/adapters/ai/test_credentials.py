"""Whose turn it is, and who rests."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ai.breakers import Breaking
from adapters.ai.credentials import Credential, Credentials, Lease
from application.facts import CredentialChanged
from domain.errors import CircuitOpen, InvalidRequest
from domain.provider_errors import (
    ContentFiltered,
    ContextLengthExceeded,
    MaxOutputExceeded,
    UpstreamAuth,
    UpstreamConnectTimeout,
    UpstreamFailed,
    UpstreamForbidden,
    UpstreamIdleTimeout,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamTotalTimeout,
    UpstreamUnreachable,
)
from tests.fakes import FrozenClock, RecordingRecorder

FAILURES = [UpstreamFailed, UpstreamTimeout, UpstreamIdleTimeout, UpstreamReset, UpstreamUnreachable]
FAILURES += [UpstreamConnectTimeout]
HARMLESS = [UpstreamRejected, ContextLengthExceeded, ContentFiltered, UpstreamTotalTimeout, MaxOutputExceeded]


class Scene:
    def __init__(self, *weights: int) -> None:
        self.clock, self.record = FrozenClock(), RecordingRecorder()
        given = [Credential(f"sk-{number}", weight) for number, weight in enumerate(weights or (1,))]
        self.credentials = Credentials("acme", given, Breaking(), self.clock.monotonic, self.record)

    def lease(self, model: str = "large") -> Lease:
        lease = self.credentials.lease(model)
        assert lease is not None
        return lease

    def fail(self, error: Exception, model: str = "large", times: int = 1) -> None:
        for _ in range(times):
            self.lease(model).failed(error)

    def succeed(self, model: str = "large", seconds: float = 0.1) -> int:
        lease = self.lease(model)
        lease.heard(seconds)
        lease.succeeded()
        return lease.at

    def rests(self) -> list[tuple[str, str, str, float]]:
        return [(rest.credential, rest.model, rest.state, rest.seconds) for rest in self.credentials.rests()]


# ── turns ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_turns_are_taken_smoothly_by_weight():
    scene = Scene(5, 1, 1)

    assert [scene.succeed() for _ in range(7)] == [0, 0, 1, 0, 2, 0, 0]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_in_a_whole_round_each_has_as_many_turns_as_its_weight(weights):
    scene = Scene(*weights)
    turns = Counter(scene.succeed() for _ in range(sum(weights)))

    assert [turns[at] for at in range(len(weights))] == weights


def test_who_rests_is_skipped_and_its_turns_go_to_the_others():
    scene = Scene(1, 1, 1)
    scene.fail(UpstreamRateLimited(retry_after=5))

    assert {scene.succeed() for _ in range(6)} == {1, 2}
    scene.clock.advance(5)
    assert {scene.succeed() for _ in range(6)} == {0, 1, 2}


def test_who_is_to_be_avoided_is_taken_only_when_there_is_nobody_else():
    scene = Scene(1, 1)

    assert [lease.at for _ in range(4) if (lease := scene.credentials.lease("large", avoid=0))] == [1] * 4
    lone = Scene().credentials.lease("large", avoid=0)
    assert lone is not None
    assert lone.at == 0


def test_the_same_affinity_gets_the_same_credential_as_long_as_that_may_be_called():
    scene = Scene(1, 1, 1)

    def chosen(avoid=None):
        lease = scene.credentials.lease("large", avoid, "sess_1")
        assert lease is not None
        return lease.at

    own = chosen()
    assert {chosen() for _ in range(9)} == {own}
    assert chosen(avoid=own) != own
    while (lease := scene.lease()).at != own:
        lease.succeeded()
    lease.failed(UpstreamRateLimited(retry_after=5))
    (other,) = {chosen() for _ in range(9)}
    assert other != own
    scene.clock.advance(5)
    assert chosen() == own


def test_many_affinities_share_the_credentials_by_weight():
    scene = Scene(3, 1)
    turns = Counter(lease.at for n in range(1000) if (lease := scene.credentials.lease("large", None, f"sess_{n}")))

    assert 700 < turns[0] < 800


# ── credentials that are refused ─────────────────────────────────────────────────────────────────────────────────


def test_one_that_is_refused_rests_for_all_models():
    scene = Scene(1, 1)
    scene.fail(UpstreamAuth())

    assert {scene.succeed(model) for model in ("large", "small", "huge")} == {1}
    assert scene.rests() == [("#1", "*", "refused", 60)]


def test_one_that_may_not_use_a_model_rests_for_that_model_alone():
    scene = Scene()
    scene.fail(UpstreamForbidden())

    assert scene.credentials.lease("large") is None
    assert scene.succeed("small") == 0
    assert scene.rests() == [("#1", "large", "refused", 60)]


@pytest.mark.parametrize("error", [UpstreamAuth, UpstreamForbidden])
def test_the_rest_doubles_from_a_minute_to_ten_and_the_next_real_call_is_the_probe(error):
    scene, rests = Scene(), []
    for _ in range(6):
        scene.fail(error())
        rests.append(scene.credentials.wait("large"))
        scene.clock.advance(rests[-1])

    assert rests == [60, 120, 240, 480, 600, 600]
    scene.succeed()
    assert scene.rests() == []
    scene.fail(error())
    assert scene.credentials.wait("large") == 60, "a success ends it all"


def test_many_refusals_at_once_count_as_one():
    scene = Scene()
    leases = [scene.lease() for _ in range(20)]
    for lease in leases:
        lease.failed(UpstreamAuth())

    assert scene.credentials.wait("large") == 60


# ── rate limits ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("asked", "seconds"), [(None, 1), (0, 1), (1, 1), (37, 37), (120, 120), (3_600, 120)])
def test_one_that_is_limited_rests_for_as_long_as_the_provider_says_within_reason(asked, seconds):
    scene = Scene()
    scene.fail(UpstreamRateLimited(retry_after=asked))

    assert scene.credentials.wait("large") == seconds
    assert scene.credentials.wait("small") == 0, "limits are per model"
    assert scene.rests() == [("#1", "large", "limited", seconds)]
    scene.clock.advance(seconds)
    assert scene.credentials.wait("large") == 0
    assert scene.rests() == []


def test_a_shorter_limit_does_not_end_a_longer_one():
    scene = Scene()
    first, second = scene.lease(), scene.lease()
    first.failed(UpstreamRateLimited(retry_after=30))
    second.failed(UpstreamRateLimited(retry_after=2))

    assert scene.credentials.wait("large") == 30


def test_a_success_does_not_end_a_limit():
    scene = Scene()
    limited, running = scene.lease(), scene.lease()
    limited.failed(UpstreamRateLimited(retry_after=30))
    running.heard(0.1)
    running.succeeded()

    assert scene.credentials.wait("large") == 30


# ── the breaker ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("error", FAILURES)
def test_five_failures_in_a_row_open_the_breaker_of_that_credential_and_model(error):
    scene = Scene()
    scene.fail(error(), times=4)
    assert scene.credentials.wait("large") == 0
    scene.fail(error())

    assert scene.credentials.lease("large") is None
    assert scene.rests() == [("#1", "large", "open", 10)]
    assert scene.succeed("small") == 0


@pytest.mark.parametrize("error", [*HARMLESS, InvalidRequest, KeyboardInterrupt])
def test_what_is_not_the_providers_failure_counts_for_nothing(error):
    scene = Scene()
    scene.fail(error(), times=20)

    assert scene.credentials.wait("large") == 0
    assert scene.rests() == []


def test_one_probe_decides_and_others_wait_for_it():
    scene = Scene()
    scene.fail(UpstreamFailed(), times=5)
    scene.clock.advance(10)
    probe = scene.lease()
    assert scene.credentials.lease("large") is None
    assert scene.rests() == [("#1", "large", "half_open", 1)]

    probe.failed(InvalidRequest())
    assert scene.rests() == [("#1", "large", "half_open", 0)]
    scene.fail(UpstreamFailed())
    assert scene.credentials.wait("large") == 20

    scene.clock.advance(20)
    scene.succeed()
    assert scene.rests() == []


def test_a_stream_that_answers_closes_it_before_it_ends_and_opens_it_again_when_it_breaks_off():
    scene = Scene()
    scene.fail(UpstreamFailed(), times=5)
    scene.clock.advance(10)
    probe = scene.lease()
    probe.heard(0.2)
    assert scene.credentials.wait("large") == 0

    probe.failed(UpstreamReset())
    assert scene.credentials.wait("large") == 20


# ── why nobody may be called ─────────────────────────────────────────────────────────────────────────────────────


def test_when_all_are_refused_it_is_the_credentials():
    scene = Scene(1, 1)
    scene.fail(UpstreamAuth())
    scene.fail(UpstreamForbidden())

    error = scene.credentials.refusal("large")
    assert (type(error), error.provider) == (UpstreamAuth, "acme")


def test_when_those_that_are_left_are_limited_it_is_the_limit_with_the_shortest_wait():
    scene = Scene(1, 1, 1)
    scene.fail(UpstreamAuth())
    scene.fail(UpstreamRateLimited(retry_after=9))
    scene.fail(UpstreamRateLimited(retry_after=4))

    error = scene.credentials.refusal("large")
    assert (type(error), error.retry_after) == (UpstreamRateLimited, 4)


def test_otherwise_the_circuit_is_open_with_the_shortest_wait():
    scene = Scene(1, 1)
    scene.fail(UpstreamFailed(), times=10)
    scene.clock.advance(2.5)

    error = scene.credentials.refusal("large")
    assert (type(error), error.retry_after, error.provider) == (CircuitOpen, 8, "acme")


# ── latency ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_latency_is_an_average_that_forgets():
    scene = Scene()
    assert scene.credentials.latency("large") is None
    scene.succeed(seconds=1.0)
    assert scene.credentials.latency("large") == 1.0

    for _ in range(20):
        scene.succeed(seconds=0.1)

    assert scene.credentials.latency("large") == pytest.approx(0.1, abs=0.01)


# ── facts, and memory ────────────────────────────────────────────────────────────────────────────────────────────


def test_what_opens_and_what_works_again_is_recorded_once():
    scene = Scene()
    scene.fail(UpstreamFailed(), times=5)
    scene.clock.advance(10)
    scene.succeed()
    scene.succeed()
    scene.fail(UpstreamAuth())

    assert scene.record.of(CredentialChanged) == [
        CredentialChanged("acme", "#1", "large", "open", 10, "upstream_error"),
        CredentialChanged("acme", "#1", "large", "closed", 0, ""),
        CredentialChanged("acme", "#1", "*", "refused", 60, "upstream_auth"),
    ]


def test_names_that_clients_make_up_do_not_fill_the_memory():
    scene = Scene(1, 1)
    for number in range(3_000):
        scene.fail(UpstreamFailed(), model=f"made-up-{number}")
        scene.succeed(model=f"also-{number}")

    assert len(scene.credentials._ways) <= 1_024
    assert len(scene.credentials._latencies) <= 512


def test_what_is_over_is_forgotten():
    scene = Scene()
    scene.fail(UpstreamFailed(), times=5)
    scene.clock.advance(10)
    scene.succeed()

    assert not scene.credentials._ways


def test_a_secret_is_not_shown():
    assert "sk-1" not in repr(Credential("sk-1"))
