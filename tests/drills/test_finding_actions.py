"""What drills catch becomes actions, once; a passed drill closes them, and what comes back opens them again."""

from __future__ import annotations

import datetime as dt

import pytest

from drills.domain.finding_actions import follow_findings, follow_missed_findings
from drills.models import DrillFollowUp, FindingAction
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Notice, Team
from rollbackhub.actions.domain.transitions import close_action
from rollbackhub.actions.enums import ActionState
from rollbackhub.actions.models import Action
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.housekeeping import list_jobs
from rollbackhub.executions.models import Execution
from rollbackhub.registry.models import Artefact
from rollbackhub.routing.models import RoutingPolicy
from tests.databases import FreshDatabase
from tests.factories.accounts import UserFactory
from tests.factories.drills import PlannedDrillFactory
from tests.factories.executions import ExecutionFactory, FindingFactory
from tests.factories.fixtures import Cast, cast, make_cast
from tests.factories.routing import RoutingPolicyFactory
from tests.threads import at_once

__all__ = ["cast"]

GATEWAY = "gateway staging-gateway-1"


@pytest.fixture
def policy(db: None) -> RoutingPolicy:
    found: RoutingPolicy = RoutingPolicyFactory(alias="smart-reasoner")
    return found


def drill(policy: RoutingPolicy, *found: str, passed: bool = False, kind: str = "drill", **values: object) -> Execution:
    """A drill that has ended, with these findings."""
    execution: Execution = ExecutionFactory(policy=policy, kind=kind, **{"passed" if passed else "failed": True}, **values)
    for subject in found:
        FindingFactory(execution=execution, subject=subject, expected="25 %", found="60 %", remedy="Point it at the hub again.")
    return execution


def link() -> FindingAction:
    return FindingAction.objects.select_related("action").get()


def test_housekeeper_follows_findings_soon_and_looks_at_all_now_and_then() -> None:
    every = {job.name: job.every_seconds for job in list_jobs()}
    assert (every["drills.follow_findings"], every["drills.follow_missed_findings"]) == (5, 600)


def test_finding_opens_an_action_of_who_asked_for_the_drill(policy: RoutingPolicy, cast: Cast) -> None:
    execution = drill(policy, GATEWAY, requested_by=cast.on_call)
    assert (follow_findings(), follow_findings()) == (1, 0)
    action = Action.objects.get()
    name = str(execution.pk)[:8]
    assert (action.title, action.owner, action.team) == (
        "Configuration mismatch: gateway staging-gateway-1 (smart-reasoner in staging)",
        cast.on_call,
        policy.artefact.team,
    )
    assert action.detail == "Expected: 25 %\nFound: 60 %\nWhat to do: Point it at the hub again."
    assert (action.origin, action.origin_label, action.origin_url) == ("drill", f"Drill {name} of smart-reasoner in staging", f"/drills/{execution.pk}/")
    assert action.due_on == clock.now().date() + dt.timedelta(days=28)
    assert (link().finding, link().times_seen, link().last_seen_execution) == (execution.findings.get(), 1, execution)
    assert Notice.objects.get().user == cast.on_call
    assert AuditEvent.objects.filter(event="action.opened").count() == 1


