"""Quiet periods: what falls into one is moved, or says why it is missed."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from drills.domain.planning import move_out_of_quiet, plan_ahead
from drills.domain.programme import keep_programme, start_due
from drills.domain.quiet import end_quiet_period, make_quiet_period
from drills.enums import PlannedState
from drills.models import QuietPeriod
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from tests.drills.conftest import Clock, Plan, first, utc
from tests.factories.accounts import TeamFactory
from tests.factories.drills import QuietPeriodFactory
from tests.factories.fixtures import Cast


def quiet(cast: Cast, since: dt.datetime, until: dt.datetime, **values: Any) -> QuietPeriod:
    return make_quiet_period(starts_at=since, ends_at=until, reason="Freeze", user=cast.lead, actor=actor_of(cast.lead), **{"team": None, **values})


def test_due_drill_that_a_quiet_period_hits_is_moved_behind_it(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan()
    quiet(cast, utc(2026, 12, 1, 9), utc(2026, 12, 3, 12))
    assert (plan_ahead(), plan_ahead()) == (1, 0)
    assert (first(made).starts_at, first(made).latest_at) == (utc(2026, 12, 4, 10), utc(2026, 12, 5, 10))
    data = AuditEvent.objects.get(event="planned_drill.moved").data
    assert (data["from"], data["to"]) == ("2026-12-01T10:00:00+00:00", "2026-12-04T10:00:00+00:00")


def test_moved_unannounced_drill_tells_no_time_on_the_record(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan(announced=False)
    before = first(made).starts_at
    quiet(cast, before - dt.timedelta(hours=1), before + dt.timedelta(hours=1))
    assert plan_ahead() == 1
    assert first(made).starts_at != before
    assert AuditEvent.objects.get(event="planned_drill.moved").data == {"plan": "Reasoner", "slot": "2026-12-01T00:00:00+00:00"}


def test_quiet_period_of_another_team_moves_nothing(time: Clock, plan: Plan, cast: Cast) -> None:
    plan()
    quiet(cast, utc(2026, 12, 1, 9), utc(2026, 12, 3, 12), team=TeamFactory(slug="search"))
    assert plan_ahead() == 0


def test_quiet_period_without_an_end_in_the_period_makes_it_missed_in_words_unless_it_is_taken_back(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan()
    found = quiet(cast, utc(2026, 12, 1, 9), utc(2027, 1, 2))
    # January's is moved behind it; December's has no time left.
    assert (move_out_of_quiet(), move_out_of_quiet()) == (1, 0)
    assert "leaves no time" in first(made).why
    time.set(2026, 12, 1, 12)
    keep_programme()
    assert (first(made).state, first(made).why) == (PlannedState.DUE, "It is quiet until 2027-01-02 00:00 UTC (Freeze).")
    time.set(2026, 12, 1, 14)
    end_quiet_period(quiet_id=found.pk, user=cast.lead, actor=actor_of(cast.lead))
    assert start_due() == 1
    QuietPeriod.objects.all().delete()


def test_quiet_period_that_is_never_over_in_time_is_why_a_drill_was_missed(time: Clock, plan: Plan, cast: Cast) -> None:
    made = plan()
    QuietPeriodFactory(starts_at=utc(2026, 12, 1, 9), ends_at=utc(2027, 1, 2), reason="Freeze")
    time.set(2026, 12, 1, 12)
    keep_programme()
    time.set(2026, 12, 2, 12)
    keep_programme()
    assert first(made).state == PlannedState.MISSED
    assert first(made).why == "It could not start until 2026-12-02 10:00 UTC: It is quiet until 2027-01-02 00:00 UTC (Freeze)."


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"reason": " "}, "reason"),
        ({"ends_at": utc(2026, 12, 1)}, "ends_at"),
        ({"ends_at": utc(2027, 6, 1)}, "ends_at"),
        ({"starts_at": utc(2026, 11, 1), "ends_at": utc(2026, 11, 2)}, "ends_at"),
    ],
)
def test_quiet_period_that_cannot_be_names_the_field(time: Clock, cast: Cast, values: dict[str, Any], field: str) -> None:
    given = {"team": None, "starts_at": utc(2026, 12, 2), "ends_at": utc(2026, 12, 3), "reason": "x", **values}
    with pytest.raises(InvalidInput) as caught:
        make_quiet_period(user=cast.lead, actor=actor_of(cast.lead), **given)
    assert list(caught.value.fields) == [field]


def test_quiet_period_ends_now_goes_or_stays_on_record(time: Clock, cast: Cast) -> None:
    coming, present, past = (
        QuietPeriodFactory(starts_at=time.at + dt.timedelta(days=days), ends_at=time.at + dt.timedelta(days=days + 2)) for days in (1, -1, -5)
    )
    by_lead: dict[str, Any] = {"user": cast.lead, "actor": actor_of(cast.lead)}
    end_quiet_period(quiet_id=coming.pk, **by_lead)
    end_quiet_period(quiet_id=present.pk, **by_lead)
    with pytest.raises(Conflict, match="is over"):
        end_quiet_period(quiet_id=past.pk, **by_lead)
    with pytest.raises(NotFound):
        end_quiet_period(quiet_id=coming.pk, **by_lead)
    present.refresh_from_db()
    assert present.ends_at == time.at
    for who in (cast.on_call, cast.auditor):
        with pytest.raises(Forbidden):
            end_quiet_period(quiet_id=past.pk, user=who, actor=actor_of(who))
        with pytest.raises(Forbidden):
            make_quiet_period(team=None, starts_at=time.at, ends_at=time.at + dt.timedelta(days=1), reason="x", user=who, actor=actor_of(who))
