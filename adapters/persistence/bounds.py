"""The limits that a caller is under."""

from sqlalchemy import Connection, bindparam, select

from adapters.persistence.admin_tables import limits
from adapters.persistence.limit_book import limits_from
from domain.limits import Bound, Kind

Subject = tuple[Kind, str]

_EVERYBODY: Subject = (Kind.GLOBAL, "")
_OF_SUBJECTS = select(limits).where(
    limits.c.kind.in_(bindparam("kinds", expanding=True)), limits.c.subject_id.in_(bindparam("ids", expanding=True))
)


def bounds_of(connection: Connection, *subjects: Subject) -> tuple[Bound, ...]:
    """Those of the subjects in their order, then the installation's; only where there are any."""
    wanted = (*subjects, _EVERYBODY)
    values = {"kinds": [kind.value for kind, _ in wanted], "ids": [subject_id for _, subject_id in wanted]}
    rows = connection.execute(_OF_SUBJECTS, values).mappings()
    stored = {(row["kind"], row["subject_id"]): limits_from(row) for row in rows}
    return tuple(Bound(*subject, stored[subject]) for subject in wanted if subject in stored)
