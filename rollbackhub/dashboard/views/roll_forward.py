"""The other way out: ship a fixed version on a fast track, with the gates that it skips on the record."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from rollbackhub.accounts.rules import Capability
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound, RollbackHubError
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.plans import weights_yaml
from rollbackhub.dashboard.rollback_plan import served_versions
from rollbackhub.dashboard.rollback_request_forms import RollForwardForm, show_refusal
from rollbackhub.dashboard.views.rollback_start import LEADS_ELSEWHERE, proposal_context
from rollbackhub.registry.domain.holds import list_standing_holds
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.domain.matters import aliases_held
from rollbackhub.rollbacks.domain.proposal import Proposal, Target, propose_rollback
from rollbackhub.rollbacks.domain.roll_forward import FAST_TRACK, GATES, preview_stages, start_roll_forward
from rollbackhub.rollbacks.enums import Via
from rollbackhub.routing.domain.selectors import get_policy
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec, weights_by_version

FIELD_NAMES = {f"gate_{gate}": f"why_{gate}" for gate in GATES} | {"skipped_gates": "reason"}
"""Where the form shows what the domain says about its own fields."""


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.ROLL_BACK)
def forward(request: HttpRequest, environment: str, alias: str) -> HttpResponse:
    """What shipping a fix instead of rolling back needs; sent, it begins."""
    policy = get_policy(environment=environment, alias=alias)
    served = served_versions([policy])[alias]
    named = request.GET.get("bad_version", "")
    bad = next((version for version in served if version.label == named), None)
    if named and bad is None:
        raise NotFound(f"{alias} does not serve a version {named[:120]} now.", code="version_not_in_policy")
    target = Target(policy=policy, bad_version=bad)
    versions = _fixes(policy)
    form = RollForwardForm(request.POST or None, versions=versions)
    if request.method == "POST" and form.is_valid():
        try:
            started = start_roll_forward(
                target=target,
                fix_version=form.cleaned_data["fix_version"],
                account=person(request),
                actor=actor(request),
                reason=form.cleaned_data["reason"],
                skipped_gates=form.skipped(),
                via=Via.PAGE,
                percents=form.cleaned_data["percents"],
            )
            return redirect("rollbacks:detail", rollback_id=started.rollback_id)
        except Conflict as error:
            if error.code not in LEADS_ELSEWHERE or not error.extra.get("url"):
                raise
            messages.warning(request, error.message)
            return redirect(str(error.extra["url"]))
        except InvalidInput as error:
            show_refusal(form, error, names=FIELD_NAMES)
    context: dict[str, Any] = {"policy": policy, "form": form, "served": served, "bad": bad, "held": aliases_held([policy]), "has_fix": versions.exists()}
    try:
        proposal = propose_rollback(targets=[target], account=person(request), going_back=False)
        context |= proposal_context(request, proposal) | _stages(proposal, form)
    except RollbackHubError as error:
        context["refusal"] = error
    return render(request, "rollbacks/forward.html", context, status=422 if request.method == "POST" else 200)


def _stages(proposal: Proposal, form: RollForwardForm) -> dict[str, Any]:
    """What the stages come to, before anything is sent: the percents as proposed, with the newest fix in the bad version's place."""
    content = proposal.parts[0].plan.content
    before = [CandidateSpec.from_dict(values) for values in content["weights_before"]]
    newest = form.fields["fix_version"].queryset.first()  # type: ignore[attr-defined]
    fix = newest.label if newest else "the-fix"
    stages = preview_stages(before, bad=content["bad_version"], fix=fix, percents=FAST_TRACK)
    return {
        "bad_percent": weights_by_version(before)[content["bad_version"]],
        "stage_percents": [weights_by_version(stage).get(fix, 0) for stage in stages],
        "after_forward": weights_yaml(content["alias"], [candidate.as_dict() for candidate in stages[-1]]),
    }


def _fixes(policy: RoutingPolicy) -> QuerySet[Version]:
    """The versions that could be shipped as a fix, the newest first: neither in the policy, nor retired, nor under hold."""
    present = policy.revisions.filter(number=policy.revision_number, candidates__isnull=False).values("candidates__version_id")
    return (
        Version.objects.filter(artefact=policy.artefact)
        .exclude(lifecycle=Lifecycle.RETIRED)
        .exclude(pk__in=present)
        .exclude(pk__in=list_standing_holds().values("version_id"))
        .order_by("-created_at", "-pk")
    )
