"""Watching after the fact: gateways that come back after a partial restoration, and versions under hold that get traffic anyway, or
are put back on the system that moves them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from django.db import transaction
from django.db.models import QuerySet

from rollbackhub.accounts.domain.notices import list_people_with, tell
from rollbackhub.accounts.enums import Role
from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, RollbackHubError
from rollbackhub.connectors.base import connector_type
from rollbackhub.connectors.envoy import EnvoyConnector
from rollbackhub.executions.domain.deliver import mechanism_of
from rollbackhub.executions.domain.transitions import retry_execution
from rollbackhub.executions.enums import ACTIVE_STATES, ExecutionState, FindingCode
from rollbackhub.executions.models import Execution, Finding, StepAttempt
from rollbackhub.registry.domain.holds import list_standing_holds
from rollbackhub.registry.models import Connection
from rollbackhub.rollbacks.domain.changes import address_of, change_state, locked
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import HeldTraffic, Rollback, RollbackPart
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.deliveries import delivery_of
from rollbackhub.routing.models import Gateway

WATCH = system_actor("hold watch")
BETWEEN_LOOKS_SECONDS = 1.0
TIMEOUT_SECONDS = 2.0


def resume_partially_restored() -> int:
    """Let rollbacks go on whose lagging gateways have followed meanwhile. Returns how many."""
    resumed = 0
    for part in RollbackPart.objects.filter(rollback__state=RollbackState.PARTIALLY_RESTORED, execution__state=ExecutionState.NEEDS_HUMAN).select_related(
        "execution"
    ):
        execution = part.execution
        assert execution is not None
        failed = StepAttempt.objects.filter(execution=execution).order_by("-started_at", "-id").first()
        lagging, wanted = (failed.result.get("lagging"), failed.result.get("wanted")) if failed else (None, None)
        if not lagging or wanted is None:
            continue
        caught_up = Gateway.objects.filter(environment_id=execution.environment_id, node_id__in=lagging, applied_number__gte=wanted).count()
        if caught_up < len(lagging):
            continue
        try:
            retry_execution(execution_id=execution.pk, actor=WATCH)
        except Conflict:
            # A person was faster.
            continue
        resumed += 1
    return resumed


@dataclass(frozen=True, slots=True)
class _Look:
    """Whose counters are read: a held version's candidates in the environment where it was rolled back."""

    part: RollbackPart
    connector: EnvoyConnector
    clusters: tuple[str, ...]


def watch_held_versions() -> int:
    """Look twice at the gateways' counters of every version under hold; traffic between the looks is a finding. Returns how many were seen.

    What the policy itself serves by another version on the same candidate cannot be told apart, and is left out.
    """
    looks = list(_looks())
    before = {look.part.pk: _read(look) for look in looks}
    if not any(before.values()):
        return 0
    clock.sleep(BETWEEN_LOOKS_SECONDS)
    seen = 0
    for look in looks:
        after = _read(look)
        per_gateway = {node_id: count - before[look.part.pk][node_id] for node_id, count in after.items() if node_id in before[look.part.pk]}
        requests = sum(count for count in per_gateway.values() if count > 0)
        if requests:
            _seen(look.part, requests=requests, per_gateway=per_gateway)
            seen += 1
        elif per_gateway:
            _not_seen(look.part)
    return seen


def _held_parts() -> QuerySet[RollbackPart]:
    """Aliases that were restored by the rollbacks whose holds stand."""
    holds = {hold.version_id: hold for hold in list_standing_holds()}
    return RollbackPart.objects.filter(
        bad_version__in=list(holds),
        rollback__in=[hold.rollback_id for hold in holds.values()],
        execution__restored_at__isnull=False,
        execution__state="finished",
    ).select_related("policy__environment", "bad_version", "rollback", "execution")


def _looks() -> Iterable[_Look]:
    for part in _held_parts().filter(policy__connection__isnull=True):
        connection = Connection.objects.filter(environment_id=part.policy.environment_id, connector=EnvoyConnector.name).first()
        if connection is None:
            continue
        now_pinned = {candidate.candidate_id: candidate.version_pin for candidate in get_candidates(policy=part.policy)}
        label = part.bad_version.label
        clusters = tuple(entry["id"] for entry in part.plan["weights_before"] if entry["version_pin"] == label and now_pinned.get(entry["id"], label) == label)
        if clusters:
            kind = connector_type(EnvoyConnector.name)
            connector = cast(EnvoyConnector, kind(kind.parse_settings(connection.settings), timeout_seconds=TIMEOUT_SECONDS))
            yield _Look(part=part, connector=connector, clusters=clusters)


def _read(look: _Look) -> dict[str, int]:
    """Requests so far per gateway; one that does not answer is left out (its silence is neither traffic nor its absence)."""
    found: dict[str, int] = {}
    for node_id in look.connector.list_nodes():
        try:
            counters = look.connector.read_counters(node_id=node_id, clusters=look.clusters)
        except RollbackHubError:
            continue
        found[node_id] = sum(counter.requests for counter in counters.values())
    return found


