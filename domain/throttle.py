"""Slowing down whoever guesses: counters of attempts, and the waits that grow with them."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Rule:
    """`free` attempts per `window`; each further one waits twice as long as the one before, from `first` to `longest`.

    Nobody is locked out for ever: when `longest` has passed without an attempt, the count starts anew.
    """

    free: int
    window: timedelta
    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=15)


ACCOUNT = Rule(free=5, window=timedelta(minutes=15))
"""Per account, or per address typed where there is no such account."""
ADDRESS = Rule(free=30, window=timedelta(minutes=5), first=timedelta(minutes=1), longest=timedelta(minutes=5))
"""Per IPv4 address or IPv6 /64."""
REGISTRATION = Rule(free=10, window=timedelta(hours=1), first=timedelta(minutes=1))
FORGOTTEN = Rule(free=10, window=timedelta(minutes=15), first=timedelta(minutes=1))
KEY_GUESS = Rule(free=20, window=timedelta(minutes=1), first=timedelta(minutes=1), longest=timedelta(minutes=1))


@dataclass(frozen=True, slots=True)
class Throttle:
    """The attempts at one thing: `count` since `since`, and until when the next one is refused."""

    count: int
    since: datetime
    blocked_until: datetime

    def wait(self, now: datetime) -> int:
        """Whole seconds until the next attempt is allowed, 0 when it is. Never longer than the rule allows."""
        left = self.blocked_until - now
        return max(0, -(-left // timedelta(seconds=1)))

    def hit(self, rule: Rule, now: datetime) -> "Throttle":
        """After one more attempt that was allowed."""
        if not self.since <= now < max(self.since + rule.window, self.blocked_until + rule.longest):
            return begin(rule, now)
        count = self.count + 1
        beyond = count - rule.free
        if beyond < 0:
            return replace(self, count=count)
        pause = min(rule.longest, rule.first * 2 ** min(beyond, 20))
        return replace(self, count=count, blocked_until=now + pause)


def begin(rule: Rule, now: datetime) -> Throttle:
    """The first attempt."""
    return Throttle(1, now, now + rule.first if rule.free <= 1 else now)
