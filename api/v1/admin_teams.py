"""`/admin/teams`: who shares keys and budgets."""

from functools import partial
from operator import attrgetter
from typing import Any

from dependency_injector.wiring import Provide, inject

from api.actor import current_actor
from api.answer import Answer, empty_answer
from api.auth import current_principal, requires
from api.v1.account_schemas import MemberIn
from api.v1.admin_schemas import AdminTeamDetailOut, AdminTeamIn, AdminTeamOut, AdminTeamPageOut
from api.v1.blueprint import Blueprint
from api.v1.documentation import NO_CONTENT, or_conflict
from api.v1.paging import page
from api.v1.schemas import PageIn
from application.team_admin import TeamAdmin
from domain.team import Membership, Team, TeamRole
from domain.user import Scope

blueprint = Blueprint("admin_teams", __name__, "Administration of teams")

_TAKEN = or_conflict("The name is taken")


@blueprint.route("/admin/teams", methods=["GET"])
@blueprint.arguments(PageIn, location="query")
@blueprint.response(200, AdminTeamPageOut)
@blueprint.doc(operationId="adminListTeams")
@requires(Scope.ADMIN)
@inject
def list_teams(query: dict[str, Any], teams: TeamAdmin = Provide["team_admin"]) -> dict[str, Any]:
    """List all teams, newest first."""
    read = partial(teams.page, current_principal(), before=query["cursor"])
    return page(read, query["limit"], attrgetter("id"))


@blueprint.route("/admin/teams", methods=["POST"])
@blueprint.arguments(AdminTeamIn)
@blueprint.response(201, AdminTeamDetailOut)
@blueprint.doc(operationId="adminCreateTeam", **_TAKEN)
@requires(Scope.ADMIN)
@inject
def create_team(body: dict[str, str], teams: TeamAdmin = Provide["team_admin"]) -> dict[str, Any]:
    """Make a team, with nobody in it."""
    team = teams.create(current_principal(), body["name"], current_actor())
    return _detail(team, [])


@blueprint.route("/admin/teams/<team_id>", methods=["GET"])
@blueprint.response(200, AdminTeamDetailOut)
@blueprint.doc(operationId="adminGetTeam")
@requires(Scope.ADMIN)
@inject
def get_team(team_id: str, teams: TeamAdmin = Provide["team_admin"]) -> dict[str, Any]:
    """Read a team with its members."""
    return _detail(*teams.get(current_principal(), team_id))


@blueprint.route("/admin/teams/<team_id>", methods=["PATCH"])
@blueprint.arguments(AdminTeamIn)
@blueprint.response(200, AdminTeamOut)
@blueprint.doc(operationId="adminRenameTeam", **_TAKEN)
@requires(Scope.ADMIN)
@inject
def rename_team(body: dict[str, str], team_id: str, teams: TeamAdmin = Provide["team_admin"]) -> Team:
    """Give a team another name."""
    return teams.rename(current_principal(), team_id, body["name"], current_actor())


@blueprint.route("/admin/teams/<team_id>", methods=["DELETE"])
@blueprint.doc(operationId="adminDeleteTeam", **NO_CONTENT)
@requires(Scope.ADMIN)
@inject
def delete_team(team_id: str, teams: TeamAdmin = Provide["team_admin"]) -> Answer:
    """Delete a team and its limits, and revoke its keys."""
    teams.delete(current_principal(), team_id, current_actor())
    return empty_answer()


@blueprint.route("/admin/teams/<team_id>/members/<user_id>", methods=["PUT"])
@blueprint.arguments(MemberIn)
@blueprint.response(200, AdminTeamDetailOut)
@blueprint.doc(operationId="adminPutTeamMember")
@requires(Scope.ADMIN)
@inject
def put_member(
    body: dict[str, TeamRole], team_id: str, user_id: str, teams: TeamAdmin = Provide["team_admin"]
) -> dict[str, Any]:
    """Add a user to a team, or change a member's role; answers with the team."""
    caller = current_principal()
    teams.put_member(caller, Membership(team_id, user_id, body["role"]), current_actor())
    return _detail(*teams.get(caller, team_id))


@blueprint.route("/admin/teams/<team_id>/members/<user_id>", methods=["DELETE"])
@blueprint.doc(operationId="adminRemoveTeamMember", **NO_CONTENT)
@requires(Scope.ADMIN)
@inject
def remove_member(team_id: str, user_id: str, teams: TeamAdmin = Provide["team_admin"]) -> Answer:
    """Take a user out of a team; team keys that the user made go on in the caller's name."""
    teams.remove_member(current_principal(), team_id, user_id, current_actor())
    return empty_answer()


def _detail(team: Team, members: list[Any]) -> dict[str, Any]:
    return {"id": team.id, "name": team.name, "created_at": team.created_at, "members": members}
