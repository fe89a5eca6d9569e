"""What the pages of a review show: where it stands, what comes next, its items, and the screens of the presenter."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.safestring import SafeString

from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, may
from rollbackhub.common import clock
from rollbackhub.common.markdown import to_html
from rollbackhub.dashboard.figures import PageFigure
from rollbackhub.reviews.domain.documents import is_being_made, stale_since
from rollbackhub.reviews.domain.frozen import FrozenTable, frozen_figures, frozen_tables
from rollbackhub.reviews.domain.selectors import Record
from rollbackhub.reviews.enums import Agenda, ReviewState
from rollbackhub.reviews.models import Review, ReviewAction, ReviewDecision, ReviewDocument, ReviewItem
from rollbackhub.reviews.rules import IN_MEETING, WRITABLE

PRESENT_FONT = 20
PRESENT_HEIGHT = 440
"""Of figures on the wall, in pixels."""
SHOWN_ROWS = 6
"""A longer table is folded away on the review's page."""


@dataclass(frozen=True, slots=True)
class ItemView:
    """An item of the agenda on a page."""

    item: ReviewItem
    figures: list[PageFigure]
    titles: list[str]
    tables: list[FrozenTable]
    minutes: SafeString | str
    decisions: list[ReviewDecision]
    actions: list[ReviewAction]

    @property
    def drawn(self) -> list[tuple[str, PageFigure]]:
        """Figures with their titles."""
        return list(zip(self.titles, self.figures, strict=True))


@dataclass(frozen=True, slots=True)
class Rights:
    """What this person may do to this review now."""

    lead: bool
    writer: bool
    """Whether they have a role that writes to records, whatever the state."""
    write: bool
    """Minutes and attendance."""
    ask: bool
    decide: bool
    change: bool
    prepare: bool
    hold: bool
    amend: bool
    sign_as: list[Role]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where it stands, in words, with what comes next."""

    words: str
    more: str
    tone: str
    icon: str
    act: str = ""
    """The one thing to do next: prepare, attendance, hold, sign, present or export."""
    is_moving: bool = False
    """Whether the page looks again by itself."""


def rights_of(record: Record, user: User, *, now: dt.datetime) -> Rights:
    """What this person may do now. One query, for the roles."""
    review = record.review
    lead = may(user=user, capability=Capability.LEAD)
    writer = lead or may(user=user, capability=Capability.DRILL)
    is_open = review.state != ReviewState.SIGNED and not record.sign_offs
    in_meeting = is_open and review.state in IN_MEETING
    has_met = review.meets_at is None or review.meets_at <= now
    signs = review.state == ReviewState.HELD and not user.is_service and all(found.user_id != user.pk for found in record.sign_offs)
    return Rights(
        lead=lead,
        writer=writer,
        write=writer and in_meeting,
        ask=writer and is_open and review.state in WRITABLE,
        decide=lead and in_meeting,
        change=lead and is_open and review.state in WRITABLE,
        prepare=lead and is_open and review.state in WRITABLE,
        hold=lead and is_open and review.state == ReviewState.PREPARED and has_met and bool(record.attendance),
        amend=lead and review.state == ReviewState.SIGNED and not hasattr(review, "amendment"),
        sign_as=[role for role in record.missing_roles if role.value in user.roles] if signs else [],
    )


def standing_of(record: Record, rights: Rights, *, now: dt.datetime) -> Standing:
    """In words, and what comes next. No query."""
    review = record.review
    if review.state == ReviewState.PREPARING:
        return _preparing(review, now=now)
    if review.state == ReviewState.PREPARED:
        return _prepared(record, rights, now=now)
    if review.state == ReviewState.HELD:
        missing = " and ".join(role.label for role in record.missing_roles)
        act = "sign" if rights.sign_as else ""
        closed = (
            " Somebody has signed: from now on nothing but signatures is added."
            if record.sign_offs
            else " Until the first of them, the record can be completed."
        )
        return Standing(f"It was held and waits for the signature of {missing}.", closed.strip(), "warn", "hourglass", act)
    more = "Nothing of it can change any more. What was wrong is put right by an amendment."
    if hasattr(review, "amendment"):
        more = "Nothing of it can change any more. It has an amendment."
    return Standing(f"It is signed off by {_and([found.signer_label for found in record.sign_offs])}.", more, "ok", "circle-check", "export")


def _preparing(review: Review, *, now: dt.datetime) -> Standing:
    if review.prepare_problem:
        return Standing("It is not prepared yet.", review.prepare_problem, "bad", "circle-x", "prepare", is_moving=True)
    if review.prepare_at is not None and review.prepare_at > now:
        more = f"Its figures are frozen on {_when(review.prepare_at, now=now)}, a day before the meeting; or earlier, and again, until the meeting was held."
        return Standing("It is open, and prepared before the meeting.", more, "idle", "clock", "prepare")
    return Standing("Its figures are being asked for.", "This takes some seconds; the page shows them by itself.", "busy", "loader-2", "", is_moving=True)


def _prepared(record: Record, rights: Rights, *, now: dt.datetime) -> Standing:
    review = record.review
    if review.meets_at is not None and review.meets_at > now:
        words = f"It is prepared for the meeting on {_when(review.meets_at, now=now)}."
        return Standing(words, "Whoever wants a decision from it can ask for it now.", "ok", "circle-check", "present")
    if not record.attendance:
        more = "After the meeting: say who was there, then that it was held."
        return Standing("It is prepared, and can be presented.", more, "ok", "circle-check", "present")
    more = "Complete minutes, decisions and actions, then say that it was held: from then on its figures stand."
    return Standing("It is prepared, and its record is being written.", more, "busy", "progress", "hold" if rights.hold else "present")


def _when(instant: dt.datetime, *, now: dt.datetime) -> str:
    """`12 October at 14:00`, with the year when it is not this one, by the reader's clock."""
    at = timezone.localtime(instant)
    year = "" if at.year == timezone.localtime(now).year else f" {at.year}"
    return f"{at.day} {at:%B}{year} at {at:%H:%M}"


