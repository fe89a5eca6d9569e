"""What a receiver says of a service or a job: read strictly, kept small and clean, since it is stored and shown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rollbackhub.connectors.mechanism import JobReport, JobState, Problem, ProblemCode, ProblemFound

MOST_RESULT = 16_000
"""Characters of a job's result that are kept, as JSON."""
_DEEPEST = 5

Clean = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Deployed:
    """A service's version (empty: none yet), and whether it runs, comes up or failed."""

    version: str
    state: JobState
    message: str
    progress: float | None

    @property
    def in_words(self) -> str:
        """`v2`, `v2, still being deployed (40 %)`, `v2, and the deployment failed: …`, `nothing is deployed`."""
        version = self.version or "nothing"
        if self.state == JobState.RUNNING:
            return f"{version}, still being deployed" + (f" ({self.progress:.0f} %)" if self.progress is not None else "")
        if self.state == JobState.FAILED:
            return f"{version}, and the deployment failed" + (f": {self.message}" if self.message else "")
        return self.version or "nothing is deployed"


def read_deployed(content: Mapping[str, Any], *, subject: str, clean: Clean) -> Deployed:
    """A service's status. Raises ProblemFound when it names no version or no state."""
    version = content.get("version", False)
    if version is not None and not isinstance(version, str):
        found = "a version that is no text" if "version" in content else "none"
        raise ProblemFound(Problem(ProblemCode.CONFIG_MISMATCH, subject, "a status that names the version", found, "Mend the receiver's status."))
    return Deployed(clean(version or ""), _state(content, subject=subject, clean=clean), clean(_text(content.get("message"))), _progress(content))


def read_report(content: Mapping[str, Any], *, subject: str, clean: Clean) -> JobReport:
    """A job's status. Raises ProblemFound when it names no state."""
    result = content.get("result")
    return JobReport(
        state=_state(content, subject=subject, clean=clean),
        message=clean(_text(content.get("message"))),
        progress=_progress(content),
        result=_small(result, clean=clean) if isinstance(result, dict) else {},
    )


def _state(content: Mapping[str, Any], *, subject: str, clean: Clean) -> JobState:
    """No state is none that has ended well."""
    said = content.get("state")
    try:
        return JobState(_text(said))
    except ValueError as error:
        states = ", ".join(JobState)
        found = f"“{clean(_text(said))}”" if said is not None else "none"
        raise ProblemFound(Problem(ProblemCode.CONFIG_MISMATCH, subject, f"a state, one of {states}", found, "Mend the receiver's status.")) from error


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _progress(content: Mapping[str, Any]) -> float | None:
    """Percent between 0 and 100. What is no number is no progress."""
    value = content.get("progress")
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return float(min(max(value, 0), 100))


def _small(result: Mapping[str, Any], *, clean: Clean) -> dict[str, Any]:
    """A job's result without what a database does not take (NaN, zero bytes); of one that is too large, only the version."""
    kept = {clean(key): _cleaned(value, clean=clean, depth=1) for key, value in result.items()}
    if len(json.dumps(kept)) > MOST_RESULT:
        return {"version": kept.get("version"), "left_out": f"the rest: over {MOST_RESULT} characters"}
    return kept


def _cleaned(value: Any, *, clean: Clean, depth: int) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict) and depth < _DEEPEST:
        return {clean(key): _cleaned(inner, clean=clean, depth=depth + 1) for key, inner in value.items()}
    if isinstance(value, list) and depth < _DEEPEST:
        return [_cleaned(inner, clean=clean, depth=depth + 1) for inner in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return None
