"""What the lab plays: the chapter's two aliases, their versions, and how good each version is.

The quality of a version (negative feedback, latency) is simulated, and stands here and nowhere else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

ENVIRONMENTS = ("staging", "production")


@dataclass(frozen=True, slots=True)
class Quality:
    """How a version does: share of negative feedback (0 to 1), and the usual seconds for an answer."""

    negative_feedback: float
    seconds: float


GOOD = Quality(negative_feedback=0.02, seconds=0.020)
BAD = Quality(negative_feedback=0.30, seconds=0.060)

CHECKS: list[dict[str, Any]] = [
    {"kind": "traffic_share", "key": "traffic_share", "consecutive": 3},
    {"kind": "metric_baseline", "key": "negative_feedback", "metric": "negative_feedback", "margin_points": 0.1, "harmless_below": 0.15, "consecutive": 3},
    {"kind": "metric_baseline", "key": "latency", "metric": "latency", "margin_ratio": 0.5, "consecutive": 3},
]
"""What verifies a rollback in the lab. The simulated users are few, and the margins so wide that a drill ends in seconds: real ones are narrower.

78 requests of the good version show it, 8 s of an alias's share of the traffic; the bad version has twice what is harmless, and can never pass.
"""

GOOD_MODEL = "claude-sonnet-4-5"
BAD_MODEL = "claude-sonnet-4-6"


@dataclass(frozen=True, slots=True)
class LabVersion:
    """A version of a lab artefact."""

    label: str
    quality: Quality
    changelog: str
    uri: str
    lifecycle: str
    """Where its traffic in production puts it at the start; what is superseded served first."""

    @property
    def digest(self) -> str:
        """A digest that stays the same over restarts; lab versions have no content of their own to hash."""
        return "sha256:" + hashlib.sha256(f"lab:{self.uri}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class LabCandidate:
    """A candidate of a lab alias: its id (also its Envoy cluster), the version it pins, its weight, and the model server behind it."""

    candidate_id: str
    version_pin: str
    weight: int
    model: str
    moved_weight: int
    """Its weight in the static table of the switch `flag_moved`: not what the policy says."""


@dataclass(frozen=True, slots=True)
class LabAlias:
    """An alias with its artefact, versions and candidates."""

    alias: str
    artefact_name: str
    change_type: str
    stakes: str
    versions: tuple[LabVersion, ...]
    candidates: tuple[LabCandidate, ...]


SMART_REASONER = LabAlias(
    alias="smart-reasoner",
    artefact_name="Smart reasoner (lab)",
    change_type="model",
    stakes="high",
    versions=(
        LabVersion(
            label=GOOD_MODEL,
            quality=GOOD,
            changelog="Known good: served all traffic before the migration.",
            uri=f"models:/smart-reasoner/{GOOD_MODEL}",
            lifecycle="live",
        ),
        LabVersion(
            label=BAD_MODEL,
            quality=BAD,
            changelog="Model migration, in canary at 25 %. Users give more negative feedback and wait longer.",
            uri=f"models:/smart-reasoner/{BAD_MODEL}",
            lifecycle="canary",
        ),
    ),
    candidates=(
        LabCandidate(candidate_id=f"anthropic:{BAD_MODEL}:ap-south-1", version_pin=BAD_MODEL, weight=25, model=BAD_MODEL, moved_weight=60),
        LabCandidate(candidate_id=f"anthropic:{GOOD_MODEL}:ap-south-1", version_pin=GOOD_MODEL, weight=75, model=GOOD_MODEL, moved_weight=40),
    ),
)

SUPPORT_ANSWER = LabAlias(
    alias="support-answer",
    artefact_name="Support answer prompt (lab)",
    change_type="prompt",
    stakes="standard",
    versions=(
        LabVersion(
            label="support-answer-v12",
            quality=GOOD,
            changelog="Known good: short answers that name the article they come from.",
            uri="prompts:/support-answer/12",
            lifecycle="live",
        ),
        LabVersion(
            label="support-answer-v13",
            quality=BAD,
            changelog="Longer answers with a worked example, in canary at 10 %. Users find them long-winded and wait longer.",
            uri="prompts:/support-answer/13",
            lifecycle="canary",
        ),
    ),
    # A prompt is not a server: both versions run on the good model, and the gateway's header says which prompt to use.
    candidates=(
        LabCandidate(candidate_id="prompts:support-answer-v13:ap-south-1", version_pin="support-answer-v13", weight=10, model=GOOD_MODEL, moved_weight=60),
        LabCandidate(candidate_id="prompts:support-answer-v12:ap-south-1", version_pin="support-answer-v12", weight=90, model=GOOD_MODEL, moved_weight=40),
    ),
)

ALIASES = (SMART_REASONER, SUPPORT_ANSWER)

_QUALITIES = {version.label: version.quality for alias in ALIASES for version in alias.versions}


def quality_of(version: str) -> Quality:
    """The simulated quality of a version; one that somebody registered beside the lab's own is as good as the known good ones."""
    return _QUALITIES.get(version, GOOD)


def gateway_id(environment: str) -> str:
    """The node id of an environment's gateway."""
    return f"{environment}-gateway-1"
