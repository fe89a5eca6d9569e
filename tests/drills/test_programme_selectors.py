"""Reading the programme; and that nobody reads when an unannounced drill comes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from drills.domain.planning import plan_ahead
from drills.domain.programme import excuse_planned, mark_late, start_due
from drills.domain.programme_selectors import PlannedRow, describe_plans, draw_again, filter_planned, get_planned, list_planned, list_plans, next_of
from drills.domain.schedule import commitment
from drills.enums import Cadence, PlannedState
from drills.models import PlannedDrill
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import InvalidInput, NotFound
from rollbackhub.routing.models import RoutingPolicy
from tests.drills.conftest import Clock, Plan, drills_of
from tests.factories.drills import PlannedDrillFactory
from tests.factories.executions import ExecutionFactory
from tests.factories.fixtures import Cast
from tests.routing.conftest import seed_policy


def tells(row: PlannedRow, instant: dt.datetime) -> bool:
    """Whether an instant stands anywhere in what is shown."""
    shown = f"{row!r} {row.when_in_words} {row.why}".replace(repr(row.plan), "")
    return repr(instant) in shown or f"{instant:%H:%M}" in shown


def test_unannounced_drill_is_shown_with_its_period_only(time: Clock, plan: Plan) -> None:
    made = plan(announced=False)
    for planned in drills_of(made):
        row = get_planned(planned.pk)
        assert (row.starts_at, row.latest_at, row.why) == (None, None, "")
        assert not tells(row, planned.starts_at)
        assert not tells(row, planned.latest_at)
    assert [row.when_in_words for row in list_planned()][:2] == ["some time in December 2026", "some time in January 2027"]
    coming = next_of(made)
    assert coming is not None
    assert (coming.when_in_words, coming.may_be_started, coming.may_be_excused, coming.alias) == ("some time in December 2026", False, True, "smart-reasoner")


def test_filter_by_time_tells_nothing_about_an_unannounced_drill(time: Clock, plan: Plan) -> None:
    """Whoever asks for each hour of December gets it for all of them or for none."""
    made = plan(announced=False)
    hour = dt.timedelta(hours=1)
    begins = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
    found = [len(list_planned(plan=made.pk, since=begins + number * hour, until=begins + (number + 1) * hour)) for number in range(0, 31 * 24, 7)]
    assert set(found) == {1}
    assert list_planned(plan=made.pk, since=begins - hour, until=begins) == []


def test_order_tells_nothing_about_unannounced_drills(time: Clock, plan: Plan) -> None:
    for number in range(8):
        plan(name=f"plan {number}", announced=False)
    december = [planned.pk for planned in filter_planned() if planned.slot.month == 12]
    assert december == sorted(december)
    by_time = PlannedDrill.objects.filter(pk__in=december).order_by("starts_at").values_list("pk", flat=True)
    assert list(by_time) != december


def test_unannounced_drill_that_waits_says_why_only_when_it_is_overdue(time: Clock, plan: Plan, policy: RoutingPolicy) -> None:
    made = plan(announced=False)
    planned = drills_of(made)[0]
    ExecutionFactory(policy=policy, running=True)
    time.at = planned.starts_at
    start_due()
    row = get_planned(planned.pk)
    assert (row.state, row.why) == (PlannedState.DUE, ""), "that it waits would tell that its time has come"
    time.move(minutes=6)
    mark_late()
    row = get_planned(planned.pk)
    assert row.state == PlannedState.OVERDUE
    assert "is running already" in row.why
    assert (row.starts_at, row.latest_at, row.may_be_started) == (None, None, True)


def test_unannounced_drill_that_has_begun_can_be_drawn_again_from_what_is_on_record(time: Clock, plan: Plan) -> None:
    planned = drills_of(plan(announced=False))[0]
    assert draw_again(planned.pk) is None
    time.at = planned.starts_at
    assert start_due() == 1
    assert get_planned(planned.pk).starts_at == planned.starts_at
    redrawn = draw_again(planned.pk)
    assert redrawn is not None
    assert (redrawn.agrees, redrawn.drawn_time, redrawn.eligible) == (True, planned.starts_at, [])
    sealed = AuditEvent.objects.get(event="drill_plan.planned").data["planned"][0]["seed_sha256"]
    opened = AuditEvent.objects.get(event="planned_drill.started").data["draw"]
    assert sealed == commitment(redrawn.seed) == commitment(opened["seed"])
    PlannedDrill.objects.filter(pk=planned.pk).update(starts_at=planned.starts_at + dt.timedelta(seconds=1))
    redrawn = draw_again(planned.pk)
    assert redrawn is not None
    assert not redrawn.agrees, "whoever moved it is found out"


def test_announced_drill_of_an_alias_has_nothing_to_draw(time: Clock, plan: Plan) -> None:
    planned = drills_of(plan())[0]
    time.at = planned.starts_at
    start_due()
    assert draw_again(planned.pk) is None
    with pytest.raises(NotFound):
        draw_again(planned.pk + 1000)
    with pytest.raises(NotFound):
        get_planned(planned.pk + 1000)


def test_planned_drills_are_filtered(time: Clock, plan: Plan, cast: Cast) -> None:
    one, other = plan(), plan(name="Other", policy=seed_policy(alias="other"), cadence=Cadence.QUARTERLY)
    PlannedDrillFactory(plan=other, passed=True, starts_at=dt.datetime(2026, 7, 1, 10, tzinfo=dt.UTC))
    assert {row.plan for row in list_planned(plan=one.pk)} == {one}
    assert {row.plan for row in list_planned(alias="other")} == {other}
    assert [row.state for row in list_planned(state="passed")] == [PlannedState.PASSED]
    assert list_planned(team="nobody") == []
    assert list_planned(environment="elsewhere") == []
    assert len(list_planned(team=one.team.slug, environment="staging")) == PlannedDrill.objects.count()
    until = dt.datetime(2026, 12, 31, tzinfo=dt.UTC)
    assert [row.starts_at for row in list_planned(until=until)] == sorted(row.starts_at for row in list_planned(until=until) if row.starts_at)
    assert [row.period_in_words for row in list_planned(since=time.at, until=until)] == ["December 2026"]
    with pytest.raises(InvalidInput, match="no state"):
        list_planned(state="nonsense")


def test_lists_take_a_fixed_number_of_queries(time: Clock, plan: Plan, policy: RoutingPolicy, django_assert_num_queries: Any) -> None:
    for number in range(6):
        made = plan(
            name=f"plan {number}", announced=number % 2 == 0, **({"artefact": policy.artefact, "environment": policy.environment} if number > 3 else {})
        )
        if number <= 3:
            PlannedDrillFactory(plan=made, passed=True, starts_at=dt.datetime(2026, 7, 1, 10, tzinfo=dt.UTC))
        PlannedDrillFactory(plan=made, excused=True, starts_at=dt.datetime(2026, 8, 1, 10, tzinfo=dt.UTC))
    with django_assert_num_queries(1):
        rows = list_planned()
        assert [f"{row.when_in_words} {row.plan.team} {row.plan.owner} {row.excused_by} {row.alias} {row.url}" for row in rows]
    with django_assert_num_queries(4):
        plans = list_plans()
        assert [f"{row.target} {row.cadence_in_words} {row.plan.owner} {row.next} {row.last}" for row in plans]
    assert [(row.last.state, row.next.period_in_words) for row in plans if row.last and row.next] == [(PlannedState.EXCUSED, "December 2026")] * 6


def test_plans_say_what_they_do_in_words(time: Clock, plan: Plan, policy: RoutingPolicy) -> None:
    plan()
    plan(name="By stakes", cadence=Cadence.BY_STAKES, announced=False)
    plan(name="Cron", cadence=Cadence.CRON, cron="0 10 * * 2", artefact=policy.artefact, environment=policy.environment)
    time.set(2026, 12, 3)
    mark_late()
    plan_ahead()
    said = {row.plan.name: (row.target, row.cadence_in_words, row.missed) for row in list_plans(active=True)}
    assert said == {
        "Reasoner": ("smart-reasoner", "Monthly, announced: on the first working day an hour after 09:00 UTC", 1),
        "By stakes": ("smart-reasoner", "Quarterly (standard stakes), unannounced: at a random time, Monday to Friday 09:00 to 17:00 UTC", 0),
        "Cron": ("one alias of smart-reasoner-model, by chance", "By 0 10 * * 2 in UTC, announced", 1),
    }
    assert list_plans(active=False) == list_plans(team="nobody") == list_plans(owner="nobody") == []


def test_what_was_excused_ahead_is_still_to_come_and_not_the_last(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan()
    held, ahead, *_ = drills_of(made)
    PlannedDrill.objects.filter(pk=held.pk).update(state=PlannedState.MISSED, ended_at=held.latest_at)
    time.at = held.latest_at
    excuse_planned(planned_id=ahead.pk, reason="The team moves house.", user=cast.lead, actor=actor_of(cast.lead))
    last = describe_plans([made])[0].last
    assert last is not None
    assert (last.id, last.was_due, get_planned(ahead.pk).was_due) == (held.pk, True, False)
    time.at = ahead.starts_at
    last = describe_plans([made])[0].last
    assert last is not None
    assert (last.id, last.was_due) == (ahead.pk, True)
