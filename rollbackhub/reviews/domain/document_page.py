"""A review as one HTML document: everything in it, nothing beside it. The PDF is made of the same."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Role
from rollbackhub.common.durations import in_words
from rollbackhub.common.markdown import to_html
from rollbackhub.reviews.domain.frozen import frozen_figures, frozen_tables
from rollbackhub.reviews.domain.selectors import Record
from rollbackhub.reviews.domain.writing import address_of
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.reviews.models import Review, ReviewItem


def render_document(record: Record, *, drawings: Mapping[tuple[str, str], str], problem: str) -> str:
    """The document of a review, as it stands. `drawings`: SVG by agenda and the figure's key; `problem`: what is missing in it. No query."""
    zone = zoneinfo.ZoneInfo(record.review.team.timezone)
    return render_to_string("reviews/document.html", _context(record, drawings=drawings, problem=problem, zone=zone))


def state_sentence(review: Review, *, missing: list[Role], zone: dt.tzinfo) -> str:
    """Where the review stands, in a sentence: a document is read long after."""
    if review.state == ReviewState.SIGNED:
        return f"Signed off on {day_words(review.signed_at, zone)}. It cannot change any more."
    if review.state == ReviewState.HELD:
        return f"Held on {day_words(review.held_at, zone)}. Not signed yet by {' and '.join(role.label for role in missing)}."
    return "A draft: the meeting has not been recorded as held, and nobody has signed it."


def day_words(at: dt.datetime | None, zone: dt.tzinfo) -> str:
    """`3 August 2026`."""
    return "" if at is None else f"{at.astimezone(zone).day} {at.astimezone(zone):%B %Y}"


def instant_words(at: dt.datetime | None, zone: dt.tzinfo) -> str:
    """`3 Aug 2026, 14:05 CEST`."""
    return "" if at is None else f"{at.astimezone(zone).day} {at.astimezone(zone):%b %Y, %H:%M %Z}"


def _context(record: Record, *, drawings: Mapping[tuple[str, str], str], problem: str, zone: dt.tzinfo) -> dict[str, Any]:
    review = record.review
    decided = {wish.pk: [decision.text for decision in wish.decisions.all()] for wish in record.wishes}
    return {
        "title": f"Quarterly review of {review.team.name}, {review.quarter_name}",
        "running": f"Quarterly review {review.quarter_name}",
        "review": review,
        "state": state_sentence(review, missing=record.missing_roles, zone=zone),
        "problem": problem,
        "facts": [(name, value) for name, value in _facts(record, zone) if value],
        "items": [_item(record, item, drawings, zone) for item in record.items],
        "wishes": [(wish.text, wish.asked_by_label, decided[wish.pk]) for wish in record.wishes],
        "decisions": record.decisions_of(None),
        "actions": record.actions_of(None),
        "sign_offs": [(found.get_role_display(), found.signer_label, instant_words(found.signed_at, zone), found.note) for found in record.sign_offs],
        "missing": [role.label for role in record.missing_roles],
    }


def _facts(record: Record, zone: dt.tzinfo) -> list[tuple[str, str]]:
    review = record.review
    prepared = instant_words(review.prepared_at, zone)
    if review.prepare_seconds is not None:
        prepared += f"; the queries took {in_words(review.prepare_seconds)}"
    return [
        ("Amends", f"the review of {review.quarter_name} that was signed before. Why: {review.amendment_reason}" if review.amends_id else ""),
        ("Meeting", instant_words(review.held_at or review.meets_at, zone)),
        ("Presented by", actor_of(review.presenter).label if review.presenter else ""),
        ("Present", ", ".join(row.name for row in record.attendance)),
        ("Figures as of", prepared),
        ("Lab data", "What is reviewed was made by the lab on this machine." if review.is_lab else ""),
        ("Kept at", f"{settings.PUBLIC_URL.rstrip('/')}{address_of(review)}"),
    ]


def _item(record: Record, item: ReviewItem, drawings: Mapping[tuple[str, str], str], zone: dt.tzinfo) -> dict[str, Any]:
    figures = [(figure.title, _safe(drawings.get((item.agenda, figure.key), ""))) for figure in frozen_figures(item.content)]
    return {
        "id": item.agenda,
        "title": str(item),
        "name": item.get_agenda_display(),
        "headline": item.headline,
        "empty": item.content.get("empty", ""),
        "figures": [(title, drawing) for title, drawing in figures if drawing],
        "tables": frozen_tables(item.content, zone=zone),
        "notes": item.content.get("notes", []),
        "took": in_words(item.query_seconds),
        "minutes": to_html(item.minutes, first_heading=4, base=settings.PUBLIC_URL) if item.minutes else "",
        "decisions": record.decisions_of(item),
        "actions": record.actions_of(item),
        "wants_decisions": item.agenda == "decisions",
    }


def _safe(svg: str) -> SafeString:
    """An SVG that `clean_svg` has been through."""
    return mark_safe(svg)
