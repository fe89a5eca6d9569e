"""Files of past runs for tests, and the world that they are about."""

from __future__ import annotations

from rollbackhub.analytics.history_rules import COLUMNS
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.registry import ArtefactFactory, EnvironmentFactory
from tests.factories.routing import RoutingPolicyFactory

DRILL = {"kind": "drill", "alias": "reasoner", "environment": "staging", "decided_at": "2026-03-02T10:00:00Z", "rollback_seconds": "240", "verdict": "passed"}
ROLLBACK = {
    "kind": "rollback",
    "alias": "reasoner",
    "environment": "production",
    "detected_at": "2026-03-14T01:25:00Z",
    "decided_at": "2026-03-14T01:31:00Z",
    "authorised_at": "2026-03-14T01:40:00Z",
    "executed_at": "2026-03-14T01:41:00Z",
    "propagated_at": "2026-03-14T01:41:20Z",
    "drained_at": "2026-03-14T01:52:30Z",
    "restored_at": "2026-03-14T01:52:30Z",
    "verified_at": "2026-03-14T02:10:00Z",
    "target_seconds": "600",
    "verdict": "passed",
    "authority": "on_call",
    "authorised_how": "own",
    "exposure": "18200",
    "reference": "INC-204",
    "note": "The flag had been renamed",
}
GONE = {**DRILL, "alias": "summariser", "artefact": "summary-prompt", "decided_at": "2025-11-02T10:00:00Z", "verdict": "failed", "rollback_seconds": ""}


def csv_of(*rows: dict[str, str]) -> bytes:
    """These rows with every column."""
    lines = [",".join(COLUMNS), *(",".join(f'"{row.get(name, "")}"' for name in COLUMNS) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def make_world() -> RoutingPolicy:
    """An alias in staging and production, and an artefact whose alias is no more. Gives production's."""
    artefact = ArtefactFactory(slug="reasoner-model", change_type="model")
    ArtefactFactory(slug="summary-prompt", change_type="prompt")
    staging = EnvironmentFactory(slug="staging", name="Staging", kind="staging")
    production = EnvironmentFactory(slug="production", name="Production", kind="production")
    RoutingPolicyFactory(environment=staging, alias="reasoner", artefact=artefact)
    return RoutingPolicyFactory(environment=production, alias="reasoner", artefact=artefact)
