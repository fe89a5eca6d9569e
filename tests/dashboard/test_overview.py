"""Could we roll back right now? The overview and the bar of what runs."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.audit.actors import system_actor
from rollbackhub.common.clock import now
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.executions.models import Execution
from rollbackhub.readiness.domain.board import list_board, list_cards
from rollbackhub.readiness.domain.compute import compute_readiness
from rollbackhub.readiness.enums import ReadinessState
from rollbackhub.readiness.models import Readiness
from rollbackhub.registry.domain.holds import start_hold
from rollbackhub.registry.models import Artefact, Environment, Version
from rollbackhub.routing.models import RoutingPolicy
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World, make_drill
from tests.factories.executions import ExecutionFactory
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory
from tests.factories.readiness import PreflightRunFactory, ReadinessFactory
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
    client = client_of(cast.on_call)
    text = unescape(page(client, "/"))
    assert text.count("</svg> Not judged yet</span>") == 4, "one a card"
    assert "Nobody knows yet: the 3 live aliases are not judged yet." in text
    judged()
    RoutingPolicyFactory(alias="newest", environment=world.production)
    text = unescape(page(client, "/"))
    assert "1 more is not judged yet." in text
    assert 'class="answer tone-ok"' not in text
    only = page(client, "/?state=not_judged")
    assert '-newest"><a href' in only
    assert '-smart-reasoner"><a href' not in only


@pytest.mark.django_db
def test_board_all_ready_says_yes_and_a_risk_takes_the_green_away(cast: Cast, db: None) -> None:
    client = client_of(cast.auditor)
    ready = [ReadinessFactory(policy__alias=name, policy__environment__slug="production") for name in ("one", "two")]
    text = page(client, "/")
    assert "Yes: both live aliases can be rolled back." in text
    assert 'class="answer tone-ok"' in text
    Readiness.objects.filter(pk=ready[0].pk).update(state=ReadinessState.AT_RISK)
    text = page(client, "/")
    assert 'class="answer tone-warn"' in text
    Readiness.objects.update(state=ReadinessState.NOT_READY, rollbackable=False)
    text = page(client, "/")
    assert "No: none of the 2 live aliases is proven to roll back as it stands." in text
    assert 'class="answer tone-bad"' in text


@pytest.mark.django_db
def test_board_shows_25_at_a_time_and_keeps_the_filter_in_the_address(cast: Cast, db: None) -> None:
    client = client_of(cast.auditor)
    production = EnvironmentFactory(slug="production")
    for number in range(27):
        ReadinessFactory(policy=RoutingPolicyFactory(alias=f"many-{number:02}", environment=production), not_ready=True)
    first = unescape(page(client, "/?state=not_ready"))
    assert first.count('class="card alias-card"') == 25
    assert "state=not_ready&page=2" in first
    assert page(client, "/?state=not_ready&page=2").count('class="card alias-card"') == 2


@pytest.mark.django_db
def test_board_reason_is_text_and_further_reasons_are_behind_a_summary(cast: Cast, db: None) -> None:
    reasons = [
        {"code": "too_slow", "severity": "not_ready", "sentence": "<script>alert(1)</script>", "remedy": "Flip, do not deploy.", "url": "/drills/"},
        {"code": "docs_stale", "severity": "at_risk", "sentence": "The runbook has changed.", "remedy": "Read it.", "url": ""},
    ]
    ReadinessFactory(not_ready=True, reasons=reasons)
    text = page(client_of(cast.auditor), "/")
    assert "<script>alert(1)</script>" not in text
    assert '<a class="btn btn-sm" href="/drills/">Flip, do not deploy.' in text
    assert text.index("1 more reason") < text.index("The runbook has changed.")
    assert "Proof: never drilled" in text


@pytest.mark.django_db
def test_board_gateways_counted_against_the_revision_of_each_alias(db: None) -> None:
    staging = EnvironmentFactory()
    policy = RoutingPolicyFactory(alias="one", environment=staging)
    for node, applied, seen in (("a", 1, now()), ("b", 0, now()), ("silent", 1, now() - dt.timedelta(hours=1))):
        GatewayFactory(environment=staging, node_id=node, applied_number=applied, last_seen_at=seen)
    (card,) = list_cards(list(list_board()))
    assert card.drillable == policy
    assert (card.environments[0].gateways_live, card.environments[0].gateways_acknowledged) == (2, 1)
    assert card.environments[0].served_in_words == "1 of 2 gateways serve it"


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
    reasoner = next(card for card in list_cards(list(list_board())) if card.policy.alias == "smart-reasoner")
    holds = {row.policy.environment.slug: [hold.version.label for hold in row.holds] for row in reasoner.environments}
    assert holds == {"production": [BAD], "staging": []}, "holds do not apply in staging"


@pytest.mark.django_db
def test_board_alias_with_one_version_is_not_offered_a_rollback(cast: Cast, db: None) -> None:
    RoutingPolicyFactory(alias="alone", environment=EnvironmentFactory(slug="production"), revision=False)
    PolicyRevisionFactory(policy=RoutingPolicy.objects.get(alias="alone"), weights={GOOD: 100})
    assert "rollbacks/start/production" not in page(client_of(cast.on_call), "/")


@pytest.mark.django_db
def test_overview_person_who_may_not_drill_is_not_offered_it(cast: Cast, world: World) -> None:
    text = page(client_of(cast.auditor), "/")
    assert reverse("drills:start", args=["staging", "smart-reasoner"]) not in text
    assert reverse("rollbacks:start", args=["production"]) not in text


@pytest.mark.django_db
def test_overview_stranger_sees_nothing_of_the_board(cast: Cast, world: World) -> None:
    assert "smart-reasoner" not in page(client_of(cast.stranger), "/", status=403)


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
        ("?q=nothing", "", "smart-reasoner"),
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
def test_overview_says_which_filters_there_are_not_and_leaves_them_out(cast: Cast, world: World) -> None:
    judged()
    client = client_of(cast.on_call)
    text = unescape(page(client, "/?state=nonsense&reason=x&environment=moon&team=nobody&q=reasoner"))
    assert "The address filters by what there is not (state=nonsense, reason=x, environment=moon, team=nobody). That part was left out." in text
    assert '-smart-reasoner"><a href' in text
    assert '-support-reply"><a href' not in text
    for query in ("", "?state=not_judged", "?state=ready&team=&environment=staging&reason=too_slow"):
        assert "filters by what there is not" not in page(client, f"/{query}")


@pytest.mark.django_db
def test_overview_shows_the_time_of_the_run_that_is_the_proof_by_its_kind(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)

    def shown() -> str:
        judged()
        card = unescape(page(client, "/")).split('-smart-reasoner"><a href')[1].split("</article>")[0]
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", card))

    assert "Rollback time in the drill that proves it" in shown()
    assert f"{world.passed.rollback_seconds:.1f} s" in shown()
    # A later rehearsal of another path, of a release, fails: it is the last run, and not the proof.
    plan = {**world.passed.plan, "path": {**world.passed.plan["path"], "candidates": {"other": "v9"}}}
    rehearsal = {"kind": ExecutionKind.REHEARSAL, "policy": world.reasoner, "failed": True, "rollback_seconds": 44.4}
    ExecutionFactory(**rehearsal, plan=plan)
    text = shown()
    assert "Last rehearsal: failed" in text
    assert "Rollback time in the drill that proves it" in text
    assert "44 s" not in text
    # A rehearsal of the very path goes before.
    ExecutionFactory(**rehearsal, plan=world.passed.plan)
    text = shown()
    assert "Rollback time in the rehearsal that failed" in text
    assert "Proof: the last rehearsal failed" in text
    assert "44 s" in text
    ExecutionFactory(**{**rehearsal, "failed": False, "passed": True}, plan=world.passed.plan)
    assert "Rollback time in the rehearsal that proves it" in shown()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("states", "unjudged", "tone"),
    [
        ([], 0, "idle"),
        ([], 1, "warn"),
        (["ready", "ready"], 0, "ok"),
        (["ready", "at_risk"], 0, "warn"),
        (["ready"], 1, "warn"),
        (["ready", "not_ready"], 0, "bad"),
    ],
)
def test_share_has_the_same_tone_on_the_board_and_on_retention(states: list[str], unjudged: int, tone: str, cast: Cast) -> None:
    production = EnvironmentFactory(slug="production")
    for number, state in enumerate(states):
        ReadinessFactory(policy=RoutingPolicyFactory(alias=f"a{number}", environment=production), state=state, rollbackable=state != "not_ready")
    for number in range(unjudged):
        RoutingPolicyFactory(alias=f"new{number}", environment=production)
    client = client_of(cast.auditor)
    board, retention = (re.findall(r'class="answer tone-(\w+)"', page(client, address)) for address in ("/", "/registry/retention/"))
    assert retention == [tone]
    assert board == ([] if tone == "idle" else [tone]), "without an alias the board says what will fill it"


@pytest.mark.django_db
def test_alias_is_marked_where_an_incident_of_it_goes_on(cast: Cast, world: World) -> None:
    judged()
    policy = RoutingPolicy.objects.get(alias="smart-reasoner", environment=world.production)
    IncidentFactory(environment=world.production, aliases=[policy], closed=True, title="over")
    incident = IncidentFactory(environment=world.production, aliases=[policy], title="answers are empty", severity="sev1")
    text = page(client_of(cast.auditor), "/")
    assert text.count(">Incident: ") == 1
    link = f'href="{reverse("incidents:detail", args=[incident.pk])}">Incident: answers are empty</a>, SEV 1, open'
    assert link in text.split('aria-labelledby="alias-production-smart-reasoner"')[1].split("</article>")[0]


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
        IncidentFactory(environment=world.production, aliases=[policy])
    judged()
    assert count() == before
    assert before <= 35, "session, person, roles, the bar, share, incidents, states, history, environments, teams and the board's own with its proofs"


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
