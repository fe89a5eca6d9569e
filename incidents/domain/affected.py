"""Which aliases an incident hurts, and which versions it is about."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from incidents.domain.changes import keep, locked
from incidents.models import Incident
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.models import RollbackPart
from rollbackhub.routing.models import RoutingPolicy


def change_affected(
    *,
    incident_id: UUID,
    account: User,
    actor: Actor,
    add_aliases: Sequence[RoutingPolicy] = (),
    remove_aliases: Sequence[RoutingPolicy] = (),
    add_versions: Sequence[Version] = (),
    remove_versions: Sequence[Version] = (),
) -> Incident:
    """Add and take off affected aliases and versions, in any state. What a rollback of the incident is about stays.

    Raises NotFound, Forbidden, InvalidInput (an alias of another environment, a version of no affected alias, none left), Conflict `part_of_rollback`.
    """
    require(user=account, capability=Capability.RESPOND)
    with transaction.atomic():
        incident = locked(incident_id)
        before, named = {policy.pk: policy for policy in incident.aliases.all()}, {version.pk for version in incident.versions.all()}
        parts = list(RollbackPart.objects.filter(rollback__incident_link__incident=incident).select_related("policy", "bad_version"))
        _require_not_of_a_rollback(parts, aliases=remove_aliases, versions=remove_versions)
        adding = [policy for policy in add_aliases if policy.pk not in before]
        taking = [policy for policy in remove_aliases if policy.pk in before]
        after = {**before, **{policy.pk: policy for policy in adding}}
        for policy in taking:
            after.pop(policy.pk, None)
        new_versions = [version for version in add_versions if version.pk not in named]
        old_versions = [version for version in remove_versions if version.pk in named]
        _require_fitting(incident, adding=adding, after=list(after.values()), versions=new_versions)
        if adding or taking:
            incident.aliases.add(*adding)
            incident.aliases.remove(*taking)
            data = {"added": [policy.alias for policy in adding], "removed": [policy.alias for policy in taking]}
            keep(incident, actor=actor, event="incident.aliases_changed", data=data)
        if new_versions or old_versions:
            incident.versions.add(*new_versions)
            incident.versions.remove(*old_versions)
            data = {"added": [str(version) for version in new_versions], "removed": [str(version) for version in old_versions]}
            keep(incident, actor=actor, event="incident.versions_changed", data=data)
    return incident


def _require_not_of_a_rollback(parts: Sequence[RollbackPart], *, aliases: Sequence[RoutingPolicy], versions: Sequence[Version]) -> None:
    rolled_back = {part.policy_id for part in parts}
    taken_out = {part.bad_version_id for part in parts}
    kept = [policy.alias for policy in aliases if policy.pk in rolled_back] + [str(version) for version in versions if version.pk in taken_out]
    if kept:
        raise Conflict(f"A rollback of this incident is about {', '.join(kept)}: that cannot be taken off.", code="part_of_rollback")


def _require_fitting(incident: Incident, *, adding: Sequence[RoutingPolicy], after: Sequence[RoutingPolicy], versions: Sequence[Version]) -> None:
    fields: dict[str, list[str]] = {}
    elsewhere = sorted(policy.alias for policy in adding if policy.environment_id != incident.environment_id)
    if elsewhere:
        fields["add_aliases"] = [f"{', '.join(elsewhere)} is not in {incident.environment.slug}. An incident is of one environment."]
    if not after:
        fields["remove_aliases"] = ["At least one alias stays: add the right one first."]
    artefacts = {policy.artefact_id for policy in after}
    foreign = [str(version) for version in versions if version.artefact_id not in artefacts]
    if foreign:
        fields["add_versions"] = [f"{', '.join(foreign)} belongs to none of the affected aliases. Add its alias first."]
    if fields:
        raise InvalidInput(" ".join(said for found in fields.values() for said in found), fields=fields)
