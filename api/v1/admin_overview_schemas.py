"""The shapes of everybody's usage and records, of the audit log, and of the state of the workers."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import marshmallow as ma
from marshmallow import validate

from api.v1.blueprint import Output, Strict
from api.v1.fields import Money, Time, Word, note
from api.v1.schemas import PageIn
from api.v1.usage_schemas import RecordOut, TotalOut
from application.store import GroupBy
from domain.ledger import State

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_GROUPS = validate.OneOf([str(it) for it in GroupBy])


class Day(ma.fields.Date):
    """`2026-11-21`; Python would also take weeks and days without hyphens."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> date:
        if not isinstance(value, str) or not _DAY.fullmatch(value):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
        day: date = super()._deserialize(value, attr, data, **kwargs)
        return day


class UseFilterIn(Strict):
    since = Day(load_default=None, metadata=note("The first day that counts, in UTC."))
    until = Day(load_default=None, metadata=note("The last day that counts, in UTC."))
    user_id = Word(64, load_default=None)
    team_id = Word(64, load_default=None)
    key_id = Word(64, load_default=None)
    model = Word(200, load_default=None, metadata=note("`provider/model`"))


class UseIn(UseFilterIn):
    by = ma.fields.String(load_default=GroupBy.DAY, validate=_GROUPS)


class UseGroupOut(Output):
    group = ma.fields.String(
        required=True, metadata=note("A day, a model, or the id of a user, team or key; empty: keys without a team.")
    )
    total = ma.fields.Nested(TotalOut, required=True)


class UseOut(Output):
    """Days in their order, everything else with the most costly first."""

    by = ma.fields.String(required=True, validate=_GROUPS)
    data = ma.fields.List(ma.fields.Nested(UseGroupOut), required=True)


class AdminRecordPageIn(UseFilterIn, PageIn):
    state = ma.fields.String(load_default=None, validate=validate.OneOf([str(state) for state in State]))


class AdminRecordOut(RecordOut):
    user_id = ma.fields.String(required=True)
    provider = ma.fields.String(required=True)
    provider_cost = Money(
        required=True, allow_none=True, attribute="cost", metadata=note("What the provider bills; null is unknown.")
    )


class AdminRecordPageOut(Output):
    data = ma.fields.List(ma.fields.Nested(AdminRecordOut), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class AuditPageIn(PageIn):
    action = Word(64, load_default=None, metadata=note("`key.revoke`; `key` is every action on keys."))
    user_id = Word(64, load_default=None, metadata=note("Who did it."))


class AuditEntryOut(Output):
    id = ma.fields.String(required=True)
    at = Time(required=True)
    action = ma.fields.String(required=True, metadata={"example": "key.revoke"})
    object_id = ma.fields.String(required=True)
    user_id = ma.fields.String(
        required=True, allow_none=True, attribute="actor.user_id", metadata=note("Null: a command on the server.")
    )
    key_id = ma.fields.String(
        required=True, allow_none=True, attribute="actor.key_id", metadata=note("The key or login that was used.")
    )
    ip = ma.fields.String(required=True, attribute="actor.ip")
    request_id = ma.fields.String(required=True, attribute="actor.request_id")
    before = ma.fields.Dict(required=True, metadata=note("The fields that changed; money is in nano-units."))
    after = ma.fields.Dict(required=True)


class AuditPageOut(Output):
    data = ma.fields.List(ma.fields.Nested(AuditEntryOut), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class WorkerOut(Output):
    id = ma.fields.String(required=True)
    host = ma.fields.String(required=True)
    started_at = Time(required=True)
    seen_at = Time(required=True)
    state = ma.fields.Dict(required=True, metadata=note("What the worker last told of itself."))


class StatusOut(Output):
    workers = ma.fields.List(ma.fields.Nested(WorkerOut), required=True)
    mails_waiting = ma.fields.Integer(required=True)