def _and(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"


def item_view(record: Record, item: ReviewItem, *, on_the_wall: bool = False) -> ItemView:
    """One item with its figures and tables in words. No query."""
    found = frozen_figures(item.content)
    figures = []
    for figure in found:
        content = dict(figure.content)
        if on_the_wall:
            content["layout"] = _large(content["layout"])
        figures.append(PageFigure(f"figure-{item.agenda}-{figure.key}", content, f"{figure.title}. {figure.label}"))
    return ItemView(
        item=item,
        figures=figures,
        titles=[figure.title for figure in found],
        tables=frozen_tables(item.content, zone=timezone.get_current_timezone()),
        minutes=to_html(item.minutes, first_heading=4) if item.minutes else "",
        decisions=record.decisions_of(item),
        actions=record.actions_of(item),
    )


def _large(layout: dict[str, Any]) -> dict[str, Any]:
    """The layout of a figure that is read from across a room."""
    axes = {name: axis for name, axis in layout.items() if name.startswith(("xaxis", "yaxis"))}
    titled = {name: {**axis, "title": {**axis["title"], "font": {"size": PRESENT_FONT}}} for name, axis in axes.items() if "title" in axis}
    height = max(PRESENT_HEIGHT, layout.get("height") or 0)
    return {**layout, **titled, "font": {**layout.get("font", {}), "size": PRESENT_FONT}, "height": height}


def document_view(document: ReviewDocument | None, review: Review) -> dict[str, Any]:
    """What the page says about the documents. No query."""
    can_export = review.prepared_at is not None and review.state != ReviewState.PREPARING
    return {
        "document": document,
        "is_making": is_being_made(document),
        "is_stale": document is not None and stale_since(document, review.number),
        "has_documents": document is not None and document.made_number is not None,
        "has_pdf": document is not None and document.made_number is not None and bool(getattr(document, "has_pdf", False)),
        "can_export": can_export,
        "seconds": round((clock.now() - document.wanted_at).total_seconds()) if document else 0,
    }


@dataclass(frozen=True, slots=True)
class Screen:
    """One screen of the presenter."""

    key: str
    title: str


COVER, END = "cover", "end"


def screens_of(record: Record) -> list[Screen]:
    """The cover, each item, and what was agreed."""
    items = [Screen(item.agenda, item.get_agenda_display()) for item in record.items]
    return [Screen(COVER, f"{record.review.team.name}, {record.review.quarter_name}"), *items, Screen(END, "What we agreed")]


def agenda_label(agenda: str) -> str:
    """An item's name."""
    return Agenda(agenda).label
