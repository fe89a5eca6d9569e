"""From percents of candidates to HAProxy's weights of servers (whole numbers from 0 to 256)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rollbackhub.connectors.haproxy.settings import HaproxyTarget
from rollbackhub.connectors.mechanism import Problem, ProblemCode, ProblemFound, Share

MOST = 256


def weights_of(target: HaproxyTarget, shares: Sequence[Share]) -> dict[str, int]:
    """The weight of each server of the target. Raises ProblemFound when a candidate that gets weight has no servers there.

    The candidate's percent is shared by its servers. Plain where that gives whole numbers: 90 and 10 for one server each, 45, 45 and 10
    for two and one. Else the weights up to 256 that come nearest to the percents; the servers of one candidate then differ by at most 1,
    and each has at least 1. A candidate without weight always has 0.
    """
    percents = {share.candidate_id: share.weight for share in shares if share.weight > 0}
    for candidate in percents:
        if candidate not in target.servers:
            remedy = "Add its servers to the target."
            raise ProblemFound(Problem(ProblemCode.CONFIG_MISMATCH, f"candidate {candidate}", f"servers in {target.backend}", "none in the target", remedy))
    counts = {candidate: len(target.servers[candidate]) for candidate in percents}
    totals = percents if all(_is_plain(percents[name], counts[name]) for name in percents) else _nearest(percents, counts)
    weights: dict[str, int] = {}
    for candidate, names in target.servers.items():
        each, more = divmod(totals.get(candidate, 0), len(names))
        weights |= {name: each + (position < more) for position, name in enumerate(names)}
    return weights


def same_ratio(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    """Whether two sets of weights of the same servers share the traffic alike: 1 and 0 do what 100 and 0 do."""
    sums = sum(one.values()), sum(other.values())
    return one.keys() == other.keys() and all(sums) and all(weight * sums[1] == other[name] * sums[0] for name, weight in one.items())


def _is_plain(percent: int, servers: int) -> bool:
    return percent % servers == 0 and percent // servers <= MOST


def _nearest(percents: Mapping[str, int], counts: Mapping[str, int]) -> dict[str, int]:
    """Whole totals by candidate that come nearest to the percents: every scale is tried whose largest server has 1 to 256."""
    largest = max(percents, key=lambda name: percents[name] / counts[name])
    best: tuple[float, dict[str, int]] | None = None
    for weight in range(1, MOST + 1):
        scale = weight * counts[largest] / percents[largest]
        totals = {name: max(counts[name], round(percent * scale)) for name, percent in percents.items()}
        whole, wanted = sum(totals.values()), sum(percents.values())
        error = max(abs(totals[name] / whole - percent / wanted) for name, percent in percents.items())
        if best is None or error < best[0] - 1e-12:
            best = error, totals
    assert best is not None
    return best[1]
