"""Quarterly reviews: the list, opening one, its page, and the screens of the presenter."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.audit.domain.listing import list_events_about
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.figures import chart_templates
from rollbackhub.dashboard.filters import say_what_is_left_out
from rollbackhub.dashboard.review_forms import AmendForm, OpenReviewForm, ReviewFilterForm, ReviewSettingsForm
from rollbackhub.dashboard.review_page import COVER, END, document_view, item_view, rights_of, screens_of, standing_of
from rollbackhub.dashboard.rollback_request_forms import show_refusal
from rollbackhub.reviews.domain.opening import amend_review, change_review, open_review
from rollbackhub.reviews.domain.preparing import request_preparation
from rollbackhub.reviews.domain.selectors import get_document, get_record, get_review, list_reviews
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.reviews.models import Review

PAGE_SIZE = 25


@require_safe
@requires(Capability.VIEW)
def review_list(request: HttpRequest) -> HttpResponse:
    """Reviews that match the address, the newest quarter first."""
    form = ReviewFilterForm(request.GET)
    page = Paginator(list_reviews(**form.wanted()), PAGE_SIZE).get_page(request.GET.get("page"))
    say_what_is_left_out(request, form.errors)
    return render(request, "reviews/list.html", {"form": form, "page": page, "filtered": any(request.GET.get(name) for name in form.fields)})


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.LEAD)
def review_new(request: HttpRequest) -> HttpResponse:
    """Open the review of a team's quarter."""
    form = OpenReviewForm(request.POST or None, initial={"team": request.GET.get("team", "")})
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            review = open_review(
                team=values["team"],
                quarter=values["quarter"],
                meets_at=values["meets_at"],
                presenter=values["presenter"],
                sign_off_roles=values["sign_off_roles"],
                account=person(request),
                actor=actor(request),
            )
        except Conflict as error:
            messages.warning(request, error.message)
            return redirect(str(error.extra.get("url") or request.path))
        except InvalidInput as error:
            show_refusal(form, error)
        else:
            messages.success(request, f"The review {review} is open.")
            return redirect("reviews:detail", review_id=review.pk)
    return render(request, "reviews/new.html", {"form": form}, status=422 if form.is_bound and form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.LEAD)
def review_edit(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Change when the meeting is, who presents and who signs."""
    review = get_review(review_id)
    initial = {"meets_at": review.meets_at, "presenter": review.presenter_id, "sign_off_roles": review.sign_off_roles}
    form = ReviewSettingsForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            change_review(review_id=review_id, account=person(request), actor=actor(request), **form.cleaned_data)
        except InvalidInput as error:
            show_refusal(form, error)
        else:
            messages.success(request, "Changed.")
            return redirect("reviews:detail", review_id=review_id)
    return render(request, "reviews/edit.html", {"form": form, "review": review}, status=422 if form.is_bound and form.errors else 200)


@require_safe
@requires(Capability.VIEW)
def review_detail(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Where does it stand, what comes next, and what is on its agenda?"""
    record = get_record(review_id)
    now = clock.now()
    rights = rights_of(record, person(request), now=now)
    standing = standing_of(record, rights, now=now)
    # While it is prepared again, what is shown may be gone the next moment.
    items = [item_view(record, item) for item in record.items] if record.review.state != ReviewState.PREPARING else []
    context: dict[str, Any] = {
        "record": record,
        "review": record.review,
        "rights": rights,
        "standing": standing,
        "digest": digest_of(record.review),
        "items": items,
        "has_figures": any(view.figures for view in items),
        "chart_templates": chart_templates(),
        "unplaced": (record.decisions_of(None), record.actions_of(None)),
        "events": list_events_about(subject_types=["review"], subject_id=str(review_id)),
        **document_view(get_document(review_id), record.review),
    }
    return render(request, "reviews/detail.html", context)


@require_safe
@requires(Capability.VIEW)
def review_live(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """For polling while it is prepared: 204 while nothing has changed, else the page anew."""
    if request.GET.get("seen") == digest_of(get_review(review_id)):
        return HttpResponse(status=204)
    response = HttpResponse(status=200)
    response["HX-Refresh"] = "true"
    return response


def digest_of(review: Review) -> str:
    """Short, equal while the page shows the same."""
    return f"{review.number}-{'problem' if review.prepare_problem else 'fine'}"


@require_safe
@requires(Capability.VIEW)
def review_documents(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """The part of the page about the documents, for polling while they are made."""
    context = {"review": get_review(review_id), **document_view(get_document(review_id), get_review(review_id))}
    if context["is_making"] and request.GET.get("seen") == "making":
        return HttpResponse(status=204)
    return render(request, "reviews/partials/_documents.html", context)


@require_POST
@requires(Capability.LEAD)
def prepare(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Prepare it now, or again."""
    request_preparation(review_id=review_id, account=person(request), actor=actor(request))
    messages.info(request, "Its figures are being asked for. Minutes and decisions stay.")
    return redirect("reviews:detail", review_id=review_id)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.LEAD)
def amend(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Make the amendment of a signed review."""
    review = get_review(review_id)
    form = AmendForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            new = amend_review(review_id=review_id, reason=form.cleaned_data["reason"], account=person(request), actor=actor(request))
        except InvalidInput as error:
            show_refusal(form, error)
        else:
            messages.success(request, "This is the amendment. It begins with what was signed; put right what was wrong, then have it held and signed.")
            return redirect("reviews:detail", review_id=new.pk)
    return render(request, "reviews/amend.html", {"form": form, "review": review}, status=422 if form.is_bound and form.errors else 200)


@require_safe
@requires(Capability.VIEW)
def present(request: HttpRequest, review_id: UUID, screen: str = COVER) -> HttpResponse:
    """One item a screen, for the wall: next and back by keyboard or buttons, the place in the address."""
    record = get_record(review_id)
    if not record.items or record.review.state == ReviewState.PREPARING:
        raise Conflict("There is nothing to present yet: the review is being prepared.", code="review_not_prepared", url=f"/reviews/{review_id}/")
    screens = screens_of(record)
    place = next((index for index, found in enumerate(screens) if found.key == screen), None)
    if place is None:
        raise NotFound("The agenda has no such item.", code="item_not_found")
    item = next((found for found in record.items if found.agenda == screen), None)
    context = {
        "record": record,
        "review": record.review,
        "rights": rights_of(record, person(request), now=clock.now()),
        "screens": screens,
        "screen": screens[place],
        "place": place,
        "previous": screens[place - 1] if place else None,
        "next": screens[place + 1] if place + 1 < len(screens) else None,
        "first": screens[0],
        "last": screens[-1],
        "view": item_view(record, item, on_the_wall=True) if item else None,
        "is_cover": screen == COVER,
        "is_end": screen == END,
        "chart_templates": chart_templates(),
    }
    return render(request, "reviews/present.html", context)
