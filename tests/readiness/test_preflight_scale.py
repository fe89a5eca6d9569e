"""The preflight of an environment takes the same number of queries however many aliases it has."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rollbackhub.readiness.domain.preflight import claim_run, make_runs, run_preflight
from rollbackhub.readiness.models import PreflightFinding
from rollbackhub.registry.models import Environment
from tests.readiness.fake_systems import Systems
from tests.readiness.fleet import make_fleet

QUERIES_CALM = 22
QUERIES_FINDING = 36


def queries_of_a_run(environment: Environment) -> int:
    make_runs()
    with CaptureQueriesContext(
        connection,
    ) as captured:
        claim = claim_run(environment_id=environment.pk)
        assert claim is not None
        assert run_preflight(claim)
    return len(captured)


def test_queries_do_not_grow_with_the_aliases(systems: Systems, environment: Environment) -> None:
    counts = []
    for begin, end in ((0, 20), (20, 200)):
        make_fleet(end - begin, environment=environment, begin=begin)
        systems.connect(environment, "gateway-1", "gateway-2")
        calm = queries_of_a_run(environment)
        assert PreflightFinding.objects.filter(closed_at=None).count() == 0
        for alias in systems.routes["gateway-1"].values():
            for index, candidate in enumerate(alias):
                alias[candidate] = 100 if index == 0 else 0
        opening = queries_of_a_run(environment)
        assert PreflightFinding.objects.filter(closed_at=None).count() == end
        again = queries_of_a_run(environment)
        systems.follow(environment, "gateway-1", "gateway-2")
        closing = queries_of_a_run(environment)
        assert PreflightFinding.objects.filter(closed_at=None).count() == 0
        counts.append((calm, opening, again, closing))
    assert counts[0] == counts[1]
    assert counts[0][0] <= QUERIES_CALM, counts
    assert max(counts[0]) <= QUERIES_FINDING, counts


@pytest.mark.slow
def test_two_thousand_aliases_take_no_more_queries(systems: Systems, environment: Environment) -> None:
    make_fleet(2000, environment=environment)
    systems.connect(environment, "gateway-1")
    assert queries_of_a_run(environment) <= QUERIES_CALM
    assert PreflightFinding.objects.count() == 0
