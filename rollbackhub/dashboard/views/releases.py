"""Releases: the list, planning one, the page of one with its gate, and the acts on it."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.audit.domain.listing import list_events_about
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.filters import say_what_is_left_out
from rollbackhub.dashboard.release_page import ReleaseFilterForm, ReleaseView, StartReleaseForm, gate_views, look_at, step_change
from rollbackhub.dashboard.requests import typed
from rollbackhub.dashboard.rollback_request_forms import show_refusal
from rollbackhub.registry.domain.selectors import list_environments
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.registry.models import Version
from rollbackhub.releases.domain.gate import check_gate
from rollbackhub.releases.domain.planning import derive_candidate_id, require_servable, served_label, usual_steps
from rollbackhub.releases.domain.rehearsal import rehearse_release
from rollbackhub.releases.domain.selectors import get_release, list_releasable_versions, list_releases, way_back
from rollbackhub.releases.domain.transitions import LEAST_BYPASS_REASON, abandon_release, bypass_gate, create_release, promote_release
from rollbackhub.releases.enums import OPEN_STATES
from rollbackhub.releases.models import Release
from rollbackhub.releases.rules import require_valid_steps
from rollbackhub.rollbacks.rules import MAX_REASON, MIN_REASON
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.selectors import get_policy
from rollbackhub.routing.models import RoutingPolicy

PAGE_SIZE = 50


@require_safe
@requires(Capability.VIEW)
def release_list(request: HttpRequest) -> HttpResponse:
    """Releases that match the address, newest first."""
    environments = [(found.slug, found.name) for found in list_environments() if found.kind == EnvironmentKind.PRODUCTION]
    form = ReleaseFilterForm(request.GET, environments=environments)
    page = Paginator(list_releases(**form.wanted()), PAGE_SIZE).get_page(request.GET.get("page"))
    say_what_is_left_out(request, form.errors)
    return render(request, "releases/list.html", {"form": form, "page": page, "filtered": any(request.GET.get(name) for name in form.fields)})


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.RELEASE)
def start(request: HttpRequest, environment: str, alias: str) -> HttpResponse:
    """What releasing a version there would change, and what its gate will ask; sent, it is planned."""
    policy = get_policy(environment=environment, alias=alias)
    running = Release.objects.filter(policy=policy, state__in=OPEN_STATES).select_related("to_version").first()
    versions = list_releasable_versions(policy)
    first = versions.filter(label=request.GET.get("to", "")).first() or versions.first()
    initial = {
        "to_version": first.label if first else "",
        "steps": ", ".join(map(str, usual_steps(policy))),
        "idempotency_key": f"page-{uuid.uuid4()}",
    }
    form = StartReleaseForm(request.POST or None, versions=versions, initial=initial)
    looks = request.method == "POST" and "preview" in request.POST
    if request.method == "POST" and not looks and form.is_valid():
        try:
            return _planned(request, policy, form)
        except Conflict as error:
            messages.warning(request, error.message)
            return redirect(str(error.extra.get("url") or request.path))
        except InvalidInput as error:
            show_refusal(form, error)
    context: dict[str, Any] = {
        "policy": policy,
        "form": form,
        "running": running,
        "has_version": first is not None,
        "is_production": policy.environment.kind == EnvironmentKind.PRODUCTION,
    }
    if context["is_production"] and first is not None:
        context |= _preview(request, policy, form, first)
    return render(request, "releases/start.html", context, status=422 if form.is_bound and form.errors else 200)


def _planned(request: HttpRequest, policy: RoutingPolicy, form: StartReleaseForm) -> HttpResponse:
    values = form.cleaned_data
    release = create_release(
        policy=policy,
        to_version=values["to_version"],
        account=person(request),
        actor=actor(request),
        candidate_id=values["candidate_id"],
        steps=values["steps"],
        note=values["note"],
        idempotency_key=values["idempotency_key"] or None,
    )
    messages.success(request, "Planned: nothing of the traffic has changed yet.")
    return redirect("releases:detail", release_id=release.pk)


def _preview(request: HttpRequest, policy: RoutingPolicy, form: StartReleaseForm, first: Version) -> dict[str, Any]:
    """What the form as it stands would change at its first step, and what the gate says of that now; or why there is no such thing."""
    to_version, steps, candidate_id = first, usual_steps(policy), ""
    if form.is_bound:
        if not form.is_valid():
            return {}
        to_version, steps, candidate_id = (form.cleaned_data[name] for name in ("to_version", "steps", "candidate_id"))
    candidates = get_candidates(policy=policy)
    try:
        require_valid_steps(steps)
        from_version = Version.objects.get(artefact_id=policy.artefact_id, label=served_label(policy, candidates))
        release = Release(policy=policy, from_version=from_version, to_version=to_version, steps=steps, created_by=person(request))
        release.candidate_id = candidate_id.strip() or derive_candidate_id(candidates, from_label=from_version.label, to_label=to_version.label)
        require_servable(release, candidates)
    except InvalidInput as error:
        if form.is_bound:
            show_refusal(form, error)
            return {}
        # What a person can mend in the form leaves them the form.
        return {"hint" if error.fields.keys() & form.fields.keys() else "refusal": error}
    gate = check_gate(release)
    return {
        "planned": release,
        "gate": gate,
        "conditions": gate_views(gate),
        "change": step_change(release, [candidate.as_dict() for candidate in candidates], percent=steps[0]),
    }


@require_safe
@requires(Capability.VIEW)
def release_detail(request: HttpRequest, release_id: int) -> HttpResponse:
    """How far is it, and what comes next? With the gate's answer and its evidence."""
    return _show(request, release_id)


