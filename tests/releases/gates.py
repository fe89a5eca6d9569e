"""Opening the gate of a release the way it is opened in earnest: by a rehearsal that passed, and a preflight that has looked."""

from __future__ import annotations

import datetime as dt

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.common.clock import now
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.executions.models import Execution
from rollbackhub.releases.domain.rehearsal import rehearse_release
from rollbackhub.releases.models import Release
from tests.factories.readiness import PreflightRunFactory


def open_gate(release: Release, *, account: User) -> Execution:
    """Everything that the gate asks for holds then; returns the rehearsal."""
    PreflightRunFactory(environment=release.policy.environment)
    execution = rehearse_release(release_id=release.pk, account=account, actor=actor_of(account))
    return pass_rehearsal(execution)


def pass_rehearsal(execution: Execution) -> Execution:
    """As the engine leaves it when everything was observed as it should be."""
    start = now() - dt.timedelta(seconds=30)
    Execution.objects.filter(pk=execution.pk).update(
        state=ExecutionState.FINISHED,
        verdict=Verdict.PASSED,
        started_at=start,
        decided_at=start + dt.timedelta(seconds=8),
        executed_at=start + dt.timedelta(seconds=8.1),
        drained_at=start + dt.timedelta(seconds=10),
        restored_at=start + dt.timedelta(seconds=10),
        verified_at=start + dt.timedelta(seconds=20),
        finished_at=start + dt.timedelta(seconds=21),
        rollback_seconds=2.0,
        outcome="Restored in 2.00 s and verified.",
    )
    execution.refresh_from_db()
    return execution
