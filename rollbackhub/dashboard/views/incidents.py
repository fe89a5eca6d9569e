"""Incidents: the list, opening one, the page of one with its timeline, and its record on one page."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from incidents.domain.acts import can_lead
from incidents.domain.one_page import one_page_of
from incidents.domain.opening import open_incident
from incidents.domain.selectors import get_incident, list_incidents, open_ones_first
from incidents.enums import IncidentState, Severity, Source
from rollbackhub.accounts.rules import Capability
from rollbackhub.common.errors import InvalidInput
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.filters import say_what_is_left_out
from rollbackhub.dashboard.incident_forms import IncidentFilterForm, NoteForm, OpenIncidentForm, suggested_aliases
from rollbackhub.dashboard.incident_page import IncidentView
from rollbackhub.dashboard.looks import INCIDENTS, SEVERITIES
from rollbackhub.dashboard.rollback_request_forms import show_refusal

PAGE_SIZE = 50


@require_safe
@requires(Capability.VIEW)
def incident_list(request: HttpRequest) -> HttpResponse:
    """What is going on: open ones first."""
    form = IncidentFilterForm(request.GET)
    wanted = form.wanted()
    say_what_is_left_out(request, form.errors)
    page = Paginator(open_ones_first(list_incidents(**wanted)), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "rows": [(incident, INCIDENTS[IncidentState(incident.state)], SEVERITIES[Severity(incident.severity)]) for incident in page.object_list],
        "open": list_incidents(state=IncidentState.OPEN).count(),
        "stable": list_incidents(state=IncidentState.STABLE).count(),
        "filtered": any(request.GET.get(name) for name in form.fields),
    }
    return render(request, "incidents/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.RESPOND)
def incident_new(request: HttpRequest) -> HttpResponse:
    """Open one by hand. Its address can name the environment and the aliases."""
    initial = {
        "environment": request.GET.get("environment", "production"),
        "aliases": " ".join(request.GET.getlist("alias")),
        "take_command": can_lead(person(request)),
    }
    form = OpenIncidentForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        policies = form.chosen_aliases()
        if not form.errors:
            values = form.cleaned_data
            try:
                incident = open_incident(
                    title=values["title"],
                    environment=values["environment"],
                    policies=policies,
                    severity=Severity(values["severity"]),
                    source=Source.PERSON,
                    actor=actor(request),
                    summary=values["summary"],
                    detected_at=values["detected_at"],
                    detected_by=values["detected_by"],
                    commander=person(request) if values["take_command"] else None,
                    incident_id=values["incident_id"],
                )
            except InvalidInput as error:
                show_refusal(form, error)
            else:
                messages.success(request, "The incident is open. Rollbacks of its aliases join it.")
                return redirect("incidents:detail", incident_id=incident.pk)
    context = {"form": form, "aliases": suggested_aliases()}
    return render(request, "incidents/new.html", context, status=422 if form.is_bound and form.errors else 200)


@require_safe
@requires(Capability.VIEW)
def incident_detail(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """What is going on, and what is to be done next? With everything that happened, in order."""
    view = IncidentView(get_incident(incident_id))
    rights = view.rights(person(request))
    context: dict[str, Any] = {"view": view, "incident": view.incident, "rights": rights, "next": view.next_act(rights), "note_form": NoteForm()}
    return render(request, "incidents/detail.html", context)


@require_safe
@requires(Capability.VIEW)
def incident_record(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """The record on one page, to print."""
    view = IncidentView(get_incident(incident_id))
    return render(request, "incidents/record.html", {"view": view, "incident": view.incident, "page": one_page_of(view.incident)})
