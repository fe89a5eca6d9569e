"""Whatever plans there are, whoever is down, dies, or holds the aliases, and wherever the clock goes: every slot of a plan is written down and ends in
exactly one of started once, missed or excused. None vanishes, none runs twice."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drills.domain import programme, starting
from drills.domain.planning import plan_ahead, plans_with_targets, rhythm_of
from drills.domain.plans import make_plan
from drills.domain.programme import excuse_planned, keep_programme, mark_late, settle_running, start_due, start_planned
from drills.domain.schedule import periods, place
from drills.enums import OPEN_STATES, PlannedState
from drills.models import Drill, DrillPlan, PlannedDrill
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Team
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.executions.enums import ACTIVE_STATES
from rollbackhub.executions.models import Execution
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.drills import QuietPeriodFactory
from tests.factories.executions import ExecutionFactory
from tests.factories.fixtures import Cast, cast
from tests.routing.conftest import seed_policy

__all__ = ["cast"]

START = dt.datetime(2026, 3, 20, 6, 17, tzinfo=dt.UTC)
"""Nine days before Berlin's clocks go on; with the longest examples they go back, too."""

PLANS = st.fixed_dictionaries(
    {
        "rhythm": st.sampled_from(
            [
                ("monthly", ""),
                ("quarterly", ""),
                ("by_stakes", ""),
                ("cron", "30 2 * * *"),
                ("cron", "0 10 * * 2"),
                ("cron", "30 2,3 * * 0"),
                ("cron", "0 4 1 * *"),
            ]
        ),
        "announced": st.booleans(),
        "late_hours": st.sampled_from([1, 24, 168]),
        "by_artefact": st.booleans(),
    }
)
ACTS = st.sampled_from(["house", "house", "house", "down", "plan", "late", "die", "busy", "free", "pass", "fail", "quiet", "excuse", "person", "back"])
STEPS = st.lists(st.tuples(ACTS, st.sampled_from([0.02, 1, 7, 24, 24, 100, 700])), min_size=3, max_size=25)
ZONES = st.sampled_from(["Europe/Berlin", "Asia/Kolkata", "America/Los_Angeles", "Pacific/Auckland"])


class Dies(BaseException):
    """The process is gone between two statements."""


