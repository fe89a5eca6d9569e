"""How a verification goes on from look to look, and when it ends. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from rollbackhub.common.verdict import Verdict, combine
from rollbackhub.verification.evidence import CheckOutcome
from rollbackhub.verification.specs import CheckSpec


@dataclass(slots=True)
class _Streak:
    """The same verdict at so many looks in a row."""

    verdict: Verdict | None = None
    looks: int = 0
    paid: int | None = None
    """The paid looks of the last outcome that counted."""

    def take(self, outcome: CheckOutcome) -> None:
        """Count it. A failure that only repeats the last paid look is the same evidence once more, and counts once."""
        if self.verdict != outcome.verdict:
            self.verdict, self.looks, self.paid = outcome.verdict, 1, outcome.paid
        elif outcome.verdict != Verdict.FAILED or outcome.paid is None or outcome.paid != self.paid:
            self.looks, self.paid = self.looks + 1, outcome.paid


@dataclass(slots=True)
class Course:
    """Counts what each check said in a row. `span_seconds`: the looks in a row that pass must last at least so long."""

    checks: Sequence[CheckSpec]
    span_seconds: float = 0
    outcomes: list[CheckOutcome] = field(default_factory=list)
    """Of the last look, in the order of the checks."""
    looks: int = 0
    """How many were taken."""
    _streaks: dict[str, _Streak] = field(default_factory=dict)
    _passing_since: dt.datetime | None = None

    def take(self, outcomes: Sequence[CheckOutcome], *, at: dt.datetime) -> Verdict | None:
        """Take one look. The verdict when the verification has ended with it; None: look again.

        It passes when all checks pass at the same looks, each as often in a row as it wants. It ends early when one check has
        failed, shown nothing, or could not look, so often in a row that its limit says so. Of what is judged at paid looks, failures are
        counted by those.
        """
        self.outcomes = list(outcomes)
        self.looks += 1
        for outcome in outcomes:
            self._streaks.setdefault(outcome.name, _Streak()).take(outcome)
        verdict = self.verdict
        self._passing_since = (self._passing_since or at) if verdict == Verdict.PASSED else None
        if verdict == Verdict.PASSED:
            long_enough = self._passing_since is not None and (at - self._passing_since).total_seconds() >= self.span_seconds
            often_enough = all(self._streaks[check.key].looks >= check.consecutive for check in self.checks)
            return Verdict.PASSED if long_enough and often_enough else None
        return verdict if any(self._is_given_up(check) for check in self.checks) else None

    @property
    def verdict(self) -> Verdict:
        """Of all checks at the last look."""
        return combine(outcome.verdict for outcome in self.outcomes)

    def _is_given_up(self, check: CheckSpec) -> bool:
        streak = self._streaks.get(check.key)
        if streak is None or streak.verdict is None:
            return False
        limits = {Verdict.FAILED: check.failure_limit, Verdict.INCONCLUSIVE: check.inconclusive_limit, Verdict.ERROR: check.error_limit}
        limit = limits.get(streak.verdict, 0)
        return bool(limit) and streak.looks >= limit
