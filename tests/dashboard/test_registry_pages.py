"""Pages of artefacts and versions, and the form for a new one."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import Any

import pytest
from django.urls import reverse

from rollbackhub.audit.actors import Actor
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.registry.domain.lifecycle import archive_version
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Version
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, VersionFactory
from tests.factories.releases import ReleaseFactory
from tests.factories.rollbacks import StabilityHoldFactory
from tests.factories.routing import BAD, GOOD, PolicyRevisionFactory, RoutingPolicyFactory, candidate_id

ARTEFACT = "/registry/artefacts/reasoner-model/"
NEW = f"{ARTEFACT}versions/new/"


def address(version: Version) -> str:
    """The page of a version."""
    return reverse("registry:version", args=[version.pk])


def plain(text: str) -> str:
    """What a person reads of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


@pytest.mark.django_db
def test_artefact_page_says_who_uses_it_its_window_and_what_is_kept(cast: Cast, world: World) -> None:
    artefact = world.reasoner.artefact
    assert "Only what is live now: the canary can go back to it." in plain(page(client_of(cast.auditor), ARTEFACT))
    until = now() + dt.timedelta(days=80)
    old = VersionFactory(artefact=artefact, label="v-old", lifecycle=Lifecycle.SUPERSEDED, superseded_at=until - dt.timedelta(days=90), author="Ada")
    VersionFactory(artefact=artefact, label="v-child", parent=old)
    words = plain(page(client_of(cast.auditor), ARTEFACT))
    assert "1 version that served before is kept." in words
    assert "1 live in production, 4 registered in all." in words
    assert "90 days after a version is superseded (of its change type)" in words
    assert "from v-old" in words
    assert f"{until.day} {until:%b %Y}" in words
    assert re.search(r"Alias Environment Traffic now smart-reasoner Production .* smart-reasoner Staging", words)
    assert "Register a version" not in words, "an auditor registers nothing"
    assert "Register a version" in page(client_of(cast.on_call), ARTEFACT)
    artefact.retention_days = 45
    artefact.save()
    assert "45 days after a version is superseded (its own)" in plain(page(client_of(cast.auditor), ARTEFACT))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("states", "words"),
    [
        ([], "No version is registered yet."),
        ([Lifecycle.REGISTERED], "No version that served before is kept."),
        ([Lifecycle.LIVE, Lifecycle.RETIRED], "No version that served before is kept."),
        ([Lifecycle.LIVE, Lifecycle.SUPERSEDED, Lifecycle.ARCHIVED], "2 versions that served before are kept."),
    ],
)
def test_artefact_page_answers_by_where_its_versions_stand(states: list[str], words: str, cast: Cast) -> None:
    artefact = ArtefactFactory(slug="reasoner-model")
    for state in states:
        VersionFactory(
            artefact=artefact, lifecycle=state, superseded_at=now() if state in (Lifecycle.SUPERSEDED, Lifecycle.ARCHIVED, Lifecycle.RETIRED) else None
        )
    assert words in plain(page(client_of(cast.auditor), ARTEFACT))


@pytest.mark.django_db
def test_artefact_page_takes_a_fixed_number_of_queries(cast: Cast, world: World, django_assert_max_num_queries: Any) -> None:
    client = client_of(cast.auditor)
    page(client, ARTEFACT)
    VersionFactory.create_batch(20, artefact=world.reasoner.artefact)
    for _ in range(5):
        RoutingPolicyFactory(artefact=world.reasoner.artefact)
    with django_assert_max_num_queries(21):
        page(client, ARTEFACT)


@pytest.mark.django_db
def test_version_page_says_everything_about_it(cast: Cast, world: World) -> None:
    artefact = world.reasoner.artefact
    parent = Version.objects.get(artefact=artefact, label=GOOD)
    version = Version.objects.get(artefact=artefact, label=BAD)
    Version.objects.filter(pk=version.pk).update(parent=parent, uri="https://models.example/4-6", author="Ada <script>", eval_reference="eval 7")
    VersionFactory(artefact=artefact, label="v-child", parent=version)
    ReleaseFactory(policy=RoutingPolicyFactory(artefact=artefact, environment=world.production, alias="other"), from_version=parent, to_version=version)
    StabilityHoldFactory(version=version)
    text = page(client_of(cast.lead), address(version))
    words = plain(text)
    assert f"{BAD} is canary. It has weight in 2 aliases in production. It is under a stability hold until" in words
    for said in ("sha256:" + "b2" * 32, "Faster tool use; under test.", "Ada <script>", "eval 7", "v-child", "planned", "25 %", "the rollback"):
        assert said in words, said
    assert "Ada <script>" not in text
    assert 'href="https://models.example/4-6" rel="noreferrer noopener"' in text
    assert f'href="{address(parent)}"' in text
    assert "v-child" not in plain(page(client_of(cast.lead), address(parent))), "only what was made from it itself"


@pytest.mark.django_db
@pytest.mark.parametrize("uri", ["javascript:alert(1)", "data:text/html,x", "models:/reasoner/3"])
def test_version_page_links_only_web_addresses(uri: str, cast: Cast) -> None:
    text = page(client_of(cast.auditor), address(VersionFactory(uri=uri, eval_reference=uri)))
    assert f'href="{uri}' not in text
    assert f"<code>{uri}</code>" in text


