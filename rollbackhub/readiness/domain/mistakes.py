"""The five mistakes that make a rollback fail when it is needed, each looked for in what the hub knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from django.urls import reverse

from rollbackhub.accounts.enums import Role
from rollbackhub.executions.enums import ProofState
from rollbackhub.readiness.domain.facts import Facts, facts_of
from rollbackhub.readiness.domain.reasons import ON_CALL_DECIDES
from rollbackhub.registry.domain.holds import until_in_words
from rollbackhub.registry.enums import ChangeType, EnvironmentKind, Lifecycle
from rollbackhub.routing.models import RoutingPolicy

SHOWN = 50
"""Offenders that a page names; all are counted."""

FLIPS = (ChangeType.PROMPT, ChangeType.MODEL)
"""Change types that go back by a flip; a deploy takes many times as long."""


@dataclass(frozen=True, slots=True)
class Offender:
    """An alias that makes the mistake, why one can say so, and where it is mended."""

    policy: RoutingPolicy
    why: str
    remedy: str
    url: str


@dataclass(slots=True)
class Mistake:
    """One of the five, with those who make it."""

    code: str
    title: str
    means: str
    """What it does to a rollback."""
    offenders: list[Offender] = field(default_factory=list)
    count: int = 0


def list_mistakes() -> tuple[list[Mistake], int]:
    """The five mistakes over all aliases in production, and how many aliases were looked at. A fixed number of queries."""
    policies = list(
        RoutingPolicy.objects.filter(environment__kind=EnvironmentKind.PRODUCTION)
        .select_related("environment", "artefact", "artefact__team")
        .order_by("alias", "environment__slug")
    )
    facts = facts_of(policies)
    found = []
    for code, title, means, look in _MISTAKES:
        mistake = Mistake(code, title, means)
        for policy in policies:
            offender = look(facts[policy.pk])
            if offender is not None:
                mistake.count += 1
                if mistake.count <= SHOWN:
                    mistake.offenders.append(offender)
        found.append(mistake)
    return found, len(policies)


def _never_tested(facts: Facts) -> Offender | None:
    if facts.path.procedure is None or facts.proof.state != ProofState.MISSING:
        return None
    where, remedy = (reverse("dashboard:readiness", args=[facts.policy.environment.slug, facts.policy.alias]), "Add it to a staging environment, and drill it")
    if facts.drillable is not None:
        where, remedy = reverse("drills:start", args=[facts.drillable.environment.slug, facts.drillable.alias]), "Drill it"
    runbook = f" and the runbook {facts.path.procedure.procedure.runbook_url}" if facts.path.procedure.procedure.runbook_url else ""
    return Offender(facts.policy, f"The procedure {facts.path.procedure}{runbook} is written, and was never run for this alias.", remedy, where)


def _previous_gone(facts: Facts) -> Offender | None:
    artefact = reverse("registry:artefact", args=[facts.policy.artefact.slug])
    if not facts.path.targets:
        where = reverse("routing:detail", args=[facts.policy.environment.slug, facts.policy.alias])
        return Offender(facts.policy, "The policy has one version only.", "Put the previous version into the policy, at 0 %", where)
    for version in facts.path.targets:
        if version.lifecycle == Lifecycle.RETIRED:
            return Offender(facts.policy, f"{version.label} is retired.", "Restore it, or keep another one", artefact)
        if version.pk in facts.held:
            where = reverse("routing:detail", args=[facts.policy.environment.slug, facts.policy.alias])
            why = f"{version.label} is under a stability hold {until_in_words(facts.held[version.pk], form='%Y-%m-%d')}."
            return Offender(facts.policy, why, "Put another one that served before into the policy, at 0 %", where)
        if version.provider_retires_at is not None and version.provider_retires_at <= facts.now:
            return Offender(facts.policy, f"The provider shut {version.label} down on {version.provider_retires_at:%Y-%m-%d}.", "Keep another one", artefact)
    return None


def _slow(facts: Facts) -> Offender | None:
    if facts.path.procedure is not None and facts.policy.artefact.change_type in FLIPS and not facts.flips:
        why = f"{facts.path.procedure} has no step that flips weights: it deploys, where a flip would do."
        return Offender(facts.policy, why, "Write a procedure that flips", reverse("procedures:list"))
    run = facts.proof.run
    if run is not None and run.rollback_seconds is not None and facts.target_seconds is not None and run.rollback_seconds > facts.target_seconds:
        why = f"The last {run.kind} took {run.rollback_seconds:.0f} s; its target is {facts.target_seconds} s."
        return Offender(facts.policy, why, "See where the time went", f"/drills/{run.execution_id}/")
    return None


def _no_authority(facts: Facts) -> Offender | None:
    role, table = Role(facts.required_role), reverse("admin:rollbacks_authorityrule_changelist")
    if not facts.deciders:
        why = f"No active person has the role {role.label} or a higher one."
        return Offender(facts.policy, why, "Give somebody the role", reverse("admin:accounts_user_changelist"))
    if facts.policy.artefact.change_type in ON_CALL_DECIDES and role != Role.ON_CALL:
        return Offender(facts.policy, f"The authority table asks for the role {role.label}: at night on-call waits for somebody.", "Let on-call decide", table)
    return None


def _no_verification(facts: Facts) -> Offender | None:
    if facts.path.procedure is None or facts.verifies:
        return None
    if any(step["action"] == "verify" for step in facts.steps):
        why, where = "There are no metrics in this environment to verify by.", reverse("admin:registry_connection_changelist")
        return Offender(facts.policy, why, "Add a prometheus connection", where)
    where = reverse("procedures:list")
    return Offender(facts.policy, f"{facts.path.procedure} ends without verifying.", "Add a step that verifies", where)


_MISTAKES: tuple[tuple[str, str, str, Callable[[Facts], Offender | None]], ...] = (
    ("never_tested", "Documented, but never tested", "The first run is the real one: it meets whatever has changed since it was written.", _never_tested),
    ("previous_gone", "The previous version is gone", "There is nothing to go back to when it is needed.", _previous_gone),
    ("slow_mechanism", "A slow way back", "Minutes become an hour while the bad version answers.", _slow),
    ("no_authority", "On-call may not decide", "Everybody waits for somebody who is asleep.", _no_authority),
    ("no_verification", "Nobody looks afterwards", "Traffic has moved; whether users are well again, nobody knows.", _no_verification),
)
