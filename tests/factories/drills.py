"""Drills, and the programme that plans them."""

from __future__ import annotations

import datetime as dt

import factory
from factory.django import DjangoModelFactory

from drills.domain.feeds import hash_of
from drills.enums import Cadence, PlannedState
from drills.models import CalendarFeed, Drill, DrillFollowUp, DrillPlan, FindingAction, PlannedDrill, QuietPeriod
from rollbackhub.accounts.enums import Role
from rollbackhub.common.clock import now
from tests.factories.accounts import TeamFactory, UserFactory
from tests.factories.actions import ActionFactory
from tests.factories.executions import ExecutionFactory, FindingFactory
from tests.factories.routing import RoutingPolicyFactory


class DrillFactory(DjangoModelFactory):
    """A queued drill; `execution__passed=True` and so on give the others."""

    class Meta:
        model = Drill

    execution = factory.SubFactory(ExecutionFactory)


class DrillPlanFactory(DjangoModelFactory):
    """A monthly plan of an alias, announced; no drill of it is written down."""

    class Meta:
        model = DrillPlan

    name = factory.Sequence("plan {}".format)
    policy = factory.SubFactory(RoutingPolicyFactory)
    team = factory.LazyAttribute(lambda plan: plan.policy.artefact.team if plan.policy else plan.artefact.team)
    environment = factory.LazyAttribute(lambda plan: plan.policy.environment)
    owner = factory.SubFactory(UserFactory, roles=[Role.ON_CALL])
    cadence = Cadence.MONTHLY
    seed = factory.Sequence(lambda number: 1000 + number)


class PlannedDrillFactory(DjangoModelFactory):
    """Due in two days, one of a month. `state` with what the database wants beside it: `passed`, `failed`, `missed` and `excused` are traits."""

    class Meta:
        model = PlannedDrill

    class Params:
        running = factory.Trait(
            state=PlannedState.RUNNING,
            started_at=factory.SelfAttribute("starts_at"),
            execution=factory.SubFactory(ExecutionFactory, running=True, policy=factory.SelfAttribute("..plan.policy")),
        )
        passed = factory.Trait(
            state=PlannedState.PASSED,
            started_at=factory.SelfAttribute("starts_at"),
            ended_at=factory.LazyAttribute(lambda planned: planned.starts_at + dt.timedelta(seconds=20)),
            execution=factory.SubFactory(ExecutionFactory, passed=True, policy=factory.SelfAttribute("..plan.policy")),
        )
        failed = factory.Trait(
            state=PlannedState.FAILED,
            started_at=factory.SelfAttribute("starts_at"),
            ended_at=factory.LazyAttribute(lambda planned: planned.starts_at + dt.timedelta(seconds=20)),
            execution=factory.SubFactory(ExecutionFactory, failed=True, policy=factory.SelfAttribute("..plan.policy")),
            why="The gateway served something else.",
        )
        missed = factory.Trait(state=PlannedState.MISSED, ended_at=factory.SelfAttribute("latest_at"), why="RollbackHub did not run.")
        excused = factory.Trait(
            state=PlannedState.EXCUSED,
            ended_at=factory.LazyFunction(now),
            why="The team moves house.",
            excused_by=factory.SubFactory(UserFactory, roles=[Role.PLATFORM_LEAD]),
        )

    plan = factory.SubFactory(DrillPlanFactory)
    starts_at = factory.LazyFunction(lambda: now() + dt.timedelta(days=2))
    latest_at = factory.LazyAttribute(lambda planned: planned.starts_at + dt.timedelta(hours=24))
    slot = factory.LazyAttribute(lambda planned: planned.starts_at.astimezone(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0))
    period_starts_at = factory.SelfAttribute("slot")
    period_ends_at = factory.LazyAttribute(lambda planned: (planned.slot + dt.timedelta(days=32)).replace(day=1))


class QuietPeriodFactory(DjangoModelFactory):
    """A week that begins now, of all teams."""

    class Meta:
        model = QuietPeriod

    team = None
    starts_at = factory.LazyFunction(now)
    ends_at = factory.LazyAttribute(lambda quiet: quiet.starts_at + dt.timedelta(days=7))
    reason = "Year-end freeze"


class CalendarFeedFactory(DjangoModelFactory):
    """A feed with the secret `a-secret-of-a-calendar-<number>`."""

    class Meta:
        model = CalendarFeed

    class Params:
        secret = factory.Sequence("a-secret-of-a-calendar-{}".format)

    team = factory.SubFactory(TeamFactory)
    name = factory.Sequence("calendar {}".format)
    secret_hash = factory.LazyAttribute(lambda feed: hash_of(feed.secret))
    created_by = factory.SubFactory(UserFactory, roles=[Role.PLATFORM_LEAD])


class FindingActionFactory(DjangoModelFactory):
    """An open action for what a failed drill has found."""

    class Meta:
        model = FindingAction

    finding = factory.SubFactory(FindingFactory, execution__failed=True)
    policy = factory.SelfAttribute("finding.execution.policy")
    code = factory.SelfAttribute("finding.code")
    subject = factory.SelfAttribute("finding.subject")
    last_seen_execution = factory.SelfAttribute("finding.execution")
    action = factory.SubFactory(ActionFactory, team=factory.SelfAttribute("..policy.artefact.team"))


class DrillFollowUpFactory(DjangoModelFactory):
    """A drill whose findings have become actions."""

    class Meta:
        model = DrillFollowUp

    execution = factory.SubFactory(ExecutionFactory, passed=True)
