"""What every Signals does."""

from application.ports import Signals


class SignalsContract:
    """Subclass it with the fixture `signals`."""

    def test_every_listener_hears_a_wish_before_publish_returns(self, signals: Signals):
        first: list[str] = []
        second: list[str] = []
        signals.listen(first.append)
        signals.listen(second.append)

        signals.publish("req_1")

        assert "req_1" in first
        assert "req_1" in second

    def test_a_wish_that_nobody_hears_is_lost_quietly(self, signals: Signals):
        signals.publish("req_1")
