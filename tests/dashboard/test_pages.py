"""Every page opens with a world in it and without one."""

from __future__ import annotations

import pytest
from django.urls import reverse

from rollbackhub.audit.models import AuditEvent
from rollbackhub.rollbacks.models import CoordinatedProcedure
from rollbackhub.routing.models import RoutingPolicy
from tests.dashboard.incident_world import addresses_for_responders, addresses_of_incidents, make_incidents
from tests.dashboard.people import client_of, page
from tests.dashboard.release_world import make_release
from tests.dashboard.review_world import addresses_of_reviews, make_reviews
from tests.dashboard.world import World
from tests.factories.fixtures import Cast
from tests.factories.rollbacks import CoordinatedProcedureFactory, CoordinatedStepFactory


def make_coordinated() -> CoordinatedProcedure:
    """An order over two of the world's aliases, with a point of no return."""
    because = "The prompt was written for the new model: without it every answer is wrong."
    production = RoutingPolicy.objects.filter(environment__slug="production")
    environment = production.select_related("environment")[0].environment
    made: CoordinatedProcedure = CoordinatedProcedureFactory(
        slug="support-release", name="Support release", environment=environment, no_return_at=1, no_return_because=because, steps=False
    )
    for position, alias in enumerate(("support-reply", "smart-reasoner")):
        CoordinatedStepFactory(procedure=made, position=position, policy=production.get(alias=alias), why="It is asked first.")
    return made


def addresses_of(world: World) -> dict[str, str]:
    """Every page that people open in this world, by a short name."""
    return {
        "overview": reverse("dashboard:overview"),
        "readiness": reverse("dashboard:readiness", args=["production", "smart-reasoner"]),
        "readiness-not": reverse("dashboard:readiness", args=["production", "legacy-classifier"]),
        "mistakes": reverse("dashboard:mistakes"),
        "account": reverse("dashboard:account"),
        "drills": reverse("drills:list"),
        "drills-measured": reverse("drills:list") + "?scale=measured&outcome=passed&change_type=model&period=30&alias=smart&environment=staging",
        "drills-none": reverse("drills:list") + "?alias=nothing-like-it",
        "choose": reverse("drills:choose"),
        "start": reverse("drills:start", args=["staging", "smart-reasoner"]),
        "start-held": reverse("drills:start", args=["staging", "support-reply"]),
        "start-refused": reverse("drills:start", args=["production", "smart-reasoner"]),
        "passed": reverse("drills:detail", args=[world.passed.pk]),
        "failed": reverse("drills:detail", args=[world.failed.pk]),
        "running": reverse("drills:detail", args=[world.running.pk]),
        "needs-person": reverse("drills:detail", args=[world.needs_person.pk]),
        "cancelled": reverse("drills:detail", args=[world.cancelled.pk]),
        "rollback-choose": reverse("rollbacks:choose"),
        "rollback-start": reverse("rollbacks:start", args=["production"]) + "?alias=smart-reasoner",
        "rollback-start-several": reverse("rollbacks:start", args=["production"]) + "?alias=support-reply&alias=smart-reasoner&strategic=1",
        "rollback-start-refused": reverse("rollbacks:start", args=["staging"]) + "?alias=smart-reasoner",
        "coordinated": reverse("rollbacks:coordinated", args=[make_coordinated().slug]),
        "coordinated-edit": reverse("rollbacks:coordinated-edit", args=["support-release"]),
        "coordinated-new": reverse("rollbacks:coordinated-new", args=["production"]),
        "coordinated-start": reverse("rollbacks:start", args=["production"]) + "?coordinated=support-release",
        "roll-forward": reverse("rollbacks:forward", args=["production", "smart-reasoner"]),
        "approvals": reverse("rollbacks:approvals"),
        "holds": reverse("rollbacks:holds"),
        "routing": reverse("routing:list"),
        "policy": reverse("routing:detail", args=["staging", "smart-reasoner"]),
        "policy-first": reverse("routing:detail", args=["production", "legacy-classifier"]),
        "gateways": reverse("routing:gateways", args=["production"]),
        "import": reverse("routing:import", args=["staging"]),
        "registry": reverse("registry:list"),
        "artefact": reverse("registry:artefact", args=["reasoner-model"]),
        "version": reverse("registry:version", args=[world.version_id]),
        "version-new": reverse("registry:version-new", args=["reasoner-model"]),
        "version-import": reverse("registry:version-import"),
        "live": reverse("registry:live"),
        "retention": reverse("registry:retention"),
        "environments": reverse("registry:environments"),
        "procedures": reverse("procedures:list"),
        "procedure": reverse("procedures:detail", args=["model-weight-flip"]) + "?from=1&to=2",
        "procedure-edit": reverse("procedures:edit", args=["dataset-delta"]),
        "procedure-new": reverse("procedures:new"),
        "releases": reverse("releases:list"),
        "release": reverse("releases:detail", args=[make_release(world).pk]),
        "release-start": reverse("releases:start", args=["production", "support-reply"]),
        **addresses_of_reviews(make_reviews()),
        **addresses_of_incidents(incidents := make_incidents()),
        **addresses_for_responders(incidents),
        "audit": reverse("audit:list"),
        "audit-event": reverse("audit:event", args=[world.event_id]),
    }


@pytest.mark.django_db
def test_pages_with_a_world_all_open(cast: Cast, world: World) -> None:
    client = client_of(cast.admin)
    for address in addresses_of(world).values():
        text = page(client, address)
        assert "<h1" in text
        assert text.count("<main") == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("dashboard:overview", "The lab is starting"),
        ("drills:list", "No drill yet"),
        ("drills:choose", "No alias in staging"),
        ("drills:plans", "Nothing is drilled by plan yet"),
        ("drills:calendar", "Nothing is planned in this month"),
        ("drills:quiet", "No time is kept quiet"),
        ("drills:feeds", "No calendar reads our drills yet"),
        ("actions:list", "Nothing is left to mend."),
        ("incidents:list", "No incident yet"),
        ("rollbacks:choose", "No alias in production"),
        ("rollbacks:approvals", "Nothing waits for you."),
        ("rollbacks:holds", "Nothing is under hold"),
        ("routing:list", "No routing policy yet"),
        ("registry:list", "Nothing is registered yet"),
        ("registry:environments", "No environment yet"),
        ("registry:live", "No environment yet"),
        ("registry:retention", "No version is registered yet"),
        ("releases:list", "No release yet"),
        ("reviews:list", "No review yet"),
        ("postmortems:list", "No postmortem yet"),
        ("postmortems:search", "Search incidents and postmortems"),
        ("postmortems:causes", "Nothing to count yet"),
        ("audit:list", "Nothing is recorded yet"),
    ],
)
def test_page_without_a_world_says_what_will_fill_it(name: str, sentence: str, cast: Cast) -> None:
    assert sentence in page(client_of(cast.admin), reverse(name))


@pytest.mark.django_db
def test_list_that_a_filter_empties_offers_to_show_all(cast: Cast, world: World) -> None:
    client = client_of(cast.admin)
    for name in ("dashboard:overview", "drills:list", "routing:list", "registry:list", "audit:list"):
        text = page(client, reverse(name) + "?q=zzz&alias=zzz&event=zzz")
        assert "matches" in text, name
        assert "Show all" in text, name


@pytest.mark.django_db
def test_pages_any_send_the_strict_policy_and_no_inline_script(cast: Cast, world: World) -> None:
    response = client_of(cast.admin).get(reverse("drills:detail", args=[world.passed.pk]))
    policy = response["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert AuditEvent.objects.exists()
