"""The only writers of a version's lifecycle. Canary, live and superseded follow the traffic; archived and retired are people's acts.

Retiring asks the interlock first, and the database asks it again (`registry_interlocks`, one definition for both).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.shown_text import spoken
from rollbackhub.registry.domain.interlocks import Interlocked, list_interlocks
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Artefact, Version
from rollbackhub.registry.rules import lifecycle_by_traffic, may_follow

LEAST_REASON = 3
"""Characters of a reason."""


@dataclass(frozen=True, slots=True)
class Served:
    """The weight (percent) of a version in one production policy."""

    policy_id: int
    version_id: int
    weight: int


def follow_traffic(*, artefact: Artefact, served: Sequence[Served], actor: Actor) -> list[Version]:
    """Let the artefact's versions stand where their traffic in production puts them; answers those that changed.

    `served`: every candidate with weight in the present revisions of the artefact's production policies. Two queries when nothing
    changes. To be called in the transaction that changed the traffic, with the artefact's row locked.
    """
    serving = {row.version_id for row in served if row.weight > 0}
    versions = {
        version.pk: version
        for version in Version.objects.filter(artefact=artefact, lifecycle__in=(Lifecycle.CANARY, Lifecycle.LIVE)) | Version.objects.filter(pk__in=serving)
    }
    by_policy: dict[int, list[Served]] = {}
    for row in served:
        if row.weight > 0:
            by_policy.setdefault(row.policy_id, []).append(row)
    leading = {row.version_id for rows in by_policy.values() for row in _leaders(rows, versions)}
    changed = []
    for version in versions.values():
        after = lifecycle_by_traffic(version.lifecycle, serves=version.pk in serving, leads=version.pk in leading, was_live=version.superseded_at is not None)
        if after != version.lifecycle:
            _write(version, after, actor=actor, reason="by its traffic")
            changed.append(version)
    return changed


def _leaders(rows: list[Served], versions: dict[int, Version]) -> list[Served]:
    weights: dict[int, int] = {}
    for row in rows:
        weights[row.version_id] = weights.get(row.version_id, 0) + row.weight
    most = max(weights.values())
    live = [row for row in rows if versions[row.version_id].lifecycle == Lifecycle.LIVE]
    if most == 100 or not live:
        return [row for row in rows if weights[row.version_id] == most][:1]
    return live


def retire_version(*, version_id: int, account: User, actor: Actor, reason: str) -> Version:
    """Say that a version is gone: nothing can go back to it any more.

    Raises NotFound, Forbidden, InvalidInput (no reason), Conflict `interlocked` with every reason, Conflict `wrong_state`.
    """
    return _act(version_id=version_id, to=Lifecycle.RETIRED, account=account, actor=actor, reason=reason)


def archive_version(*, version_id: int, account: User, actor: Actor, reason: str) -> Version:
    """Put a version away, still kept; or take a retired one back when it turns out to exist after all. Raises as `retire_version`."""
    return _act(version_id=version_id, to=Lifecycle.ARCHIVED, account=account, actor=actor, reason=reason)


def _act(*, version_id: int, to: Lifecycle, account: User, actor: Actor, reason: str) -> Version:
    require(user=account, capability=Capability.RETIRE)
    reason = spoken(reason)
    if len(reason) < LEAST_REASON:
        raise InvalidInput("Say why: it goes on the record.", code="reason_missing", fields={"reason": ["Say why."]})
    with transaction.atomic():
        # In the order in which flips in production lock: the artefact first. One of the two waits, neither stands in the other's way.
        artefact = Artefact.objects.select_for_update(no_key=True, of=("self",)).filter(versions__pk=version_id).first()
        version = Version.objects.select_for_update(of=("self",)).filter(pk=version_id, artefact=artefact).first()
        if artefact is None or version is None:
            raise NotFound("There is no such version.", code="version_not_found")
        version.artefact = artefact
        if to == Lifecycle.RETIRED and version.lifecycle != Lifecycle.RETIRED:
            # First: who wants to retire what serves is told of all that stands in the way, not only of the weight.
            reasons = list_interlocks([version]).get(version.pk, [])
            if reasons:
                raise Interlocked(version=version, reasons=reasons)
        if not may_follow(version.lifecycle, to):
            raise Conflict(
                f"{version.label} is {version.get_lifecycle_display().lower()} and cannot become {to.label.lower()}."
                + (" It serves traffic: take its weight away first." if version.lifecycle in (Lifecycle.CANARY, Lifecycle.LIVE) else ""),
                code="wrong_state",
            )
        _write(version, to, actor=actor, reason=reason)
        return version


def _write(version: Version, to: Lifecycle, *, actor: Actor, reason: str) -> None:
    before, version.lifecycle = version.lifecycle, to
    if to == Lifecycle.LIVE:
        version.superseded_at = None
    elif to == Lifecycle.SUPERSEDED:
        version.superseded_at = clock.now()
    version.save(update_fields=["lifecycle", "superseded_at"])
    record(
        event=f"version.{to}",
        actor=actor,
        subject_type="version",
        subject_id=version.pk,
        data={"version": version.label, "before": before, "after": str(to), "reason": reason},
    )
