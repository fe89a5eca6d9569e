"""Stopping, retrying, skipping, putting back, closing, correcting and turning back, from the page of a rollback."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from rollbackhub.audit.models import AuditEvent
from rollbackhub.executions.models import Execution
from rollbackhub.registry.models import StabilityHold
from rollbackhub.rollbacks.enums import RollForwardState
from rollbackhub.rollbacks.models import Rollback
from tests.dashboard.people import client_of, page
from tests.dashboard.rollback_world import make_rollback
from tests.factories.fixtures import Cast
from tests.factories.rollbacks import RollForwardFactory

ACTS = ("stop", "retry", "skip", "undo", "close", "correct-detection", "roll-back-instead")
LEADS_ACTS = ("skip", "correct-detection")
DETECTED = {"detected_at": "2026-01-01T00:00:00"}


def _post(client: Client, act: str, rollback: Rollback, **values: Any) -> Any:
    return client.post(reverse(f"rollbacks:{act}", args=[rollback.pk]), values)


def _fresh(rollback: Rollback) -> Rollback:
    return Rollback.objects.get(pk=rollback.pk)


def _execution(rollback: Rollback) -> Execution:
    return Execution.objects.get(rollback_part__rollback=rollback)


def _failed_forward() -> Rollback:
    rollback = make_rollback("rolling_forward", alias="smart-fixer")
    forward = RollForwardFactory(rollback=rollback, state=RollForwardState.FAILED, outcome="Negative feedback is above its baseline.")
    assert not forward.execution.is_active
    Rollback.objects.filter(pk=rollback.pk).update(state="needs_human", outcome=forward.outcome)
    return _fresh(rollback)


def _offered(client: Client, rollback: Rollback) -> set[str]:
    text = page(client, reverse("rollbacks:detail", args=[rollback.pk]))
    buttons, dialogs = set(re.findall(r'data-open-dialog="([\w-]+)-dialog"', text)), set(re.findall(r'<dialog class="confirm" id="([\w-]+)-dialog"', text))
    assert buttons == dialogs, "every button opens a dialog"
    return buttons


@pytest.mark.django_db
def test_stop_with_a_reason_asks_the_engine_to_stop(cast: Cast) -> None:
    rollback = make_rollback("running")
    response = client_of(cast.on_call).post(reverse("rollbacks:stop", args=[rollback.pk]), {"reason": "wrong alias"}, follow=True)
    assert "It is being stopped" in response.content.decode()
    execution = _execution(rollback)
    assert execution.cancel_requested_at is not None
    assert execution.outcome == "Stopped by Olga Call: wrong alias"
    assert AuditEvent.objects.filter(event="rollback.stop_requested", subject_id=str(rollback.pk), actor_user_id=cast.on_call.pk).exists()


@pytest.mark.django_db
def test_retry_goes_on_with_the_step(cast: Cast) -> None:
    rollback = make_rollback("partially_restored")
    assert _post(client_of(cast.on_call), "retry", rollback).status_code == 302
    assert (_fresh(rollback).state, _execution(rollback).state) == ("running", "running")


@pytest.mark.django_db
def test_skip_is_for_leads_and_leaves_the_step_unobserved(cast: Cast) -> None:
    rollback = make_rollback("partially_restored")
    assert _post(client_of(cast.on_call), "skip", rollback, reason="gateway is gone").status_code == 403
    assert _fresh(rollback).state == "partially_restored"
    assert _post(client_of(cast.lead), "skip", rollback, reason="gateway is gone").status_code == 302
    attempt = _execution(rollback).attempts.get(state="skipped")
    assert (attempt.key, attempt.message) == ("propagate", "Skipped by Lee Lead: gateway is gone")
    assert "Skipped by a person" in page(client_of(cast.lead), reverse("rollbacks:detail", args=[rollback.pk]))


@pytest.mark.django_db
def test_undo_once_a_hold_stands_takes_a_lead_and_lifts_it(cast: Cast) -> None:
    rollback = make_rollback("verification_failed")
    hold = StabilityHold.objects.get(rollback_id=rollback.pk)
    refused = _post(client_of(cast.on_call), "undo", rollback, reason="it was not the model")
    assert refused.status_code == 403
    assert "hold_stands" in refused.content.decode()
    assert _fresh(rollback).state == "verification_failed"
    assert _post(client_of(cast.lead), "undo", rollback, reason="it was not the model").status_code == 302
    hold.refresh_from_db()
    assert (_fresh(rollback).state, hold.lift_reason) == ("undoing", "Put back: it was not the model")


@pytest.mark.django_db
def test_undo_before_a_hold_is_open_to_on_call(cast: Cast) -> None:
    rollback = make_rollback("partially_restored")
    assert _post(client_of(cast.on_call), "undo", rollback, reason="wrong alias").status_code == 302
    assert _fresh(rollback).state == "undoing"


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["verified", "partially_restored"])
def test_close_ends_a_verified_one_and_gives_up_a_stopped_one(state: str, cast: Cast) -> None:
    rollback = make_rollback(state)
    assert _post(client_of(cast.on_call), "close", rollback, reason="done with it").status_code == 302
    rollback = _fresh(rollback)
    assert (rollback.state, rollback.closed_at is not None) == ("closed", True)
    assert not rollback.parts.filter(holds_alias=True).exists()
    event = AuditEvent.objects.filter(event="rollback.closed", subject_id=str(rollback.pk)).get()
    assert event.actor_label == ("Olga Call" if state == "verified" else "rollbacks")


@pytest.mark.django_db
def test_correct_detection_is_by_the_viewers_clock_and_audited(cast: Cast) -> None:
    rollback = make_rollback("verified")
    client = client_of(cast.lead)
    client.cookies["hub_tz"] = "Asia/Kolkata"
    wanted = (rollback.decided_at - dt.timedelta(minutes=20)).replace(microsecond=0)
    local = wanted.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30)))
    assert f'max="{rollback.decided_at.astimezone(local.tzinfo):%Y-%m-%dT%H:%M:%S}"' in page(client, reverse("rollbacks:detail", args=[rollback.pk]))
    assert _post(client, "correct-detection", rollback, detected_at=f"{local:%Y-%m-%dT%H:%M:%S}", reason="from the alert's log").status_code == 302
    assert _fresh(rollback).detected_at == wanted
    event = AuditEvent.objects.get(event="rollback.detection_corrected", subject_id=str(rollback.pk))
    assert rollback.detected_at is not None
    assert (event.data["before"], event.data["after"], event.data["reason"]) == (rollback.detected_at.isoformat(), wanted.isoformat(), "from the alert's log")


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["", "yesterday", "2026-13-01T00:00:00", "2999-01-01T00:00:00"])
def test_correct_detection_to_no_time_before_the_decision_changes_nothing(value: str, cast: Cast) -> None:
    rollback = make_rollback("verified")
    response = _post(client_of(cast.lead), "correct-detection", rollback, detected_at=value, reason="from the log")
    assert response.status_code == 422
    assert "detected_at_invalid" in response.content.decode()
    assert _fresh(rollback).detected_at == rollback.detected_at


@pytest.mark.django_db
def test_roll_back_instead_of_a_fix_that_does_not_hold_runs_at_once(cast: Cast) -> None:
    rollback = _failed_forward()
    text = unescape(page(client_of(cast.on_call), reverse("rollbacks:detail", args=[rollback.pk])))
    assert "No: claude-sonnet-4-6-fix1 does not hold. Decide how it goes on." in text
    assert 'btn btn-primary" type="button" data-open-dialog="roll-back-instead-dialog"' in text
    assert _post(client_of(cast.on_call), "roll-back-instead", rollback).status_code == 302
    rollback = _fresh(rollback)
    assert (rollback.state, rollback.plan_number) == ("running", 2)
    assert _execution(rollback).kind == "rollback"


@pytest.mark.django_db
@pytest.mark.parametrize(("act", "state"), [("stop", "running"), ("undo", "partially_restored"), ("close", "verified"), ("skip", "partially_restored")])
def test_acts_without_a_reason_change_nothing(act: str, state: str, cast: Cast) -> None:
    rollback = make_rollback(state)
    response = _post(client_of(cast.lead), act, rollback, reason="  ")
    assert response.status_code == 422
    assert "Say why" in response.content.decode()
    assert (_fresh(rollback).state, _fresh(rollback).number) == (state, rollback.number)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("act", "state"),
    [("stop", "verified"), ("retry", "running"), ("skip", "restored"), ("undo", "verified"), ("close", "running"), ("roll-back-instead", "needs_human")],
)
def test_acts_in_a_state_where_they_do_not_work_are_a_409(act: str, state: str, cast: Cast) -> None:
    rollback = make_rollback(state)
    response = _post(client_of(cast.lead), act, rollback, reason="try it")
    assert response.status_code == 409
    assert "wrong_state" in response.content.decode()
    assert _fresh(rollback).state == state


@pytest.mark.django_db
@pytest.mark.parametrize("act", ACTS)
def test_acts_are_refused_to_those_who_may_not(act: str, cast: Cast) -> None:
    rollback = make_rollback("partially_restored")
    who_may = {"lead", "leadership"} if act in LEADS_ACTS else {"on_call", "lead", "leadership", "admin"}
    for who, user in cast.everybody_but().items():
        if who not in who_may:
            assert _post(client_of(user), act, rollback, reason="let me", **DETECTED).status_code == 403, who
    assert client_of(cast.on_call).get(reverse(f"rollbacks:{act}", args=[rollback.pk])).status_code == 405
    assert _fresh(rollback).state == "partially_restored"


@pytest.mark.django_db
@pytest.mark.parametrize("act", ACTS)
def test_acts_on_an_unknown_rollback_are_a_404(act: str, cast: Cast) -> None:
    address = reverse(f"rollbacks:{act}", args=["00000000-0000-0000-0000-000000000001"])
    assert client_of(cast.lead).post(address, {"reason": "try it", **DETECTED}).status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("state", "on_call", "lead"),
    [
        ("awaiting_approval", set(), {"correct-detection"}),
        ("running", {"stop"}, {"stop", "correct-detection"}),
        ("needs_human", {"retry", "undo", "close"}, {"retry", "undo", "close", "correct-detection"}),
        ("partially_restored", {"retry", "undo", "close"}, {"retry", "undo", "close", "skip", "correct-detection"}),
        ("restored", {"stop"}, {"stop", "correct-detection"}),
        ("verification_failed", {"retry", "close"}, {"retry", "undo", "close", "skip", "correct-detection"}),
        ("verified", {"close"}, {"close", "correct-detection"}),
        ("undoing", set(), {"correct-detection"}),
        ("closed", set(), {"correct-detection"}),
        ("rejected", set(), set()),
        ("cancelled", set(), set()),
    ],
)
def test_acts_are_offered_only_where_they_work_and_to_whom(state: str, on_call: set[str], lead: set[str], cast: Cast) -> None:
    rollback = make_rollback(state)
    assert _offered(client_of(cast.on_call), rollback) == on_call
    assert _offered(client_of(cast.lead), rollback) == lead
    assert _offered(client_of(cast.auditor), rollback) == set()


@pytest.mark.django_db
def test_acts_offered_say_what_they_will_do(cast: Cast) -> None:
    text = unescape(page(client_of(cast.lead), reverse("rollbacks:detail", args=[make_rollback("verification_failed").pk])))
    for words in (
        "The step “Verify traffic, feedback and latency” is tried again",
        "claude-sonnet-4-6 25 %, claude-sonnet-4-5 75 %. The bad version serves again. This lifts the stability hold on claude-sonnet-4-6",
        "What that step was to observe stays unobserved",
        "restored without claude-sonnet-4-6, not verified",
    ):
        assert words in text, words


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["needs_human", "partially_restored", "verification_failed", "verified"])
def test_acts_exactly_one_is_the_next(state: str, cast: Cast) -> None:
    text = page(client_of(cast.lead), reverse("rollbacks:detail", args=[make_rollback(state).pk]))
    answer = text.split('class="answer ')[1].split("</section>")[0]
    assert answer.count("btn btn-primary") == 1


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["rejected", "expired", "withdrawn", "cancelled", "undone"])
def test_ended_without_a_rollback_offers_to_ask_again(state: str, cast: Cast) -> None:
    rollback = make_rollback(state, alias="support-answer", parts=2)
    again = f"{reverse('rollbacks:start', args=['production'])}?alias=support-answer&amp;alias=support-answer-2"
    assert again in page(client_of(cast.on_call), reverse("rollbacks:detail", args=[rollback.pk]))
    assert again not in page(client_of(cast.auditor), reverse("rollbacks:detail", args=[rollback.pk]))


@pytest.mark.django_db
def test_review_is_offered_to_a_lead_who_did_not_break_the_glass(cast: Cast) -> None:
    rollback = make_rollback("verified", break_glass=True)
    assert "sign-review" in _offered(client_of(cast.lead), rollback)
    assert "sign-review" not in _offered(client_of(cast.on_call), rollback)
    own = make_rollback("verified", alias="own-alias", person=cast.lead, break_glass=True)
    assert "sign-review" not in _offered(client_of(cast.lead), own)
