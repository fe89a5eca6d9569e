"""From facts to reasons: each looks at one thing, and says what speaks against rolling back now and what to do about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

from django.urls import reverse

from rollbackhub.accounts.enums import Role
from rollbackhub.common.sentences import with_stop, without_stop
from rollbackhub.executions.domain.proof import Proof
from rollbackhub.executions.enums import DECIDED_BY_PEOPLE, ProofState
from rollbackhub.executions.models import Finding
from rollbackhub.readiness.domain.facts import Facts
from rollbackhub.readiness.enums import ReadinessState, ReasonCode
from rollbackhub.readiness.models import PreflightFinding
from rollbackhub.readiness.rules import SEVERITY_OF_FINDING, SEVERITY_OF_PROOF, SOON, Reason, Verdict, judge
from rollbackhub.registry.domain.holds import describe_hold
from rollbackhub.registry.enums import ChangeType, EnvironmentKind, Lifecycle

CHECK_OVERDUE = dt.timedelta(hours=3)
"""A preflight that is older than this says nothing about now."""

ON_CALL_DECIDES = (ChangeType.PROMPT, ChangeType.MODEL)
"""Change types that on-call decides alone (DESIGN.md §1): minutes count."""


def judge_readiness(facts: Facts) -> Verdict:
    """Could this alias be rolled back here now, in time?"""
    return judge([reason for look in LOOKS for reason in look(facts)])


def finding_in_words(finding: Finding | PreflightFinding) -> str:
    """`gateway-1: expected 25 % on v2, found 100 % on v2`: no sentence of its own, so without a full stop."""
    return f"{without_stop(finding.subject)}: expected {without_stop(finding.expected)}, found {without_stop(finding.found)}"


def state_in_words(state: ProofState, *, kind: str) -> str:
    """The state of a proof by the kind of its run: a rehearsal that failed is no drill."""
    return f"The last {kind} failed" if state == ProofState.FAILED and kind else str(state.label)


def proof_in_words(proof: Proof) -> str:
    """What is proven, in one sentence; what a failed run caught by its name, not by its code."""
    if proof.state != ProofState.FAILED or proof.run is None:
        return proof.in_words
    caught = "; ".join(f"{finding.get_code_display().lower()}: {without_stop(finding.subject)}" for finding in proof.findings[:3])
    return f"The last {proof.run.kind} failed on {proof.run.finished_at:%Y-%m-%d %H:%M} UTC" + (f" ({caught})." if caught else ".")


def _of_what_runs(facts: Facts) -> Iterator[Reason]:
    if facts.needs_person is not None:
        kind = facts.needs_person.get_kind_display().lower()
        yield Reason(
            ReasonCode.ROLLBACK_NEEDS_PERSON,
            ReadinessState.NOT_READY,
            f"A {kind} of it stands still and needs a person.",
            "Open it, and let it go on or put things back.",
            "/rollbacks/?open=1" if facts.needs_person.kind in DECIDED_BY_PEOPLE else f"/drills/{facts.needs_person.pk}/",
        )


def _of_target(facts: Facts) -> Iterator[Reason]:
    if facts.path.procedure is None:
        yield Reason(
            ReasonCode.NO_PROCEDURE,
            ReadinessState.NOT_READY,
            f"There is no rollback procedure for the change type {facts.policy.artefact.get_change_type_display().lower()}.",
            "Have a platform lead write one under Procedures.",
            reverse("procedures:list"),
        )
    if not facts.path.targets:
        yield Reason(
            ReasonCode.NO_TARGET,
            ReadinessState.NOT_READY,
            "The policy has one version only: there is nothing to go back to.",
            "Keep the previous version in the policy, at 0 %.",
            _policy_url(facts),
        )
    for version in facts.path.targets:
        if version.lifecycle == Lifecycle.RETIRED:
            yield Reason(
                ReasonCode.TARGET_RETIRED,
                ReadinessState.NOT_READY,
                f"{version.label}, the version to go back to, is retired.",
                "Restore it, or keep another version in the policy.",
                _artefact_url(facts),
            )
        if version.pk in facts.held:
            yield Reason(
                ReasonCode.TARGET_HELD,
                ReadinessState.NOT_READY,
                f"A rollback now would go back to {version.label}, and nobody can: {describe_hold(facts.held[version.pk])}",
                "Keep another version that served before in the policy, at 0 %.",
                _policy_url(facts),
            )
        if version.provider_retires_at is not None:
            yield from _of_provider(facts, version.label, version.provider_retires_at)


def _of_provider(facts: Facts, label: str, at: dt.datetime) -> Iterator[Reason]:
    if at <= facts.now:
        yield Reason(
            ReasonCode.PROVIDER_RETIRED,
            ReadinessState.NOT_READY,
            f"The provider shut {label}, the version to go back to, down on {at:%Y-%m-%d}.",
            "Keep another version in the policy.",
            _artefact_url(facts),
        )
    elif at - facts.now <= SOON:
        days = max((at - facts.now).days, 0)
        yield Reason(
            ReasonCode.PROVIDER_RETIRES,
            ReadinessState.AT_RISK,
            f"The provider shuts {label}, the version to go back to, down on {at:%Y-%m-%d}, in {days} {'day' if days == 1 else 'days'}.",
            "Bring another version into the policy, and drill going back to it.",
            _artefact_url(facts),
        )


def _of_proof(facts: Facts) -> Iterator[Reason]:
    proof = facts.proof
    if facts.path.procedure is None or not facts.path.targets or all(version.pk in facts.held for version in facts.path.targets):
        # Where nobody may go back, no drill helps.
        return
    if proof.unclear is not None:
        yield Reason(
            ReasonCode.DRILL_UNCLEAR,
            ReadinessState.AT_RISK,
            f"The last {proof.unclear.kind} showed nothing ({proof.unclear.verdict}, {proof.unclear.finished_at:%Y-%m-%d %H:%M} UTC).",
            "Drill it again.",
            f"/drills/{proof.unclear.execution_id}/",
        )
    if proof.state == ProofState.VALID:
        return
    again, where = (
        ("Drill it in staging.", _drill_url(facts)) if facts.drillable else ("Add the alias to a staging environment, and drill it there.", _policy_url(facts))
    )
    severity = SEVERITY_OF_PROOF[proof.state]
    if proof.state == ProofState.MISSING:
        yield Reason(ReasonCode.NEVER_DRILLED, severity, "Never drilled: nobody knows whether the way back works.", again, where)
    elif proof.state == ProofState.FAILED and proof.run is not None:
        if not proof.findings:
            yield Reason(ReasonCode.DRILL_FAILED, severity, proof_in_words(proof), "See why, mend it, and drill again.", f"/drills/{proof.run.execution_id}/")
        for finding in proof.findings:
            yield Reason(
                finding.code,
                severity,
                f"The last {proof.run.kind} ({proof.run.finished_at:%Y-%m-%d %H:%M} UTC) caught it: {finding_in_words(finding)}.",
                with_stop(finding.remedy or "Mend it") + " Then drill again.",
                f"/drills/{proof.run.execution_id}/",
            )
    elif proof.state == ProofState.STALE:
        yield Reason(
            ReasonCode.PROOF_STALE, severity, with_stop("Changed since it was proven: " + "; ".join(change.in_words for change in proof.changes)), again, where
        )
    elif proof.state == ProofState.EXPIRED and proof.run is not None:
        yield Reason(ReasonCode.PROOF_EXPIRED, severity, f"Proven on {proof.run.finished_at:%Y-%m-%d}, which is too long ago for its stakes.", again, where)


def _of_preflight(facts: Facts) -> Iterator[Reason]:
    for finding in facts.findings:
        yield Reason(
            finding.code,
            SEVERITY_OF_FINDING[finding.code],
            f"{finding_in_words(finding)} (since {finding.first_seen_at:%Y-%m-%d %H:%M} UTC).",
            with_stop(finding.remedy or "Mend it"),
            f"{_readiness_url(facts)}#findings",
        )
    run = facts.preflight
    if run is None or run.finished_at is None:
        yield Reason(
            ReasonCode.NOT_CHECKED,
            ReadinessState.AT_RISK,
            "The preflight has not looked at it yet.",
            "Wait for the next run, or start one.",
            f"{_readiness_url(facts)}#findings",
        )
    elif facts.now - run.finished_at > CHECK_OVERDUE:
        yield Reason(
            ReasonCode.NOT_CHECKED,
            ReadinessState.AT_RISK,
            f"The preflight last looked at {run.finished_at:%Y-%m-%d %H:%M} UTC.",
            "See whether the housekeeper runs.",
            f"{_readiness_url(facts)}#findings",
        )


def _of_authority(facts: Facts) -> Iterator[Reason]:
    if facts.policy.environment.kind != EnvironmentKind.PRODUCTION:
        return
    role, change_type = Role(facts.required_role), ChangeType(facts.policy.artefact.change_type)
    if not facts.deciders:
        yield Reason(
            ReasonCode.NOBODY_MAY_DECIDE,
            ReadinessState.NOT_READY,
            f"Nobody may decide to roll back a {change_type.label.lower()}: no active person has the role {role.label} or a higher one.",
            "Have an administrator give somebody the role.",
            reverse("admin:accounts_user_changelist"),
        )
    elif change_type in ON_CALL_DECIDES and role != Role.ON_CALL:
        yield Reason(
            ReasonCode.ON_CALL_LACKS_AUTHORITY,
            ReadinessState.AT_RISK,
            f"On-call may not roll back a {change_type.label.lower()} alone: the authority table asks for the role {role.label}.",
            "Let on-call decide what has to be done in minutes.",
            reverse("admin:rollbacks_authorityrule_changelist"),
        )


def _of_verification(facts: Facts) -> Iterator[Reason]:
    if facts.path.procedure is None or facts.verifies:
        return
    if any(step["action"] == "verify" for step in facts.steps):
        sentence, remedy = "There are no metrics to verify a rollback by.", "Add a prometheus connection to the environment."
        url = reverse("admin:registry_connection_changelist")
    else:
        sentence, remedy = "The procedure ends without a verification.", "Add a step with the action verify."
        url = reverse("procedures:list")
    yield Reason(ReasonCode.NO_VERIFICATION, ReadinessState.AT_RISK, sentence, remedy, url)


LOOKS: tuple[Callable[[Facts], Iterator[Reason]], ...] = (_of_what_runs, _of_target, _of_proof, _of_preflight, _of_authority, _of_verification)


def _policy_url(facts: Facts) -> str:
    return f"/routing/{facts.policy.environment.slug}/aliases/{facts.policy.alias}/"


def _artefact_url(facts: Facts) -> str:
    return f"/registry/artefacts/{facts.policy.artefact.slug}/"


def _readiness_url(facts: Facts) -> str:
    return f"/readiness/{facts.policy.environment.slug}/{facts.policy.alias}/"


def _drill_url(facts: Facts) -> str:
    assert facts.drillable is not None
    return f"/drills/start/{facts.drillable.environment.slug}/{facts.drillable.alias}/"
