"""The weights of a roll-forward's stages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackhub.rollbacks.domain.roll_forward import stage_weights
from rollbackhub.routing.rules import CandidateSpec, problems_of


def policy(*weights: tuple[str, int]) -> list[CandidateSpec]:
    return [CandidateSpec(f"c{index}", version, weight) for index, (version, weight) in enumerate(weights)]


@pytest.mark.parametrize(
    ("before", "percent", "after"),
    [
        (policy(("bad", 25), ("good", 75)), 100, policy(("fix", 25), ("good", 75))),
        (policy(("bad", 25), ("good", 75)), 25, policy(("fix", 25), ("good", 75))),
        (policy(("bad", 50), ("good", 50)), 25, policy(("fix", 25), ("good", 75))),
        (policy(("bad", 100), ("good", 0)), 25, policy(("fix", 25), ("good", 75))),
        (policy(("bad", 100)), 25, policy(("fix", 100))),
        (policy(("bad", 1), ("good", 99)), 5, policy(("fix", 1), ("good", 99))),
        (policy(("bad", 30), ("bad", 30), ("good", 40)), 50, policy(("fix", 25), ("fix", 25), ("good", 50))),
    ],
)
def test_fix_takes_its_share_of_the_bad_versions_weight(before: list[CandidateSpec], percent: int, after: list[CandidateSpec]) -> None:
    assert stage_weights(before, bad="bad", fix="fix", percent=percent) == after


@given(weights=st.lists(st.integers(0, 100), min_size=1, max_size=6), bad_ones=st.integers(1, 6), percent=st.integers(1, 100))
def test_stage_is_always_a_valid_policy_without_the_bad_version(weights: list[int], bad_ones: int, percent: int) -> None:
    bad_ones = min(bad_ones, len(weights))
    total = sum(weights) or 1
    scaled = [weight * 100 // total for weight in weights]
    scaled[0] += 100 - sum(scaled)
    before = policy(*[("bad" if index < bad_ones else "good", weight) for index, weight in enumerate(scaled)])
    after = stage_weights(before, bad="bad", fix="fix", percent=percent)
    assert problems_of(after) == []
    assert all(candidate.version_pin != "bad" for candidate in after)
    mine = sum(candidate.weight for candidate in after if candidate.version_pin == "fix")
    assert mine <= sum(candidate.weight for candidate in before if candidate.version_pin == "bad")
