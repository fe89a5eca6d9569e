"""Registry, audit and account."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse

from rollbackhub.accounts.models import User
from rollbackhub.audit.domain.sequence import sequence_pending
from rollbackhub.audit.models import AuditEvent, AuditTreeHead
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World
from tests.factories.accounts import PASSWORD
from tests.factories.audit import AuditEventFactory
from tests.factories.fixtures import Cast
from tests.factories.registry import VersionFactory


@pytest.mark.django_db
def test_artefact_page_lists_versions_with_their_lifecycle_and_the_target(cast: Cast, world: World) -> None:
    text = unescape(page(client_of(cast.auditor), reverse("registry:artefact", args=["reasoner-model"])))
    for words in ("Canary", "Live", "Faster tool use; under test.", "10 min (of its change type)", "smart-reasoner", "High (drilled monthly)"):
        assert words in text, words


@pytest.mark.django_db
def test_artefact_page_many_versions_are_paged(cast: Cast, world: World) -> None:
    VersionFactory.create_batch(60, artefact=world.reasoner.artefact)
    assert "Page 1 of 2" in page(client_of(cast.auditor), reverse("registry:artefact", args=["reasoner-model"]))


@pytest.mark.django_db
def test_environments_page_shows_connections(cast: Cast, world: World) -> None:
    text = page(client_of(cast.auditor), reverse("registry:environments"))
    assert "endpoint: http://127.0.0.1:18400/metrics" in text


@pytest.mark.django_db
def test_audit_page_says_what_waits_and_then_the_tree_head(cast: Cast, world: World) -> None:
    client = client_of(cast.auditor)
    waiting = AuditEvent.objects.count()
    text = page(client, reverse("audit:list"))
    assert f"{waiting} not yet sequenced" in text
    assert "none yet: the sequencer has not run" in text
    sequence_pending()
    head = AuditTreeHead.objects.get()
    text = page(client, reverse("audit:list"))
    assert "All sequenced" in text
    assert f"{head.size} events, root <code>{bytes(head.root_hash).hex()}</code>" in text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("?event=drill.requested", {"event": "drill.requested"}),
        ("?event=execution.", {"event__startswith": "execution."}),
        ("?subject_type=test&subject_id=abc", {"subject_id": "abc"}),
        ("?actor=olga", {"actor_label": "Olga Call"}),
        ("?before=nonsense&event=test.one", {"event": "test.one"}),
    ],
)
def test_audit_page_filter_in_the_address_lists_what_it_says(query: str, wanted: dict[str, str], cast: Cast, world: World) -> None:
    AuditEventFactory(event="test.one", subject_id="abc")
    text = page(client_of(cast.auditor), reverse("audit:list") + query)
    listed = {int(found) for found in re.findall(r'href="/audit/(\d+)/"', text)}
    assert listed == set(AuditEvent.objects.filter(**wanted).values_list("pk", flat=True)) != set()


@pytest.mark.django_db
def test_audit_page_pages_by_id_without_gap_or_repeat(cast: Cast, world: World) -> None:
    AuditEventFactory.create_batch(120)
    client, address, seen = client_of(cast.auditor), reverse("audit:list"), []
    while address:
        text = page(client, address)
        seen += re.findall(r'href="/audit/(\d+)/"', text)
        older = re.search(r'href="(\?before=\d+)"[^>]*>Older', text)
        address = reverse("audit:list") + older.group(1) if older else ""
    assert len(seen) == len(set(seen)) == AuditEvent.objects.count()


@pytest.mark.django_db
def test_audit_event_page_shows_the_whole_event_and_its_leaf(cast: Cast, world: World) -> None:
    event = AuditEventFactory(data={"weights_before": {"a": 25}})
    sequence_pending()
    text = page(client_of(cast.auditor), reverse("audit:event", args=[event.pk]))
    assert "weights_before:" in text
    assert bytes(event.leaf.leaf_hash).hex() in text
    page(client_of(cast.auditor), reverse("audit:event", args=[10**9]), status=404)


@pytest.mark.django_db
def test_account_time_zone_is_kept_audited_and_used(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    client.cookies["hub_tz"] = "America/New_York"
    address = reverse("drills:detail", args=[world.passed.pk])
    assert re.search(r"Times are in E[DS]T\.", page(client, address)), "the browser's zone, while the profile has none"
    client.post(reverse("dashboard:account"), {"timezone": "Asia/Kolkata"})
    assert User.objects.get(pk=cast.on_call.pk).timezone == "Asia/Kolkata"
    assert AuditEvent.objects.filter(event="accounts.timezone_changed", actor_user_id=cast.on_call.pk).exists()
    text = page(client, address)
    assert "Times are in IST." in text
    assert re.search(r"\d\d:\d\d:\d\d IST", text)


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", ""])
def test_time_zone_nonsense_is_utc_from_a_cookie_and_refused_in_the_form(zone: str, cast: Cast) -> None:
    client = client_of(cast.on_call)
    client.cookies["hub_tz"] = zone
    assert "Times are in UTC." in page(client, "/")
    client.post(reverse("dashboard:account"), {"timezone": zone})
    assert User.objects.get(pk=cast.on_call.pk).timezone == "UTC"


@pytest.mark.django_db
def test_sign_in_leads_back_and_sign_out_leads_away(cast: Cast, world: World) -> None:
    client = Client()
    response = client.get("/drills/?alias=smart")
    response = client.post(response["Location"].split("?")[0], {"login": "oncall", "password": PASSWORD, "next": "/drills/?alias=smart"})
    assert response["Location"] == "/drills/?alias=smart"
    client.post(reverse("account_logout"))
    assert client.get("/drills/").status_code == 302


@pytest.mark.django_db
def test_sign_in_wrong_password_says_so_once_and_keeps_the_name(cast: Cast) -> None:
    text = unescape(Client().post(reverse("account_login"), {"login": "oncall", "password": "nonsense"}).content.decode())
    assert text.count('role="alert"') == 1
    assert 'value="oncall"' in text


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["account_change_password", "account_reauthenticate"])
def test_own_password_pages_are_in_our_look(name: str, cast: Cast) -> None:
    text = page(client_of(cast.on_call), reverse(name))
    assert "app.css" in text
    assert 'type="password"' in text
    assert "form-control" in text


@pytest.mark.django_db
def test_pages_that_would_need_mail_say_what_to_do_instead(cast: Cast) -> None:
    assert "Ask an administrator" in page(Client(), "/accounts/password/reset/")
    assert "made by an administrator" in page(Client(), "/accounts/signup/")
    assert client_of(cast.on_call).get("/accounts/email/")["Location"] == reverse("dashboard:account")
