"""Executions on the chapter's policy, with procedures that need no gateway."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.executions.domain.plan import build_plan
from rollbackhub.executions.domain.procedures import append_procedure_version
from rollbackhub.executions.domain.transitions import start_execution
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.executions.models import Execution, Procedure
from rollbackhub.routing.models import RoutingPolicy
from tests.routing.conftest import ACTOR, seed_policy

FLIP = {"key": "flip", "title": "Flip", "action": "set_weights", "params": {"to": "rolled_back"}, "segment": "execute", "starts_clock": True}
RESTORE = {"key": "restore", "title": "Put back", "action": "restore_before", "segment": "clean_up", "always": True, "kinds": ["drill", "rehearsal"]}


def start(policy: RoutingPolicy, *steps: dict[str, Any], kind: ExecutionKind = ExecutionKind.DRILL) -> Execution:
    """A queued execution of these steps."""
    append_procedure_version(procedure=Procedure.objects.get(change_type="model", connector=""), steps=list(steps), actor=ACTOR)
    return start_execution(kind=kind, policy=policy, plan=build_plan(policy=policy, kind=kind), actor=ACTOR, user=None)


@pytest.fixture
def policy(db: None) -> RoutingPolicy:
    """smart-reasoner in staging, at revision 1."""
    return seed_policy()
