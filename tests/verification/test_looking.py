"""What each kind of check says about what was seen: it passes, fails, shows nothing, or cannot be looked at."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.evidence import CheckOutcome, TrafficSample
from rollbackhub.verification.judge import BaselineKind
from rollbackhub.verification.looking import BaselineTotals, Looks, MetricsLook, ProbeLook, evaluate, lately_served
from rollbackhub.verification.specs import CheckSpec, GatewayRevision, ImpactCeased, MetricBaseline, MetricThreshold, Probe, TrafficShare

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
GOOD, BAD = "v1", "v2"
P, F, U, E = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.ERROR
Versions = Mapping[str, Mapping[str, Any]]

TRAFFIC = TrafficShare(key="traffic")
GATEWAYS = GatewayRevision(key="gateways")
FEEDBACK = MetricBaseline(key="feedback", metric="negative_feedback", margin_ratio=0.5)
ERRORS = MetricBaseline(key="errors", metric="errors", margin_ratio=0.5)
LATENCY = MetricBaseline(key="latency", metric="latency", margin_ratio=0.25)
LIMIT = MetricThreshold(key="limit", metric="negative_feedback", limit=0.05)
IMPACT = ImpactCeased(key="impact", harmless_below=0.05, quiet_looks=2)
PROBE = Probe(key="probe", url="http://gateway.example/health")
METRIC_CHECKS: list[CheckSpec] = [FEEDBACK, ERRORS, LATENCY, LIMIT, IMPACT]


def at(seconds: float) -> dt.datetime:
    return NOON + dt.timedelta(seconds=seconds)


def total(requests: float, feedback: float = 0, *, errors: float | None = 0, slow: float = 0.0) -> dict[str, Any]:
    """A version's counters; `slow`: the share of requests that took between 1 and 5 s, the others took up to 0.5 s."""
    quick = round(requests * (1 - slow)) if math.isfinite(requests) else 0
    buckets = {"0.25": quick // 2, "0.5": quick, "1": quick, "5": round(requests) if math.isfinite(requests) else 0, "+Inf": requests}
    entry = {"requests": requests, "negative_feedback": feedback, "duration_count": requests, "duration_sum": 1.0, "buckets": buckets}
    return entry if errors is None else {**entry, "errors": errors}


def traffic(second: int, *, good: int = 0, bad: int = 0, active: int = 0, complete: bool = True) -> TrafficSample:
    return TrafficSample(at(second), {GOOD: good, BAD: bad}, {BAD: active}, complete)


def looks(
    *readings: Versions | None,
    baseline: Versions | None = None,
    concurrent: Versions | None = None,
    is_error: bool = False,
    of: Sequence[str] | None = None,
    attempt: int = 1,
) -> Looks:
    """A reading each 5 s from the drain on; None: there was no data (`is_error`: the source could not be asked)."""
    found = Looks(bad_version=BAD, good_versions=[GOOD], since=NOON, of=of, attempt=attempt)
    for number, versions in enumerate(readings):
        moment = at(5 * number)
        found.metrics.append(MetricsLook(moment, moment, versions, problem="" if versions else "it answers HTML.", is_error=is_error and versions is None))
    kinds = {"before_release": (BaselineKind.BEFORE_RELEASE, baseline), "concurrent": (BaselineKind.CONCURRENT, concurrent)}
    found.baselines = {name: BaselineTotals(kind, versions) for name, (kind, versions) in kinds.items() if versions is not None}
    return found


def course(rate: float, *, slow: float = 0.0, a_look: int = 2000, count: int = 8, errors: float | None = 0, bad: Sequence[float] = ()) -> list[Versions]:
    """Readings of the good version at this rate of complaints; `bad`: complaints about the bad one that each look has seen."""
    found: list[Versions] = []
    for number in range(count):
        requests = a_look * number
        kept: dict[str, Mapping[str, Any]] = {GOOD: total(requests, round(requests * rate), errors=errors, slow=slow)}
        if bad:
            kept[BAD] = total(5000, bad[min(number, len(bad) - 1)], errors=errors)
        found.append(kept)
    return found


BEFORE = {GOOD: total(50_000, 1000, errors=500, slow=0.1)}
"""2 % complaints, 1 % errors, a tenth slow."""


# Nothing to the bad version


@pytest.mark.parametrize(
    ("samples", "verdict"),
    [
        ([traffic(second, good=9) for second in range(3)], P),
        ([traffic(0, good=9), traffic(1, good=9), traffic(2, good=9, bad=1)], F),
        ([traffic(0, good=9), traffic(1, good=9), traffic(2, good=9, active=1)], F),
        ([traffic(0, good=9), traffic(1, good=9)], U),
        ([traffic(second) for second in range(5)], U),
        ([traffic(0, good=9), traffic(1, good=9, complete=False), traffic(2, good=9)], U),
        ([], U),
    ],
    ids=["none of it there", "one request", "one under way", "too few samples", "no traffic", "a gateway did not answer", "no sample"],
)
def test_traffic_share_by_the_gateways(samples: list[TrafficSample], verdict: Verdict) -> None:
    found = looks()
    found.traffic = samples
    outcome = evaluate(TRAFFIC, found)
    assert (outcome.name, outcome.verdict) == ("traffic", verdict)
    assert outcome.sentence.endswith(".")


def test_traffic_share_takes_as_many_samples_as_the_check_says() -> None:
    found = looks()
    found.traffic = [traffic(0, bad=1), traffic(1, good=9), traffic(2, good=9)]
    assert [evaluate(TrafficShare(key="t", samples=wanted), found).verdict for wanted in (1, 2, 3)] == [P, P, F]


def test_traffic_share_with_a_session_that_sticks_fails_though_gateways_send_nothing() -> None:
    found = looks()
    found.traffic = [traffic(second, good=9) for second in range(3)]
    found.served = [traffic(0, good=100), traffic(5, good=95, bad=5)]
    outcome = evaluate(TRAFFIC, found)
    assert outcome.verdict == F
    assert "v2 still served 5 of 100 requests by the callers' metrics" in outcome.sentence
    assert "sessions that stick" in outcome.sentence
    assert (outcome.numbers["bad_served"], outcome.numbers["served"]) == (5, 100)


def test_traffic_share_looks_past_what_was_served_earlier() -> None:
    found = looks()
    found.traffic = [traffic(second, good=9) for second in range(3)]
    found.served = [traffic(0, bad=40), traffic(5, good=60)]
    assert evaluate(TRAFFIC, found).verdict == P


@pytest.mark.parametrize(
    ("served", "requests", "by_bad", "is_enough"),
    [
        ([], 0, 0, False),
        ([traffic(0, good=59)], 59, 0, False),
        ([traffic(0, good=60)], 60, 0, True),
        ([traffic(0, good=3), traffic(10, good=2)], 5, 0, True),
        ([traffic(0), traffic(10)], 0, 0, False),
        ([traffic(0, bad=30), traffic(1, good=40), traffic(2, good=30)], 70, 0, True),
        ([traffic(0, bad=30), traffic(1, good=20), traffic(2, good=30)], 80, 30, True),
    ],
)
def test_lately_is_the_shortest_run_that_would_show_one_session_in_twenty(served: list[TrafficSample], requests: int, by_bad: int, is_enough: bool) -> None:
    found = lately_served(served, bad_version=BAD)
    assert (found.requests, found.by_bad, found.is_enough) == (requests, by_bad, is_enough)


# Gateways and probes


def test_gateways_pass_when_all_serve_by_the_last_revision() -> None:
    found = looks()
    assert evaluate(GATEWAYS, found).verdict == U
    found.gateways = {"wanted": 7, "gateways": {}}
    assert evaluate(GATEWAYS, found).verdict == U, "no gateway is no evidence"
    found.gateways = {"wanted": 7, "gateways": {"east": {"acknowledged": True}, "west": {"acknowledged": False}}}
    outcome = evaluate(GATEWAYS, found)
    assert (outcome.verdict, outcome.sentence) == (F, "1 of 2 gateways do not serve by routing state 7: west.")
    found.gateways = {"wanted": 7, "gateways": {"east": {"acknowledged": True}, "west": {"acknowledged": True}}}
    assert evaluate(GATEWAYS, found).verdict == P


@pytest.mark.parametrize(
    ("seen", "verdict", "said"),
    [
        (None, U, "was not asked yet"),
        (ProbeLook(GOOD), P, "is answered by v1."),
        (ProbeLook(BAD), F, "is answered by v2, not v1."),
        (ProbeLook("v0"), F, "is answered by v0, not v1."),
        (ProbeLook("", "It did not answer in 5 s."), E, "could not be asked: It did not answer in 5 s."),
    ],
)
def test_probe(seen: ProbeLook | None, verdict: Verdict, said: str) -> None:
    found = looks()
    if seen is not None:
        found.probes["probe"] = seen
        found.probes["another"] = ProbeLook(GOOD if verdict != P else BAD)
    outcome = evaluate(PROBE, found)
    assert outcome.verdict == verdict
    assert said in outcome.sentence


# Metrics against a baseline


@pytest.mark.parametrize(
    ("check", "readings", "verdict"),
    [
        (FEEDBACK, course(0.02), P),
        (FEEDBACK, course(0.04), F),
        (FEEDBACK, course(0.02, a_look=3), U),
        (ERRORS, course(0, errors=0), P),
        (LATENCY, course(0, slow=0.1), P),
        (LATENCY, course(0, slow=0.9), F),
        (LATENCY, course(0, slow=0.1, a_look=1), U),
    ],
    ids=["complaints as before", "twice the complaints", "too few requests", "no errors", "as quick as before", "most are slow", "too few were timed"],
)
def test_metric_baseline(check: MetricBaseline, readings: list[Versions], verdict: Verdict) -> None:
    outcome = evaluate(check, looks(*readings, baseline=BEFORE))
    assert (outcome.name, outcome.verdict) == (check.key, verdict), outcome.sentence


def test_errors_fail_by_their_own_counter() -> None:
    readings = [{GOOD: total(2000 * number, 0, errors=60 * number)} for number in range(8)]
    assert evaluate(ERRORS, looks(*readings, baseline=BEFORE)).verdict == F
    assert evaluate(FEEDBACK, looks(*readings, baseline=BEFORE)).verdict == P


def test_baseline_is_the_one_that_the_check_asks_for() -> None:
    strict = {GOOD: total(50_000, 100)}
    found = looks(*course(0.02), baseline=BEFORE, concurrent=strict)
    wanted = {name: FEEDBACK.model_copy(update={"baseline": name}) for name in ("auto", "before_release", "concurrent")}
    assert {name: evaluate(check, found).verdict for name, check in wanted.items()} == {"auto": P, "before_release": P, "concurrent": F}
    only = looks(*course(0.02), concurrent=BEFORE)
    assert {name: evaluate(check, only).verdict for name, check in wanted.items()} == {"auto": P, "before_release": U, "concurrent": P}


@pytest.mark.parametrize("check", [FEEDBACK, LATENCY])
def test_without_a_baseline_nothing_is_shown_to_be_back_at_it(check: MetricBaseline) -> None:
    outcome = evaluate(check, looks(*course(0)))
    assert outcome.verdict == U
    assert "There is no baseline" in outcome.sentence


@pytest.mark.parametrize("check", METRIC_CHECKS, ids=lambda check: check.key)
def test_no_look_and_a_source_that_has_nothing_are_inconclusive_and_one_that_is_down_an_error(check: CheckSpec) -> None:
    assert evaluate(check, looks(baseline=BEFORE)).verdict == U
    good = course(0.02, slow=0.1, errors=0, bad=[50])
    assert evaluate(check, looks(*good, baseline=BEFORE)).verdict == P, "so that what follows is what the last look takes away"
    empty = evaluate(check, looks(*good, None, baseline=BEFORE))
    assert empty.verdict == U
    assert "No data: it answers HTML." in empty.sentence
    assert evaluate(check, looks(*good, None, baseline=BEFORE, is_error=True)).verdict == E


@pytest.mark.parametrize("check", METRIC_CHECKS, ids=lambda check: check.key)
def test_a_look_that_could_not_be_taken_is_forgiven_when_the_next_one_is(check: CheckSpec) -> None:
    first, *rest = course(0.02, slow=0.1, errors=0, bad=[50])
    assert evaluate(check, looks(first, None, *rest, baseline=BEFORE, is_error=True)).verdict == P


@pytest.mark.parametrize("check", [FEEDBACK, LIMIT, IMPACT], ids=lambda check: check.key)
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -5.0])
def test_numbers_that_no_source_can_have_counted_are_an_error(check: CheckSpec, wrong: float) -> None:
    outcome = evaluate(check, looks(*course(0.02, bad=[50]), {GOOD: total(20_000, wrong), BAD: total(5000, 50)}, baseline=BEFORE))
    assert outcome.verdict == E
    assert "count" in outcome.sentence


