"""Checks as data: what is looked at after a flip, how often, against what, and when it is given up. Pure: no database, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.typed_words import in_words
from rollbackhub.verification.judge.rate_question import MOST_HARMLESS, MOST_POINTS, MOST_RATIO

MAX_CHECKS = 20

Metric = Literal["negative_feedback", "errors", "latency"]
Ratio = Annotated[float, Field(strict=True, gt=0, le=MOST_RATIO)]
Points = Annotated[float, Field(strict=True, gt=0, le=MOST_POINTS)]
Harmless = Annotated[float, Field(strict=True, gt=0, le=MOST_HARMLESS)]


class CheckSpec(BaseModel):
    """What every check has. Times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="Its name on the record")
    title: str = Field(default="", max_length=120, description="Its name for people; empty: the usual one")
    consecutive: int = Field(default=2, strict=True, ge=1, le=100, description="Looks in a row that must pass")
    failure_limit: int = Field(
        default=10, strict=True, ge=0, le=10_000, description="It ends as failed after so many failed looks in a row; 0: at the deadline only"
    )
    inconclusive_limit: int = Field(
        default=0, strict=True, ge=0, le=10_000, description="It ends after so many looks in a row that show nothing; 0: at the deadline only"
    )
    error_limit: int = Field(
        default=10, strict=True, ge=0, le=10_000, description="It ends after so many looks in a row that could not be taken; 0: at the deadline only"
    )


class TrafficShare(CheckSpec):
    """The bad version gets nothing: not from gateways, and not where it is counted as served."""

    kind: Literal["traffic_share"] = "traffic_share"
    samples: int = Field(default=3, strict=True, ge=1, le=100, description="Samples in a row that see traffic and none of it at the bad version")


class GatewayRevision(CheckSpec):
    """Every live gateway serves by what was written last."""

    kind: Literal["gateway_revision"] = "gateway_revision"


JUDGED_FAILURES = 3
"""Paid looks in a row after which what is judged is given up. Each has about twice the requests of the one before, so that complaints that come
late, right after the drain, weigh little at the last."""


class Judged(CheckSpec):
    """What the judge answers at paid looks: its failures are counted by those."""

    failure_limit: int = Field(
        default=JUDGED_FAILURES,
        strict=True,
        ge=0,
        le=10_000,
        description="It ends as failed after so many paid looks in a row that fail, each with twice the requests; 0: at the deadline only",
    )


USUAL_RATIO = 0.25
"""The margin of who states none."""


class WithMargin(Judged):
    """How much above the baseline still counts as back. Of several margins any will do; who states none has margin_ratio 0.25."""

    margin_ratio: Ratio | None = Field(default=None, description="0.25: at most a quarter above the baseline")
    margin_points: Points | None = Field(default=None, description="Of rates: 0.01 is one percentage point above the baseline")
    harmless_below: Harmless | None = Field(default=None, description="Of rates: below this the harm has ceased, whatever the baseline was")

    @model_validator(mode="before")
    @classmethod
    def _usual_margin(cls, values: Any) -> Any:
        stated = {"margin_ratio", "margin_points", "harmless_below"}
        return {**values, "margin_ratio": USUAL_RATIO} if isinstance(values, Mapping) and stated.isdisjoint(values) else values

    @model_validator(mode="after")
    def _has_a_margin(self) -> WithMargin:
        if self.margin_ratio is None and self.margin_points is None and self.harmless_below is None:
            raise ValueError("state a margin: margin_ratio, margin_points or harmless_below")
        return self


class MetricBaseline(WithMargin):
    """A metric is back at its baseline, within a margin that is stated."""

    kind: Literal["metric_baseline"] = "metric_baseline"
    metric: Metric
    baseline: Literal["auto", "before_release", "concurrent"] = Field(
        default="auto", description="The window before the release (a source with history), or the stable version beside it"
    )

    @model_validator(mode="after")
    def _fits_the_metric(self) -> MetricBaseline:
        if self.metric == "latency" and (self.margin_ratio is None or self.margin_points is not None or self.harmless_below is not None):
            raise ValueError("of a latency only margin_ratio can be stated")
        return self


