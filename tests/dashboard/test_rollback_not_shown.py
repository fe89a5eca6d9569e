"""What the page says of a drain that does not end: why it waits, how long it was measured, whom the bad version serves, and what is mended by now."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.executions.enums import FindingCode, Segment, StepState
from rollbackhub.executions.models import Execution
from rollbackhub.rollbacks.models import Rollback
from tests.dashboard.people import client_of, page
from tests.dashboard.rollback_world import make_rollback
from tests.dashboard.test_rollback_pages import _json
from tests.factories.executions import FindingFactory, StepAttemptFactory
from tests.factories.fixtures import Cast

STICKS = "By the callers' metrics v2 still served 3 of the last 40 requests, though gateways send it nothing: clients stick to it (sessions)."


def _shown(client: Any, rollback: Rollback) -> str:
    return page(client, f"/rollbacks/{rollback.pk}/")


def _answer(text: str) -> str:
    return text.partition('aria-label="The answer"')[2].partition("</section>")[0]


def _execution(rollback: Rollback) -> Execution:
    execution = rollback.parts.get().execution
    assert execution is not None
    return execution


def stopped_draining(**result: Any) -> Rollback:
    """Gateways have acknowledged, and 60 s later the drain had not ended."""
    rollback = make_rollback("partially_restored")
    execution = _execution(rollback)
    execution.findings.all().delete()
    propagate = execution.attempts.get(key="propagate")
    propagate.state, propagate.result = StepState.DONE, {}
    propagate.save()
    Execution.objects.filter(pk=execution.pk).update(executed_at=propagate.started_at, propagated_at=propagate.ended_at)
    assert propagate.ended_at is not None
    StepAttemptFactory(
        execution=execution,
        position=propagate.position + 1,
        key="drain",
        action="await_drain",
        segment=Segment.DRAIN,
        state=StepState.FAILED,
        started_at=propagate.ended_at,
        ended_at=propagate.ended_at + dt.timedelta(seconds=60),
        message=STICKS,
        result=result,
    )
    return rollback


def test_banner_says_why_it_waits_while_it_waits(cast: Cast) -> None:
    rollback = make_rollback("running")
    execution = _execution(rollback)
    execution.attempts.filter(key="drain").update(message=STICKS)
    shown = _answer(_shown(client_of(cast.on_call), rollback))
    assert "3 of the last 40 requests" in shown
    assert "clients stick to it" in shown


def test_chart_and_table_show_the_drain_that_did_not_end_as_far_as_it_was_measured(cast: Cast) -> None:
    text = _shown(client_of(cast.on_call), stopped_draining())
    bars = _json(text, "figure-clock")["data"][0]
    assert bars["y"][-1] == "Drain"
    assert bars["x"][-1] == pytest.approx(60)
    assert bars["text"][-1].endswith(", not ended")
    assert bars["marker"]["pattern"]["shape"][-1] == "/"
    assert not any(text.endswith("not ended") for text in bars["text"][:-1])
    row = text.partition('<th scope="row" data-label="Segment"><span>Drain')[2].partition("</tr>")[0]
    assert "so far" in row
    assert "not ended" in row


@pytest.mark.parametrize(
    ("key", "result", "words"),
    [("drain", {"unseen": True}, "the callers&#x27; metrics do not show whom it serves"), ("drain", {}, "Only in part: the bad version still serves.")],
)
def test_headline_says_what_keeps_it_from_being_restored(key: str, result: dict[str, Any], words: str, cast: Cast) -> None:
    rollback = stopped_draining(**result)
    _execution(rollback).samples.filter(kind="gateways").delete()
    assert words in _answer(_shown(client_of(cast.on_call), rollback))


def test_finding_that_a_later_attempt_no_longer_found_is_marked_with_when(cast: Cast) -> None:
    rollback = make_rollback("verified")
    execution = _execution(rollback)
    mended = FindingFactory(execution=execution, code=FindingCode.NOT_RESTORED, subject="traffic of v2", mended_at=execution.verified_at)
    FindingFactory(execution=execution, subject="another thing")
    client = client_of(cast.on_call)
    text = _shown(client, rollback)
    assert "2 findings, 1 mended" in text
    assert text.count("Mended: no longer found") == 1
    (found,) = [
        finding for part in client.get(f"/api/v1/rollbacks/{rollback.pk}/").json()["parts"] for finding in part["execution"]["findings"] if finding["mended_at"]
    ]
    assert found["subject"] == mended.subject


def test_verifying_again_is_not_the_next_act_where_it_can_show_nothing(cast: Cast) -> None:
    rollback = make_rollback("verification_failed")
    _execution(rollback).attempts.filter(key="verify").update(result={"without_baseline": True})
    shown = _answer(_shown(client_of(cast.on_call), rollback))
    primary = shown.partition('class="btn btn-primary"')[2].partition("</button>")[0]
    assert "Close as it stands" in primary
    assert "Verify again" in shown, "it is possible all the same"
