"""Telling people that a provider is about to shut down a version that production rests on."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from rollbackhub.accounts.domain.notices import list_people_with, tell
from rollbackhub.accounts.enums import Role
from rollbackhub.common import clock
from rollbackhub.common.housekeeping import register_job
from rollbackhub.registry.domain.interlocks import Interlock, list_interlocks
from rollbackhub.registry.domain.retention import NEEDED_FOR, warning_key
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import RetirementWarning, Version
from rollbackhub.registry.rules import WARN_DAYS

EVERY_SECONDS = 3600.0


def register() -> None:
    """Once, when the app is ready."""
    register_job("registry.warn_of_retirements", every_seconds=EVERY_SECONDS, function=warn_of_retirements)


def warn_of_retirements(*, at: dt.datetime | None = None) -> int:
    """Warn of every date that has come near, once for each date and number of days. Returns how many warnings went out.

    Only the nearest mark counts: a hub that was down across two of them warns once. A version that does not serve and to which no
    rollback goes back warns nobody: nothing breaks when it is gone.
    """
    now = at or clock.now()
    ahead = now + dt.timedelta(days=max(WARN_DAYS))
    near = list(
        Version.objects.filter(provider_retires_at__gt=now, provider_retires_at__lte=ahead)
        .exclude(lifecycle=Lifecycle.RETIRED)
        .select_related("artefact__team")
        .order_by("provider_retires_at", "pk")
    )
    reasons = list_interlocks(near, at=now)
    told = 0
    for version in near:
        needed = [reason for reason in reasons.get(version.pk, ()) if reason.code in NEEDED_FOR]
        told += bool(needed) and _warn(version, needed, now=now)
    return told


def mark_of(retires_at: dt.datetime, *, now: dt.datetime) -> int | None:
    """The nearest number of days ahead that has come; None while the date is farther away than all of them, or over."""
    left = retires_at - now
    return None if left <= dt.timedelta(0) else min((days for days in WARN_DAYS if left <= dt.timedelta(days=days)), default=None)


def _warn(version: Version, needed: list[Interlock], *, now: dt.datetime) -> bool:
    """Whether people were told now; False when they had been, by this or another process."""
    retires_at = version.provider_retires_at
    days = None if retires_at is None else mark_of(retires_at, now=now)
    if retires_at is None or days is None:
        return False
    with transaction.atomic():
        # The constraint decides who warns: another process that inserts the same waits for this transaction, and then has nothing to do.
        _, is_new = RetirementWarning.objects.get_or_create(version=version, retires_at=retires_at, days=days)
        if is_new:
            artefact = version.artefact
            tell(
                people=list_people_with(Role.PLATFORM_LEAD, Role.ADMIN),
                key=warning_key(version.pk, retires_at, days),
                subject=f"{version.label} of {artefact.name} is shut down by its provider in {_in_days(retires_at - now)}",
                text=f"At {retires_at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC. {' '.join(reason.sentence for reason in needed)}"
                f" The team {artefact.team.name} answers for it: release a version that stays, and drill going back to it.",
                url=f"/registry/retention/?state=provider_retires&artefact={artefact.slug}",
            )
    return is_new


def _in_days(left: dt.timedelta) -> str:
    """`3 days`, `1 day`, `5 hours`: rounded up, as the marks are."""
    if left <= dt.timedelta(days=1):
        hours = -(-left // dt.timedelta(hours=1))
        return f"{hours} hour{'' if hours == 1 else 's'}"
    return f"{-(-left // dt.timedelta(days=1))} days"
