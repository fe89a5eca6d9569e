"""How people get to incidents, alerts and postmortems: the navigation says where they are, and pages about a harm lead to its incident."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.accounts.models import User
from rollbackhub.common.clock import now
from tests.dashboard.people import client_of, page
from tests.dashboard.postmortem_world import addresses_of_postmortems, make_postmortems
from tests.factories.alerts import AlertFactory, AlertRuleFactory, ProposalFactory
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory
from tests.factories.routing import RoutingPolicyFactory

pytestmark = pytest.mark.django_db


def navigation(user: User, address: str) -> str:
    """The main navigation of a page."""
    return page(client_of(user), address).split('<nav aria-label="Main">')[1].split("</nav>")[0]


def marked(text: str) -> dict[str, str]:
    """The addresses that a navigation marks as where one is, with how."""
    return dict(re.findall(r'<a href="([^"]*)" aria-current="([^"]*)"', text))


def test_alerts_and_postmortems_stand_under_incidents(cast: Cast) -> None:
    for person in (cast.auditor, cast.on_call):
        below = navigation(person, "/").split(f'href="{reverse("incidents:list")}"')[1].split('<ul class="sub">')[1].split("</ul>")[0]
        found = re.findall(r'<a href="([^"]*)"', below)
        assert found == [reverse(name) for name in ("alerts:list", "postmortems:list", "postmortems:search", "postmortems:causes")]


@pytest.mark.parametrize(
    ("name", "where", "how"),
    [
        ("incidents:list", "incidents:list", "page"),
        ("incidents:new", "incidents:list", "true"),
        ("alerts:list", "alerts:list", "page"),
        ("alerts:proposals", "alerts:list", "true"),
        ("alerts:rules", "alerts:list", "true"),
        ("alerts:automation", "alerts:list", "true"),
        ("postmortems:list", "postmortems:list", "page"),
        ("postmortems:search", "postmortems:search", "page"),
        ("postmortems:causes", "postmortems:causes", "page"),
    ],
)
def test_navigation_marks_the_one_place_where_one_is(name: str, where: str, how: str, cast: Cast) -> None:
    assert marked(navigation(cast.on_call, reverse(name))) == {reverse(where): how}


def test_pages_of_one_mark_the_list_that_they_belong_to(cast: Cast) -> None:
    alert, proposal, rule = AlertFactory(), ProposalFactory(), AlertRuleFactory()
    found = {
        reverse("incidents:detail", args=[proposal.incident.pk]): "incidents:list",
        reverse("incidents:record", args=[proposal.incident.pk]): "incidents:list",
        reverse("incidents:edit", args=[proposal.incident.pk]): "incidents:list",
        reverse("alerts:detail", args=[alert.pk]): "alerts:list",
        reverse("alerts:proposal", args=[proposal.pk]): "alerts:list",
        reverse("alerts:rule-edit", args=[rule.pk]): "alerts:list",
    }
    for address, where in found.items():
        assert marked(navigation(cast.admin, address)) == {reverse(where): "true"}, address


def test_pages_of_one_postmortem_mark_the_postmortems(cast: Cast) -> None:
    lists = {reverse(name) for name in ("postmortems:list", "postmortems:search", "postmortems:causes")}
    addresses = {address for address in addresses_of_postmortems(make_postmortems()).values() if address.startswith("/postmortems/")}
    of_one = {address for address in addresses if address.split("?")[0] not in lists}
    assert of_one
    for address in of_one:
        assert marked(navigation(cast.admin, address)) == {reverse("postmortems:list"): "true"}, address


def test_page_of_an_alert_and_of_a_proposal_lead_to_their_incident(cast: Cast) -> None:
    proposal = ProposalFactory()
    alert = AlertFactory(proposal=proposal, incident=proposal.incident, policy=proposal.policy, became="opened")
    link = f'href="{reverse("incidents:detail", args=[proposal.incident.pk])}">{proposal.incident.title}</a>'
    for address in (reverse("alerts:detail", args=[alert.pk]), reverse("alerts:proposal", args=[proposal.pk])):
        assert link in page(client_of(cast.auditor), address), address
    ended = ProposalFactory(dismissed=True)
    assert f'href="{reverse("incidents:detail", args=[ended.incident.pk])}"' in page(client_of(cast.auditor), reverse("alerts:proposal", args=[ended.pk]))
    alone = AlertFactory()
    IncidentFactory()
    main = page(client_of(cast.auditor), reverse("alerts:detail", args=[alone.pk])).split("<main")[1]
    assert "/incidents/" not in main, "an alert that opened nothing leads to none"


def test_page_of_an_alias_in_production_opens_an_incident_for_who_may(cast: Cast) -> None:
    policy = RoutingPolicyFactory(alias="smart-reasoner", environment__slug="production")
    address = reverse("routing:detail", args=["production", "smart-reasoner"])
    prepared = f"{reverse('incidents:new')}?environment=production&amp;alias={policy.alias}"
    for person in (cast.on_call, cast.lead):
        text = page(client_of(person), address)
        assert re.search(rf'href="{re.escape(prepared)}">(?:(?!</a>).)* Open an incident</a>', text), person
    form = page(client_of(cast.on_call), prepared.replace("&amp;", "&"))
    assert '<option value="production" selected>' in form
    assert re.search(r'name="aliases" value="smart-reasoner"', form)
    assert "Open an incident" not in page(client_of(cast.auditor), address)


def test_page_of_an_alias_in_staging_opens_none(cast: Cast) -> None:
    RoutingPolicyFactory(alias="smart-reasoner", environment__slug="staging")
    assert "Open an incident" not in page(client_of(cast.on_call), reverse("routing:detail", args=["staging", "smart-reasoner"]))


def test_page_of_an_alias_says_which_incident_goes_on_there_in_place_of_opening_one(cast: Cast) -> None:
    policy = RoutingPolicyFactory(alias="smart-reasoner", environment__slug="production")
    sibling = RoutingPolicyFactory(alias="smart-reasoner", environment__slug="staging")
    address = reverse("routing:detail", args=["production", "smart-reasoner"])
    IncidentFactory(aliases=[policy], closed=True, title="over")
    assert "Incident:" not in page(client_of(cast.on_call), address)
    stable = IncidentFactory(aliases=[policy], stable=True, title="calm by now", severity="sev3")
    incident = IncidentFactory(aliases=[policy], title="answers are empty", severity="sev1", opened_at=now() - dt.timedelta(days=9))
    for person in (cast.on_call, cast.auditor):
        text = page(client_of(person), address)
        found = [re.sub(r"<[^>]+>", "", words) for words in re.findall(r'<p class="answer-words">(Incident: .*?)</p>', text)]
        assert [words.partition(" for ")[0] for words in found] == ["Incident: answers are empty, SEV 1, open", "Incident: calm by now, SEV 3, stable"]
        assert found[1].endswith(", not closed yet.")
        assert re.search(r'open for <span data-since="[^"]+">216 h</span>\.</p>', text)
        for shown in (incident, stable):
            assert f'href="{reverse("incidents:detail", args=[shown.pk])}"' in text
        assert "Open an incident" not in text
    assert "Incident:" not in page(client_of(cast.on_call), reverse("routing:detail", args=["staging", sibling.alias]))


def test_page_of_an_alias_asks_once_for_any_number_of_incidents_and_leads_to_the_rest(cast: Cast) -> None:
    policy = RoutingPolicyFactory(alias="smart-reasoner", environment__slug="production")
    address, client = reverse("routing:detail", args=["production", "smart-reasoner"]), client_of(cast.on_call)
    page(client, address)
    with CaptureQueriesContext(connection) as none:
        page(client, address)
    IncidentFactory.create_batch(5, aliases=[policy])
    with CaptureQueriesContext(connection) as many:
        text = page(client, address)
    assert len(many) == len(none)
    assert text.count(">Incident: <a") == 3
    assert f'href="{reverse("incidents:list")}?environment=production&amp;alias=smart-reasoner">2 more incidents of this alias</a>' in text
