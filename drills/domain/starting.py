"""What a planned drill starts: on its plan's alias, or on one of an artefact's aliases by chance."""

from __future__ import annotations

import datetime as dt
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
from rollbackhub.routing.domain.gateways import live_since
from rollbackhub.routing.models import Gateway, RoutingPolicy

WAITED_FOR = dt.timedelta(minutes=15)
"""A gateway that was seen so lately is expected back; one that is away for longer may be gone for good."""

STARTS_ANYWAY = dt.timedelta(minutes=2)
"""So long before its latest instant a drill waits for gateways no more: long enough that it is tried again before that."""


@dataclass(frozen=True, slots=True)
class Started:
    """A drill that runs for a planned one. `eligible`: the aliases that it was drawn from; empty when the plan names its alias."""

    drill: Drill
    policy: RoutingPolicy
    eligible: list[str]


def start_for(planned: PlannedDrill, *, actor: Actor, user: User | None, waits_at: dt.datetime | None = None) -> Started:
    """Start the drill of a planned one whose row is locked, in the transaction that is open. Twice gives the same drill, by its key.

    `waits_at`: what starts by itself at this instant waits for gateways that are not back yet; a person who starts it has looked.

    Raises what `start_drill` raises, and Conflict `no_eligible_path` or `gateways_away`.
    """
    policy, eligible = _choose(planned)
    if waits_at is not None and policy.connection_id is None and waits_at < planned.latest_at - STARTS_ANYWAY:
        _require_gateways(policy, now=waits_at)
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


def _require_gateways(policy: RoutingPolicy, *, now: dt.datetime) -> None:
    """After an outage the hub may be back before the gateways are: a drill then would fail for that alone. Where none was ever seen, none is awaited."""
    known = list(Gateway.objects.filter(environment_id=policy.environment_id).order_by("node_id"))
    alive = live_since(now)
    away = [gateway for gateway in known if gateway.last_seen_at < alive]
    if len(away) < len(known):
        away = [gateway for gateway in away if gateway.last_seen_at >= now - WAITED_FOR]
    if away:
        newest = sorted(away, key=lambda gateway: gateway.last_seen_at, reverse=True)
        named = ", ".join(f"{gateway.node_id} (last seen {gateway.last_seen_at:%Y-%m-%d %H:%M:%S} UTC)" for gateway in newest[:3])
        more = f" and {len(away) - 3} more" if len(away) > 3 else ""
        where = policy.environment.slug
        raise Conflict(
            f"It waits for gateways of {where} to ask for routes again: {named}{more}. At the end of its time it starts anyway.", code="gateways_away"
        )


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
