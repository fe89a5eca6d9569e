"""What an incident says of itself, from what its rollbacks know. Pure: it asks the objects that are handed in, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from incidents.models import Incident
from incidents.rules import CAME_TO_NOTHING, Standing, last_of
from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.accounts.enums import Role
from rollbackhub.rollbacks.enums import AuthorisedBy, AuthoritySubject, Via
from rollbackhub.rollbacks.models import Rollback


def facts_of(incident: Incident, rollbacks: Sequence[Rollback], *, counting: Sequence[Standing]) -> dict[str, Any]:
    """What is reckoned of an incident: what its rollbacks know, and the earliest detection that they, an alert or a person name. Pure."""
    facts: dict[str, Any] = summary_of(rollbacks, counting=counting) if rollbacks else dict(NOTHING_KNOWN)
    named = incident.named_detected_at
    if facts["detected_at"] is None or (named is not None and named <= facts["detected_at"]):
        facts |= {"detected_at": named, "detected_by": incident.named_detected_by}
    return facts


NOTHING_KNOWN: dict[str, Any] = {"detected_at": None, "detected_by": "", "exposure_observed": None, "exposure_estimated": None, "exposure_basis": ""}
"""Of an incident without rollbacks, of what people may correct."""


def summary_of(rollbacks: Sequence[Rollback], *, counting: Sequence[Standing]) -> dict[str, Any]:
    """An incident's facts, from its rollbacks in the order in which they were decided. Pure.

    The detection is the earliest that is named. The decision is the first that was carried out (before that: the first that was taken).
    Restored and verified are the last's of those that count, once all of them are; exposures add up.
    """
    by_id = {rollback.pk: rollback for rollback in rollbacks}
    carried_out = (rollback for rollback in rollbacks if rollback.state not in CAME_TO_NOTHING and rollback.authorised_at is not None)
    first = next(carried_out, rollbacks[0])
    detections = sorted((rollback for rollback in rollbacks if rollback.detected_at is not None), key=lambda rollback: str(rollback.detected_at))
    observed = [rollback.exposure_observed for rollback in rollbacks if rollback.exposure_observed is not None]
    estimated = [rollback.exposure_estimated for rollback in rollbacks if rollback.exposure_estimated is not None]
    return {
        "detected_at": detections[0].detected_at if detections else None,
        "detected_by": detections[0].detected_by if detections else "",
        "decided_at": first.decided_at,
        "decided_by_id": first.principal_id,
        "authorised_at": first.authorised_at,
        "authorised_by_id": first.authorised_by_id,
        "authority": authority_in_words(first),
        "restored_at": last_of(by_id[standing.rollback_id].restored_at for standing in counting),
        "verified_at": last_of(standing.over_at for standing in counting),
        "exposure_observed": sum(observed) if observed else None,
        "exposure_estimated": sum(estimated) if estimated else None,
        "exposure_basis": " ".join(rollback.exposure_basis for rollback in rollbacks if rollback.exposure_basis),
        "outcome": " ".join(rollback.outcome for rollback in rollbacks if rollback.outcome),
    }


def authority_in_words(rollback: Rollback) -> str:
    """By what authority a rollback was carried out: `Lee Lead approved it (Platform lead decides, by the rule for …)`."""
    rule = f"{Role(rollback.required_role).label} decides, by the rule for {AuthoritySubject(rollback.required_because).label.lower()}"
    if rollback.authorised_by is None:
        return f"Nobody has authorised it: {rule}."
    name = name_of(rollback.authorised_by)
    if rollback.requested_via == Via.SYSTEM:
        return f"RollbackHub started it by itself, as it is turned on for the alias; {name} answers for it ({rule})."
    if rollback.authorised_how == AuthorisedBy.APPROVAL:
        return f"{name} approved it ({rule})."
    if rollback.authorised_how == AuthorisedBy.BREAK_GLASS:
        return f"{name} broke the glass ({rule}): {rollback.break_glass_reason}"
    return f"{name} decided alone ({rule})."
