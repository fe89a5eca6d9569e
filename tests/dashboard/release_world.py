"""A release that shows everything its page can show: bypassed, rehearsed in vain, with its first step taken."""

from __future__ import annotations

from rollbackhub.accounts.models import User
from rollbackhub.common.clock import now
from rollbackhub.releases.domain.gate import check_gate
from rollbackhub.releases.models import Release
from tests.dashboard.world import World
from tests.factories.accounts import UserFactory
from tests.factories.registry import ArtefactFactory, VersionFactory
from tests.factories.releases import ReleaseFactory, ReleaseRehearsalFactory, ReleaseStepFactory
from tests.factories.routing import GOOD, PolicyRevisionFactory, RoutingPolicyFactory

NEW = "claude-sonnet-5"


def make_release(world: World) -> Release:
    """Of the alias `ticket-router` in production; and a version of the support prompt that could be released."""
    VersionFactory(artefact=world.prompt.artefact, label="support-prompt-9", changelog="Shorter answers.")
    artefact = ArtefactFactory(slug="ticket-router-model", name="Ticket router model")
    policy = RoutingPolicyFactory(environment=world.production, alias="ticket-router", artefact=artefact, revision={GOOD: 100})
    staging = RoutingPolicyFactory(environment=world.staging, alias="ticket-router", artefact=artefact, revision={GOOD: 100})
    release: Release = ReleaseFactory(
        policy=policy, to_version=VersionFactory(artefact=artefact, label=NEW), note="The old one is slow.", created_by_label="Olga Call"
    )
    ReleaseRehearsalFactory(release=release, execution__policy=staging, execution__failed=True)
    gate = check_gate(release)
    release.bypassed_at, release.bypassed_by = now(), User.objects.filter(username="lead").first() or UserFactory(username="lead")
    release.bypass_reason = "The vendor turns the old one off tonight."
    release.bypassed_conditions = [condition.as_dict() for condition in gate.missing]
    release.gate_answer = gate.as_dict() | {"open": True, "bypassed": True}
    release.state, release.started_at, release.next_step = "rolling_out", now(), 1
    release.save()
    revision = PolicyRevisionFactory(policy=policy, weights={NEW: 1, GOOD: 99}, release_id=release.pk, reason=f"Release {release.pk}: {NEW} to 1 %")
    ReleaseStepFactory(release=release, revision=revision, actor_label="Olga Call")
    return release
