"""A rollback that nobody has asked for yet, as JSON: for the API and for `manage.py rollback --plan --json`."""

from __future__ import annotations

from typing import Any

from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.rollbacks.domain.proposal import Expectation, Proposal, ProposedPart, expect_roll_forward


def proposal_report(proposal: Proposal) -> dict[str, Any]:
    """What would be done, who must approve and why, what speaks for it, and what the other way out took. A query per change type."""
    forward = {change_type: expect_roll_forward(change_type=change_type) for change_type in {part.plan.content["change_type"] for part in proposal.parts}}
    return {
        "environment": proposal.parts[0].plan.content["environment"],
        "aliases": [part.policy.alias for part in proposal.parts],
        "scope": proposal.scope,
        "strategic": proposal.strategic,
        "coordination": proposal.coordination.as_json() if proposal.coordination else None,
        "plan_hash": proposal.plan_hash,
        "target_seconds": proposal.target_seconds,
        "authority": {
            "required_role": proposal.authority.role,
            "because": proposal.authority.because,
            "in_words": proposal.authority.in_words,
            "alone": proposal.alone,
        },
        "approvers": [{"username": person.username, "name": name_of(person)} for person in proposal.approvers],
        "parts": [_part(part, forward=forward[part.plan.content["change_type"]]) for part in proposal.parts],
    }


def _part(part: ProposedPart, *, forward: Expectation) -> dict[str, Any]:
    content, drill = part.plan.content, part.last_drill
    return {
        "alias": part.policy.alias,
        "artefact": content["artefact"],
        "change_type": content["change_type"],
        "bad_version": content["bad_version"],
        "good_versions": content["good_versions"],
        "revision": content["revision"],
        "weights": {"before": content["weights_before"], "rolled_back": content["weights_rolled_back"]},
        "retention": part.retention_in_words,
        "proof": {
            "in_words": part.proof_in_words,
            "drill_id": str(drill.pk) if drill else None,
            "verdict": drill.verdict or None if drill else None,
            "rollback_seconds": drill.rollback_seconds if drill else None,
            "finished_at": drill.finished_at if drill else None,
        },
        "target_seconds": content["target_seconds"],
        "steps": [{"key": step["key"], "title": step["title"], "segment": step["segment"]} for step in content["steps"] if not step.get("undo")],
        "expected": {"rollback": _expected(part.expectation), "roll_forward": _expected(forward)},
    }


def _expected(expectation: Expectation) -> dict[str, Any]:
    return {
        "in_words": expectation.in_words,
        "runs": expectation.runs,
        "tried": expectation.tried,
        "median_seconds": expectation.median_seconds,
        "shortest_seconds": expectation.shortest_seconds,
        "longest_seconds": expectation.longest_seconds,
    }
