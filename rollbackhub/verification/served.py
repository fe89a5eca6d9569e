"""What is served, and for what a job was done, judged from what was kept of each look. Pure: the engine and an auditor see the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollbackhub.common.verdict import Verdict, combine
from rollbackhub.verification.evidence import CheckOutcome

SERVED, CONSUMERS, JOB = "served_version", "consumers", "job"


def judge_observed(name: str, value: Mapping[str, Any]) -> CheckOutcome:
    """A kept look at the system `name`: it shows what was wanted, something else, or could not be read."""
    if "error" in value:
        if value.get("final"):
            return CheckOutcome(SERVED, Verdict.FAILED, str(value["message"]))
        return CheckOutcome(SERVED, Verdict.ERROR, f"{name} could not be read: {value.get('message') or value['error']}")
    if value["reached"]:
        return CheckOutcome(SERVED, Verdict.PASSED, f"{name} shows {value['found']}.")
    return CheckOutcome(SERVED, Verdict.FAILED, f"{name} shows {value['found']}, not {value['expected']}.")


def judge_consumers(value: Mapping[str, Any]) -> CheckOutcome:
    """A kept look at the consumers: `said` is the name that each gave, `wanted` the label by each name that it may give."""
    said, wanted, errors = value["said"], value["wanted"], value["errors"]
    wrong = {url: name for url, name in said.items() if name not in wanted}
    verdict = Verdict.FAILED if wrong else Verdict.ERROR if errors else Verdict.PASSED
    numbers = {"asked": len(said) + len(errors), "right": len(said) - len(wrong)}
    if verdict == Verdict.PASSED:
        labels = ", ".join(sorted({wanted[name] for name in said.values()}))
        return CheckOutcome(CONSUMERS, verdict, f"{len(said)} of {len(said)} consumers use {labels}.", numbers)
    sentences = [f"{url} uses {name}" for url, name in wrong.items()] + [f"{url} was not heard ({why})" for url, why in errors.items()]
    return CheckOutcome(CONSUMERS, verdict, f"{'; '.join(sentences)}.", numbers)


def judge_job(value: Mapping[str, Any], *, names: Sequence[str], label: str) -> CheckOutcome:
    """The kept end of a job: it is done only when it says that it was for this version, by one of its names."""
    job = str(value["job"]).replace("_", " ").capitalize()
    if value["state"] == "failed":
        return CheckOutcome(JOB, Verdict.FAILED, f"{job} failed: {value['message']}")
    built = str(value["result"].get("version", ""))
    if built not in names:
        found = f"done for {built or 'a version that it does not name'}"
        return CheckOutcome(JOB, Verdict.FAILED, f"{job} ended, but was {found}, not for {label}.")
    said = f" {value['message']}" if value["message"] else ""
    return CheckOutcome(JOB, Verdict.PASSED, f"{job} is done for {label}.{said}")


@dataclass(slots=True)
class ServedCourse:
    """Looks at what is served: it passes after `consecutive` looks in a row that pass, over `span_seconds`."""

    consecutive: int
    span_seconds: float = 0
    outcomes: list[CheckOutcome] = field(default_factory=list)
    """Of the last look."""
    passes: int = 0
    """Looks in a row that passed."""
    _since: dt.datetime | None = None

    def take(self, outcomes: Sequence[CheckOutcome], *, at: dt.datetime, final: bool = False) -> Verdict | None:
        """Take one look. The verdict when it has ended with it; None: look again. `final`: another look would show the same."""
        self.outcomes = list(outcomes)
        verdict = self.verdict
        if verdict != Verdict.PASSED:
            self.passes, self._since = 0, None
            return verdict if final else None
        self.passes, self._since = self.passes + 1, self._since or at
        return verdict if self.passes >= self.consecutive and (at - self._since).total_seconds() >= self.span_seconds else None

    @property
    def verdict(self) -> Verdict:
        """Of all checks at the last look."""
        return combine(outcome.verdict for outcome in self.outcomes)


def said_at(outcomes: Sequence[CheckOutcome]) -> dict[str, Any]:
    """A look as it is kept: what each check said, so that pages need no judge and an auditor can compare."""
    return {"verdicts": {outcome.name: outcome.verdict for outcome in outcomes}, "sentences": {outcome.name: outcome.sentence for outcome in outcomes}}
