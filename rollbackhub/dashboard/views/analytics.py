"""Analytics: the questions, the answer of one, and the tables of an answer as files."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.analytics import catalogue
from rollbackhub.analytics.catalogue import get_question
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput, NotFound
from rollbackhub.dashboard.access import requires
from rollbackhub.dashboard.analytics_forms import DAYS, AnalyticsFilterForm
from rollbackhub.dashboard.answer_page import csv_header, csv_rows, shown_parts
from rollbackhub.dashboard.csv_export import csv_response
from rollbackhub.dashboard.figures import chart_templates
from rollbackhub.dashboard.filters import require_readable, say_what_is_left_out
from rollbackhub.registry.models import Artefact


@require_safe
@requires(Capability.VIEW)
def question_list(request: HttpRequest) -> HttpResponse:
    """What can be asked. It reckons nothing: each headline is fetched by itself once it is in view, one after the other."""
    if _contradicts_its_days(request):
        return redirect(_without_days(request))
    form = _form(request)
    form.is_valid()
    _say_what_is_left_out(request, form)
    groups = [(group, [question for question in catalogue.QUESTIONS if question.group == group]) for group in catalogue.GROUPS]
    context = {"form": form, "groups": [found for found in groups if found[1]], "where": reverse("analytics:list")}
    return render(request, "analytics/list.html", context)


@require_safe
@requires(Capability.VIEW)
def headline(request: HttpRequest, question: str) -> HttpResponse:
    """The headline of one answer, for the page of all questions."""
    answer = get_question(question).answer(_form(request).wanted())
    return render(request, "analytics/partials/_headline.html", {"answer": answer})


@require_safe
@requires(Capability.VIEW)
def question_detail(request: HttpRequest, question: str) -> HttpResponse:
    """One question: its answer in a sentence, its figures, and the tables behind them."""
    asked = get_question(question)
    if _contradicts_its_days(request):
        return redirect(_without_days(request))
    form = _form(request)
    answer = asked.answer(form.wanted())
    _say_what_is_left_out(request, form)
    place = catalogue.QUESTIONS.index(asked)
    context = {
        "form": form,
        "question": asked,
        "questions": catalogue.QUESTIONS,
        "previous": catalogue.QUESTIONS[place - 1] if place else None,
        "next": catalogue.QUESTIONS[place + 1] if place + 1 < len(catalogue.QUESTIONS) else None,
        "answer": answer,
        "parts": shown_parts(answer),
        "with_lab": form.cleaned_data.get("lab") != "out" and Artefact.objects.filter(is_lab=True).exists(),
        "where": reverse("analytics:question", args=[asked.slug]),
        "chart_templates": chart_templates(),
    }
    return render(request, "analytics/question.html", context)


@require_safe
@requires(Capability.VIEW)
def export(request: HttpRequest, question: str, number: int) -> HttpResponse:
    """One table of an answer as CSV, with all its rows."""
    asked = get_question(question)
    form = _form(request)
    require_readable(form)
    if form.unknown:
        raise InvalidInput(
            "The address filters by what these questions do not know. A file that says nothing of that would mislead: mend the address.",
            fields={name: [f"There is no such filter; there are {', '.join(form.fields)}."] for name in form.unknown},
        )
    tables = asked.answer(form.wanted()).tables
    if not 1 <= number <= len(tables):
        raise NotFound(
            f"The answer has no table {number} for this filter: it has {len(tables) or 'none'}. Open the page and take the file from there.",
            code="table_not_found",
            url=reverse("analytics:question", args=[asked.slug]),
        )
    table = tables[number - 1]
    return csv_response(name=f"{asked.slug}-{number}-{clock.now():%Y%m%d-%H%M}.csv", header=csv_header(table), rows=csv_rows(table))


def _form(request: HttpRequest) -> AnalyticsFilterForm:
    return AnalyticsFilterForm(request.GET, today=clock.now().date())


def _say_what_is_left_out(request: HttpRequest, form: AnalyticsFilterForm) -> None:
    """Filters that cannot be followed, parameters that are none, and a period that is backwards."""
    if form.is_backwards:
        days = f"{request.GET['since'][:60]} to {request.GET['until'][:60]}"
        messages.warning(request, f"The period is backwards: its last day lies before its first ({days}). It was left out; these are the last 12 months.")
    say_what_is_left_out(request, [name for name in (*form.errors, *form.unknown) if not (form.is_backwards and name in ("since", "until"))])


def _contradicts_its_days(request: HttpRequest) -> bool:
    """Whether another period was chosen while days still stood in the form."""
    return request.GET.get("period", DAYS) != DAYS and bool(request.GET.get("since") or request.GET.get("until"))


def _without_days(request: HttpRequest) -> str:
    """The same address without the days."""
    kept = request.GET.copy()
    for name in ("since", "until"):
        kept.pop(name, None)
    return f"{request.path}?{kept.urlencode()}"
