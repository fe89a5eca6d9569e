"""What the retention page and the version page show: rows, figures, and what to do about each reason."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.urls import reverse
from django.utils import timezone

from rollbackhub.accounts.models import Team
from rollbackhub.charts.content import as_content
from rollbackhub.charts.retention_timeline import RetentionBar, retention_timeline
from rollbackhub.charts.rollbackable_share import SharePoint, rollbackable_share
from rollbackhub.common import clock
from rollbackhub.dashboard.figures import CHART_POINTS, PageFigure
from rollbackhub.readiness.domain.selectors import Share
from rollbackhub.readiness.enums import ReadinessState
from rollbackhub.registry.domain.interlocks import Interlock
from rollbackhub.registry.domain.retention import Retention, RetentionState
from rollbackhub.registry.enums import ChangeType, Lifecycle
from rollbackhub.registry.models import Version
from rollbackhub.registry.rules import SERVING, may_follow

HISTORY_DAYS = 90
"""How far back the share's history goes on the page."""


class RetentionFilterForm(forms.Form):
    """Which versions the page shows; all of it stands in the address."""

    artefact = forms.CharField(required=False, max_length=120, label="Artefact or version contains")
    team = forms.ChoiceField(required=False, label="Team")
    change_type = forms.ChoiceField(required=False, label="Change type", choices=[("", "Any"), *ChangeType.choices])
    state = forms.ChoiceField(required=False, label="State", choices=[("", "Any"), *((state.value, state.label) for state in RetentionState)])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].choices = [("", "Any"), *Team.objects.values_list("slug", "name")]  # type: ignore[attr-defined]
        for field in self.fields.values():
            field.widget.attrs["class"] = "form-select" if isinstance(field.widget, forms.Select) else "form-control"

    def wanted(self) -> dict[str, str]:
        """What can be read in the address; the rest is left out."""
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}


class ProviderRetirementForm(forms.Form):
    """When a provider shuts a version down, by the viewer's clock; empty: no date is known."""

    at = forms.DateTimeField(required=False, label="Shut down at")


@dataclass(frozen=True, slots=True)
class Remedy:
    """A reason against retiring (whose sentence says what to do), what there is to add, and the page where it is done."""

    reason: Interlock
    note: str
    where: str
    url: str


_REMEDIES = {
    "serves": ("", "Routing", "routing:list"),
    "rollback_target": ("", "Routing", "routing:list"),
    "only_proven_target": ("", "Start a drill", "drills:choose"),
    "within_window": ("It ends by itself. The window is set for each change type and artefact in the settings: 30 days at least.", "", ""),
    "stability_hold": ("It ends by itself, or a lead lifts it with a reason.", "Holds", "rollbacks:holds"),
    "open_incident": ("", "Incidents", "incidents:list"),
}
"""Code of a reason → what there is to add, and the page."""


def remedies_of(retention: Retention) -> list[Remedy]:
    """Every reason against retiring a version, each with what to do."""
    return [Remedy(reason, note, where, reverse(name) if name else "") for reason in retention.interlocks for note, where, name in [_REMEDIES[reason.code]]]


@dataclass(frozen=True, slots=True)
class Acts:
    """What may be done to a version by where it stands; who may do it is another question."""

    retire: bool
    archive: bool
    restore: bool
    """It is retired, and comes back as archived."""


def acts_of(version: Version) -> Acts:
    """By the table of transitions. What serves is offered to be retired, too: the dialog says what stands in the way."""
    archives = may_follow(version.lifecycle, Lifecycle.ARCHIVED)
    return Acts(
        retire=may_follow(version.lifecycle, Lifecycle.RETIRED) or version.lifecycle in SERVING,
        archive=archives and version.lifecycle != Lifecycle.RETIRED,
        restore=archives and version.lifecycle == Lifecycle.RETIRED,
    )


def address_of(version: Version) -> str:
    """The page of a version."""
    return reverse("registry:version", args=[version.pk])


def timeline_figure(rows: Sequence[Retention]) -> PageFigure | None:
    """A row per version that ever was live, or has a date ahead; None without one."""
    bars = [
        RetentionBar(
            version=row.version.label,
            artefact=row.version.artefact.name,
            live_from=_naive(row.live_since) if row.version.lifecycle in SERVING or row.version.superseded_at else None,
            live_until=_naive(row.version.superseded_at) if row.version.lifecycle not in SERVING else None,
            kept_until=_naive(row.retained_until) if row.version.lifecycle not in SERVING else None,
            provider_at=_naive(row.version.provider_retires_at),
            retired=row.version.lifecycle == Lifecycle.RETIRED,
            url=address_of(row.version),
        )
        for row in rows
        if row.version.lifecycle in SERVING or row.version.superseded_at or row.version.provider_retires_at
    ]
    if not bars:
        return None
    figure = retention_timeline(bars=bars, now=_local(clock.now()), zone=_zone())
    return PageFigure(
        "figure-retention",
        as_content(figure),
        "For each version: when it was live, how long it is kept after that, and when its provider shuts it down. The table below has the same dates.",
    )


def share_tone(share: Share, *, counts: Mapping[ReadinessState, int], not_judged: int) -> str:
    """The tone of how many live aliases are rollbackable, wherever that number stands: `bad` while one is not ready, `warn` while one is at risk
    or not judged yet, `idle` while nothing is live.
    """
    if counts.get(ReadinessState.NOT_READY):
        return "bad"
    if not_judged or counts.get(ReadinessState.AT_RISK):
        return "warn"
    return "ok" if share.total else "idle"


def thinned(history: Sequence[Share]) -> list[Share]:
    """The history in few enough points for a figure and its table; the newest is always there."""
    step = max(1, -(-len(history) // CHART_POINTS))
    return list(history[::-1][::step][::-1])


def share_figure(history: Sequence[Share], *, since: dt.datetime) -> PageFigure | None:
    """The share over time; None before anything was judged."""
    if not history:
        return None
    points = [SharePoint(_local(share.at), share.rollbackable, share.total) for share in history]
    figure = rollbackable_share(points=points, since=max(_local(since), points[0].at), now=_local(clock.now()), zone=_zone())
    return PageFigure(
        "figure-share", as_content(figure), "Share of live aliases that could be rolled back, in percent over time. The table below has the same numbers."
    )


def _local(at: dt.datetime) -> dt.datetime:
    return timezone.localtime(at).replace(tzinfo=None)


def _naive(at: dt.datetime | None) -> dt.datetime | None:
    return None if at is None else _local(at)


def _zone() -> str:
    return timezone.localtime().strftime("%Z")
