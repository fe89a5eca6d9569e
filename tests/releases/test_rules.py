"""Steps, states and weights of a release. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackhub.common.errors import InvalidInput
from rollbackhub.releases.domain.planning import derive_candidate_id, stage_candidates
from rollbackhub.releases.enums import OPEN_STATES, ReleaseState
from rollbackhub.releases.rules import TRANSITIONS, default_steps, require_valid_steps
from rollbackhub.routing.rules import CandidateSpec, require_valid, weights_by_version

OLD = CandidateSpec("anthropic:a:eu", "a", 100)


def test_every_state_has_its_row_and_ended_states_lead_nowhere() -> None:
    assert set(TRANSITIONS) == set(ReleaseState)
    assert all(TRANSITIONS[state] for state in OPEN_STATES)
    assert {state for state, after in TRANSITIONS.items() if not after} == {ReleaseState.SUPERSEDED, ReleaseState.ROLLED_BACK, ReleaseState.ABANDONED}


@pytest.mark.parametrize(
    ("change_type", "steps"), [("prompt", [5, 25, 50, 100]), ("model", [1, 5, 25, 50, 100]), ("agent_code", [100]), ("eval_set", [100]), ("dataset", [100])]
)
def test_default_steps_are_the_change_types(change_type: str, steps: list[int]) -> None:
    assert default_steps(change_type) == steps
    require_valid_steps(steps)


@pytest.mark.parametrize("steps", [[], [50], [100, 100], [50, 25, 100], [0, 100], [5, 101], [5.0, 100], [True, 100], list(range(1, 21)) + [100], ["5", 100]])
def test_steps_that_are_none_are_refused_in_words(steps: list[int]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        require_valid_steps(steps)
    assert refusal.value.code == "invalid_steps"
    assert refusal.value.fields["steps"]


@given(st.lists(st.integers(0, 100), min_size=1, max_size=6), st.integers(0, 100))
def test_weights_of_a_step_make_a_policy_whatever_the_others_have(others: list[int], percent: int) -> None:
    present = [OLD, *(CandidateSpec(f"x:{index}:eu", f"v{index}", weight) for index, weight in enumerate(others))]
    after = stage_candidates(present, candidate_id="anthropic:b:eu", from_label="a", to_label="b", percent=percent)
    require_valid(after)
    assert weights_by_version(after)["b"] == percent
    assert {candidate.version_pin for candidate in present} <= {candidate.version_pin for candidate in after}


def test_candidate_without_weight_is_taken_over_and_one_with_weight_is_not() -> None:
    idle, busy = CandidateSpec("anthropic:b:eu", "old-b", 0), CandidateSpec("anthropic:b:eu", "old-b", 10)
    after = stage_candidates([OLD, idle], candidate_id=idle.candidate_id, from_label="a", to_label="b", percent=5)
    assert after == [CandidateSpec("anthropic:b:eu", "b", 5), CandidateSpec("anthropic:a:eu", "a", 95)]
    with pytest.raises(InvalidInput, match="serves old-b now"):
        stage_candidates([CandidateSpec("anthropic:a:eu", "a", 90), busy], candidate_id=busy.candidate_id, from_label="a", to_label="b", percent=5)


def test_release_without_its_way_back_in_the_policy_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nothing to go back to"):
        stage_candidates([CandidateSpec("x", "c", 100)], candidate_id="y", from_label="a", to_label="b", percent=5)


@pytest.mark.parametrize(
    ("present", "found"),
    [("anthropic:a:eu", "anthropic:b:eu"), ("openai:gpt:us", "openai:b:us"), ("flat", "flat:b"), ("prompts:a-v1:eu", "prompts:b:eu")],
)
def test_candidate_of_a_new_version_is_like_that_of_the_one_before(present: str, found: str) -> None:
    assert derive_candidate_id([CandidateSpec(present, "a", 100)], from_label="a", to_label="b") == found