def test_without_a_histogram_latency_is_not_compared() -> None:
    bare = [{GOOD: {**total(2000 * number), "buckets": None}} for number in range(8)]
    outcome = evaluate(LATENCY, looks(*bare, baseline=BEFORE))
    assert outcome.verdict == U
    assert "no histogram" in outcome.sentence


@pytest.mark.parametrize("check", [ERRORS, IMPACT, MetricThreshold(key="e", metric="errors", limit=0.05)], ids=lambda check: check.key)
def test_source_that_does_not_tell_errors_shows_nothing_about_them(check: CheckSpec) -> None:
    outcome = evaluate(check, looks(*course(0.02, errors=None, bad=[50]), baseline=BEFORE))
    assert outcome.verdict == U
    assert "does not say which requests were errors" in outcome.sentence


def test_of_a_fix_its_own_requests_count_alone() -> None:
    readings = [{GOOD: total(2000 * number, 40 * number), "fix": total(2000 * number, 400 * number)} for number in range(8)]
    assert evaluate(FEEDBACK, looks(*readings, baseline=BEFORE, of=[GOOD])).verdict == P
    assert evaluate(FEEDBACK, looks(*readings, baseline=BEFORE, of=["fix"])).verdict == F
    assert evaluate(FEEDBACK, looks(*readings, baseline=BEFORE)).verdict == F


