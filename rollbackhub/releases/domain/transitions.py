"""The only writers of releases. Every act locks the release's row, looks at its state, and records what it did, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef

from rollbackhub.accounts.domain.notices import list_people_with, tell
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.shown_text import spoken
from rollbackhub.executions.domain.transitions import find_active
from rollbackhub.registry.domain.holds import describe_hold, held_among
from rollbackhub.registry.enums import EnvironmentKind, Lifecycle
from rollbackhub.registry.models import StabilityHold, Version
from rollbackhub.releases.domain.gate import check_gate
from rollbackhub.releases.domain.planning import derive_candidate_id, next_percent, require_servable, served_label, step_candidates, usual_steps
from rollbackhub.releases.domain.reach import require_cluster, require_taken
from rollbackhub.releases.domain.selectors import hold_since_release, rollback_of, way_back
from rollbackhub.releases.enums import OPEN_STATES, ReleaseState
from rollbackhub.releases.models import Release, ReleaseStep
from rollbackhub.releases.rules import TRANSITIONS, require_valid_steps
from rollbackhub.rollbacks.domain.changes import clean_reason, require_lead
from rollbackhub.rollbacks.domain.transitions import find_active as find_rollback
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.deliveries import FETCHED
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec, weights_by_version

LEAST_BYPASS_REASON = 10
FOLLOWING = system_actor("releases")


def create_release(
    *,
    policy: RoutingPolicy,
    to_version: Version,
    account: User,
    actor: Actor,
    from_version: Version | None = None,
    candidate_id: str = "",
    steps: Sequence[int] | None = None,
    note: str = "",
    idempotency_key: str | None = None,
) -> Release:
    """Plan to move an alias in production to a version, step by step. Nothing of its traffic changes yet.

    `from_version` None: the version that serves most now; `candidate_id` "": like that version's; `steps` None: `usual_steps`.
    The same idempotency key of the same owner gives the same release.
    Raises Forbidden, InvalidInput (`not_production`, `same_version`, `version_retired`, `version_held`, `already_serving`, `candidate_taken`,
    `invalid_candidate`, `not_splittable`, `no_rollback_target`, `invalid_steps`), Conflict (`release_open`, `idempotency_key_reused`).
    """
    require(user=account, capability=Capability.RELEASE)
    owner = f"token:{actor.token_id}" if actor.token_id else f"user:{account.pk}"
    if idempotency_key is not None and (before := _same_request(owner, idempotency_key, policy, to_version)) is not None:
        return before
    candidates = get_candidates(policy=policy)
    _require_releasable(policy, to_version, candidates)
    if from_version is None:
        from_version = Version.objects.get(artefact_id=policy.artefact_id, label=served_label(policy, candidates))
    if from_version.pk == to_version.pk or from_version.artefact_id != policy.artefact_id:
        raise _wrong("from_version", f"{from_version.label} cannot be what {to_version.label} is rolled back to.", "same_version")
    note = spoken(note, field="note")[:300]
    wanted = list(steps) if steps is not None else usual_steps(policy)
    require_valid_steps(wanted)
    candidate_id = candidate_id.strip() or derive_candidate_id(candidates, from_label=from_version.label, to_label=to_version.label)
    release = Release(
        policy=policy,
        from_version=from_version,
        to_version=to_version,
        candidate_id=candidate_id,
        steps=wanted,
        note=note,
        created_by=account,
        created_by_label=actor.label,
        idempotency_key=idempotency_key,
        idempotency_owner=owner if idempotency_key else "",
    )
    require_servable(release, candidates)
    _refuse_second(policy)
    try:
        with transaction.atomic():
            release.save()
            data = {"alias": policy.alias, "environment": policy.environment.slug, "from": from_version.label, "to": to_version.label, "steps": wanted}
            _note(release, actor=actor, event="release.created", data=data)
            return release
    except IntegrityError:
        # Two at once: the database let one of them in.
        if idempotency_key is not None and (before := _same_request(owner, idempotency_key, policy, to_version)) is not None:
            return before
        _refuse_second(policy)
        raise


def promote_release(*, release_id: int, account: User, actor: Actor, expected_step: int) -> ReleaseStep:
    """Take the next canary step: one policy revision. The first needs an open gate, asked in this very transaction.

    `expected_step` is the index of the step that was looked at. Raises Forbidden, NotFound, InvalidInput (held, retired), Conflict
    (`step_taken`, `wrong_state`, `gate_closed` with the conditions, `alias_busy`, `policy_changed`, `revision_moved`; `cluster_missing` and
    `not_taken_yet`: what serves the alias could not take it, or has not taken the last step).
    """
    require(user=account, capability=Capability.RELEASE)
    follow_rollbacks(release_id=release_id)
    _require_reach(release_id, expected_step=expected_step)
    with transaction.atomic():
        release = _locked(release_id)
        if release.state not in OPEN_STATES:
            raise _wrong_state(release, "takes no step any more")
        if release.next_step != expected_step:
            raise Conflict(
                f"Step {expected_step + 1} of this release was taken already, by somebody else or in another window. Look again.",
                code="step_taken",
                url=_url(release),
            )
        policy = release.policy
        _refuse_busy(policy)
        candidates = get_candidates(policy=policy)
        _require_unchanged(release, candidates)
        if release.next_step == 0:
            gate = check_gate(release)
            if not gate.open:
                raise Conflict(
                    "The gate is closed: " + " ".join(condition.sentence for condition in gate.missing),
                    code="gate_closed",
                    conditions=[condition.as_dict() for condition in gate.missing],
                    url=_url(release),
                )
            release.gate_answer = gate.as_dict()
        percent = next_percent(release)
        if percent is None:
            raise _wrong_state(release, "has no step left")
        revision = append_revision(
            policy_id=policy.pk,
            expected_revision=policy.revision_number,
            candidates=step_candidates(release, candidates, percent=percent),
            actor=actor,
            reason=f"Release {release.pk}: {release.to_version.label} to {percent} %",
            release_id=release.pk,
        )
        now = clock.now()
        step = ReleaseStep.objects.create(release=release, number=release.next_step, percent=percent, revision=revision, actor_label=actor.label, taken_at=now)
        release.started_at = release.started_at or now
        release.next_step += 1
        data = {"percent": percent, "revision": revision.number, "bypassed": release.bypassed_at is not None}
        if release.next_step < len(release.steps):
            _move(release, ReleaseState.ROLLING_OUT, actor=actor, event="release.step_taken", data=data)
        else:
            release.live_at = now
            _move(release, ReleaseState.LIVE, actor=actor, event="release.went_live", data=data)
            for earlier in Release.objects.select_for_update(of=("self",)).filter(policy=policy, state=ReleaseState.LIVE).exclude(pk=release.pk):
                earlier.ended_at = now
                _move(earlier, ReleaseState.SUPERSEDED, actor=actor, event="release.superseded", data={"by": release.pk})
        return step


def _require_reach(release_id: int, *, expected_step: int) -> None:
    """Before anything is locked: gateways are asked over the network. A release that takes no such step is refused where its state is known."""
    release = Release.objects.select_related("policy__environment", *(f"policy__{name}" for name in FETCHED)).filter(pk=release_id).first()
    if release is None or release.state not in OPEN_STATES or release.next_step != expected_step:
        return
    if release.next_step == 0:
        require_cluster(release.policy, candidate_id=release.candidate_id)
    else:
        require_taken(release.policy)


def bypass_gate(*, release_id: int, account: User, actor: Actor, reason: str) -> Release:
    """Let a release through although conditions do not hold: a lead, with a reason, for good on the record.

    Raises Forbidden, NotFound, InvalidInput (reason), Conflict `wrong_state` (it has begun, or everything holds).
    """
    require_lead(account=account, actor=actor, doing="Bypassing the gate")
    reason = clean_reason(reason, at_least=LEAST_BYPASS_REASON)
    with transaction.atomic():
        release = _locked(release_id)
        if release.state != ReleaseState.PLANNED:
            raise _wrong_state(release, "has no gate to bypass any more")
        if release.bypassed_at is not None:
            raise Conflict(f"The gate was bypassed already, by {release.bypassed_by}.", code="already_bypassed")
        missing = check_gate(release).missing
        if not missing:
            raise Conflict("Every condition of the gate holds: there is nothing to bypass.", code="gate_open")
        release.bypassed_at, release.bypassed_by, release.bypass_reason = clock.now(), account, reason
        release.bypassed_conditions = [condition.as_dict() for condition in missing]
        release.save(update_fields=["bypassed_at", "bypassed_by", "bypass_reason", "bypassed_conditions"])
        codes = [condition.code for condition in missing]
        _note(release, actor=actor, event="release.gate_bypassed", data={"reason": reason, "conditions": codes})
        leads = list_people_with(Role.PLATFORM_LEAD, Role.LEADERSHIP).exclude(pk=account.pk)
        subject = f"{actor.label} let the release of {release.to_version.label} ({release.policy.alias}) through its closed gate"
        tell(people=leads, key=f"release-bypassed:{release.pk}", subject=subject, text=reason, url=_url(release))
        return release


def abandon_release(*, release_id: int, account: User, actor: Actor, reason: str) -> Release:
    """Give a release up that has no traffic. Raises Forbidden, NotFound, InvalidInput, Conflict (`wrong_state`, `has_weight`: roll back instead)."""
    require(user=account, capability=Capability.RELEASE)
    reason = clean_reason(reason)
    with transaction.atomic():
        release = _locked(release_id)
        if release.state not in OPEN_STATES:
            raise _wrong_state(release, "cannot be abandoned any more")
        weight = weights_by_version(get_candidates(policy=release.policy)).get(release.to_version.label, 0)
        if weight:
            raise Conflict(
                f"{release.to_version.label} has {weight} % of {release.policy.alias} now. Roll it back: that is timed, verified and on the record.",
                code="has_weight",
                url=way_back(release),
            )
        release.ended_at, release.end_reason = clock.now(), reason
        _move(release, ReleaseState.ABANDONED, actor=actor, event="release.abandoned", data={"reason": reason})
        return release


def follow_rollbacks(*, release_id: int | None = None) -> int:
    """Releases whose version was taken out of their alias by a rollback since they began are rolled back, with it named. Returns how many that were."""
    held = StabilityHold.objects.filter(version=OuterRef("to_version"), started_at__gte=OuterRef("started_at"))
    begun = Release.objects.filter(Exists(held), state__in=(ReleaseState.ROLLING_OUT, ReleaseState.LIVE))
    if release_id is not None:
        begun = begun.filter(pk=release_id)
    count = 0
    for pk in list(begun.values_list("pk", flat=True)):
        with transaction.atomic():
            release = _locked(pk)
            hold, rollback = hold_since_release(release), rollback_of(release)
            if release.state not in (ReleaseState.ROLLING_OUT, ReleaseState.LIVE) or hold is None or rollback is None:
                continue
            if weights_by_version(get_candidates(policy=release.policy)).get(release.to_version.label, 0):
                # It was put back meanwhile, or the hold began in another alias: here it serves.
                continue
            release.ended_at = hold.started_at
            release.end_reason = f"Rollback {str(rollback.pk)[:8]} took it out."
            _move(release, ReleaseState.ROLLED_BACK, actor=FOLLOWING, event="release.rolled_back", data={"rollback": str(rollback.pk)})
            count += 1
    return count


def _require_releasable(policy: RoutingPolicy, version: Version, candidates: Sequence[CandidateSpec]) -> None:
    if policy.environment.kind != EnvironmentKind.PRODUCTION:
        raise _wrong("environment", f"Releases are for production, and {policy.environment.slug} is not. Change the policy there directly.", "not_production")
    if version.artefact_id != policy.artefact_id:
        raise _wrong("to_version", f"{version.label} is not a version of {policy.artefact.slug}.", "version_not_in_artefact")
    if version.lifecycle == Lifecycle.RETIRED:
        raise _wrong("to_version", f"{version.label} is retired and cannot serve.", "version_retired")
    hold = held_among([version]).get(version.pk)
    if hold is not None:
        raise _wrong("to_version", describe_hold(hold), "version_held")
    weight = weights_by_version(candidates).get(version.label, 0)
    if weight:
        sentence = f"{version.label} has {weight} % of {policy.alias} already. Change its weight in the policy, or roll it back."
        raise _wrong("to_version", sentence, "already_serving")


def _require_unchanged(release: Release, candidates: list[CandidateSpec]) -> None:
    """Whoever changed the weights since the last step had a reason: nothing is overwritten."""
    last = release.taken_steps.select_related("revision").order_by("-number").first()
    if last is None or last.revision.number == release.policy.revision_number:
        return
    if candidates != get_candidates(policy=release.policy, number=last.revision.number):
        raise Conflict(
            f"Somebody changed the weights of {release.policy.alias} since step {last.number + 1} (revision {last.revision.number},"
            f" now {release.policy.revision_number}). Put them back as they were, or abandon the release.",
            code="policy_changed",
            url=f"/routing/{release.policy.environment.slug}/aliases/{release.policy.alias}/",
        )


def _refuse_busy(policy: RoutingPolicy) -> None:
    rollback = find_rollback(policy)
    if rollback is not None:
        raise Conflict(f"A rollback of {policy.alias} is there: {rollback.get_state_display().lower()}.", code="alias_busy", url=f"/rollbacks/{rollback.pk}/")
    execution = find_active(policy)
    if execution is not None:
        raise Conflict(f"A {execution.get_kind_display().lower()} of {policy.alias} runs. Wait for its end.", code="alias_busy")


def _refuse_second(policy: RoutingPolicy) -> None:
    running = Release.objects.filter(policy=policy, state__in=OPEN_STATES).select_related("to_version").first()
    if running is not None:
        raise Conflict(
            f"{policy.alias} in {policy.environment.slug} has an open release already: to {running.to_version.label}. Finish or abandon that first.",
            code="release_open",
            release_id=running.pk,
            url=_url(running),
        )


def _same_request(owner: str, key: str, policy: RoutingPolicy, to_version: Version) -> Release | None:
    before = Release.objects.filter(idempotency_owner=owner, idempotency_key=key).first()
    if before is not None and (before.policy_id, before.to_version_id) != (policy.pk, to_version.pk):
        raise Conflict("This idempotency key was used for another request. Use a new key.", code="idempotency_key_reused", url=_url(before))
    return before


def _locked(release_id: int) -> Release:
    release = (
        Release.objects.select_for_update(of=("self",))
        .select_related("policy__environment", "policy__artefact", "from_version", "to_version", "created_by", "bypassed_by")
        .filter(pk=release_id)
        .first()
    )
    if release is None:
        raise NotFound("There is no such release.", code="release_not_found")
    return release


def _move(release: Release, to: ReleaseState, *, actor: Actor, event: str, data: dict[str, Any]) -> None:
    before = ReleaseState(release.state)
    if to not in TRANSITIONS[before]:
        raise _wrong_state(release, f"cannot become {to.label.lower()}")
    release.state = to
    release.save()
    _note(release, actor=actor, event=event, data={"before": str(before), "after": str(to), **data})


def _note(release: Release, *, actor: Actor, event: str, data: dict[str, Any]) -> None:
    record(event=event, actor=actor, subject_type="release", subject_id=release.pk, data=data)


def _wrong(field: str, sentence: str, code: str) -> InvalidInput:
    return InvalidInput(sentence, code=code, fields={field: [sentence]})


def _wrong_state(release: Release, what: str) -> Conflict:
    return Conflict(f"This release is {release.get_state_display().lower()}: it {what}.", code="wrong_state", url=_url(release))


def _url(release: Release) -> str:
    return f"/releases/{release.pk}/"
