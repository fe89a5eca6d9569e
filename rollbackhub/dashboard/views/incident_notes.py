"""Notes on an incident's timeline: writing one, changing it beside others, reading what it said before, taking it back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from incidents.domain.notes import add_note, edit_note, get_note, list_texts, withdraw_note
from incidents.domain.selectors import get_incident
from rollbackhub.accounts.rules import Capability, may
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.common.markdown import to_html
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.incident_forms import UNREAD, NoteEditForm, NoteForm, ReasonForm
from rollbackhub.dashboard.rollback_request_forms import show_refusal

METHODS = ["GET", "HEAD", "POST"]


@require_http_methods(METHODS)
@requires(Capability.RESPOND)
def note_new(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """Write a note."""
    incident = get_incident(incident_id)
    form = NoteForm(request.POST or None)
    context: dict[str, Any] = {"incident": incident, "form": form, "heading": "What is to be noted?", "button": "Write it", "previews": True}
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        if "preview" in request.POST:
            context["preview"] = to_html(values["text"], first_heading=4)
        else:
            try:
                note = add_note(incident_id=incident_id, text=values["text"], about_at=values["about_at"], account=person(request), actor=actor(request))
            except InvalidInput as error:
                show_refusal(form, error)
            else:
                messages.success(request, "The note stands on the timeline.")
                return redirect(_place(incident_id, note.pk))
    return render(request, "incidents/form.html", context, status=422 if form.is_bound and form.errors else 200)


@require_http_methods(METHODS)
@requires(Capability.VIEW)
def note_detail(request: HttpRequest, incident_id: UUID, note_id: int) -> HttpResponse:
    """One note with every text that it had; who works on incidents changes it here. When somebody else has written meanwhile both are shown."""
    note = get_note(incident_id=incident_id, note_id=note_id)
    context: dict[str, Any] = {"incident": note.incident}
    form = NoteEditForm(request.POST or None, initial={"text": note.text, "about_at": note.about_at, "based_on": note.number})
    status = 200
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        if "preview" in request.POST:
            context["preview"] = to_html(values["text"], first_heading=4)
        else:
            try:
                edit_note(incident_id=incident_id, note_id=note_id, account=person(request), actor=actor(request), **values)
            except InvalidInput as error:
                show_refusal(form, error)
            except Conflict as error:
                status = error.status
                if error.code == "note_moved":
                    # The text stays in the form, which is now based on what stands there.
                    context |= {"moved": error, "theirs": error.extra["text"]}
                    form = NoteEditForm(initial={**values, "based_on": error.extra["number"]})
                else:
                    # It was withdrawn meanwhile: what was written is shown, to be taken along.
                    context["lost"] = values["text"]
            else:
                messages.success(request, "The note is changed; what it said before is kept.")
                return redirect(_place(incident_id, note_id))
    note = get_note(incident_id=incident_id, note_id=note_id) if "lost" in context else note
    texts = [(text, to_html(text.text, first_heading=4)) for text in list_texts(note)]
    may_write = note.withdrawn_at is None and may(user=person(request), capability=Capability.RESPOND)
    if may_write and "based_on" in form.errors:
        # Nobody sees a hidden field: said in words, and the form is now based on what is shown as standing there.
        context |= {"moved": InvalidInput(UNREAD, by=texts[0][0].by_label), "theirs": note.text}
        form.data = {**request.POST.dict(), "based_on": str(note.number)}
    context |= {"note": note, "form": form, "texts": texts, "may_write": may_write}
    return render(request, "incidents/note.html", context, status=422 if form.is_bound and form.errors else status)


@require_http_methods(METHODS)
@requires(Capability.RESPOND)
def note_withdraw(request: HttpRequest, incident_id: UUID, note_id: int) -> HttpResponse:
    """Take a note back."""
    note = get_note(incident_id=incident_id, note_id=note_id)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            withdraw_note(incident_id=incident_id, note_id=note_id, reason=form.cleaned_data["reason"], account=person(request), actor=actor(request))
        except InvalidInput as error:
            show_refusal(form, error)
        else:
            messages.success(request, "The note is withdrawn: it stays on the timeline, struck.")
            return redirect(_place(incident_id, note_id))
    context = {"incident": note.incident, "form": form, "heading": "Why is the note withdrawn?", "button": "Withdraw it"}
    return render(request, "incidents/form.html", context, status=422 if form.is_bound and form.errors else 200)


def _place(incident_id: UUID, note_id: int) -> str:
    return f"{reverse('incidents:detail', args=[incident_id])}#note-{note_id}"
