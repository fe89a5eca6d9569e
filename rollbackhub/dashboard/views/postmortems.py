"""Postmortems to read: the list, one, its history and files, search across them, and causes over time."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from incidents.enums import IncidentState, Severity
from rollbackhub.accounts.rules import Capability
from rollbackhub.audit.domain.listing import list_events_about
from rollbackhub.charts.content import as_content
from rollbackhub.charts.stacked_months import stacked_months
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput, NotFound
from rollbackhub.common.sentences import counted
from rollbackhub.dashboard.access import person, requires
from rollbackhub.dashboard.csv_export import csv_response
from rollbackhub.dashboard.figures import PageFigure, chart_templates
from rollbackhub.dashboard.filters import require_readable, say_what_is_left_out
from rollbackhub.dashboard.looks import POSTMORTEM_OVERDUE_LOOK, POSTMORTEMS, Look
from rollbackhub.dashboard.postmortem_forms import MINE, OVERDUE, CauseReportForm, PostmortemFilterForm, ReviewersForm
from rollbackhub.dashboard.postmortem_page import (
    action_views,
    factor_rows,
    missing_of,
    rendered,
    reviewer_rows,
    rights_of,
    segment_rows,
    standing_of,
    timeline_rows,
)
from rollbackhub.postmortems.domain.cause_report import CauseReport, count_causes
from rollbackhub.postmortems.domain.export import facts_in_words, file_name, to_markdown, to_pdf
from rollbackhub.postmortems.domain.search import LONGEST_QUERY, RANKED, Results, search
from rollbackhub.postmortems.domain.selectors import count_overdue, get_postmortem, get_record, is_overdue, list_postmortems, list_revisions
from rollbackhub.postmortems.domain.similar import list_similar
from rollbackhub.postmortems.enums import PostmortemState, SectionKey
from rollbackhub.postmortems.models import FactorQuestion, Postmortem
from rollbackhub.postmortems.rules import WRITTEN_BEFORE_DUE

PAGE_SIZE = 50
REVISIONS_SHOWN = 200


@require_safe
@requires(Capability.VIEW)
def postmortem_list(request: HttpRequest) -> HttpResponse:
    """Which are still to be written, overdue ones first, and what can be learnt from the others."""
    form = PostmortemFilterForm(request.GET)
    wanted = form.wanted()
    say_what_is_left_out(request, form.errors)
    page = Paginator(_matching(request, wanted), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "rows": [(postmortem, look_of(postmortem)) for postmortem in page.object_list],
        "overdue": count_overdue(),
        "to_write": Postmortem.objects.filter(state__in=WRITTEN_BEFORE_DUE).count(),
        "filtered": any(request.GET.get(name) for name in form.fields),
    }
    return render(request, "postmortems/list.html", context)


@require_safe
@requires(Capability.VIEW)
def postmortem_detail(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """What happened, why, and what is done about it?"""
    record = get_record(postmortem_id)
    user = person(request)
    rights = rights_of(record, user)
    context: dict[str, Any] = {
        "record": record,
        "postmortem": record.postmortem,
        "incident": record.postmortem.incident,
        "rights": rights,
        "look": look_of(record.postmortem),
        "standing": standing_of(record, rights, user),
        "facts": facts_in_words(record)[:-1],
        "sections": [(section, rendered(section.text)) for section in record.sections],
        "timeline": timeline_rows(record),
        "rollbacks": segment_rows(record),
        "factors": factor_rows(record),
        "reviewers": reviewer_rows(record),
        "actions": action_views(record, user),
        "missing": missing_of(record) if record.postmortem.state in WRITTEN_BEFORE_DUE else [],
        "similar": list_similar(record.postmortem.incident),
        "events": list_events_about(subject_types=["postmortem"], subject_id=str(postmortem_id)),
    }
    return render(request, "postmortems/detail.html", context)


@require_safe
@requires(Capability.VIEW)
def review(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """Who reviews it, what they say, and what this person can say."""
    record = get_record(postmortem_id)
    user = person(request)
    context = {
        "record": record,
        "postmortem": record.postmortem,
        "rights": rights_of(record, user),
        "reviewers": reviewer_rows(record),
        "missing": missing_of(record),
        "form": ReviewersForm(record=record, sender=user),
    }
    return render(request, "postmortems/review.html", context)


@require_safe
@requires(Capability.VIEW)
def history(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """Every text that was saved, and what one changed of the one before."""
    postmortem = get_postmortem(postmortem_id)
    names: dict[str, str] = dict(SectionKey.choices)
    names |= {f"factor:{key}": text for key, text in FactorQuestion.objects.values_list("key", "text")}
    key = request.GET.get("text", "")
    revisions = list(list_revisions(postmortem, key=key if key in names else "")[:REVISIONS_SHOWN])
    chosen = next((row for row in revisions if str(row.pk) == request.GET.get("saved", "")), revisions[0] if revisions else None)
    before = list_revisions(postmortem, key=chosen.key).filter(number__lt=chosen.number).order_by("-number").first() if chosen else None
    context = {
        "postmortem": postmortem,
        "names": names,
        "revisions": revisions,
        "chosen": chosen,
        "chosen_html": rendered(chosen.text) if chosen else "",
        "before": before,
        "before_text": before.text if before else "",
        "text": key if key in names else "",
    }
    return render(request, "postmortems/history.html", context)


@require_safe
@requires(Capability.VIEW)
def markdown(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """The postmortem as Markdown, to save."""
    record = get_record(postmortem_id)
    return _file(to_markdown(record).encode(), "text/markdown; charset=utf-8", f'attachment; filename="{file_name(record, "md")}"')


@require_safe
@requires(Capability.VIEW)
def pdf(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """The postmortem as PDF. It takes about a second."""
    record = get_record(postmortem_id)
    return _file(to_pdf(record), "application/pdf", f'inline; filename="{file_name(record, "pdf")}"')


@require_safe
@requires(Capability.VIEW)
def search_page(request: HttpRequest) -> HttpResponse:
    """Which incidents and postmortems hold these words?"""
    query = " ".join(request.GET.get("q", "").replace("\x00", "").split())
    results: Results | None = None
    problem = ""
    if query:
        number = request.GET.get("page", "1")
        try:
            results = search(query, page=int(number) if re.fullmatch(r"[0-9]{1,6}", number) else 1)
        except InvalidInput as error:
            problem = error.message
    context = {
        "q": query,
        "results": results,
        "rows": [
            (
                row,
                Severity(row.severity).label,
                IncidentState(row.state).label,
                POSTMORTEMS.get(PostmortemState(row.postmortem_state)) if row.postmortem_state else None,
            )
            for row in (results.rows if results else [])
        ],
        "found": counted(results.total, "incident") if results else "",
        "problem": problem,
        "longest": LONGEST_QUERY,
        "ranked": RANKED,
    }
    return render(request, "postmortems/search.html", context)


@require_safe
@requires(Capability.VIEW)
def causes(request: HttpRequest) -> HttpResponse:
    """What makes incidents possible, month by month?"""
    form = CauseReportForm(request.GET)
    wanted = form.wanted()
    say_what_is_left_out(request, form.errors)
    report = count_causes(**wanted)
    figure = None
    if report.counts:
        drawn = stacked_months(months=report.months, series=report.series(), axis="Incidents by cause", unit="incidents")
        figure = PageFigure("figure-causes", as_content(drawn), "How many incidents had which cause, by month. The table has the same numbers.")
    context = {
        "form": form,
        "report": report,
        "headline": _headline(report),
        "rows": [(name, slug, values, sum(values)) for name, slug, values in report.counts],
        "figure": figure,
        "chart_templates": chart_templates(),
    }
    return render(request, "postmortems/causes.html", context)


@require_safe
@requires(Capability.VIEW)
def causes_export(request: HttpRequest) -> HttpResponse:
    """The same as CSV: a row for each cause and month."""
    form = CauseReportForm(request.GET)
    require_readable(form)
    report = count_causes(**form.wanted())
    rows = ((name, f"{month:%Y-%m}", number) for name, _, values in report.counts for month, number in zip(report.months, values, strict=True))
    return csv_response(name=f"causes-{clock.now():%Y%m%d-%H%M}.csv", header=["cause", "month", "incidents"], rows=rows)


def look_of(postmortem: Postmortem) -> Look:
    """Its state; overdue is a look of its own. No query when fetched with its team."""
    return POSTMORTEM_OVERDUE_LOOK if is_overdue(postmortem) else POSTMORTEMS[PostmortemState(postmortem.state)]


def _matching(request: HttpRequest, wanted: dict[str, str]) -> QuerySet[Postmortem]:
    state = wanted["state"]
    return list_postmortems(
        state="" if state == OVERDUE else state,
        overdue=True if state == OVERDUE else None,
        severity=wanted["severity"],
        team=wanted["team"],
        owner=person(request) if wanted["owner"] == MINE else None,
        cause=wanted["cause"],
    )


def _headline(report: CauseReport) -> str:
    if not report.postmortems:
        return "No incident of this time has a postmortem."
    named = [(name, sum(values)) for name, slug, values in report.counts if slug]
    of = f"of {counted(report.postmortems, 'incident')} with a postmortem"
    if not named:
        return f"None {of} has a cause named yet."
    return f"The most frequent cause is {named[0][0].lower()}: {named[0][1]} {of}."


def _file(content: bytes, kind: str, disposition: str) -> HttpResponse:
    if not content:
        raise NotFound("There is nothing in it.", code="document_not_found")
    return HttpResponse(content, content_type=kind, headers={"Content-Disposition": disposition, "X-Content-Type-Options": "nosniff"})
