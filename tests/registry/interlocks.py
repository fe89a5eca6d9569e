"""Each reason that keeps a version from being retired, made on its own: what brings it about, and what ends it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from incidents.enums import IncidentState
from incidents.models import Incident
from rollbackhub.common.clock import now
from rollbackhub.executions.models import ProcedureVersion
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Artefact, Environment, StabilityHold, Version
from rollbackhub.releases.enums import ReleaseState
from rollbackhub.releases.models import Release
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.accounts import UserFactory
from tests.factories.executions import ExecutionFactory, ProcedureVersionFactory, plan_of
from tests.factories.incidents import IncidentRollbackFactory
from tests.factories.registry import ArtefactFactory, EnvironmentFactory, VersionFactory
from tests.factories.releases import ReleaseFactory
from tests.factories.rollbacks import RollbackFactory, StabilityHoldFactory
from tests.factories.routing import PolicyRevisionFactory, RoutingPolicyFactory

Ends = Callable[[], None]
"""Takes the reason away again."""

VERSION, OTHER, THIRD = "v1", "v2", "v3"


@dataclass(frozen=True)
class Scene:
    """An alias in staging and production that v2 serves alone, and the version v1 that nothing needs."""

    version: Version
    production: RoutingPolicy
    staging: RoutingPolicy

    @property
    def artefact(self) -> Artefact:
        """Of all of it."""
        return self.version.artefact

    def other(self, label: str = OTHER) -> Version:
        """Another version of the artefact."""
        found: Version = VersionFactory(artefact=self.artefact, label=label)
        return found

    def weights(self, policy: RoutingPolicy, **weights: int) -> None:
        """The policy's next revision."""
        policy.refresh_from_db()
        PolicyRevisionFactory(policy=policy, weights=weights)

    def proves(self, label: str) -> None:
        """A drill that went back to this version has passed."""
        procedure = ProcedureVersion.objects.first() or ProcedureVersionFactory()
        plan = plan_of(policy=self.staging, procedure_version=procedure) | {"bad_version": OTHER, "good_versions": [label]}
        ExecutionFactory(policy=self.staging, procedure_version=procedure, plan=plan, passed=True)


def make_scene(slug: str = "smart-reasoner") -> Scene:
    """In whatever database is current."""
    production: Environment = EnvironmentFactory(slug="production")
    artefact = ArtefactFactory(slug=f"{slug}-model")
    version = VersionFactory(artefact=artefact, label=VERSION, lifecycle=Lifecycle.ARCHIVED)
    policies = [
        RoutingPolicyFactory(environment=environment, alias=slug, artefact=artefact, revision={OTHER: 100})
        for environment in (production, EnvironmentFactory())
    ]
    return Scene(version, *policies)


def serves_production(scene: Scene) -> Ends:
    """It has weight in production."""
    scene.weights(scene.production, v1=25, v2=75)
    return lambda: scene.weights(scene.production, v2=100)


def serves_staging(scene: Scene) -> Ends:
    """It has weight in staging only."""
    scene.weights(scene.staging, v1=100)
    return lambda: scene.weights(scene.staging, v2=100)


def target_in_policy(scene: Scene) -> Ends:
    """It stands in production's policy without weight: a rollback goes back to it. It ends when it is taken out."""
    scene.weights(scene.production, v1=0, v2=100)
    return lambda: scene.weights(scene.production, v2=100, v3=0)


def target_of_rollout(scene: Scene) -> Ends:
    """A release that rolls out goes back to it. It ends when that is abandoned."""
    release: Release = ReleaseFactory(policy=scene.production, from_version=scene.version, to_version=scene.other(), rolling_out=True)
    return lambda: _set_release(release, ReleaseState.ABANDONED)


def target_of_live_release(scene: Scene) -> Ends:
    """The release that is live goes back to it. It ends with the next release that goes live."""
    Version.objects.filter(pk=scene.other().pk).update(lifecycle=Lifecycle.LIVE)
    ReleaseFactory(policy=scene.production, from_version=scene.version, to_version=scene.other(), state=ReleaseState.LIVE, live_at=now() - dt.timedelta(days=9))

    def goes_on() -> None:
        ReleaseFactory(policy=scene.production, from_version=scene.other(), to_version=scene.other(THIRD), state=ReleaseState.LIVE, live_at=now())

    return goes_on


