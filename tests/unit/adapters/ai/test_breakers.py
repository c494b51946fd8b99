from adapters.ai.breakers import Breaking, Circuit
from tests.fakes import FrozenClock

RULE = Breaking(failures=3, first=10, longest=30)


class Scene:
    def __init__(self, rule: Breaking = RULE) -> None:
        self.clock = FrozenClock()
        self.circuit = Circuit(rule, self.clock.monotonic)

    def fail(self, times: int = 1) -> list[bool]:
        return [self.circuit.failed("upstream_error") for _ in range(times)]

    def probe(self, *, fails: bool) -> None:
        """Wait for the next moment when a call is allowed, and make it."""
        self.clock.advance(self.circuit.wait())
        assert self.circuit.enter()
        self.circuit.leave()
        if fails:
            self.fail()
        else:
            self.circuit.answered()
            self.circuit.succeeded()


def test_it_opens_after_so_many_failures_in_a_row_and_says_so_once():
    scene = Scene()

    assert scene.fail(3) == [False, False, True]
    assert (scene.circuit.is_open, scene.circuit.wait(), scene.circuit.reason) == (True, 10, "upstream_error")


def test_a_success_in_between_begins_the_count_anew():
    scene = Scene()
    scene.fail(2)
    scene.circuit.succeeded()
    scene.fail(2)

    assert not scene.circuit.is_open
    assert scene.circuit.wait() == 0


def test_calls_that_had_begun_before_it_opened_do_not_make_it_longer():
    scene = Scene()
    scene.fail(3)
    scene.clock.advance(4)

    assert scene.fail(40) == [False] * 40
    assert scene.circuit.wait() == 6


def test_a_failed_probe_doubles_the_rest_up_to_the_longest():
    scene = Scene()
    scene.fail(3)
    rests = [scene.circuit.wait()]
    for _ in range(3):
        scene.probe(fails=True)
        rests.append(scene.circuit.wait())

    assert rests == [10, 20, 30, 30]


def test_an_outage_of_a_minute_costs_three_probes():
    scene, probes = Scene(Breaking()), 0
    scene.fail(5)
    while scene.clock.monotonic() < 1_060:
        if scene.circuit.wait() == 0:
            probes += 1
            scene.probe(fails=True)
        scene.clock.advance(0.5)

    assert probes <= 3


def test_a_probe_that_succeeds_closes_it_and_the_next_rest_is_short_again():
    scene = Scene()
    scene.fail(3)
    scene.probe(fails=True)
    scene.probe(fails=False)
    assert not scene.circuit.is_open
    assert scene.circuit.is_clean

    scene.fail(3)
    assert scene.circuit.wait() == 10


def test_one_probe_at_a_time():
    scene = Scene()
    scene.fail(3)
    scene.clock.advance(10)
    assert scene.circuit.wait() == 0

    assert scene.circuit.enter()
    assert scene.circuit.is_probed
    assert scene.circuit.wait() == 1

    scene.circuit.leave()
    assert scene.circuit.wait() == 0, "a probe that told nothing lets the next one in"


def test_a_call_through_a_closed_one_is_no_probe():
    assert Scene().circuit.enter() is False


def test_who_answers_and_then_breaks_off_is_open_again_at_once():
    scene = Scene()
    scene.fail(3)
    scene.clock.advance(10)
    scene.circuit.enter()
    scene.circuit.leave()
    scene.circuit.answered()
    assert scene.circuit.wait() == 0

    assert scene.fail() == [True]
    assert scene.circuit.wait() == 20
