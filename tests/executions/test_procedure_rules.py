"""What makes a rollback of steps that are each well written."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.executions.procedure_rules import Judgement, MovedBy, judge_procedure
from rollbackhub.executions.procedures import BUILT_IN, REDEPLOY, WEIGHT_FLIP

GATEWAYS = MovedBy()
DEPLOY = MovedBy(connector="deploy", counts_requests=False)
BALANCER = MovedBy(connector="haproxy")

Steps = list[dict[str, Any]]


def without(*keys: str, of: Steps = WEIGHT_FLIP) -> Steps:
    """The steps but those."""
    return [step for step in of if step["key"] not in keys]


def changed(key: str, of: Steps = WEIGHT_FLIP, **values: Any) -> Steps:
    """The steps, one of them otherwise."""
    return [{**step, **values} if step["key"] == key else step for step in of]


def codes(found: Judgement) -> tuple[list[str], list[str]]:
    """Refusals and warnings by their codes."""
    return [remark.code for remark in found.refusals], [remark.code for remark in found.warnings]


@pytest.mark.parametrize("entry", BUILT_IN, ids=lambda entry: entry["slug"])
def test_built_in_procedures_have_nothing_against_them(entry: dict[str, Any]) -> None:
    connector = entry.get("connector", "")
    found = judge_procedure(entry["steps"], moved_by=MovedBy(connector=connector, counts_requests=connector in ("", "haproxy")))
    assert codes(found) == ([], [])


def test_action_of_gateways_on_a_mechanism_is_refused_at_its_step() -> None:
    found = judge_procedure(WEIGHT_FLIP, moved_by=BALANCER)
    assert {remark.code for remark in found.refusals} == {"wrong_mover"}
    assert set(found.fields) == {"steps.2.action", "steps.5.action", "steps.9.action"}
    assert "haproxy moves these aliases" in found.fields["steps.2.action"][0]


@pytest.mark.parametrize("action", ["await_observed", "await_consumers", "verify_served", "run_job"])
def test_action_of_a_mechanism_on_gateways_is_refused(action: str) -> None:
    params = {"job": "rebuild"} if action == "run_job" else {}
    found = judge_procedure(changed("propagate", action=action, params=params), moved_by=GATEWAYS)
    assert codes(found)[0] == ["wrong_mover"]
    assert found.refusals[0].place == "steps.5.action"


def test_connector_that_moves_nothing_is_refused() -> None:
    found = judge_procedure(REDEPLOY, moved_by=MovedBy(connector="prometheus", known=False))
    assert codes(found)[0] == ["no_mover"]
    assert found.fields == {"steps": ["There is no connector prometheus that moves versions."]}


def test_flip_that_is_missing_is_refused_also_where_only_one_kind_lacks_it() -> None:
    assert codes(judge_procedure(without("flip"), moved_by=GATEWAYS))[0] == ["no_flip", "no_clock"]
    found = judge_procedure(changed("flip", kinds=["rollback"]), moved_by=GATEWAYS)
    assert codes(found)[0] == ["no_flip", "no_clock", "no_clock"]
    assert found.refusals[0].sentence.startswith("No drill and no rehearsal would flip")


def test_clock_none_two_or_late_is_refused() -> None:
    assert codes(judge_procedure(changed("flip", starts_clock=False), moved_by=GATEWAYS))[0] == ["no_clock"]
    two = judge_procedure(changed("propagate", starts_clock=True), moved_by=GATEWAYS)
    assert [remark.place for remark in two.refusals] == ["steps.5.starts_clock"]
    late = judge_procedure(changed("verify", of=changed("flip", starts_clock=False), starts_clock=True), moved_by=GATEWAYS)
    assert codes(late)[0] == ["late_clock"]


@pytest.mark.parametrize(("key", "words"), [("expose", "its canary weight again"), ("restore", "put the bad version back")])
def test_rollback_that_would_expose_the_bad_version_is_refused(key: str, words: str) -> None:
    kinds = ["drill", "rollback", "rehearsal"]
    found = judge_procedure(changed(key, kinds=kinds), moved_by=GATEWAYS)
    assert codes(found)[0] == ["exposes_in_rollback"]
    assert words in found.refusals[0].sentence
    assert found.refusals[0].field == "kinds"


def test_weights_after_verifying_are_refused_but_putting_back_is_not() -> None:
    order = [*without("flip"), *[step for step in WEIGHT_FLIP if step["key"] == "flip"]]
    found = judge_procedure(order, moved_by=GATEWAYS)
    assert "flip_after_verify" in codes(found)[0]
    assert any(remark.code == "order" for remark in found.warnings)


@pytest.mark.parametrize(("kinds", "code"), [([], "no_kind"), (["drill", "rollback", "rehearsal", "roll_forward"], "forward")])
def test_kinds_that_are_none_or_not_its_own_are_refused(kinds: list[str], code: str) -> None:
    found = judge_procedure(changed("preflight", kinds=kinds), moved_by=GATEWAYS)
    assert [(remark.code, remark.place) for remark in found.refusals] == [(code, "steps.0.kinds")]


def test_stages_of_a_roll_forward_are_refused() -> None:
    found = judge_procedure(changed("expose", params={"to": "forward_1"}), moved_by=GATEWAYS)
    assert ("forward", "steps.1.params.to") in [(remark.code, remark.place) for remark in found.refusals]


@pytest.mark.parametrize(
    ("left_out", "code"),
    [
        ("propagate", "no_propagate"),
        ("drain", "no_drain"),
        ("verify", "no_verify"),
        ("preflight", "no_preflight"),
        ("restore", "no_restore"),
        ("expose", "no_canary"),
    ],
)
def test_what_is_likely_a_mistake_is_said_and_not_refused(left_out: str, code: str) -> None:
    assert codes(judge_procedure(without(left_out), moved_by=GATEWAYS)) == ([], [code])


def test_verification_that_only_drills_do_is_no_verification() -> None:
    assert codes(judge_procedure(changed("verify", kinds=["drill", "rehearsal"]), moved_by=GATEWAYS)) == ([], ["no_verify"])


def test_flip_in_another_segment_is_said() -> None:
    found = judge_procedure(changed("flip", segment="setup"), moved_by=GATEWAYS)
    assert codes(found) == ([], ["flip_segment"])


def test_counting_on_a_mechanism_that_does_not_count_is_said() -> None:
    found = judge_procedure(changed("drain", of=REDEPLOY, action="await_drain"), moved_by=DEPLOY)
    assert codes(found) == ([], ["not_counted"])
    assert "deploy does not count" in found.warnings[0].sentence