class World:
    """What happens to a hub, step by step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cast: Cast, policies: list[RoutingPolicy]) -> None:
        self.at = START
        self.cast = cast
        self.policies = policies
        monkeypatch.setattr(clock, "now", lambda: self.at)
        self.patch = monkeypatch

    def act(self, name: str) -> None:
        getattr(self, f"_{name}")()

    def _house(self) -> None:
        plan_ahead()
        keep_programme()

    def _down(self) -> None:
        """Nobody keeps house."""

    def _plan(self) -> None:
        plan_ahead()

    def _late(self) -> None:
        # Before anything is started, as another housekeeper may.
        mark_late()

    def _die(self) -> None:
        """Between the claim and the commit of a start."""
        start = starting.start_for

        def dying(*args: Any, **values: Any) -> Any:
            start(*args, **values)
            raise Dies

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(programme, "start_for", dying)
            try:
                with transaction.atomic():
                    start_due()
            except Dies:
                pass

    def _busy(self) -> None:
        for policy in self.policies:
            if not Execution.objects.filter(policy=policy, state__in=ACTIVE_STATES).exists():
                ExecutionFactory(policy=policy, running=True)

    def _free(self) -> None:
        self._end(Execution.objects.filter(state__in=ACTIVE_STATES, drill=None), "failed")

    def _pass(self) -> None:
        self._end(Execution.objects.filter(state__in=ACTIVE_STATES), "passed")
        settle_running()

    def _fail(self) -> None:
        self._end(Execution.objects.filter(state__in=ACTIVE_STATES), "inconclusive")
        settle_running()

    def _end(self, found: Any, verdict: str) -> None:
        seen = {"restored_at": self.at, "verified_at": self.at} if verdict == "passed" else {}
        found.update(state="finished", verdict=verdict, started_at=self.at, finished_at=self.at, **seen)

    def _quiet(self) -> None:
        QuietPeriodFactory(starts_at=self.at, ends_at=self.at + dt.timedelta(days=3))

    def _excuse(self) -> None:
        found = PlannedDrill.objects.filter(state__in=[*OPEN_STATES, PlannedState.MISSED]).order_by("slot").first()
        if found is not None:
            excuse_planned(planned_id=found.pk, reason="The team moves house.", user=self.cast.lead, actor=actor_of(self.cast.lead))

    def _person(self) -> None:
        found = PlannedDrill.objects.filter(state__in=OPEN_STATES).order_by("slot").first()
        try:
            if found is not None:
                start_planned(planned_id=found.pk, user=self.cast.lead, actor=actor_of(self.cast.lead))
        except RollbackHubError:
            pass

    def _back(self) -> None:
        """The clock of the machine is set back."""
        self.at -= dt.timedelta(hours=3)


ENDS = ("planned_drill.started", "planned_drill.missed", "planned_drill.excused")


def planned_for(world: World, plan: dict[str, Any], number: int) -> DrillPlan | None:
    cadence, cron = plan["rhythm"]
    policy = world.policies[number % len(world.policies)]
    target: dict[str, Any] = {"artefact": policy.artefact, "environment": policy.environment} if plan["by_artefact"] else {"policy": policy}
    by_lead: dict[str, Any] = {"user": world.cast.lead, "actor": actor_of(world.cast.lead)}
    # An unannounced plan wants working hours between its times; these have none at the weekend.
    announced = plan["announced"] or cron in ("30 2 * * *", "30 2,3 * * 0")
    return make_plan(
        name=f"plan {number}", owner=world.cast.on_call, cadence=cadence, cron=cron, announced=announced, late_hours=plan["late_hours"], **target, **by_lead
    )


def check(world: World) -> None:
    """The invariant, for all slots whose last instant is over."""
    for plan in plans_with_targets():
        rhythm = rhythm_of(plan)
        expected = {
            period.slot
            for period in periods(rhythm, since=START, until=world.at - dt.timedelta(days=8))
            if place(rhythm, period, quiets=[]).starts_at >= START and period.ends_at < world.at - dt.timedelta(days=8)
        }
        found = list(PlannedDrill.objects.filter(plan=plan))
        assert expected <= {planned.slot for planned in found}, "a slot vanished"
        assert len(found) == len({planned.slot for planned in found})
    for planned in PlannedDrill.objects.filter(latest_at__lt=world.at):
        assert planned.state not in (*OPEN_STATES, PlannedState.RUNNING), planned.state
    keys = Counter(Drill.objects.values_list("idempotency_key", flat=True))
    events: dict[str, list[str]] = {}
    for subject, event in AuditEvent.objects.filter(event__in=ENDS).values_list("subject_id", "event"):
        events.setdefault(subject, []).append(event)
    for planned in PlannedDrill.objects.all():
        started = planned.state in (PlannedState.RUNNING, PlannedState.PASSED, PlannedState.FAILED)
        assert keys[f"planned:{planned.pk}"] == (1 if started else 0)
        assert started == (planned.started_at is not None) == (planned.execution_id is not None)
        ends = sorted(events.get(str(planned.pk), []))
        assert ends in ([], *([event] for event in ENDS), ["planned_drill.excused", "planned_drill.missed"])
        assert bool(ends) == (planned.state not in OPEN_STATES)
        assert planned.state not in (PlannedState.MISSED, PlannedState.EXCUSED, PlannedState.FAILED) or planned.why


@pytest.mark.slow
@pytest.mark.django_db
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(plans=st.lists(PLANS, min_size=1, max_size=3), zone=ZONES, steps=STEPS)
def test_every_slot_ends_in_exactly_one_of_started_once_missed_or_excused(
    cast: Cast, plans: list[dict[str, Any]], zone: str, steps: list[tuple[str, float]]
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch, transaction.atomic():
        assert ZoneInfo(zone)
        policies = [seed_policy(alias=alias) for alias in ("first", "second")]
        Team.objects.update(timezone=zone)
        for policy in policies:
            policy.refresh_from_db()
        world = World(monkeypatch, cast, [RoutingPolicy.objects.select_related("artefact__team", "environment").get(pk=policy.pk) for policy in policies])
        for number, plan in enumerate(plans):
            planned_for(world, plan, number)
        for name, hours in steps:
            world.at += dt.timedelta(hours=hours)
            world.act(name)
        # In the end somebody keeps house again, and what runs comes to its end.
        for _ in range(3):
            world.at += dt.timedelta(days=9)
            for act in ("free", "house", "pass", "house"):
                world.act(act)
        check(world)
        transaction.set_rollback(True)
