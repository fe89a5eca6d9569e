"""The drill that the lab starts by itself on its first start, so that the pages show measured data within a minute."""

from __future__ import annotations

from drills.domain.transitions import start_drill
from drills.models import Drill
from rollbackhub.lab.catalogue import SMART_REASONER
from rollbackhub.lab.domain.seed import ACTOR
from rollbackhub.routing.domain.gateways import list_live_gateways, not_acknowledged
from rollbackhub.routing.models import RoutingPolicy, RoutingState

ENVIRONMENT = "staging"
IDEMPOTENCY_KEY = "lab-first-drill"


def is_first_drill_wanted() -> bool:
    """Whether the lab's staging alias was never drilled."""
    return not Drill.objects.filter(execution__policy__alias=SMART_REASONER.alias, execution__policy__environment__slug=ENVIRONMENT).exists()


def start_first_drill() -> Drill | None:
    """Start the drill; None while staging's gateways have not acknowledged the present routes. Two calls start one drill.

    Raises RollbackHubError when the drill cannot start (no procedure, somebody's execution is running).
    """
    policy = RoutingPolicy.objects.select_related("environment", "artefact").filter(alias=SMART_REASONER.alias, environment__slug=ENVIRONMENT).first()
    if policy is None:
        return None
    state = RoutingState.objects.get(environment=policy.environment)
    gateways = list_live_gateways(environment_id=policy.environment_id)
    if not gateways or not_acknowledged(gateways, routing_number=state.number):
        return None
    return start_drill(policy=policy, actor=ACTOR, user=None, idempotency_key=IDEMPOTENCY_KEY, note="The lab's own first drill.")
