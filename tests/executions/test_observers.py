"""Counters of gateways: a restart or a first look proves nothing, a cluster born between two looks counts."""

from __future__ import annotations

from rollbackhub.connectors.envoy import ClusterCounters
from rollbackhub.executions.domain.observers import growth_of


def counters(**requests: int) -> dict[str, ClusterCounters]:
    return {cluster: ClusterCounters(requests=count, active=0) for cluster, count in requests.items()}


def test_growth_of_a_first_look_is_not_known() -> None:
    assert growth_of(None, counters(a=5)) is None


def test_growth_is_the_difference() -> None:
    assert growth_of(counters(a=5, b=7), counters(a=9, b=7)) == {"a": 4, "b": 0}


def test_growth_after_a_restart_is_not_known() -> None:
    assert growth_of(counters(a=5, b=7), counters(a=0, b=9)) is None


def test_growth_when_a_cluster_is_gone_is_not_known() -> None:
    assert growth_of(counters(a=5, b=7), counters(a=6)) is None


def test_growth_of_a_cluster_born_in_between_counts_from_zero() -> None:
    assert growth_of(counters(a=5), counters(a=6, b=3)) == {"a": 1, "b": 3}
