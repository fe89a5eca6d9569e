"""Retention: what could still be rolled back, until when, and what expires next."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.csv_export import csv_response
from rollbackhub.dashboard.figures import chart_templates
from rollbackhub.dashboard.filters import require_readable, say_what_is_left_out
from rollbackhub.dashboard.requests import typed
from rollbackhub.dashboard.retention_page import (
    HISTORY_DAYS,
    ProviderRetirementForm,
    RetentionFilterForm,
    acts_of,
    address_of,
    remedies_of,
    share_figure,
    share_tone,
    thinned,
    timeline_figure,
)
from rollbackhub.readiness.domain.board import count_not_judged
from rollbackhub.readiness.domain.selectors import count_states, list_share_history, rollbackable_now
from rollbackhub.registry.domain.lifecycle import archive_version, retire_version
from rollbackhub.registry.domain.retention import Retention, describe_retention, get_retention_version, list_retention, set_provider_retirement
from rollbackhub.registry.models import Version
from rollbackhub.routing.domain.served import first_served

PAGE_SIZE = 25
NEXT = 5
"""How many of what expires next stand on top."""
CSV_ROWS = 5000
"""An export has at most this many rows, what expires first; the page says so beside the link."""

CSV_HEADER = (
    "artefact", "version", "change_type", "team", "lifecycle", "live_since", "superseded_at", "window_days", "retained_until", "provider_retires_at",
    "next_at", "kept_because", "reasons",
)  # fmt: skip


@require_safe
@requires(Capability.VIEW)
def retention(request: HttpRequest) -> HttpResponse:
    """How many aliases could be rolled back now, what expires next, and every version's dates."""
    form = RetentionFilterForm(request.GET)
    found = _matching(form)
    say_what_is_left_out(request, form.errors)
    share, not_judged = rollbackable_now(), count_not_judged()
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    rows = _described(list(page.object_list))
    # The list begins with what expires next; only a later page has to ask for it.
    upcoming = rows if page.number == 1 else _described(list(found.filter(next_at__isnull=False)[:NEXT]))
    since = clock.now() - dt.timedelta(days=HISTORY_DAYS)
    history = thinned(list_share_history(since=since))
    context = {
        "form": form,
        "page": page,
        "rows": [(row, remedies_of(row)) for row in rows],
        "upcoming": [row for row in upcoming if row.next_at is not None][:NEXT],
        "share": share,
        "not_judged": not_judged,
        "tone": share_tone(share, counts=count_states(), not_judged=not_judged),
        "history": history[::-1],
        "history_days": HISTORY_DAYS,
        "share_figure": share_figure(history, since=since),
        "figure": timeline_figure(rows),
        "filtered": any(request.GET.get(name) for name in form.fields),
        "csv_rows": CSV_ROWS,
        "chart_templates": chart_templates(),
    }
    return render(request, "registry/retention.html", context)


@require_safe
@requires(Capability.VIEW)
def export(request: HttpRequest) -> HttpResponse:
    """The same as CSV, what expires first up to a limit."""
    form = RetentionFilterForm(request.GET)
    require_readable(form)
    rows = _described(list(_matching(form)[:CSV_ROWS]))
    return csv_response(name=f"retention-{clock.now():%Y%m%d-%H%M}.csv", header=CSV_HEADER, rows=_csv_rows(rows))


@require_POST
@requires(Capability.RETIRE)
def retire(request: HttpRequest, version_id: int) -> HttpResponse:
    """Say that a version is gone."""
    version = retire_version(version_id=version_id, account=person(request), actor=actor(request), reason=typed(request))
    messages.success(request, f"{version.label} is retired: nothing can go back to it any more.")
    return redirect(address_of(version))


@require_POST
@requires(Capability.RETIRE)
def archive(request: HttpRequest, version_id: int) -> HttpResponse:
    """Put a version away, or take a retired one back."""
    version = archive_version(version_id=version_id, account=person(request), actor=actor(request), reason=typed(request))
    messages.success(request, f"{version.label} is archived: it is kept, but not meant to serve again.")
    return redirect(address_of(version))


@require_POST
@requires(Capability.RETIRE)
def provider_retirement(request: HttpRequest, version_id: int) -> HttpResponse:
    """Record when the provider shuts it down; an empty date takes the record away."""
    form = ProviderRetirementForm(request.POST)
    if not form.is_valid():
        sentence = "Give a day and time, as 2027-01-31 12:00, or nothing."
        raise InvalidInput(sentence, code="invalid_date", fields={"at": [sentence]})
    at = form.cleaned_data["at"]
    version = set_provider_retirement(version_id=version_id, at=at, account=person(request), actor=actor(request))
    if at is None:
        messages.success(request, f"No date is known any more on which {version.label} is shut down.")
    else:
        messages.success(
            request, f"{version.label} is shut down by its provider on {at.day} {at:%b %Y, %H:%M %Z}. Leads are warned ahead of it while production needs it."
        )
    return redirect(address_of(version))


def retention_context(version: Version) -> dict[str, Any]:
    """What registry/partials/_retention.html shows of a version; for the version page. Three queries."""
    row = _described([get_retention_version(version.pk)])[0]
    return {"retention": row, "remedies": remedies_of(row), "acts": acts_of(row.version)}


def _described(versions: Sequence[Version]) -> list[Retention]:
    return describe_retention(versions, live_since=first_served(versions))


def _matching(form: RetentionFilterForm) -> Any:
    wanted = form.wanted()
    return list_retention(query=wanted["artefact"], team=wanted["team"], change_type=wanted["change_type"], state=wanted["state"])


def _csv_rows(rows: Sequence[Retention]) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        version = row.version
        yield (
            version.artefact.slug,
            version.label,
            version.artefact.change_type,
            version.artefact.team.slug,
            version.lifecycle,
            _iso(row.live_since),
            _iso(version.superseded_at),
            row.days,
            _iso(row.retained_until),
            _iso(version.provider_retires_at),
            _iso(row.next_at),
            " ".join(sorted({reason.code for reason in row.interlocks})),
            " ".join(reason.sentence for reason in row.interlocks),
        )


def _iso(at: dt.datetime | None) -> str | None:
    return at.astimezone(dt.UTC).isoformat() if at else None
