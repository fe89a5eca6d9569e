"""A production alias that serves one version alone, its twin in staging, and a new version to release."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Team, User
from rollbackhub.common import clock
from rollbackhub.executions.domain.procedures import append_procedure_version
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.executions.fingerprints import fingerprint
from rollbackhub.executions.models import Execution, Procedure
from rollbackhub.executions.procedures import WEIGHT_FLIP
from rollbackhub.registry.models import Artefact, Environment, Version
from rollbackhub.releases.domain.planning import path_after_first_step
from rollbackhub.releases.domain.selectors import get_release
from rollbackhub.releases.domain.transitions import create_release, promote_release
from rollbackhub.releases.models import Release, ReleaseStep
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.transitions import create_policy
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.factories.executions import ExecutionFactory
from tests.factories.fixtures import Cast, make_cast
from tests.factories.readiness import PreflightRunFactory
from tests.rollbacks.conftest import ACTOR

ALIAS, OLD, NEW = "smart-reasoner", "sonnet-4", "sonnet-5"
OLD_CANDIDATE, NEW_CANDIDATE = "anthropic:sonnet-4:eu", "anthropic:sonnet-5:eu"


@dataclass(frozen=True)
class Stage:
    """What a release needs."""

    production: RoutingPolicy
    staging: RoutingPolicy
    old: Version
    new: Version
    cast: Cast

    def weights(self, policy: RoutingPolicy | None = None) -> dict[str, int]:
        """Version to weight, now."""
        found = RoutingPolicy.objects.get(pk=(policy or self.production).pk)
        return {candidate.version_pin: candidate.weight for candidate in get_candidates(policy=found)}

    def release(self, *, account: User | None = None, **values: object) -> Release:
        """Planned by on-call, unless told otherwise."""
        account = account or self.cast.on_call
        policy = RoutingPolicy.objects.select_related("environment", "artefact").get(pk=self.production.pk)
        return create_release(**({"policy": policy, "to_version": self.new, "account": account, "actor": actor_of(account)} | values))  # type: ignore[arg-type]

    def promote(self, release: Release, *, step: int | None = None, account: User | None = None) -> ReleaseStep:
        """The step that was looked at."""
        account = account or self.cast.on_call
        step = Release.objects.get(pk=release.pk).next_step if step is None else step
        return promote_release(release_id=release.pk, account=account, actor=actor_of(account), expected_step=step)

    def rehearsed(self, release: Release, *, verdict: str = "passed") -> Execution:
        """A rehearsal of exactly the path that production will have ended like that."""
        path = path_after_first_step(get_release(release.pk)).path
        assert path is not None
        execution: Execution = ExecutionFactory(
            kind=ExecutionKind.REHEARSAL,
            policy=self.staging,
            bad_version=self.new,
            passed=verdict == "passed",
            failed=verdict == "failed",
            plan={"alias": ALIAS, "path": path, "good_versions": [OLD], "steps": []},
            fingerprint=fingerprint(path),
        )
        return execution


def make_stage() -> Stage:
    """In whatever database is current. The preflight has looked and found nothing."""
    cast = make_cast()
    team, _ = Team.objects.get_or_create(slug="platform", defaults={"name": "Platform"})
    artefact = Artefact.objects.create(slug="reasoner", name="Reasoner", change_type="model", team=team)
    old, new = (Version.objects.create(artefact=artefact, label=label, digest=f"sha256:{label}") for label in (OLD, NEW))
    procedure, _ = Procedure.objects.get_or_create(change_type="model", connector="", defaults={"slug": "model-flip", "name": "Model flip"})
    append_procedure_version(procedure=procedure, steps=WEIGHT_FLIP, actor=ACTOR)
    policies = []
    for slug in ("production", "staging"):
        place = Environment.objects.create(slug=slug, name=slug.title(), kind=slug)
        PreflightRunFactory(environment=place, finished_at=clock.now())
        policy = create_policy(
            environment=place, alias=ALIAS, artefact=artefact, candidates=[CandidateSpec(OLD_CANDIDATE, OLD, 100)], actor=ACTOR, reason="seed"
        )
        policies.append(RoutingPolicy.objects.select_related("environment", "artefact").get(pk=policy.pk))
    old.refresh_from_db()
    return Stage(policies[0], policies[1], old, new, cast)


@pytest.fixture
def stage(db: None) -> Stage:
    """In the test's own transaction."""
    return make_stage()
