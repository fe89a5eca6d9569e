"""Exposure: the requests that the bad version served between detection and drain. Counted where it can be, else estimated, and said so."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from rollbackhub.audit.actors import Actor
from rollbackhub.connectors.prometheus import PrometheusConnector
from rollbackhub.executions.domain.observers import totals_of
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
    """The exposure of one alias. Observed, from the first look to the drain: growth of the gateways' counters, or of the callers' metrics when
    those show more (sessions that stick to a version pass gateways by). The two count the same requests, so they are never added.

    Estimated, from the detection to the first look: the alias's requests per second, as seen after the flip, times the weight that
    the bad version had. Three queries.
    """
    bad = execution.plan["bad_version"]
    counters = list(Sample.objects.filter(execution=execution, kind="counters").order_by("id"))
    moved_by = execution.plan.get("mechanism")
    counted_by = moved_by["connection"] if moved_by else "the gateways"
    routed = _routed(counters, bad, by=counted_by) if len(counters) >= 2 else None
    served = _served(execution, bad, after=counters[0].taken_at if counters else None)
    if routed is None and served is None:
        why = f"nothing counts its requests where {counted_by} moves it" if moved_by and not counters else f"the counters of {counted_by} were not read twice"
        return PartExposure(None, None, f"Not known: {why}.")
    larger, other = (served, routed) if served is not None and (routed is None or served.requests > routed.requests) else (routed, served)
    assert larger is not None
    observed, first_at, basis = larger.requests, larger.first_at, larger.in_words
    if other is not None:
        basis += f"; {other.by} counted {other.requests}" + (
            " (sessions that stick to it go past them, and a request under way counts later)" if other is routed else ""
        )
    elif PrometheusConnector.name in execution.plan["connections"] and larger is routed:
        basis += "; the callers' metrics were not read twice"
    elif larger is served:
        basis += f"; the counters of {counted_by} were not read twice"
    if rollback.detected_at is None:
        return PartExposure(observed, None, f"{basis}. When it was detected is not given, so nothing before that is counted.")
    before = (first_at - rollback.detected_at).total_seconds()
    rate = _requests_per_second(execution)
    if rate is None:
        return PartExposure(
            observed, None, f"{basis}. The {before:.0f} s from the detection until then cannot be estimated: no traffic was seen after the flip."
        )
    share = sum(entry["weight"] for entry in execution.plan["weights_before"] if entry["version_pin"] == bad)
    estimated = round(max(before, 0) * rate * share / 100)
    basis += f"; about {estimated} before, estimated: {before:.0f} s since the detection × {rate:.1f} requests/s (as seen after the flip) × {share} % weight."
    return PartExposure(observed, estimated, basis)


@dataclass(frozen=True, slots=True)
class _Counted:
    """Requests of the bad version, by one that counts them."""

    by: str
    requests: int
    first_at: dt.datetime
    last_at: dt.datetime
    without: str = ""

    @property
    def in_words(self) -> str:
        """`98 requests counted by the callers' metrics from 14:03:00 to 14:04:02 UTC`."""
        plural = "" if self.requests == 1 else "s"
        return f"{self.requests} request{plural} counted by {self.by} from {self.first_at:%H:%M:%S} to {self.last_at:%H:%M:%S} UTC{self.without}"


def _routed(counters: list[Sample], bad: str, *, by: str) -> _Counted:
    first, last = counters[0], counters[-1]
    requests, left_out = growth(first.value["per_gateway"], last.value["per_gateway"], bad)
    without = f" (without {', '.join(left_out)}: not read twice, or restarted)" if left_out else ""
    return _Counted(by, requests, first.taken_at, last.taken_at, without)


def _served(execution: Execution, bad: str, *, after: dt.datetime | None) -> _Counted | None:
    """By the callers' metrics, over what was read since the counters were read first; None when they were not read twice. One query."""
    samples = Sample.objects.filter(execution=execution, kind="metrics", **({"taken_at__gte": after} if after else {})).order_by("id")
    read = [(sample.taken_at, totals[bad].requests if bad in totals else None) for sample in samples.iterator() if (totals := totals_of(sample))]
    if len(read) < 2:
        return None
    return _Counted("the callers' metrics", round(growth_of_counter([count for _, count in read])), read[0][0], read[-1][0])


def growth_of_counter(readings: Sequence[float | None]) -> float:
    """How much a counter grew over its readings: one that started anew counts from 0, one that is missing goes on where it was. Pure.

    One that is not there at first is born later: all of it is new.
    """
    grown = 0.0
    before = (readings[0] or 0.0) if readings else 0.0
    for count in readings[1:]:
        if count is not None:
            grown += count - before if count >= before else count
            before = count
    return grown


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
