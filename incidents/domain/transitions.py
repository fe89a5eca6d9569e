"""Incidents follow rollbacks: each rollback opens an incident or joins one, and what it knows is filled in there.

It is done beside the rollback, by the number of its changes, never in the rollback's transaction: nothing that goes wrong here
keeps anybody from rolling back (docs/decisions/0014-incidents-follow.md).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet

from incidents.domain.changes import OVER_NO_MORE, change_state, corrected_columns, keep, locked, plain
from incidents.domain.opening import find_incident_to_join
from incidents.domain.selectors import list_rollbacks_of, standings_of
from incidents.domain.summary import facts_of
from incidents.enums import How, IncidentState
from incidents.models import Incident, IncidentRollback
from incidents.rules import CHANGES_NO_MORE, Standing, is_back, last_of, over_at, those_that_count
from rollbackhub.audit.actors import system_actor
from rollbackhub.common import clock
from rollbackhub.common.housekeeping import register_job
from rollbackhub.common.turns import each_of
from rollbackhub.registry.models import Environment
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy

FOLLOWER = system_actor("incidents")

LOOKED_BACK = dt.timedelta(hours=1)
"""How far the quick job looks for rollbacks without an incident; the thorough one looks at all."""

AT_ONCE = 100


def register() -> None:
    """Once, when the app is ready."""
    register_job("incidents.follow_rollbacks", every_seconds=0.5, function=follow_rollbacks)
    register_job("incidents.follow_what_was_missed", every_seconds=60, function=follow_what_was_missed)


def follow_rollbacks() -> int:
    """Let incidents catch up with the rollbacks that may still change, and with new ones. Safe to run twice at once. Returns how many.

    An incident is opened as soon as a rollback is requested, also one that waits for approval: a person has said that something is
    wrong, and users are hurt meanwhile. If the request comes to nothing the incident stays open, for a person to close.
    """
    behind = IncidentRollback.objects.filter(changes_no_more=False, followed_number__lt=F("rollback__number")).values_list("rollback", flat=True)
    new = Rollback.objects.filter(incident_link=None, created_at__gte=clock.now() - LOOKED_BACK)
    return _follow_all([*_oldest(new), *behind[:AT_ONCE]])


def follow_what_was_missed() -> int:
    """The same for all rollbacks that there are: corrections after the end, and whatever happened while nobody kept house."""
    behind = IncidentRollback.objects.filter(followed_number__lt=F("rollback__number")).values_list("rollback", flat=True)
    return _follow_all([*_oldest(Rollback.objects.filter(incident_link=None)), *behind[:AT_ONCE]])


def _oldest(rollbacks: QuerySet[Rollback]) -> list[UUID]:
    return list(rollbacks.order_by("created_at", "pk").values_list("pk", flat=True)[:AT_ONCE])


def _follow_all(rollback_ids: Sequence[UUID]) -> int:
    """One by one: what cannot be followed does not keep the others from it. Raises at the end what went wrong."""
    return each_of(rollback_ids, _follow, doing="while following rollback")


def _follow(rollback_id: UUID) -> int:
    """Let its incident catch up with one rollback. Always 1: it was looked at."""
    with transaction.atomic():
        environment_id = Rollback.objects.values_list("environment", flat=True).get(pk=rollback_id)
        # One at a time in an environment, so that two housekeepers do not open two incidents for one harm. Without the key: a rollback
        # that refers to the environment does not wait for this.
        Environment.objects.select_for_update(no_key=True).get(pk=environment_id)
        rollback = Rollback.objects.select_related("environment", "principal", "authorised_by").get(pk=rollback_id)
        policies = list(RoutingPolicy.objects.filter(rollback_parts__rollback=rollback).order_by("rollback_parts__position"))
        link = IncidentRollback.objects.filter(rollback=rollback).first()
        if link is None:
            link = _join(rollback, policies) or _open(rollback, policies)
        elif link.followed_number >= rollback.number:
            return 1
        had_ended = link.over_at is not None
        if link.followed_state != rollback.state:
            link.over_at = over_at(state=rollback.state, verified_at=rollback.verified_at, closed_at=rollback.closed_at, before=link.followed_state)
        link.followed_number, link.followed_state, link.changes_no_more = rollback.number, rollback.state, rollback.state in CHANGES_NO_MORE
        link.save()
        incident = locked(link.incident_id)
        counting = those_that_count(standings_of(incident))
        _fill_in(incident, rollback, counting)
        _settle(incident, rollback, counting, no_longer_over=had_ended and link.over_at is None)
        return 1


def _open(rollback: Rollback, policies: Sequence[RoutingPolicy]) -> IncidentRollback:
    aliases = [policy.alias for policy in policies]
    title = f"{', '.join(aliases)} in {rollback.environment.slug}: {rollback.reason}"
    incident = Incident.objects.create(
        title=title if len(title) <= 200 else f"{title[:199]}…",
        environment=rollback.environment,
        is_lab=rollback.is_lab,
        opened_at=rollback.decided_at,
        opened_by_label=FOLLOWER.label,
    )
    incident.aliases.set(policies)
    data = {"rollback": str(rollback.pk), "title": incident.title, "aliases": aliases, "state": rollback.state}
    keep(incident, actor=FOLLOWER, event="incident.opened", data=data)
    return IncidentRollback(incident=incident, rollback=rollback, how=How.OPENED)


def _join(rollback: Rollback, policies: Sequence[RoutingPolicy]) -> IncidentRollback | None:
    """The newest incident of one of its aliases that is not closed and not too old. None: there is none."""
    incident = find_incident_to_join(environment=rollback.environment, policies=policies, at=rollback.decided_at)
    if incident is None:
        return None
    incident.aliases.add(*policies)
    data = {"rollback": str(rollback.pk), "aliases": [policy.alias for policy in policies], "state": rollback.state}
    keep(incident, actor=FOLLOWER, event="incident.joined", data=data)
    return IncidentRollback(incident=incident, rollback=rollback, how=How.JOINED)


def _fill_in(incident: Incident, rollback: Rollback, counting: Sequence[Standing]) -> None:
    """What all its rollbacks know, and what of that is new, on the record. What a person has corrected stands as it is."""
    facts = facts_of(incident, list_rollbacks_of(incident), counting=counting)
    corrected = corrected_columns(incident)
    values = {name: value for name, value in facts.items() if name not in corrected and getattr(incident, name) != value}
    if not values:
        return
    changes = {name: {"before": plain(getattr(incident, name)), "after": plain(value)} for name, value in values.items()}
    data = {"rollback": str(rollback.pk), "state": rollback.state, "changes": changes}
    keep(incident, actor=FOLLOWER, event="incident.updated", data=data, **values)


def _settle(incident: Incident, rollback: Rollback, counting: Sequence[Standing], *, no_longer_over: bool) -> None:
    """Stable when the harm was shown to be over at every alias; open again when it is back. Only a person closes."""
    over = last_of(standing.over_at for standing in counting)
    if incident.state == IncidentState.OPEN and over is not None and (incident.reopened_at is None or over > incident.reopened_at):
        data = {"rollback": str(rollback.pk), "stable_at": over.isoformat()}
        change_state(incident, IncidentState.STABLE, actor=FOLLOWER, event="incident.stable", data=data, stable_at=over)
    elif incident.state == IncidentState.STABLE and incident.stable_at is not None:
        by_person = bool(incident.stable_by_label)
        if is_back(standings=counting, stable_at=incident.stable_at, stable_by_person=by_person, no_longer_over=no_longer_over):
            data = {"rollback": str(rollback.pk), "state": rollback.state}
            change_state(incident, IncidentState.OPEN, actor=FOLLOWER, event="incident.reopened", data=data, **OVER_NO_MORE)
