"""Every act on a release in every state, and releases that follow the rollbacks of their versions."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable

import pytest
from django.test import Client

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict
from rollbackhub.registry.domain.holds import lift_hold, start_hold
from rollbackhub.releases.domain.rehearsal import rehearse_release
from rollbackhub.releases.domain.selectors import rollback_of
from rollbackhub.releases.domain.transitions import FOLLOWING, _move, abandon_release, bypass_gate, follow_rollbacks
from rollbackhub.releases.enums import OPEN_STATES, ReleaseState
from rollbackhub.releases.models import Release, ReleaseRehearsal, ReleaseStep
from rollbackhub.releases.rules import TRANSITIONS
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.domain.transitions import append_revision, create_policy
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.factories.rollbacks import RollbackFactory
from tests.releases.conftest import NEW, NEW_CANDIDATE, OLD, OLD_CANDIDATE, Stage
from tests.rollbacks.conftest import ACTOR

REASON = "nobody wants it any more"

ALLOWED = {
    "planned": {"rolling_out", "live", "abandoned"},
    "rolling_out": {"rolling_out", "live", "rolled_back", "abandoned"},
    "live": {"superseded", "rolled_back"},
    "superseded": set(),
    "rolled_back": set(),
    "abandoned": set(),
}
"""Written out a second time: whoever changes the table changes it here, too."""


def _promote(stage: Stage, release: Release) -> object:
    return stage.promote(release)


def _bypass(stage: Stage, release: Release) -> object:
    return bypass_gate(release_id=release.pk, account=stage.cast.lead, actor=actor_of(stage.cast.lead), reason=REASON)


def _abandon(stage: Stage, release: Release) -> object:
    return abandon_release(release_id=release.pk, account=stage.cast.on_call, actor=actor_of(stage.cast.on_call), reason=REASON)


def _rehearse(stage: Stage, release: Release) -> object:
    return rehearse_release(release_id=release.pk, account=stage.cast.on_call, actor=actor_of(stage.cast.on_call))


ACTS: dict[str, tuple[Callable[[Stage, Release], object], tuple[ReleaseState, ...]]] = {
    "promote": (_promote, OPEN_STATES),
    "bypass": (_bypass, (ReleaseState.PLANNED,)),
    "abandon": (_abandon, OPEN_STATES),
    "rehearse": (_rehearse, OPEN_STATES),
}
"""What can be done to a release, and in which states."""


def flip(stage: Stage, *, new: int) -> None:
    """The new version gets this much of production."""
    number = RoutingPolicy.objects.get(pk=stage.production.pk).revision_number
    candidates = [CandidateSpec(NEW_CANDIDATE, NEW, new), CandidateSpec(OLD_CANDIDATE, OLD, 100 - new)]
    append_revision(policy_id=stage.production.pk, expected_revision=number, candidates=candidates, actor=ACTOR, reason="flip")


def rolled_back(stage: Stage, *, policy: RoutingPolicy | None = None) -> Rollback:
    """A rollback of the new version in this alias (production's, unless told otherwise); its hold stands from now on."""
    policy = policy or stage.production
    rollback: Rollback = RollbackFactory(
        verified=True, environment=stage.production.environment, decided_at=clock.now(), parts__policy=policy, parts__bad_version=stage.new
    )
    if policy.pk == stage.production.pk:
        flip(stage, new=0)
    start_hold(version=stage.new, rollback_id=rollback.pk, actor=ACTOR)
    return rollback


def shipping(stage: Stage) -> Release:
    """The first step is taken."""
    release = stage.release()
    stage.rehearsed(release)
    stage.promote(release)
    release.refresh_from_db()
    return release


def test_table_is_what_it_is_meant_to_be() -> None:
    assert {str(state): {str(after) for after in follows} for state, follows in TRANSITIONS.items()} == ALLOWED


@pytest.mark.parametrize(("before", "after"), list(itertools.product(ReleaseState, ReleaseState)))
def test_release_moves_where_the_table_says_and_nowhere_else(stage: Stage, before: ReleaseState, after: ReleaseState) -> None:
    release = stage.release()
    Release.objects.filter(pk=release.pk).update(state=before)
    release.refresh_from_db()
    if after in ALLOWED[before]:
        _move(release, after, actor=FOLLOWING, event="release.tried", data={})
        assert Release.objects.get(pk=release.pk).state == after
        assert AuditEvent.objects.get(event="release.tried").data == {"before": str(before), "after": str(after)}
        return
    with pytest.raises(Conflict) as refusal:
        _move(release, after, actor=FOLLOWING, event="release.tried", data={})
    assert refusal.value.code == "wrong_state"
    assert Release.objects.get(pk=release.pk).state == before
    assert not AuditEvent.objects.filter(event="release.tried").exists()


@pytest.mark.parametrize(("name", "state"), list(itertools.product(ACTS, ReleaseState)))
def test_act_in_each_state_is_done_or_refused_and_leaves_nothing(stage: Stage, name: str, state: ReleaseState) -> None:
    act, states = ACTS[name]
    release = stage.release()
    if name == "promote":
        stage.rehearsed(release)
    Release.objects.filter(pk=release.pk).update(state=state)
    before = Release.objects.values().get(pk=release.pk)
    if state in states:
        act(stage, release)
        assert Release.objects.values().get(pk=release.pk) != before or ReleaseRehearsal.objects.filter(release=release).exists()
        return
    with pytest.raises(Conflict) as refusal:
        act(stage, release)
    assert refusal.value.code == "wrong_state"
    assert Release.objects.values().get(pk=release.pk) == before
    assert not ReleaseStep.objects.exists()
    assert not ReleaseRehearsal.objects.exists()
    assert stage.weights() == {OLD: 100}


# Following rollbacks.


def test_version_that_was_rolled_back_takes_no_further_step_and_the_release_names_the_rollback(stage: Stage) -> None:
    release = shipping(stage)
    rollback = rolled_back(stage)
    rollback.parts.update(holds_alias=False)
    with pytest.raises(Conflict) as refusal:
        stage.promote(release)
    assert refusal.value.code == "wrong_state"
    release.refresh_from_db()
    assert (release.state, release.end_reason) == (ReleaseState.ROLLED_BACK, f"Rollback {str(rollback.pk)[:8]} took it out.")
    assert rollback_of(release) == rollback
    assert AuditEvent.objects.get(event="release.rolled_back").data["rollback"] == str(rollback.pk)
    assert follow_rollbacks() == 0
    assert stage.weights() == {NEW: 0, OLD: 100}


def test_release_that_went_live_follows_by_the_clock(stage: Stage) -> None:
    release = stage.release(steps=[100])
    stage.rehearsed(release)
    stage.promote(release)
    rolled_back(stage)
    assert follow_rollbacks() == 1
    release.refresh_from_db()
    assert release.state == ReleaseState.ROLLED_BACK
    assert release.ended_at is not None


def test_release_follows_although_its_hold_was_lifted_before_anybody_looked(stage: Stage) -> None:
    release = shipping(stage)
    rolled_back(stage)
    hold = stage.new.holds.get()
    lift_hold(hold_id=hold.pk, user=stage.cast.lead, actor=actor_of(stage.cast.lead), reason="a false alarm")
    assert follow_rollbacks() == 1
    assert Release.objects.get(pk=release.pk).state == ReleaseState.ROLLED_BACK


def test_rollback_of_the_version_in_another_alias_leaves_the_release_where_it_serves(stage: Stage) -> None:
    release = shipping(stage)
    other = create_policy(
        environment=stage.production.environment,
        alias="quick-reasoner",
        artefact=stage.production.artefact,
        candidates=[CandidateSpec(NEW_CANDIDATE, NEW, 0), CandidateSpec(OLD_CANDIDATE, OLD, 100)],
        actor=ACTOR,
        reason="seed",
    )
    rolled_back(stage, policy=other)
    assert follow_rollbacks() == 0
    release.refresh_from_db()
    assert (release.state, rollback_of(release)) == (ReleaseState.ROLLING_OUT, None)


def test_release_of_a_version_that_an_older_rollback_took_out_goes_on(stage: Stage) -> None:
    rollback: Rollback = RollbackFactory(
        closed=True,
        environment=stage.production.environment,
        decided_at=clock.now() - dt.timedelta(days=9),
        parts__policy=stage.production,
        parts__bad_version=stage.new,
    )
    hold = start_hold(version=stage.new, rollback_id=rollback.pk, actor=ACTOR)
    hold.started_at, hold.ends_at = clock.now() - dt.timedelta(days=9), clock.now() - dt.timedelta(days=2)
    hold.save()
    release = shipping(stage)
    assert follow_rollbacks() == 0
    assert release.state == ReleaseState.ROLLING_OUT


def test_page_of_a_release_that_was_rolled_back_leads_to_the_rollback(stage: Stage) -> None:
    release = shipping(stage)
    rollback = rolled_back(stage)
    assert follow_rollbacks() == 1
    client = Client()
    client.force_login(stage.cast.auditor)
    assert f'href="/rollbacks/{rollback.pk}/">See the rollback</a>' in client.get(f"/releases/{release.pk}/").content.decode()


def test_rehearsal_from_the_page_says_what_it_gave_to_staging(stage: Stage) -> None:
    release = stage.release()
    client = Client()
    client.force_login(stage.cast.on_call)
    response = client.post(f"/releases/{release.pk}/rehearse/", {"expected_step": "0"}, follow=True)
    assert "Staging got the candidates that production will have (revision 2), and keeps them." in response.content.decode()
