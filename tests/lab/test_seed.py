"""What the lab puts into the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import Conflict
from rollbackhub.connectors.envoy import EnvoyConnector
from rollbackhub.connectors.prometheus import PrometheusConnector
from rollbackhub.lab.catalogue import ALIASES, ENVIRONMENTS, LabAlias
from rollbackhub.lab.domain.seed import ACTOR, seed_lab
from rollbackhub.lab.parts import MovedAlias
from rollbackhub.lab.world import LabWorld
from rollbackhub.registry.domain.retention import describe_retention, list_retention
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Artefact, Connection, Environment, Version
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec

pytestmark = pytest.mark.django_db


def world_at(base_port: int = 20000, environments: tuple[str, ...] = ENVIRONMENTS, parts: tuple[str, ...] = ()) -> LabWorld:
    return LabWorld(hub_url="http://127.0.0.1:8000", base_port=base_port, directory=Path("/nonexistent"), environments=environments, parts=parts)


def metrics_of(environment: str) -> dict[str, object]:
    settings: dict[str, object] = Connection.objects.get(environment__slug=environment, connector="prometheus").settings
    return settings


def weights(environment: str, alias: str) -> dict[str, int]:
    policy = RoutingPolicy.objects.get(environment__slug=environment, alias=alias)
    return {candidate.candidate_id: candidate.weight for candidate in get_candidates(policy=policy)}


def test_seed_empty_registry_gets_the_chapters_policies() -> None:
    seed_lab(world_at())
    for environment in ENVIRONMENTS:
        assert weights(environment, "smart-reasoner") == {"anthropic:claude-sonnet-4-6:ap-south-1": 25, "anthropic:claude-sonnet-4-5:ap-south-1": 75}
        assert weights(environment, "support-answer") == {"prompts:support-answer-v13:ap-south-1": 10, "prompts:support-answer-v12:ap-south-1": 90}
    assert {artefact.change_type for artefact in Artefact.objects.all()} == {"model", "prompt"}


def test_seed_everything_is_marked_and_described() -> None:
    seed_lab(world_at())
    assert all(artefact.is_lab for artefact in Artefact.objects.all())
    assert all(environment.is_lab for environment in Environment.objects.all())
    assert Version.objects.count() == sum(len(alias.versions) for alias in ALIASES)
    assert all(version.digest.startswith("sha256:") and version.changelog and version.author == "lab" for version in Version.objects.all())
    assert len({version.digest for version in Version.objects.all()}) == Version.objects.count()


def test_seed_connections_are_what_the_connectors_take() -> None:
    seed_lab(world_at(21000))
    envoy = Connection.objects.get(environment__slug="production", connector="envoy").settings
    assert EnvoyConnector.settings_type.model_validate(envoy).admins == {"production-gateway-1": "http://127.0.0.1:21021"}
    prometheus = Connection.objects.get(environment__slug="staging", connector="prometheus").settings
    assert PrometheusConnector.settings_type.model_validate(prometheus).endpoint == "http://127.0.0.1:21000/metrics/staging"


def test_seed_versions_stand_where_their_history_puts_them(tmp_path: Path) -> None:
    world = LabWorld(hub_url="http://127.0.0.1:8000", base_port=20000, directory=tmp_path, environments=ENVIRONMENTS, parts=("haproxy", "git", "delta"))
    for part in world.parts:
        part.prepare()
    seed_lab(world)
    aliases: list[LabAlias | MovedAlias] = [*ALIASES, *(alias for part in world.parts for alias in part.aliases())]
    wanted = {(alias.alias, version.label): version.lifecycle for alias in aliases for version in alias.versions}
    assert {(version.artefact.slug, version.label): version.lifecycle for version in Version.objects.select_related("artefact")} == wanted
    assert Environment.objects.get(slug="production").releases_only
    superseded = Version.objects.filter(lifecycle=Lifecycle.SUPERSEDED)
    assert superseded.count() == 3
    for version in superseded:
        (found,) = describe_retention(list(list_retention().filter(pk=version.pk)), live_since={})
        assert version.superseded_at is not None
        assert found.retained_until is not None
        events = AuditEvent.objects.filter(subject_type="version", subject_id=str(version.pk)).order_by("id")
        assert [event.event for event in events] == ["version.registered", "version.live", "version.superseded"]
        first, present = RoutingPolicy.objects.get(environment__slug="production", artefact=version.artefact).revisions.order_by("number")
        assert [candidate.version for candidate in first.candidates.filter(weight=100)] == [version]
        assert list(present.candidates.filter(version=version).values_list("weight", flat=True)) == [0]


def test_seed_twice_changes_nothing() -> None:
    assert seed_lab(world_at())
    events = AuditEvent.objects.count()
    assert seed_lab(world_at()) == []
    assert AuditEvent.objects.count() == events


def test_seed_other_ports_move_the_connections_and_leave_flipped_policies() -> None:
    seed_lab(world_at(20000))
    policy = RoutingPolicy.objects.get(environment__slug="staging", alias="smart-reasoner")
    flipped = [CandidateSpec(spec.candidate_id, spec.version_pin, weight) for spec, weight in zip(get_candidates(policy=policy), (0, 100), strict=True)]
    append_revision(policy_id=policy.pk, expected_revision=1, candidates=flipped, actor=ACTOR, reason="test")
    made = seed_lab(world_at(22000))
    assert len(made) == 4
    assert all("connection" in entry for entry in made)
    assert Connection.objects.get(environment__slug="staging", connector="envoy").settings["admins"]["staging-gateway-1"].endswith(":22011")
    assert weights("staging", "smart-reasoner")["anthropic:claude-sonnet-4-6:ap-south-1"] == 0


def test_seed_prometheus_comes_and_goes_with_its_part_and_only_for_staging(monkeypatch: pytest.MonkeyPatch) -> None:
    page = {environment: {"endpoint": f"http://127.0.0.1:20000/metrics/{environment}"} for environment in ENVIRONMENTS}
    seed_lab(world_at())
    assert {environment: metrics_of(environment) for environment in ENVIRONMENTS} == page
    assert seed_lab(world_at(parts=("prometheus",))) == ["connection prometheus of staging (changed)"]
    assert metrics_of("staging") == {"server": "http://127.0.0.1:20035", "stale_after_seconds": 5}
    assert PrometheusConnector.settings_type.model_validate(metrics_of("staging")).source == "http://127.0.0.1:20035"
    assert metrics_of("production") == page["production"]
    assert seed_lab(world_at(parts=("prometheus",))) == []

    monkeypatch.setenv("PATH", "/nonexistent")
    without = world_at(parts=("prometheus",))
    assert "apt-get install prometheus" in without.missing_parts["prometheus"]
    assert seed_lab(without) == ["connection prometheus of staging (changed)"]
    assert {environment: metrics_of(environment) for environment in ENVIRONMENTS} == page


def test_seed_leaves_connections_that_somebody_has_added() -> None:
    seed_lab(world_at(parts=("haproxy",)))
    staging = Environment.objects.get(slug="staging")
    theirs = {"sockets": {"haproxy": "unix:/nonexistent/elsewhere.sock"}}
    Connection.objects.create(environment=staging, connector="haproxy", name="elsewhere", settings=theirs)
    assert seed_lab(world_at(parts=("haproxy",))) == []
    assert Connection.objects.get(environment=staging, name="elsewhere").settings == theirs


def test_seed_is_recorded_by_the_system_actor() -> None:
    seed_lab(world_at())
    event = AuditEvent.objects.get(event="lab.seeded")
    assert (event.actor_kind, event.actor_label) == ("system", "lab")
    assert "environment staging" in event.data["made"]


def test_seed_one_environment_makes_only_that() -> None:
    seed_lab(world_at(environments=("staging",)))
    assert list(Environment.objects.values_list("slug", flat=True)) == ["staging"]


def test_seed_somebody_elses_environment_is_refused_and_untouched() -> None:
    Environment.objects.create(slug="production", name="Production", kind="production")
    with pytest.raises(Conflict, match="LAB=0") as refusal:
        seed_lab(world_at())
    assert refusal.value.code == "not_the_labs"
    assert list(Environment.objects.values_list("slug", flat=True)) == ["production"]
    assert not Connection.objects.exists()


def test_seed_somebody_elses_artefact_is_refused() -> None:
    seed_lab(world_at())
    Artefact.objects.filter(slug="support-answer").update(is_lab=False)
    with pytest.raises(Conflict, match="support-answer"):
        seed_lab(world_at())
