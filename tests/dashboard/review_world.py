"""Reviews in every state, for pages."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.urls import reverse

from rollbackhub.accounts.models import Team, User
from rollbackhub.common.clock import now
from rollbackhub.reviews.domain.preparing import prepare_review
from rollbackhub.reviews.enums import Agenda, ReviewState
from rollbackhub.reviews.models import Review, ReviewItem
from rollbackhub.reviews.rules import quarter_before, quarter_of
from tests.factories.accounts import TeamFactory
from tests.factories.reviews import (
    AttendanceFactory,
    ReviewActionFactory,
    ReviewDecisionFactory,
    ReviewDocumentFactory,
    ReviewFactory,
    SignOffFactory,
    WantedDecisionFactory,
    make_review,
)

MINUTES = """# What was said

The flag moved **twice**; see [the drill](/drills/).

| Who | By |
|---|---|
| Olga | Friday |
"""


@dataclass(frozen=True)
class Reviews:
    """One in each state."""

    coming: Review
    """Is prepared before its meeting, which is far."""
    prepared: Review
    """By the real agenda of the team `platform`."""
    held: Review
    signed: Review
    amendment: Review


def make_reviews() -> Reviews:
    """In whatever database is current; people of the cast are there."""
    lead = User.objects.get(username="lead")
    platform = Team.objects.filter(slug="platform").first() or TeamFactory(slug="platform", name="Platform")
    search = TeamFactory(slug="search", name="Search")
    last = quarter_before(quarter_of(now().date()))
    coming: Review = ReviewFactory(team=search, meets_at=now() + dt.timedelta(days=9), prepare_at=now() + dt.timedelta(days=8), presenter=lead)
    WantedDecisionFactory(review=coming)
    prepared: Review = ReviewFactory(team=platform, presenter=lead, is_lab=False)
    assert prepare_review(review_id=prepared.pk)
    AttendanceFactory(review=prepared, user=lead, name="Lee Lead")
    WantedDecisionFactory(review=prepared)
    _minutes(prepared)
    held = make_review(ReviewState.HELD, team=search, quarter=quarter_before(last), presenter=lead)
    _record(held, lead)
    ReviewDocumentFactory(review=held, problem="Figures are left out: this machine has no Chromium to draw them with.")
    signed = make_review(ReviewState.HELD, team=platform, quarter=quarter_before(last))
    _record(signed, lead)
    _sign(signed)
    amendment = make_review(ReviewState.PREPARED, team=platform, quarter=signed.quarter, amends=signed, amendment_reason="Gina was not there.")
    return Reviews(coming, Review.objects.get(pk=prepared.pk), held, signed, amendment)


def _minutes(review: Review) -> None:
    ReviewItem.objects.filter(review=review, agenda=Agenda.MISSES).update(minutes=MINUTES, minutes_number=1, minutes_by_label="Olga Call", minutes_at=now())


def _record(review: Review, lead: User) -> None:
    item = review.items.get(agenda=Agenda.COMPLIANCE)
    ReviewDecisionFactory(review=review, item=item, owner=lead, owner_label="Lee Lead")
    ReviewActionFactory(review=review, item=item)
    ReviewDecisionFactory(review=review, owner=lead, owner_label="Lee Lead", text="The next meeting is in January.")
    _minutes(review)


def _sign(review: Review) -> None:
    for role in review.sign_off_roles:
        SignOffFactory(review=review, role=role, note="As discussed.")
    review.state, review.signed_at = ReviewState.SIGNED, now()
    review.save()


def addresses_of_reviews(reviews: Reviews) -> dict[str, str]:
    """Every page of them, by a short name."""
    held, prepared = reviews.held.pk, reviews.prepared.pk
    return {
        "reviews": reverse("reviews:list"),
        "reviews-none": reverse("reviews:list") + "?state=signed&team=search",
        **{f"review-{name}": reverse("reviews:detail", args=[getattr(reviews, name).pk]) for name in ("coming", "prepared", "held", "signed", "amendment")},
        "review-attendance": reverse("reviews:attendance", args=[prepared]),
        "review-minutes": reverse("reviews:minutes", args=[held, "compliance"]),
        "review-minutes-closed": reverse("reviews:minutes", args=[reviews.signed.pk, "compliance"]),
        "review-wish": reverse("reviews:wish", args=[prepared]),
        "review-sign": reverse("reviews:sign", args=[held]),
        "present": reverse("reviews:present", args=[held]),
        **{f"present-{agenda}": reverse("reviews:present-item", args=[held, agenda]) for agenda in ("compliance", "decisions", "end")},
        "present-real": reverse("reviews:present-item", args=[prepared, "misses"]),
    }


def addresses_for_leads(addresses: dict[str, str]) -> dict[str, str]:
    """The pages that are a lead's alone, from the addresses of the others."""
    prepared, held, signed = (addresses[f"review-{name}"] for name in ("prepared", "held", "signed"))
    return {
        "review-new": "/reviews/new/",
        "review-edit": f"{prepared}edit/",
        "review-decision": f"{held}decisions/?item=compliance",
        "review-action": f"{held}actions/",
        "review-amend": f"{signed}amend/",
        "review-coming-lead": addresses["review-coming"],
        "review-held-lead": held,
        "review-prepared-lead": prepared,
        "review-sign-lead": f"{held}sign/",
        "review-attendance-lead": f"{prepared}attendance/",
        "present-end-lead": f"{held}present/end/",
    }
