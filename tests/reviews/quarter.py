"""A seeded quarter of one team: something to say under every item of the agenda, and another team whose data must not show."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from drills.enums import PlannedState
from drills.models import DrillPlan, FindingAction
from incidents.enums import IncidentState
from rollbackhub.accounts.models import Team, User
from rollbackhub.actions.enums import ActionOrigin, ActionState
from rollbackhub.analytics.enums import RunKind, RunSource
from rollbackhub.analytics.models import RunFact
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.executions.models import Execution
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.reviews.enums import Agenda, ReviewState
from rollbackhub.reviews.models import Review
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.accounts import TeamFactory
from tests.factories.actions import ActionFactory
from tests.factories.drills import DrillPlanFactory, PlannedDrillFactory
from tests.factories.executions import ExecutionFactory, FindingFactory
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory
from tests.factories.readiness import ReadinessFactory
from tests.factories.registry import ArtefactFactory, EnvironmentFactory, VersionFactory
from tests.factories.reviews import ReviewActionFactory, ReviewDecisionFactory, WantedDecisionFactory, make_review
from tests.factories.routing import RoutingPolicyFactory

QUARTER = dt.date(2026, 7, 1)
AT = dt.datetime(2026, 10, 5, 9, 0, tzinfo=dt.UTC)
"""When it is prepared."""


def on(month: int, day: int, hour: int = 10) -> dt.datetime:
    """An instant of 2026 in UTC."""
    return dt.datetime(2026, month, day, hour, tzinfo=dt.UTC)


@dataclass
class Quarter:
    """What was seeded."""

    team: Team
    reasoner: RoutingPolicy
    router: RoutingPolicy
    last: Review
    plan: DrillPlan
    owner: User


def make_quarter(cast: Cast) -> Quarter:
    """Build it in whatever database is current."""
    team = TeamFactory(slug="platform", name="Platform", timezone="Asia/Kolkata")
    staging, production = EnvironmentFactory(slug="staging"), EnvironmentFactory(slug="production")
    model = ArtefactFactory(slug="reasoner-model", name="Reasoner model", team=team)
    routed = ArtefactFactory(slug="router-model", name="Router model", team=team)
    reasoner = RoutingPolicyFactory(environment=production, alias="smart-reasoner", artefact=model)
    router = RoutingPolicyFactory(environment=production, alias="ticket-router", artefact=routed)
    drilled = RoutingPolicyFactory(environment=staging, alias="smart-reasoner", artefact=model)
    _promises(team, cast)
    last = Review.objects.get(team=team, quarter=dt.date(2026, 4, 1))
    plan = _plans(team, drilled, cast.on_call)
    _runs(reasoner, drilled)
    ReadinessFactory(policy=reasoner, at_risk=True)
    ReadinessFactory(policy=router, not_ready=True)
    _findings(drilled, cast)
    _incidents(reasoner)
    VersionFactory(artefact=model, label="claude-sonnet-4-1", lifecycle=Lifecycle.SUPERSEDED, superseded_at=on(9, 1))
    VersionFactory(artefact=model, label="claude-sonnet-4-5").provider_retires_at = on(11, 15)
    served = model.versions.get(label="claude-sonnet-4-5")
    served.provider_retires_at, served.lifecycle = on(11, 15), Lifecycle.LIVE
    served.save()
    make_strangers(cast)
    return Quarter(team, reasoner, router, last, plan, cast.on_call)


def _promises(team: Team, cast: Cast) -> None:
    last = make_review(ReviewState.PREPARED, team=team, quarter=dt.date(2026, 4, 1))
    decisions = last.items.get(agenda=Agenda.DECISIONS)
    made = {"team": team, "owner": cast.on_call}
    ReviewActionFactory(review=last, action=ActionFactory(title="Mend the flag of smart-reasoner", due_on=dt.date(2026, 9, 1), **made))
    ReviewActionFactory(review=last, action=ActionFactory(title="Write the runbook", due_on=dt.date(2026, 12, 1), **made))
    done = {"state": ActionState.DONE, "closed_by_label": "Olga Call"}
    ReviewActionFactory(review=last, action=ActionFactory(title="Drill the router", closed_at=on(8, 2), closed_reason="Drilled twice.", **done, **made))
    ReviewActionFactory(review=last, action=ActionFactory(title="Closed before the meeting", closed_at=on(6, 2), closed_reason="Long ago.", **done, **made))
    ReviewDecisionFactory(review=last, item=decisions, text="Rollbacks of prompts need no approval.", owner=cast.lead, owner_label="Lee Lead")
    WantedDecisionFactory(review=last, text="Do we pay for a second region?")
    last.state, last.held_at = ReviewState.HELD, on(7, 6)
    last.save()


def _plans(team: Team, policy: RoutingPolicy, owner: User) -> DrillPlan:
    plan: DrillPlan = DrillPlanFactory(name="Reasoner monthly", team=team, owner=owner, environment=policy.environment, policy=policy, seed=7)
    for slot, state, why in (
        (on(7, 7), PlannedState.PASSED, ""),
        (on(8, 4), PlannedState.FAILED, "It was too slow."),
        (on(9, 1), PlannedState.MISSED, "The hub was down for the whole day."),
        (on(9, 15), PlannedState.EXCUSED, "Freeze before the launch."),
        (on(10, 6), PlannedState.DUE, ""),
    ):
        started = slot if state in (PlannedState.PASSED, PlannedState.FAILED) else None
        PlannedDrillFactory(
            plan=plan,
            slot=slot,
            starts_at=slot,
            latest_at=slot + dt.timedelta(hours=24),
            state=state,
            why=why,
            started_at=started,
            excused_by=owner if state == PlannedState.EXCUSED else None,
        )
    return plan


def make_fact(execution: Execution, *, at: dt.datetime, took: float, target: int = 300, propagate: float = 1.0, kind: str = RunKind.DRILL) -> RunFact:
    """A run that was measured: most of its time beside propagating went into executing."""
    policy = execution.policy
    return RunFact.objects.create(
        source=RunSource.HUB,
        execution=execution,
        kind=kind,
        at=at,
        month=at.date().replace(day=1),
        environment=policy.environment,
        team=policy.artefact.team,
        artefact=policy.artefact,
        policy=policy,
        alias=policy.alias,
        change_type=policy.artefact.change_type,
        verdict="passed",
        outcome="passed",
        rollback_seconds=took,
        target_seconds=target,
        hit=took <= target,
        execute_seconds=took - propagate,
        propagate_seconds=propagate,
    )


def _runs(live: RoutingPolicy, drilled: RoutingPolicy) -> None:
    for at, took, propagate in ((on(7, 7), 120.0, 1.0), (on(8, 4), 400.0, 390.0), (on(9, 2), 350.0, 300.0)):
        run = ExecutionFactory(policy=drilled, passed=True)
        make_fact(run, at=at, took=took, propagate=propagate)
    rolled_back = ExecutionFactory(policy=live, passed=True, kind=ExecutionKind.ROLLBACK)
    make_fact(rolled_back, at=on(9, 20), took=600.0, propagate=20.0, kind=RunKind.ROLLBACK)
    old = ExecutionFactory(policy=drilled, passed=True)
    make_fact(old, at=on(6, 30), took=999.0)


def _findings(drilled: RoutingPolicy, cast: Cast) -> None:
    failed = ExecutionFactory(policy=drilled, failed=True)
    Execution.objects.filter(pk=failed.pk).update(created_at=on(8, 4))
    finding = FindingFactory(execution=failed, subject="staging-gateway-1")
    action = ActionFactory(
        title="The gateway serves by the hub again", team=drilled.artefact.team, owner=cast.on_call, origin=ActionOrigin.DRILL, due_on=dt.date(2026, 8, 20)
    )
    FindingAction.objects.create(
        action=action, finding=finding, policy=drilled, code=finding.code, subject=finding.subject, last_seen_execution=failed, times_seen=2
    )


def _incidents(live: RoutingPolicy) -> None:
    IncidentFactory(
        title="smart-reasoner: degraded feedback",
        environment=live.environment,
        aliases=[live],
        opened_at=on(9, 20),
        decided_at=on(9, 20),
        restored_at=on(9, 20) + dt.timedelta(minutes=10),
        exposure_observed=1204,
    )
    IncidentFactory(
        title="Left from spring", environment=live.environment, aliases=[live], opened_at=on(5, 20), state=IncidentState.STABLE, stable_at=on(5, 21)
    )
    IncidentFactory(title="Closed in spring", environment=live.environment, aliases=[live], opened_at=on(5, 2), closed=True)


def make_strangers(cast: Cast) -> None:
    """Another team with the same kinds of things: nothing of it may stand in the review."""
    team = TeamFactory(slug="search", name="Search")
    artefact = ArtefactFactory(slug="ranker", name="Ranker", team=team)
    staging, production = EnvironmentFactory(slug="staging"), EnvironmentFactory(slug="production")
    live = RoutingPolicyFactory(environment=production, alias="not-ours", artefact=artefact)
    drilled = RoutingPolicyFactory(environment=staging, alias="not-ours", artefact=artefact)
    ReadinessFactory(policy=live, not_ready=True)
    run = ExecutionFactory(policy=drilled, failed=True)
    Execution.objects.filter(pk=run.pk).update(created_at=on(8, 4))
    FindingFactory(execution=run)
    make_fact(ExecutionFactory(policy=drilled, passed=True), at=on(8, 8), took=999.0)
    IncidentFactory(title="Not ours", environment=production, aliases=[live], opened_at=on(8, 8))
    ActionFactory(title="Not ours to do", team=team, owner=cast.on_call, due_on=dt.date(2026, 8, 1))
    VersionFactory(artefact=artefact, label="not-ours-1", lifecycle=Lifecycle.SUPERSEDED, superseded_at=on(8, 1))
    plan = DrillPlanFactory(name="Not ours", team=team, owner=cast.on_call, environment=staging, policy=drilled, seed=8)
    PlannedDrillFactory(plan=plan, slot=on(8, 4), starts_at=on(8, 4), latest_at=on(8, 5), state=PlannedState.MISSED)


def add_more(quarter: Quarter) -> None:
    """Five more of everything."""
    production, staging = EnvironmentFactory(slug="production"), EnvironmentFactory(slug="staging")
    for number in range(5):
        artefact = ArtefactFactory(slug=f"more-{number}", team=quarter.team)
        live = RoutingPolicyFactory(environment=production, alias=f"more-{number}", artefact=artefact)
        drilled = RoutingPolicyFactory(environment=staging, alias=f"more-{number}", artefact=artefact)
        ReadinessFactory(policy=live, not_ready=True)
        failed = ExecutionFactory(policy=drilled, failed=True)
        Execution.objects.filter(pk=failed.pk).update(created_at=on(8, 5 + number))
        FindingFactory(execution=failed)
        make_fact(ExecutionFactory(policy=drilled, passed=True), at=on(8, 5 + number), took=999.0)
        IncidentFactory(title=f"More {number}", environment=production, aliases=[live], opened_at=on(8, 5 + number))
        VersionFactory(artefact=artefact, label=f"more-{number}", lifecycle=Lifecycle.SUPERSEDED, superseded_at=on(8, 1))
        PlannedDrillFactory(plan=quarter.plan, starts_at=on(7, 10 + number), slot=on(7, 10 + number), missed=True)
        action = ActionFactory(title=f"More {number}", team=quarter.team, owner=quarter.owner, due_on=dt.date(2026, 8, 1))
        ReviewActionFactory(review=quarter.last, action=action)
