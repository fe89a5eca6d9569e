"""Exposure: the requests that the bad version served between detection and drain. Counted where it can be, else estimated, and said so."""

from __future__ import annotations

from dataclasses import dataclass

from rollbackhub.audit.actors import Actor
from rollbackhub.executions.models import Execution, Sample
from rollbackhub.rollbacks.domain.changes import note
from rollbackhub.rollbacks.models import Rollback


@dataclass(frozen=True, slots=True)
class PartExposure:
    """Requests of one alias: counted, estimated (None: cannot be told), and on what basis."""

    observed: int | None
    estimated: int | None
    basis: str


def reckon_exposure(rollback: Rollback, *, actor: Actor) -> None:
    """Reckon the exposure of all aliases of a locked rollback from what was kept, and write it down with its basis."""
    runs = [(part.policy.alias, part.execution) for part in rollback.parts.select_related("execution", "policy") if part.execution is not None]
    found = [(alias, exposure_of(execution, rollback=rollback)) for alias, execution in runs]
    observed = [exposure.observed for _, exposure in found if exposure.observed is not None]
    estimated = [exposure.estimated for _, exposure in found if exposure.estimated is not None]
    basis = " ".join(f"{alias}: {exposure.basis}" if len(found) > 1 else exposure.basis for alias, exposure in found)
    values = {
        "exposure_observed": sum(observed) if observed else None,
        "exposure_estimated": sum(estimated) if estimated else None,
        "exposure_basis": basis,
    }
    note(rollback=rollback, actor=actor, event="rollback.exposure_reckoned", data=dict(values), **values)


def exposure_of(execution: Execution, *, rollback: Rollback) -> PartExposure:
    """The exposure of one alias. Observed: growth of the gateways' counters from the first look to the drain.

    Estimated, from the detection to the first look: the alias's requests per second, as seen after the flip, times the weight that
    the bad version had. Two queries.
    """
    bad = execution.plan["bad_version"]
    counters = list(Sample.objects.filter(execution=execution, kind="counters").order_by("id"))
    moved_by = execution.plan.get("mechanism")
    counted_by = moved_by["connection"] if moved_by else "the gateways"
    if len(counters) < 2:
        why = f"nothing counts its requests where {counted_by} moves it" if moved_by and not counters else f"the counters of {counted_by} were not read twice"
        return PartExposure(None, None, f"Not known: {why}.")
    first, last = counters[0], counters[-1]
    observed, left_out = growth(first.value["per_gateway"], last.value["per_gateway"], bad)
    basis = f"{observed} request{'' if observed == 1 else 's'} counted by {counted_by} from {first.taken_at:%H:%M:%S} to {last.taken_at:%H:%M:%S} UTC"
    if left_out:
        basis += f" (without {', '.join(left_out)}: not read twice, or restarted)"
    if rollback.detected_at is None:
        return PartExposure(observed, None, f"{basis}. When it was detected is not given, so nothing before that is counted.")
    before = (first.taken_at - rollback.detected_at).total_seconds()
    rate = _requests_per_second(execution)
    if rate is None:
        return PartExposure(
            observed, None, f"{basis}. The {before:.0f} s from the detection until then cannot be estimated: no traffic was seen after the flip."
        )
    share = sum(entry["weight"] for entry in execution.plan["weights_before"] if entry["version_pin"] == bad)
    estimated = round(max(before, 0) * rate * share / 100)
    basis += f"; about {estimated} before, estimated: {before:.0f} s since the detection × {rate:.1f} requests/s (as seen after the flip) × {share} % weight."
    return PartExposure(observed, estimated, basis)


def growth(first: dict[str, dict[str, int]], last: dict[str, dict[str, int]], version: str) -> tuple[int, list[str]]:
    """How many requests the version got between two readings, and the gateways that cannot be counted. Pure."""
    total, left_out = 0, []
    for node_id in sorted(first.keys() | last.keys()):
        before, after = first.get(node_id, {}).get(version), last.get(node_id, {}).get(version)
        if before is None or after is None or after < before:
            left_out.append(node_id)
        else:
            total += after - before
    return total, left_out


def _requests_per_second(execution: Execution) -> float | None:
    """The alias's whole traffic per second, from the looks after the flip. None without two looks that saw any."""
    looks = list(Sample.objects.filter(execution=execution, kind="traffic").order_by("id").values_list("taken_at", "value"))
    if len(looks) < 2:
        return None
    seconds = (looks[-1][0] - looks[0][0]).total_seconds()
    total = sum(value["total"] for _, value in looks[1:])
    return total / seconds if seconds > 0 and total else None