def _seen(part: RollbackPart, *, requests: int, per_gateway: dict[str, int]) -> None:
    label = part.bad_version.label
    sentence = (
        f"{requests} requests reached {label} within {BETWEEN_LOOKS_SECONDS:g} s, though it is under hold and has no weight: somebody went around the hub."
    )
    evidence = HeldTraffic(rollback_id=part.rollback_id, version=part.bad_version, requests=requests, seconds=BETWEEN_LOOKS_SECONDS, per_gateway=per_gateway)
    _broken(
        part,
        subject=f"held version {label}",
        expected="no traffic while the hold stands",
        found=sentence,
        remedy="Look at the gateways' own tables: which of them does not serve by the hub's policy?",
        todo="Find the gateway that does not serve by the hub's policy; this closes again when the traffic has stopped.",
        told=f"{label} is under hold and gets traffic in {part.policy.environment.slug}",
        data={"requests": requests, "per_gateway": per_gateway},
        evidence=evidence,
    )


def _not_seen(part: RollbackPart) -> None:
    _mended(part, outcome=f"{part.bad_version.label} gets no traffic any more, as two looks at the gateways' counters show.")


def watch_mechanisms() -> int:
    """Look at the systems that move aliases whose bad version is under hold; one that no longer shows what the hub wrote is a finding.

    Returns how many are so. A system that does not answer is left out: preflight says so. An alias that something moves just now is looked at later.
    """
    differing = 0
    for part in _held_parts().filter(policy__connection__isnull=False).select_related("policy__connection", "policy__delivery", "policy__artefact"):
        delivery = delivery_of(part.policy)
        if delivery is None or not delivery.is_current or Execution.objects.filter(policy=part.policy, state__in=ACTIVE_STATES).exists():
            continue
        moved_by = mechanism_of(part.policy, timeout_seconds=TIMEOUT_SECONDS)
        try:
            seen = moved_by.mechanism.observe(target=moved_by.target, wanted=moved_by.shares(get_candidates(policy=part.policy)))
        except RollbackHubError:
            continue
        label = part.bad_version.label
        if seen.reached:
            _mended(part, outcome=f"{moved_by.name} shows {seen.found} again.")
            continue
        differing += 1
        _broken(
            part,
            subject=f"{moved_by.name} while {label} is under hold",
            expected=seen.expected,
            found=seen.found,
            remedy="Somebody moved it there, and the hub did not. See who and why; move it back, or lift the hold and release the version.",
            todo=f"See who moved it while {label} is under hold, and move it back there; this closes again when it shows what was rolled back to.",
            told=f"{part.policy.alias} in {part.policy.environment.slug} was moved around the hub while {label} is under hold",
            data={"expected": seen.expected, "found": seen.found},
            evidence=None,
        )
    return differing


def _broken(
    part: RollbackPart, *, subject: str, expected: str, found: str, remedy: str, todo: str, told: str, data: dict[str, Any], evidence: HeldTraffic | None
) -> None:
    """What was restored is not so any more: a finding, the rollback open again when it was verified, and people told once an hour."""
    now = clock.now()
    sentence = found if evidence else f"{subject[0].upper()}{subject[1:]}: expected {expected}, found {found}."
    with transaction.atomic():
        # The execution's row first, as the engine does.
        execution = Execution.objects.select_for_update(of=("self",)).get(rollback_part=part)
        rollback = locked(part.rollback_id)
        if evidence is not None:
            evidence.seen_at = now
            evidence.save(force_insert=True)
        finding, is_new = Finding.objects.get_or_create(
            execution=execution,
            code=FindingCode.NOT_RESTORED,
            subject=subject,
            defaults={"expected": expected, "found": found, "remedy": remedy, "found_at": now},
        )
        if finding.mended_at is not None:
            finding.found, finding.found_at, finding.mended_at = found, now, None
            finding.save(update_fields=["found", "found_at", "mended_at"])
        if rollback.state == RollbackState.VERIFIED:
            change_state(
                rollback_id=rollback.pk,
                to=RollbackState.VERIFICATION_FAILED,
                actor=WATCH,
                event="rollback.reopened",
                data=data,
                outcome=f"{sentence} {todo}",
            )
        elif is_new or evidence is not None:
            data = {**data, "version": part.bad_version.label}
            record(event="hold.traffic_seen", actor=WATCH, subject_type="rollback", subject_id=rollback.pk, data=data)
        tell(
            people=[*list_people_with(Role.PLATFORM_LEAD, Role.ON_CALL)],
            key=f"held:{part.pk}:{now:%Y%m%d%H}",
            subject=told,
            text=sentence,
            url=address_of(rollback),
        )


def _mended(part: RollbackPart, *, outcome: str) -> None:
    """A rollback that was opened again is verified again when all is as it left it."""
    if not Rollback.objects.filter(pk=part.rollback_id, state=RollbackState.VERIFICATION_FAILED, verified_at__isnull=False).exists():
        return
    with transaction.atomic():
        rollback = locked(part.rollback_id)
        if rollback.state == RollbackState.VERIFICATION_FAILED:
            change_state(rollback_id=rollback.pk, to=RollbackState.VERIFIED, actor=WATCH, event="rollback.verified_again", outcome=outcome)
            # Of no attempt: found by this watch.
            Finding.objects.filter(execution__rollback_part=part, attempt=None, code=FindingCode.NOT_RESTORED, mended_at=None).update(mended_at=clock.now())
