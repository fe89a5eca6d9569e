"""Verdicts, and the one rule of combining them: no data is never a pass."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models


class Verdict(models.TextChoices):
    """The outcome of a check, a verification or a whole drill."""

    PASSED = "passed", "Passed"
    FAILED = "failed", "Failed"
    INCONCLUSIVE = "inconclusive", "Inconclusive"
    ERROR = "error", "Error"


_WORST_FIRST = (Verdict.FAILED, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.PASSED)


def combine(verdicts: Iterable[Verdict | str]) -> Verdict:
    """The verdict of all together: the worst of them; of none at all, `inconclusive`."""
    found = {Verdict(verdict) for verdict in verdicts}
    return next((verdict for verdict in _WORST_FIRST if verdict in found), Verdict.INCONCLUSIVE)
