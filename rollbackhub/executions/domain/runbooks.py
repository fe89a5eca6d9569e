"""Reading the runbooks that procedures name: whether each is still there, and a hash of what it says.

The hash is over the bytes as they are answered, nothing is left out or evened: a page that shows the time of day is another page each time.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random

from django.db import transaction

from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.housekeeping import register_job
from rollbackhub.common.http import guarded_get
from rollbackhub.executions.models import Procedure

EVERY = dt.timedelta(hours=1)
JITTER = 0.1
"""Share of the time by which readings are spread, so that one wiki is not asked for everything at the same instant."""

LOOK_SECONDS = 2.0
TIMEOUT_SECONDS = 10.0
MAX_BYTES = 4 * 1024 * 1024

ACTOR = system_actor("runbooks")


def register() -> None:
    """Once, when the app is ready."""
    register_job("executions.read_runbooks", every_seconds=LOOK_SECONDS, function=read_due_runbooks, own_thread=True)


def is_due(procedure: Procedure, *, at: dt.datetime) -> bool:
    """Whether its runbook has to be read: never tried, or an hour ago (give or take a tenth, the same for the same reading)."""
    if not procedure.runbook_url:
        return False
    if procedure.runbook_tried_at is None:
        return True
    spread = random.Random(f"{procedure.pk} {procedure.runbook_tried_at.timestamp()}").uniform(1 - JITTER, 1 + JITTER)
    return procedure.runbook_tried_at + EVERY * spread <= at


def read_due_runbooks() -> int:
    """Read every runbook that is due; forget what was read where there is no address any more. Returns how many that was.

    Two processes at once do not read the same: each claims by moving `runbook_tried_at` on.
    """
    done = 0
    for procedure in Procedure.objects.all():
        now = clock.now()
        if not procedure.runbook_url and (procedure.runbook_hash or procedure.runbook_tried_at or procedure.runbook_problem):
            done += forget_runbook(procedure_id=procedure.pk, url="", actor=ACTOR)
        elif is_due(procedure, at=now):
            claimed = Procedure.objects.filter(
                pk=procedure.pk, runbook_url=procedure.runbook_url, **_same("runbook_tried_at", procedure.runbook_tried_at)
            ).update(runbook_tried_at=now)
            done += bool(claimed and read_runbook(procedure_id=procedure.pk, url=procedure.runbook_url))
    return done


def read_runbook(*, procedure_id: int, url: str) -> bool:
    """Read this address and keep what was found, unless the procedure has another one by now.

    One that cannot be read keeps the hash that it had: nobody knows that it changed.
    """
    digest, problem = _fetch(url)
    with transaction.atomic():
        procedure = Procedure.objects.select_for_update().filter(pk=procedure_id, runbook_url=url).first()
        if procedure is None:
            return False
        before, was = procedure.runbook_hash, procedure.runbook_problem
        now = clock.now()
        procedure.runbook_tried_at, procedure.runbook_problem = now, problem
        if digest:
            procedure.runbook_hash, procedure.runbook_read_at = digest, now
        procedure.save(update_fields=["runbook_tried_at", "runbook_problem", "runbook_hash", "runbook_read_at"])
        if digest and digest != before:
            _record("procedure.runbook_changed", procedure, ACTOR, {"hash_before": before, "hash_after": digest})
        if problem and not was:
            _record("procedure.runbook_lost", procedure, ACTOR, {"problem": problem})
        elif was and not problem:
            _record("procedure.runbook_found", procedure, ACTOR, {})
    return True


def forget_runbook(*, procedure_id: int, url: str, actor: Actor) -> bool:
    """Another address, or none: what was read at the old one says nothing any more. It is due at once."""
    with transaction.atomic():
        procedure = Procedure.objects.select_for_update().filter(pk=procedure_id, runbook_url=url).first()
        if procedure is None:
            return False
        before = procedure.runbook_hash
        procedure.runbook_hash, procedure.runbook_read_at, procedure.runbook_tried_at, procedure.runbook_problem = "", None, None, ""
        procedure.save(update_fields=["runbook_hash", "runbook_read_at", "runbook_tried_at", "runbook_problem"])
        _record("procedure.runbook_forgotten", procedure, actor, {"hash_before": before})
    return True


def _fetch(url: str) -> tuple[str, str]:
    """Hash of what stands there, and "", or "" and why it cannot be read."""
    try:
        answer = guarded_get(url, timeout_seconds=TIMEOUT_SECONDS, max_bytes=MAX_BYTES)
    except RollbackHubError as error:
        return "", error.message[:300]
    if answer.status in (401, 403):
        return "", f"{answer.url} answered {answer.status}: RollbackHub may not read it."
    if answer.status >= 400:
        return "", f"{answer.url} answered {answer.status}: there is no runbook."
    return f"sha256:{hashlib.sha256(answer.body).hexdigest()}", ""


def _same(field: str, value: dt.datetime | None) -> dict[str, dt.datetime | bool]:
    return {f"{field}__isnull": True} if value is None else {field: value}


def _record(event: str, procedure: Procedure, actor: Actor, data: dict[str, str]) -> None:
    record(event=event, actor=actor, subject_type="procedure", subject_id=procedure.pk, data={"slug": procedure.slug, **data})
