"""Checks as people write them: what is refused is said at its place, in our words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from ruamel.yaml import YAML

from rollbackhub.common.errors import InvalidInput
from rollbackhub.verification.specs import KINDS, as_json, in_sentences, parse_checks, template, title_of

TRAFFIC = {"kind": "traffic_share", "key": "traffic"}
FEEDBACK = {"kind": "metric_baseline", "key": "feedback", "metric": "negative_feedback"}
ERRORS = {"kind": "metric_threshold", "key": "errors", "metric": "errors", "limit": 0.02}
EVERY = [
    TRAFFIC,
    {"kind": "gateway_revision", "key": "gateways"},
    FEEDBACK,
    ERRORS,
    {"kind": "impact_ceased", "key": "impact"},
    {"kind": "probe", "key": "probe", "url": "https://gateway.example/health"},
]


@pytest.mark.parametrize(
    ("values", "place", "sentence"),
    [
        ({"kind": "traffic_share"}, "checks", "Write a list of checks"),
        ([], "checks", "1 to 20 checks"),
        ([TRAFFIC] * 21, "checks", "1 to 20 checks"),
        (["traffic_share"], "checks.0", "A check is a mapping"),
        ([{"key": "a"}], "checks.0.kind", "Say which kind it is: traffic_share"),
        ([{"kind": "vibes", "key": "a"}], "checks.0.kind", "Say which kind it is"),
        ([TRAFFIC, {"kind": "traffic_share"}], "checks.1.key", "This is needed."),
        ([TRAFFIC, {**TRAFFIC, "key": "Traffic!"}], "checks.1.key", "It cannot be written so."),
        ([TRAFFIC, TRAFFIC], "checks.1.key", "is that of check 1 already"),
        ([{**TRAFFIC, "samples": 0}], "checks.0.samples", "It must be 1 or more."),
        ([{**TRAFFIC, "limit": 3}], "checks.0.limit", "There is no such name here; there are"),
        ([{**FEEDBACK, "margin_ratio": 11}], "checks.0.margin_ratio", "It must be 10 or less."),
        ([{**FEEDBACK, "margin_ratio": 0}], "checks.0.margin_ratio", "It must be above 0."),
        ([{**FEEDBACK, "margin_points": 0.3}], "checks.0.margin_points", "It must be 0.2 or less."),
        ([{**FEEDBACK, "metric": "vibes"}], "checks.0.metric", "Choose negative_feedback, errors or latency."),
        ([{**FEEDBACK, "margin_ratio": None}], "checks.0", "State a margin"),
        ([{**FEEDBACK, "metric": "latency", "margin_points": 0.1}], "checks.0", "Of a latency only margin_ratio can be stated."),
        ([{**FEEDBACK, "metric": "latency", "margin_ratio": float("nan")}], "checks.0.margin_ratio", ""),
        ([{**ERRORS, "limit": None}], "checks.0.limit", "It must be a number."),
        ([{"kind": "probe", "key": "p", "url": "https://user:secret@host/"}], "checks.0.url", "It cannot be written so."),
        ([{"kind": "probe", "key": "p", "url": "ftp://host/"}], "checks.0.url", "It cannot be written so."),
    ],
)
def test_what_is_wrong_is_said_at_its_place(values: Any, place: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_checks(values)
    assert refused.value.code == "invalid_checks"
    assert list(refused.value.fields) == [place]
    assert sentence in refused.value.fields[place][0]
    assert "Input should" not in refused.value.message
    assert "secret" not in refused.value.message


def test_every_kind_is_read_told_in_words_and_kept_spelt_out() -> None:
    checks = parse_checks(EVERY)
    assert [check.kind for check in checks] == list(KINDS)
    kept = as_json(checks)
    assert parse_checks(kept) == checks
    assert kept[2]["margin_ratio"] == 0.25, "a default that changes later changes nothing"
    for check in checks:
        assert title_of(check)
        for sentence in in_sentences(check):
            assert sentence.endswith(".")
    said = " ".join(in_sentences(checks[2]))
    assert said.startswith("Negative feedback is shown to be at most 1.25 times the baseline's rate.")
    assert "It passes after 2 looks in a row." in said
    assert in_sentences(checks[3])[0] == "Errors are shown to be below 2 % of requests."
    assert [title_of(check) for check in checks[2:4]] == ["Negative feedback is back at the baseline", "Errors are below their limit"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({**FEEDBACK, "margin_points": 0.01}, "Negative feedback is shown to be at most 1 percentage points above the baseline's rate."),
        (
            {**FEEDBACK, "margin_ratio": 0.5, "harmless_below": 0.0001, "baseline": "before_release"},
            "Negative feedback is shown to be at most 1.5 times the baseline's rate, or below 0.01 % of requests (baseline from before the release).",
        ),
        (
            {**FEEDBACK, "metric": "latency", "margin_ratio": 0.5, "baseline": "concurrent"},
            "Latency is shown to be at most 1.5 times the baseline's at the same time.",
        ),
        ({**FEEDBACK, "metric": "errors"}, "Errors are shown to be at most 1.25 times the baseline's rate."),
        (
            {"kind": "probe", "key": "p", "url": "http://gateway/", "field": "model.version"},
            "http://gateway/ is answered by a good version, as its model.version says.",
        ),
        (
            {"kind": "impact_ceased", "key": "i", "quiet_looks": 5},
            "No new error or complaint about the bad version in 5 looks in a row, and "
            "errors and complaints of all users are at most 1.25 times the baseline's rate.",
        ),
    ],
)
def test_what_a_check_demands_is_said_with_its_units(values: dict[str, Any], sentence: str) -> None:
    (check,) = parse_checks([values])
    assert in_sentences(check)[0] == sentence


def test_limits_are_said_and_that_there_are_none() -> None:
    limited, endless = parse_checks(
        [{**TRAFFIC, "consecutive": 1, "failure_limit": 3, "inconclusive_limit": 40}, {**TRAFFIC, "key": "b", "failure_limit": 0, "error_limit": 0}]
    )
    assert in_sentences(limited)[1:] == [
        "It passes after 1 look.",
        "It is given up after 3 looks in a row that fail, or 40 looks in a row that show nothing, or 10 looks in a row that cannot be taken.",
    ]
    assert in_sentences(endless)[2] == "It is given up at the step's time limit alone."


def test_what_is_judged_is_given_up_by_judged_looks() -> None:
    feedback, one = parse_checks([FEEDBACK, {**ERRORS, "failure_limit": 1}])
    assert in_sentences(feedback)[2] == "It is given up after 3 judged looks in a row that fail, or 10 looks in a row that cannot be taken."
    assert in_sentences(one)[2].startswith("It is given up after 1 judged look that fails, or")


def test_example_of_the_documentation_is_one_check_of_each_kind() -> None:
    text = (Path(settings.BASE_DIR) / "docs" / "verification.md").read_text().split("## Checks")[1].split("```yaml")[1].split("```")[0]
    assert sorted(check.kind for check in parse_checks(YAML(typ="safe").load(text))) == sorted(KINDS)


def test_own_title_is_its_name() -> None:
    (check,) = parse_checks([{**ERRORS, "title": "Fewer than two in a hundred fail"}])
    assert title_of(check) == "Fewer than two in a hundred fail"


@pytest.mark.parametrize(
    ("change_type", "keys"), [("prompt", ["traffic_share", "negative_feedback", "latency"]), ("dataset", ["traffic_share", "negative_feedback"])]
)
def test_template_of_a_change_type_is_checks(change_type: str, keys: list[str]) -> None:
    checks = parse_checks(template(change_type, feedback_points=0.05, latency_ratio=1.5, consecutive=3))
    assert [check.key for check in checks] == keys
    assert {check.consecutive for check in checks} == {3}


def test_template_of_a_procedure_with_wider_margins_than_can_be_judged_takes_the_widest() -> None:
    checks = {check.key: check for check in parse_checks(template("model", feedback_points=0.9, latency_ratio=100, consecutive=1))}
    assert (checks["negative_feedback"].margin_points, checks["latency"].margin_ratio) == (0.2, 10.0)  # type: ignore[union-attr]
