"""Who does what the current request does, for the audit log."""

from flask import request

from api.auth import current_principal
from api.trace import current_trace
from domain.audit import Actor


def current_actor() -> Actor:
    """Only for endpoints that are not public."""
    caller = current_principal()
    return Actor(caller.user_id, caller.key_id, request.remote_addr or "", current_trace().request_id)
