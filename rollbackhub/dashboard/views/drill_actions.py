"""Starting a drill, stopping it, and deciding when it needs a person."""

from __future__ import annotations

import uuid
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from drills.domain.listing import list_recent_of
from drills.domain.selectors import get_drill_execution
from drills.domain.transitions import start_drill
from rollbackhub.accounts.rules import Capability
from rollbackhub.common.errors import InvalidInput, NotFound, RollbackHubError
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.drill_page import noun_of
from rollbackhub.dashboard.forms import ReasonForm, StartDrillForm
from rollbackhub.dashboard.plans import weights_yaml, words_of
from rollbackhub.executions.domain.plan import Plan, build_plan
from rollbackhub.executions.domain.transitions import close_execution, find_active, request_cancel, retry_execution
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.registry.models import Version
from rollbackhub.routing.domain.selectors import get_policy, list_policies
from rollbackhub.routing.models import RoutingPolicy

CHOICES = 50


@require_http_methods(["GET", "HEAD"])
@requires(Capability.DRILL)
def choose(request: HttpRequest) -> HttpResponse:
    """Which alias to drill: those in staging."""
    query = request.GET.get("q", "").strip()
    policies = list(list_policies(query=query).filter(environment__kind=EnvironmentKind.STAGING)[: CHOICES + 1])
    return render(request, "drills/choose.html", {"policies": policies[:CHOICES], "more": len(policies) > CHOICES, "query": query})


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.DRILL)
def start(request: HttpRequest, environment: str, alias: str) -> HttpResponse:
    """What a drill of this alias will do now; sent, it starts."""
    policy = get_policy(environment=environment, alias=alias)
    versions = Version.objects.filter(pk__in=_served_version_ids(policy))
    form = StartDrillForm(request.POST or None, versions=versions, initial={"idempotency_key": f"page-{uuid.uuid4()}"})
    if request.method == "POST" and form.is_valid():
        drill = start_drill(
            policy=policy,
            actor=actor(request),
            user=person(request),
            bad_version=form.cleaned_data["bad_version"],
            idempotency_key=form.cleaned_data["idempotency_key"] or None,
            note=form.cleaned_data["note"],
        )
        return redirect("drills:detail", drill_id=drill.pk)
    context: dict[str, Any] = {"policy": policy, "form": form, "active": find_active(policy), "recent": list(list_recent_of(policy_id=policy.pk))}
    try:
        plan = _plan_of(request, policy, versions)
    except RollbackHubError as error:
        return render(request, "drills/start.html", context | {"refusal": error})
    form.initial["bad_version"] = plan.bad_version.label
    context |= {
        "plan": plan.content,
        "words": words_of(plan.content),
        "before": weights_yaml(alias, plan.content["weights_before"]),
        "canary": weights_yaml(alias, plan.content["weights_canary"]),
        "rolled_back": weights_yaml(alias, plan.content["weights_rolled_back"]),
    }
    return render(request, "drills/start.html", context)


def _served_version_ids(policy: RoutingPolicy) -> list[int]:
    present = policy.revisions.filter(number=policy.revision_number)
    return list(present.values_list("candidates__version_id", flat=True))


def _plan_of(request: HttpRequest, policy: RoutingPolicy, versions: Any) -> Plan:
    """The plan for the version that the address names, or for the one under test. Raises InvalidInput, NotFound."""
    if policy.environment.kind != EnvironmentKind.STAGING:
        raise InvalidInput(f"Drills run in staging, and {policy.environment.slug} is production. Drill the alias in a staging environment.", code="not_staging")
    named = request.POST.get("bad_version") or request.GET.get("bad_version")
    bad = versions.filter(label=named).first() if named else None
    if named and bad is None:
        raise NotFound(f"{policy.alias} does not serve a version {named}.", code="version_not_in_policy")
    return build_plan(policy=policy, kind=ExecutionKind.DRILL, bad_version=bad)


@require_POST
@requires(Capability.DRILL)
def stop(request: HttpRequest, drill_id: UUID) -> HttpResponse:
    """Stop a drill: it ends its present wait and puts things back."""
    execution = get_drill_execution(drill_id)
    request_cancel(execution_id=execution.pk, actor=actor(request), reason=_reason(request))
    messages.info(request, f"The {noun_of(execution)} is being stopped; what it changed is put back.")
    return redirect("drills:detail", drill_id=drill_id)


@require_POST
@requires(Capability.DRILL)
def retry(request: HttpRequest, drill_id: UUID) -> HttpResponse:
    """Let a drill that needs a person go on."""
    execution = get_drill_execution(drill_id)
    retry_execution(execution_id=execution.pk, actor=actor(request))
    messages.info(request, f"The {noun_of(execution)} goes on with the step that stopped it.")
    return redirect("drills:detail", drill_id=drill_id)


@require_POST
@requires(Capability.DRILL)
def close(request: HttpRequest, drill_id: UUID) -> HttpResponse:
    """Give up a drill that needs a person."""
    execution = get_drill_execution(drill_id)
    close_execution(execution_id=execution.pk, actor=actor(request), reason=_reason(request))
    messages.info(request, f"The {noun_of(execution)} is closed. What it left behind was not put back by RollbackHub.")
    return redirect("drills:detail", drill_id=drill_id)


def _reason(request: HttpRequest) -> str:
    """The reason that the form holds. Raises InvalidInput without one."""
    form = ReasonForm(request.POST)
    if not form.is_valid():
        raise InvalidInput("Say why, in at most 300 characters: it goes on the record.", code="reason_missing", fields={"reason": ["Say why."]})
    return str(form.cleaned_data["reason"])
