"""Procedures, states and fingerprints."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.common.errors import InvalidInput
from rollbackhub.executions.domain.procedures import require_valid_steps
from rollbackhub.executions.enums import ACTIVE_STATES, ExecutionKind, ExecutionState
from rollbackhub.executions.fingerprints import canonical_hash
from rollbackhub.executions.procedures import BUILT_IN, WEIGHT_FLIP
from rollbackhub.executions.rules import TRANSITIONS, runs_now, steps_for


@pytest.mark.parametrize("entry", BUILT_IN, ids=lambda entry: entry["slug"])
def test_built_in_procedures_are_valid(entry: dict[str, Any]) -> None:
    require_valid_steps(entry["steps"])


def test_a_rollback_runs_the_same_steps_as_the_drill_between_setting_up_and_putting_back() -> None:
    drilled = [step["key"] for step in steps_for(WEIGHT_FLIP, kind=ExecutionKind.DRILL)]
    steps = steps_for(WEIGHT_FLIP, kind=ExecutionKind.ROLLBACK)
    rolled_back = [step["key"] for step in steps if runs_now(step, putting_back=False)]
    assert rolled_back == ["preflight", "flip", "propagate", "drain", "verify"]
    assert [key for key in drilled if key in rolled_back] == rolled_back
    assert [step["key"] for step in steps if runs_now(step, putting_back=True)] == ["restore", "restore_gateways"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"action": "run_code"}, "steps.0.action"),
        ({"params": {"to": "elsewhere"}}, "steps.0.params.to"),
        ({"params": {"to": "canary", "shell": "rm"}}, "steps.0.params.shell"),
        ({"segment": "lunch"}, "steps.0.segment"),
        ({"key": "Not A Key"}, "steps.0.key"),
        ({"title": ""}, "steps.0.title"),
        ({"unknown": 1}, "steps.0.unknown"),
        ({"kinds": ["party"]}, "steps.0.kinds.0"),
    ],
)
def test_a_wrong_step_is_refused_by_field(change: dict[str, Any], field: str) -> None:
    step = {"key": "flip", "title": "Flip", "action": "set_weights", "params": {"to": "canary"}, "segment": "execute", **change}
    with pytest.raises(InvalidInput) as caught:
        require_valid_steps([step])
    assert field in caught.value.fields


def test_the_same_key_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="that of step 1 already"):
        require_valid_steps([WEIGHT_FLIP[0], WEIGHT_FLIP[0]])


def test_a_procedure_without_steps_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one step"):
        require_valid_steps([])


def test_every_state_has_its_row_and_ended_states_lead_nowhere() -> None:
    assert set(TRANSITIONS) == set(ExecutionState)
    assert [state for state, following in TRANSITIONS.items() if not following] == [ExecutionState.FINISHED, ExecutionState.CANCELLED]
    assert all(TRANSITIONS[state] for state in ACTIVE_STATES)


def test_canonical_hash_is_of_rfc_8785() -> None:
    assert canonical_hash({"b": 1, "a": [1.0]}) == canonical_hash({"a": [1], "b": 1})
