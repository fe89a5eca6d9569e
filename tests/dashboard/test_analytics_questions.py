"""The real questions on their pages: with nothing to count, and with a world's runs."""

from __future__ import annotations

import csv
import io
import re
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rollbackhub.analytics.catalogue import QUESTIONS
from rollbackhub.analytics.domain.follow import follow_what_was_missed
from rollbackhub.analytics.models import RunFact
from rollbackhub.analytics.questions import QUESTIONS as MODULES
from rollbackhub.common.clock import now
from rollbackhub.readiness.domain.compute import compute_readiness
from rollbackhub.registry.models import Artefact
from rollbackhub.releases.enums import ReleaseState
from tests.dashboard.analytics_world import make_history
from tests.dashboard.people import client_of, page
from tests.dashboard.programme_world import make_programme
from tests.dashboard.world import World
from tests.factories.fixtures import Cast
from tests.factories.releases import ReleaseFactory

pytestmark = pytest.mark.django_db

SLUGS = [question.slug for question in QUESTIONS]
OF_THE_PAGE = 10
"""Queries that are not the answer's."""


@pytest.fixture
def history(cast: Cast, world: World) -> list[RunFact]:
    """A year of runs, what the world's own drills have caught, a programme, releases that went wrong, and readiness judged."""
    make_programme(world)
    for state in (ReleaseState.LIVE, ReleaseState.ROLLED_BACK):
        ReleaseFactory(state=state, started_at=now())
    compute_readiness()
    follow_what_was_missed()
    return make_history()


def test_catalogue_has_each_module_in_its_order() -> None:
    assert [slug.replace("-", "_") for slug in SLUGS] == list(MODULES)


@pytest.mark.parametrize("slug", SLUGS)
def test_question_without_anything_to_count_says_what_would_fill_it(slug: str, cast: Cast) -> None:
    html = page(client_of(cast.auditor), f"/analytics/{slug}/")
    assert "Nothing to count yet" in html
    assert "data-figure=" not in html
    assert "Nothing to count: " in page(client_of(cast.auditor), f"/analytics/{slug}/headline/")


@pytest.mark.parametrize("slug", SLUGS)
def test_question_with_runs_has_figures_with_their_tables_and_files(slug: str, cast: Cast, history: list[RunFact]) -> None:
    client = client_of(cast.auditor)
    html = unescape(page(client, f"/analytics/{slug}/?period=all"))
    headline = re.findall(r'<p class="answer-words">(.*?)</p>', html)
    assert headline
    assert headline[0]
    figures = re.findall(r'data-figure="([\w-]+)"', html)
    assert len(figures) == len(set(figures)) >= 1
    assert html.count("The same as a table") == len(figures), "each figure has the table of its numbers"
    files = re.findall(rf'href="(/analytics/{slug}/\d+\.csv\?period=all)"', html)
    assert len(files) >= len(figures)
    for address in files:
        rows = list(csv.reader(io.StringIO(client.get(address).content.decode("utf-8-sig"))))
        assert len(rows) > 1, address
        assert len({len(row) for row in rows}) == 1, address
    for link in set(re.findall(r'<th scope="row"><a href="([^"]+)"', html)):
        assert client.get(link).status_code == 200, link


@pytest.mark.parametrize("slug", SLUGS)
def test_question_takes_every_filter_together(slug: str, cast: Cast, history: list[RunFact]) -> None:
    artefact = Artefact.objects.get(slug="reasoner-model")
    query = f"?period=last_quarter&team={artefact.team.slug}&environment=staging&change_type=model&alias=smart-reasoner&lab=out"
    html = page(client_of(cast.auditor), f"/analytics/{slug}/{query}")
    assert "filters by what there is not" not in html


@pytest.mark.parametrize("slug", SLUGS)
def test_queries_of_a_question_do_not_grow_with_runs(slug: str, cast: Cast, history: list[RunFact]) -> None:
    client = client_of(cast.auditor)
    counts = []
    for _ in range(2):
        page(client, f"/analytics/{slug}/?period=all")
        with CaptureQueriesContext(connection) as queries:
            page(client, f"/analytics/{slug}/?period=all")
        counts.append(len(queries))
        make_history(runs=40)
    assert counts[0] == counts[1] <= OF_THE_PAGE + 20
