"""The harm, counted where it can be and else estimated with its basis; the detection and who corrects it; the segment that cost most."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Forbidden, InvalidInput
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.actions.base import StepOutcome
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.models import Sample
from rollbackhub.registry.models import Artefact
from rollbackhub.rollbacks.domain.acts import correct_detection
from rollbackhub.rollbacks.domain.exposure import growth, growth_of_counter
from rollbackhub.rollbacks.domain.selectors import rollback_report
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.fixtures import Cast
from tests.rollbacks.conftest import BAD, GOOD, Play, again, approve, ask, passes, run, script, seed_production, token_actor

Counts = dict[str, dict[str, int]]


def counts(**gateways: int) -> Counts:
    """What each gateway has counted for the bad version."""
    return {name: {BAD: count, GOOD: 1000} for name, count in gateways.items()}


def keeps(*readings: Counts, traffic: tuple[int, ...] = ()) -> Play:
    """A step that reads the counters so, and sees so many requests between two looks at the traffic."""

    def play(context: StepContext) -> StepOutcome:
        for reading in readings:
            context.keep_sample(kind="counters", source="test", value={"per_gateway": reading, "errors": {}})
        for total in traffic:
            value: dict[str, Any] = {"requests": {BAD: 0, GOOD: total}, "shares": {BAD: 0.0, GOOD: 1.0}, "total": total, "per_gateway": {}}
            context.keep_sample(kind="traffic", source="test", value=value)
            clock.sleep(0.01)
        return passes(context)

    return play


def rolled_back(policy: RoutingPolicy, cast: Cast, **values: Any) -> Rollback:
    return run(ask(policy, account=cast.on_call, **values))


def minutes_ago(minutes: float) -> dt.datetime:
    return clock.now() - dt.timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("first", "last", "total", "left_out"),
    [
        (counts(a=10, b=20), counts(a=15, b=20), 5, []),
        (counts(a=10), counts(a=10), 0, []),
        (counts(a=10, b=20), counts(a=3, b=25), 5, ["a"]),
        (counts(a=10), counts(a=12, b=7), 2, ["b"]),
        (counts(a=10, b=20), counts(a=12), 2, ["b"]),
        ({}, counts(a=5), 0, ["a"]),
        ({"a": {GOOD: 1}}, counts(a=5), 0, ["a"]),
        ({}, {}, 0, []),
    ],
    ids=["grew", "stood still", "restarted", "came", "went", "first reading failed", "cluster unknown", "none"],
)
def test_growth_leaves_out_what_was_not_read_twice(first: Counts, last: Counts, total: int, left_out: list[str]) -> None:
    assert growth(first, last, BAD) == (total, left_out)


def test_counted_exposure_is_the_growth_of_the_counters(policy: RoutingPolicy, cast: Cast) -> None:
    script("preflight", keeps(counts(a=100, b=50)))
    script("drain", keeps(counts(a=109, b=53)))
    rollback = rolled_back(policy, cast)
    assert (rollback.exposure_observed, rollback.exposure_estimated) == (12, None)
    assert "12 requests counted by the gateways" in rollback.exposure_basis
    assert "When it was detected is not given" in rollback.exposure_basis
    assert AuditEvent.objects.get(event="rollback.exposure_reckoned").data["exposure_observed"] == 12


def test_restarted_gateway_is_left_out_by_name(policy: RoutingPolicy, cast: Cast) -> None:
    script("preflight", keeps(counts(a=100, b=50)))
    script("drain", keeps(counts(a=109, b=3)))
    rollback = rolled_back(policy, cast)
    assert rollback.exposure_observed == 9
    assert "without b: not read twice, or restarted" in rollback.exposure_basis


@pytest.mark.parametrize("readings", [(), (counts(a=1),)], ids=["never", "once"])
def test_counters_that_were_not_read_twice_make_it_unknown_not_zero(policy: RoutingPolicy, cast: Cast, readings: tuple[Counts, ...]) -> None:
    script("preflight", keeps(*readings))
    rollback = rolled_back(policy, cast, detected_at=minutes_ago(5))
    assert rollback.state == RollbackState.VERIFIED
    assert (rollback.exposure_observed, rollback.exposure_estimated) == (None, None)
    assert "Not known" in rollback.exposure_basis


def expected_estimate(rollback: Rollback) -> int:
    """Seconds since the detection × requests a second after the flip × the bad version's weight, from the samples that were kept."""
    first = Sample.objects.filter(kind="counters").earliest("id")
    looks = list(Sample.objects.filter(kind="traffic").order_by("id"))
    rate: float = sum(look.value["total"] for look in looks[1:]) / (looks[-1].taken_at - looks[0].taken_at).total_seconds()
    assert rollback.detected_at is not None
    return round((first.taken_at - rollback.detected_at).total_seconds() * rate * 0.25)


