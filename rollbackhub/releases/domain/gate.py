"""The release gate: no first weight in production before the way back is verified. Each condition says what it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.sentences import counted, with_stop
from rollbackhub.executions.domain.proof import Proof, proofs_of
from rollbackhub.executions.enums import FindingCode, ProofState
from rollbackhub.readiness.domain.facts import Facts, facts_of
from rollbackhub.readiness.domain.reasons import CHECK_OVERDUE, finding_in_words, proof_in_words
from rollbackhub.registry.domain.holds import describe_hold, held_among
from rollbackhub.registry.domain.interlocks import list_interlocks
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.releases.domain.planning import path_after_first_step
from rollbackhub.releases.models import Release
from rollbackhub.rollbacks.domain.authority import get_authority, list_approvers

IN_THE_WAY = (FindingCode.TARGET_RETIRED, FindingCode.UNREACHABLE, FindingCode.CONFIG_MISMATCH, FindingCode.FLAG_MOVED, FindingCode.PERMISSION_MISSING)


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold, whether it does, and what says so."""

    code: str
    """`target_retained`, `target_reachable`, `procedure_present`, `rehearsed` or `authority_known`."""
    holds: bool
    sentence: str
    evidence: dict[str, Any] = field(default_factory=dict)
    remedy: str = ""
    url: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As it is answered and kept."""
        return {"code": self.code, "holds": self.holds, "sentence": self.sentence, "evidence": self.evidence, "remedy": self.remedy, "url": self.url}


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate's answer at one instant."""

    conditions: list[Condition]
    bypassed: bool

    @property
    def passes(self) -> bool:
        """Whether every condition holds."""
        return all(condition.holds for condition in self.conditions)

    @property
    def open(self) -> bool:
        """Whether the first weight may be given: every condition holds, or a lead has let it pass."""
        return self.passes or self.bypassed

    @property
    def missing(self) -> list[Condition]:
        """The conditions that do not hold."""
        return [condition for condition in self.conditions if not condition.holds]

    def as_dict(self) -> dict[str, Any]:
        """As it is answered and kept."""
        return {"passes": self.passes, "open": self.open, "bypassed": self.bypassed, "conditions": [condition.as_dict() for condition in self.conditions]}


def check_gate(release: Release) -> Gate:
    """Ask every condition now: nothing of it is remembered from before. A fixed number of queries."""
    facts = facts_of([release.policy])[release.policy_id]
    conditions = [look(release, facts) for look in (_target_retained, _target_reachable, _procedure_present, _rehearsed, _authority_known)]
    return Gate(conditions=conditions, bypassed=release.bypassed_at is not None)


def _target_retained(release: Release, facts: Facts) -> Condition:
    target = release.from_version
    interlocks = list_interlocks([target]).get(target.pk, [])
    evidence = {
        "version": target.label,
        "lifecycle": str(target.lifecycle),
        "kept_by": [interlock.code for interlock in interlocks],
        "provider_retires_at": target.provider_retires_at.isoformat() if target.provider_retires_at else None,
    }
    url = f"/registry/versions/{target.pk}/"
    hold = held_among([target]).get(target.pk)
    if target.lifecycle == Lifecycle.RETIRED:
        return Condition("target_retained", False, f"{target.label} is retired: there is nothing to go back to.", evidence, "Restore it.", url)
    if hold is not None:
        return Condition("target_retained", False, describe_hold(hold), evidence, "Choose another version to go back to.", url)
    if target.provider_retires_at is not None and target.provider_retires_at <= facts.now:
        sentence = f"The provider shut {target.label} down on {target.provider_retires_at:%Y-%m-%d}."
        return Condition("target_retained", False, sentence, evidence, "Choose another version to go back to.", url)
    sentence = f"{target.label} is {target.get_lifecycle_display().lower()} and is kept as long as a rollback may need it."
    return Condition("target_retained", True, sentence, evidence, url=url)


