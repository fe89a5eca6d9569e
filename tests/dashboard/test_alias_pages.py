"""Aliases are made, and bound to what moves them, on pages; and their page says how far they have come."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from rollbackhub.common import clock
from rollbackhub.registry.models import Connection, Environment
from rollbackhub.routing.models import Delivery, RoutingPolicy
from tests.connectors.deploy_receiver import SECRET as SECRET_OF_RECEIVER
from tests.connectors.deploy_receiver import SIGNING, running_receiver
from tests.dashboard.people import client_of, page
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, ConnectionFactory, EnvironmentFactory, VersionFactory

NEW = "/routing/staging/new/"
BIND = "/routing/staging/aliases/support-agent/bind/"
DETAIL = "/routing/staging/aliases/support-agent/"
SETTINGS = {"deploy_url": "http://127.0.0.1:1/deploy", "status_url": "http://127.0.0.1:1/services/{service}", "signing_ref": "env:DEPLOY_SECRET"}


@pytest.fixture
def staging(db: None) -> Environment:
    """With a deploy hook, and agent code of two versions."""
    place: Environment = EnvironmentFactory(slug="staging", name="Staging", kind="staging")
    ConnectionFactory(environment=place, connector="deploy", settings=SETTINGS)
    ConnectionFactory(environment=place, connector="prometheus", settings={"endpoint": "http://127.0.0.1:1/metrics"})
    artefact = ArtefactFactory(slug="agent", name="Agent", change_type="agent_code")
    for label in ("v1", "v2"):
        VersionFactory(artefact=artefact, label=label)
    return place


def values(**other: Any) -> dict[str, Any]:
    candidates = "- {id: agent-v2, version_pin: v2, weight: 100}\n- {id: agent-v1, version_pin: v1, weight: 0}"
    filled = {"alias": "support-agent", "artefact": "agent", "connection": "deploy", "target": "service: support-agent", "candidates": candidates}
    return {**filled, "reason": "a new alias", **other}


def test_form_offers_what_moves_versions_and_nothing_else(staging: Environment, cast: Cast) -> None:
    text = unescape(page(client_of(cast.lead), NEW))
    assert '<option value="deploy">deploy</option>' in text
    assert "The gateways: they take it from RollbackHub" in text
    assert 'value="prometheus"' not in text


def test_alias_is_made_and_its_page_says_what_moves_it(staging: Environment, cast: Cast) -> None:
    client = client_of(cast.lead)
    response = client.post(NEW, values())
    assert (response.status_code, response.url) == (302, DETAIL), response.content.decode()[-3000:]  # type: ignore[attr-defined]
    text = unescape(page(client, DETAIL))
    for words in ("support-agent is there. Drill it before it is needed.", "On its way", "deploy: revision 1 is on its way", "service: support-agent"):
        assert words in text
    assert "No gateway has asked for routes" not in text


def test_page_says_what_was_delivered_and_what_was_refused(staging: Environment, cast: Cast) -> None:
    client = client_of(cast.lead)
    client.post(NEW, values())
    policy = RoutingPolicy.objects.get()
    Delivery.objects.create(policy=policy, number=1, delivered_at=clock.now())
    assert "deploy has revision 1" in page(client, DETAIL)
    Delivery.objects.update(number=0, trying=1, problem="<b>Somebody</b> changed it.", due_at=clock.now())
    text = page(client, DETAIL)
    assert "deploy does not take revision 1" in text
    assert "&lt;b&gt;Somebody&lt;/b&gt; changed it." in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target": "service: [a"}, "this is no YAML"),
        ({"target": "- service"}, "Write a mapping"),
        ({"target": "service: ../x"}, "service: It cannot be written so. An example: support-agent"),
        ({"target": "service: a\ntoken: abc"}, "This looks like a secret"),
        ({"connection": ""}, "Choose a connection first"),
        ({"connection": "prometheus"}, "Select a valid choice"),
        ({"candidates": "- {id: a, version_pin: v2, weight: 50}\n- {id: b, version_pin: v1, weight: 50}"}, "Give one candidate 100 %"),
        ({"candidates": "- {id: a, version_pin: v2, weight: 90}"}, "must sum to 100"),
        ({"candidates": "nonsense"}, "Line"),
        ({"candidates": "- {id: a, version_pin: v9, weight: 100}"}, "v9 is not registered for agent"),
        ({"alias": "two words"}, "Enter a valid"),
        ({"alias": ""}, "This field is required"),
        ({"reason": ""}, "This field is required"),
    ],
)
def test_what_does_not_fit_is_said_at_its_field_and_nothing_is_made(changes: dict[str, Any], words: str, staging: Environment, cast: Cast) -> None:
    response = client_of(cast.lead).post(NEW, values(**changes))
    assert response.status_code == 422
    assert words in unescape(response.content.decode())
    assert not RoutingPolicy.objects.exists()


SECRET = "hunter2-Qx81-never-shown"


@pytest.mark.parametrize(
    "target",
    [
        f"service: support-agent\ntoken: {SECRET}",
        f"service: '{SECRET} !'",
        f"service: support-agent\nauth: {SECRET}",
        f"service: support-agent\ntoken_ref: {SECRET}",
        f"service: support-agent\nconsumers: [{{url: 'https://me:{SECRET}@host/'}}]",
        SECRET,
        f"- {SECRET}\n- service",
        f"service: [a\ntoken: {SECRET}",
        f"service: 'https://me:{SECRET}@host/'\nx: [",
    ],
)
@pytest.mark.parametrize("also", [{}, {"reason": ""}])
@pytest.mark.parametrize("where", ["new", "bind"])
def test_secret_that_is_refused_does_not_come_back_in_the_page(where: str, also: dict[str, str], target: str, staging: Environment, cast: Cast) -> None:
    client = client_of(cast.lead)
    if where == "bind":
        client.post(NEW, values())
    sent = values(target=target, **also)
    response = client.post(NEW if where == "new" else BIND, sent)
    assert response.status_code == 422
    assert SECRET not in unescape(response.content.decode())
    assert RoutingPolicy.objects.count() == (where == "bind")


def test_what_was_not_refused_stands_in_the_page_again(staging: Environment, cast: Cast) -> None:
    text = unescape(client_of(cast.lead).post(NEW, values(target="# the agent\nservice: support-agent", reason="")).content.decode())
    assert "# the agent\nservice: support-agent" in text
    text = unescape(client_of(cast.lead).post(NEW, values(target="service: support-agent\ncolour: red")).content.decode())
    assert "colour: There is no such name here; there are consumers, service." in text
    assert "service: support-agent\ncolour: ''" in text


def test_mistake_in_a_targets_own_alias_is_said_at_the_target(staging: Environment, cast: Cast) -> None:
    ConnectionFactory(environment=staging, connector="mlflow", settings={"address": "http://127.0.0.1:1"})
    response = client_of(cast.lead).post(NEW, values(connection="mlflow", target="model: support\nalias: latest"))
    assert response.status_code == 422
    form = response.context["form"]
    assert list(form.errors) == ["target"]
    assert form.errors["target"] == ["alias: It must be letters, digits, _ and - only, and neither latest nor v and a number."]


def test_settings_that_are_wrong_are_said_at_the_connection(staging: Environment, cast: Cast) -> None:
    Connection.objects.filter(connector="deploy").update(settings={**SETTINGS, "job_url": "http://127.0.0.1:1/jobs"})
    form = client_of(cast.lead).post(NEW, values()).context["form"]
    assert list(form.errors) == ["connection"]
    assert "needs both job_url and job_status_url, or neither" in form.errors["connection"][0]


def test_alias_that_exists_is_refused_and_what_was_typed_is_kept(staging: Environment, cast: Cast) -> None:
    client = client_of(cast.lead)
    client.post(NEW, values())
    response = client.post(NEW, values(reason="another try"))
    text = unescape(response.content.decode())
    assert response.status_code == 409
    assert "The alias support-agent already exists in staging." in text
    assert "another try" in text


def test_binding_shows_what_is_and_keeps_what_is_said(staging: Environment, cast: Cast) -> None:
    client = client_of(cast.lead)
    client.post(NEW, values())
    assert "service: support-agent" in page(client, BIND)
    response = client.post(BIND, {"connection": "deploy", "target": "service: other", "reason": "it was renamed"})
    assert (response.status_code, response.url) == (302, DETAIL)  # type: ignore[attr-defined]
    assert RoutingPolicy.objects.get().target["service"] == "other"
    refused = client.post(BIND, {"connection": "deploy", "target": "", "reason": "forgot it"})
    assert refused.status_code == 422
    assert RoutingPolicy.objects.get().target["service"] == "other"


def test_target_that_another_alias_moves_is_refused_and_that_alias_is_named(staging: Environment, cast: Cast) -> None:
    client = client_of(cast.lead)
    client.post(NEW, values())
    made = client.post(NEW, values(alias="second"))
    client.post(NEW, values(alias="second", target="service: second"))
    bound = client.post("/routing/staging/aliases/second/bind/", values())
    for response in (made, bound):
        assert response.status_code == 409
        assert "The alias support-agent moves service support-agent of deploy in staging already" in unescape(response.content.decode())
    assert RoutingPolicy.objects.get(alias="second").target["service"] == "second"


def test_target_is_looked_at_when_it_is_saved_and_what_was_found_is_said(
    staging: Environment, cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SIGNING, SECRET_OF_RECEIVER)
    client = client_of(cast.lead)
    client.post(NEW, values())
    down = unescape(page(client, DETAIL))
    assert "It was kept, but deploy could not be looked at:" in down
    assert "tone-warn" in down
    with running_receiver(tmp_path, "--service=support-agent=v2,v1") as receiver:
        settings = {"deploy_url": f"{receiver.address}/deploy", "status_url": f"{receiver.address}/services/{{service}}", "signing_ref": f"env:{SIGNING}"}
        Connection.objects.filter(connector="deploy").update(settings=settings)
        client.post(BIND, {"connection": "deploy", "target": "service: nope", "reason": "renamed"})
        text = unescape(page(client, DETAIL))
        assert "It was kept, but deploy shows nothing is deployed there by this name, not service nope at v2." in text
        assert "deploy has revision 1" not in text
        client.post(BIND, {"connection": "deploy", "target": "service: support-agent", "reason": "right"})
        assert "deploy shows v2" in unescape(page(client, DETAIL))


def test_only_leads_and_administrators_are_offered_it(staging: Environment, cast: Cast) -> None:
    client_of(cast.lead).post(NEW, values())
    assert reverse("routing:bind", args=["staging", "support-agent"]) in page(client_of(cast.admin), DETAIL)
    text = page(client_of(cast.on_call), DETAIL)
    assert "/bind/" not in text
    assert client_of(cast.on_call).post(BIND, {"connection": "", "target": "", "reason": "x"}).status_code == 403
    assert "/new/" not in page(client_of(cast.auditor), reverse("routing:list"))
