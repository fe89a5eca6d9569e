"""From facts about one alias in one environment to its readiness, with every reason. Pure: no database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rollbackhub.executions.enums import FindingCode, ProofState
from rollbackhub.readiness.enums import ReadinessState, ReasonCode

SOON = dt.timedelta(days=30)
"""A provider's retirement within this time is a risk."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that speaks against rolling back now, and what to do about it."""

    code: str
    severity: ReadinessState
    sentence: str
    remedy: str
    url: str = ""
    """Where it is mended, on this site."""

    def as_dict(self) -> dict[str, Any]:
        """As it is stored and answered."""
        return {**asdict(self), "severity": str(self.severity), "code": str(self.code)}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The readiness of one alias in one environment."""

    state: ReadinessState
    rollbackable: bool
    """The target is there, the path is proven, and nothing has changed since; risks ahead do not count."""
    reasons: list[Reason] = field(default_factory=list)

    @property
    def codes(self) -> list[str]:
        """Codes of the reasons, the most urgent first, each once."""
        return list(dict.fromkeys(str(reason.code) for reason in self.reasons))


UNPROVEN = frozenset({ReasonCode.PROOF_STALE, ReasonCode.PROOF_EXPIRED})
"""At risk only, yet nobody can say that it works."""

ORDER = [str(code) for code in ReasonCode]


def judge(reasons: Sequence[Reason]) -> Verdict:
    """The worst severity decides; the reasons come in the order of urgency."""
    ordered = sorted(reasons, key=lambda reason: (list(ReadinessState).index(reason.severity), ORDER.index(str(reason.code))))
    state = ordered[0].severity if ordered else ReadinessState.READY
    rollbackable = state != ReadinessState.NOT_READY and not any(reason.code in UNPROVEN for reason in ordered)
    return Verdict(state=state, rollbackable=rollbackable, reasons=ordered)


def rank_of(verdict: Verdict) -> int:
    """The place on the board: 0 to 99 not ready, 100 to 199 at risk (each by the most urgent reason), 200 ready."""
    index = list(ReadinessState).index(verdict.state)
    return index * 100 + (min(ORDER.index(str(verdict.reasons[0].code)), 99) if verdict.reasons else 0)


SEVERITY_OF_FINDING: dict[str, ReadinessState] = {
    FindingCode.CONFIG_MISMATCH: ReadinessState.NOT_READY,
    FindingCode.FLAG_MOVED: ReadinessState.NOT_READY,
    FindingCode.TARGET_RETIRED: ReadinessState.NOT_READY,
    FindingCode.PERMISSION_MISSING: ReadinessState.NOT_READY,
    FindingCode.UNREACHABLE: ReadinessState.NOT_READY,
    FindingCode.NOT_RESTORED: ReadinessState.NOT_READY,
    FindingCode.TOO_SLOW: ReadinessState.NOT_READY,
    FindingCode.DOCS_STALE: ReadinessState.AT_RISK,
}
"""What was caught stands in the way; stale documentation is a risk."""

SEVERITY_OF_PROOF: dict[ProofState, ReadinessState] = {
    ProofState.MISSING: ReadinessState.NOT_READY,
    ProofState.FAILED: ReadinessState.NOT_READY,
    ProofState.STALE: ReadinessState.AT_RISK,
    ProofState.EXPIRED: ReadinessState.AT_RISK,
}