def _target_reachable(release: Release, facts: Facts) -> Condition:
    policy, run = release.policy, facts.preflight
    url = f"/readiness/{policy.environment.slug}/{policy.alias}/#findings"
    found = [finding for finding in facts.findings if finding.code in IN_THE_WAY]
    said = [f"{finding.get_code_display()}: {finding_in_words(finding)}" for finding in found]
    evidence = {
        "preflight_finished_at": run.finished_at.isoformat() if run is not None and run.finished_at else None,
        "findings": said,
    }
    if run is None or run.finished_at is None:
        return Condition("target_reachable", False, "The preflight has not looked at it yet.", evidence, "Start one: manage.py preflight.", url)
    if facts.now - run.finished_at > CHECK_OVERDUE:
        return Condition("target_reachable", False, f"The preflight last looked at {run.finished_at:%Y-%m-%d %H:%M} UTC.", evidence, "Start one.", url)
    if found:
        more = f" and {counted(len(said) - 1, 'thing')} more" if len(said) > 1 else ""
        return Condition("target_reachable", False, f"The preflight found: {said[0]}{more}.", evidence, with_stop(found[0].remedy or "Mend it"), url)
    sentence = f"The preflight of {run.finished_at:%Y-%m-%d %H:%M} UTC found everything where a rollback needs it."
    return Condition("target_reachable", True, sentence, evidence, url=url)


def _procedure_present(release: Release, facts: Facts) -> Condition:
    procedure = facts.path.procedure
    if procedure is None:
        sentence = f"There is no rollback procedure for the change type {release.policy.artefact.get_change_type_display().lower()}."
        return Condition("procedure_present", False, sentence, {}, "Have a platform lead write one under Procedures.", "/procedures/")
    evidence = {"procedure": str(procedure), "content_hash": procedure.content_hash, "steps": len(procedure.steps)}
    return Condition("procedure_present", True, f"{procedure}, {counted(len(procedure.steps), 'step')}.", evidence)


def _rehearsed(release: Release, facts: Facts) -> Condition:
    try:
        after = path_after_first_step(release)
    except InvalidInput as error:
        where = f"/routing/{release.policy.environment.slug}/aliases/{release.policy.alias}/"
        return Condition("rehearsed", False, error.message, {}, "Mend the policy.", where)
    if after.path is None:
        sentence, where = "Without a procedure nothing can be rehearsed.", "/procedures/"
        return Condition("rehearsed", False, sentence, {}, "Have a platform lead write one.", where)
    proof = proofs_of({release.policy_id: after}, at=facts.now)[release.policy_id]
    evidence: dict[str, Any] = {"fingerprint": after.fingerprint, "proof": str(proof.state), "changes": [change.in_words for change in proof.changes]}
    url = ""
    if proof.run is not None:
        url = f"/drills/{proof.run.execution_id}/"
        evidence |= {
            "execution": str(proof.run.execution_id),
            "kind": proof.run.kind,
            "finished_at": proof.run.finished_at.isoformat(),
            "rollback_seconds": proof.run.rollback_seconds,
        }
    if proof.state == ProofState.VALID:
        return Condition("rehearsed", True, proof.in_words, evidence, url=url)
    if proof.state == ProofState.FAILED:
        said = [f"{finding.get_code_display()}: {finding_in_words(finding)}" for finding in proof.findings]
        return Condition("rehearsed", False, _failure_in_words(proof, said), evidence | {"findings": said}, _after_failure(proof), url)
    sentence = {
        ProofState.MISSING: f"Going back from {release.to_version.label} was never rehearsed.",
        ProofState.STALE: with_stop(f"What was rehearsed is not what production would have: {'; '.join(change.in_words for change in proof.changes)}"),
    }.get(proof.state, proof.in_words)
    return Condition("rehearsed", False, sentence, evidence, "Rehearse it in staging.", url)


def _failure_in_words(proof: Proof, said: list[str]) -> str:
    if not said:
        return proof_in_words(proof)
    assert proof.run is not None
    more = f" and {counted(len(said) - 1, 'finding')} more" if len(said) > 1 else ""
    return f"The last {proof.run.kind} failed on {proof.run.finished_at:%Y-%m-%d %H:%M} UTC. {said[0]}{more}."


def _after_failure(proof: Proof) -> str:
    if not proof.findings:
        return "See why, mend it, and rehearse it again."
    return f"{with_stop(proof.findings[0].remedy or 'Mend it')} Then rehearse it again."


def _authority_known(release: Release, facts: Facts) -> Condition:
    authority = get_authority(change_types=[release.policy.artefact.change_type], parts=1, strategic=release.to_version.is_strategic)
    deciders = list_approvers(authority.role, principal=release.created_by)
    evidence = {"role": str(authority.role), "because": str(authority.because), "people": [str(person) for person in deciders][:20]}
    if not deciders and not facts.deciders:
        sentence = f"Nobody may decide to roll it back: no active person has the role {authority.role.label} or a higher one."
        return Condition("authority_known", False, sentence, evidence, "Have an administrator give somebody the role.", "/admin/accounts/user/")
    return Condition("authority_known", True, f"{authority.in_words}, decides to roll it back.", evidence)
