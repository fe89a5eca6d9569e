"""What a planned drill starts: on its plan's alias, or on one of an artefact's aliases by chance."""

from __future__ import annotations

from dataclasses import dataclass

from drills.domain.schedule import draw_one, slot_seed
from drills.domain.transitions import start_drill
from drills.models import Drill, PlannedDrill
from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import Actor
from rollbackhub.common.errors import Conflict
from rollbackhub.common.failpoints import failpoint
from rollbackhub.executions.domain.path import paths_of
from rollbackhub.executions.enums import ACTIVE_STATES
from rollbackhub.executions.models import Execution
from rollbackhub.routing.models import RoutingPolicy


@dataclass(frozen=True, slots=True)
class Started:
    """A drill that runs for a planned one. `eligible`: the aliases that it was drawn from; empty when the plan names its alias."""

    drill: Drill
    policy: RoutingPolicy
    eligible: list[str]


def start_for(planned: PlannedDrill, *, actor: Actor, user: User | None) -> Started:
    """Start the drill of a planned one whose row is locked, in the transaction that is open. Twice gives the same drill, by its key.

    Raises what `start_drill` raises, and Conflict `no_eligible_path`.
    """
    policy, eligible = _choose(planned)
    failpoint("planned-claimed", scope=policy.alias)
    drill = start_drill(policy=policy, actor=actor, user=user, idempotency_key=f"planned:{planned.pk}", note=f"Planned: {planned.plan.name}")
    failpoint("planned-started", scope=policy.alias)
    return Started(drill, policy, eligible)


def _choose(planned: PlannedDrill) -> tuple[RoutingPolicy, list[str]]:
    plan = planned.plan
    policies = RoutingPolicy.objects.select_related("environment", "artefact")
    if plan.policy_id is not None:
        return policies.get(pk=plan.policy_id), []
    found = list(policies.filter(artefact=plan.artefact_id, environment=plan.environment_id).order_by("alias"))
    paths = paths_of(found)
    busy = set(Execution.objects.filter(policy__in=found, state__in=ACTIVE_STATES).values_list("policy", flat=True))
    eligible = {policy.alias: policy for policy in found if policy.pk not in busy and paths[policy.pk].path is not None}
    if not eligible:
        raise Conflict(_none_eligible(planned, found, busy), code="no_eligible_path")
    return eligible[draw_one(list(eligible), seed=seed_of(planned))], sorted(eligible)


def seed_of(planned: PlannedDrill) -> str:
    """What its time was drawn from, or would have been."""
    return str(planned.draw.get("seed") or slot_seed(planned.plan.seed, planned.slot))


def _none_eligible(planned: PlannedDrill, found: list[RoutingPolicy], busy: set[int]) -> str:
    plan = planned.plan
    where = f"{plan.target_artefact.slug} in {plan.environment.slug}"
    if not found:
        return f"There is no alias of {where}. Add one, or give the plan another target."
    running = [policy.alias for policy in found if policy.pk in busy]
    others = [policy.alias for policy in found if policy.pk not in busy]
    why = [f"an execution holds {', '.join(running)}"] if running else []
    why += [f"{', '.join(others)} has no procedure, or nothing to go back to"] if others else []
    return f"No alias of {where} can be drilled now: {'; '.join(why)}."
