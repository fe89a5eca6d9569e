"""Looks at gateways and at who answers an alias, for the checks that ask for them."""

from __future__ import annotations

from typing import Any

from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.http import guarded_get
from rollbackhub.executions.domain.context import StepContext, describe
from rollbackhub.routing.domain.gateways import list_live_gateways
from rollbackhub.routing.models import RoutingState
from rollbackhub.verification.specs import Probe

TIMEOUT_SECONDS = 5.0
MAX_BYTES = 1_000_000
MAX_SHOWN = 120


def gateways_now(context: StepContext) -> dict[str, Any]:
    """The gateways that were live when the execution was requested, or came since, and whether each serves by what was written last."""
    own = context.last_own_revision()
    wanted = own.routing_number if own else RoutingState.objects.values_list("number", flat=True).get(environment_id=context.execution.environment_id)
    gateways = list_live_gateways(environment_id=context.execution.environment_id, at=context.execution.created_at)
    return {
        "wanted": wanted,
        "gateways": {gateway.node_id: {"applied": gateway.applied_number, "acknowledged": gateway.applied_number >= wanted} for gateway in gateways},
    }


def ask_probe(check: Probe) -> dict[str, str]:
    """`version` that answered, or `error`: why that is not known."""
    try:
        answer = guarded_get(check.url, timeout_seconds=TIMEOUT_SECONDS, max_bytes=MAX_BYTES)
        if answer.status != 200:
            return {"error": f"HTTP {answer.status}"}
        if not check.field:
            found: Any = answer.headers.get(check.header.lower(), "")
        else:
            found = answer.json()
            for part in check.field.split("."):
                found = found.get(part) if isinstance(found, dict) else None
    except RollbackHubError as error:
        return {"error": describe(error)}
    if not isinstance(found, str | int) or isinstance(found, bool) or found == "":
        return {"error": f"the answer does not say {check.field or check.header}"}
    return {"version": str(found)[:MAX_SHOWN]}
