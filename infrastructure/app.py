"""The application factory: the one place where everything meets."""

from ipaddress import ip_network
from typing import Any

from flask import Flask

from api.auth import refuse_undeclared
from api.limits import init_limits
from api.openapi import build_document
from api.v1 import MODULES
from api.wiring import init_api
from infrastructure.configuration import ConfigurationError
from infrastructure.container import Container
from infrastructure.logging import configure_logging
from infrastructure.metrics import init_metrics
from infrastructure.mount import BehindProxy, Prefixed
from infrastructure.redaction import secrets_of
from infrastructure.settings import Settings
from infrastructure.web_settings import WebSettings


def create_app(settings: Settings) -> Flask:
    """Connects to nothing yet: what runs in the background is started by `infrastructure.worker`."""
    container = build_container(settings)
    app = Flask("parley", static_folder=None)
    app.extensions["parley"] = container
    container.prometheus().know(container.models().now.catalog.named())
    container.wire(modules=MODULES, warn_unresolved=True)
    init_api(app)
    limits = settings.limits
    init_limits(
        app,
        counters=container.counters(),
        record=container.record(),
        default_rpm=limits["rpm"],
        shadow=limits["shadow"],
    )
    init_metrics(app, settings.metrics_token, container.prometheus().registry)
    refuse_undeclared(app)
    _mount(app, settings.web)
    return app


def _mount(app: Flask, web: WebSettings) -> None:
    wsgi = app.wsgi_app
    if web.prefix:
        wsgi = Prefixed(wsgi, web.prefix)
    if web.trusted_proxies:
        wsgi = BehindProxy(wsgi, map(ip_network, web.trusted_proxies))
    app.wsgi_app = wsgi  # type: ignore[method-assign] # Flask's documented way


def build_container(settings: Settings) -> Container:
    """Parts are built when they are first asked for, so a command pays only for what it uses."""
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"PARLEY_HOME cannot be {settings.home}: {error.strerror}.") from None
    configure_logging(secrets_of(settings))
    return Container(settings=settings)


def container_of(app: Any) -> Container:
    container: Container = app.extensions["parley"]
    return container


def openapi_document(app: Flask) -> dict[str, Any]:
    return build_document(app)
