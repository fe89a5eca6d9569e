"""Only administrators come in, by the one sign-in; evidence can only be looked at; the content policy of the admin is its own."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from drills.models import CalendarFeed, Drill, DrillPlan, FindingAction, PlannedDrill, QuietPeriod
from incidents.models import Incident
from rollbackhub.accounts.models import ApiToken, Notice
from rollbackhub.actions.models import Action
from rollbackhub.analytics.models import HistoryImport, RunFact
from rollbackhub.audit.domain.sequence import sequence_pending
from rollbackhub.audit.models import AuditEvent, AuditLeaf, AuditTreeHead
from rollbackhub.executions.models import CheckResult, Execution, Finding, Sample, StepAttempt
from rollbackhub.postmortems.enums import PostmortemState
from rollbackhub.postmortems.models import Postmortem
from rollbackhub.registry.models import StabilityHold
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.reviews.models import Review
from rollbackhub.rollbacks.models import Approval, HeldTraffic, Rollback, RollForward
from rollbackhub.routing.models import Gateway, PolicyRevision, RoutingPolicy
from tests.admin.addresses import AUDITED, READ_ONLY, REGISTERED, address, name_of
from tests.factories.accounts import PASSWORD, ApiTokenFactory, RoleAssignmentFactory, UserFactory
from tests.factories.analytics import RunFactFactory
from tests.factories.audit import AuditEventFactory
from tests.factories.drills import CalendarFeedFactory, DrillFactory, FindingActionFactory, PlannedDrillFactory, QuietPeriodFactory
from tests.factories.executions import CheckResultFactory, FindingFactory, SampleFactory
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentRollbackFactory
from tests.factories.postmortems import PostmortemActionFactory, make_postmortem
from tests.factories.registry import ConnectionFactory, VersionFactory
from tests.factories.reviews import make_review
from tests.factories.rollbacks import ApprovalFactory, HeldTrafficFactory, NoticeFactory, RollForwardFactory, StabilityHoldFactory
from tests.factories.routing import GatewayFactory

EVIDENCE = {
    *(AuditEvent, AuditLeaf, AuditTreeHead),
    *(Execution, StepAttempt, CheckResult, Sample, Finding, Drill),
    *(PolicyRevision, RoutingPolicy, Gateway),
    *(Rollback, Approval, RollForward, HeldTraffic, StabilityHold, Incident),
    *(DrillPlan, PlannedDrill, QuietPeriod, CalendarFeed, FindingAction, Action),
    *(ApiToken, Notice),
    *(RunFact, HistoryImport),
    *(Review,),
    *(Postmortem,),
}


@pytest.fixture
def world(cast: Cast) -> Cast:
    """At least one row behind every page."""
    execution = DrillFactory(execution__passed=True).execution
    CheckResultFactory(attempt__execution=execution)
    SampleFactory(attempt__execution=execution)
    FindingFactory(execution=execution)
    GatewayFactory()
    ConnectionFactory()
    VersionFactory()
    ApiTokenFactory(user=cast.lead)
    IncidentRollbackFactory(rollback=ApprovalFactory().rollback)
    RunFactFactory(imported_run=True)
    RollForwardFactory()
    HeldTrafficFactory()
    StabilityHoldFactory()
    NoticeFactory()
    make_review(ReviewState.SIGNED)
    PlannedDrillFactory()
    QuietPeriodFactory()
    CalendarFeedFactory()
    FindingActionFactory()
    PostmortemActionFactory(postmortem=make_postmortem(PostmortemState.PUBLISHED))
    return cast


@pytest.fixture
def sequenced(world: Cast) -> Cast:
    """And a log with leaves."""

    AuditEventFactory.create_batch(3)
    assert sequence_pending()
    return world


def as_person(person: Any) -> Client:
    """A browser in which this person is signed in."""
    client = Client()
    client.force_login(person)
    return client


def test_every_page_is_audited_or_read_only() -> None:
    assert {model for model, _ in REGISTERED} == {*AUDITED, *READ_ONLY}
    assert set(READ_ONLY) >= EVIDENCE
    assert not set(AUDITED) & EVIDENCE


@pytest.mark.parametrize("name", ["on_call", "lead", "leadership", "auditor", "stranger"])
def test_admin_for_everybody_else_is_forbidden(cast: Cast, name: str) -> None:
    client = as_person(getattr(cast, name))
    for model, _ in REGISTERED:
        answer = client.get(address(model, "changelist"), follow=True)
        assert answer.status_code == 403, name_of(model)
    assert client.get(reverse("admin:index"), follow=True).status_code == 403
    assert client.get(reverse("admin:search"), follow=True).status_code == 403


@pytest.mark.parametrize(("is_staff", "has_role"), [(True, False), (False, True)])
def test_admin_for_half_an_administrator_is_forbidden(db: None, is_staff: bool, has_role: bool) -> None:
    person = UserFactory(is_staff=is_staff, is_superuser=is_staff)
    if has_role:
        RoleAssignmentFactory(user=person, role="admin")
    assert as_person(person).get(reverse("admin:index"), follow=True).status_code == 403


def test_admin_for_inactive_administrator_leads_to_sign_in(cast: Cast) -> None:
    client = as_person(cast.admin)
    cast.admin.is_active = False
    cast.admin.save()
    assert client.get(reverse("admin:index"), follow=True).redirect_chain[-1][0].startswith(reverse("account_login"))


def test_admin_for_nobody_leads_to_the_one_sign_in_and_back(cast: Cast, client: Client) -> None:
    wanted = address(Execution, "changelist")
    chain = client.get(wanted, follow=True).redirect_chain
    assert chain[-1][0] == f"{reverse('account_login')}?next={wanted}"
    answer = client.post(chain[-1][0], {"login": "admin", "password": PASSWORD}, follow=True)
    assert (answer.status_code, answer.redirect_chain[-1][0]) == (200, wanted)


def test_admins_own_sign_in_takes_no_password(cast: Cast, client: Client) -> None:
    answer = client.post(reverse("admin:login"), {"username": "admin", "password": PASSWORD})
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("account_login"))
    assert "_auth_user_id" not in client.session


def test_sign_in_to_admin_never_leads_to_another_host(cast: Cast) -> None:
    answer = as_person(cast.admin).get(reverse("admin:login"), {"next": "https://evil.example/"})
    assert answer["Location"] == reverse("admin:index")


def test_own_password_is_changed_where_everybody_does(cast: Cast) -> None:
    assert as_person(cast.admin).get(reverse("admin:password_change"))["Location"] == reverse("account_change_password")


@pytest.mark.parametrize("model", [model for model, _ in REGISTERED], ids=name_of)
def test_every_page_opens_for_administrators(sequenced: Cast, model: type[Any]) -> None:
    client = as_person(sequenced.admin)
    listing = client.get(address(model, "changelist"))
    assert listing.status_code == 200
    row = model._default_manager.first()
    assert row is not None
    assert client.get(address(model, "change", row.pk)).status_code == 200
    assert client.get(address(model, "changelist"), {"q": "smart"}).status_code == 200
    if model not in READ_ONLY:
        assert client.get(address(model, "add")).status_code in (200, 403)


@pytest.mark.parametrize("model", READ_ONLY, ids=name_of)
def test_evidence_can_be_neither_added_nor_changed_nor_deleted(sequenced: Cast, model: type[Any]) -> None:
    client = as_person(sequenced.admin)
    row = model._default_manager.values().first()
    assert row is not None
    pk = row[model._meta.pk.attname]
    count = model._default_manager.count()
    posted = dict.fromkeys(row, "1")
    for page, args in (("add", ()), ("change", (pk,)), ("delete", (pk,))):
        answer = client.post(address(model, page, *args), {**posted, "post": "yes"})
        assert answer.status_code == 403, page
    answer = client.post(address(model, "changelist"), {"action": "delete_selected", "_selected_action": [pk], "post": "yes"})
    assert answer.status_code in (200, 302, 403)
    assert model._default_manager.count() == count
    assert model._default_manager.values().get(pk=pk) == row


def test_content_policy_of_admin_allows_what_unfold_needs_and_no_more(cast: Cast) -> None:
    client = as_person(cast.admin)
    policy = client.get(reverse("admin:index"))["Content-Security-Policy"]
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts["script-src"] == "'self' 'unsafe-eval'"
    assert parts["style-src"] == "'self' 'unsafe-inline'"
    assert parts["frame-ancestors"] == "'none'"
    elsewhere = client.get(reverse("account_change_password"))["Content-Security-Policy"]
    assert "unsafe-eval" not in elsewhere


def test_pages_of_admin_hold_no_inline_script_and_no_other_host(sequenced: Cast) -> None:
    client = as_person(sequenced.admin)
    for model, _ in REGISTERED:
        for page in (client.get(address(model, "changelist")), client.get(address(model, "change", model._default_manager.first().pk))):
            text = page.content.decode()
            scripts = [tag.split(">")[0] for tag in text.split("<script")[1:]]
            assert all("src=" in tag or "application/json" in tag for tag in scripts)
            assert not [part for part in text.replace("'", '"').split('src="')[1:] if part.startswith(("http:", "https:", "//"))]


def test_admin_tells_neither_the_time_nor_the_seed_of_an_unannounced_drill(cast: Cast) -> None:
    planned = PlannedDrillFactory(plan__announced=False, plan__seed=123454321)
    client = as_person(cast.admin)
    for model, pk in ((PlannedDrill, planned.pk), (DrillPlan, planned.plan_id)):
        for page in (client.get(address(model, "changelist")), client.get(address(model, "change", pk))):
            text = page.content.decode()
            assert page.status_code == 200
            assert not any(told in text for told in (f"{planned.starts_at:%H:%M:%S}", f"{planned.starts_at:%Y-%m-%d %H:%M}", "123454321"))
    assert "some time in" in client.get(address(PlannedDrill, "change", planned.pk)).content.decode()
