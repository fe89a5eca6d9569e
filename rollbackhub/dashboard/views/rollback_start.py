"""Asking for a production rollback: which alias, what it would do, and the one confirmation that starts it."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.common.errors import Conflict, InvalidInput, RollbackHubError
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.plans import plan_yaml
from rollbackhub.dashboard.rollback_plan import Choice, PlanPart, read_choice
from rollbackhub.dashboard.rollback_request_forms import RequestForm, show_refusal
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.rollbacks.domain.coordination import list_coordinated, list_coordinated_with
from rollbackhub.rollbacks.domain.matters import aliases_held
from rollbackhub.rollbacks.domain.proposal import Proposal, expect_roll_forward, propose_rollback
from rollbackhub.rollbacks.domain.transitions import request_rollback
from rollbackhub.rollbacks.enums import RollbackState, Via
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.rollbacks.rules import MAX_PARTS, MIN_BREAK_GLASS_REASON, level_of
from rollbackhub.routing.domain.selectors import list_gateway_rows, list_policies

CHOICES = 50
LEADS_ELSEWHERE = ("rollback_active", "already_running", "idempotency_key_reused")
"""Refusals that point to something that is there already: the person is taken to it."""


@require_safe
@requires(Capability.ROLL_BACK)
def choose(request: HttpRequest) -> HttpResponse:
    """Which alias to roll back: those in production. Several ticked are one coordinated rollback."""
    query = request.GET.get("q", "").strip()
    policies = list(list_policies(query=query).filter(environment__kind=EnvironmentKind.PRODUCTION)[: CHOICES + 1])
    environments: dict[str, list[Any]] = {}
    for policy in policies[:CHOICES]:
        environments.setdefault(policy.environment.slug, []).append(policy)
    context = {
        "environments": [(found[0].environment, found) for found in environments.values()],
        "more": len(policies) > CHOICES,
        "query": query,
        "coordinated": list_coordinated(),
        "ticked": request.GET.getlist("alias"),
        "most": MAX_PARTS,
    }
    return render(request, "rollbacks/choose.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.ROLL_BACK)
def start(request: HttpRequest, environment: str) -> HttpResponse:
    """What rolling these aliases back would do now, and who decides that; sent, it starts or asks for approval."""
    choice = read_choice(request, environment=environment)
    if not choice.policies:
        return redirect("rollbacks:choose")
    form = RequestForm(request.POST or None, initial={"idempotency_key": f"page-{uuid.uuid4()}"})
    notice: RollbackHubError | None = None
    if request.method == "POST" and form.is_valid():
        try:
            return _started(request, _request(request, choice, form))
        except Conflict as error:
            if error.code in LEADS_ELSEWHERE and error.extra.get("url"):
                messages.warning(request, error.message)
                return redirect(str(error.extra["url"]))
            notice = error
        except InvalidInput as error:
            show_refusal(form, error)
    context = _context(request, choice) | {"choice": choice, "form": form, "notice": notice, "notice_url": notice.extra.get("url") if notice else ""}
    status = notice.status if notice else (422 if request.method == "POST" else 200)
    return render(request, "rollbacks/start.html", context, status=status)


def _request(request: HttpRequest, choice: Choice, form: RequestForm) -> Rollback:
    values = form.cleaned_data
    breaks_glass = "break_glass" in request.POST
    if breaks_glass and not values["break_glass_reason"].strip():
        sentence = f"Type why it cannot wait, in at least {MIN_BREAK_GLASS_REASON} characters."
        raise InvalidInput(sentence, code="reason_missing", fields={"break_glass_reason": [sentence]})
    return request_rollback(
        targets=choice.targets,
        account=person(request),
        actor=actor(request),
        reason=values["reason"],
        via=Via.PAGE,
        strategic=choice.strategic,
        coordination=choice.coordination,
        detected_at=values["when"],
        detected_by=values["detected_by"],
        break_glass_reason=values["break_glass_reason"] if breaks_glass else "",
        seen_plan_hash=values["seen_plan_hash"],
        idempotency_key=values["idempotency_key"] or None,
    )


def _started(request: HttpRequest, rollback: Rollback) -> HttpResponse:
    if rollback.state == RollbackState.AWAITING_APPROVAL:
        messages.info(request, "Asked: those who may approve were told. Nothing begins before one of them has.")
    return redirect("rollbacks:detail", rollback_id=rollback.pk)


def _context(request: HttpRequest, choice: Choice) -> dict[str, Any]:
    """The plan in words, or why there is none; and what stands in the way."""
    held = aliases_held(choice.policies)
    context: dict[str, Any] = {
        "first": choice.policies[0],
        "environment": choice.policies[0].environment,
        "held": held,
        "choosers": [(policy, choice.served[policy.alias], choice.bad.get(policy.alias)) for policy in choice.policies],
        "orders": _orders(choice),
        "coordination": choice.coordination,
        "coordinated_with": [] if choice.coordination else list_coordinated_with(choice.policies),
        "is_lab": any(policy.artefact.is_lab for policy in choice.policies),
    }
    try:
        proposal = propose_rollback(targets=choice.targets, account=person(request), strategic=choice.strategic, coordination=choice.coordination)
    except RollbackHubError as error:
        return context | {"refusal": error}
    return context | proposal_context(request, proposal)


def proposal_context(request: HttpRequest, proposal: Proposal) -> dict[str, Any]:
    """What the templates say about a proposal. A query for the gateways, and one for each change type's roll-forwards."""
    rows = list_gateway_rows(environment_id=proposal.parts[0].policy.environment_id, routing_number=0)
    medians = [part.expectation.median_seconds for part in proposal.parts]
    change_types = list(dict.fromkeys(part.plan.content["change_type"] for part in proposal.parts))
    level = level_of(person(request).roles)
    return {
        "proposal": proposal,
        "parts": [PlanPart(part.plan.content, part) for part in proposal.parts],
        "takes_gateways": any("mechanism" not in part.plan.content for part in proposal.parts),
        "gateways_live": [row.gateway.node_id for row in rows if row.is_live],
        "gateways_silent": [row.gateway.node_id for row in rows if not row.is_live],
        "expected_seconds": None if None in medians else sum(median for median in medians if median is not None),
        "forward": expect_roll_forward(change_type=change_types[0]) if len(proposal.parts) == 1 else None,
        "may_break_glass": not proposal.alone and level > 0 and not person(request).is_service,
        "plans_yaml": [(part.policy.alias, plan_yaml(part.plan.content)) for part in proposal.parts],
    }


def _orders(choice: Choice) -> list[dict[str, str]]:
    """For each alias of several: the addresses that put it one place earlier, and that leave it out."""
    names = choice.aliases
    if len(names) < 2:
        return []
    found = []
    for index, name in enumerate(names):
        # A coordinated procedure has its order.
        movable = index and choice.coordination is None
        earlier = [*names[: index - 1], name, names[index - 1], *names[index + 1 :]] if movable else []
        found.append(
            {
                "alias": name,
                "earlier": choice.address(aliases=earlier) if earlier else "",
                "without": choice.address(aliases=[other for other in names if other != name]),
            }
        )
    return found
