"""What people write about drills follows the one rule of what can be shown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from drills.domain.feeds import make_feed
from drills.domain.plans import change_plan, end_plan
from drills.domain.programme import excuse_planned
from drills.domain.quiet import make_quiet_period
from drills.enums import PlannedState
from drills.models import CalendarFeed, DrillPlan, PlannedDrill, QuietPeriod
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput
from tests.factories.accounts import TeamFactory
from tests.factories.drills import PlannedDrillFactory
from tests.factories.fixtures import Cast

UNSHOWABLE = "Away\x1b[2J"


def _excuse(planned: PlannedDrill, text: str, cast: Cast) -> object:
    return excuse_planned(planned_id=planned.pk, reason=text, actor=actor_of(cast.lead), user=cast.lead)


def _end(planned: PlannedDrill, text: str, cast: Cast) -> object:
    return end_plan(plan_id=planned.plan_id, reason=text, actor=actor_of(cast.lead), user=cast.lead)


def _rename(planned: PlannedDrill, text: str, cast: Cast) -> object:
    return change_plan(plan_id=planned.plan_id, name=text, actor=actor_of(cast.lead), user=cast.lead)


def _quiet(planned: PlannedDrill, text: str, cast: Cast) -> object:
    now = clock.now()
    return make_quiet_period(team=None, starts_at=now, ends_at=now + dt.timedelta(days=1), reason=text, actor=actor_of(cast.lead), user=cast.lead)


def _feed(planned: PlannedDrill, text: str, cast: Cast) -> object:
    return make_feed(team=TeamFactory(), name=text, actor=actor_of(cast.lead), user=cast.lead)


@pytest.mark.django_db
@pytest.mark.parametrize("write", [_excuse, _end, _rename, _quiet, _feed])
def test_text_that_cannot_be_shown_is_refused_and_changes_nothing(write: Callable[[PlannedDrill, str, Cast], object], cast: Cast) -> None:
    planned = PlannedDrillFactory()
    with pytest.raises(InvalidInput) as refusal:
        write(planned, UNSHOWABLE, cast)
    assert refusal.value.code == "unshowable_text"
    assert PlannedDrill.objects.get().state == PlannedState.DUE
    assert DrillPlan.objects.get().is_active
    assert not QuietPeriod.objects.exists()
    assert not CalendarFeed.objects.exists()


@pytest.mark.django_db
def test_marks_of_direction_are_left_out_of_reasons(cast: Cast) -> None:
    planned = PlannedDrillFactory()
    _excuse(planned, "\u202eThe team moves house.", cast)
    planned.refresh_from_db()
    assert planned.why == "The team moves house."
