"""What becomes of planned drills: started once, caught up, overdue, missed, settled, excused; whoever keeps house, and whenever."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from drills.domain import programme, starting
from drills.domain.planning import plan_ahead
from drills.domain.plans import change_plan, make_plan
from drills.domain.programme import excuse_planned, keep_programme, mark_late, remind, settle_running, start_due, start_planned
from drills.domain.programme_selectors import draw_again
from drills.enums import PlannedState
from drills.models import Drill, DrillPlan, PlannedDrill
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Notice
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.common.housekeeping import list_jobs
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.executions.models import Execution, Procedure
from rollbackhub.routing.models import Gateway, RoutingPolicy
from tests.databases import FreshDatabase
from tests.drills.conftest import Clock, Plan, drills_of, first, utc
from tests.factories.drills import QuietPeriodFactory
from tests.factories.executions import ExecutionFactory
from tests.factories.fixtures import Cast, make_cast
from tests.factories.registry import ConnectionFactory
from tests.factories.routing import GatewayFactory, RoutingPolicyFactory
from tests.routing.conftest import seed_policy
from tests.threads import at_once


def end(planned: PlannedDrill, *, verdict: str = Verdict.PASSED, state: str = ExecutionState.FINISHED, outcome: str = "") -> None:
    """The engine has come to an end with the drill."""
    values: dict[str, Any] = {"state": state, "verdict": verdict, "outcome": outcome, "started_at": planned.started_at, "finished_at": clock.now()}
    if verdict == Verdict.PASSED:
        values |= {"restored_at": clock.now(), "verified_at": clock.now()}
    Execution.objects.filter(planned_drill=planned).update(**values)


def notices(cast: Cast) -> list[str]:
    return list(Notice.objects.filter(user=cast.on_call).order_by("id").values_list("subject", flat=True))


def test_housekeeper_keeps_the_programme() -> None:
    every = {job.name: (job.every_seconds, job.own_thread) for job in list_jobs() if job.name in ("drills.programme", "drills.plan_ahead")}
    assert every == {"drills.programme": (2, True), "drills.plan_ahead": (60, True)}


def test_drill_whose_time_has_come_starts_once(time: Clock, plan: Plan) -> None:
    made = plan()
    assert start_due() == 0
    time.set(2026, 12, 1, 10)
    assert (start_due(), start_due()) == (1, 0)
    planned = first(made)
    assert (planned.state, planned.started_at, planned.why, planned.policy) == (PlannedState.RUNNING, time.at, "", made.policy)
    execution = Execution.objects.get()
    assert (planned.execution, execution.drill.note, execution.requested_by_label) == (execution, "Planned: Reasoner", "drill programme")
    assert execution.drill.idempotency_key == f"planned:{planned.pk}"
    data = AuditEvent.objects.get(event="planned_drill.started").data
    assert (data["alias"], data["from"], data["execution"]) == ("smart-reasoner", "due", str(execution.pk))


def test_drill_that_passed_or_failed_is_settled_with_the_executions_end(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan()
    time.set(2026, 12, 1, 10)
    keep_programme()
    time.move(seconds=20)
    assert settle_running() == 0
    end(first(made))
    assert (settle_running(), settle_running()) == (1, 0)
    planned = first(made)
    assert (planned.state, planned.ended_at, planned.why) == (PlannedState.PASSED, time.at, "")
    assert notices(cast) == []


@pytest.mark.parametrize(
    ("verdict", "state", "outcome", "why"),
    [
        ("failed", "finished", "The gateway served something else.", "The gateway served something else."),
        ("inconclusive", "finished", "Too little traffic", "It showed nothing either way. Too little traffic."),
        ("error", "finished", "No metrics.", "A check could not run. No metrics."),
        ("", "cancelled", "Stopped by Olga: busy", "Stopped by Olga: busy."),
    ],
)
def test_whatever_is_not_passed_has_failed_and_the_owner_is_told(time: Clock, plan: Plan, cast: Cast, verdict: str, state: str, outcome: str, why: str) -> None:
    made = plan()
    time.set(2026, 12, 1, 10)
    keep_programme()
    end(first(made), verdict=verdict, state=state, outcome=outcome)
    assert settle_running() == 1
    assert (first(made).state, first(made).why) == (PlannedState.FAILED, why)
    (notice,) = Notice.objects.filter(user=cast.on_call)
    assert (notice.subject, notice.url) == ("Drill failed: Reasoner", f"/drills/{first(made).execution_id}/")
    assert notice.text == f"The drill of December 2026. {why}"


def test_drill_whose_execution_was_deleted_has_failed(time: Clock, plan: Plan) -> None:
    made = plan()
    time.set(2026, 12, 1, 10)
    keep_programme()
    Execution.objects.all().delete()
    assert settle_running() == 1
    assert (first(made).state, first(made).why) == (PlannedState.FAILED, "Its drill was deleted before it ended.")


def test_drill_of_a_busy_alias_waits_and_says_why_then_starts(time: Clock, plan: Plan, policy: RoutingPolicy, cast: Cast) -> None:
    made = plan()
    busy = ExecutionFactory(policy=policy, running=True)
    time.set(2026, 12, 1, 10)
    assert start_due() == 0
    assert "is running already" in first(made).why
    assert (first(made).state, first(made).tried_at) == (PlannedState.DUE, time.at)
    time.move(seconds=10)
    start_due()
    assert first(made).tried_at != time.at, "it is not tried at every turn"
    time.move(minutes=5)
    assert (mark_late(), mark_late()) == (1, 0)
    assert first(made).state == PlannedState.OVERDUE
    assert notices(cast) == ["Drill overdue: Reasoner"]
    Execution.objects.filter(pk=busy.pk).update(state="finished", finished_at=time.at, verdict="failed")
    assert start_due() == 1
    assert first(made).state == PlannedState.RUNNING
    assert Notice.objects.get().read_at is not None, "what was overdue is settled"


def test_drill_that_never_could_start_is_missed_and_says_why(time: Clock, plan: Plan, policy: RoutingPolicy, cast: Cast) -> None:
    made = plan()
    Procedure.objects.filter(change_type="model", connector="").update(connector="something-else")
    time.set(2026, 12, 1, 10)
    start_due()
    time.move(minutes=6)
    mark_late()
    time.set(2026, 12, 2, 10)
    assert start_due() == 0
    assert mark_late() == 1
    planned = first(made)
    assert (planned.state, planned.ended_at) == (PlannedState.MISSED, time.at)
    assert planned.why.startswith("It could not start until 2026-12-02 10:00 UTC: There is no rollback procedure for the change type model")
    assert notices(cast) == ["Drill overdue: Reasoner", "Drill missed: Reasoner"]
    assert not Drill.objects.exists()


def test_hub_down_for_hours_catches_up_and_for_a_day_says_that_it_was_down(time: Clock, plan: Plan) -> None:
    caught, missed = plan(), plan(name="Earlier", late_hours=1)
    time.set(2026, 12, 1, 20)
    keep_programme()
    assert (first(caught).state, first(caught).started_at) == (PlannedState.RUNNING, time.at)
    assert first(missed).state == PlannedState.MISSED
    assert first(missed).why == ("RollbackHub did not run from 2026-12-01 10:00 UTC, when it was due, until 2026-12-01 11:00 UTC, when it was too late.")


def test_unannounced_drill_is_caught_up_within_working_hours_only(time: Clock, plan: Plan) -> None:
    made = plan(announced=False)
    PlannedDrill.objects.filter(plan=made, slot=utc(2026, 12, 1)).update(starts_at=utc(2026, 12, 1, 16), latest_at=utc(2026, 12, 2, 16))
    time.set(2026, 12, 1, 20)
    assert start_due() == 0
    assert first(made).why == "It is unannounced, so it is caught up within working hours only."
    time.set(2026, 12, 2, 9)
    assert start_due() == 1


def test_one_of_an_artefacts_aliases_is_drawn_among_the_eligible_and_can_be_drawn_again(time: Clock, plan: Plan, policy: RoutingPolicy) -> None:
    others = [RoutingPolicyFactory(alias=f"reasoner-{name}", artefact=policy.artefact, environment=policy.environment) for name in "abcd"]
    alone = RoutingPolicyFactory(alias="alone", artefact=policy.artefact, environment=policy.environment, revision={"v9": 100})
    ExecutionFactory(policy=others[0], running=True)
    made = plan(artefact=policy.artefact, environment=policy.environment)
    chosen = set()
    for month in (12, 1, 2, 3):
        time.set(2026 if month == 12 else 2027, month, 1, 10)
        plan_ahead()
        assert start_due() == 1
        planned = PlannedDrill.objects.get(state=PlannedState.RUNNING)
        chosen.add(planned.policy)
        end(planned)
        settle_running()
        redrawn = draw_again(planned.pk)
        assert redrawn is not None
        assert redrawn.agrees
        assert redrawn.eligible == ["reasoner-b", "reasoner-c", "reasoner-d", "smart-reasoner"]
        assert planned.policy is not None
        assert redrawn.drawn_alias == planned.policy.alias
    assert not chosen & {others[0], alone}
    assert DrillPlan.objects.get() == made


def test_artefact_without_an_eligible_alias_waits_and_names_each(time: Clock, plan: Plan, policy: RoutingPolicy) -> None:
    RoutingPolicyFactory(alias="alone", artefact=policy.artefact, environment=policy.environment, revision={"v9": 100})
    ExecutionFactory(policy=policy, running=True)
    made = plan(artefact=policy.artefact, environment=policy.environment)
    time.set(2026, 12, 1, 10)
    assert start_due() == 0
    assert first(made).why == (
        "No alias of smart-reasoner-model in staging can be drilled now: an execution holds smart-reasoner; alone has no procedure, or nothing to go back to."
    )


def test_what_fails_keeps_no_other_drill_from_starting(time: Clock, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = plan(name="A bad one"), plan(name="B good one", policy=seed_policy(alias="other"))
    start = starting.start_for

    def fail(planned: PlannedDrill, **values: Any) -> Any:
        if planned.plan_id == bad.pk:
            raise ZeroDivisionError
        return start(planned, **values)

    monkeypatch.setattr(programme, "start_for", fail)
    time.set(2026, 12, 1, 10)
    with pytest.raises(ExceptionGroup):
        start_due()
    assert (first(bad).state, first(good).state) == (PlannedState.DUE, PlannedState.RUNNING)
    monkeypatch.undo()


# After an outage


def test_drill_waits_for_gateways_that_are_not_back_and_starts_when_they_are(time: Clock, plan: Plan, policy: RoutingPolicy) -> None:
    made, at = plan(), time.set(2026, 12, 1, 10)
    here = GatewayFactory(environment=policy.environment, node_id="gateway-0", last_seen_at=at)
    away = GatewayFactory(environment=policy.environment, node_id="gateway-1", last_seen_at=at - dt.timedelta(minutes=2))
    GatewayFactory(environment=policy.environment, node_id="gateway-old", last_seen_at=at - dt.timedelta(days=2))
    assert start_due() == 0
    assert (first(made).state, first(made).why) == (
        PlannedState.DUE,
        "It waits for gateways of staging to ask for routes again: gateway-1 (last seen 2026-12-01 09:58:00 UTC). At the end of its time it starts anyway.",
    )
    Gateway.objects.filter(pk__in=[here.pk, away.pk]).update(last_seen_at=time.move(seconds=40))
    assert (start_due(), start_due()) == (1, 0)
    assert (first(made).state, first(made).why) == (PlannedState.RUNNING, "")


def test_drill_waits_while_no_gateway_is_back_and_starts_anyway_at_the_end_of_its_time(time: Clock, plan: Plan, policy: RoutingPolicy) -> None:
    made = plan()
    GatewayFactory(environment=policy.environment, node_id="gateway-0", last_seen_at=utc(2026, 12, 1, 3))
    time.set(2026, 12, 2, 9, 57)
    assert start_due() == 0
    time.set(2026, 12, 2, 9, 58)
    assert start_due() == 1
    assert first(made).state == PlannedState.RUNNING


def test_drill_of_what_no_gateway_serves_waits_for_none_and_a_person_starts_it_anyway(time: Clock, plan: Plan, policy: RoutingPolicy, cast: Cast) -> None:
    GatewayFactory(environment=policy.environment, node_id="gateway-0", last_seen_at=time.at - dt.timedelta(hours=3))
    planned = start_planned(planned_id=first(plan()).pk, user=cast.on_call, actor=actor_of(cast.on_call))
    assert planned.state == PlannedState.RUNNING
    other = seed_policy(alias="other")
    RoutingPolicy.objects.filter(pk=other.pk).update(connection=ConnectionFactory())
    made = plan(name="Other", policy=other)
    time.set(2026, 12, 1, 10)
    start_due()
    assert "gateways" not in first(made).why


# Reminders


def test_owner_is_told_a_day_ahead_once(time: Clock, plan: Plan, cast: Cast) -> None:
    plan()
    time.set(2026, 12, 31, 9)
    PlannedDrill.objects.filter(slot=utc(2026, 12, 1)).delete()
    assert remind() == 0
    time.set(2026, 12, 31, 10)
    assert (remind(), remind()) == (1, 0)
    (notice,) = Notice.objects.all()
    assert (notice.user, notice.subject) == (cast.on_call, "Drill ahead: Reasoner")
    assert "Friday 1 January at 10:00 (UTC, the zone of Platform)" in notice.text


def test_owner_is_told_ahead_once_a_day_of_a_plan_with_many(time: Clock, plan: Plan, cast: Cast) -> None:
    plan(cadence="cron", cron="0 * * * *")
    while remind():
        pass
    assert notices(cast) == ["Drills ahead: Reasoner", "Drills ahead: Reasoner"]
    today, tomorrow = Notice.objects.order_by("id")
    assert today.text.startswith("16 drills of it start by themselves on that day, the first on Tuesday 1 December at 08:00 (UTC, the zone of Platform).")
    assert tomorrow.text.startswith("24 drills of it start by themselves on that day, the first on Wednesday 2 December at 00:00 (UTC, the zone of Platform).")
    time.set(2026, 12, 1, 8)
    assert start_due() == 1
    assert Notice.objects.filter(read_at=None).count() == 2, "more are to come on that day"


def test_nobody_is_told_of_an_unannounced_drill_ahead(time: Clock, plan: Plan) -> None:
    made = plan(announced=False)
    time.at = first(made).starts_at - dt.timedelta(minutes=1)
    assert remind() == 0
    assert not Notice.objects.exists()


def test_leads_are_told_when_the_owner_cannot_sign_in_any_more(time: Clock, plan: Plan, cast: Cast) -> None:
    plan()
    type(cast.on_call).objects.filter(pk=cast.on_call.pk).update(is_active=False)
    time.set(2026, 12, 3)
    mark_late()
    assert list(Notice.objects.values_list("user__username", "subject")) == [("lead", "Drill missed: Reasoner")]


# People


def test_person_starts_an_announced_drill_before_its_time(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan()
    planned = start_planned(planned_id=first(made).pk, user=cast.on_call, actor=actor_of(cast.on_call))
    assert (planned.state, planned.started_at) == (PlannedState.RUNNING, time.at)
    assert Execution.objects.get().requested_by == cast.on_call
    time.set(2026, 12, 1, 10)
    assert start_due() == 0
    with pytest.raises(Conflict, match="is running and cannot become running"):
        start_planned(planned_id=planned.pk, user=cast.on_call, actor=actor_of(cast.on_call))


def test_nobody_starts_an_unannounced_drill_before_its_time(time: Clock, plan: Plan, cast: Cast, policy: RoutingPolicy) -> None:
    made = plan(announced=False)
    planned = first(made)
    with pytest.raises(Conflict) as caught:
        start_planned(planned_id=planned.pk, user=cast.lead, actor=actor_of(cast.lead))
    assert caught.value.code == "unannounced"
    busy = ExecutionFactory(policy=policy, running=True)
    time.at = planned.starts_at
    start_due()
    time.move(minutes=6)
    mark_late()
    Execution.objects.filter(pk=busy.pk).update(state="cancelled")
    assert start_planned(planned_id=planned.pk, user=cast.lead, actor=actor_of(cast.lead)).state == PlannedState.RUNNING


def test_person_starts_nothing_in_a_quiet_period_or_too_late_or_without_the_right(time: Clock, plan: Plan, cast: Cast) -> None:
    planned = first(plan())
    for who in (cast.auditor, cast.leadership, cast.stranger):
        with pytest.raises(Forbidden):
            start_planned(planned_id=planned.pk, user=who, actor=actor_of(who))
    found = QuietPeriodFactory(starts_at=time.at, ends_at=time.at + dt.timedelta(hours=1))
    with pytest.raises(Conflict) as caught:
        start_planned(planned_id=planned.pk, user=cast.lead, actor=actor_of(cast.lead))
    assert caught.value.code == "quiet_period"
    found.delete()
    time.at = planned.latest_at
    with pytest.raises(Conflict) as caught:
        start_planned(planned_id=planned.pk, user=cast.lead, actor=actor_of(cast.lead))
    assert caught.value.code == "too_late"
    with pytest.raises(NotFound):
        start_planned(planned_id=planned.pk + 1000, user=cast.lead, actor=actor_of(cast.lead))


def test_lead_excuses_what_is_due_overdue_or_was_missed_with_a_reason(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan()
    due, later, *_ = drills_of(made)
    by_lead: dict[str, Any] = {"user": cast.lead, "actor": actor_of(cast.lead)}
    excused = excuse_planned(planned_id=later.pk, reason=" The team moves house. ", **by_lead)
    assert (excused.state, excused.why, excused.excused_by) == (PlannedState.EXCUSED, "The team moves house.", cast.lead)
    time.set(2026, 12, 3)
    keep_programme()
    assert first(made).state == PlannedState.MISSED
    assert excuse_planned(planned_id=due.pk, reason="It was down.", **by_lead).state == PlannedState.EXCUSED
    assert Notice.objects.get(subject="Drill missed: Reasoner").read_at is not None
    with pytest.raises(Conflict, match=r"^Lee Lead excused this drill already, 2026-12-03 at 00:00 UTC: It was down\. Nothing more"):
        excuse_planned(planned_id=due.pk, reason="Again.", **by_lead)
    events = AuditEvent.objects.filter(event="planned_drill.excused").order_by("id")
    assert [event.data["from"] for event in events] == ["due", "missed"]
    assert "did not run" in events[1].data["before_why"]


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1001])
def test_excuse_without_a_reason_is_refused(time: Clock, plan: Plan, cast: Cast, reason: str) -> None:
    planned = first(plan())
    with pytest.raises(InvalidInput) as caught:
        excuse_planned(planned_id=planned.pk, reason=reason, user=cast.leadership, actor=actor_of(cast.leadership))
    assert caught.value.code == "reason_missing"


@pytest.mark.parametrize("who", ["on_call", "auditor", "admin", "stranger"])
def test_only_leads_excuse(time: Clock, plan: Plan, cast: Cast, who: str) -> None:
    person = getattr(cast, who)
    with pytest.raises(Forbidden):
        excuse_planned(planned_id=first(plan()).pk, reason="x", user=person, actor=actor_of(person))


@pytest.mark.parametrize("state", ["running", "passed", "failed"])
def test_what_ran_is_not_excused(time: Clock, plan: Plan, cast: Cast, state: str) -> None:
    planned = first(plan())
    PlannedDrill.objects.filter(pk=planned.pk).update(state=state, started_at=time.at)
    with pytest.raises(Conflict):
        excuse_planned(planned_id=planned.pk, reason="x", user=cast.lead, actor=actor_of(cast.lead))


# Two at once


def test_six_housekeepers_at_once_start_every_drill_once(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    for number in range(8):
        policy = seed_policy(alias=f"alias-{number}")
        plan = make_plan(name=f"plan {number}", owner=cast.on_call, policy=policy, cadence="monthly", user=cast.lead, actor=actor_of(cast.lead))
        change_plan(plan_id=plan.pk, user=cast.lead, actor=actor_of(cast.lead), late_hours=168)
    slot = PlannedDrill.objects.order_by("slot").first()
    assert slot is not None
    at = slot.starts_at + dt.timedelta(hours=1)
    results = at_once(6, lambda _: start_due(at=at))
    assert sorted(str(result) for result in results if not isinstance(result, int)) == []
    while start_due(at=at):
        pass
    assert Drill.objects.count() == 8
    assert sum(result for result in results if isinstance(result, int)) <= 8
    assert PlannedDrill.objects.filter(state=PlannedState.RUNNING).count() == 8
    assert AuditEvent.objects.filter(event="planned_drill.started").count() == 8


def test_person_and_housekeeper_at_once_start_it_once(fresh_database: FreshDatabase) -> None:
    cast, policy = make_cast(), seed_policy()
    plan = make_plan(name="plan", owner=cast.on_call, policy=policy, cadence="monthly", user=cast.lead, actor=actor_of(cast.lead))
    planned = first(plan)

    def act(number: int) -> object:
        if number % 2:
            return start_due(at=planned.starts_at)
        return start_planned(planned_id=planned.pk, user=cast.lead, actor=actor_of(cast.lead)).state

    results = at_once(6, act)
    assert all(isinstance(result, int | str | Conflict) for result in results), results
    assert Drill.objects.count() == 1
    assert AuditEvent.objects.filter(event="planned_drill.started").count() == 1
