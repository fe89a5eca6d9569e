"""Could we roll back right now? The overview and the bar of what runs."""

from __future__ import annotations

import datetime as dt
from html import unescape
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.audit.actors import system_actor
from rollbackhub.common.clock import now
from rollbackhub.executions.models import Execution
from rollbackhub.readiness.domain.board import list_board, list_cards
from rollbackhub.readiness.domain.compute import compute_readiness
from rollbackhub.readiness.enums import ReadinessState
from rollbackhub.registry.domain.holds import start_hold
from rollbackhub.registry.models import Artefact, Environment, Version
from rollbackhub.routing.models import RoutingPolicy
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World, make_drill
from tests.factories.fixtures import Cast
from tests.factories.readiness import PreflightRunFactory
from tests.factories.registry import EnvironmentFactory
from tests.factories.routing import BAD, GOOD, GatewayFactory, PolicyRevisionFactory, RoutingPolicyFactory


def judged() -> None:
    """As the housekeeper leaves it."""
    compute_readiness()


@pytest.mark.django_db
def test_board_production_by_urgency_then_what_lives_in_staging_alone(world: World) -> None:
    judged()
    cards = list_cards(list(list_board()))
    assert [(card.policy.alias, card.policy.environment.slug) for card in cards][-1] == ("batch-summariser", "staging")
    states = [card.readiness.state for card in cards[:-1] if card.readiness]
    assert states == sorted(states, key=[str(state) for state in ReadinessState].index)
    assert {card.policy.alias for card in cards[:-1]} == {"smart-reasoner", "support-reply", "legacy-classifier"}
    reasoner = next(card for card in cards if card.policy.alias == "smart-reasoner")
    assert [row.policy.environment.slug for row in reasoner.environments] == ["production", "staging"]
    assert reasoner.last == world.passed, "the newest drill that finished, not the one that was stopped"
    assert reasoner.drillable == world.reasoner


@pytest.mark.django_db
def test_board_alias_that_was_made_a_moment_ago_says_that_it_is_not_judged(cast: Cast, world: World) -> None:
    assert unescape(page(client_of(cast.on_call), "/")).count("Not judged yet") == 4


@pytest.mark.django_db
def test_board_gateways_counted_against_the_revision_of_each_alias(db: None) -> None:
    staging = EnvironmentFactory()
    policy = RoutingPolicyFactory(alias="one", environment=staging)
    for node, applied, seen in (("a", 1, now()), ("b", 0, now()), ("silent", 1, now() - dt.timedelta(hours=1))):
        GatewayFactory(environment=staging, node_id=node, applied_number=applied, last_seen_at=seen)
    (card,) = list_cards(list(list_board()))
    assert card.drillable == policy
    assert (card.environments[0].gateways_live, card.environments[0].gateways_acknowledged) == (2, 1)
    assert card.environments[0].gateways_in_words == "1 of 2 gateways serve it"


@pytest.mark.django_db
def test_board_says_the_share_the_reason_the_remedy_and_the_next_action(cast: Cast, world: World) -> None:
    PreflightRunFactory(environment=world.production)
    judged()
    text = unescape(page(client_of(cast.on_call), "/"))
    assert "Only 1 of 3 live aliases can be rolled back." in text
    for words in ("Not ready", "Ready", "Never drilled: nobody knows whether the way back works.", "1.9 s</strong> of 10 min", "1 of 2 gateways serve it"):
        assert words in text, words
    assert reverse("drills:start", args=["staging", "smart-reasoner"]) in text
    assert reverse("drills:detail", args=[world.running.pk]) in text
    assert "It stands in no staging environment" in text
    assert f"{reverse('rollbacks:start', args=['production'])}?alias=smart-reasoner" in text


@pytest.mark.django_db
def test_board_version_under_hold_is_named(cast: Cast, world: World) -> None:
    version = Version.objects.get(artefact=world.reasoner.artefact, label=BAD)
    start_hold(version=version, rollback_id=uuid4(), actor=system_actor("test"))
    assert f"{BAD} is under a stability hold until" in unescape(page(client_of(cast.on_call), "/"))


@pytest.mark.django_db
def test_board_alias_with_one_version_is_not_offered_a_rollback(cast: Cast, db: None) -> None:
    RoutingPolicyFactory(alias="alone", environment=EnvironmentFactory(slug="production"), revision=False)
    PolicyRevisionFactory(policy=RoutingPolicy.objects.get(alias="alone"), weights={GOOD: 100})
    assert "rollbacks/start/production" not in page(client_of(cast.on_call), "/")


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
        ("?state=ready", "smart-reasoner", "legacy-classifier"),
        ("?reason=never_drilled", "legacy-classifier", "smart-reasoner"),
        ("?environment=staging", "batch-summariser", "legacy-classifier"),
        ("?team=nobody", "", "smart-reasoner"),
        ("?page=999&q=legacy", "legacy-classifier", "smart-reasoner"),
    ],
)
def test_overview_filter_in_the_address_shows_what_it_says(query: str, shown: str, hidden: str, cast: Cast, world: World) -> None:
    PreflightRunFactory(environment=world.production)
    judged()
    text = page(client_of(cast.on_call), f"/{query}")
    assert f'-{shown}"><a href' in text if shown else "No alias matches" in text
    assert f'-{hidden}"><a href' not in text


@pytest.mark.django_db
def test_overview_number_of_queries_does_not_grow_with_aliases_and_drills(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    judged()
    page(client, "/")

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            page(client, "/")
        return len(queries)

    before = count()
    for number in range(12):
        policy = RoutingPolicyFactory(alias=f"more-{number}", environment=world.production)
        make_drill(policy, ago=dt.timedelta(hours=number + 1))
    judged()
    assert count() == before
    assert before <= 26, "session, person, roles, the bar, share, states, history, environments, teams and the board's own"


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
