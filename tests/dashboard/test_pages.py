"""Every page opens for those who may see it, and shows what it is about."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from rollbackhub.accounts.models import User
from tests.dashboard.world import World
from tests.factories.fixtures import Cast


def client_of(user: User) -> Client:
    """A browser in which this person is signed in."""
    client = Client()
    client.force_login(user)
    return client


def _get(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, (address, response.status_code)
    return str(response.content.decode())


def addresses(world: World) -> list[str]:
    """Every page that people open, with arguments."""
    return [
        reverse("dashboard:overview"),
        reverse("dashboard:account"),
        reverse("drills:list"),
        reverse("drills:list") + "?scale=measured&outcome=passed&change_type=model&period=30&alias=smart&environment=staging",
        reverse("drills:choose"),
        reverse("drills:start", args=["staging", "smart-reasoner"]),
        reverse("drills:start", args=["staging", "support-reply"]),
        reverse("drills:detail", args=[world.passed.pk]),
        reverse("drills:detail", args=[world.failed.pk]),
        reverse("drills:detail", args=[world.running.pk]),
        reverse("drills:detail", args=[world.needs_person.pk]),
        reverse("drills:detail", args=[world.cancelled.pk]),
        reverse("routing:list"),
        reverse("routing:detail", args=["staging", "smart-reasoner"]),
        reverse("routing:detail", args=["production", "legacy-classifier"]),
        reverse("routing:gateways", args=["production"]),
        reverse("routing:import", args=["staging"]),
        reverse("registry:list"),
        reverse("registry:artefact", args=["reasoner-model"]),
        reverse("registry:environments"),
        reverse("audit:list"),
        reverse("audit:event", args=[1]),
    ]


@pytest.mark.django_db
def test_pages_admin_opens_every_one(cast: Cast, world: World) -> None:
    from rollbackhub.audit.models import AuditEvent

    client = client_of(cast.admin)
    first = AuditEvent.objects.order_by("id").values_list("pk", flat=True)[0]
    for address in addresses(world):
        _get(client, address.replace("/audit/1/", f"/audit/{first}/"))