def test_high_stakes_are_due_in_a_fortnight_by_the_teams_day(policy: RoutingPolicy, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    Artefact.objects.filter(pk=policy.artefact_id).update(stakes="high")
    Team.objects.update(timezone="Asia/Kolkata")
    execution = drill(policy, GATEWAY)
    monkeypatch.setattr(clock, "now", lambda: dt.datetime(2026, 12, 1, 20, tzinfo=dt.UTC))
    Execution.objects.filter(pk=execution.pk).update(created_at=clock.now())
    follow_findings()
    assert Action.objects.get().due_on == dt.date(2026, 12, 16)


def test_owner_is_the_plans_before_who_asked_and_a_lead_when_there_is_neither(policy: RoutingPolicy, cast: Cast) -> None:
    planned = PlannedDrillFactory(plan__policy=policy, plan__owner=cast.admin, failed=True, execution__requested_by=cast.on_call)
    FindingFactory(execution=planned.execution, subject="planned")
    drill(policy, "by nobody")
    drill(policy, "by a machine", requested_by=UserFactory(responsible=cast.on_call, roles=[Role.ON_CALL]))
    drill(policy, "by somebody who left", requested_by=UserFactory(is_active=False))
    follow_findings()
    owners = {found.subject: found.action.owner for found in FindingAction.objects.select_related("action__owner")}
    assert owners == {"planned": cast.admin, "by nobody": cast.lead, "by a machine": cast.lead, "by somebody who left": cast.lead}


def test_drills_wait_until_there_is_somebody_to_own_an_action(policy: RoutingPolicy) -> None:
    drill(policy)
    drill(policy, GATEWAY)
    drill(policy, passed=True)
    assert (follow_findings(), follow_findings()) == (1, 0)
    lead = UserFactory(roles=[Role.PLATFORM_LEAD])
    assert follow_findings() == 2
    assert (link().action.owner, link().action.state) == (lead, ActionState.DONE)


def test_same_finding_joins_its_open_action(policy: RoutingPolicy, cast: Cast) -> None:
    drill(policy, GATEWAY)
    second = drill(policy, GATEWAY, "another gateway")
    other = drill(RoutingPolicyFactory(alias="other"), GATEWAY)
    follow_findings()
    assert Action.objects.count() == 3
    found = FindingAction.objects.get(policy=policy, subject=GATEWAY)
    assert (found.times_seen, found.last_seen_execution, found.recurrences) == (2, second, 0)
    assert FindingAction.objects.get(policy=other.policy).times_seen == 1


def test_passed_drill_that_no_longer_finds_it_closes_the_action_with_words_and_link(policy: RoutingPolicy, cast: Cast) -> None:
    drill(policy, GATEWAY, "still there")
    failed = drill(policy)
    follow_findings()
    assert Action.objects.filter(state=ActionState.OPEN).count() == 2, f"{failed} failed: it did not go the whole way"
    mended = drill(policy, "still there", passed=True, kind="rehearsal")
    follow_findings()
    found = FindingAction.objects.select_related("action").get(subject=GATEWAY)
    assert (found.action.state, found.closing_execution, found.action.closed_by_label) == (ActionState.DONE, mended, "drill findings")
    assert found.action.closed_reason == f"Rehearsal {str(mended.pk)[:8]} passed and no longer found it: /drills/{mended.pk}/"
    assert FindingAction.objects.get(subject="still there").action.state == ActionState.OPEN
    assert not Notice.objects.filter(key=f"action:{found.action_id}:opened", read_at=None).exists()


def test_finding_that_is_back_opens_its_action_again_and_is_counted(policy: RoutingPolicy, cast: Cast) -> None:
    drill(policy, GATEWAY)
    drill(policy, passed=True)
    back = drill(policy, GATEWAY)
    follow_findings()
    assert (link().action.state, link().recurrences, link().times_seen, link().closing_execution) == (ActionState.OPEN, 1, 2, None)
    reopened = AuditEvent.objects.get(event="action.reopened")
    assert reopened.data["reason"] == f"Drill {str(back.pk)[:8]} found it again: 60 %"


def test_what_a_person_decided_not_to_do_stays_closed_and_is_counted(policy: RoutingPolicy, cast: Cast) -> None:
    drill(policy, GATEWAY)
    follow_findings()
    close_action(action_id=link().action_id, actor=actor_of(cast.lead), user=cast.lead, state=ActionState.NOT_DOING, reason="It goes away.")
    drill(policy, GATEWAY)
    follow_findings()
    assert (link().action.state, link().times_seen, link().recurrences) == (ActionState.NOT_DOING, 2, 0)


@pytest.mark.parametrize("kind", ["rollback", "roll_forward"])
def test_findings_of_production_open_no_actions(policy: RoutingPolicy, cast: Cast, kind: str) -> None:
    FindingFactory(execution=ExecutionFactory(policy=policy, kind=kind, failed=True, decided_at=clock.now()))
    assert (follow_findings(), follow_missed_findings()) == (0, 0)
    assert not Action.objects.exists()


def test_drill_that_runs_or_was_stopped_is_not_followed(policy: RoutingPolicy, cast: Cast) -> None:
    FindingFactory(execution=ExecutionFactory(policy=policy, state="cancelled", finished_at=clock.now()))
    FindingFactory(execution=ExecutionFactory(policy=policy, running=True))
    assert follow_findings() == 0


def test_drill_that_nobody_followed_for_days_is_followed_by_the_thorough_look(policy: RoutingPolicy, cast: Cast) -> None:
    execution = drill(policy, GATEWAY)
    Execution.objects.filter(pk=execution.pk).update(created_at=clock.now() - dt.timedelta(days=9))
    assert (follow_findings(), follow_missed_findings(), follow_missed_findings()) == (0, 1, 0)
    assert link().finding.execution == execution


def test_what_systems_said_with_characters_that_cannot_be_shown_becomes_an_action_and_opens_it_again(policy: RoutingPolicy, cast: Cast) -> None:
    def found(text: str) -> None:
        execution = ExecutionFactory(policy=policy, kind="drill", failed=True)
        FindingFactory(execution=execution, subject="gate\nway", expected="25 %", found=text, remedy="")
        assert follow_findings() == 1

    found("\x1b[31m60 %\u202e")
    action = Action.objects.get()
    assert action.title == "Configuration mismatch: gate way (smart-reasoner in staging)"
    assert action.detail == "Expected: 25 %\nFound:  [31m60 %"
    close_action(action_id=action.pk, actor=actor_of(cast.lead), user=cast.lead)
    found("\x1b[31m70 %")
    action.refresh_from_db()
    assert action.state == ActionState.OPEN
    assert "found it again:  [31m70 %" in AuditEvent.objects.get(event="action.reopened").data["reason"]


def test_findings_of_the_lab_are_marked(policy: RoutingPolicy, cast: Cast) -> None:
    drill(policy, GATEWAY, is_lab=True)
    follow_findings()
    assert Action.objects.get().is_lab


def test_four_who_follow_at_once_count_every_drill_once(fresh_database: FreshDatabase) -> None:
    make_cast()
    policies = [RoutingPolicyFactory(alias=f"alias-{number}") for number in range(3)]
    for _ in range(4):
        for policy in policies:
            drill(policy, GATEWAY)
    results = at_once(4, lambda _: follow_findings())
    assert [result for result in results if not isinstance(result, int)] == []
    assert sum(result for result in results if isinstance(result, int)) == 12 == DrillFollowUp.objects.count()
    assert sorted(FindingAction.objects.values_list("times_seen", flat=True)) == [4, 4, 4]
    assert Action.objects.count() == 3
