"""How long versions are kept: the window after they were superseded, the day on which a provider shuts them down, and what expires next."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db import transaction
from django.db.models import Case, DateTimeField, DurationField, ExpressionWrapper, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, Least

from rollbackhub.accounts.domain.notices import put_away
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput, NotFound
from rollbackhub.registry.domain.interlocks import Interlock, list_interlocks
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import RetentionRule, RetirementWarning, Version
from rollbackhub.registry.rules import DEFAULT_RETENTION_DAYS, SERVING, retained_until


class RetentionState(StrEnum):
    """What a list of versions can be narrowed to."""

    SERVING = "serving"
    WITHIN = "within_window"
    OVER = "window_over"
    PROVIDER = "provider_retires"
    NEVER_LIVE = "never_live"
    RETIRED = "retired"

    @property
    def label(self) -> str:
        """In words."""
        return {
            "serving": "Live or canary",
            "within_window": "Superseded, within its window",
            "window_over": "Superseded, window over",
            "provider_retires": "Its provider shuts it down",
            "never_live": "Never live",
            "retired": "Retired",
        }[self.value]


@dataclass(frozen=True, slots=True)
class Retention:
    """One version: how long it is kept and why."""

    version: Version
    """With artefact and team."""
    days: int
    """Of its window."""
    live_since: dt.datetime | None
    """Its first weight in production."""
    retained_until: dt.datetime | None
    """The end of its window; None while it serves, or if it never did."""
    interlocks: Sequence[Interlock]
    at: dt.datetime
    """As of this instant."""

    @property
    def window_open(self) -> bool:
        """Whether it stands within its window."""
        return self.retained_until is not None and self.retained_until > self.at

    @property
    def provider_is_ahead(self) -> bool:
        """Whether its provider has not shut it down yet, but will."""
        return self.version.provider_retires_at is not None and self.version.provider_retires_at > self.at

    @property
    def is_needed(self) -> bool:
        """Whether something in production rests on it: it serves, or a rollback goes back to it."""
        return any(reason.code in NEEDED_FOR for reason in self.interlocks)

    @property
    def next_at(self) -> dt.datetime | None:
        """What comes next: the end of its window or its provider's date; None when neither lies ahead."""
        ahead = [self.retained_until if self.window_open else None, self.version.provider_retires_at if self.provider_is_ahead else None]
        return None if self.version.lifecycle == Lifecycle.RETIRED else min((at for at in ahead if at is not None), default=None)

    @property
    def next_is_provider(self) -> bool:
        """Whether what comes next is its provider's date."""
        return self.next_at is not None and self.next_at == self.version.provider_retires_at


NEEDED_FOR = ("serves", "rollback_target")
"""Reasons for which a provider's date matters to production."""


def list_retention(
    *, query: str = "", artefact: str = "", team: str = "", change_type: str = "", state: str = "", at: dt.datetime | None = None
) -> QuerySet[Version]:
    """Versions with artefact and team, what expires next first. `query`: part of the artefact's name or of the label; the others are exact.

    Each has `days` (its window), `window_ends_at` and `next_at` beside its own fields.
    """
    now = at or clock.now()
    rule = RetentionRule.objects.filter(change_type=OuterRef("artefact__change_type")).values("days")
    ahead = {
        name: Case(When(**{f"{name}__gt": now}, then=F(name)), default=None, output_field=DateTimeField()) for name in ("window_ends_at", "provider_retires_at")
    }
    found = (
        Version.objects.select_related("artefact__team")
        .annotate(days=Coalesce(F("artefact__retention_days"), Subquery(rule), Value(DEFAULT_RETENTION_DAYS), output_field=IntegerField()))
        .annotate(
            window_ends_at=ExpressionWrapper(
                F("superseded_at") + ExpressionWrapper(F("days") * Value(dt.timedelta(days=1)), output_field=DurationField()), output_field=DateTimeField()
            )
        )
        .annotate(
            # PostgreSQL's least() passes over what is null.
            next_at=Case(
                When(lifecycle=Lifecycle.RETIRED, then=None), default=Least(ahead["window_ends_at"], ahead["provider_retires_at"]), output_field=DateTimeField()
            )
        )
        .order_by(F("next_at").asc(nulls_last=True), "artefact__slug", "-created_at", "-pk")
    )
    for field, value in (("artefact__slug", artefact), ("artefact__team__slug", team), ("artefact__change_type", change_type)):
        if value:
            found = found.filter(**{field: value})
    if query:
        found = found.filter(Q(artefact__slug__icontains=query) | Q(artefact__name__icontains=query) | Q(label__icontains=query))
    return found.filter(_conditions(now)[RetentionState(state)]) if state else found


