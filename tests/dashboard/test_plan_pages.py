"""Pages of drill plans and of planned drills."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from drills.domain.plans import make_plan
from drills.enums import PlannedState
from drills.models import DrillPlan, PlannedDrill
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.routing.models import RoutingPolicy
from tests.dashboard.people import client_of, page
from tests.dashboard.programme_world import Programme, addresses_of_programme, make_programme
from tests.dashboard.world import World
from tests.factories.accounts import TeamFactory
from tests.factories.drills import DrillPlanFactory, PlannedDrillFactory, QuietPeriodFactory
from tests.factories.fixtures import Cast
from tests.routing.conftest import seed_policy

pytestmark = pytest.mark.django_db
PLANS = "/drills/plans/"
TODAY = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


@pytest.fixture
def programme(cast: Cast, world: World) -> Programme:
    return make_programme(world)


@pytest.fixture
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    """Monday, 23 November 2026, noon."""
    monkeypatch.setattr(clock, "now", lambda: TODAY)


def text_of(client: Client, address: str, *, status: int = 200) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", unescape(page(client, address, status=status))))


def wanted(**changed: Any) -> dict[str, Any]:
    """What the form sends for a monthly plan of smart-reasoner."""
    return {
        "name": "Reasoner", "owner": "oncall", "environment": "staging", "team": "", "alias": "smart-reasoner", "artefact": "", "cadence": "monthly",
        "cron": "", "announced": "yes", "late_hours": "24", **changed,
    }  # fmt: skip


def previewed_of(client: Client, values: dict[str, Any], address: str = f"{PLANS}new/") -> tuple[str, str]:
    """The page that shows what a plan would plan, and what its button sends."""
    answer = client.post(address, values)
    html = unescape(answer.content.decode())
    assert answer.status_code == 200, html
    found = re.search(r'name="previewed" value="([0-9a-f]{16})"', html)
    assert found
    return html, found[1]


def test_pages_of_the_programme_all_open(cast: Cast, programme: Programme) -> None:
    client = client_of(cast.admin)
    for address in addresses_of_programme(programme).values():
        assert "<h1" in page(client, address), address


# The list and the page of a plan.


def test_list_has_next_and_last_of_each_plan_and_what_is_overdue(cast: Cast, programme: Programme) -> None:
    html = page(client_of(cast.auditor), PLANS)
    text = text_of(client_of(cast.auditor), PLANS)
    assert "1 planned drill is overdue." in text
    assert "Reasoner every month" in text
    assert "one alias of support-prompt, by chance" in text
    assert "Old one" not in text
    assert f'href="/drills/planned/{programme.planned["due"].pk}/"' in html or f'href="/drills/planned/{programme.planned["overdue"].pk}/"' in html
    assert "Old one" in page(client_of(cast.auditor), PLANS + "?ended=1")


def test_list_of_a_team_and_what_there_is_not_is_said(cast: Cast, programme: Programme) -> None:
    TeamFactory(slug="search", name="Search")
    client = client_of(cast.auditor)
    assert "No plan matches" in page(client, PLANS + "?team=search")
    assert "filters by what there is not (team=nobody)" in page(client, PLANS + "?team=nobody")
    assert "Reasoner every month" in page(client, PLANS + "?team=nobody")
    assert "filters by what there is not (ended=perhaps)" in page(client, PLANS + "?ended=perhaps")


def test_list_without_a_plan_offers_one_to_who_may_make_it(cast: Cast) -> None:
    assert "Plan drills" in page(client_of(cast.lead), PLANS)
    text = page(client_of(cast.on_call), PLANS)
    assert "Nothing is drilled by plan yet" in text
    assert "Plan drills" not in text


def test_a_drill_that_was_excused_ahead_of_its_time_is_due_still(cast: Cast) -> None:
    planned = PlannedDrillFactory(excused=True)
    client = client_of(cast.auditor)
    text = text_of(client, reverse("drills:planned", args=[planned.pk]))
    assert "Was due" not in text
    assert "it is not held" in text
    assert "It has not drilled yet." in text_of(client, f"{PLANS}{planned.plan_id}/")
    PlannedDrill.objects.filter(pk=planned.pk).update(starts_at=clock.now() - dt.timedelta(minutes=1))
    text = text_of(client, reverse("drills:planned", args=[planned.pk]))
    assert "Was due" in text
    assert "it was not held" in text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (PlannedState.OVERDUE, "No: 1 drill is overdue."),
        (PlannedState.MISSED, "No: its last drill was missed."),
        (PlannedState.FAILED, "It is, but its last drill failed."),
        (PlannedState.PASSED, "Yes: nothing of it is overdue, and its last drill passed."),
        (PlannedState.EXCUSED, "Yes: nothing of it is overdue."),
        (PlannedState.DUE, "It has not drilled yet."),
    ],
)
def test_page_of_a_plan_answers_whether_it_is_kept(state: str, words: str, cast: Cast) -> None:
    trait = {state: True} if state not in (PlannedState.DUE, PlannedState.OVERDUE) else {"state": state}
    planned = PlannedDrillFactory(**trait, **({} if state == PlannedState.DUE else {"starts_at": clock.now() - dt.timedelta(days=2)}))
    assert words in text_of(client_of(cast.auditor), f"{PLANS}{planned.plan_id}/")


def test_page_of_a_plan_offers_acts_by_role(cast: Cast, programme: Programme) -> None:
    address = f"{PLANS}{programme.plan.pk}/"
    assert "End…" in page(client_of(cast.lead), address)
    text = page(client_of(cast.on_call), address)
    assert "End…" not in text
    assert "edit/" not in text
    assert "Take it up again…" in page(client_of(cast.lead), f"{PLANS}{programme.ended.pk}/")


# Making and changing.


@pytest.mark.usefixtures("_today")
def test_new_plan_is_shown_before_it_is_kept(cast: Cast) -> None:
    seed_policy()
    client = client_of(cast.lead)
    html, digest = previewed_of(client, wanted())
    assert "Nothing is kept yet" in html
    # The first working days at an hour after work starts; November's has passed.
    assert re.findall(r'datetime="(2026-1\d-\d\dT[\d:]+\+00:00|2027-0[1-5]-\d\dT[\d:]+\+00:00)"', html)[:3] == [
        "2026-12-01T10:00:00+00:00", "2027-01-01T10:00:00+00:00", "2027-02-01T10:00:00+00:00",
    ]  # fmt: skip
    assert not DrillPlan.objects.exists()
    answer = client.post(f"{PLANS}new/", wanted(previewed=digest))
    plan = DrillPlan.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"{PLANS}{plan.pk}/")
    assert (plan.name, plan.owner, plan.policy.alias, plan.cadence, plan.team.slug) == ("Reasoner", cast.on_call, "smart-reasoner", "monthly", "platform")  # type: ignore[union-attr]
    assert [planned.starts_at.isoformat() for planned in PlannedDrill.objects.order_by("slot")][:2] == [
        "2026-12-01T10:00:00+00:00",
        "2027-01-01T10:00:00+00:00",
    ]
    assert AuditEvent.objects.filter(event="drill_plan.made", actor_user_id=cast.lead.pk).exists()


@pytest.mark.usefixtures("_today")
def test_what_was_changed_after_the_preview_is_shown_anew_and_not_kept(cast: Cast) -> None:
    seed_policy()
    client = client_of(cast.lead)
    _, digest = previewed_of(client, wanted())
    html, other = previewed_of(client, wanted(previewed=digest, cadence="quarterly"))
    assert "it was changed since" in html
    assert other != digest
    assert not DrillPlan.objects.exists()


@pytest.mark.usefixtures("_today")
def test_preview_tells_no_time_of_an_unannounced_plan(cast: Cast) -> None:
    seed_policy()
    html, _ = previewed_of(client_of(cast.lead), wanted(announced="no"))
    slots = html.split('class="slots"')[1].split("</ol>")[0]
    assert "Some time in November 2026" in slots
    assert "Some time in December 2026" in slots
    assert "<time" not in slots


@pytest.mark.usefixtures("_today")
def test_preview_of_a_change_leaves_out_the_period_that_has_had_its_drill(cast: Cast) -> None:
    plan = make_plan(name="Reasoner", owner=cast.on_call, actor=actor_of(cast.lead), user=cast.lead, policy=seed_policy(), cadence="monthly")
    PlannedDrillFactory(plan=plan, slot=dt.datetime(2026, 11, 1, tzinfo=dt.UTC), starts_at=dt.datetime(2026, 11, 2, 10, tzinfo=dt.UTC), excused=True)
    html, digest = previewed_of(client_of(cast.lead), wanted(announced="no"), f"{PLANS}{plan.pk}/edit/")
    assert "Some time in November 2026" not in html
    assert "Some time in December 2026" in html
    assert client_of(cast.lead).post(f"{PLANS}{plan.pk}/edit/", wanted(announced="no", previewed=digest)).status_code == 302
    plan.refresh_from_db()
    assert plan.announced is False
    assert AuditEvent.objects.filter(event="drill_plan.changed").exists()


@pytest.mark.usefixtures("_today")
def test_preview_moves_what_falls_into_a_quiet_period(cast: Cast) -> None:
    seed_policy()
    start = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
    QuietPeriodFactory(starts_at=start, ends_at=start + dt.timedelta(days=5), reason="Freeze")
    html, _ = previewed_of(client_of(cast.lead), wanted())
    assert "2026-12-07T10:00:00+00:00" in html
    assert "2026-12-01T10:00:00+00:00" not in html


@pytest.mark.usefixtures("_today")
def test_plan_of_an_artefact_draws_its_alias(cast: Cast) -> None:
    policy = seed_policy()
    client = client_of(cast.admin)
    values = wanted(alias="", artefact=policy.artefact.slug)
    _, digest = previewed_of(client, values)
    client.post(f"{PLANS}new/", values | {"previewed": digest})
    plan = DrillPlan.objects.get()
    assert (plan.policy, plan.artefact) == (None, policy.artefact)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"alias": ""}, "Name one target"),
        ({"artefact": "smart-reasoner-model"}, "Name one target"),
        ({"alias": "nothing-like-it"}, "There is no alias nothing-like-it in staging."),
        ({"alias": "", "artefact": "nothing-like-it"}, "There is no artefact nothing-like-it."),
        ({"name": ""}, "This field is required."),
        ({"owner": "auditor"}, "Select a valid choice"),
        ({"environment": "production"}, "Select a valid choice"),
        ({"cadence": "cron", "cron": ""}, "Write five fields"),
        ({"cadence": "cron", "cron": "0 25 * * *"}, "That is no cron expression"),
        ({"cadence": "cron", "cron": "* * * * *"}, "at most once an hour"),
        ({"cron": "0 10 * * 2"}, "Only the cadence cron has an expression"),
        ({"cadence": "daily"}, "Select a valid choice"),
        ({"late_hours": "0"}, "greater than or equal to 1"),
        ({"late_hours": "1000"}, "less than or equal to 168"),
    ],
)
def test_plan_that_does_not_fit_is_refused_at_its_field(changed: dict[str, str], sentence: str, cast: Cast) -> None:
    seed_policy()
    seed_policy(environment="production")
    answer = client_of(cast.lead).post(f"{PLANS}new/", wanted(**changed))
    assert answer.status_code == 422
    assert sentence in unescape(answer.content.decode())
    assert not DrillPlan.objects.exists()


@pytest.mark.usefixtures("_today")
def test_second_plan_of_the_same_name_is_refused_when_it_is_kept(cast: Cast) -> None:
    make_plan(name="Reasoner", owner=cast.on_call, actor=actor_of(cast.lead), user=cast.lead, policy=seed_policy(), cadence="monthly")
    client = client_of(cast.lead)
    _, digest = previewed_of(client, wanted())
    answer = client.post(f"{PLANS}new/", wanted(previewed=digest))
    assert answer.status_code == 422
    assert "has a plan named “Reasoner” already" in answer.content.decode()


def test_form_begins_with_what_the_address_names_and_the_person(cast: Cast) -> None:
    seed_policy()
    html = page(client_of(cast.lead), f"{PLANS}new/?alias=smart-reasoner&environment=staging")
    assert 'value="smart-reasoner"' in html
    assert '<option value="lead" selected>Lee Lead (lead)</option>' in html


def test_plan_is_ended_with_a_reason_and_taken_up_again(cast: Cast) -> None:
    plan = make_plan(name="Reasoner", owner=cast.on_call, actor=actor_of(cast.lead), user=cast.lead, policy=seed_policy(), cadence="monthly")
    client = client_of(cast.lead)
    answer = client.post(f"{PLANS}{plan.pk}/end/", {"reason": "It is retired."}, follow=True)
    assert "“Reasoner” has ended" in answer.content.decode()
    assert "It has ended: nothing is drilled by it." in answer.content.decode()
    assert client.post(f"{PLANS}{plan.pk}/end/", {"reason": "Once more."}).status_code == 409
    assert "drills again, from now on" in client.post(f"{PLANS}{plan.pk}/resume/", follow=True).content.decode()
    plan.refresh_from_db()
    assert plan.is_active


@pytest.mark.usefixtures("_today")
def test_preview_says_whose_clock_it_is_and_which_other_plan_drills_the_alias_then(cast: Cast) -> None:
    policy = seed_policy()
    make_plan(name="First", owner=cast.on_call, actor=actor_of(cast.lead), user=cast.lead, policy=policy, cadence="monthly")
    html, _ = previewed_of(client_of(cast.lead), wanted(name="Second"))
    assert "Planned by the clock of Platform (UTC), shown by yours. These are the first 6; drills are written down 100 days ahead." in html
    assert "“First” drills smart-reasoner at this time, too: one of the two has to wait for the other." in html
    html, _ = previewed_of(client_of(cast.lead), wanted(name="Second", cadence="cron", cron="0 11 1 * *"))
    assert "drills smart-reasoner at this time" not in html


def test_preview_offers_no_period_whose_working_hours_are_over(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    seed_policy()
    monkeypatch.setattr(clock, "now", lambda: dt.datetime(2026, 11, 30, 21, tzinfo=dt.UTC))
    html, _ = previewed_of(client_of(cast.lead), wanted(announced="no"))
    assert "Some time in November 2026" not in html
    assert "Some time in December 2026" in html


def test_drills_of_one_day_are_told_apart_by_their_time_and_caught_up_until_the_next(cast: Cast) -> None:
    plan = make_plan(name="Hourly", owner=cast.on_call, actor=actor_of(cast.lead), user=cast.lead, policy=seed_policy(), cadence="cron", cron="0 * * * *")
    planned = PlannedDrill.objects.filter(plan=plan).order_by("slot")[0]
    slot = planned.slot
    assert f"What becomes of the drill for {slot.day} {slot:%B %Y}, {slot:%H:%M} UTC?" in text_of(client_of(cast.auditor), f"/drills/planned/{planned.pk}/")
    text = text_of(client_of(cast.auditor), f"{PLANS}{plan.pk}/")
    assert "24 hours, but never beyond the next time of its expression; then a drill" in text
    assert "By 0 * * * * in UTC, announced" in text


# A planned drill.


@pytest.mark.parametrize(
    ("state", "words", "start", "excuse"),
    [
        ("due", "It is due, and starts by itself.", True, True),
        ("overdue", "It is overdue: it could not start at its time.", True, True),
        ("running", "It runs now.", False, False),
        ("passed", "It was held, and passed.", False, False),
        ("failed", "It was held, and failed.", False, False),
        ("missed", "It was missed.", False, True),
        ("excused", "excused it: it was not held", False, False),
    ],
)
def test_planned_drill_says_what_becomes_of_it_and_offers_what_may_be_done(
    state: str, words: str, start: bool, excuse: bool, cast: Cast, programme: Programme
) -> None:
    planned = programme.planned[state]
    address = f"/drills/planned/{planned.pk}/"
    html = unescape(page(client_of(cast.lead), address))
    assert words in html
    assert planned.why in html
    assert (f'action="{address}start/"' in html, f'action="{address}excuse/"' in html) == (start, excuse)
    on_call, auditor = page(client_of(cast.on_call), address), page(client_of(cast.auditor), address)
    assert (f'action="{address}start/"' in on_call, f'action="{address}excuse/"' in on_call) == (start, False)
    assert "start/" not in auditor
    if planned.execution_id:
        assert f'href="/drills/{planned.execution_id}/"' in html


def test_time_of_an_unannounced_drill_is_on_no_page(cast: Cast, programme: Programme) -> None:
    hidden = programme.hidden
    client = client_of(cast.admin)
    addresses = addresses_of_programme(programme)
    for name in ("plans", "planned-hidden", "calendar"):
        html = page(client, addresses[name])
        assert "ome time in" in html
        for secret in ("13:37", hidden.starts_at.isoformat()):
            assert secret not in html, name
    assert "13:37" not in page(client, f"{PLANS}{hidden.plan_id}/")
    assert "start/" not in page(client, addresses["planned-hidden"])


def test_planned_drill_is_started_by_who_may_drill(cast: Cast) -> None:
    planned = PlannedDrillFactory(plan__policy=seed_policy())
    answer = client_of(cast.on_call).post(f"/drills/planned/{planned.pk}/start/")
    planned.refresh_from_db()
    assert (answer.status_code, answer["Location"]) == (302, f"/drills/{planned.execution_id}/")
    assert planned.state == PlannedState.RUNNING
    assert client_of(cast.on_call).post(f"/drills/planned/{planned.pk}/start/").status_code == 409


def test_planned_drill_is_excused_by_a_lead_with_a_reason(cast: Cast, programme: Programme) -> None:
    planned = programme.planned["missed"]
    client, address = client_of(cast.lead), f"/drills/planned/{programme.planned['missed'].pk}/excuse/"
    refused = client.post(address, {"reason": "\x00 "})
    assert (refused.status_code, refused.content.decode().count("why this drill is not held")) == (422, 1)
    assert "What becomes of the drill" in refused.content.decode(), "it stays on the page"
    answer = client.post(address, {"reason": "The whole team was at a funeral."}, follow=True)
    assert "Lee Lead excused it" in answer.content.decode()
    planned.refresh_from_db()
    assert (planned.state, planned.excused_by, planned.why) == (PlannedState.EXCUSED, cast.lead, "The whole team was at a funeral.")
    assert client.post(address, {"reason": "Again."}).status_code == 409


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("plans/new/", {"lead", "admin"}),
        ("plans/{plan}/edit/", {"lead", "admin"}),
        ("plans/{plan}/end/", {"lead", "admin"}),
        ("plans/{plan}/resume/", {"lead", "admin"}),
        ("planned/{planned}/start/", {"on_call", "lead", "admin"}),
        ("planned/{planned}/excuse/", {"lead", "leadership"}),
    ],
)
def test_acts_are_for_those_who_may(address: str, allowed: set[str], cast: Cast) -> None:
    plan = DrillPlanFactory(policy=seed_policy())
    planned = PlannedDrillFactory(plan=plan, passed=True)
    path = f"/drills/{address.format(plan=plan.pk, planned=planned.pk)}"
    before = DrillPlan.objects.values().get()
    for who, user in cast.everybody_but().items():
        if who not in allowed:
            assert client_of(user).post(path, {"reason": "please"}).status_code == 403, who
    assert Client().post(path).status_code == 302
    assert DrillPlan.objects.values().get() == before


@pytest.mark.parametrize("address", ["plans/99/", "plans/99/edit/", "planned/99/", "planned/99/start/", "planned/99/excuse/", "plans/99/end/"])
def test_what_there_is_not_is_a_404(address: str, cast: Cast) -> None:
    client = client_of(cast.lead)
    answer = client.get(f"/drills/{address}")
    if answer.status_code == 405:
        answer = client.post(f"/drills/{address}", {"reason": "please"})
    assert answer.status_code == 404


def test_drawn_time_can_be_checked_once_it_has_begun(cast: Cast) -> None:
    plan = make_plan(name="Any", owner=cast.on_call, actor=actor_of(cast.lead), user=cast.lead, policy=seed_policy(), cadence="monthly", announced=False)
    planned = PlannedDrill.objects.filter(plan=plan).order_by("slot").last()
    assert planned is not None
    address = f"/drills/planned/{planned.pk}/"
    assert "Was it by chance?" not in page(client_of(cast.auditor), address)
    PlannedDrill.objects.filter(pk=planned.pk).update(state=PlannedState.MISSED)
    assert "Drawn again, it is the same" in page(client_of(cast.auditor), address)
    PlannedDrill.objects.filter(pk=planned.pk).update(starts_at=planned.starts_at + dt.timedelta(hours=1))
    assert "Drawn again, it is another" in page(client_of(cast.auditor), address)


def test_overdue_drills_stand_on_top_of_the_list_of_drills(cast: Cast, programme: Programme) -> None:
    overdue = programme.planned["overdue"]
    html = unescape(page(client_of(cast.lead), reverse("drills:list")))
    assert "Planned drills are overdue." in html
    assert f'<a href="/drills/planned/{overdue.pk}/">Reasoner every month</a>: smart-reasoner is held by another execution.' in html
    PlannedDrill.objects.filter(pk=overdue.pk).update(state=PlannedState.MISSED)
    assert "Planned drills are overdue." not in page(client_of(cast.lead), reverse("drills:list"))


def test_queries_do_not_grow_with_plans_and_drills(cast: Cast, programme: Programme) -> None:
    client = client_of(cast.auditor)
    addresses = (PLANS, f"{PLANS}{programme.plan.pk}/", f"{PLANS}new/", f"/drills/planned/{programme.planned['passed'].pk}/")
    counts: list[list[int]] = []
    for year in (2020, 2021):
        found = []
        for address in addresses:
            who = client_of(cast.lead) if address.endswith("new/") else client
            page(who, address)
            with CaptureQueriesContext(connection) as queries:
                page(who, address)
            found.append(len(queries))
        counts.append(found)
        for number in range(3):
            policy = RoutingPolicy.objects.get(alias="smart-reasoner", environment__slug="staging")
            PlannedDrillFactory(plan=DrillPlanFactory(policy=policy))
            slot = dt.datetime(year, number + 1, 1, tzinfo=dt.UTC)
            PlannedDrillFactory(plan=programme.plan, slot=slot, starts_at=slot, missed=True)
    assert counts[0] == counts[1] == [11, 13, 13, 8]