def test_more_complaints_than_requests_are_counted_once_for_each_request() -> None:
    readings = [{GOOD: total(2000 * number, 2500 * number)} for number in range(8)]
    assert evaluate(FEEDBACK, looks(*readings, baseline=BEFORE)).verdict == F


# A fixed limit


@pytest.mark.parametrize(
    ("readings", "verdict"), [(course(0.02), P), (course(0.1), F), (course(0.05), U), (course(0, a_look=2), U), ([{GOOD: total(0)}] * 5, U)]
)
def test_metric_threshold_needs_no_baseline(readings: list[Versions], verdict: Verdict) -> None:
    assert evaluate(LIMIT, looks(*readings)).verdict == verdict


# The users' harm


def test_impact_ceased_asks_for_both_quiet_and_all_users_within_tolerance() -> None:
    assert evaluate(IMPACT, looks(*course(0.02, bad=[50]))).verdict == P
    everybody = evaluate(IMPACT, looks(*course(0.1, bad=[50])))
    assert everybody.verdict == F
    assert "complaint" not in everybody.sentence.split(".")[0], "what passed is not said beside what did not"
    theirs = evaluate(IMPACT, looks(*course(0.02, bad=[50, 51, 52, 53, 54, 55, 56, 57])))
    assert (theirs.verdict, theirs.sentence) == (F, "2 new errors and complaints about v2 in the last 2 looks.")
    assert theirs.numbers["bad_version"]["new_errors_and_complaints"] == 2


