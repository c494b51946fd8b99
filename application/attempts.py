"""Counts attempts in SQL, and refuses whoever makes too many."""

from datetime import datetime

from application.identity import network_of
from application.store import UnitOfWork
from domain.errors import RateLimited
from domain.throttle import ACCOUNT, ADDRESS, FORGOTTEN, REGISTRATION, Rule

Counter = tuple[str, Rule]


def account(email: str) -> Counter:
    """Guesses at one account, or at an address that has none."""
    return f"login:{email}", ACCOUNT


def proof(user_id: str) -> Counter:
    """Guesses of somebody who is logged in: strangers who guess at the account do not keep its user from proving."""
    return f"proof:{user_id}", ACCOUNT


def visitor(ip: str) -> Counter:
    """Logins from one network, whoever they are for."""
    return f"ip:{network_of(ip)}", ADDRESS


def registration(ip: str) -> Counter:
    return f"register:{network_of(ip)}", REGISTRATION


def forgotten(ip: str) -> Counter:
    return f"forgot:{network_of(ip)}", FORGOTTEN


def reset(ip: str) -> Counter:
    """Not that of logins: whoever is kept from logging in can still set a new password."""
    return f"reset:{network_of(ip)}", FORGOTTEN


def code(user_id: str) -> Counter:
    """Guesses at the first code of a second factor."""
    return f"factor:{user_id}", ACCOUNT


def count(work: UnitOfWork, now: datetime, *counters: Counter) -> int:
    """Count an attempt until one of `counters` refuses it: 0, or the seconds to wait, for `refuse`."""
    for key, rule in counters:
        if wait := work.throttles.hit(key, rule, now):
            return wait
    return 0


def refuse(wait: int) -> None:
    """Raises RateLimited. Call it when the transaction is over, which else would forget the attempt."""
    if wait:
        raise RateLimited(f"Too many attempts. Try again in {wait} s.", retry_after=wait)


def refund(work: UnitOfWork, counter: Counter) -> None:
    """The attempt was a good one, and takes back nothing but itself: others count by the same counter."""
    work.throttles.refund(counter[0])


def forget(work: UnitOfWork, counter: Counter) -> None:
    """The attempt was a good one."""
    work.throttles.clear(counter[0])
