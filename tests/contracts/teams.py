"""What the repository of teams does."""

import pytest

from domain.errors import Conflict
from domain.team import Membership, Team, TeamRole
from tests.builders import NOW, a_user
from tests.contracts.populated import EMOJI, LATER, Populated, ids


class TeamsContract(Populated):
    @pytest.fixture
    def teamed(self, populated):
        """Two users and two teams; the first team has both users and the second team has one."""
        with populated() as work:
            work.users.add(a_user(id="usr_2", email="bob@example.org"))
            work.teams.add(Team("team_1", "red", NOW))
            work.teams.add(Team("team_2", EMOJI, NOW))
            work.teams.put_member(Membership("team_1", "usr_2", TeamRole.MEMBER))
            work.teams.put_member(Membership("team_1", "usr_1", TeamRole.LEAD))
            work.teams.put_member(Membership("team_2", "usr_1", TeamRole.MEMBER))
        return populated

    def test_teams_come_back_as_they_were_stored_newest_first(self, teamed):
        with teamed() as work:
            assert work.teams.get("team_2") == Team("team_2", EMOJI, NOW)
            assert work.teams.get("team_3") is None
            assert ids(work.teams.page(9, None)) == ["team_2", "team_1"]
            assert ids(work.teams.page(1, None)) == ["team_2"]
            assert ids(work.teams.page(1, "team_2")) == ["team_1"]

    def test_a_taken_name_is_a_conflict(self, teamed):
        with pytest.raises(Conflict), teamed() as work:
            work.teams.add(Team("team_3", "red", NOW))
        with pytest.raises(Conflict), teamed() as work:
            work.teams.save(Team("team_2", "red", NOW))

        with teamed() as work:
            work.teams.add(Team("team_3", "Red", NOW))

    def test_saving_changes_the_name_alone(self, teamed):
        with teamed() as work:
            work.teams.save(Team("team_1", "blue", LATER))

        with teamed() as work:
            assert work.teams.get("team_1") == Team("team_1", "blue", NOW)

    def test_members_are_found_by_team_and_by_user(self, teamed):
        lead, member = Membership("team_1", "usr_1", TeamRole.LEAD), Membership("team_1", "usr_2", TeamRole.MEMBER)
        with teamed() as work:
            assert work.teams.members("team_1") == [lead, member]
            assert work.teams.of_user("usr_1") == [lead, Membership("team_2", "usr_1", TeamRole.MEMBER)]
            assert work.teams.of_user("usr_3") == work.teams.members("team_3") == []

    def test_a_member_changes_the_role_and_leaves(self, teamed):
        with teamed() as work:
            work.teams.put_member(Membership("team_1", "usr_2", TeamRole.LEAD))
            assert work.teams.remove_member("team_1", "usr_1")
            assert not work.teams.remove_member("team_1", "usr_1")

        with teamed() as work:
            assert work.teams.members("team_1") == [Membership("team_1", "usr_2", TeamRole.LEAD)]
            assert len(work.teams.of_user("usr_1")) == 1

    def test_a_deleted_team_has_no_members(self, teamed):
        with teamed() as work:
            work.teams.delete("team_1")

        with teamed() as work:
            assert ids(work.teams.page(9, None)) == ["team_2"]
            assert work.teams.members("team_1") == work.teams.of_user("usr_2") == []