def test_exposure_before_the_first_reading_is_estimated_and_says_how(policy: RoutingPolicy, cast: Cast) -> None:
    script("preflight", keeps(counts(a=100)))
    script("drain", keeps(counts(a=104), traffic=(7, 3, 4)))
    rollback = rolled_back(policy, cast, detected_at=minutes_ago(10), detected_by="feedback alarm")
    assert rollback.exposure_observed == 4
    assert rollback.exposure_estimated == expected_estimate(rollback) > 0
    for word in ("4 requests counted", "estimated", "requests/s (as seen after the flip)", "25 % weight"):
        assert word in rollback.exposure_basis
    report = rollback_report(rollback)["exposure"]
    assert report == {"observed": 4, "estimated": rollback.exposure_estimated, "basis": rollback.exposure_basis}


def test_detection_without_traffic_after_the_flip_is_not_estimated(policy: RoutingPolicy, cast: Cast) -> None:
    script("preflight", keeps(counts(a=100)))
    script("drain", keeps(counts(a=104)))
    rollback = rolled_back(policy, cast, detected_at=minutes_ago(10))
    assert (rollback.exposure_observed, rollback.exposure_estimated) == (4, None)
    assert "cannot be estimated" in rollback.exposure_basis


def test_exposure_of_several_aliases_is_their_sum_by_name(cast: Cast) -> None:
    pair = [seed_production("prompt", alias="one"), seed_production("model", alias="two")]
    script("preflight", keeps(counts(a=100)))
    script("drain", keeps(counts(a=104)), alias="one")
    script("drain", keeps(counts(a=150)), alias="two")
    rollback = run(ask(*pair, account=cast.lead))
    assert rollback.exposure_observed == 54
    assert "one: 4 requests" in rollback.exposure_basis
    assert "two: 50 requests" in rollback.exposure_basis


# The detection.


@pytest.mark.parametrize("ago", [-1, 91 * 24 * 60], ids=["in the future", "long ago"])
def test_detection_that_cannot_be_is_refused(policy: RoutingPolicy, cast: Cast, ago: float) -> None:
    # Reckoned here: what is taken when the tests are collected lies in the past when this one runs.
    at = minutes_ago(ago)
    with pytest.raises(InvalidInput) as caught:
        ask(policy, account=cast.on_call, detected_at=at)
    assert caught.value.code == "detected_at_invalid"
    assert not Rollback.objects.exists()


def test_correction_by_a_lead_reckons_again_and_keeps_old_and_new(policy: RoutingPolicy, cast: Cast) -> None:
    script("preflight", keeps(counts(a=100)))
    script("drain", keeps(counts(a=104), traffic=(7, 3, 4)))
    rollback = rolled_back(policy, cast, detected_at=minutes_ago(10))
    before = rollback.exposure_estimated
    old, new = rollback.detected_at, minutes_ago(20)
    assert old is not None
    correct_detection(rollback_id=rollback.pk, account=cast.lead, actor=actor_of(cast.lead), detected_at=new, reason="the alarm was at 09:40")
    rollback = again(rollback)
    assert rollback.detected_at == new
    assert rollback.exposure_estimated == expected_estimate(rollback) != before
    event = AuditEvent.objects.get(event="rollback.detection_corrected")
    assert event.data == {"before": old.isoformat(), "after": new.isoformat(), "reason": "the alarm was at 09:40"}
    assert event.actor_user_id == cast.lead.pk
    assert AuditEvent.objects.filter(event="rollback.exposure_reckoned").count() == 2


