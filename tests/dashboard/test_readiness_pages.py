"""One alias's readiness in full, and the five mistakes, each found in real rows and absent without them."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import system_actor
from rollbackhub.common.clock import now
from rollbackhub.executions.domain.procedures import append_procedure_version
from rollbackhub.executions.models import Execution, Procedure
from rollbackhub.readiness.domain.compute import compute_readiness
from rollbackhub.readiness.domain.mistakes import list_mistakes
from rollbackhub.readiness.enums import ReadinessState, ReasonCode
from rollbackhub.readiness.models import Readiness
from rollbackhub.registry.models import Connection, Version
from rollbackhub.rollbacks.models import AuthorityRule
from rollbackhub.routing.models import RoutingPolicy
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World, make_drill
from tests.factories.executions import FindingFactory
from tests.factories.fixtures import Cast
from tests.factories.readiness import PreflightFindingFactory, PreflightRunFactory
from tests.factories.registry import ArtefactFactory
from tests.factories.routing import GOOD, PolicyRevisionFactory, RoutingPolicyFactory

pytestmark = pytest.mark.django_db
ADDRESS = "/readiness/production/smart-reasoner/"
MISTAKES = "/readiness/mistakes/"


def offenders(code: str) -> set[str]:
    """Who makes this mistake."""
    found, _ = list_mistakes()
    return {offender.policy.alias for mistake in found if mistake.code == code for offender in mistake.offenders}


def test_ready_alias_says_yes_and_by_what_run_it_is_known(cast: Cast, world: World) -> None:
    PreflightRunFactory(environment=world.production)
    text = unescape(page(client_of(cast.auditor), ADDRESS))
    assert "Yes: nothing speaks against it." in text
    assert reverse("drills:detail", args=[world.passed.pk]) in text
    assert GOOD in text
    assert "Everything is where a rollback needs it" in text


def test_alias_that_changed_since_shows_old_and_new(cast: Cast, world: World) -> None:
    Version.objects.filter(label=GOOD, artefact=world.reasoner.artefact).update(digest="sha256:other")
    text = unescape(page(client_of(cast.on_call), ADDRESS))
    assert "Perhaps: nobody can say that it still works." in text
    assert "sha256:other" in text
    assert "Changed since it was proven" in text


def test_alias_never_drilled_says_no_and_what_to_do(cast: Cast, world: World) -> None:
    text = unescape(page(client_of(cast.on_call), "/readiness/production/legacy-classifier/"))
    assert ">No.</p>" in text
    assert "Never drilled" in text
    assert "Add the alias to a staging environment, and drill it there." in text


def test_findings_open_and_mended_are_told_apart(cast: Cast, world: World) -> None:
    policy = RoutingPolicy.objects.get(alias="smart-reasoner", environment=world.production)
    PreflightFindingFactory(policy=policy, subject="gateway alpha")
    PreflightFindingFactory(policy=policy, subject="gateway beta", closed_at=now() - dt.timedelta(days=2))
    PreflightFindingFactory(policy=policy, subject="gateway gamma", closed_at=now() - dt.timedelta(days=40))
    text = page(client_of(cast.on_call), ADDRESS)
    assert text.index("gateway alpha") < text.index("gateway beta")
    assert "gateway gamma" not in text, "mended too long ago"
    assert 'id="findings"' in text


def test_codes_are_said_in_words(cast: Cast, world: World) -> None:
    policy = RoutingPolicy.objects.get(alias="smart-reasoner", environment=world.production)
    PreflightFindingFactory(policy=policy, subject="gateway alpha", expected="its routes.", found="none.")
    PreflightFindingFactory(policy=policy, subject="gateway beta", code="flag_moved", closed_at=now())
    FindingFactory(execution=make_drill(world.reasoner, ago=dt.timedelta(seconds=30), verdict="failed"), subject="gateway gamma", found="nothing.")
    compute_readiness()
    text = unescape(page(client_of(cast.on_call), ADDRESS))
    shown = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text.split("<main")[1].replace("What the fingerprint covers", "")))
    for code in (*ReasonCode.values, *ReadinessState.values):
        assert "_" not in code or code not in shown, code
    assert "(configuration mismatch: staging-gateway-1; configuration mismatch: gateway gamma)." in shown
    assert "gateway alpha: expected its routes, found none (since " in shown
    assert "Mended The flag has moved" in shown
    assert ".." not in shown


def test_history_rows_that_follow_each_other_differ(cast: Cast, world: World) -> None:
    PreflightRunFactory(environment=world.production)
    policy = RoutingPolicy.objects.get(alias="smart-reasoner", environment=world.production)
    PreflightFindingFactory(policy=policy, code="config_mismatch")
    compute_readiness()
    for code in ("flag_moved", "docs_stale"):
        PreflightFindingFactory(policy=policy, code=code)
        compute_readiness()
    text = unescape(page(client_of(cast.on_call), ADDRESS)).split('id="history-title"')[1].split("</section>")[0]
    rows = [re.sub(r"\s+", " ", re.sub(r"(?s)<time.*?</time>|<[^>]+>", " ", row)).strip() for row in text.split("<li")[1:]]
    assert len(rows) == 3
    assert all(one != other for one, other in itertools.pairwise(rows))
    assert rows[0].endswith("3 reasons: configuration mismatch; the flag has moved; the documentation is stale")


def test_findings_of_the_whole_environment_count_for_each_alias_open_or_mended(cast: Cast, world: World) -> None:
    PreflightFindingFactory(policy=None, environment=world.production, subject="prometheus one")
    PreflightFindingFactory(policy=None, environment=world.production, subject="prometheus two", closed_at=now())
    PreflightFindingFactory(policy=None, environment=world.staging, subject="prometheus elsewhere", closed_at=now())
    text = page(client_of(cast.on_call), ADDRESS)
    assert "prometheus one" in text
    assert "prometheus two" in text
    assert "prometheus elsewhere" not in text


def test_dates_of_the_target_are_told_as_ahead_or_past(cast: Cast, world: World) -> None:
    target = Version.objects.filter(label=GOOD, artefact=world.reasoner.artefact)
    target.update(superseded_at=now() - dt.timedelta(days=3), provider_retires_at=now() + dt.timedelta(days=10))
    text = unescape(page(client_of(cast.on_call), ADDRESS))
    assert "kept until" in text
    assert "its provider shuts it down" in text
    target.update(superseded_at=now() - dt.timedelta(days=300), provider_retires_at=now() - dt.timedelta(days=1))
    text = unescape(page(client_of(cast.on_call), ADDRESS))
    assert "no longer kept by the rule since" in text
    assert "its provider shut it down" in text
    assert ">No.</p>" in text


def test_remedy_is_a_link_for_whoever_may_follow_it_and_words_for_others(cast: Cast, world: World) -> None:
    Connection.objects.filter(environment=world.production, connector="prometheus").delete()
    compute_readiness()
    drill, settings = 'href="/drills/start/staging/support-reply/"', 'href="/admin/registry/connection/"'
    for address in ("/", "/readiness/production/support-reply/", MISTAKES):
        auditor, on_call, admin = (page(client_of(person), address) for person in (cast.auditor, cast.on_call, cast.admin))
        assert drill not in auditor
        assert drill in on_call
        assert settings not in on_call
        assert settings in admin
        for text in (auditor, on_call, admin):
            assert "prometheus connection" in text, "what to do is said to everybody"


def test_history_is_told_and_looking_writes_nothing(cast: Cast, world: World) -> None:
    compute_readiness()
    before = Readiness.objects.get(policy__alias="smart-reasoner", policy__environment=world.production).computed_at
    assert "How it came to this" in page(client_of(cast.on_call), ADDRESS)
    assert Readiness.objects.get(policy__alias="smart-reasoner", policy__environment=world.production).computed_at == before


def test_text_of_others_is_escaped(cast: Cast, world: World) -> None:
    policy = RoutingPolicy.objects.get(alias="smart-reasoner", environment=world.production)
    PreflightFindingFactory(policy=policy, found="<script>alert(1)</script>")
    assert "<script>alert(1)</script>" not in page(client_of(cast.on_call), ADDRESS)


def test_alias_that_there_is_not_is_a_404(cast: Cast, world: World) -> None:
    for address in ("/readiness/production/nothing/", "/readiness/nowhere/smart-reasoner/"):
        page(client_of(cast.on_call), address, status=404)


def test_stranger_sees_neither(cast: Cast, world: World) -> None:
    for address in (ADDRESS, MISTAKES):
        page(client_of(cast.stranger), address, status=403)


def test_alias_page_takes_a_fixed_number_of_queries(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    page(client, ADDRESS)
    with CaptureQueriesContext(connection) as queries:
        page(client, ADDRESS)
    policy = RoutingPolicy.objects.get(alias="smart-reasoner", environment=world.production)
    for _ in range(5):
        PreflightFindingFactory(policy=policy)
    with CaptureQueriesContext(connection) as more:
        page(client, ADDRESS)
    assert len(more) == len(queries) <= 36


# The five mistakes.


def test_mistakes_name_those_who_make_them_with_the_way_out(cast: Cast, world: World) -> None:
    text = unescape(page(client_of(cast.on_call), MISTAKES))
    assert "3 aliases in production were looked at just now." in text
    assert "legacy-classifier" in text
    assert offenders("never_tested") == {"legacy-classifier", "support-reply"}


def test_previous_version_that_is_gone_is_found(world: World) -> None:
    assert offenders("previous_gone") == set()
    alone = RoutingPolicyFactory(alias="alone", environment=world.production, revision=False, artefact=ArtefactFactory(slug="alone"))
    PolicyRevisionFactory(policy=alone, weights={GOOD: 100})
    Version.objects.filter(label=GOOD, artefact=world.reasoner.artefact).update(provider_retires_at=now() - dt.timedelta(days=1))
    assert offenders("previous_gone") == {"alone", "smart-reasoner"}
    Version.objects.filter(label=GOOD, artefact=world.reasoner.artefact).update(provider_retires_at=now() + dt.timedelta(days=1))
    assert offenders("previous_gone") == {"alone"}


def test_slow_way_back_is_found_by_its_steps_and_by_its_measured_time(world: World) -> None:
    assert offenders("slow_mechanism") == set()
    Execution.objects.filter(pk=world.passed.pk).update(rollback_seconds=700)
    assert offenders("slow_mechanism") == {"smart-reasoner"}
    Execution.objects.filter(pk=world.passed.pk).update(rollback_seconds=2)
    procedure = Procedure.objects.get(change_type="model", connector="")
    steps = [step for step in procedure.versions.first().steps if step["action"] != "set_weights"]  # type: ignore[union-attr]

    append_procedure_version(procedure=procedure, steps=steps, actor=system_actor("test"))
    assert offenders("slow_mechanism") == {"smart-reasoner", "legacy-classifier"}


def test_on_call_without_authority_is_found(cast: Cast, world: World) -> None:
    assert offenders("no_authority") == set()
    AuthorityRule.objects.filter(subject="prompt").update(role="platform_lead")
    assert offenders("no_authority") == {"support-reply"}
    User.objects.update(is_active=False)
    assert offenders("no_authority") == {"support-reply", "smart-reasoner", "legacy-classifier"}


def test_rollback_that_nobody_verifies_is_found(world: World) -> None:
    assert offenders("no_verification") == set()
    Connection.objects.filter(environment=world.production, connector="prometheus").delete()
    assert offenders("no_verification") == {"support-reply", "smart-reasoner", "legacy-classifier"}


def test_world_without_mistakes_says_how_much_was_looked_at(cast: Cast, db: None) -> None:
    assert "Nothing is live in production yet." in page(client_of(cast.on_call), MISTAKES)


def test_mistakes_take_a_fixed_number_of_queries(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    page(client, MISTAKES)
    with CaptureQueriesContext(connection) as queries:
        page(client, MISTAKES)
    for number in range(6):
        RoutingPolicyFactory(alias=f"more-{number}", environment=world.production)
    with CaptureQueriesContext(connection) as more:
        page(client, MISTAKES)
    assert len(more) == len(queries) <= 34
