"""Reviews in every state, with what belongs to them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import factory
from factory.django import DjangoModelFactory

from rollbackhub.accounts.enums import Role
from rollbackhub.common.clock import now
from rollbackhub.reviews.enums import Agenda, ReviewState
from rollbackhub.reviews.models import (
    Attendance,
    Review,
    ReviewAction,
    ReviewDecision,
    ReviewDocument,
    ReviewItem,
    SignOff,
    WantedDecision,
)
from rollbackhub.reviews.rules import DEFAULT_ROLES, quarter_before, quarter_of
from tests.factories.accounts import TeamFactory, UserFactory
from tests.factories.actions import ActionFactory

CONTENT: dict[str, Any] = {
    "tables": [
        {
            "title": "Drills by plan",
            "columns": [
                {"key": "plan", "heading": "Plan", "unit": "text"},
                {"key": "planned", "heading": "Planned", "unit": "count"},
                {"key": "done", "heading": "Done of those due", "unit": "share"},
                {"key": "took", "heading": "Median", "unit": "seconds"},
                {"key": "at", "heading": "Last", "unit": "instant"},
                {"key": "url", "heading": "Page", "unit": "text"},
            ],
            "rows": [["Reasoner monthly", 3, 2 / 3, 250.0, "2026-08-03T12:05:00+00:00", "/drills/"], ["Prompt quarterly", 1, None, None, None, ""]],
            "url_column": 5,
        }
    ],
    "figures": [
        {
            "key": "by_month",
            "title": "Drills by month",
            "label": "Drills planned and done in each month. The table has the same numbers.",
            "figure": {
                "data": [
                    {"type": "bar", "name": "Planned", "x": ["Jul 2026", "Aug 2026", "Sep 2026"], "y": [1, 2, 1]},
                    {"type": "bar", "name": "Done", "x": ["Jul 2026", "Aug 2026", "Sep 2026"], "y": [1, 1, 0]},
                ],
                "layout": {"height": 260, "barmode": "group", "yaxis": {"title": {"text": "Drills"}}},
            },
        }
    ],
    "notes": ["An excused drill counts neither as done nor as missed."],
    "empty": "",
}
"""Of an item that has a figure and a table."""

EMPTY: dict[str, Any] = {"tables": [], "figures": [], "notes": [], "empty": "Nothing stands here yet."}

_ORDER = (ReviewState.PREPARING, ReviewState.PREPARED, ReviewState.HELD, ReviewState.SIGNED)


class ReviewFactory(DjangoModelFactory):
    """The review of the quarter before this one, being prepared. `make_review` makes the others: the database wants them to come by their states."""

    class Meta:
        model = Review

    team = factory.SubFactory(TeamFactory)
    quarter = factory.LazyFunction(lambda: quarter_before(quarter_of(now().date())))
    sign_off_roles = factory.LazyFunction(lambda: [role.value for role in DEFAULT_ROLES])
    prepare_at = factory.LazyFunction(now)
    created_by_label = "Lee Lead"


def make_review(state: ReviewState = ReviewState.PREPARED, **values: Any) -> Review:
    """A review in a state, by way of those before it, as the database wants it: with its agenda, one who was there, and signatures."""
    review: Review = ReviewFactory(**values)
    steps = _ORDER[1 : _ORDER.index(state) + 1]
    if ReviewState.PREPARED in steps:
        for place, agenda in enumerate(Agenda):
            ReviewItemFactory(review=review, position=place, agenda=agenda, content=CONTENT if agenda == Agenda.COMPLIANCE else EMPTY)
        review.state, review.prepared_at, review.prepare_seconds, review.prepare_at = ReviewState.PREPARED, now(), 0.04, None
        review.save()
    if ReviewState.HELD in steps:
        AttendanceFactory(review=review)
        review.state, review.held_at = ReviewState.HELD, now()
        review.save()
    if ReviewState.SIGNED in steps:
        for role in review.sign_off_roles:
            SignOffFactory(review=review, role=role)
        review.state, review.signed_at = ReviewState.SIGNED, now()
        review.save()
    return review


class ReviewItemFactory(DjangoModelFactory):
    """An item of a review that is being prepared."""

    class Meta:
        model = ReviewItem

    review = factory.SubFactory(ReviewFactory)
    position = factory.LazyAttribute(lambda item: item.review.items.count())
    agenda = factory.LazyAttribute(lambda item: Agenda.values[item.position])
    headline = factory.LazyAttribute(lambda item: f"What there is to say about {Agenda(item.agenda).label.lower()}.")
    content = factory.LazyFunction(lambda: CONTENT)
    query_seconds = 0.005


class AttendanceFactory(DjangoModelFactory):
    """A guest who was there."""

    class Meta:
        model = Attendance

    review = factory.SubFactory(ReviewFactory)
    name = factory.Sequence("Gina Guest {}".format)


class WantedDecisionFactory(DjangoModelFactory):
    """A question to the meeting."""

    class Meta:
        model = WantedDecision

    review = factory.SubFactory(ReviewFactory)
    text = "Do we drill the support prompt monthly?"
    asked_by_label = "Olga Call"


class ReviewDecisionFactory(DjangoModelFactory):
    """A decision."""

    class Meta:
        model = ReviewDecision

    review = factory.SubFactory(ReviewFactory)
    text = "The support prompt is drilled monthly."
    owner = factory.SubFactory(UserFactory, roles=[Role.PLATFORM_LEAD])
    owner_label = factory.LazyAttribute(lambda decision: decision.owner.username)
    decided_at = factory.LazyFunction(now)


class ReviewActionFactory(DjangoModelFactory):
    """An action that a review gave."""

    class Meta:
        model = ReviewAction

    review = factory.SubFactory(ReviewFactory)
    action = factory.LazyAttribute(lambda link: ActionFactory(team=link.review.team))
    title = factory.SelfAttribute("action.title")
    owner_label = factory.LazyAttribute(lambda link: link.action.owner.username)
    due_on = factory.SelfAttribute("action.due_on")


class SignOffFactory(DjangoModelFactory):
    """A signature."""

    class Meta:
        model = SignOff

    review = factory.SubFactory(ReviewFactory)
    role = Role.PLATFORM_LEAD
    user = factory.LazyAttribute(lambda sign_off: UserFactory(roles=[Role(sign_off.role)]))
    signer_label = factory.LazyAttribute(lambda sign_off: sign_off.user.username)
    signed_at = factory.LazyFunction(now)


class ReviewDocumentFactory(DjangoModelFactory):
    """Documents that were made. Trait: `wanted` (not yet)."""

    class Meta:
        model = ReviewDocument

    class Params:
        wanted = factory.Trait(made_number=None, made_at=None, pdf=None, html="", due_at=factory.LazyFunction(now))

    review = factory.SubFactory(ReviewFactory)
    wanted_number = 1
    wanted_at = factory.LazyFunction(lambda: now() - dt.timedelta(minutes=1))
    made_number = 1
    made_at = factory.LazyFunction(now)
    make_seconds = 4.2
    pdf = b"%PDF-1.7"
    html = "<!doctype html><title>Review</title>"
