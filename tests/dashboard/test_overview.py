"""Could we roll back right now? The overview and the bar of what runs."""

from __future__ import annotations

import datetime as dt
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from drills.domain.overview import count_states, list_alias_rows, list_standings
from drills.enums import AliasState
from rollbackhub.common.clock import now
from rollbackhub.executions.models import Execution
from rollbackhub.registry.enums import Stakes
from rollbackhub.registry.models import Artefact, Environment
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World, make_drill
from tests.factories.fixtures import Cast
from tests.factories.registry import EnvironmentFactory
from tests.factories.routing import GatewayFactory, RoutingPolicyFactory


@pytest.mark.django_db
def test_standings_world_most_urgent_first(world: World) -> None:
    standings = list_standings()
    assert [(standing.alias, standing.state) for standing in standings] == [
        ("batch-summariser", AliasState.NEEDS_PERSON),
        ("legacy-classifier", AliasState.MISSING),
        ("support-reply", AliasState.RUNNING),
        ("smart-reasoner", AliasState.PASSED),
    ]
    assert count_states(standings)[AliasState.PASSED] == 1
    assert standings[3].last_drill_id == world.passed.pk, "the newest drill that finished, not the one that was stopped"


@pytest.mark.django_db
@pytest.mark.parametrize(("stakes", "state"), [(Stakes.HIGH, AliasState.OVERDUE), (Stakes.STANDARD, AliasState.PASSED)])
def test_standings_passed_drill_of_40_days_ago_is_overdue_for_high_stakes(stakes: Stakes, state: AliasState, db: None) -> None:
    policy = RoutingPolicyFactory(alias="old")
    Artefact.objects.filter(pk=policy.artefact_id).update(stakes=stakes)
    make_drill(policy, ago=dt.timedelta(days=40))
    assert [standing.state for standing in list_standings()] == [state]


@pytest.mark.django_db
def test_standings_two_staging_environments_the_worse_counts(db: None) -> None:
    good = RoutingPolicyFactory(alias="shared", environment=EnvironmentFactory(slug="staging"))
    bad = RoutingPolicyFactory(alias="shared", environment=EnvironmentFactory(slug="staging-eu"))
    make_drill(good, ago=dt.timedelta(hours=1))
    make_drill(bad, ago=dt.timedelta(hours=1), verdict="failed")
    assert [standing.state for standing in list_standings()] == [AliasState.FAILED]


@pytest.mark.django_db
def test_rows_gateways_counted_against_the_revision_of_each_alias(db: None) -> None:
    staging = EnvironmentFactory()
    policy = RoutingPolicyFactory(alias="one", environment=staging)
    for node, applied, seen in (("a", 1, now()), ("b", 0, now()), ("silent", 1, now() - dt.timedelta(hours=1))):
        GatewayFactory(environment=staging, node_id=node, applied_number=applied, last_seen_at=seen)
    (row,) = list_alias_rows(list_standings())
    assert row.drillable == policy
    assert (row.environments[0].gateways_live, row.environments[0].gateways_acknowledged) == (2, 1)
    assert row.environments[0].gateways_in_words == "1 of 2 gateways serve it"


@pytest.mark.django_db
def test_overview_world_says_state_time_and_next_action(cast: Cast, world: World) -> None:
    text = unescape(page(client_of(cast.on_call), "/"))
    assert "Only 1 of 4 aliases passed its last drill in time." in text
    for words in ("Last drill passed", "Never drilled", "Drill running", "Drill needs a person", "1.9 s</strong> of 10 min", "1 of 2 gateways serve it"):
        assert words in text, words
    assert reverse("drills:start", args=["staging", "smart-reasoner"]) in text
    assert reverse("drills:detail", args=[world.running.pk]) in text
    assert "It stands in no staging environment" in text


@pytest.mark.django_db
def test_overview_person_who_may_not_drill_is_not_offered_it(cast: Cast, world: World) -> None:
    assert reverse("drills:start", args=["staging", "smart-reasoner"]) not in page(client_of(cast.auditor), "/")


@pytest.mark.django_db
def test_overview_lab_data_is_marked(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    assert "Lab data" not in page(client, "/")
    Artefact.objects.update(is_lab=True)
    Environment.objects.update(is_lab=True)
    Execution.objects.update(is_lab=True)
    for address in (
        "/",
        reverse("drills:list"),
        reverse("drills:detail", args=[world.passed.pk]),
        reverse("routing:list"),
        reverse("registry:list"),
        reverse("registry:environments"),
    ):
        assert "ab data" in page(client, address), address


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "shown", "hidden"),
    [
        ("?q=reason", "smart-reasoner", "support-reply"),
        ("?state=missing", "legacy-classifier", "support-reply"),
        ("?environment=staging", "batch-summariser", "legacy-classifier"),
        ("?page=999&q=legacy", "legacy-classifier", "smart-reasoner"),
    ],
)
def test_overview_filter_in_the_address_shows_what_it_says(query: str, shown: str, hidden: str, cast: Cast, world: World) -> None:
    text = page(client_of(cast.on_call), f"/{query}")
    assert f'id="alias-{shown}"' in text
    assert f'id="alias-{hidden}"' not in text


@pytest.mark.django_db
def test_overview_number_of_queries_does_not_grow_with_aliases_and_drills(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    page(client, "/")

    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            page(client, "/")
        return len(queries)

    before = count()
    for number in range(12):
        policy = RoutingPolicyFactory(alias=f"more-{number}", environment=world.staging)
        make_drill(policy, ago=dt.timedelta(hours=number + 1))
    assert count() == before
    assert before <= 16, "session, person, roles, the bar's three, environments and the overview's own seven"


@pytest.mark.django_db
def test_running_bar_lists_what_runs_on_every_page(cast: Cast, world: World) -> None:
    client = client_of(cast.auditor)
    for address in ("/", reverse("drills:list"), reverse("audit:list"), reverse("dashboard:account")):
        text = page(client, address)
        assert 'id="running"' in text
        assert "Drill of support-reply in staging: running" in text
        assert "Drill of batch-summariser in staging: needs a person" in text


@pytest.mark.django_db
def test_running_bar_polled_while_nothing_changed_answers_204(cast: Cast, world: World) -> None:
    client = client_of(cast.auditor)
    text = client.get(reverse("dashboard:running")).content.decode()
    seen = text.split("?seen=")[1].split('"')[0]
    assert client.get(reverse("dashboard:running") + f"?seen={seen}").status_code == 204
    Execution.objects.filter(pk=world.running.pk).update(state="cleaning_up")
    changed = client.get(reverse("dashboard:running") + f"?seen={seen}")
    assert changed.status_code == 200
    assert "putting things back" in changed.content.decode()
    assert changed.headers["HX-Trigger"] == "hubRunning"