def _conditions(now: dt.datetime) -> dict[RetentionState, Q]:
    kept = ~Q(lifecycle=Lifecycle.RETIRED)
    return {
        RetentionState.SERVING: Q(lifecycle__in=SERVING),
        RetentionState.WITHIN: kept & Q(window_ends_at__gt=now),
        RetentionState.OVER: kept & Q(window_ends_at__lte=now),
        RetentionState.PROVIDER: kept & Q(provider_retires_at__isnull=False),
        RetentionState.NEVER_LIVE: kept & Q(superseded_at=None) & ~Q(lifecycle__in=SERVING),
        RetentionState.RETIRED: Q(lifecycle=Lifecycle.RETIRED),
    }


def describe_retention(versions: Sequence[Version], *, live_since: Mapping[int, dt.datetime], at: dt.datetime | None = None) -> list[Retention]:
    """How long each of these versions is kept and why, in their order. One query more, for the interlocks.

    The versions come from `list_retention`; `live_since` says when each first served in production (routing knows that).
    """
    now = at or clock.now()
    reasons = list_interlocks(versions, at=now)
    return [
        Retention(
            version=version,
            days=days,
            live_since=live_since.get(version.pk),
            retained_until=retained_until(version.superseded_at, days=days),
            interlocks=reasons.get(version.pk, ()),
            at=now,
        )
        for version in versions
        for days in (int(getattr(version, "days")),)  # noqa: B009 (an annotation, which the type does not know)
    ]


def get_retention_version(version_id: int) -> Version:
    """One version as `list_retention` gives it. Raises NotFound. One query."""
    version = list_retention().filter(pk=version_id).first()
    if version is None:
        raise NotFound("There is no such version.", code="version_not_found")
    return version


def set_provider_retirement(*, version_id: int, at: dt.datetime | None, account: User, actor: Actor) -> Version:
    """Record when the provider shuts a version down; None: no such date is known (any more). People are warned ahead of it.

    Raises NotFound, Forbidden, InvalidInput (a time without a zone, or one that no calendar shows).
    """
    require(user=account, capability=Capability.RETIRE)
    if at is not None and (at.tzinfo is None or not FIRST_YEAR <= at.year <= LAST_YEAR):
        sentence = f"Give a day and time with its zone, in the years {FIRST_YEAR} to {LAST_YEAR}."
        raise InvalidInput(sentence, code="invalid_date", fields={"at": [sentence]})
    with transaction.atomic():
        version = Version.objects.select_for_update(of=("self",)).select_related("artefact").filter(pk=version_id).first()
        if version is None:
            raise NotFound("There is no such version.", code="version_not_found")
        before = version.provider_retires_at
        if before == at:
            return version
        version.provider_retires_at = at
        version.save(update_fields=["provider_retires_at"])
        # What was said about the old date holds no more.
        put_away(
            warning_key(version.pk, retires_at, days)
            for retires_at, days in RetirementWarning.objects.filter(version=version).values_list("retires_at", "days")
        )
        record(
            event="version.provider_retirement_set",
            actor=actor,
            subject_type="version",
            subject_id=version.pk,
            data={"version": version.label, "before": before.isoformat() if before else None, "after": at.isoformat() if at else None},
        )
        return version


FIRST_YEAR, LAST_YEAR = 2000, 2200


def warning_key(version_id: int, retires_at: dt.datetime, days: int) -> str:
    """The key of the notices of one warning: a date, and a number of days ahead."""
    return f"retirement:{version_id}:{retires_at.astimezone(dt.UTC):%Y%m%dT%H%M%S%f}:{days}"
