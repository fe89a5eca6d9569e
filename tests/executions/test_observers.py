"""Counters of gateways: a restart or a first look proves nothing, a cluster born between two looks counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from rollbackhub.common import clock
from rollbackhub.connectors.envoy import ClusterCounters
from rollbackhub.executions.domain import observers
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.observers import ServedObserver, growth_of
from rollbackhub.executions.models import Sample
from rollbackhub.verification.evidence import Totals


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


class Kept:
    """Keeps samples in a list."""

    def __init__(self) -> None:
        self.plan: dict[str, Any] = {"environment": "production", "alias": "a", "connections": {}, "weights_before": []}
        self.values: list[dict[str, Any]] = []

    def connector(self, name: str) -> None:
        """None: what is observed is handed in."""

    def keep_sample(self, *, kind: str, source: str, value: dict[str, Any]) -> Sample:
        self.values.append(value)
        return Sample(kind=kind, source=source, taken_at=clock.now(), value=value)


def served(monkeypatch: pytest.MonkeyPatch, *looks: dict[str, int] | None) -> ServedObserver:
    found: Iterator[dict[str, int] | None] = iter(looks)

    def look(self: object) -> dict[str, Totals] | None:
        counted = next(found)
        return None if counted is None else {version: Totals(requests=count) for version, count in counted.items()}

    monkeypatch.setattr(observers.MetricsObserver, "look", look)
    return ServedObserver(cast(StepContext, Kept()))


def test_served_versions_are_the_growth_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    observer = served(monkeypatch, {"bad": 5, "good": 10}, {"bad": 7, "good": 14, "fix": 3})
    assert observer.look() is None
    sample = observer.look()
    assert sample is not None
    assert (dict(sample.requests), sample.complete) == ({"bad": 2, "good": 4, "fix": 3}, True)


def test_served_versions_after_a_restart_of_the_source_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    observer = served(monkeypatch, {"good": 10}, {"good": 1})
    observer.look()
    sample = observer.look()
    assert sample is not None
    assert not sample.complete


def test_served_versions_without_an_answer_start_anew_and_name_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    observer = served(monkeypatch, {"good": 10}, None, {"good": 30})
    assert [observer.look() for _ in range(2)] == [None, None]
    assert len(observer.errors) == 1
    assert observer.look() is None, "what happened meanwhile is not one interval"
