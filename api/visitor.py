"""What a request tells about whoever sent it, credential apart."""

from flask import request

from domain.mail import Locale

_AGENT_LENGTH = 200


def visitor_ip() -> str:
    """Empty behind a proxy that is not trusted to tell, on a unix socket."""
    return request.remote_addr or ""


def visitor_agent() -> str:
    """The browser or program, as it calls itself: good enough to recognise one's own logins."""
    agent = request.headers.get("User-Agent", "")[:_AGENT_LENGTH]
    return "".join(char for char in agent if char.isprintable())


def visitor_locale() -> Locale:
    """The one of our languages that the browser's user reads best, whatever the country."""
    for language in request.accept_languages.values():
        name = language.lower().partition("-")[0]
        if name in set(Locale):
            return Locale(name)
    return Locale.EN
