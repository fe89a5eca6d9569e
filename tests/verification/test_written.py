"""Checks before they are kept: what could not work, could not be shown, or would let anything pass."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from rollbackhub.common.errors import InvalidInput
from rollbackhub.verification.specs import parse_checks, template
from rollbackhub.verification.written import all_warnings, parse_written, warnings_of

FEEDBACK: dict[str, Any] = {"kind": "metric_baseline", "key": "feedback", "metric": "negative_feedback"}
PROBE: dict[str, Any] = {"kind": "probe", "key": "p", "url": "http://127.0.0.1:18400/health"}


@pytest.fixture(autouse=True)
def _hosts(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Allowed hosts, two of which never are; and no network."""

    def asked(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    allowed = ["127.0.0.1", "gateway.example", "169.254.169.254", "metadata.google.internal"]
    settings.CONFIG = settings.CONFIG.model_copy(update={"outbound_allowed_hosts": allowed})


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://169.254.169.254/latest", "never calls 169.254.169.254"),
        ("http://[::ffff:169.254.169.254]/", "never calls"),
        ("http://2852039166/", "never calls"),
        ("http://0xA9FEA9FE/", "never calls"),
        ("http://[fe80::1%25eth0]/", "never calls"),
        ("http://metadata.google.internal/", "never calls metadata.google.internal"),
        ("http://[::1", "cannot be read"),
        ("http://127.0.0.1:99999999/", "cannot be read"),
        ("http://127.0.0.1:65536/", "cannot be read"),
        ("http://127.0.0.1:0/", "cannot be read"),
        ("http:///path", "Only http:// and https://"),
        ("http://other.example/", "An administrator can allow it by adding it to OUTBOUND_ALLOWED_HOSTS."),
        ("http://gateway.example/?api_key=sk-123", "It holds a password or a key."),
        ("http://gateway.example/\u202eonce", "cannot be shown"),
    ],
)
def test_address_that_could_not_be_asked_at_night_is_refused_by_day(url: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_written([{**PROBE, "url": url}])
    assert list(refused.value.fields) == ["checks.0.url"]
    assert sentence in refused.value.fields["checks.0.url"][0]
    assert "sk-123" not in refused.value.message
    if "never" in sentence:
        assert "administrator" not in refused.value.message, "no setting allows it, and none is promised to"
    assert parse_checks([{**PROBE, "url": url}]), "what is kept is still read"


@pytest.mark.parametrize("url", [PROBE["url"], "https://GATEWAY.example:8443/a?max_tokens=4"])
def test_address_that_may_be_called_is_taken(url: str) -> None:
    assert parse_written([{**PROBE, "url": url}])


@pytest.mark.parametrize(
    ("values", "place", "sentence"),
    [
        ({"margin_ratio": True}, "margin_ratio", "It must be a number."),
        ({"margin_ratio": "0.5"}, "margin_ratio", "It must be a number."),
        ({"consecutive": True}, "consecutive", "It must be a whole number."),
        ({"consecutive": "2"}, "consecutive", "It must be a whole number."),
        ({"failure_limit": False}, "failure_limit", "It must be a whole number."),
        ({"margin_points": 1e-300}, "margin_points", "It must be 0.0001 or more."),
        ({"margin_ratio": 1e-12}, "margin_ratio", "It must be 0.01 or more."),
        ({"harmless_below": 1e-9}, "harmless_below", "It must be 0.00001 or more."),
        ({"title": "two\nlines"}, "title", "It must be one line."),
        ({"title": "a\x00b"}, "title", "cannot be shown"),
    ],
)
def test_wrong_types_and_margins_that_nothing_can_show_are_refused(values: dict[str, Any], place: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_written([{**FEEDBACK, **values}])
    assert list(refused.value.fields) == [f"checks.0.{place}"]
    assert sentence in refused.value.fields[f"checks.0.{place}"][0]


def test_whole_numbers_are_numbers_and_a_limit_has_a_least_value() -> None:
    (check,) = parse_written([{**FEEDBACK, "margin_ratio": 1}])
    assert check.margin_ratio == 1.0  # type: ignore[union-attr]
    with pytest.raises(InvalidInput, match=r"checks\.0\.limit: It must be 0\.00001 or more"):
        parse_written([{"kind": "metric_threshold", "key": "e", "metric": "errors", "limit": 1e-9}])


def test_wide_margins_are_taken_with_a_warning_each() -> None:
    wide = {**FEEDBACK, "margin_ratio": 10, "margin_points": 0.2, "harmless_below": 0.5, "consecutive": 1}
    assert all_warnings(parse_written([wide])) == [
        "feedback: This would call negative feedback of 11 times the baseline “back at the baseline”.",
        "feedback: This would call 20 percentage points worse “back at the baseline”.",
        "feedback: This would call anything below 50 % of requests harmless, whatever the baseline was.",
        "feedback: One look is enough for it to pass: a good moment would do. The template wants 2 in a row.",
    ]
    (limit,) = parse_written([{"kind": "metric_threshold", "key": "e", "metric": "errors", "limit": 0.3}])
    assert warnings_of(limit) == ["This would pass with errors at nearly 30 % of requests."]
    (impact,) = parse_written([{"kind": "impact_ceased", "key": "i", "margin_points": 0.1}])
    assert warnings_of(impact) == ["This would call 10 percentage points worse “back at the baseline”."]


@pytest.mark.parametrize("change_type", ["prompt", "model", "agent_code", "dataset"])
def test_template_has_no_warning_and_can_be_saved(change_type: str) -> None:
    assert all_warnings(parse_written(template(change_type, feedback_points=0.05, latency_ratio=1.5, consecutive=2))) == []
