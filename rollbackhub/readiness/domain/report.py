"""The whole of an alias's readiness as JSON: the same over the API and on the command line."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from rollbackhub.executions.domain.proof import Proof
from rollbackhub.readiness.domain.facts import Facts, facts_of
from rollbackhub.readiness.domain.reasons import judge_readiness, proof_in_words
from rollbackhub.readiness.models import Readiness
from rollbackhub.readiness.rules import Verdict
from rollbackhub.routing.models import RoutingPolicy


def report_readiness(policies: Sequence[RoutingPolicy]) -> list[dict[str, Any]]:
    """The readiness of these policies at this instant, in their order; nothing is written. A fixed number of queries."""
    facts = facts_of(policies)
    computed = dict(Readiness.objects.filter(policy__in=[policy.pk for policy in policies]).values_list("policy_id", "computed_at"))
    return [_report(facts[policy.pk], judge_readiness(facts[policy.pk]), computed.get(policy.pk)) for policy in policies]


def _report(facts: Facts, verdict: Verdict, last_computed_at: dt.datetime | None) -> dict[str, Any]:
    return {
        "alias": facts.policy.alias,
        "environment": facts.policy.environment.slug,
        "artefact": facts.policy.artefact.slug,
        "state": str(verdict.state),
        "rollbackable": verdict.rollbackable,
        "reasons": [reason.as_dict() for reason in verdict.reasons],
        "proof": _proof(facts.proof),
        "bad_version": facts.path.bad.label if facts.path.bad else None,
        "targets": [
            {"version": version.label, "lifecycle": str(version.lifecycle), "provider_retires_at": version.provider_retires_at}
            for version in facts.path.targets
        ],
        "target_seconds": facts.target_seconds,
        "judged_at": facts.now,
        "last_computed_at": last_computed_at,
    }


def _proof(proof: Proof) -> dict[str, Any]:
    run = proof.run
    return {
        "state": str(proof.state),
        "in_words": proof_in_words(proof),
        "expires_at": proof.expires_at,
        "changes": [{"part": change.part, "what": change.what, "old": change.old, "new": change.new} for change in proof.changes],
        "run": {
            "id": str(run.execution_id),
            "kind": run.kind,
            "verdict": run.verdict,
            "finished_at": run.finished_at,
            "rollback_seconds": run.rollback_seconds,
            "environment": run.environment,
            "url": f"/drills/{run.execution_id}/",
        }
        if run
        else None,
    }
