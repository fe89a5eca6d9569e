"""What a person does with an incident from its page. What needs words has a page with a form; nothing that was written is lost by a refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from incidents.domain import acts
from incidents.domain.affected import change_affected
from incidents.domain.corrections import correct_detection, correct_exposure, correct_impact, withdraw_correction
from incidents.domain.selectors import get_incident, list_versions_of
from incidents.enums import IncidentState, Matter, Severity
from incidents.models import Incident
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.incident_forms import (
    UNREAD,
    AffectedForm,
    CloseForm,
    DetailsForm,
    HandOverForm,
    ReasonForm,
    ReopenForm,
    SeverityForm,
    StableForm,
    correction_form,
    suggested_aliases,
)
from rollbackhub.dashboard.rollback_request_forms import show_refusal
from rollbackhub.registry.models import Version
from rollbackhub.routing.models import RoutingPolicy

METHODS = ["GET", "HEAD", "POST"]

Act = Callable[[dict[str, Any]], object]


@require_POST
@requires(Capability.RESPOND)
def take_command(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """Lead the response."""
    get_incident(incident_id)
    seen = User.objects.filter(username=request.POST.get("instead_of", "")).first()
    acts.take_command(incident_id=incident_id, instead_of=seen, **_who(request))
    return _back(request, incident_id, "You lead the response now.")


@require_POST
@requires(Capability.RESPOND)
def give_up_command(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """Lead it no longer."""
    acts.give_up_command(incident_id=incident_id, **_who(request))
    return _back(request, incident_id, "You do not lead it any longer, and nobody does.")


@require_http_methods(METHODS)
@requires(Capability.RESPOND)
def hand_over_command(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """Give the command to somebody else."""
    incident = get_incident(incident_id)
    form = HandOverForm(request.POST or None, person=person(request))

    def act(values: dict[str, Any]) -> object:
        return acts.hand_over_command(incident_id=incident_id, to=form.chosen(), **_who(request))

    return _form(request, incident, form, act, title="Who leads it from now on?", button="Hand it over", done="The command is handed over; they were told.")


@require_http_methods(METHODS)
@requires(Capability.RESPOND)
def severity(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """How bad is it?"""
    incident = get_incident(incident_id)
    form = SeverityForm(request.POST or None, initial={"severity": incident.severity})

    def act(values: dict[str, Any]) -> object:
        return acts.set_severity(incident_id=incident_id, severity=Severity(values["severity"]), reason=values["reason"], **_who(request))

    return _form(request, incident, form, act, title="How bad is it?", button="Set the severity", done="The severity is set.")


@require_http_methods(METHODS)
@requires(Capability.RESPOND)
def edit(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """What is it called?"""
    incident = get_incident(incident_id)
    form = DetailsForm(request.POST or None, initial={"title": incident.title, "summary": incident.summary, "seen_hash": acts.details_hash(incident)})
    context: dict[str, Any] = {"incident": incident, "heading": "What is it about?", "button": "Save"}
    status = 422
    if request.method == "POST" and form.is_valid():
        try:
            acts.change_details(incident_id=incident_id, **form.cleaned_data, **_who(request))
        except InvalidInput as error:
            show_refusal(form, error)
        except Conflict as error:
            # The text stays in the form, which is now based on what stands there.
            form = DetailsForm(initial={**form.cleaned_data, "seen_hash": error.extra["details_hash"]})
            context["moved"], status = error, error.status
        else:
            return _back(request, incident_id, "It is saved; what stood there is on the audit log.")
    if "seen_hash" in form.errors:
        # Nobody sees a hidden field: it is said in words, and the form, with all that was written, is now based on what is shown as standing there.
        context["moved"] = InvalidInput(UNREAD, current_title=incident.title, current_summary=incident.summary)
        form.data = {**request.POST.dict(), "seen_hash": acts.details_hash(incident)}
    return render(request, "incidents/form.html", {**context, "form": form}, status=status if form.errors or "moved" in context else 200)


@require_http_methods(METHODS)
@requires(Capability.RESPOND)
def stable(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """What shows that the harm is over?"""
    incident = get_incident(incident_id)
    form = StableForm(request.POST or None)

    def act(values: dict[str, Any]) -> object:
        return acts.declare_stable(incident_id=incident_id, evidence=values["evidence"], at=values["at"], **_who(request))

    text = (
        "A rollback that is verified shows it by itself. Say it where the harm has ended by something else."
        " The incident opens again when a rollback is asked for afterwards."
    )
    return _form(request, incident, form, act, title="What shows that the harm is over?", text=text, button="It is stable", done="The incident is stable.")


@require_http_methods(METHODS)
@requires(Capability.RESPOND)
def close(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """Has somebody looked at all of it?"""
    incident = get_incident(incident_id)
    form = CloseForm(request.POST or None)

    def act(values: dict[str, Any]) -> object:
        return acts.close_incident(incident_id=incident_id, reason=values["reason"], **_who(request))

    text = "Rollbacks that come later open another incident. Notes and corrections can be written afterwards, too."
    if incident.state == IncidentState.OPEN:
        text = f"Nothing has shown that the harm is over: say why it can be closed all the same. {text}"
    return _form(request, incident, form, act, title="Is everything looked at?", text=text, button="Close the incident", done="The incident is closed.")


@require_http_methods(METHODS)
@requires(Capability.RESPOND)
def reopen(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """Is it not over?"""
    incident = get_incident(incident_id)
    form = ReopenForm(request.POST or None)

    def act(values: dict[str, Any]) -> object:
        return acts.reopen_incident(incident_id=incident_id, reason=values["reason"], **_who(request))

    text = "What rollbacks have shown until now does not count any more: another verified rollback, or a person, says when it is over."
    return _form(request, incident, form, act, title="What is not over?", text=text, button="Open it again", done="The incident is open again.")


@require_http_methods(METHODS)
@requires(Capability.RESPOND)
def affected(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """Whom does it hurt, and which versions is it about?"""
    incident = get_incident(incident_id)
    form = AffectedForm(request.POST or None, incident=incident)

    def act(values: dict[str, Any]) -> object:
        aliases = form.chosen_alias()
        versions = [values["version"]] if values["version"] else []
        if form.errors:
            return None
        if not aliases and not versions:
            form.add_error(None, "Name an alias or a version.")
            return None
        return change_affected(incident_id=incident_id, add_aliases=aliases, add_versions=versions, **_who(request))

    context: dict[str, Any] = {
        "template": "incidents/affected.html",
        "policies": incident.aliases.order_by("alias"),
        "versions": list_versions_of(incident),
        "aliases": suggested_aliases(incident.environment),
    }
    return _form(request, incident, form, act, title="Whom does it hurt?", button="Add", done="It is added.", **context)


@require_POST
@requires(Capability.RESPOND)
def unaffected(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """Take an alias or a version off."""
    get_incident(incident_id)
    aliases = RoutingPolicy.objects.filter(pk__in=_numbers(request, "alias"))
    versions = Version.objects.filter(pk__in=_numbers(request, "version"))
    change_affected(incident_id=incident_id, remove_aliases=list(aliases), remove_versions=list(versions), **_who(request))
    messages.success(request, "It is taken off.")
    return redirect("incidents:affected", incident_id=incident_id)


@require_http_methods(METHODS)
@requires(Capability.RESPOND)
def correct(request: HttpRequest, incident_id: UUID, matter: str) -> HttpResponse:
    """What is right instead?"""
    incident = get_incident(incident_id)
    if matter not in Matter.values:
        raise Http404
    form = correction_form(Matter(matter), incident, request.POST or None)

    def act(values: dict[str, Any]) -> object:
        correcting = {Matter.DETECTION: correct_detection, Matter.EXPOSURE: correct_exposure, Matter.IMPACT: correct_impact}[Matter(matter)]
        return correcting(incident_id=incident_id, **values, **_who(request))  # type: ignore[operator]

    text = "It stands instead of what is reckoned until it is withdrawn; the page says who corrected it, and what stood there before."
    title = "What did users see?" if matter == Matter.IMPACT else f"Which {Matter(matter).label.lower()} is right?"
    return _form(request, incident, form, act, title=title, text=text, button="Correct it", done="It is corrected.")


@require_http_methods(METHODS)
@requires(Capability.RESPOND)
def withdraw(request: HttpRequest, incident_id: UUID, correction_id: int) -> HttpResponse:
    """Take a correction back."""
    incident = get_incident(incident_id)
    form = ReasonForm(request.POST or None)

    def act(values: dict[str, Any]) -> object:
        return withdraw_correction(incident_id=incident_id, correction_id=correction_id, reason=values["reason"], **_who(request))

    done = "The correction is withdrawn: what is reckoned stands again."
    return _form(request, incident, form, act, title="Why is the correction withdrawn?", button="Withdraw it", done=done)


def _form(
    request: HttpRequest,
    incident: Incident,
    form: forms.Form,
    act: Act,
    *,
    title: str,
    button: str,
    done: str,
    text: str = "",
    template: str = "incidents/form.html",
    **more: Any,
) -> HttpResponse:
    """Show the form; when it is sent, act and go back to the incident. A refusal of what was written stands in the form, with what was written."""
    status = 422
    if request.method == "POST" and form.is_valid():
        try:
            act(form.cleaned_data)
        except (InvalidInput, Conflict) as error:
            show_refusal(form, error)
            status = error.status
        else:
            if not form.errors:
                return _back(request, incident.pk, done)
    context = {"incident": incident, "form": form, "heading": title, "text": text, "button": button, **more}
    return render(request, template, context, status=status if form.is_bound and form.errors else 200)


def _back(request: HttpRequest, incident_id: UUID, said: str) -> HttpResponse:
    messages.success(request, said)
    return redirect("incidents:detail", incident_id=incident_id)


def _who(request: HttpRequest) -> dict[str, Any]:
    return {"account": person(request), "actor": actor(request)}


def _numbers(request: HttpRequest, name: str) -> list[int]:
    return [int(value) for value in request.POST.getlist(name) if value.isascii() and value.isdecimal() and len(value) < 18]