def _show(request: HttpRequest, release_id: int, *, act: str = "", refusal: InvalidInput | None = None) -> HttpResponse:
    """Its page; with a refusal of what was sent, the dialog of that act stands open and says why."""
    release = get_release(release_id)
    view = look_at(release)
    if refusal is not None and not {"bypass": view.may_bypass, "abandon": view.may_abandon}[act]:
        raise refusal
    context = {
        **live_context(view),
        "events": list_events_about(subject_types=["release"], subject_id=str(release.pk)),
        "least_bypass_reason": LEAST_BYPASS_REASON,
        "least_reason": MIN_REASON,
        "most_reason": MAX_REASON,
        "refused_act": act,
        "refusal": refusal,
        "refused_reason": typed(request) if refusal else "",
    }
    return render(request, "releases/detail.html", context, status=refusal.status if refusal else 200)


@require_safe
@requires(Capability.VIEW)
def release_live(request: HttpRequest, release_id: int) -> HttpResponse:
    """The part that changes, for polling: 204 while nothing has changed, a reload of the page when what can be done has."""
    view = look_at(get_release(release_id))
    if request.GET.get("seen") == view.digest:
        return HttpResponse(status=204)
    response = render(request, "releases/partials/_live.html", live_context(view))
    if not view.is_open or request.GET.get("stands") != view.stands:
        response["HX-Refresh"] = "true"
    return response


def live_context(view: ReleaseView) -> dict[str, Any]:
    """What the live part shows."""
    return {"view": view, "release": view.release, "answer": view.answer, "way_back": way_back(view.release)}


@require_POST
@requires(Capability.RELEASE)
def promote(request: HttpRequest, release_id: int) -> HttpResponse:
    """Take the next canary step."""
    step = promote_release(release_id=release_id, account=person(request), actor=actor(request), expected_step=_expected_step(request))
    messages.success(request, f"Step {step.number + 1} is taken: {step.percent} %. The gateways are getting it now.")
    return redirect("releases:detail", release_id=release_id)


@require_POST
@requires(Capability.RELEASE)
def rehearse(request: HttpRequest, release_id: int) -> HttpResponse:
    """Run its rollback in staging."""
    _require_unchanged(request, release_id)
    try:
        execution = rehearse_release(release_id=release_id, account=person(request), actor=actor(request))
    except Conflict as error:
        if error.code != "already_running" or not error.extra.get("url"):
            raise
        messages.warning(request, error.message)
        return redirect(str(error.extra["url"]))
    given = execution.policy.revisions.filter(number=execution.policy.revision_number, release_id=release_id).first()
    if given is not None:
        messages.info(request, f"{execution.environment.name} got the candidates that production will have (revision {given.number}), and keeps them.")
    return redirect("drills:detail", drill_id=execution.pk)


@require_POST
@requires(Capability.LEAD)
def bypass(request: HttpRequest, release_id: int) -> HttpResponse:
    """Let it through its closed gate."""
    _require_unchanged(request, release_id)
    try:
        bypass_gate(release_id=release_id, account=person(request), actor=actor(request), reason=typed(request))
    except InvalidInput as error:
        return _show(request, release_id, act="bypass", refusal=error)
    messages.warning(request, "The gate is bypassed. That stays on this release for good, and the other leads were told.")
    return redirect("releases:detail", release_id=release_id)


@require_POST
@requires(Capability.RELEASE)
def abandon(request: HttpRequest, release_id: int) -> HttpResponse:
    """Give it up."""
    _require_unchanged(request, release_id)
    try:
        abandon_release(release_id=release_id, account=person(request), actor=actor(request), reason=typed(request))
    except InvalidInput as error:
        return _show(request, release_id, act="abandon", refusal=error)
    messages.info(request, "The release is abandoned.")
    return redirect("releases:detail", release_id=release_id)


def _require_unchanged(request: HttpRequest, release_id: int) -> None:
    """Raise Conflict when the release has moved since the person looked at it."""
    release, seen = get_release(release_id), _expected_step(request)
    if release.next_step != seen:
        raise Conflict(
            f"This release has taken a step since you looked: {release.next_step} of {len(release.steps)} {'is' if release.next_step == 1 else 'are'}"
            " taken now. Look again.",
            code="step_taken",
            url=f"/releases/{release.pk}/",
        )


def _expected_step(request: HttpRequest) -> int:
    """The step that the form was made for. Raises InvalidInput."""
    value = request.POST.get("expected_step", "")
    if not (value.isascii() and value.isdecimal() and len(value) <= 3):
        raise InvalidInput("The form does not say which step you looked at. Open the release again.", code="expected_step_missing")
    return int(value)
