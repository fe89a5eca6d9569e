"""Rollbacks: the list with its CSV, and the page of one rollback with its live part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from incidents.domain.selectors import incident_of
from rollbackhub.accounts.rules import Capability, may
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput
from rollbackhub.dashboard.access import person, requires
from rollbackhub.dashboard.approval_block import approval_context, may_sign
from rollbackhub.dashboard.csv_export import csv_response
from rollbackhub.dashboard.figures import chart_templates
from rollbackhub.dashboard.rollback_forms import RollbackFilterForm
from rollbackhub.dashboard.rollback_offers import Offer, Situation, offers_for
from rollbackhub.dashboard.rollback_page import MOVING_STATES, RollbackView, digest_while_live, live_digest
from rollbackhub.dashboard.rollback_words import headline_of, missed_in_words, target_passed
from rollbackhub.registry.domain.selectors import list_environments
from rollbackhub.rollbacks.domain.selectors import costliest_segment_of, list_rollbacks, seconds_so_far
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback

PAGE_SIZE = 50
CSV_ROWS = 5000
"""An export has at most this many rows, the newest; the page says so beside the link."""

CSV_HEADER = (
    "id", "state", "environment", "aliases", "bad_versions", "reason", "requested_by", "authorised_by", "authorised_how", "strategic", "detected_at",
    "decided_at", "authorised_at", "started_at", "restored_at", "verified_at", "closed_at", "rollback_seconds", "target_seconds", "exposure_observed",
    "exposure_estimated", "outcome",
)  # fmt: skip


@require_safe
@requires(Capability.VIEW)
def rollback_list(request: HttpRequest) -> HttpResponse:
    """Rollbacks that match the address, newest first."""
    form = _filter_form(request)
    found = _after(_matching(form), request.GET.get("after", ""))
    rows = list(found[: PAGE_SIZE + 1])
    if form.errors:
        unknown = ", ".join(f"{name}={request.GET.get(name, '')[:60]}" for name in form.errors)
        messages.warning(request, f"The address filters by what there is not ({unknown}). That part was left out.")
    context = {
        "form": form,
        "rollbacks": rows[:PAGE_SIZE],
        "has_older": len(rows) > PAGE_SIZE,
        "is_first": "after" not in request.GET,
        "filtered": any(request.GET.get(name) for name in form.fields),
        "csv_rows": CSV_ROWS,
    }
    return render(request, "rollbacks/list.html", context)


@require_safe
@requires(Capability.VIEW)
def export(request: HttpRequest) -> HttpResponse:
    """The same as CSV, the newest rows up to a limit."""
    form = _filter_form(request)
    if not form.is_valid():
        raise InvalidInput(
            "The address filters by what there is not. A file that says nothing of that would mislead: mend the address.",
            fields={name: [str(sentence) for sentence in sentences] for name, sentences in form.errors.items()},
        )
    found = _matching(form)[:CSV_ROWS]
    return csv_response(name=f"rollbacks-{clock.now():%Y%m%d-%H%M}.csv", header=CSV_HEADER, rows=_csv_rows(found))


@require_safe
@requires(Capability.VIEW)
def rollback_detail(request: HttpRequest, rollback_id: UUID) -> HttpResponse:
    """Is it rolled back, and who has to do what next? With everything that says so."""
    digest = digest_while_live(rollback_id)
    view = RollbackView(rollback_id)
    # While it moves only the live part is true from second to second; the figures come when it has stopped or is restored.
    settled = view.rollback.state not in MOVING_STATES
    if settled:
        view.load_samples()
    context = {
        **live_context(request, view, digest=digest),
        "incident": incident_of(view.rollback),
        "clock_figure": view.clock_figure() if settled else None,
        "charts": settled and (bool(view.segments) or any(run.figure or run.panel for run in view.runs)),
        "chart_templates": chart_templates(),
    }
    return render(request, "rollbacks/detail.html", context)


@require_safe
@requires(Capability.VIEW)
def rollback_live(request: HttpRequest, rollback_id: UUID) -> HttpResponse:
    """Headline, clock, gateways and steps alone, for polling: 204 while nothing has changed, a reload of the page when the state has."""
    digest = live_digest(rollback_id)
    if request.GET.get("seen") == digest:
        return HttpResponse(status=204)
    view = RollbackView(rollback_id)
    response = render(request, "rollbacks/partials/_live.html", live_context(request, view, digest=digest))
    if request.GET.get("state") != view.rollback.state:
        response["HX-Refresh"] = "true"
    return response


def live_context(request: HttpRequest, view: RollbackView, *, digest: str) -> dict[str, Any]:
    """What the live part shows. `digest`: taken before the view was fetched, so that what changes in between is asked for again."""
    rollback, current = view.rollback, view.current
    so_far = seconds_so_far(rollback)
    costliest = costliest_segment_of(rollback)
    offers = offers_of(request, view)
    return {
        **approval_context(rollback=rollback, person=person(request)),
        "view": view,
        "rollback": rollback,
        "answer": headline_of(rollback, steps=current.steps if current else (), part=view.part_in_words, fix=view.fix, lagging=view.lagging),
        "digest": digest,
        "offers": offers,
        "next": next((offer for offer in offers if offer.is_next), None),
        "missed": missed_in_words(rollback, costliest),
        "costliest": costliest.segment if costliest else None,
        "late": target_passed(rollback, seconds=so_far),
        "may_sign": may_sign(rollback=rollback, person=person(request)),
        "clock_runs": rollback.state in (RollbackState.AWAITING_APPROVAL, *MOVING_STATES, RollbackState.NEEDS_HUMAN, RollbackState.PARTIALLY_RESTORED)
        and rollback.restored_at is None,
        "settled": rollback.state not in MOVING_STATES,
        "again": rollback.state in AGAIN_STATES,
    }


AGAIN_STATES = (RollbackState.REJECTED, RollbackState.EXPIRED, RollbackState.WITHDRAWN, RollbackState.CANCELLED, RollbackState.UNDONE)
"""It ended without having rolled anything back: the next act is to ask again."""


def offers_of(request: HttpRequest, view: RollbackView) -> list[Offer]:
    """The acts that work now for the viewer."""
    current = view.current
    forward = view.failed_forward
    situation = Situation(
        rollback=view.rollback,
        execution=current.execution if current else None,
        attempts=list(current.execution.attempts.all()) if current else (),
        holds=view.standing_holds,
        failed_fix=forward.fix_version.label if forward else "",
        passed_no_return=view.passed_no_return,
        stands=view.stands,
    )
    viewer = person(request)
    return offers_for(situation, may_roll_back=may(user=viewer, capability=Capability.ROLL_BACK), is_lead=may(user=viewer, capability=Capability.LEAD))


def _filter_form(request: HttpRequest) -> RollbackFilterForm:
    return RollbackFilterForm(request.GET, environments=[(environment.slug, environment.name) for environment in list_environments()])


def _matching(form: RollbackFilterForm) -> QuerySet[Rollback]:
    """The rollbacks that an address asks for; what cannot be read in it is left out."""
    form.is_valid()
    values = {name: form.cleaned_data.get(name, "") for name in form.fields}
    return list_rollbacks(
        state=values["state"], environment=values["environment"], query=values["alias"], change_type=values["change_type"], only_open=bool(values["open"])
    )


def _after(found: QuerySet[Rollback], value: str) -> QuerySet[Rollback]:
    """Those that come after the one that the address names, if it names one."""
    try:
        last = Rollback.objects.filter(pk=UUID(value)).values("pk", "created_at").first()
    except ValueError:
        return found
    if last is None:
        return found
    # The first condition says nothing new, but lets the index begin in the right place.
    older = Q(created_at__lt=last["created_at"]) | Q(created_at=last["created_at"], pk__lt=last["pk"])
    return found.filter(created_at__lte=last["created_at"]).filter(older)


def _csv_rows(found: QuerySet[Rollback]) -> Iterator[tuple[Any, ...]]:
    for rollback in found:
        parts = sorted(rollback.parts.all(), key=lambda part: part.position)
        instants = ("detected", "decided", "authorised", "started", "restored", "verified", "closed")
        yield (
            rollback.pk,
            rollback.state,
            rollback.environment.slug,
            " ".join(part.policy.alias for part in parts),
            " ".join(part.bad_version.label for part in parts),
            rollback.reason,
            rollback.requested_by_label,
            rollback.authorised_by.username if rollback.authorised_by else None,
            rollback.authorised_how,
            "yes" if rollback.is_strategic else "no",
            *(at.isoformat() if (at := getattr(rollback, f"{name}_at")) else None for name in instants),
            rollback.rollback_seconds,
            rollback.target_seconds,
            rollback.exposure_observed,
            rollback.exposure_estimated,
            rollback.outcome,
        )
