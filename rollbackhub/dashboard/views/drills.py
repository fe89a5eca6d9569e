"""Drills: the list with its chart, and the page of one drill with its live part."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from drills.domain.listing import list_drills, list_measured
from drills.domain.programme_selectors import list_planned
from drills.domain.selectors import drills_and_rehearsals, no_drill
from drills.enums import PlannedState
from drills.models import Drill
from rollbackhub.accounts.rules import Capability
from rollbackhub.audit.domain.listing import list_events_about
from rollbackhub.common import clock
from rollbackhub.dashboard.access import requires
from rollbackhub.dashboard.drill_page import answer_of, digest_of, noun_of, release_of, step_rows
from rollbackhub.dashboard.figures import chart_templates, durations_figure, segments_figure, target_owners, traffic_figure, traffic_rows, versions_in_order
from rollbackhub.dashboard.forms import DrillFilterForm, ReasonForm
from rollbackhub.dashboard.plans import plan_yaml, words_of
from rollbackhub.dashboard.verification_panel import panel_of
from rollbackhub.executions.domain.listing import ExecutionFilter, get_for_page, list_jobs, list_samples, state_digest
from rollbackhub.executions.domain.selectors import segments_of
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.executions.models import Execution
from rollbackhub.registry.domain.selectors import list_environments

CHART_DRILLS = 200
SHOWN_OVERDUE = 5
"""Of planned drills that are overdue; the calendar and the plans have all."""
SAMPLE_KINDS = ("traffic", "metrics", "gateways", "baseline", "probe", "observed", "consumers", "job")
PAGE_SAMPLES = 2000
TABLE_SAMPLES = 200


@require_safe
@requires(Capability.VIEW)
def drill_list(request: HttpRequest) -> HttpResponse:
    """Drills and rehearsals that match the address, newest first, and their durations against targets."""
    environments = [(environment.slug, environment.name) for environment in list_environments()]
    form = DrillFilterForm(request.GET, environments=environments)
    wanted = filter_of(form)
    kind = form.cleaned_data.get("kind", "")
    page = list_drills(wanted=wanted, kind=kind, after=_uuid(request.GET.get("after", "")))
    measured = list_measured(wanted=wanted, kind=kind, limit=CHART_DRILLS)
    owners = target_owners(measured)
    context = {
        "form": form,
        "executions": page.executions,
        "has_older": page.has_older,
        "is_first": "after" not in request.GET,
        "filtered": any(request.GET.get(name) for name in form.fields),
        "figure": durations_figure(executions=measured, owners=owners, with_targets=request.GET.get("scale") != "measured"),
        "measured": [(execution, _whose(execution, owners[str(execution.pk)])) for execution in reversed(measured)],
        "passed": sum(1 for execution in measured if execution.verdict == "passed"),
        "scale": request.GET.get("scale", ""),
        "chart_templates": chart_templates(),
        "limit": CHART_DRILLS,
        "overdue": list_planned(state=PlannedState.OVERDUE, limit=SHOWN_OVERDUE + 1),
        "shown_overdue": SHOWN_OVERDUE,
    }
    return render(request, "drills/list.html", context)


def _whose(execution: Execution, owners: list[tuple[str, float]]) -> str:
    """Whose target a run ran under, for the table; empty when it had none."""
    return next((name for name, seconds in owners if seconds == execution.target_seconds), "")


def filter_of(form: DrillFilterForm) -> ExecutionFilter:
    """The filter that an address asks for; what cannot be read in it is left out."""
    form.is_valid()
    values = {name: form.cleaned_data.get(name, "") for name in ("alias", "environment", "outcome", "change_type")}
    period = form.cleaned_data.get("period", "")
    return ExecutionFilter(**values, since=clock.now() - dt.timedelta(days=int(period)) if period else None)


@require_safe
@requires(Capability.VIEW)
def drill_detail(request: HttpRequest, drill_id: UUID) -> HttpResponse:
    """Did the rollback work, and in time? With everything that says so."""
    digest = digest_of(state_digest(drill_id) or {})
    execution = get_execution(drill_id)
    noun, segments = noun_of(execution), segments_of(execution)
    # While it runs only the live part is true from second to second; the figures come when it has ended.
    settled = not execution.is_active or execution.state == ExecutionState.NEEDS_HUMAN
    samples = list_samples(execution_id=execution.pk, kinds=SAMPLE_KINDS, limit=PAGE_SAMPLES) if settled else []
    rows = traffic_rows(execution=execution, samples=samples)
    context = {
        **live_context(execution, digest=digest),
        "drill": Drill.objects.filter(pk=drill_id).only("note").first(),
        "segments": segments,
        "words": words_of(execution.plan),
        "segments_figure": segments_figure(execution=execution, segments=segments) if settled else None,
        "traffic_figure": traffic_figure(execution=execution, rows=rows),
        "traffic": rows[-TABLE_SAMPLES:],
        "traffic_versions": versions_in_order(execution, rows),
        "samples_by_kind": _by_kind(samples),
        "sample_limit": TABLE_SAMPLES,
        "checks": list(execution.checks.all()),
        "panel": panel_of(execution) if settled else None,
        "plan_yaml": plan_yaml(execution.plan),
        "events": list_events_about(subject_types=["execution", "drill"], subject_id=str(execution.pk)),
        "chart_templates": chart_templates(),
        "reason_form": ReasonForm(),
        "stop_title": f"Stop this {noun}?",
        "stop_button": f"Stop the {noun}",
        "close_title": f"Close this {noun}?",
        "may_stop": execution.state in (ExecutionState.QUEUED, ExecutionState.RUNNING) and execution.cancel_requested_at is None,
        "needs_person": execution.state == ExecutionState.NEEDS_HUMAN,
    }
    return render(request, "drills/detail.html", context)


@require_safe
@requires(Capability.VIEW)
def drill_live(request: HttpRequest, drill_id: UUID) -> HttpResponse:
    """Answer and steps alone, for polling: 204 while nothing has changed, a reload of the page at the end."""
    state = state_digest(drill_id)
    if state is None:
        raise no_drill()
    if request.GET.get("seen") == digest_of(state):
        return HttpResponse(status=204)
    execution = get_execution(drill_id)
    response = render(request, "drills/partials/_live.html", live_context(execution, digest=digest_of(state)))
    if not execution.is_active or request.GET.get("needs") != str(int(execution.state == ExecutionState.NEEDS_HUMAN)):
        response["HX-Refresh"] = "true"
    return response


def get_execution(drill_id: UUID) -> Execution:
    """A drill's or a rehearsal's execution for its page. Raises NotFound."""
    execution = get_for_page(drills_and_rehearsals().select_related("release_rehearsal__release__to_version"), execution_id=drill_id)
    if execution is None:
        raise no_drill()
    return execution


def live_context(execution: Execution, *, digest: str) -> dict[str, Any]:
    """What the live part shows. `digest`: taken before the execution was fetched, so that what changes in between is asked for again."""
    steps = step_rows(execution, jobs=list_jobs([execution]))
    return {
        "execution": execution,
        "noun": noun_of(execution),
        "release": release_of(execution),
        "steps": steps,
        "done": sum(1 for step in steps if step.state == "done"),
        "answer": answer_of(execution, steps),
        "digest": digest,
        "findings": list(execution.findings.all()),
    }


def _by_kind(samples: list[Any]) -> list[tuple[str, int, list[Any]]]:
    kinds: dict[str, list[Any]] = {}
    for sample in samples:
        kinds.setdefault(sample.kind, []).append(sample)
    return [(kind, len(found), found[-TABLE_SAMPLES:]) for kind, found in kinds.items()]


def _uuid(value: str) -> UUID | None:
    """The id that an address holds; None for anything else."""
    try:
        return UUID(value)
    except ValueError:
        return None
