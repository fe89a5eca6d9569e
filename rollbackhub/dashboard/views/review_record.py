"""Writing a review's record: attendance, minutes, decisions, actions, that it was held, signatures; and its documents."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.markdown import to_html
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.review_forms import ActionForm, AttendanceForm, DecisionForm, MinutesForm, SignForm, WishForm
from rollbackhub.dashboard.review_page import rights_of
from rollbackhub.dashboard.rollback_request_forms import show_refusal
from rollbackhub.reviews.domain.actions import give_action
from rollbackhub.reviews.domain.documents import get_made, request_documents
from rollbackhub.reviews.domain.meeting import (
    add_attendance,
    add_decision,
    ask_for_decision,
    hold_review,
    remove_attendance,
    remove_decision,
    save_minutes,
    withdraw_wish,
)
from rollbackhub.reviews.domain.selectors import Record, get_item, get_record
from rollbackhub.reviews.domain.signing import require_read, sign_off
from rollbackhub.reviews.domain.writing import require_writer
from rollbackhub.reviews.models import ReviewItem

DOCUMENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""Of the HTML document: it has its styles inline, and whatever is in it does nothing."""


@require_POST
@requires(Capability.LEAD)
def hold(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Say that the meeting was held."""
    hold_review(review_id=review_id, account=person(request), actor=actor(request))
    messages.success(request, "Held. Its figures stand now, and those who sign were told.")
    return redirect("reviews:detail", review_id=review_id)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.VIEW)
def attendance(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Who was there?"""
    if request.method == "POST":
        # Before what is sent: a person without the role is told so, whatever the form lacks.
        require_writer(person(request))
    record = get_record(review_id, contents=False)
    form = AttendanceForm(request.POST or None, present={row.user_id for row in record.attendance if row.user_id})
    if request.method == "POST" and form.is_valid():
        try:
            new = add_attendance(
                review_id=review_id,
                people=form.cleaned_data["people"],
                guests=form.cleaned_data["guests"].splitlines(),
                account=person(request),
                actor=actor(request),
            )
        except InvalidInput as error:
            show_refusal(form, error)
        else:
            messages.success(request, f"{new} added." if new else "They stood there already.")
            return redirect("reviews:attendance", review_id=review_id)
    return _form(request, "reviews/attendance.html", record, form)


@require_POST
@requires(Capability.VIEW)
def attendance_remove(request: HttpRequest, review_id: UUID, attendance_id: int) -> HttpResponse:
    """Take somebody off the list."""
    remove_attendance(review_id=review_id, attendance_id=attendance_id, account=person(request), actor=actor(request))
    return redirect("reviews:attendance", review_id=review_id)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.VIEW)
def minutes(request: HttpRequest, review_id: UUID, agenda: str) -> HttpResponse:
    """Write an item's minutes. When somebody else has written meanwhile, both texts are shown and nothing is lost."""
    if request.method == "POST":
        # Before what is sent: a person without the role is told so, whatever the form lacks.
        require_writer(person(request))
    item = get_item(review_id, agenda)
    context: dict[str, Any] = {"item": item, "review": item.review, "back": _back(request, item)}
    form = MinutesForm(request.POST or None, initial={"text": item.minutes, "based_on": item.minutes_number})
    status = 200
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        if "preview" in request.POST:
            context["preview"] = to_html(values["text"], first_heading=4)
        else:
            try:
                save_minutes(
                    review_id=review_id, agenda=agenda, text=values["text"], based_on=values["based_on"], account=person(request), actor=actor(request)
                )
            except InvalidInput as error:
                show_refusal(form, error)
            except Conflict as error:
                if error.code != "minutes_moved":
                    raise
                # The text stays in the form, which is now based on what stands there.
                context |= {"moved": error, "theirs": error.extra["minutes"]}
                form = MinutesForm(initial={"text": values["text"], "based_on": error.extra["minutes_number"]})
                status = error.status
            else:
                messages.success(request, "The minutes are saved.")
                return redirect(context["back"])
    context |= {"form": form, "rights": rights_of(get_record(review_id, contents=False), person(request), now=clock.now())}
    return render(request, "reviews/minutes.html", context, status=422 if form.is_bound and form.errors else status)


