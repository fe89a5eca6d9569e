"""The readiness board: every alias, the most urgent first, with where its traffic goes and its last drill. A fixed number of queries."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from rollbackhub.executions.domain.path import paths_of
from rollbackhub.executions.domain.proof import Proof, proofs_of
from rollbackhub.executions.enums import ACTIVE_STATES, REHEARSES, ExecutionState, ProofState
from rollbackhub.executions.models import Execution
from rollbackhub.readiness.domain.reasons import state_in_words
from rollbackhub.readiness.models import Readiness
from rollbackhub.registry.domain.holds import held_among
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.registry.models import StabilityHold
from rollbackhub.routing.domain.deliveries import FETCHED, DeliveryState, delivery_of
from rollbackhub.routing.domain.gateways import live_since
from rollbackhub.routing.models import Gateway, PolicyRevision, RoutingPolicy

NOT_JUDGED = "not_judged"
"""In place of a state: the aliases that were made a moment ago."""

NOT_JUDGED_RANK = 99
"""Where an alias stands that was made a moment ago: behind what is not ready, before what is at risk."""


@dataclass(slots=True)
class EnvironmentRow:
    """An alias in one environment: where its traffic goes, who has taken that over, and what runs."""

    policy: RoutingPolicy
    revision: PolicyRevision | None
    gateways_live: int
    gateways_acknowledged: int
    active: Execution | None
    holds: list[StabilityHold]
    """Standing holds on its versions; none in staging, where holds do not apply."""
    delivery: DeliveryState | None = None
    """How far it has reached what serves it, when that is not the gateways."""

    @property
    def served_in_words(self) -> str:
        """`2 of 2 gateways serve it`, `git has revision 3`."""
        if self.delivery is not None:
            return self.delivery.in_words
        if not self.gateways_live:
            return "No gateway has asked for routes lately"
        noun = "gateway serves" if self.gateways_live == 1 else "gateways serve"
        return f"{self.gateways_acknowledged} of {self.gateways_live} {noun} it"

    @property
    def has_another(self) -> bool:
        """Whether there is a version to go back to in the policy at all."""
        return self.revision is not None and len({candidate.version_id for candidate in self.revision.candidates.all()}) > 1


@dataclass(slots=True)
class Card:
    """One alias in production (or in staging alone), with its staging siblings, its last drill or rehearsal, and the policy to drill (None: there is none)."""

    policy: RoutingPolicy
    readiness: Readiness | None
    """None: it was not judged yet."""
    environments: list[EnvironmentRow]
    last: Execution | None
    drillable: RoutingPolicy | None
    proof: Proof
    """What is proven of the way back at this instant."""
    proof_run: Execution | None
    """The run that the proof rests on: its rollback time is the one that counts, whatever ran later."""

    @property
    def active(self) -> Execution | None:
        """What runs on the alias now, in whichever environment."""
        return next((row.active for row in self.environments if row.active), None)

    @property
    def proof_in_words(self) -> str:
        """What is known of the way back; nothing before it was judged."""
        kind = self.proof_run.get_kind_display().lower() if self.proof_run else ""
        return state_in_words(ProofState(self.readiness.proof_state), kind=kind) if self.readiness else ""

    @property
    def proof_noun(self) -> str:
        """What its rollback time was measured in: `the drill that proves it`, `the rehearsal that failed`."""
        if self.proof_run is None:
            return ""
        does = {ProofState.VALID: "proves it", ProofState.FAILED: "failed"}.get(self.proof.state, "proved it then")
        return f"the {self.proof_run.get_kind_display().lower()} that {does}"

    @property
    def reasons(self) -> list[dict[str, str]]:
        """Why not, the most urgent first."""
        return self.readiness.reasons if self.readiness else []


def list_board(*, state: str = "", reason: str = "", environment: str = "", team: str = "", query: str = "") -> QuerySet[RoutingPolicy]:
    """The policies of the board in its order: those in production by urgency, then aliases that live in staging alone."""
    twin = RoutingPolicy.objects.filter(alias=OuterRef("alias"), artefact=OuterRef("artefact"), environment__kind=EnvironmentKind.PRODUCTION)
    found = (
        RoutingPolicy.objects.filter(Q(environment__kind=EnvironmentKind.PRODUCTION) | ~Exists(twin))
        .select_related("environment", "artefact__team", "readiness", *FETCHED)
        .order_by("environment__kind", Coalesce("readiness__rank", NOT_JUDGED_RANK), "alias", "environment__slug")
    )
    if state == NOT_JUDGED:
        found = found.filter(readiness=None)
    elif state:
        found = found.filter(readiness__state=state)
    if reason:
        found = found.filter(readiness__reasons__contains=[{"code": reason}])
    if environment:
        there = RoutingPolicy.objects.filter(alias=OuterRef("alias"), artefact=OuterRef("artefact"), environment__slug=environment)
        found = found.filter(Exists(there))
    if team:
        found = found.filter(artefact__team__slug=team)
    return found.filter(alias__icontains=query) if query else found


def list_cards(policies: Sequence[RoutingPolicy]) -> list[Card]:
    """The details of these policies, in their order. A fixed number of queries."""
    siblings = list(
        RoutingPolicy.objects.filter(alias__in={policy.alias for policy in policies}, environment__kind=EnvironmentKind.STAGING)
        .exclude(pk__in=[policy.pk for policy in policies])
        .select_related("environment", "artefact", *FETCHED)
        .order_by("environment__slug")
    )
    every = [*policies, *siblings]
    revisions = {
        revision.policy_id: revision
        for revision in PolicyRevision.objects.filter(policy__in=[policy.pk for policy in every], number=F("policy__revision_number")).prefetch_related(
            "candidates__version"
        )
    }
    active = {execution.policy_id: execution for execution in Execution.objects.filter(policy__in=[policy.pk for policy in every], state__in=ACTIVE_STATES)}
    applied = _applied_numbers({policy.environment_id for policy in every})
    drills = _last_drills(every)
    proofs = proofs_of(paths_of(policies))
    proving = Execution.objects.defer("plan").in_bulk([proof.run.execution_id for proof in proofs.values() if proof.run is not None])
    versions = {candidate.version.pk: candidate.version for revision in revisions.values() for candidate in revision.candidates.all()}
    held = held_among(versions.values())
    cards = []
    for policy in policies:
        proof = proofs[policy.pk]
        own = [policy, *(other for other in siblings if (other.alias, other.artefact_id) == (policy.alias, policy.artefact_id))]
        rows = [_environment_row(found, revisions.get(found.pk), applied=applied, active=active, held=held) for found in own]
        cards.append(
            Card(
                policy=policy,
                readiness=getattr(policy, "readiness", None),
                environments=rows,
                last=drills.get((policy.alias, policy.artefact_id)),
                drillable=next((found for found in own if found.environment.kind == EnvironmentKind.STAGING), None),
                proof=proof,
                proof_run=proving.get(proof.run.execution_id) if proof.run is not None else None,
            )
        )
    return cards


def count_not_judged() -> int:
    """How many aliases in production wait to be judged. One query."""
    return RoutingPolicy.objects.filter(environment__kind=EnvironmentKind.PRODUCTION, readiness=None).count()


def _environment_row(
    policy: RoutingPolicy, revision: PolicyRevision | None, *, applied: dict[int, list[int]], active: dict[int, Execution], held: dict[int, StabilityHold]
) -> EnvironmentRow:
    present = {candidate.version_id for candidate in revision.candidates.all()} if revision else set()
    numbers = applied.get(policy.environment_id, [])
    acknowledged = len(numbers) - bisect_left(numbers, revision.routing_number) if revision else 0
    applies = policy.environment.kind == EnvironmentKind.PRODUCTION
    holds = [hold for version_id, hold in held.items() if version_id in present] if applies else []
    return EnvironmentRow(policy, revision, len(numbers), acknowledged, active.get(policy.pk), holds, delivery_of(policy))


def _last_drills(policies: Sequence[RoutingPolicy]) -> dict[tuple[str, int], Execution]:
    """The newest drill or rehearsal that ended, by alias and artefact; its plan is not read."""
    newest = (
        Execution.objects.filter(policy__in=[policy.pk for policy in policies], kind__in=REHEARSES, state=ExecutionState.FINISHED)
        .order_by("policy__alias", "policy__artefact_id", "-created_at")
        .distinct("policy__alias", "policy__artefact_id")
        .select_related("policy")
        .defer("plan")
    )
    return {(execution.policy.alias, execution.policy.artefact_id): execution for execution in newest}


def _applied_numbers(environment_ids: set[int]) -> dict[int, list[int]]:
    """What the live gateways of each environment have applied, ascending."""
    found: dict[int, list[int]] = {}
    gateways = Gateway.objects.filter(environment_id__in=environment_ids, last_seen_at__gte=live_since()).order_by("applied_number")
    for environment_id, number in gateways.values_list("environment_id", "applied_number"):
        found.setdefault(environment_id, []).append(number)
    return found