class MetricThreshold(Judged):
    """A rate is below a fixed limit, shown and not just seen."""

    kind: Literal["metric_threshold"] = "metric_threshold"
    metric: Literal["negative_feedback", "errors"]
    limit: Harmless = Field(description="0.02: below two percent of requests")


class ImpactCeased(WithMargin):
    """The users' harm is over: the bad version's own errors and complaints have stopped, and those of all users are within tolerance."""

    kind: Literal["impact_ceased"] = "impact_ceased"
    quiet_looks: int = Field(default=3, strict=True, ge=1, le=1000, description="Looks in a row without a new error or complaint at the bad version")


class Probe(CheckSpec):
    """Ask the alias, and see which version answers."""

    kind: Literal["probe"] = "probe"
    url: str = Field(pattern=r"^https?://[^\s@]+$", max_length=500)
    header: str = Field(default="x-rollbackhub-version", pattern=r"^[A-Za-z0-9-]{1,80}$", description="The answer's header that names the version")
    field: str = Field(
        default="",
        max_length=120,
        pattern=r"^$|^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$",
        description="Of a JSON answer: the member that names it, in place of the header",
    )


KINDS: dict[str, type[CheckSpec]] = {
    "traffic_share": TrafficShare,
    "gateway_revision": GatewayRevision,
    "metric_baseline": MetricBaseline,
    "metric_threshold": MetricThreshold,
    "impact_ceased": ImpactCeased,
    "probe": Probe,
}
Check = Annotated[TrafficShare | GatewayRevision | MetricBaseline | MetricThreshold | ImpactCeased | Probe, Field(discriminator="kind")]
_CHECKS: TypeAdapter[list[Check]] = TypeAdapter(list[Check])

TITLES = {
    "traffic_share": "Nothing goes to the bad version",
    "gateway_revision": "Every gateway serves by the new weights",
    "probe": "The good version answers",
    "impact_ceased": "The users' harm is over",
}
METRICS = {"negative_feedback": "Negative feedback", "errors": "Errors", "latency": "Latency"}


def title_of(check: CheckSpec) -> str:
    """Its name for people."""
    kind = getattr(check, "kind", "")
    if check.title:
        return check.title
    if isinstance(check, MetricBaseline):
        return f"{_metric_is(check)} back at the baseline"
    if isinstance(check, MetricThreshold):
        return f"{_metric_is(check)} below {'their' if check.metric == 'errors' else 'its'} limit"
    return TITLES[kind]


def _metric_is(check: MetricBaseline | MetricThreshold) -> str:
    return f"{METRICS[check.metric]} {'are' if check.metric == 'errors' else 'is'}"


def parse_checks(values: object) -> list[Check]:
    """Typed checks from JSON that a person wrote. Raises InvalidInput with a sentence per place (`checks.1.margin_ratio`)."""
    try:
        found = _CHECKS.validate_python(values)
    except ValidationError as error:
        fields: dict[str, list[str]] = {}
        for item in error.errors(include_url=False, include_input=False):
            where, sentence = _in_words(item)
            fields.setdefault(where, []).append(sentence)
        raise refused(fields) from error
    if not 1 <= len(found) <= MAX_CHECKS:
        raise refused({"checks": [f"A verification has 1 to {MAX_CHECKS} checks."]})
    seen: dict[str, int] = {}
    for place, check in enumerate(found):
        if check.key in seen:
            raise refused({f"checks.{place}.key": [f"The key {check.key} is that of check {seen[check.key] + 1} already."]})
        seen[check.key] = place
    return found


def refused(fields: dict[str, list[str]]) -> InvalidInput:
    """The error for these sentences by place."""
    said = " ".join(f"{key}: {sentences[0]}" for key, sentences in list(fields.items())[:10])
    return InvalidInput(f"The checks cannot be used. {said}", code="invalid_checks", fields=fields)


