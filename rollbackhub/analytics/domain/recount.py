"""Reckoning the rollups anew from the facts: they are always equal, and this shows it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db import connection


@dataclass(frozen=True, slots=True)
class Difference:
    """A row of a rollup that the facts do not bear out: what stands there (None: nothing), and what should."""

    rollup: str
    stands: dict[str, Any] | None
    recounted: dict[str, Any] | None

    def __str__(self) -> str:
        named = self.stands or self.recounted or {}
        key = ("measure", "month", "kind", "alias", "change_type", "environment_id")
        name = f"{self.rollup} {' '.join(str(named[part]) for part in key if part in named)}"
        if self.stands is None:
            return f"{name}: is missing ({named['n']} runs)"
        if self.recounted is None:
            return f"{name}: stands there with {named['n']} runs, and there are none"
        other = [f"{column} {value}, should be {self.recounted[column]}" for column, value in self.stands.items() if value != self.recounted[column]]
        return f"{name}: {'; '.join(other)}"


def recount(*, mend: bool) -> list[Difference]:
    """Compare all rollups with the facts, and put right what differs when `mend` is true. Nobody writes facts meanwhile (some seconds a million)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rollup, stands, recounted FROM analytics_recount(%s)", [mend])
        return [Difference(_NAMES[rollup], _parsed(stands), _parsed(recounted)) for rollup, stands, recounted in cursor.fetchall()]


_NAMES = {"analytics_runcell": "cell", "analytics_runhistogram": "histogram"}


def _parsed(value: str | None) -> dict[str, Any] | None:
    return None if value is None else dict(json.loads(value))