def test_correction_gives_a_detection_to_a_rollback_that_had_none(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = ask(policy, account=cast.on_call)
    correct_detection(rollback_id=rollback.pk, account=cast.lead, actor=actor_of(cast.lead), detected_at=minutes_ago(3), reason="pager")
    assert AuditEvent.objects.get(event="rollback.detection_corrected").data["before"] is None
    script("preflight", keeps(counts(a=100)))
    script("drain", keeps(counts(a=104), traffic=(7, 3)))
    assert run(rollback).exposure_estimated is not None


def test_correction_is_refused_to_everybody_else_without_reason_and_after_the_decision(policy: RoutingPolicy, cast: Cast) -> None:
    given = minutes_ago(10)
    rollback = ask(policy, account=cast.on_call, detected_at=given)
    at = minutes_ago(20)
    for account in cast.everybody_but("lead", "leadership").values():
        with pytest.raises(Forbidden):
            correct_detection(rollback_id=rollback.pk, account=account, actor=actor_of(account), detected_at=at, reason="better so")
    with pytest.raises(Forbidden):
        correct_detection(rollback_id=rollback.pk, account=cast.lead, actor=token_actor(cast.lead), detected_at=at, reason="better so")
    lead = actor_of(cast.lead)
    with pytest.raises(InvalidInput):
        correct_detection(rollback_id=rollback.pk, account=cast.lead, actor=lead, detected_at=at, reason="")
    for wrong in (rollback.decided_at + dt.timedelta(seconds=1), rollback.decided_at - dt.timedelta(days=91)):
        with pytest.raises(InvalidInput):
            correct_detection(rollback_id=rollback.pk, account=cast.lead, actor=lead, detected_at=wrong, reason="better so")
    assert again(rollback).detected_at == given
    assert not AuditEvent.objects.filter(event="rollback.detection_corrected").exists()


# The target.


def later(seconds: float) -> Play:
    return lambda context: StepOutcome(Verdict.PASSED, "seen late", at=clock.now() + dt.timedelta(seconds=seconds))


@pytest.mark.parametrize(("slow", "label"), [("authorise", "Authorise"), ("execute", "Execute"), ("propagate", "Propagate"), ("drain", "Drain")])
def test_missed_target_names_the_segment_that_cost_most(policy: RoutingPolicy, cast: Cast, slow: str, label: str) -> None:
    Artefact.objects.filter(pk=policy.artefact_id).update(target_seconds=20)
    rollback = ask(policy, account=cast.on_call, strategic=True)
    if slow == "authorise":
        Rollback.objects.filter(pk=rollback.pk).update(decided_at=clock.now() - dt.timedelta(seconds=60))
    rollback = approve(again(rollback), cast.leadership)
    if slow == "execute":
        # Authorised a minute ago; the flip is written only now.
        at = clock.now() - dt.timedelta(seconds=60)
        Rollback.objects.filter(pk=rollback.pk).update(decided_at=at, authorised_at=at)
    # A second's difference everywhere, so that the slow one is not slow by chance.
    script("propagate", later(60 if slow == "propagate" else 1))
    script("drain", later(61 if slow in ("drain", "propagate") else 2))
    rollback = run(rollback)
    assert rollback.state == RollbackState.VERIFIED
    assert rollback.rollback_seconds is not None
    assert 60 <= rollback.rollback_seconds < 70
    assert f"It missed its target of 20 s. {label} cost most" in rollback.outcome
    assert rollback_report(rollback)["missed_target_by"] == slow


def test_target_that_was_met_names_no_segment(policy: RoutingPolicy, cast: Cast) -> None:
    Artefact.objects.filter(pk=policy.artefact_id).update(target_seconds=20)
    rollback = rolled_back(policy, cast)
    assert "missed" not in rollback.outcome
    assert rollback_report(rollback)["missed_target_by"] is None


# The callers' metrics, where sessions stick past the gateways.


def reads_metrics(*bad: int | None, counters: tuple[Counts, ...] = ()) -> Play:
    """A step whose callers' metrics show so many requests by the bad version (None: no such series), after these counters of the gateways."""

    def play(context: StepContext) -> StepOutcome:
        for reading in counters:
            context.keep_sample(kind="counters", source="test", value={"per_gateway": reading, "errors": {}})
        for count in bad:
            versions = {GOOD: {"requests": 1000}} | ({} if count is None else {BAD: {"requests": count}})
            context.keep_sample(kind="metrics", source="test", value={"versions": versions, "configured": True})
        return passes(context)

    return play


def test_exposure_is_the_larger_of_what_gateways_and_callers_counted_never_both(policy: RoutingPolicy, cast: Cast) -> None:
    """Sessions that stick to the bad version go past the gateways: 98 requests had counted as 1."""
    script("preflight", reads_metrics(500, counters=(counts(a=100),)))
    script("drain", reads_metrics(540, 598, counters=(counts(a=101),)))
    rollback = rolled_back(policy, cast)
    assert rollback.exposure_observed == 98
    assert "98 requests counted by the callers' metrics from" in rollback.exposure_basis
    assert "the gateways counted 1 (sessions that stick to it go past them, and a request under way counts later)" in rollback.exposure_basis


def test_exposure_by_the_gateways_says_what_the_callers_counted(policy: RoutingPolicy, cast: Cast) -> None:
    script("preflight", reads_metrics(500, counters=(counts(a=100),)))
    script("drain", reads_metrics(507, counters=(counts(a=112),)))
    rollback = rolled_back(policy, cast)
    assert rollback.exposure_observed == 12
    assert "12 requests counted by the gateways from" in rollback.exposure_basis
    assert "; the callers' metrics counted 7." in rollback.exposure_basis


def test_exposure_by_the_callers_alone_where_nothing_else_was_read(policy: RoutingPolicy, cast: Cast) -> None:
    script("preflight", reads_metrics(500))
    script("drain", reads_metrics(507))
    rollback = rolled_back(policy, cast)
    assert rollback.exposure_observed == 7
    assert "the counters of the gateways were not read twice" in rollback.exposure_basis


@pytest.mark.parametrize(
    ("readings", "grown"),
    [([], 0), ([5.0], 0), ([5.0, 9.0], 4), ([5.0, None, 9.0], 4), ([None, 3.0], 3), ([5.0, 2.0, 4.0], 4), ([0.0, 0.0], 0)],
    ids=["none", "once", "grew", "missing between", "born later", "started anew", "stood still"],
)
def test_growth_of_a_counter(readings: list[float | None], grown: float) -> None:
    assert growth_of_counter(readings) == grown
