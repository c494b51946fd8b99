from application.health import HealthService
from application.in_flight import InFlight


def a_service(required: str | None = None, optional: str | None = None) -> HealthService:
    return HealthService(
        InFlight(), {"database": lambda: required}, {"redis": lambda: optional}, lambda: "0001", lambda: "c0ffee"
    )


def test_a_process_with_all_it_needs_is_ready():
    found = a_service().ready()

    assert (found.ready, found.failed, found.degraded) == (True, {}, {})
    assert (found.schema, found.config) == ("0001", "c0ffee")


def test_what_is_required_makes_it_unready_and_says_why():
    found = a_service(required="does not answer").ready()

    assert (found.ready, found.failed) == (False, {"database": "does not answer"})


def test_what_is_optional_only_degrades_it():
    found = a_service(optional="breaker open").ready()

    assert (found.ready, found.degraded) == (True, {"redis": "breaker open"})


def test_a_process_that_is_leaving_gets_no_more_traffic():
    service = a_service()
    service.in_flight.draining = True

    found = service.ready()

    assert (found.ready, found.failed) == (False, {"server": "shutting down"})