def _set_release(release: Release, state: ReleaseState) -> None:
    Release.objects.filter(pk=release.pk).update(state=state, ended_at=now())


def only_proven(scene: Scene) -> Ends:
    """Going back was drilled to it alone. It ends when a drill goes back to another version."""
    scene.proves(VERSION)
    return lambda: scene.proves(THIRD) if scene.other(THIRD) else None


def within_window(scene: Scene) -> Ends:
    """It was superseded yesterday. It ends after the window."""
    _superseded(scene, days=1)
    return lambda: _superseded(scene, days=91)


def within_own_window(scene: Scene) -> Ends:
    """Its artefact keeps versions for a year. It ends when the artefact has no window of its own."""
    Artefact.objects.filter(pk=scene.artefact.pk).update(retention_days=365)
    _superseded(scene, days=91)
    return lambda: _no_own_window(scene)


def _superseded(scene: Scene, *, days: int) -> None:
    Version.objects.filter(pk=scene.version.pk).update(superseded_at=now() - dt.timedelta(days=days))


def _no_own_window(scene: Scene) -> None:
    Artefact.objects.filter(pk=scene.artefact.pk).update(retention_days=None)


def hold_lifted(scene: Scene) -> Ends:
    """A rollback took it out. The hold ends when a lead lifts it."""
    hold = StabilityHoldFactory(version=scene.version)
    lead = UserFactory()
    return lambda: _set_hold(hold, lifted_at=now(), lifted_by=lead, lift_reason="The fault was elsewhere.")


def hold_over(scene: Scene) -> Ends:
    """The same; the hold ends by time."""
    hold = StabilityHoldFactory(version=scene.version)
    return lambda: _set_hold(hold, started_at=now() - dt.timedelta(days=8), ends_at=now() - dt.timedelta(seconds=1))


def _set_hold(hold: StabilityHold, **values: object) -> None:
    StabilityHold.objects.filter(pk=hold.pk).update(**values)


def incident_as_bad(scene: Scene) -> Ends:
    """An incident that is not closed took it out."""
    return _incident(scene, bad=scene.version, good=OTHER)


def incident_as_good(scene: Scene) -> Ends:
    """An incident that is not closed went back to it."""
    return _incident(scene, bad=scene.other(), good=VERSION)


def _incident(scene: Scene, *, bad: Version, good: str) -> Ends:
    procedure = ProcedureVersion.objects.first() or ProcedureVersionFactory()
    plan = plan_of(policy=scene.production, procedure_version=procedure) | {"bad_version": bad.label, "good_versions": [good]}
    rollback = RollbackFactory(verified=True, parts__policy=scene.production, parts__bad_version=bad, parts__procedure_version=procedure, parts__plan=plan)
    incident = IncidentRollbackFactory(rollback=rollback).incident
    Incident.objects.filter(pk=incident.pk).update(state=IncidentState.STABLE, stable_at=now())
    return lambda: _close(incident)


def _close(incident: Incident) -> None:
    Incident.objects.filter(pk=incident.pk).update(state=IncidentState.CLOSED, closed_at=now())


REASONS: dict[str, tuple[str, Callable[[Scene], Ends]]] = {
    "serves in production": ("serves", serves_production),
    "serves in staging": ("serves", serves_staging),
    "target in the policy": ("rollback_target", target_in_policy),
    "target of a rollout": ("rollback_target", target_of_rollout),
    "target of the live release": ("rollback_target", target_of_live_release),
    "only proven target": ("only_proven_target", only_proven),
    "within the window": ("within_window", within_window),
    "within the artefact's window": ("within_window", within_own_window),
    "hold until lifted": ("stability_hold", hold_lifted),
    "hold until over": ("stability_hold", hold_over),
    "taken out in an open incident": ("open_incident", incident_as_bad),
    "gone back to in an open incident": ("open_incident", incident_as_good),
}
"""Name → code, and what brings it about."""

ALL_AT_ONCE = (target_in_policy, target_of_rollout, only_proven, within_window, hold_lifted, incident_as_bad)
"""Reasons that can stand together."""

ALL_CODES = ["only_proven_target", "open_incident", "rollback_target", "rollback_target", "stability_hold", "within_window"]

__all__ = ["ALL_AT_ONCE", "ALL_CODES", "REASONS", "VERSION", "Ends", "Scene", "make_scene"]