@pytest.mark.django_db
def test_version_page_history_is_that_of_the_audit_log(cast: Cast, world: World) -> None:
    actor = Actor(kind="person", label="Lee Lead", user_id=cast.lead.pk)
    policy = RoutingPolicyFactory(environment=world.production, alias="history", artefact=ArtefactFactory(slug="history"), revision={"v1": 100})
    client_of(cast.lead).post("/registry/artefacts/history/versions/new/", {"label": "v2"})
    version = Version.objects.get(label="v2")
    first, second = candidate_id("v1"), candidate_id("v2")
    for expected, new in ((1, 100), (2, 0)):
        specs = [CandidateSpec(first, "v1", 100 - new), CandidateSpec(second, "v2", new)]
        append_revision(policy_id=policy.pk, expected_revision=expected, candidates=specs, actor=actor, reason="for a test")
    archive_version(version_id=version.pk, account=cast.lead, actor=actor, reason="not meant to serve")
    words = plain(page(client_of(cast.auditor), address(version)))
    steps = ["Superseded → Archived", "Live → Superseded", "Registered → Live", "Registered by"]
    assert [words.find(step) for step in steps] == sorted(words.find(step) for step in steps)
    assert -1 not in [words.find(step) for step in steps]
    assert "not meant to serve" in words
    assert "In the audit log" in words
    assert "In the audit log" not in plain(page(client_of(cast.on_call), address(version)))


@pytest.mark.django_db
def test_version_page_takes_a_fixed_number_of_queries(cast: Cast, world: World, django_assert_max_num_queries: Any) -> None:
    client, version = client_of(cast.auditor), Version.objects.get(artefact__slug="reasoner-model", label=BAD)
    page(client, address(version))
    for number in range(4):
        policy: RoutingPolicy = RoutingPolicyFactory(environment=world.production, alias=f"more-{number}", artefact=version.artefact)
        ReleaseFactory(policy=policy, from_version=version)
        VersionFactory(artefact=version.artefact, parent=version)
    with django_assert_max_num_queries(25):
        page(client, address(version))


@pytest.mark.django_db
@pytest.mark.parametrize("version_id", [10**9, 10**30])
def test_version_page_unknown_is_a_404_in_words(version_id: int, cast: Cast) -> None:
    assert "There is no such version." in page(client_of(cast.auditor), f"/registry/versions/{version_id}/", status=404)


@pytest.mark.django_db
def test_version_form_registers_and_leads_to_its_page(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    assert 'value="Olga Call"' in page(client, NEW), "the author is who asks, until they say otherwise"
    values = {"label": "v9", "digest": "sha256:9", "parent": GOOD, "author": "Ada", "changelog": "a\r\nb", "is_strategic": "on"}
    response = client.post(NEW, values)
    version = Version.objects.get(label="v9")
    assert response["Location"] == address(version)
    assert version.parent is not None
    assert (version.parent.label, version.author, version.changelog, version.is_strategic) == (GOOD, "Ada", "a\nb", True)
    event = AuditEvent.objects.get(event="version.registered")
    assert (event.actor_label, event.subject_id) == ("Olga Call", str(version.pk))
    assert client.post(NEW, values)["Location"] == address(version)
    assert "was registered before with this digest" in page(client, address(version))
    assert Version.objects.filter(label="v9").count() == 1


@pytest.mark.django_db
def test_version_form_taken_label_names_both_digests_and_links_the_version(cast: Cast, world: World) -> None:
    response = client_of(cast.on_call).post(NEW, {"label": GOOD, "digest": "sha256:other"})
    words = response.content.decode()
    assert response.status_code == 409
    assert "sha256:other" in words
    assert "a1a1a1" in words
    assert f'href="{address(Version.objects.get(artefact__slug="reasoner-model", label=GOOD))}"' in words


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"label": ""}, "This field is required."),
        ({"label": "v 9"}, "The label may hold no spaces or line breaks."),
        ({"label": "v9", "uri": "https://ada:hunter2@models.example/"}, "The URI holds a password or a key in an address."),
        ({"label": "v9", "parent": "v8"}, "v8 is not a version of reasoner-model."),
        ({"label": "x" * 121}, "at most 120 characters"),
    ],
)
def test_version_form_says_what_is_wrong_by_field_and_keeps_what_was_typed(values: dict[str, str], sentence: str, cast: Cast, world: World) -> None:
    before = Version.objects.count()
    response = client_of(cast.on_call).post(NEW, {"author": "Typed before", **values})
    assert response.status_code == 422
    text = unescape(response.content.decode())
    assert sentence in text
    assert 'value="Typed before"' in text
    assert Version.objects.count() == before


@pytest.mark.django_db
def test_version_form_is_for_those_who_may_register(cast: Cast, world: World) -> None:
    for name, user in cast.everybody_but("on_call", "lead", "admin").items():
        assert client_of(user).post(NEW, {"label": "v9"}).status_code == 403, name
        assert client_of(user).get(NEW).status_code == 403, name
    assert not Version.objects.filter(label="v9").exists()
    page(client_of(cast.admin), "/registry/artefacts/unknown/versions/new/", status=404)


@pytest.mark.django_db
def test_artefact_page_counts_revisions_of_many_aliases(cast: Cast, world: World) -> None:
    for number in range(55):
        PolicyRevisionFactory(policy=RoutingPolicyFactory(alias=f"many-{number}", artefact=world.reasoner.artefact))
    assert "There are more; the routing page lists them all." in page(client_of(cast.auditor), ARTEFACT)
