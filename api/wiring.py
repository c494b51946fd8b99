"""Puts the HTTP API into a Flask application. The services are in `app.extensions["parley"]`, by name."""

from flask import Flask

from api import health
from api.answer import init_answers
from api.auth import init_auth, refuse_undeclared
from api.docs import blueprint as docs
from api.errors import init_errors
from api.idempotency import EXTENSION as IDEMPOTENCY
from api.json_body import READ_SECONDS
from api.middleware import init_middleware
from api.openapi import Api, make_api
from api.origin_policy import init_origin_policy
from api.paid import EXTENSION, PaidCalls
from api.v1 import BLUEPRINTS
from api.word import ImageJobId, Word


def init_api(app: Flask) -> Api:
    """The order of the hooks is the order of a request: trace, origin, credential, then whatever is registered later.

    Takes from the container: `clock`, `new_id`, `record`, `origin_policy`, `identity`, `csrf`, `in_flight`,
    `idempotency`, and the seconds `total_seconds`, `send_seconds` and `body_seconds`. The views take theirs by
    injection into `api.v1.MODULES`.
    """
    parts = app.extensions["parley"]
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config[READ_SECONDS] = parts.body_seconds()
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    app.url_map.converters |= {"default": Word, "image_job": ImageJobId}
    init_answers(app)
    init_errors(app)
    init_middleware(app, clock=parts.clock(), new_id=parts.new_id(), record=parts.record())
    init_origin_policy(app, parts.origin_policy())
    init_auth(app, parts.identity(), parts.csrf())
    app.extensions[EXTENSION] = PaidCalls(parts.in_flight(), parts.clock(), parts.total_seconds(), parts.send_seconds())
    app.extensions[IDEMPOTENCY] = parts.idempotency()
    api = make_api(app)
    for blueprint in (*BLUEPRINTS, health.blueprint):
        api.register_blueprint(blueprint)
    app.register_blueprint(docs)
    refuse_undeclared(app)
    return api
