"""What a person does with a rollback from its page: stop, retry, skip, put back, close, correct the detection, roll back instead."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from rollbackhub.accounts.rules import Capability
from rollbackhub.common.errors import InvalidInput
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.rollback_forms import DetectionForm
from rollbackhub.rollbacks.domain import acts
from rollbackhub.rollbacks.domain.roll_forward import roll_back_instead
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback


@require_POST
@requires(Capability.ROLL_BACK)
def stop(request: HttpRequest, rollback_id: UUID) -> HttpResponse:
    """Stop what runs."""
    return _with_reason(request, rollback_id, acts.stop_rollback, "It is being stopped. Look below where it stands.")


@require_POST
@requires(Capability.ROLL_BACK)
def retry(request: HttpRequest, rollback_id: UUID) -> HttpResponse:
    """Try the step again that stopped it."""
    acts.retry_rollback(rollback_id=rollback_id, account=person(request), actor=actor(request))
    return _back(request, rollback_id, "It goes on with the step that stopped it.")


@require_POST
@requires(Capability.LEAD)
def skip(request: HttpRequest, rollback_id: UUID) -> HttpResponse:
    """Go on without the step that stopped it."""
    return _with_reason(request, rollback_id, acts.skip_failed_step, "It goes on without the step that stopped it.")


@require_POST
@requires(Capability.ROLL_BACK)
def undo(request: HttpRequest, rollback_id: UUID) -> HttpResponse:
    """Put things back as they were before."""
    return _with_reason(request, rollback_id, acts.undo_rollback, "It is being put back as it was before.")


@require_POST
@requires(Capability.ROLL_BACK)
def close(request: HttpRequest, rollback_id: UUID) -> HttpResponse:
    """Close it, verified or given up."""
    return _with_reason(request, rollback_id, acts.close_rollback, "The rollback is closed.")


@require_POST
@requires(Capability.LEAD)
def correct_detection(request: HttpRequest, rollback_id: UUID) -> HttpResponse:
    """Correct when the harm was detected; the time is by the viewer's clock."""
    form = DetectionForm(request.POST)
    if not form.is_valid():
        sentence = "Give the time of the detection as a date and a time, e.g. 2026-07-24 03:12:30, by your own clock."
        raise InvalidInput(sentence, code="detected_at_invalid", fields={"detected_at": [sentence]})
    acts.correct_detection(
        rollback_id=rollback_id,
        account=person(request),
        actor=actor(request),
        detected_at=form.cleaned_data["detected_at"].astimezone(dt.UTC),
        reason=request.POST.get("reason", ""),
    )
    return _back(request, rollback_id, "The detection is corrected; the exposure was reckoned again where it was known.")


@require_POST
@requires(Capability.ROLL_BACK)
def instead(request: HttpRequest, rollback_id: UUID) -> HttpResponse:
    """The fix does not hold: roll back after all."""
    rollback = roll_back_instead(rollback_id=rollback_id, account=person(request), actor=actor(request))
    said = "It waits for approval." if rollback.state == RollbackState.AWAITING_APPROVAL else "The rollback runs."
    return _back(request, rollback_id, said)


def _with_reason(request: HttpRequest, rollback_id: UUID, act: Callable[..., Rollback], said: str) -> HttpResponse:
    act(rollback_id=rollback_id, account=person(request), actor=actor(request), reason=request.POST.get("reason", ""))
    return _back(request, rollback_id, said)


def _back(request: HttpRequest, rollback_id: UUID, said: str) -> HttpResponse:
    messages.info(request, said)
    return redirect("rollbacks:detail", rollback_id=rollback_id)
