"""Writing a postmortem: drafting it, its texts and checklist, owner and causes, review, publishing, actions, closing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from rollbackhub.accounts.rules import Capability
from rollbackhub.actions.enums import ActionKind
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.common.sentences import counted
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.postmortem_forms import AmendReasonForm, FactorForm, PostmortemActionForm, ReviewersForm, SectionForm, SettingsForm
from rollbackhub.dashboard.postmortem_page import (
    EditedFactor,
    EditedSection,
    Outcome,
    keep_as_moved,
    missing_of,
    refuse,
    rendered,
    reviewer_rows,
    rights_of,
    untouched,
)
from rollbackhub.dashboard.requests import typed
from rollbackhub.dashboard.rollback_request_forms import show_refusal
from rollbackhub.postmortems.domain.actions import give_action, set_gating
from rollbackhub.postmortems.domain.drafting import draft_postmortem
from rollbackhub.postmortems.domain.reviewing import (
    approve_postmortem,
    ask_for_changes,
    ask_reviewer,
    close_postmortem,
    publish_postmortem,
    send_to_review,
    take_back,
)
from rollbackhub.postmortems.domain.selectors import Record, get_record
from rollbackhub.postmortems.domain.texts import answer_factor, change_postmortem, set_causes, write_section
from rollbackhub.postmortems.domain.writing import answer_in_words
from rollbackhub.postmortems.enums import PostmortemState
from rollbackhub.postmortems.rules import BLAMELESS
from rollbackhub.registry.domain.holds import gates_kept_by

NO_HOLD = "No hold waits for it: no rollback of this incident holds a version back now. One that begins later waits for it."


@require_POST
@requires(Capability.RESPOND)
def draft(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """Draft the postmortem of an incident by hand."""
    made = draft_postmortem(incident_id=incident_id, account=person(request), actor=actor(request))
    messages.success(request, "It is drafted with what is known. Complete it, then send it to review.")
    return redirect("postmortems:detail", postmortem_id=made.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.RESPOND)
def edit(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """Its texts. What somebody else has changed meanwhile is shown beside one's own; nothing is lost, and the rest is saved."""
    record = get_record(postmortem_id)
    rights = rights_of(record, person(request))
    amends = record.postmortem.is_published
    reason = AmendReasonForm(request.POST or None)
    outcome = Outcome(sections=[EditedSection(SectionForm(section=section)) for section in record.sections])
    preview = request.POST.get("preview") == "1"
    if request.method == "POST":
        outcome = _saved_sections(request, record, amends=amends, reason=reason, preview=preview)
        if not preview and outcome.is_whole and reason.is_valid() and not reason.errors:
            messages.success(request, f"{counted(outcome.saved, 'section')} saved." if outcome.saved else "Nothing was changed.")
            return redirect("postmortems:detail", postmortem_id=postmortem_id)
        # Somebody may have moved it on meanwhile: what was written stays on the page, for the act that is possible now.
        record = get_record(postmortem_id)
        rights, amends = rights_of(record, person(request)), record.postmortem.is_published
    context = {
        "record": record,
        "postmortem": record.postmortem,
        "rights": rights,
        "outcome": outcome,
        "reason": reason if amends else None,
        "blameless": BLAMELESS,
        "preview": preview,
        "may_write": rights.amend if amends else rights.write,
    }
    return render(request, "postmortems/edit.html", context, status=_status(request, outcome, preview=preview))


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.RESPOND)
def factors(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """The checklist of contributing factors."""
    record = get_record(postmortem_id)
    outcome = Outcome(factors=[EditedFactor(FactorForm(factor=factor)) for factor in record.factors])
    if request.method == "POST":
        outcome = _saved_factors(request, record)
        if outcome.is_whole:
            messages.success(request, f"{counted(outcome.saved, 'answer')} saved." if outcome.saved else "Nothing was changed.")
            return redirect("postmortems:detail", postmortem_id=postmortem_id)
    context = {
        "record": record,
        "postmortem": record.postmortem,
        "rights": rights_of(record, person(request)),
        "outcome": outcome,
        "blameless": BLAMELESS,
    }
    return render(request, "postmortems/factors.html", context, status=_status(request, outcome))


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.RESPOND)
def settings(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """Whose it is, by when, and its causes."""
    record = get_record(postmortem_id)
    form = SettingsForm(request.POST or None, record=record)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        who: dict[str, Any] = {"postmortem_id": postmortem_id, "account": person(request), "actor": actor(request)}
        try:
            set_causes(slugs=values["causes"], own=form.own_names(), **who)
            change_postmortem(owner=form.chosen_owner(), due_on=values["due_on"], **who)
        except InvalidInput as error:
            show_refusal(form, error)
        else:
            messages.success(request, "Changed.")
            return redirect("postmortems:detail", postmortem_id=postmortem_id)
    return _form(request, "postmortems/settings.html", record, form)


@require_POST
@requires(Capability.RESPOND)
def send(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """Send it to review; while it is there, ask further people."""
    record = get_record(postmortem_id)
    form = ReviewersForm(request.POST, record=record, sender=person(request))
    if form.is_valid():
        who: dict[str, Any] = {"postmortem_id": postmortem_id, "account": person(request), "actor": actor(request)}
        try:
            if record.postmortem.state == PostmortemState.IN_REVIEW:
                for reviewer in form.chosen():
                    ask_reviewer(reviewer=reviewer, **who)
            else:
                send_to_review(reviewers=form.chosen(), **who)
        except InvalidInput as error:
            show_refusal(form, error)
        else:
            messages.success(request, "Its reviewers are told.")
            return redirect("postmortems:detail", postmortem_id=postmortem_id)
    context = {
        "record": record,
        "postmortem": record.postmortem,
        "rights": rights_of(record, person(request)),
        "reviewers": reviewer_rows(record),
        "missing": missing_of(record),
        "form": form,
    }
    return render(request, "postmortems/review.html", context, status=422)


@require_POST
@requires(Capability.RESPOND)
def approve(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """Say that it may be published."""
    note = typed(request, "note")
    approve_postmortem(postmortem_id=postmortem_id, account=person(request), actor=actor(request), seen=_seen(request), note=note)
    messages.success(request, "You approve it. A change of its text would end that.")
    return redirect("postmortems:detail", postmortem_id=postmortem_id)


@require_POST
@requires(Capability.RESPOND)
def ask_changes(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """Say what has to change."""
    note = typed(request, "note")
    ask_for_changes(postmortem_id=postmortem_id, account=person(request), actor=actor(request), seen=_seen(request), note=note)
    messages.success(request, "Its owner is told what has to change.")
    return redirect("postmortems:detail", postmortem_id=postmortem_id)


@require_POST
@requires(Capability.RESPOND)
def back(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """Make it a draft again."""
    take_back(postmortem_id=postmortem_id, account=person(request), actor=actor(request))
    messages.info(request, "It is a draft again.")
    return redirect("postmortems:detail", postmortem_id=postmortem_id)


@require_POST
@requires(Capability.RESPOND)
def publish(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """Publish it."""
    publish_postmortem(postmortem_id=postmortem_id, account=person(request), actor=actor(request))
    messages.success(request, "Published. The team is told; its facts and timeline stand as they are now.")
    return redirect("postmortems:detail", postmortem_id=postmortem_id)


@require_POST
@requires(Capability.RESPOND)
def close(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """Say that all that came out of it is settled."""
    close_postmortem(postmortem_id=postmortem_id, account=person(request), actor=actor(request))
    messages.success(request, "Closed: what came out of it is settled.")
    return redirect("postmortems:detail", postmortem_id=postmortem_id)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.RESPOND)
def action(request: HttpRequest, postmortem_id: UUID) -> HttpResponse:
    """Give somebody an action."""
    record = get_record(postmortem_id)
    form = PostmortemActionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            link = give_action(
                postmortem_id=postmortem_id,
                title=values["title"],
                owner=form.chosen_owner(),
                due_on=values["due_on"],
                kind=ActionKind(values["kind"]),
                detail=values["detail"],
                is_gating=values["is_gating"],
                account=person(request),
                actor=actor(request),
            )
        except InvalidInput as error:
            show_refusal(form, error)
        else:
            messages.success(request, "The action is given; its owner is told.")
            if values["is_gating"] and not gates_kept_by(link.action).exists():
                messages.warning(request, NO_HOLD)
            return redirect("postmortems:detail", postmortem_id=postmortem_id)
    return _form(request, "postmortems/action.html", record, form)


@require_POST
@requires(Capability.RESPOND)
def gate(request: HttpRequest, postmortem_id: UUID, action_id: UUID) -> HttpResponse:
    """Let the hold wait for an action, or no longer."""
    gates = request.POST.get("gates") == "1"
    reason = typed(request)
    set_gating(postmortem_id=postmortem_id, action_id=action_id, is_gating=gates, reason=reason, account=person(request), actor=actor(request))
    waits = "The hold waits for it." if gates_kept_by(action_id).exists() else NO_HOLD
    messages.success(request, waits if gates else "The hold no longer waits for it; why stands on the record.")
    return redirect("postmortems:detail", postmortem_id=postmortem_id)


def _saved_sections(request: HttpRequest, record: Record, *, amends: bool, reason: AmendReasonForm, preview: bool) -> Outcome:
    outcome = Outcome()
    why = request.POST.get("reason", "").strip() if amends else ""
    for section in record.sections:
        form = SectionForm(request.POST, section=section)
        edited = EditedSection(form)
        outcome.sections.append(edited)
        if not form.is_valid():
            outcome.refused += 1
            continue
        text, number = form.cleaned_data["text"], form.cleaned_data["based_on"]
        if preview:
            edited.html = rendered(text)
            continue
        if number != section.number and untouched(record, section.key, number, text):
            continue
        try:
            saved = write_section(
                postmortem_id=record.postmortem.pk, key=section.key, text=text, based_on=number, reason=why, account=person(request), actor=actor(request)
            )
        except Conflict as error:
            if error.code != "text_moved":
                if amends and not why:
                    _want_reason(reason)
                else:
                    outcome.problem = error.message
                outcome.refused += 1
                return _with_the_others(request, record, outcome)
            outcome.moved += 1
            keep_as_moved(edited, error, request.POST)
        except InvalidInput as error:
            outcome.refused += 1
            refuse(reason if "reason" in error.fields else form, error)
        else:
            if saved.number != section.number:
                outcome.saved += 1
                edited.saved = True
                # What was saved is where the person goes on from, if something else was not.
                changed = request.POST.copy()
                changed[form.add_prefix("based_on")] = str(saved.number)
                edited.form = SectionForm(changed, section=section)
                edited.form.is_valid()
    return outcome


def _with_the_others(request: HttpRequest, record: Record, outcome: Outcome) -> Outcome:
    """The sections that were not looked at yet keep what was sent, too."""
    for section in record.sections[len(outcome.sections) :]:
        form = SectionForm(request.POST, section=section)
        form.is_valid()
        outcome.sections.append(EditedSection(form))
    return outcome


def _want_reason(reason: AmendReasonForm) -> None:
    reason.is_valid()
    if not reason.errors:
        reason.add_error("reason", "Say why the published text is amended. Nothing was saved yet.")


def _saved_factors(request: HttpRequest, record: Record) -> Outcome:
    outcome = Outcome()
    for factor in record.factors:
        form = FactorForm(request.POST, factor=factor)
        edited = EditedFactor(form)
        outcome.factors.append(edited)
        if not form.is_valid():
            outcome.refused += 1
            continue
        values = form.cleaned_data
        said = answer_in_words(values["answer"], values["words"].replace("\r\n", "\n").strip())
        key = f"factor:{factor.question.key}"
        if values["based_on"] != factor.number and untouched(record, key, values["based_on"], said, empty=answer_in_words("", "")):
            continue
        try:
            saved = answer_factor(
                postmortem_id=record.postmortem.pk,
                key=factor.question.key,
                answer=values["answer"],
                words=values["words"],
                based_on=values["based_on"],
                account=person(request),
                actor=actor(request),
            )
        except Conflict as error:
            if error.code != "text_moved":
                outcome.problem = error.message
                outcome.refused += 1
                continue
            outcome.moved += 1
            keep_as_moved(edited, error, request.POST)
        except InvalidInput as error:
            outcome.refused += 1
            refuse(form, error)
        else:
            if saved.number != factor.number:
                outcome.saved += 1
                edited.saved = True
                changed = request.POST.copy()
                changed[form.add_prefix("based_on")] = str(saved.number)
                edited.form = FactorForm(changed, factor=factor)
                edited.form.is_valid()
    return outcome


def _status(request: HttpRequest, outcome: Outcome, *, preview: bool = False) -> int:
    if request.method != "POST" or preview:
        return 200
    return 409 if outcome.moved else 422


def _seen(request: HttpRequest) -> int | None:
    """The number of the text that the person read."""
    seen = request.POST.get("seen", "")
    return int(seen) if seen.isascii() and seen.isdecimal() and len(seen) < 10 else None


def _form(request: HttpRequest, template: str, record: Record, form: forms.Form) -> HttpResponse:
    context = {"record": record, "postmortem": record.postmortem, "form": form, "rights": rights_of(record, person(request)), "blameless": BLAMELESS}
    return render(request, template, context, status=422 if form.is_bound and form.errors else 200)