def test_impact_ceased_counts_errors_of_the_bad_version_too() -> None:
    readings = course(0.02, bad=[50])
    last = {**readings[-1], BAD: total(5000, 50, errors=1)}
    assert evaluate(IMPACT, looks(*readings[:-1], last)).verdict == F


def quiet(*complaints: float | None) -> CheckOutcome:
    """Looks at which the bad version had so many complaints (None: there was no such series), with the good one well."""
    count = len(complaints)
    readings = [
        {**reading, **({} if seen is None else {BAD: total(5000, seen)})}
        for reading, seen in zip(course(0.02, count=count, a_look=20_000 // count), complaints, strict=True)
    ]
    return evaluate(IMPACT, looks(*readings))


def test_quiet_needs_as_many_looks_as_the_check_wants() -> None:
    said = quiet(50, 50)
    assert said.verdict == U
    assert "2 of 3 looks" in said.sentence
    assert quiet(50, 50, 50).verdict == P
    assert quiet(40, 50, 50, 50).verdict == P, "what came before is past"


def test_quiet_counts_on_when_the_counter_starts_anew_or_its_series_is_missing() -> None:
    assert quiet(50, 50, 50, 3).verdict == F, "three complaints since the bad version's process started again"
    assert quiet(50, 50, 50, 0).verdict == P
    assert quiet(50, 50, None, None).verdict == P, "the bad version was shut down"
    assert quiet(50, 50, None, 50).verdict == P, "its series came back where it was"
    assert quiet(50, 50, None, 51).verdict == F
    assert quiet(None, None, None, 4).verdict == F, "a series that is born counts from 0"
    assert quiet(None, None, None, None).verdict == P


# All kinds


@pytest.mark.parametrize("check", [TRAFFIC, GATEWAYS, PROBE, *METRIC_CHECKS], ids=lambda check: check.key)
def test_without_anything_seen_no_check_passes(check: CheckSpec) -> None:
    assert evaluate(check, looks()).verdict == U


def test_what_is_no_check_is_not_waved_through() -> None:
    with pytest.raises(TypeError):
        evaluate(CheckSpec(key="nothing"), looks())


# Whom the bad version serves, when the callers' metrics cannot say.


@pytest.mark.parametrize(
    ("last", "verdict", "sentence"),
    [
        (MetricsLook(NOON, NOON, None, problem="503", is_error=True, configured=True), E, "could not be read (503)"),
        (MetricsLook(NOON, NOON, None, problem="too old.", configured=True), U, "could not be read (too old)"),
        (MetricsLook(NOON, NOON, None, problem="no_connection", is_error=True, configured=False), P, "the environment has no callers' metrics"),
        (MetricsLook(NOON, NOON, None, problem="503", is_error=True), P, "got 0 of 27 requests"),
        (MetricsLook(NOON, NOON, {GOOD: {"requests": 1}}, configured=True), P, "got 0 of 27 requests"),
    ],
    ids=["down", "silent", "none in the environment", "kept before it was told", "read"],
)
def test_traffic_share_says_when_gateways_alone_were_read(last: MetricsLook, verdict: Verdict, sentence: str) -> None:
    found = looks()
    found.traffic = [traffic(second, good=9) for second in range(3)]
    found.metrics = [last]
    outcome = evaluate(TRAFFIC, found)
    assert outcome.verdict == verdict
    assert sentence in outcome.sentence
    assert ("By the gateways' counters alone" in outcome.sentence) == (last.versions is None and last.configured is not None)


@pytest.mark.parametrize(("served", "verdict"), [([], U), ([traffic(0, good=59)], U), ([traffic(0, good=60)], P), ([traffic(0, good=1), traffic(10)], P)])
def test_traffic_share_after_a_sighting_passes_by_enough_requests_alone(served: list[TrafficSample], verdict: Verdict) -> None:
    found = looks({GOOD: total(10)})
    found.traffic = [traffic(second, good=9) for second in range(3)]
    found.served, found.served_again = served, True
    assert evaluate(TRAFFIC, found).verdict == verdict
