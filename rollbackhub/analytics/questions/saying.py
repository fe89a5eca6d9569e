"""What the questions say alike: groups, shares, small numbers, addresses."""

from __future__ import annotations

import datetime as dt
from urllib.parse import urlencode

from rollbackhub.analytics.answer import AnalyticsFilter
from rollbackhub.analytics.enums import RunGroup
from rollbackhub.common.sentences import counted

FEW = 20
"""Below so many runs a share or a percentile is said to rest on few."""

TENTHS = 10
"""A 90th percentile of fewer runs is no more than the slowest of them: it is left out."""

SIDE_BY_SIDE = (RunGroup.DRILLS, RunGroup.PRODUCTION)

IMPORTED = "Imported runs are counted and marked (with a dot in figures); they prove nothing about a path."

NOTHING = "Nothing has been measured that this filter wants."
FILLS = "Drills in staging and rollbacks in production fill this, and so does a file of past ones. A wider period, or no filter, may show some."


def noun_of(group: RunGroup, number: int) -> str:
    """`1 drill`, `12 production rollbacks`."""
    return counted(number, "drill" if group == RunGroup.DRILLS else "production rollback" if group == RunGroup.PRODUCTION else "run")


def per_cent(share: float) -> str:
    """`92 %`; `99.6 %` near the ends, where a whole per cent would claim all or none."""
    return f"{share:.1%}".replace("%", " %") if (0.985 <= share < 1 or 0 < share <= 0.015) else f"{share:.0%}".replace("%", " %")


def address(question: str, wanted: AnalyticsFilter, **changes: str) -> str:
    """The path of a question's page under this filter, with some of it changed."""
    values = {name: changes.get(name, getattr(wanted, name)) for name in ("team", "environment", "change_type", "alias")}
    if wanted.since is None and wanted.until is None:
        values["period"] = "all"
    if wanted.since is not None:
        values["since"] = wanted.since.isoformat()
    if wanted.until is not None:
        # The last day, with which the page's period ends.
        values["until"] = (wanted.until - dt.timedelta(days=1)).isoformat()
    if not wanted.with_lab:
        values["lab"] = "out"
    return f"/analytics/{question}/?{urlencode({name: value for name, value in values.items() if value})}"
