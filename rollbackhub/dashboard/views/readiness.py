"""One alias's readiness in full, and the five mistakes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.rules import Capability
from rollbackhub.common import clock
from rollbackhub.dashboard.access import requires
from rollbackhub.readiness.domain.facts import facts_of
from rollbackhub.readiness.domain.mistakes import SHOWN, list_mistakes
from rollbackhub.readiness.domain.reasons import judge_readiness, proof_in_words, state_in_words
from rollbackhub.readiness.domain.selectors import list_changes
from rollbackhub.readiness.enums import ReasonCode
from rollbackhub.readiness.models import PreflightFinding, Readiness
from rollbackhub.registry.domain.retention import describe_retention, list_retention
from rollbackhub.routing.domain.selectors import get_policy

CLOSED_DAYS = 30
CHANGES = 30
COVERED = {
    "procedure": "what the procedure does, step by step",
    "target": "the version to go back to, with its digest",
    "candidates": "the candidates of the alias and the versions that they pin",
    "connections": "the settings by which gateways and metrics are reached",
    "runbook": "what the runbook says",
}


@require_safe
@requires(Capability.VIEW)
def alias_readiness(request: HttpRequest, environment: str, alias: str) -> HttpResponse:
    """Could this alias be rolled back here now, why not, and what is it known by? Judged at this instant; nothing is written."""
    policy = get_policy(environment=environment, alias=alias)
    facts = facts_of([policy])[policy.pk]
    verdict = judge_readiness(facts)
    concerns = Q(policy=policy) | Q(policy=None, environment=policy.environment)
    closed = PreflightFinding.objects.filter(concerns, closed_at__gte=clock.now() - dt.timedelta(days=CLOSED_DAYS)).order_by("-closed_at")[:CHANGES]
    context = {
        "policy": policy,
        "facts": facts,
        "reasons": [(reason, ReasonCode(reason.code).label) for reason in verdict.reasons],
        "verdict": verdict,
        "proof": facts.proof,
        "proof_words": proof_in_words(facts.proof),
        "proof_state": state_in_words(facts.proof.state, kind=facts.proof.run.kind if facts.proof.run else ""),
        "covered": COVERED.items(),
        "computed": Readiness.objects.filter(policy=policy).first(),
        "closed": list(closed),
        "closed_days": CLOSED_DAYS,
        "targets": describe_retention(list(list_retention().filter(pk__in=[version.pk for version in facts.path.targets])), live_since={}),
        "role": Role(facts.required_role).label,
        "changes": [(change, words_of_codes(change.codes)) for change in list_changes(policy_id=policy.pk, limit=CHANGES)],
        "most_changes": CHANGES,
    }
    return render(request, "readiness/alias.html", context)


def words_of_codes(codes: Sequence[str]) -> str:
    """`never drilled; on-call may not decide`: what a change of the history was for, in words."""
    return "; ".join(ReasonCode(code).label for code in codes).lower()


@require_safe
@requires(Capability.VIEW)
def mistakes(request: HttpRequest) -> HttpResponse:
    """Which aliases make one of the five mistakes, and where that is mended."""
    found, looked_at = list_mistakes()
    made = [mistake for mistake in found if mistake.count]
    return render(request, "readiness/mistakes.html", {"mistakes": found, "made": made, "looked_at": looked_at, "shown": SHOWN})
