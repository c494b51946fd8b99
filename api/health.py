"""Whether to send this process traffic. Unversioned and public: it says nothing about anyone."""

from typing import Any

import flask_smorest
import marshmallow as ma
import orjson
from dependency_injector.wiring import Provide, inject
from marshmallow import validate

from api.answer import Answer, json_answer
from api.auth import PUBLIC, requires
from api.v1.blueprint import Output
from application.health import HealthService


class LiveOut(Output):
    status = ma.fields.String(required=True, validate=validate.OneOf(["ok"]))


class ReadyOut(Output):
    status = ma.fields.String(required=True, validate=validate.OneOf(["ready", "unready"]))
    failed = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String(), required=True)
    degraded = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String(), required=True)
    schema = ma.fields.String(required=True)
    config = ma.fields.String(required=True)


blueprint = flask_smorest.Blueprint("health", __name__, description="Health of this process")


@blueprint.route("/livez", methods=["GET"])
@blueprint.response(200, LiveOut)
@blueprint.doc(operationId="live")
@requires(PUBLIC)
def livez() -> Answer:
    """Answer while the process does; asks nothing of anybody else."""
    return json_answer(b'{"status":"ok"}')


@blueprint.route("/readyz", methods=["GET"])
@blueprint.response(200, ReadyOut)
@blueprint.alt_response(503, schema=ReadyOut, description="Send no requests to this process")
@blueprint.doc(operationId="ready")
@requires(PUBLIC)
@inject
def readyz(health: HealthService = Provide["health"]) -> Answer:
    """Tell whether requests can be served, if need be without what is `degraded`."""
    found = health.ready()
    body: dict[str, Any] = {
        "status": "ready" if found.ready else "unready",
        "failed": found.failed,
        "degraded": found.degraded,
        "schema": found.schema,
        "config": found.config,
    }
    return json_answer(orjson.dumps(body), 200 if found.ready else 503)
