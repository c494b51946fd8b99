"""`/auth/oidc`: logging in at an identity provider. These routes are for browsers: two of them answer by redirects."""

from typing import Any
from urllib.parse import quote

from dependency_injector.wiring import Provide, inject
from flask import request

from api import login_cookie
from api.answer import Answer
from api.auth import PUBLIC, requires
from api.v1.account_schemas import OidcOut
from api.v1.blueprint import Blueprint
from api.v1.documentation import OIDC_CALLBACK, OIDC_START
from api.visitor import visitor_agent, visitor_ip
from application.oidc import OidcService
from domain.errors import InvalidCredentials, NotFound, ParleyError

STATE = "__Host-oidc"
SECONDS = 600
"""How long the way to the identity provider and back may take."""

_ENDED = f"{STATE}=; Max-Age=0; {login_cookie.ATTRIBUTES}"
_FOUND, _SEE_OTHER = 302, 303

blueprint = Blueprint("oidc", __name__, "Logging in at an identity provider")


@blueprint.route("/auth/oidc", methods=["GET"])
@blueprint.response(200, OidcOut)
@blueprint.doc(operationId="getOidc")
@requires(PUBLIC)
@inject
def get_oidc(oidc: OidcService | None = Provide["oidc"], label: str = Provide["oidc_label"]) -> dict[str, Any]:
    """Read what the button for it is called."""
    _configured(oidc)
    return {"label": label}


@blueprint.route("/auth/oidc/start", methods=["GET"])
@blueprint.doc(**OIDC_START)
@requires(PUBLIC)
@inject
def start_oidc(oidc: OidcService | None = Provide["oidc"]) -> Answer:
    """Go to the identity provider."""
    address, sealed = _configured(oidc).start()
    return _redirect(_FOUND, address, f"{STATE}={sealed}; Max-Age={SECONDS}; {login_cookie.ATTRIBUTES}")


@blueprint.route("/auth/oidc/callback", methods=["GET"])
@blueprint.doc(**OIDC_CALLBACK)
@requires(PUBLIC)
@inject
def finish_oidc(oidc: OidcService | None = Provide["oidc"], public_url: str = Provide["public_url"]) -> Answer:
    """Come back from the identity provider, logged in."""
    service = _configured(oidc)
    try:
        new = service.finish(*_brought_back(), visitor_ip(), visitor_agent())
    except ParleyError as error:
        return _redirect(_SEE_OTHER, f"{public_url}/login#error={quote(error.code)}", _ENDED)
    return _redirect(_SEE_OTHER, f"{public_url}/", _ENDED, login_cookie.carrying(new.token))


def _configured(oidc: OidcService | None) -> OidcService:
    if oidc is None:
        raise NotFound("There is no identity provider.")
    return oidc


def _brought_back() -> tuple[str, str, str]:
    """Sealed state, state and code. Providers add parameters of their own. Raises InvalidCredentials."""
    sealed, state, code = request.cookies.get(STATE), request.args.get("state"), request.args.get("code")
    if not sealed or not state or not code:
        raise InvalidCredentials
    return sealed, state, code


def _redirect(status: int, address: str, *cookies: str) -> Answer:
    answer = Answer([], status)
    answer.headers.clear()
    answer.headers["Location"] = address
    for cookie in cookies:
        answer.headers.add("Set-Cookie", cookie)
    return answer
