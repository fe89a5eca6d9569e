"""Could we roll back right now? Every alias with what its last drill says, and where its traffic goes. A fixed number of queries."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connection
from django.db.models import F

from drills.enums import AliasState
from drills.rules import alias_state
from rollbackhub.common import clock
from rollbackhub.executions.enums import ACTIVE_STATES, ExecutionKind, ExecutionState
from rollbackhub.executions.models import Execution
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.routing.domain.gateways import live_since
from rollbackhub.routing.models import Gateway, PolicyRevision, RoutingPolicy

# One row per policy. The newest finished drill and the active execution of each come from their indexes, however long the history is.
_STATES_SQL = """
    SELECT p.alias, p.environment_id, a.stakes, e.kind = %(staging)s, last.id, last.verdict, last.finished_at, active.state
    FROM routing_routingpolicy p
    JOIN registry_environment e ON e.id = p.environment_id
    JOIN registry_artefact a ON a.id = p.artefact_id
    LEFT JOIN LATERAL (
        SELECT x.id, x.verdict, x.finished_at FROM executions_execution x
        WHERE x.policy_id = p.id AND x.kind = %(drill)s AND x.state = %(finished)s ORDER BY x.created_at DESC LIMIT 1
    ) last ON true
    LEFT JOIN LATERAL (
        SELECT x.state FROM executions_execution x
        WHERE x.environment_id = p.environment_id AND x.policy_id = p.id AND x.state IN ('queued', 'running', 'cleaning_up', 'needs_human')
            AND x.kind NOT IN ('rollback', 'roll_forward') LIMIT 1
    ) active ON true
    ORDER BY p.alias
"""


@dataclass(slots=True)
class AliasStanding:
    """An alias, how urgent it is, and the drill that says so."""

    alias: str
    state: AliasState
    last_drill_id: UUID | None = None
    environment_ids: set[int] = field(default_factory=set)


@dataclass(slots=True)
class EnvironmentRow:
    """An alias in one environment: where its traffic goes, who has taken that over, and what runs."""

    policy: RoutingPolicy
    revision: PolicyRevision | None
    gateways_live: int
    gateways_acknowledged: int
    active: Execution | None

    @property
    def gateways_in_words(self) -> str:
        """`2 of 2 gateways serve it`."""
        if not self.gateways_live:
            return "No gateway has asked for routes lately"
        noun = "gateway serves" if self.gateways_live == 1 else "gateways serve"
        return f"{self.gateways_acknowledged} of {self.gateways_live} {noun} it"


@dataclass(slots=True)
class AliasRow:
    """An alias with its environments, its last finished drill and the policy to drill next (None: none is in staging)."""

    standing: AliasStanding
    environments: list[EnvironmentRow]
    last: Execution | None
    drillable: RoutingPolicy | None

    @property
    def policy(self) -> RoutingPolicy:
        """The policy that names artefact and change type."""
        return self.drillable or self.environments[0].policy

    @property
    def active(self) -> Execution | None:
        """What runs on the alias now, in whichever environment."""
        return next((row.active for row in self.environments if row.active), None)

    @property
    def is_lab(self) -> bool:
        """Whether the lab made it."""
        return all(row.policy.artefact.is_lab for row in self.environments)


def list_standings(*, now: dt.datetime | None = None) -> list[AliasStanding]:
    """All aliases, the most urgent first, then by name. One query."""
    now = now or clock.now()
    values = {"staging": EnvironmentKind.STAGING, "drill": ExecutionKind.DRILL, "finished": ExecutionState.FINISHED}
    with connection.cursor() as cursor:
        cursor.execute(_STATES_SQL, values)
        rows = cursor.fetchall()
    order = list(AliasState)
    standings: dict[str, AliasStanding] = {}
    staged: set[str] = set()
    for alias, environment_id, stakes, in_staging, drill_id, verdict, finished_at, active in rows:
        standing = standings.setdefault(alias, AliasStanding(alias=alias, state=AliasState.MISSING))
        standing.environment_ids.add(environment_id)
        if not in_staging and not active:
            continue
        state = alias_state(stakes=stakes, last_verdict=verdict or "", last_finished_at=finished_at, active_state=active or "", now=now)
        if alias not in staged or order.index(state) < order.index(standing.state):
            standing.state, standing.last_drill_id = state, drill_id or standing.last_drill_id
        staged.add(alias)
    return sorted(standings.values(), key=lambda standing: (order.index(standing.state), standing.alias))


def count_states(standings: Sequence[AliasStanding]) -> Counter[AliasState]:
    """How many aliases are in each state."""
    return Counter(standing.state for standing in standings)


def list_alias_rows(standings: Sequence[AliasStanding]) -> list[AliasRow]:
    """The details of these aliases, in their order. Six queries for any number."""
    policies = list(
        RoutingPolicy.objects.filter(alias__in=[standing.alias for standing in standings])
        .select_related("environment", "artefact", "artefact__team")
        .order_by("environment__kind", "environment__slug")
    )
    revisions = {
        revision.policy_id: revision
        for revision in PolicyRevision.objects.filter(policy__in=policies, number=F("policy__revision_number")).prefetch_related("candidates__version")
    }
    drills = Execution.objects.in_bulk([standing.last_drill_id for standing in standings if standing.last_drill_id])
    active = {execution.policy_id: execution for execution in Execution.objects.filter(policy__in=policies, state__in=ACTIVE_STATES)}
    applied = _applied_numbers({policy.environment_id for policy in policies})
    by_alias: dict[str, list[EnvironmentRow]] = {}
    for policy in policies:
        revision = revisions.get(policy.pk)
        numbers = applied.get(policy.environment_id, [])
        acknowledged = len(numbers) - bisect_left(numbers, revision.routing_number) if revision else 0
        by_alias.setdefault(policy.alias, []).append(EnvironmentRow(policy, revision, len(numbers), acknowledged, active.get(policy.pk)))
    rows = []
    for standing in standings:
        environments = by_alias.get(standing.alias, [])
        drillable = next((row.policy for row in environments if row.policy.environment.kind == EnvironmentKind.STAGING), None)
        if environments:
            rows.append(AliasRow(standing, environments, drills.get(standing.last_drill_id) if standing.last_drill_id else None, drillable))
    return rows


def _applied_numbers(environment_ids: set[int]) -> dict[int, list[int]]:
    """What the live gateways of each environment have applied, ascending."""
    found: dict[int, list[int]] = {}
    gateways = Gateway.objects.filter(environment_id__in=environment_ids, last_seen_at__gte=live_since()).order_by("applied_number")
    for environment_id, number in gateways.values_list("environment_id", "applied_number"):
        found.setdefault(environment_id, []).append(number)
    return found
