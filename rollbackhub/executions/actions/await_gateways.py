"""Wait until every live gateway says that it has applied what was written."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.routing.domain.gateways import list_live_gateways, not_acknowledged
from rollbackhub.routing.models import Gateway, PolicyRevision


class AwaitGatewaysParams(Params):
    """How long to wait for the last gateway, in seconds."""

    limit_seconds: float = Field(default=30, gt=0, le=3600)
    interval_seconds: float = Field(default=0.1, gt=0, le=60)


class AwaitGateways(Action):
    """Reads what gateways reported; those that were live when the execution was requested must all follow, or are listed by name."""

    name = "await_gateways"
    promise = Promise.READ_ONLY
    params_type = AwaitGatewaysParams

    def run(self, context: StepContext, params: AwaitGatewaysParams) -> StepOutcome:
        """Passed when all have acknowledged; `at` is when the last one did."""
        context.in_the_middle()
        revision = context.last_own_revision()
        if revision is None:
            return StepOutcome(Verdict.PASSED, "No gateway had to take anything: the weights were not changed.")
        wanted = revision.routing_number
        known = self._known(context)
        while not known:
            # The hub may have been down as a whole: gateways ask again when they find it.
            if context.seconds_left(params.limit_seconds) <= 0:
                return _nobody(context)
            context.pause(params.interval_seconds)
            known = self._known(context)
        kept: dict[str, Any] | None = None
        while True:
            gateways = list(Gateway.objects.filter(pk__in=known).order_by("node_id"))
            lagging = not_acknowledged(gateways, routing_number=wanted)
            value = _sample_of(gateways, wanted)
            if value != kept:
                kept = value
                context.keep_sample(kind="gateways", source="discovery requests", value=value)
            if not lagging:
                return _all_applied(gateways, revision)
            refusing = [gateway for gateway in lagging if gateway.refused_number is not None and gateway.refused_number >= wanted]
            if refusing:
                return _refused(refusing, wanted)
            if context.seconds_left(params.limit_seconds) <= 0:
                return _too_late(gateways, lagging, wanted, params.limit_seconds)
            context.pause(params.interval_seconds)

    @staticmethod
    def _known(context: StepContext) -> list[int]:
        """The gateways that were live when the execution was requested, or came since: none of them is forgotten because it is silent now."""
        return [gateway.pk for gateway in list_live_gateways(environment_id=context.execution.environment_id, at=context.execution.created_at)]


def _all_applied(gateways: list[Gateway], revision: PolicyRevision) -> StepOutcome:
    last = max(max(gateway.applied_at for gateway in gateways if gateway.applied_at), revision.created_at)
    message = f"{len(gateways)} of {len(gateways)} live gateways serve by routing state {revision.routing_number}."
    return StepOutcome(Verdict.PASSED, message, at=last, result={"gateways": [gateway.node_id for gateway in gateways]})


def _nobody(context: StepContext) -> StepOutcome:
    environment = context.plan["environment"]
    finding = FindingDraft(
        FindingCode.UNREACHABLE,
        f"gateways of {environment}",
        "at least one gateway that has asked for routes lately",
        "none",
        "Start the gateways, or check their address of the hub.",
    )
    return StepOutcome(Verdict.FAILED, f"No gateway of {environment} has asked for routes lately, so nobody took the change.", findings=(finding,))


def _refused(refusing: list[Gateway], wanted: int) -> StepOutcome:
    findings = tuple(
        FindingDraft(
            FindingCode.CONFIG_MISMATCH,
            f"gateway {gateway.node_id}",
            f"routing state {wanted} applied",
            f"refused: {gateway.refusal}",
            "Mend the gateway's configuration (often a cluster that it does not have).",
        )
        for gateway in refusing
    )
    names = [gateway.node_id for gateway in refusing]
    return StepOutcome(Verdict.FAILED, f"Refused by {', '.join(names)}: {refusing[0].refusal}", findings=findings, result={"lagging": names, "wanted": wanted})


def _too_late(gateways: list[Gateway], lagging: list[Gateway], wanted: int, limit_seconds: float) -> StepOutcome:
    findings = tuple(
        FindingDraft(
            FindingCode.NOT_RESTORED,
            f"gateway {gateway.node_id}",
            f"routing state {wanted} applied within {limit_seconds:g} s",
            f"still at {gateway.applied_number}, last seen {gateway.last_seen_at:%H:%M:%S} UTC",
            "See whether the gateway runs and reaches the hub; until then it serves the old weights.",
        )
        for gateway in lagging
    )
    names = ", ".join(gateway.node_id for gateway in lagging)
    return StepOutcome(
        Verdict.FAILED,
        f"{len(lagging)} of {len(gateways)} gateways did not acknowledge within {limit_seconds:g} s: {names}.",
        findings=findings,
        result={"lagging": [gateway.node_id for gateway in lagging], "wanted": wanted},
    )


def _sample_of(gateways: list[Gateway], wanted: int) -> dict[str, Any]:
    return {
        "wanted": wanted,
        "gateways": {gateway.node_id: {"applied": gateway.applied_number, "acknowledged": gateway.applied_number >= wanted} for gateway in gateways},
    }
