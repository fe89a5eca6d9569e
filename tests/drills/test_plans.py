"""Drill plans: made, changed, ended; what is still to come follows, what ran stays."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from typing import Any

import pytest

from drills.domain.planning import plan_ahead
from drills.domain.plans import change_plan, end_plan, get_plan, make_plan
from drills.domain.programme import start_due
from drills.domain.schedule import commitment, slot_seed
from drills.enums import Cadence, PlannedState
from drills.models import DrillPlan, PlannedDrill
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Team
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.registry.models import Artefact
from rollbackhub.routing.models import RoutingPolicy
from tests.databases import FreshDatabase
from tests.drills.conftest import BERLIN, Clock, Plan, drills_of, utc
from tests.factories.accounts import TeamFactory, UserFactory
from tests.factories.fixtures import Cast, make_cast
from tests.factories.registry import EnvironmentFactory
from tests.routing.conftest import seed_policy
from tests.threads import at_once


def change(plan: DrillPlan, cast: Cast, **values: Any) -> DrillPlan:
    return change_plan(plan_id=plan.pk, user=cast.lead, actor=actor_of(cast.lead), **values)


def slots(plan: DrillPlan) -> list[str]:
    return [f"{planned.slot:%Y-%m-%d %H:%M}" for planned in drills_of(plan)]


def test_plan_is_written_down_ahead_at_once(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan()
    assert slots(made) == ["2026-12-01 00:00", "2027-01-01 00:00", "2027-02-01 00:00", "2027-03-01 00:00"]
    first = drills_of(made)[0]
    assert (first.state, first.starts_at, first.latest_at) == (PlannedState.DUE, utc(2026, 12, 1, 10), utc(2026, 12, 2, 10))
    assert made.team == made.target_artefact.team
    assert plan_ahead() == 0


def test_hourly_plan_is_written_down_for_35_days_at_once(time: Clock, plan: Plan) -> None:
    made = plan(cadence="cron", cron="0 * * * *")
    assert len(drills_of(made)) == 35 * 24
    assert made.planned_until == utc(2027, 1, 5, 7)


def test_plan_made_after_this_months_time_begins_with_the_next(time: Clock, plan: Plan) -> None:
    time.set(2026, 12, 1, 12)
    assert slots(plan())[0] == "2027-01-01 00:00"


@pytest.mark.parametrize(("stakes", "months"), [("high", [12, 1, 2, 3]), ("standard", [1])])
def test_cadence_by_stakes(time: Clock, plan: Plan, policy: RoutingPolicy, stakes: str, months: list[int]) -> None:
    Artefact.objects.filter(pk=policy.artefact_id).update(stakes=stakes)
    policy.refresh_from_db()
    assert [planned.slot.month for planned in drills_of(plan(cadence=Cadence.BY_STAKES))] == months


def test_stakes_that_change_plan_anew_by_themselves(time: Clock, plan: Plan, policy: RoutingPolicy) -> None:
    made = plan(cadence=Cadence.BY_STAKES)
    assert slots(made) == ["2027-01-01 00:00"]
    Artefact.objects.filter(pk=policy.artefact_id).update(stakes="high")
    assert plan_ahead() == 4
    assert slots(made) == ["2026-12-01 00:00", "2027-01-01 00:00", "2027-02-01 00:00", "2027-03-01 00:00"]
    data = AuditEvent.objects.filter(event="drill_plan.planned").latest("id").data
    assert data["planned_anew"] == ["2027-01-01T00:00:00+00:00"]


def test_hours_of_the_team_that_change_move_what_is_to_come_and_lose_nothing(time: Clock, plan: Plan) -> None:
    made = plan()
    # At 9:30, half an hour before its time, work is said to start at 8: its new time of this month is over.
    time.set(2026, 12, 1, 9, 30)
    Team.objects.filter(pk=made.team_id).update(work_starts=dt.time(8))
    plan_ahead()
    assert [planned.starts_at for planned in drills_of(made)][:2] == [utc(2026, 12, 1, 10), utc(2027, 1, 1, 9)]
    Team.objects.filter(pk=made.team_id).update(timezone=BERLIN)
    plan_ahead()
    assert [planned.starts_at for planned in drills_of(made)][:2] == [utc(2026, 12, 1, 10), utc(2027, 1, 1, 8)]


def test_cadence_that_changes_keeps_what_ran(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan()
    time.set(2026, 12, 1, 10)
    assert start_due() == 1
    ran = drills_of(made)[0]
    time.set(2026, 12, 10)
    change(made, cast, cadence=Cadence.CRON, cron="0 10 * * 2")
    found = drills_of(made)
    assert found[0] == ran
    assert slots(made)[1:4] == ["2026-12-15 10:00", "2026-12-22 10:00", "2026-12-29 10:00"]
    assert max(planned.slot for planned in found) < time.at + dt.timedelta(days=35)
    change(made, cast, cadence=Cadence.MONTHLY)
    assert slots(made) == ["2026-12-01 00:00", "2027-01-01 00:00", "2027-02-01 00:00", "2027-03-01 00:00"]
    assert drills_of(made)[0] == ran
    assert get_plan(made.pk).cron == ""


def test_period_that_had_its_drill_gets_no_other_by_another_cadence(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan(cadence=Cadence.CRON, cron="0 10 * * 2")
    time.set(2026, 12, 1, 10)
    assert start_due() == 1
    change(made, cast, cadence=Cadence.MONTHLY, announced=False)
    assert slots(made) == ["2026-12-01 10:00", "2027-01-01 00:00", "2027-02-01 00:00", "2027-03-01 00:00"]


def test_unannounced_plan_draws_the_same_times_whatever_else_changes(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan(announced=False)
    before = [(planned.slot, planned.starts_at) for planned in drills_of(made)]
    change(made, cast, late_hours=48)
    assert [(planned.slot, planned.starts_at) for planned in drills_of(made)] == before


def test_plan_that_was_announced_meanwhile_draws_other_times(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan(announced=False)
    before = {planned.starts_at for planned in drills_of(made)}
    change(made, cast, announced=True)
    change(made, cast, announced=False)
    assert not before & {planned.starts_at for planned in drills_of(made)}


def test_seed_is_recorded_by_its_hash_only(time: Clock, plan: Plan) -> None:
    made = plan(announced=False)
    event = AuditEvent.objects.get(event="drill_plan.made")
    assert event.data["seed_sha256"] == commitment(str(made.seed))
    planned = AuditEvent.objects.get(event="drill_plan.planned").data["planned"]
    assert [entry["seed_sha256"] for entry in planned] == [commitment(slot_seed(made.seed, row.slot)) for row in drills_of(made)]
    for row in AuditEvent.objects.all():
        text = str(row.data)
        assert str(made.seed) not in text
        for due in drills_of(made):
            assert due.starts_at.isoformat() not in text
            assert f"{due.starts_at:%H:%M:%S}" not in text


def test_two_plans_have_two_seeds(time: Clock, plan: Plan) -> None:
    assert plan().seed != plan(name="Another").seed


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"cadence": "cron", "cron": "0,30 9 * * *"}, "cron"),
        ({"cadence": "cron"}, "cron"),
        ({"cadence": "monthly", "cron": "0 10 * * 2"}, "cron"),
        ({"cadence": "weekly"}, "cadence"),
        ({"cadence": "cron", "cron": "0 3 * * *", "announced": False}, "cron"),
        ({"late_hours": 0}, "late_hours"),
        ({"late_hours": 169}, "late_hours"),
    ],
)
def test_plan_that_cannot_be_names_the_field(time: Clock, plan: Plan, values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        plan(**values)
    assert list(caught.value.fields) == [field]
    assert caught.value.code == "invalid_plan"
    assert not DrillPlan.objects.exists()


def test_plan_wants_an_owner_who_may_drill_and_is_a_person(time: Clock, plan: Plan, cast: Cast) -> None:
    service = UserFactory(roles=[Role.ON_CALL], responsible=cast.lead)
    for owner in (cast.auditor, cast.stranger, service, UserFactory(roles=[Role.ON_CALL], is_active=False)):
        with pytest.raises(InvalidInput) as caught:
            plan(owner=owner)
        assert list(caught.value.fields) == ["owner"]


def test_plan_wants_one_target_in_staging(time: Clock, plan: Plan, policy: RoutingPolicy) -> None:
    live = seed_policy(environment="production", alias="live-alias")
    with pytest.raises(InvalidInput) as caught:
        plan(policy=live)
    assert list(caught.value.fields) == ["environment"]
    with pytest.raises(InvalidInput) as caught:
        plan(policy=policy, environment=EnvironmentFactory(slug="other"))
    assert "stands in staging" in caught.value.fields["environment"][0]
    with pytest.raises(InvalidInput) as caught:
        plan(policy=policy, artefact=policy.artefact)
    assert list(caught.value.fields) == ["target"]
    with pytest.raises(InvalidInput) as caught:
        plan(policy=None)
    assert list(caught.value.fields) == ["target"]
    with pytest.raises(InvalidInput) as caught:
        plan(artefact=policy.artefact)
    assert list(caught.value.fields) == ["environment"]
    assert plan(artefact=policy.artefact, environment=policy.environment).policy is None


def test_name_is_taken_once_in_a_team(time: Clock, plan: Plan, cast: Cast) -> None:
    first = plan()
    with pytest.raises(InvalidInput) as caught:
        plan()
    assert list(caught.value.fields) == ["name"]
    other = plan(team=TeamFactory(slug="search"))
    with pytest.raises(InvalidInput):
        change(other, cast, team=first.team)
    assert change(other, cast, name="Other").name == "Other"


@pytest.mark.parametrize("who", ["on_call", "leadership", "auditor", "stranger"])
def test_only_who_configures_makes_changes_and_ends_plans(time: Clock, plan: Plan, cast: Cast, who: str) -> None:
    made, person = plan(), getattr(cast, who)
    for act in (
        lambda: plan(name="Mine", user=person),
        lambda: change_plan(plan_id=made.pk, user=person, actor=actor_of(person), name="x"),
        lambda: end_plan(plan_id=made.pk, user=person, actor=actor_of(person)),
    ):
        with pytest.raises(Forbidden):
            act()
    assert get_plan(made.pk).name == "Reasoner"


def test_change_without_a_difference_records_nothing(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan()
    before = AuditEvent.objects.count()
    assert change(made, cast, name="Reasoner", late_hours=24, cadence="monthly") == made
    assert AuditEvent.objects.count() == before


def test_target_changes_from_alias_to_artefact_and_back(time: Clock, plan: Plan, cast: Cast, policy: RoutingPolicy) -> None:
    made = plan()
    changed = change(made, cast, artefact=policy.artefact)
    assert (changed.policy, changed.artefact, changed.environment) == (None, policy.artefact, policy.environment)
    assert change(made, cast, policy=policy).policy == policy
    data = AuditEvent.objects.filter(event="drill_plan.changed").latest("id").data
    assert data["changes"] == {"alias": [None, "smart-reasoner"], "artefact": ["smart-reasoner-model", None]}


def test_ended_plan_takes_off_what_is_to_come_and_misses_what_was_due(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan()
    time.set(2026, 12, 1, 11)
    ended = end_plan(plan_id=made.pk, user=cast.lead, actor=actor_of(cast.lead), reason="The alias goes away.")
    assert not ended.is_active
    (left,) = drills_of(made)
    assert (left.state, left.why) == (PlannedState.MISSED, "Lee Lead ended the plan before it could start: The alias goes away.")
    data = AuditEvent.objects.get(event="drill_plan.ended").data
    assert (data["missed"], data["taken_off"][0]) == (1, "2027-01-01T00:00:00+00:00")
    assert plan_ahead() == 0
    with pytest.raises(Conflict, match="ended already"):
        end_plan(plan_id=made.pk, user=cast.lead, actor=actor_of(cast.lead))


def test_ended_plan_taken_up_again_plans_from_now_on(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan()
    change(made, cast, is_active=False)
    time.set(2027, 4, 10)
    assert change(made, cast, is_active=True).is_active
    assert slots(made) == ["2027-05-01 00:00", "2027-06-01 00:00", "2027-07-01 00:00"]


def test_plan_that_does_not_exist_is_not_found(cast: Cast) -> None:
    for act in (
        lambda: get_plan(7),
        lambda: change_plan(plan_id=7, user=cast.lead, actor=actor_of(cast.lead)),
        lambda: end_plan(plan_id=7, user=cast.lead, actor=actor_of(cast.lead)),
    ):
        with pytest.raises(NotFound):
            act()


def test_long_outage_is_written_down_afterwards_slot_by_slot(time: Clock, plan: Plan) -> None:
    made = plan(cadence=Cadence.CRON, cron="0 10 * * 2")
    time.set(2027, 3, 1)
    plan_ahead()
    found = drills_of(made)
    assert all(after.slot - before.slot == dt.timedelta(days=7) for before, after in pairwise(found))
    assert found[-1].slot > time.at


def test_change_of_the_hours_during_a_long_outage_loses_no_slot(time: Clock, plan: Plan) -> None:
    made = plan()
    time.set(2027, 8, 15)
    Team.objects.filter(pk=made.team_id).update(timezone=BERLIN)
    plan_ahead()
    months = [(planned.slot.year, planned.slot.month) for planned in drills_of(made)]
    assert months == [(2026, 12), *((2027, month) for month in range(1, 12))]


def test_many_slots_are_written_over_several_turns(time: Clock, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drills.domain.planning.AT_ONCE", 100)
    made = plan(cadence=Cadence.CRON, cron="0 * * * *")
    while plan_ahead():
        pass
    found = drills_of(made)
    assert len(found) == 35 * 24
    assert all(after.slot - before.slot == dt.timedelta(hours=1) for before, after in pairwise(found))


def test_four_who_plan_ahead_at_once_write_each_slot_once(fresh_database: FreshDatabase) -> None:
    cast, policy = make_cast(), seed_policy()
    for number in range(3):
        make_plan(name=f"{number}", owner=cast.on_call, policy=policy, cadence="cron", cron="0 * * * *", user=cast.lead, actor=actor_of(cast.lead))
    PlannedDrill.objects.all().delete()
    DrillPlan.objects.update(planned_until=None, planned_by="")
    results = at_once(4, lambda _: plan_ahead())
    assert [result for result in results if not isinstance(result, int)] == []
    while plan_ahead():
        pass
    for made in DrillPlan.objects.all():
        found = drills_of(made)
        assert len(found) >= 35 * 24 - 1
        assert all(after.slot - before.slot == dt.timedelta(hours=1) for before, after in pairwise(found))


def test_looking_at_idle_plans_takes_two_queries(time: Clock, plan: Plan, django_assert_num_queries: Any) -> None:
    for number in range(5):
        plan(name=f"plan {number}")
    with django_assert_num_queries(2):
        assert plan_ahead() == 0
