"""A finding before it is kept: by a drill as its evidence, or by the continuous preflight. Pure: no database."""

from __future__ import annotations

from dataclasses import dataclass

from rollbackhub.executions.enums import FindingCode


@dataclass(frozen=True, slots=True)
class FindingDraft:
    """Something that is not as it should be: expected this, found that, and what to do."""

    code: FindingCode
    subject: str
    expected: str
    found: str
    remedy: str = ""

    @property
    def in_words(self) -> str:
        """`gateway gateway-1: expected a 25 %, found a 60 %`."""
        return f"{self.subject}: expected {self.expected}, found {self.found}"
