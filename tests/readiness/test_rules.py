"""From reasons to a verdict: the worst decides, the most urgent comes first, and what nobody can vouch for is not rollbackable."""

from __future__ import annotations

import itertools

import pytest

from rollbackhub.executions.enums import FindingCode, ProofState
from rollbackhub.readiness.enums import ReadinessState, ReasonCode
from rollbackhub.readiness.rules import SEVERITY_OF_FINDING, SEVERITY_OF_PROOF, Reason, judge, rank_of

NOT_READY, AT_RISK, READY = ReadinessState.NOT_READY, ReadinessState.AT_RISK, ReadinessState.READY


def reason(code: str, severity: ReadinessState = AT_RISK) -> Reason:
    return Reason(code, severity, f"It is {code}.", "Mend it.", "/")


def test_nothing_against_it_is_ready_and_the_last_on_the_board() -> None:
    verdict = judge([])
    assert (verdict.state, verdict.rollbackable, verdict.codes, rank_of(verdict)) == (READY, True, [], 200)


@pytest.mark.parametrize("code", ReasonCode)
def test_one_that_is_not_ready_outweighs_every_risk(code: ReasonCode) -> None:
    risks = [reason(other) for other in ReasonCode]
    verdict = judge([*risks, reason(code, NOT_READY)])
    assert (verdict.state, verdict.rollbackable, verdict.reasons[0]) == (NOT_READY, False, reason(code, NOT_READY))


@pytest.mark.parametrize("code", ReasonCode)
def test_risk_alone_leaves_it_rollbackable_unless_nobody_can_say_that_it_works(code: ReasonCode) -> None:
    verdict = judge([reason(code)])
    assert verdict.state == AT_RISK
    assert verdict.rollbackable == (code not in (ReasonCode.PROOF_STALE, ReasonCode.PROOF_EXPIRED))


def test_order_does_not_depend_on_who_spoke_first() -> None:
    three = [reason(ReasonCode.DOCS_STALE), reason(ReasonCode.NO_TARGET, NOT_READY), reason(ReasonCode.NOT_CHECKED)]
    orders = {tuple(judge(shuffled).codes) for shuffled in itertools.permutations(three)}
    assert orders == {("no_target", "not_checked", "docs_stale")}


def test_same_code_twice_is_named_once_and_said_twice() -> None:
    verdict = judge([reason(ReasonCode.UNREACHABLE, NOT_READY), reason(ReasonCode.UNREACHABLE, NOT_READY)])
    assert (verdict.codes, len(verdict.reasons)) == (["unreachable"], 2)


def test_places_on_the_board_follow_the_urgency() -> None:
    ranks = [rank_of(judge([reason(code, severity)])) for severity in (NOT_READY, AT_RISK) for code in ReasonCode]
    assert ranks == sorted(set(ranks))
    assert ranks[-1] < rank_of(judge([]))


def test_every_finding_and_every_proof_that_is_none_has_a_severity_and_a_place() -> None:
    assert set(SEVERITY_OF_FINDING) == set(FindingCode)
    assert set(SEVERITY_OF_PROOF) == set(ProofState) - {ProofState.VALID}
    assert {str(code) for code in FindingCode} <= {str(code) for code in ReasonCode}


def test_reason_as_it_is_stored_is_plain_json() -> None:
    stored = reason(ReasonCode.NO_TARGET, NOT_READY).as_dict()
    assert stored == {"code": "no_target", "severity": "not_ready", "sentence": "It is no_target.", "remedy": "Mend it.", "url": "/"}
    assert {type(value) for value in stored.values()} == {str}
