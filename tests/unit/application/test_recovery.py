from datetime import timedelta

import pytest

from application.records import Progressed
from application.recovery import abandoned
from domain.ledger import Kind, State
from domain.usage import Price, PriceBook, Source, Usage
from tests.builders import NOW, a_turn, an_opened

PRICES = PriceBook("v1", {"acme/large": Price(input=1_000_000, output=3_000_000)})
LATER = NOW + timedelta(seconds=2.5)


def abandon(*progresses, **fields):
    return abandoned(an_opened(**fields), progresses, LATER, PRICES.cost)


def test_a_lost_generation_has_one_attempt_and_one_final_row_with_the_same_numbers():
    attempt, final = abandon(Progressed("req_1", 30, "")).entries

    assert (attempt.kind, attempt.attempt, final.kind, final.attempt) == (Kind.ATTEMPT, 1, Kind.FINAL, 0)
    assert (attempt.usage, attempt.cost, attempt.charged) == (final.usage, final.cost, final.charged)


def test_usage_is_estimated_from_the_prompt_and_the_last_progress():
    final = abandon(Progressed("req_1", 30, "a"), Progressed("req_1", 70, "b")).entries[1]

    assert final.usage == Usage(input=12, output=70, source=Source.ESTIMATED)
    assert final.state is State.ABANDONED
    assert final.estimate_method == "chars/4"
    assert final.cost == final.charged == 12 + 3 * 70


def test_a_user_who_got_nothing_is_charged_nothing_though_the_provider_may_bill_the_prompt():
    final = abandon().entries[1]

    assert final.usage == Usage(input=12, source=Source.ESTIMATED)
    assert (final.cost, final.charged) == (12, 0)


@pytest.mark.parametrize("progresses", [(), (Progressed("req_1", 30, ""),)])
def test_a_model_without_a_price_stays_without_one(progresses):
    final = abandon(*progresses, model="acme/odd").entries[1]

    assert (final.cost, final.charged) == (None, None)


def test_the_price_is_that_of_the_deployment_and_not_of_the_alias():
    final = abandon(model_requested="fast").entries[1]

    assert (final.model_requested, final.model_used, final.cost) == ("fast", "acme/large", 12)


def test_the_answer_is_the_text_that_had_arrived_and_says_that_it_is_not_complete():
    record = abandon(Progressed("req_1", 1, "Hi "), Progressed("req_1", 2, "the"), turn=a_turn())

    assert (record.answer, record.complete, record.finish_reason, record.lost) == ("Hi the", False, None, True)
    assert record.turn == a_turn()
    assert {entry.session_id for entry in record.entries} == {"sess_1"}
    assert record.ended_at == LATER


def test_a_generation_outside_sessions_has_no_turn():
    assert abandon().turn is None
    assert abandon().entries[1].session_id is None


def test_a_call_for_a_session_that_is_no_turn_of_it_stays_one_of_that_session():
    assert {entry.session_id for entry in abandon(session_id="sess_1").entries} == {"sess_1"}


def test_the_rows_carry_what_was_known_at_the_start():
    final = abandon(streamed=True, price_version="v7").entries[1]

    assert (final.streamed, final.price_version, final.started_at) == (True, "v7", NOW)
    assert final.duration_ms == 2500


def test_a_wall_clock_that_went_back_gives_no_negative_duration():
    assert abandon(started_at=LATER + timedelta(hours=1)).entries[1].duration_ms == 0


def test_images_that_were_ordered_may_be_billed_to_us_and_not_to_the_user():
    prices = PriceBook("v1", {"acme/large": Price(0, 0, image=40)})

    attempt, final = abandoned(an_opened(images=3), (), LATER, prices.cost).entries

    assert (attempt.usage.images, final.usage.images) == (3, 3)
    assert (final.cost, final.charged) == (120, 0)
