"""What a policy says at present."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

from django.db import connection
from django.db.models import Q, Sum
from django.db.models.functions import Coalesce

from rollbackhub.routing.models import Candidate, PolicyRevision, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec


def get_candidates(*, policy: RoutingPolicy, number: int | None = None) -> list[CandidateSpec]:
    """The candidates of a revision (the present one by default), in their order. One query."""
    number = policy.revision_number if number is None else number
    rows = (
        Candidate.objects.filter(revision__policy=policy, revision__number=number).order_by("position").values_list("candidate_id", "version__label", "weight")
    )
    return [CandidateSpec(*row) for row in rows]


def get_revision(*, policy: RoutingPolicy, number: int) -> PolicyRevision:
    """One revision of a policy. Raises PolicyRevision.DoesNotExist."""
    return PolicyRevision.objects.get(policy=policy, number=number)


_SERVED_BEFORE_SQL = """
    WITH wanted AS (SELECT * FROM unnest(%(policies)s::bigint[], %(labels)s::text[]) AS w (policy_id, label)),
    passed_over AS (SELECT * FROM unnest(%(without_policies)s::bigint[], %(without_labels)s::text[]) AS w (policy_id, label)),
    placed AS (
        SELECT w.policy_id, w.label, coalesce(
            (SELECT t.id FROM routing_routingpolicy p
             JOIN routing_routingpolicy t ON t.alias = p.alias AND t.artefact_id = p.artefact_id
             JOIN registry_environment e ON e.id = t.environment_id AND e.kind = 'production'
             WHERE p.id = w.policy_id ORDER BY t.id LIMIT 1), w.policy_id) AS source_id
        FROM wanted w
    )
    SELECT placed.policy_id, v.label, sum(c.weight)
    FROM placed
    CROSS JOIN LATERAL (
        SELECT r.id FROM routing_policyrevision r
        WHERE r.policy_id = placed.source_id AND EXISTS (
            SELECT FROM routing_candidate x JOIN registry_version y ON y.id = x.version_id
            WHERE x.revision_id = r.id AND x.weight > 0 AND y.label <> placed.label
            AND NOT EXISTS (SELECT FROM passed_over o WHERE o.policy_id = placed.policy_id AND o.label = y.label))
        ORDER BY r.number DESC LIMIT 1
    ) AS last
    JOIN routing_candidate c ON c.revision_id = last.id AND c.weight > 0
    JOIN registry_version v ON v.id = c.version_id AND v.label <> placed.label
    WHERE NOT EXISTS (SELECT FROM passed_over o WHERE o.policy_id = placed.policy_id AND o.label = v.label)
    GROUP BY placed.policy_id, v.label
    ORDER BY placed.policy_id, v.label
"""


def get_served_before(bad: Mapping[int, str], *, without: Mapping[int, Collection[str]] | None = None) -> dict[int, dict[str, int]]:
    """What served before this version had all of the traffic: weight by version label, by the policy's id. One query for any number.

    `bad`: the version's label by the policy's id. `without`: labels that are passed over, because they may not serve. In staging production's
    history counts where the alias stands there too: what is drilled must be what a rollback would do.
    """
    if not bad:
        return {}
    found: dict[int, dict[str, int]] = {}
    with connection.cursor() as cursor:
        passed_over = [(policy_id, label) for policy_id, labels in (without or {}).items() for label in labels]
        values: dict[str, Any] = {
            "policies": list(bad),
            "labels": list(bad.values()),
            "without_policies": [policy_id for policy_id, _ in passed_over],
            "without_labels": [label for _, label in passed_over],
        }
        cursor.execute(_SERVED_BEFORE_SQL, values)
        for policy_id, label, weight in cursor.fetchall():
            found.setdefault(policy_id, {})[label] = int(weight)
    return found


def find_first_weight(*, policy_id: int, label: str) -> dt.datetime | None:
    """When a version got the weight that it has, or had last: the first revision of its latest stretch with weight. One query."""
    weights = (
        PolicyRevision.objects.filter(policy_id=policy_id)
        .order_by("-number")
        .annotate(weight=Coalesce(Sum("candidates__weight", filter=Q(candidates__version__label=label)), 0))
        .values_list("weight", "created_at")
    )
    began: dt.datetime | None = None
    for weight, created_at in weights.iterator():
        if weight:
            began = created_at
        elif began is not None:
            break
    return began
