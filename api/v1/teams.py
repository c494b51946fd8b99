"""`/teams`: those that one is in, and their members."""

from typing import Any

from dependency_injector.wiring import Provide, inject

from api.actor import current_actor
from api.answer import Answer, empty_answer
from api.auth import AUTHENTICATED, LOGIN, current_principal, requires
from api.v1.account_schemas import MemberIn, MemberListOut, TeamListOut
from api.v1.blueprint import Blueprint
from api.v1.documentation import NO_CONTENT, or_conflict
from application.teams import TeamService
from domain.team import Membership
from domain.user import Scope

blueprint = Blueprint("teams", __name__, "Teams and their members")


@blueprint.route("/teams", methods=["GET"])
@blueprint.response(200, TeamListOut)
@blueprint.doc(operationId="listTeams")
@requires(AUTHENTICATED)
@inject
def list_teams(teams: TeamService = Provide["teams"]) -> dict[str, Any]:
    """List the teams that one is in, by name."""
    mine = teams.mine(current_principal())
    shown = [{"id": it.id, "name": it.name, "role": role, "created_at": it.created_at} for it, role in mine]
    return {"data": shown}


@blueprint.route("/teams/<team_id>/members", methods=["GET"])
@blueprint.response(200, MemberListOut)
@blueprint.doc(operationId="listMembers")
@requires(Scope.KEYS)
@inject
def list_members(team_id: str, teams: TeamService = Provide["teams"]) -> dict[str, Any]:
    """List who is in a team that one is in, too."""
    return {"data": teams.members(current_principal(), team_id)}


@blueprint.route("/teams/<team_id>/members/<user_id>", methods=["PUT"])
@blueprint.arguments(MemberIn)
@blueprint.doc(operationId="putMember", **or_conflict("The last lead cannot step down", NO_CONTENT))
@requires(LOGIN)
@inject
def put_member(seat: dict[str, Any], team_id: str, user_id: str, teams: TeamService = Provide["teams"]) -> Answer:
    """Take somebody into a team that one leads, or change their role in it."""
    teams.put_member(current_principal(), Membership(team_id, user_id, seat["role"]), current_actor())
    return empty_answer()


@blueprint.route("/teams/<team_id>/members/<user_id>", methods=["DELETE"])
@blueprint.doc(operationId="removeMember", **or_conflict("The last lead cannot leave", NO_CONTENT))
@requires(LOGIN)
@inject
def remove_member(team_id: str, user_id: str, teams: TeamService = Provide["teams"]) -> Answer:
    """Take somebody out of a team that one leads, or leave it."""
    teams.remove_member(current_principal(), team_id, user_id, current_actor())
    return empty_answer()
