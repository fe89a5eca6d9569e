"""What is proven about rollback paths: the drills and rehearsals that ran them, held against the paths as they are now.

Proof is read from the executions themselves: each froze its path and ended with a verdict.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connection

from rollbackhub.common import clock
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.path import PathNow
from rollbackhub.executions.enums import ProofState
from rollbackhub.executions.fingerprints import PathChange, path_changes, path_gone
from rollbackhub.executions.models import Finding
from rollbackhub.executions.rules import proof_state, proven_until


@dataclass(frozen=True, slots=True)
class Run:
    """The drill or rehearsal that a proof rests on."""

    execution_id: UUID
    kind: str
    verdict: str
    finished_at: dt.datetime
    rollback_seconds: float | None
    environment: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What is proven about one path, why, and until when."""

    state: ProofState
    run: Run | None = None
    """The run that says so; None when the path was never run to a verdict."""
    changes: list[PathChange] = field(default_factory=list)
    """What is not as it was in that run."""
    expires_at: dt.datetime | None = None
    findings: list[Finding] = field(default_factory=list)
    """What that run caught, when it failed."""
    unclear: Run | None = None
    """A later run that showed nothing (inconclusive, or an error)."""

    @property
    def in_words(self) -> str:
        """One sentence for people who decide."""
        if self.run is None:
            return "Never drilled: this path has no proof."
        when = f"{self.run.finished_at:%Y-%m-%d %H:%M} UTC"
        took = f", {self.run.rollback_seconds:.1f} s from decision to restored" if self.run.rollback_seconds is not None else ""
        if self.state == ProofState.FAILED:
            caught = "; ".join(f"{finding.get_code_display().lower()}: {finding.subject}" for finding in self.findings[:3])
            return f"The last {self.run.kind} failed on {when}" + (f" ({caught})." if caught else ".")
        if self.state == ProofState.STALE:
            return f"Proven on {when}{took}, but changed since: " + "; ".join(change.in_words for change in self.changes[:5]) + "."
        if self.state == ProofState.EXPIRED:
            return f"Proven on {when}{took}, which is too long ago."
        return f"Proven on {when}{took}; nothing has changed since."


# For each policy: the newest run of exactly this path, the newest run of its alias (with the path that it froze), and the newest that
# showed nothing. Runs of every environment in which the alias serves the same artefact count. Each comes from execution_by_policy_proof,
# policy by policy: a join in their place would be planned by statistics, and without them read every run for each policy.
_RUNS_SQL = """
    WITH places AS MATERIALIZED (
        SELECT w.policy_id, w.fingerprint, sp.id AS place_id, e.slug
        FROM unnest(%(policies)s::bigint[], %(fingerprints)s::text[]) AS w (policy_id, fingerprint)
        JOIN routing_routingpolicy p ON p.id = w.policy_id
        JOIN routing_routingpolicy sp ON sp.alias = p.alias AND sp.artefact_id = p.artefact_id
        JOIN registry_environment e ON e.id = sp.environment_id
    ), newest AS (
        SELECT DISTINCT ON (w.policy_id, found.which) w.policy_id, found.*, w.slug
        FROM places w
        CROSS JOIN LATERAL (
            (SELECT 'exact' AS which, x.id, x.kind, x.verdict, x.finished_at, x.rollback_seconds, x.created_at, false AS path_wanted
             FROM executions_execution x
             WHERE x.policy_id = w.place_id AND x.kind IN ('drill', 'rehearsal') AND x.state = 'finished'
                 AND x.verdict IN ('passed', 'failed') AND x.fingerprint = w.fingerprint
             ORDER BY x.created_at DESC LIMIT 1)
            UNION ALL
            (SELECT 'newest', x.id, x.kind, x.verdict, x.finished_at, x.rollback_seconds, x.created_at, x.fingerprint <> w.fingerprint
             FROM executions_execution x
             WHERE x.policy_id = w.place_id AND x.kind IN ('drill', 'rehearsal') AND x.state = 'finished' AND x.verdict IN ('passed', 'failed')
             ORDER BY x.created_at DESC LIMIT 1)
            UNION ALL
            (SELECT 'unclear', x.id, x.kind, x.verdict, x.finished_at, x.rollback_seconds, x.created_at, false
             FROM executions_execution x
             WHERE x.policy_id = w.place_id AND x.kind IN ('drill', 'rehearsal') AND x.state = 'finished'
             ORDER BY x.created_at DESC LIMIT 1)
        ) found
        ORDER BY w.policy_id, found.which, found.created_at DESC
    )
    SELECT policy_id, which, id, kind, verdict, finished_at, rollback_seconds, slug,
        CASE WHEN path_wanted THEN (SELECT x.plan -> 'path' FROM executions_execution x WHERE x.id = newest.id) END
    FROM newest
"""


def proofs_of(paths: Mapping[int, PathNow], *, at: dt.datetime | None = None) -> dict[int, Proof]:
    """The proof of each of these paths, by the policy's id. Two queries for any number.

    A run of exactly the path as it is goes before a later one of another shape: rehearsing a release does not unprove what is live.
    """
    at = at or clock.now()
    runs: dict[int, dict[str, tuple[Run, Mapping[str, object] | None]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_RUNS_SQL, {"policies": list(paths), "fingerprints": [now.fingerprint for now in paths.values()]})
        for policy_id, which, execution_id, kind, verdict, finished_at, seconds, environment, path in cursor.fetchall():
            run = Run(execution_id, kind, verdict, finished_at, seconds, environment)
            runs.setdefault(policy_id, {})[which] = (run, json.loads(path) if isinstance(path, str) else path)
    failed = {
        found[which][0].execution_id for found in runs.values() for which in ("exact", "newest") if which in found and found[which][0].verdict == Verdict.FAILED
    }
    findings: dict[UUID, list[Finding]] = {}
    for finding in Finding.objects.filter(execution__in=failed).order_by("id") if failed else ():
        findings.setdefault(finding.execution_id, []).append(finding)
    return {policy_id: _proof(now, runs.get(policy_id, {}), findings, at) for policy_id, now in paths.items()}


def _proof(now: PathNow, runs: Mapping[str, tuple[Run, Mapping[str, object] | None]], findings: Mapping[UUID, list[Finding]], at: dt.datetime) -> Proof:
    if "newest" not in runs and "exact" not in runs:
        return Proof(ProofState.MISSING, unclear=runs["unclear"][0] if "unclear" in runs else None)
    run, then = runs.get("exact") or runs["newest"]
    changes: list[PathChange] = []
    if now.path is None:
        changes = path_gone(then or {}, has_procedure=now.procedure is not None)
    elif "exact" not in runs:
        changes = path_changes(then or {}, now.path, environments=(now.policy.environment.slug, run.environment))
    expires_at = proven_until(run.finished_at, stakes=now.policy.artefact.stakes)
    latest = runs["unclear"][0] if "unclear" in runs else None
    unclear = latest if latest and latest.finished_at > run.finished_at and latest.verdict not in (Verdict.PASSED, Verdict.FAILED) else None
    state = proof_state(verdict=run.verdict, changed=bool(changes), expires_at=expires_at, at=at)
    return Proof(state, run, changes, expires_at, findings.get(run.execution_id, []) if state == ProofState.FAILED else [], unclear)
