"""Looks of a verification, made from kept samples and from nothing else: the engine and an auditor see the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollbackhub.executions.domain.restoring import SERVED_AGAIN
from rollbackhub.executions.models import Execution, Sample, StepAttempt
from rollbackhub.verification.evidence import TrafficSample
from rollbackhub.verification.judge import BaselineKind
from rollbackhub.verification.looking import BaselineTotals, Looks, MetricsLook, ProbeLook
from rollbackhub.verification.specs import Check, parse_checks, template

ACTION = "verify"
KINDS = ("baseline", "traffic", "metrics", "gateways", "probe", "look")
UNSEEN = "unseen"
"""In the result of an attempt: gateways send the bad version nothing, and the callers' metrics did not show whom it serves."""
WITHOUT_BASELINE = "without_baseline"
"""In the result of an attempt: without a baseline, verifying again cannot show that all is back at it."""
MOST_SAMPLES = 3000
"""Of one attempt, for a page."""
BASELINES = {"before_release": BaselineKind.BEFORE_RELEASE, "concurrent": BaselineKind.CONCURRENT}


TEMPLATE_PARAMS: Mapping[str, Any] = {"feedback_margin": 0.05, "latency_ratio": 1.5, "consecutive": 2}
"""What a procedure's step means when it does not say."""


def checks_of(plan: Mapping[str, Any], params: Mapping[str, Any]) -> list[Check]:
    """The artefact's own checks as the plan froze them, else those of its change type with the margins of the procedure's step."""
    if "checks" in plan:
        return parse_checks(plan["checks"])
    return parse_checks(
        template(
            plan["change_type"],
            feedback_points=params["feedback_margin"],
            latency_ratio=params["latency_ratio"],
            consecutive=params["consecutive"],
        )
    )


def begin_looks(execution: Execution, attempt: StepAttempt, *, of_fix: bool) -> Looks:
    """Nothing seen yet. A first attempt's looks count from the drain on; a later one's from its own beginning, and its verdict costs more."""
    plan = execution.plan
    first = execution.drained_at or execution.executed_at
    began = attempt.started_at
    attempts = execution.attempts.all() if attempt.number > 1 else ()
    earlier = [found for found in attempts if found.position == attempt.position and found.number < attempt.number]
    return Looks(
        bad_version=str(plan["bad_version"]),
        good_versions=list(plan["good_versions"]),
        since=first if first is not None and attempt.number == 1 else began,
        attempt=attempt.number,
        served_again=any(found.result.get(SERVED_AGAIN) for found in earlier),
        of=[str(plan["fix_version"])] if of_fix else None,
    )


def feed(looks: Looks, *, kind: str, value: Mapping[str, Any], taken_at: dt.datetime) -> None:
    """Add one kept sample. Kinds that prove nothing here are left out."""
    if kind == "traffic":
        looks.traffic.append(_traffic(value, taken_at))
    elif kind == "metrics":
        look = metrics_look(value, taken_at)
        grown = _served_since_last(looks, look)
        looks.metrics.append(look)
        if grown is not None:
            looks.served.append(grown)
    elif kind == "gateways":
        looks.gateways = value
    elif kind == "probe":
        looks.probes[str(value["check"])] = ProbeLook(str(value.get("version", "")), str(value.get("error", "")))
    elif kind == "baseline":
        # As it was at this attempt: the drain may have been revoked since, and observed again later.
        looks.since = dt.datetime.fromisoformat(value["since"]) if value.get("since") else looks.since
        looks.baselines = {
            name: BaselineTotals(BASELINES[name], entry["versions"]) for name, entry in value.items() if name in BASELINES and entry.get("versions")
        }


def metrics_look(value: Mapping[str, Any], taken_at: dt.datetime) -> MetricsLook:
    """A kept metrics sample. Before sources told their time and query, the versions alone were kept."""
    configured = value.get("configured")
    if "error" in value:
        return MetricsLook(taken_at, taken_at, None, problem=str(value["error"]), is_error=not value.get("no_data"), configured=configured)
    versions = value.get("versions", value)
    at_source = dt.datetime.fromisoformat(value["at_source"]) if value.get("at_source") else taken_at
    if not versions:
        return MetricsLook(taken_at, at_source, None, problem=str(value.get("no_data") or "there is no such series."), configured=configured)
    return MetricsLook(taken_at, at_source, versions, configured=configured)


def _traffic(value: Mapping[str, Any], taken_at: dt.datetime) -> TrafficSample:
    return TrafficSample(taken_at=taken_at, requests=value["requests"], active=value.get("active", {}), complete=value.get("complete", True))


def _served_since_last(looks: Looks, now: MetricsLook) -> TrafficSample | None:
    """Requests by version between the last two readings, both after the drain; None when there are no two, or a counter started anew."""
    before = next((look for look in reversed(looks.metrics) if look.versions is not None), None)
    if before is None or before.versions is None or now.versions is None or before.at_source == now.at_source:
        return None
    if min(before.at_source, before.at_hub) < looks.since:
        return None
    grown = {version: round(entry["requests"] - _counted_before(looks, version)) for version, entry in now.versions.items()}
    if any(count < 0 for count in grown.values()):
        return None
    return TrafficSample(taken_at=now.at_source, requests=grown)


def _counted_before(looks: Looks, version: str) -> float:
    """What a version had counted when it was seen last (a series may be missing from a reading); 0 for one that is born since."""
    return next((float(look.versions[version]["requests"]) for look in reversed(looks.metrics) if look.versions and version in look.versions), 0.0)


@dataclass(frozen=True, slots=True)
class LookTaken:
    """What every check said at one look, by its key."""

    at: dt.datetime
    verdicts: Mapping[str, str]
    sentences: Mapping[str, str]
    """Empty for looks from before they were kept."""


@dataclass(frozen=True, slots=True)
class Verification:
    """One attempt to verify, as it was kept."""

    attempt: StepAttempt
    checks: list[Check]
    looks: Looks
    taken: list[LookTaken]
    queries: list[str]
    """What the metrics source was asked; several when its settings changed in between."""
    is_whole: bool
    """Whether these are all samples, and not the newest MOST_SAMPLES."""


def get_verification(execution: Execution) -> Verification | None:
    """The newest attempt to verify that took a look; None when there is none (or it was before looks were kept). One query; attempts must be fetched."""
    steps = {step["key"]: step for step in execution.plan["steps"] if step["action"] == ACTION}
    attempt = max((found for found in execution.attempts.all() if found.key in steps), key=lambda found: (found.started_at, found.pk), default=None)
    if attempt is None:
        return None
    newest = list(Sample.objects.filter(attempt=attempt, kind__in=KINDS).order_by("-id")[: MOST_SAMPLES + 1])
    is_whole, samples = len(newest) <= MOST_SAMPLES, newest[:MOST_SAMPLES][::-1]
    if not any(sample.kind == "look" for sample in samples):
        return None
    params = steps[attempt.key].get("params") or {}
    looks = begin_looks(execution, attempt, of_fix=params.get("versions") == "fix")
    taken = []
    for sample in samples:
        if sample.kind == "look":
            taken.append(LookTaken(sample.taken_at, sample.value["verdicts"], sample.value.get("sentences", {})))
        else:
            feed(looks, kind=sample.kind, value=sample.value, taken_at=sample.taken_at)
    queries = list(dict.fromkeys(sample.value["query"] for sample in samples if sample.kind == "metrics" and sample.value.get("query")))
    return Verification(attempt, checks_of(execution.plan, {**TEMPLATE_PARAMS, **params}), looks, taken, queries, is_whole)
