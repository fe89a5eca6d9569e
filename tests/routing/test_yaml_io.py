"""The policy file is read strictly, refused whole, and comes back as it went."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollbackhub.common.errors import InvalidInput
from rollbackhub.registry.models import Version
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.yaml_io import dump_policies, export_policies, import_policies, parse_policies
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.factories.routing import PolicyRevisionFactory
from tests.routing.conftest import ACTOR, seed_policy

CHAPTER = """\
aliases:
  smart-reasoner:
    candidates:
      - id: anthropic:claude-sonnet-4-6:ap-south-1
        version_pin: claude-sonnet-4-6
        weight: 0 # <-- rolled back, previously 25
      - id: anthropic:claude-sonnet-4-5:ap-south-1
        version_pin: claude-sonnet-4-5
        weight: 100 # <-- previous version restored
"""


def do_import(policy: RoutingPolicy, text: str) -> list[PolicyRevision]:
    return import_policies(environment=policy.environment, text=text, actor=ACTOR, reason="test")


def test_import_of_the_chapters_file_flips_the_weights(policy: RoutingPolicy) -> None:
    (revision,) = do_import(policy, CHAPTER)
    policy.refresh_from_db()
    assert revision.number == policy.revision_number == 2
    assert [candidate.weight for candidate in get_candidates(policy=policy)] == [0, 100]


def test_import_of_what_is_already_so_appends_nothing(policy: RoutingPolicy) -> None:
    do_import(policy, CHAPTER)
    assert do_import(policy, CHAPTER) == []


def test_export_then_import_changes_nothing(policy: RoutingPolicy) -> None:
    text = export_policies(environment=policy.environment)
    assert do_import(policy, text) == []
    assert parse_policies(text)[0].candidates == get_candidates(policy=policy)


def test_export_takes_two_queries_for_any_number_of_aliases(policy: RoutingPolicy, django_assert_num_queries) -> None:
    for index in range(5):
        seed_policy(alias=f"alias-{index}")
    environment = policy.environment
    with django_assert_num_queries(2):
        assert export_policies(environment=environment).count("candidates:") == 6


@pytest.mark.parametrize(
    ("before", "after", "line", "sentence"),
    [
        ("aliases:", "aliasses:", "line 1", "Unknown key 'aliasses'"),
        ("aliases:", "owner: me\naliases:", "line 1", "Unknown key 'owner'"),
        ("    candidates:", "    note: x\n    candidates:", "line 3", "Unknown key 'note'"),
        ("weight: 100", "weight: 100\n        region: x", "line 10", "Unknown key 'region'"),
        ("weight: 100", "weight: 99", "line 2", "sum to 100, they sum to 99"),
        ("weight: 100", "weight: 100.0", "line 9", "whole number"),
        ("weight: 100", "weight: yes", "line 9", "whole number"),
        ("weight: 100", "weight: -100", "line 7", "whole number"),
        ("anthropic:claude-sonnet-4-5:ap-south-1", "anthropic:claude-sonnet-4-6:ap-south-1", "line 7", "stands twice"),
        ("version_pin: claude-sonnet-4-5", "version_pin: claude-sonnet-9", "line 7", "not registered"),
        ("version_pin: claude-sonnet-4-5", "version: claude-sonnet-4-5", "line 7", "no version_pin"),
        ("version_pin: claude-sonnet-4-5", "version_pin: 45", "line 8", "must be a text"),
        ("smart-reasoner", "fast-reasoner", "line 2", "does not exist in staging"),
        ("      - id: anthropic:claude-sonnet-4-6", "      - just text\n      - id: anthropic:claude-sonnet-4-6", "line 4", "has the keys"),
        ("aliases:", "aliases: [", "line 3", "not valid YAML"),
        ("version_pin: claude-sonnet-4-6", "version_pin: claude-sonnet-4-6\n        version_pin: claude-sonnet-4-6", "line 6", "not valid YAML"),
    ],
)
def test_import_of_a_bad_file_is_refused_whole_with_line_and_reason(policy: RoutingPolicy, before: str, after: str, line: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        do_import(policy, CHAPTER.replace(before, after, 1))
    assert caught.value.code == "invalid_policy_file"
    assert any(sentence in text for text in caught.value.fields.get(line, [])), caught.value.fields
    assert PolicyRevision.objects.count() == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "aliases:",
        "aliases: {}",
        "aliases: 3",
        "aliases: " + "[" * 5000,
        "aliases:\n  a:\n    candidates: []\n",
        "\x00",
        "aliases: !!python/object:os.system x",
    ],
)
def test_import_of_something_else_is_refused(policy: RoutingPolicy, text: str) -> None:
    with pytest.raises(InvalidInput):
        do_import(policy, text)


def test_import_with_one_bad_alias_leaves_the_good_one_as_it_was(policy: RoutingPolicy) -> None:
    other = seed_policy(alias="other")
    with pytest.raises(InvalidInput):
        do_import(policy, CHAPTER + "  other:\n    candidates:\n      - id: x\n        version_pin: nope\n        weight: 100\n")
    for untouched in (policy, other):
        untouched.refresh_from_db()
        assert untouched.revision_number == 1


def test_import_that_gives_a_retired_version_traffic_is_refused_at_its_line(policy: RoutingPolicy) -> None:
    # What serves cannot be retired, so it has lost its weight first.
    PolicyRevisionFactory(policy=policy, weights={"claude-sonnet-4-6": 100, "claude-sonnet-4-5": 0})
    policy.refresh_from_db()
    Version.objects.filter(label="claude-sonnet-4-5").update(lifecycle="retired")
    with pytest.raises(InvalidInput) as caught:
        do_import(policy, CHAPTER)
    assert "line 7" in caught.value.fields


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp", "Cf")), min_size=1, max_size=30)


@given(
    st.dictionaries(
        NAMES,
        st.lists(st.builds(CandidateSpec, NAMES, NAMES, st.just(0)), min_size=1, max_size=4, unique_by=lambda spec: spec.candidate_id),
        min_size=1,
        max_size=3,
    )
)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_dump_then_parse_gives_the_same_whatever_the_names(policies: dict[str, list[CandidateSpec]]) -> None:
    full = {alias: [CandidateSpec(specs[0].candidate_id, specs[0].version_pin, 100), *specs[1:]] for alias, specs in policies.items()}
    assert {spec.alias: spec.candidates for spec in parse_policies(dump_policies(full))} == full
