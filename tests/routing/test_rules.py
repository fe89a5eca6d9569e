"""The arithmetic of weights."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rollbackhub.common.errors import InvalidInput
from rollbackhub.routing.rules import CandidateSpec, problems_of, require_valid, weights_by_version, with_canary, without_version

CHAPTER = [
    CandidateSpec("anthropic:claude-sonnet-4-6:ap-south-1", "claude-sonnet-4-6", 25),
    CandidateSpec("anthropic:claude-sonnet-4-5:ap-south-1", "claude-sonnet-4-5", 75),
]


@st.composite
def policies(draw: st.DrawFn) -> list[CandidateSpec]:
    """Valid policies of two to six candidates over two to three versions."""
    size = draw(st.integers(2, 6))
    cuts = sorted(draw(st.lists(st.integers(0, 100), min_size=size - 1, max_size=size - 1)))
    weights = [high - low for low, high in zip([0, *cuts], [*cuts, 100], strict=True)]
    versions = draw(st.lists(st.sampled_from(["bad", "good", "other"]), min_size=size, max_size=size))
    return [CandidateSpec(f"p:m{index}:r", version, weight) for index, (version, weight) in enumerate(zip(versions, weights, strict=True))]


def test_without_version_of_the_chapter_gives_its_share_to_the_previous_version() -> None:
    assert [candidate.weight for candidate in without_version(CHAPTER, "claude-sonnet-4-6")] == [0, 100]


@given(policies())
def test_without_version_always_gives_a_valid_policy_without_it(candidates: list[CandidateSpec]) -> None:
    versions = {candidate.version_pin for candidate in candidates}
    assume("bad" in versions and len(versions) > 1)
    after = without_version(candidates, "bad")
    assert problems_of(after) == []
    assert weights_by_version(after)["bad"] == 0
    assert [(candidate.candidate_id, candidate.version_pin) for candidate in after] == [
        (candidate.candidate_id, candidate.version_pin) for candidate in candidates
    ]


@given(policies())
def test_without_version_keeps_the_order_of_the_others(candidates: list[CandidateSpec]) -> None:
    versions = {candidate.version_pin for candidate in candidates}
    assume("bad" in versions and len(versions) > 1)
    others = [
        (before.weight, after.weight) for before, after in zip(candidates, without_version(candidates, "bad"), strict=True) if before.version_pin != "bad"
    ]
    kept = sum(before for before, _ in others)
    assume(kept > 0)
    assert all(abs(after - before * 100 / kept) < 1 for before, after in others)


@given(policies(), st.integers(1, 60))
def test_with_canary_gives_at_least_the_percent_and_stays_valid(candidates: list[CandidateSpec], percent: int) -> None:
    versions = {candidate.version_pin for candidate in candidates}
    assume("bad" in versions and len(versions) > 1)
    after = with_canary(candidates, "bad", percent=percent)
    assert problems_of(after) == []
    assert weights_by_version(after)["bad"] >= percent


def test_with_canary_when_it_has_more_already_changes_nothing() -> None:
    assert with_canary(CHAPTER, "claude-sonnet-4-6", percent=10) == CHAPTER


def test_without_version_that_is_absent_is_refused() -> None:
    with pytest.raises(InvalidInput, match="No candidate of this policy serves claude-9") as caught:
        without_version(CHAPTER, "claude-9")
    assert caught.value.code == "version_not_in_policy"


def test_without_version_when_no_other_is_left_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no other version") as caught:
        without_version([CandidateSpec("a", "only", 40), CandidateSpec("b", "only", 60)], "only")
    assert caught.value.code == "no_rollback_target"


@pytest.mark.parametrize(
    ("candidates", "sentence"),
    [
        ([], "at least one candidate"),
        ([CandidateSpec("a", "v", 99)], "sum to 100, they sum to 99"),
        ([CandidateSpec("a", "v", 0), CandidateSpec("b", "v", 0)], "they sum to 0"),
        ([CandidateSpec("a", "v", 50), CandidateSpec("a", "v", 50)], "stands twice"),
        ([CandidateSpec("a", "v", -1), CandidateSpec("b", "v", 101)], "whole number from 0 to 100"),
        ([CandidateSpec("a", "v", True)], "whole number"),
        ([CandidateSpec("a b", "v", 100)], "no space"),
        ([CandidateSpec("", "v", 100)], "1 to 160 characters"),
        ([CandidateSpec(f"c{index}", "v", 2 if index < 50 else 0) for index in range(51)], "at most 50"),
    ],
)
def test_require_valid_of_a_bad_policy_says_what_is_wrong(candidates: list[CandidateSpec], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        require_valid(candidates)


def test_require_valid_of_the_chapters_policy_accepts() -> None:
    require_valid(CHAPTER)


def test_version_that_has_all_goes_back_to_what_served_before_it() -> None:
    candidates = [CandidateSpec("new", "v20", 100), CandidateSpec("canary", "v6", 0), CandidateSpec("good", "v5", 0)]
    assert [found.weight for found in without_version(candidates, "v20", served_before={"v5": 100})] == [0, 0, 100]
    assert [found.weight for found in without_version(candidates, "v20", served_before={"v5": 60, "v6": 20})] == [0, 25, 75]


def test_what_served_before_and_is_left_out_now_is_not_brought_back() -> None:
    candidates = [CandidateSpec("new", "v20", 100), CandidateSpec("canary", "v6", 0), CandidateSpec("good", "v5", 0)]
    assert [found.weight for found in without_version(candidates, "v20", served_before={"v4": 100})] == [0, 100, 0]
    assert [found.weight for found in without_version(candidates, "v20", served_before={"v4": 80, "v5": 20})] == [0, 0, 100]


def test_what_served_before_does_not_count_while_others_serve() -> None:
    candidates = [CandidateSpec("new", "v20", 50), CandidateSpec("canary", "v6", 0), CandidateSpec("good", "v5", 50)]
    assert [found.weight for found in without_version(candidates, "v20", served_before={"v6": 100})] == [0, 0, 100]