def _in_words(item: Mapping[str, Any]) -> tuple[str, str]:
    """Where, and what is wrong there. The kind that pydantic puts between the number and the member is left out."""
    number, *inside = item["loc"] or ("",)
    if number == "":
        return "checks", "Write a list of checks: - kind: … a check each."
    if item["type"] in ("union_tag_not_found", "union_tag_invalid"):
        return f"checks.{number}.kind", f"Say which kind it is: {', '.join(KINDS)}."
    if not inside:
        return f"checks.{number}", "A check is a mapping: kind, key, and what that kind needs."
    kind = KINDS[inside.pop(0)]
    return ".".join(["checks", str(number), *(str(part) for part in inside)]), in_words({**item, "loc": tuple(inside)}, kind)


def template(change_type: str, *, feedback_points: float, latency_ratio: float, consecutive: int) -> list[dict[str, Any]]:
    """The checks of an artefact that has none of its own, as JSON: prompts and models are judged by what users say and how long they wait.

    `feedback_points`: the margin as a share of 1; `latency_ratio` 1.5: at most half as long again. Procedures may still state wider
    margins than can be judged: then the widest counts.
    """
    points, ratio = min(feedback_points, MOST_POINTS), min(round(latency_ratio - 1, 6), MOST_RATIO)
    checks: list[CheckSpec] = [
        TrafficShare(key="traffic_share", consecutive=consecutive),
        MetricBaseline(key="negative_feedback", metric="negative_feedback", margin_points=points, consecutive=consecutive),
    ]
    if change_type in ("prompt", "model", "agent_code"):
        checks.append(MetricBaseline(key="latency", metric="latency", margin_ratio=ratio, consecutive=consecutive))
    return [check.model_dump(mode="json") for check in checks]


def as_json(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """As they are kept: every setting spelt out, so that a default that changes later changes nothing."""
    return [check.model_dump(mode="json") for check in checks]


_ONE = {"fail": "fails", "show nothing": "shows nothing", "cannot be taken": "cannot be taken"}


def in_sentences(check: CheckSpec) -> list[str]:
    """What it demands, in words with units."""
    said = [_demand(check)]
    looks = "look" if check.consecutive == 1 else "looks in a row"
    said.append(f"It passes after {check.consecutive} {looks}.")
    failing = "judged look" if isinstance(check, Judged) else "look"
    limits = ((check.failure_limit, failing, "fail"), (check.inconclusive_limit, "look", "show nothing"), (check.error_limit, "look", "cannot be taken"))
    ends = [f"{count} {what}s in a row that {how}" if count > 1 else f"1 {what} that {_ONE[how]}" for count, what, how in limits if count]
    said.append(f"It is given up after {', or '.join(ends)}." if ends else "It is given up at the step's time limit alone.")
    return said


def _demand(check: CheckSpec) -> str:
    if isinstance(check, TrafficShare):
        return f"The bad version gets no request in {check.samples} samples in a row, and serves none by the callers' metrics."
    if isinstance(check, GatewayRevision):
        return "Every live gateway serves by what was written last."
    if isinstance(check, MetricThreshold):
        return f"{_metric_is(check)} shown to be below {100 * check.limit:g} % of requests."
    if isinstance(check, Probe):
        return f"{check.url} is answered by a good version, as its {check.field or check.header} says."
    if isinstance(check, ImpactCeased):
        quiet = f"No new error or complaint about the bad version in {check.quiet_looks} looks in a row, and errors and complaints of all users are"
        return f"{quiet} {_margin(check)}."
    assert isinstance(check, MetricBaseline)
    against = {"auto": "", "before_release": " from before the release", "concurrent": " at the same time"}[check.baseline]
    if check.metric == "latency":
        return f"{_metric_is(check)} shown to be at most {1 + (check.margin_ratio or 0):g} times the baseline's{against}."
    return f"{_metric_is(check)} shown to be {_margin(check)}{f' (baseline{against})' if against else ''}."


def _margin(check: MetricBaseline | ImpactCeased) -> str:
    ways = []
    if check.margin_ratio is not None:
        ways.append(f"at most {1 + check.margin_ratio:g} times the baseline's rate")
    if check.margin_points is not None:
        ways.append(f"at most {100 * check.margin_points:g} percentage points above the baseline's rate")
    if check.harmless_below is not None:
        ways.append(f"below {100 * check.harmless_below:g} % of requests")
    return ", or ".join(ways)
