"""The lab's alert rules, run by Prometheus' own tool: what fires, what does not, and what an alert's end is worth."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rollbackhub.lab.parts.alertmanager import RULES

DEGRADED, UNMEASURED = "NegativeFeedbackAboveBaseline", "FeedbackNotMeasured"
GOOD, BAD = "known-good", "canary"
SECONDS = 120
Series = dict[str, str]


def served(version: str, *, per_second: float, disliked: float | None, environment: str = "production", seconds: int = SECONDS) -> Series:
    """A version's counters, one sample a second, from zero on. `disliked` None: its feedback counter is never born. A failed scrape ends them."""
    labels = f'environment="{environment}",alias="smart-reasoner",version="{version}"'
    end = " stale" if seconds < SECONDS else ""
    found = {f'llm_requests_total{{{labels},code="200"}}': f"0+{per_second}x{seconds}{end}"}
    if disliked is not None:
        found[f"llm_negative_feedback_total{{{labels}}}"] = f"0+{per_second * disliked:g}x{seconds}{end}"
    return found


def scraped(*, environment: str = "production", seconds: int = SECONDS) -> Series:
    """The page answers for so long, and then no more."""
    return {f'up{{job="lab",instance="{environment}"}}': f"1x{seconds} 0x{SECONDS - seconds}"}


def degraded(version: str, *, share: str, compared: str) -> dict[str, Any]:
    """The alert as the hub gets it."""
    return {
        "exp_labels": {
            "severity": "critical",
            "environment": "production",
            "alias": "smart-reasoner",
            "version": version,
            "artefact_version": version,
        },
        "exp_annotations": {
            "summary": f"Users dislike {share} of what {version} answers at smart-reasoner in production",
            "description": f"Negative feedback in 30 seconds: {share}. {compared}",
        },
    }


UNKNOWN = {
    "exp_labels": {"severity": "info", "environment": "production"},
    "exp_annotations": {"summary": "Nobody counts the requests in production: how its versions do is not known"},
}
BESIDE_TWO_PERCENT = degraded(BAD, share="30%", compared="The alias's other versions in 10 minutes: 2%.")
ALONE = "No other version served enough to compare with, so it is held against 15%."

USUAL = scraped() | served(GOOD, per_second=7.5, disliked=0.02)
CASES: dict[str, tuple[Series, list[tuple[int, str, list[dict[str, Any]]]]]] = {
    "the canary is worse than the others": (
        USUAL | served(BAD, per_second=2.5, disliked=0.3),
        [(5, DEGRADED, []), (60, DEGRADED, [BESIDE_TWO_PERCENT]), (120, DEGRADED, [BESIDE_TWO_PERCENT]), (60, UNMEASURED, [])],
    ),
    "the canary is as good as the others": (USUAL | served(BAD, per_second=2.5, disliked=0.02), [(60, DEGRADED, []), (120, DEGRADED, [])]),
    "twice as bad as very little is no alarm": (USUAL | served(BAD, per_second=2.5, disliked=0.05), [(120, DEGRADED, [])]),
    "too few requests show nothing": (USUAL | served(BAD, per_second=0.5, disliked=1), [(120, DEGRADED, [])]),
    "the others have no complaint, so no counter yet": (
        scraped() | served(GOOD, per_second=7.5, disliked=None) | served(BAD, per_second=2.5, disliked=0.3),
        [(60, DEGRADED, [degraded(BAD, share="30%", compared="The alias's other versions in 10 minutes: 0%.")])],
    ),
    "it has everything, and is bad": (
        scraped() | served(BAD, per_second=10, disliked=0.3),
        [(60, DEGRADED, [degraded(BAD, share="30%", compared=ALONE)])],
    ),
    "it has everything, and is well": (scraped() | served(GOOD, per_second=10, disliked=0.02), [(120, DEGRADED, [])]),
    "the other environment is no baseline": (
        scraped() | scraped(environment="staging") | served(GOOD, per_second=10, disliked=0.14) | served(BAD, per_second=10, disliked=0, environment="staging"),
        [(120, DEGRADED, [])],
    ),
    "the page dies: the alert ends, and what it was about is not known": (
        scraped(seconds=60) | served(GOOD, per_second=7.5, disliked=0.02, seconds=60) | served(BAD, per_second=2.5, disliked=0.3, seconds=60),
        [(59, DEGRADED, [BESIDE_TWO_PERCENT]), (59, UNMEASURED, []), (110, DEGRADED, []), (110, UNMEASURED, [UNKNOWN])],
    ),
    "the page answers without the environment's series": (scraped(), [(30, UNMEASURED, [UNKNOWN])]),
}


@pytest.mark.parametrize("name", CASES)
def test_rules_fire_as_they_say(name: str, tmp_path: Path) -> None:
    series, expected = CASES[name]
    content = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1s",
        "tests": [
            {
                "interval": "1s",
                "input_series": [{"series": labels, "values": values} for labels, values in series.items()],
                "alert_rule_test": [{"eval_time": f"{at}s", "alertname": alert, "exp_alerts": alerts} for at, alert, alerts in expected],
            }
        ],
    }
    path = tmp_path / "test.json"
    path.write_text(json.dumps(content))
    tested = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, timeout=60)
    assert tested.returncode == 0, tested.stdout + tested.stderr