def _back(request: HttpRequest, item: ReviewItem) -> str:
    """Where somebody came from: the screen, or the item on the page."""
    if request.GET.get("from") == "present":
        return reverse("reviews:present-item", args=[item.review_id, item.agenda])
    return f"{reverse('reviews:detail', args=[item.review_id])}#{item.agenda}"


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.VIEW)
def wish(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Ask the meeting for a decision."""
    if request.method == "POST":
        # Before what is sent: a person without the role is told so, whatever the form lacks.
        require_writer(person(request))
    record = get_record(review_id, contents=False)
    form = WishForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            ask_for_decision(review_id=review_id, text=form.cleaned_data["text"], account=person(request), actor=actor(request))
        except InvalidInput as error:
            show_refusal(form, error)
        else:
            messages.success(request, "The meeting is asked.")
            return redirect(f"{reverse('reviews:detail', args=[review_id])}#decisions")
    return _form(request, "reviews/wish.html", record, form)


@require_POST
@requires(Capability.VIEW)
def wish_withdraw(request: HttpRequest, review_id: UUID, wanted_id: int) -> HttpResponse:
    """Take a question back."""
    withdraw_wish(review_id=review_id, wanted_id=wanted_id, account=person(request), actor=actor(request))
    return redirect(f"{reverse('reviews:detail', args=[review_id])}#decisions")


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.LEAD)
def decision(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Write down what was decided."""
    record = get_record(review_id, contents=False)
    initial = {"agenda": request.GET.get("item", ""), "wanted": request.GET.get("wanted", "")}
    form = DecisionForm(request.POST or None, items=record.items, wishes=record.review.wanted_decisions.order_by("pk"), initial=initial)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            add_decision(
                review_id=review_id,
                text=values["text"],
                owner=values["owner"],
                agenda=values["agenda"],
                wanted_id=values["wanted"].pk if values["wanted"] else None,
                account=person(request),
                actor=actor(request),
            )
        except InvalidInput as error:
            show_refusal(form, error)
        else:
            messages.success(request, "The decision is written down.")
            return redirect(_to_item(review_id, values["agenda"]))
    return _form(request, "reviews/decision.html", record, form)


@require_POST
@requires(Capability.LEAD)
def decision_remove(request: HttpRequest, review_id: UUID, decision_id: int) -> HttpResponse:
    """Take back a decision that was written down wrongly."""
    remove_decision(review_id=review_id, decision_id=decision_id, account=person(request), actor=actor(request))
    messages.info(request, "The decision is taken back.")
    return redirect("reviews:detail", review_id=review_id)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.LEAD)
def action(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Give somebody an action."""
    record = get_record(review_id, contents=False)
    form = ActionForm(request.POST or None, items=record.items, initial={"agenda": request.GET.get("item", "")})
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            give_action(review_id=review_id, account=person(request), actor=actor(request), **values)
        except InvalidInput as error:
            show_refusal(form, error)
        else:
            messages.success(request, "The action is given.")
            return redirect(_to_item(review_id, values["agenda"]))
    return _form(request, "reviews/action.html", record, form)


def _to_item(review_id: UUID, agenda: str) -> str:
    return reverse("reviews:detail", args=[review_id]) + (f"#{agenda}" if agenda else "")


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.VIEW)
def sign(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Sign it, for a role that the person has."""
    record = get_record(review_id, contents=False)
    rights = rights_of(record, person(request), now=clock.now())
    # A role that is sent and not theirs is the domain's to refuse.
    roles = record.missing_roles if request.method == "POST" else rights.sign_as
    # The page of the review says which record somebody has read there; who comes from elsewhere is shown the present one's number.
    read = _number(request.GET.get("read", str(record.written)))
    form = SignForm(request.POST or None, roles=roles, initial={"based_on": read})
    moved: Conflict | None = None
    if request.method == "POST":
        try:
            signed = sign_off(
                review_id=review_id,
                role=request.POST.get("role", ""),
                based_on=_number(request.POST.get("based_on", "")),
                note=request.POST.get("note", ""),
                account=person(request),
                actor=actor(request),
            )
        except InvalidInput as error:
            show_refusal(form, error)
        except Conflict as error:
            if error.code != "record_moved":
                raise
            moved = error
        else:
            last = signed.signed_at is not None
            messages.success(request, "Signed. Everybody has: the review cannot change any more." if last else "Signed.")
            return redirect("reviews:detail", review_id=review_id)
    elif rights.sign_as:
        try:
            require_read(record.review, based_on=read)
        except Conflict as error:
            moved = error
    if moved is not None:
        context = {"record": record, "review": record.review, "rights": rights, "moved": moved, "note": request.POST.get("note", "")}
        return render(request, "reviews/sign.html", context, status=moved.status)
    return _form(request, "reviews/sign.html", record, form)


def _number(text: str) -> int:
    """The number of a record; -1, which none has, for what is no number."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1


@require_POST
@requires(Capability.VIEW)
def export(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Have PDF and HTML made."""
    request_documents(review_id=review_id, account=person(request))
    return redirect(f"{reverse('reviews:detail', args=[review_id])}#documents")


@require_safe
@requires(Capability.VIEW)
def pdf(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """The PDF that was made last."""
    document = get_made(review_id)
    if document.pdf is None:
        raise NotFound(f"There is no PDF of it. {document.problem}", code="document_not_found", url=f"/reviews/{review_id}/")
    return _file(bytes(document.pdf), "application/pdf", f'inline; filename="{_name(document.review)}.pdf"')


@require_safe
@requires(Capability.VIEW)
def html(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """The HTML document that was made last, to save."""
    document = get_made(review_id)
    response = _file(document.html.encode(), "text/html; charset=utf-8", f'attachment; filename="{_name(document.review)}.html"')
    response["Content-Security-Policy"] = DOCUMENT_POLICY
    return response


def _name(review: Any) -> str:
    return f"review-{review.team.slug}-{review.quarter_name.replace(' ', '-')}"


def _file(content: bytes, kind: str, disposition: str) -> HttpResponse:
    return HttpResponse(content, content_type=kind, headers={"Content-Disposition": disposition, "X-Content-Type-Options": "nosniff"})


def _form(request: HttpRequest, template: str, record: Record, form: forms.Form) -> HttpResponse:
    rights = rights_of(record, person(request), now=clock.now())
    context = {"record": record, "review": record.review, "form": form, "rights": rights}
    return render(request, template, context, status=422 if form.is_bound and form.errors else 200)
