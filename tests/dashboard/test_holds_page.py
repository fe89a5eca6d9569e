"""What is under a stability hold, and lifting it."""

from __future__ import annotations

import datetime as dt
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.audit.models import AuditEvent
from rollbackhub.registry.models import StabilityHold
from rollbackhub.rollbacks.models import Rollback
from tests.dashboard.people import client_of, page
from tests.factories.fixtures import Cast
from tests.factories.rollbacks import RollbackFactory, StabilityHoldFactory
from tests.factories.routing import BAD

HOLDS = "/rollbacks/holds/"


def make_hold() -> tuple[StabilityHold, Rollback]:
    """A hold by a verified rollback."""
    rollback = RollbackFactory(verified=True, reason="Answers leaked an address")
    return StabilityHoldFactory(version=rollback.parts.get().bad_version, rollback_id=rollback.pk), rollback


@pytest.mark.django_db
def test_hold_says_what_until_when_and_by_which_rollback(cast: Cast) -> None:
    hold, rollback = make_hold()
    text = unescape(page(client_of(cast.auditor), HOLDS))
    for words in (BAD, hold.version.artefact.name, "On hold for 7.0 days", f'datetime="{hold.ends_at.isoformat()}"', "Answers leaked an address"):
        assert words in text, words
    assert f'href="/rollbacks/{rollback.pk}/"' in text


@pytest.mark.django_db
def test_hold_that_is_over_or_lifted_is_not_listed(cast: Cast) -> None:
    StabilityHoldFactory(lifted=True)
    over, _ = make_hold()
    StabilityHold.objects.filter(pk=over.pk).update(started_at=over.started_at - dt.timedelta(days=7), ends_at=over.started_at)
    assert "Nothing is under hold" in page(client_of(cast.lead), HOLDS)


@pytest.mark.django_db
def test_lift_with_a_reason_ends_it_on_the_record(cast: Cast) -> None:
    hold, _ = make_hold()
    client = client_of(cast.lead)
    assert reverse("rollbacks:lift-hold", args=[hold.pk]) in page(client, HOLDS)
    response = client.post(reverse("rollbacks:lift-hold", args=[hold.pk]), {"reason": "The fault was elsewhere."}, follow=True)
    assert f"The hold on {BAD} is lifted" in response.content.decode()
    hold.refresh_from_db()
    assert (hold.lifted_by, hold.lift_reason) == (cast.lead, "The fault was elsewhere.")
    assert AuditEvent.objects.filter(event="hold.lifted", actor_user_id=cast.lead.pk).exists()
    assert client.post(reverse("rollbacks:lift-hold", args=[hold.pk]), {"reason": "Once more."}).status_code == 409


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["", " ", "x", "\x00\x00\x00"])
def test_lift_without_a_reason_lifts_nothing(reason: str, cast: Cast) -> None:
    hold, _ = make_hold()
    assert client_of(cast.lead).post(reverse("rollbacks:lift-hold", args=[hold.pk]), {"reason": reason}).status_code == 422
    hold.refresh_from_db()
    assert hold.lifted_at is None


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["on_call", "admin", "auditor", "stranger"])
def test_lift_is_for_leads(who: str, cast: Cast) -> None:
    hold, _ = make_hold()
    client = client_of(getattr(cast, who))
    if who != "stranger":
        assert "Lift the hold" not in page(client, HOLDS)
    assert client.post(reverse("rollbacks:lift-hold", args=[hold.pk]), {"reason": "please"}).status_code == 403
    hold.refresh_from_db()
    assert hold.lifted_at is None


@pytest.mark.django_db
def test_lift_of_nothing_is_a_404(cast: Cast) -> None:
    assert client_of(cast.lead).post(reverse("rollbacks:lift-hold", args=[99]), {"reason": "please"}).status_code == 404


@pytest.mark.django_db
def test_queries_do_not_grow_with_holds(cast: Cast) -> None:
    make_hold()
    client = client_of(cast.auditor)
    counts = []
    for _ in range(2):
        page(client, HOLDS)
        with CaptureQueriesContext(connection) as queries:
            page(client, HOLDS)
        counts.append(len(queries))
        for _number in range(4):
            make_hold()
    assert counts[0] == counts[1] <= 9, "session, person, roles, the bar's three, the number of holds, the holds, their rollbacks"
