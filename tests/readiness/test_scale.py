"""The board and judging everything take as many queries for 2,000 aliases of 5 versions as for 20."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rollbackhub.readiness.domain.compute import compute_readiness
from rollbackhub.readiness.models import Readiness
from tests.dashboard.people import client_of, page
from tests.factories.fixtures import Cast
from tests.factories.registry import EnvironmentFactory
from tests.readiness.fleet import make_fleet, prove

BOARD_QUERIES = 33
JUDGING_QUERIES = 21
"""For each thousand aliases."""


@pytest.mark.slow
def test_board_and_judging_do_not_grow_with_the_aliases(cast: Cast, db: None) -> None:
    production = EnvironmentFactory(slug="production")
    client = client_of(cast.lead)
    counts = []
    for begin, end in ((0, 20), (20, 1000), (1000, 2000)):
        prove(make_fleet(end - begin, environment=production, begin=begin))
        with CaptureQueriesContext(connection) as judging:
            compute_readiness()
        assert Readiness.objects.count() == end
        page(client, "/")
        with CaptureQueriesContext(connection) as board:
            text = page(client, "/")
        assert text.count('class="card alias-card"') == min(end, 25)
        counts.append((len(judging), len(board)))
    assert counts[0][1] == counts[1][1] == counts[2][1] <= BOARD_QUERIES, counts
    assert counts[1][0] <= JUDGING_QUERIES, counts
    assert counts[2][0] <= 2 * JUDGING_QUERIES, counts
