"""The components of the pages (templates/components/) as template tags."""

from __future__ import annotations

import datetime as dt
import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms, template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from drills.enums import PlannedState
from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.accounts.models import User
from rollbackhub.audit.wording import readable
from rollbackhub.common import clock
from rollbackhub.common.durations import in_words
from rollbackhub.common.sentences import with_stop
from rollbackhub.common.verdict import Verdict
from rollbackhub.dashboard.icons import ICONS
from rollbackhub.dashboard.looks import (
    EXECUTIONS,
    LIFECYCLES,
    PLANNED,
    POSTMORTEMS,
    READINESS,
    RELEASES,
    REVIEWS,
    ROLLBACKS,
    VERDICTS,
    Look,
    look_of_execution,
)
from rollbackhub.dashboard.plans import plan_yaml
from rollbackhub.executions.domain.owners import owner_of
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.executions.models import Execution, Finding
from rollbackhub.postmortems.enums import PostmortemState
from rollbackhub.readiness.enums import ReadinessState
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.releases.enums import ReleaseState
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.rollbacks.enums import STOPPED_STATES, RollbackState
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import Candidate, PolicyRevision

register = template.Library()

SERIES = 6
TICK_AT = 80.0
"""Where the target's tick stands on a bar, in percent, while the time stays below it."""


@register.simple_tag
def icon(name: str, label: str = "", css: str = "") -> SafeString:
    """An icon of the sprite. Without a label it is decoration: screen readers skip it. Raises KeyError for an unknown name."""
    if name not in ICONS:
        raise KeyError(f"There is no icon {name!r}; add it in rollbackhub/dashboard/icons.py.")
    use = format_html('<use href="{}#{}"></use>', static("icons.svg"), name)
    if label:
        return format_html('<svg class="i {}" role="img" aria-label="{}">{}</svg>', css, label, use)
    return format_html('<svg class="i {}" aria-hidden="true" focusable="false">{}</svg>', css, use)


@register.inclusion_tag("components/state_pill.html")
def pill(look: Look, word: str = "") -> dict[str, Any]:
    """A state: icon, word, tone."""
    return {"look": look, "word": word or look.word}


@register.inclusion_tag("components/state_pill.html")
def execution_pill(execution: Execution) -> dict[str, Any]:
    """The state or, once it has ended, the verdict of an execution."""
    look = look_of_execution(execution)
    return {"look": look, "word": look.word}


@register.inclusion_tag("components/state_pill.html")
def verdict_pill(verdict: str) -> dict[str, Any]:
    """A verdict; an empty one is still open."""
    look = VERDICTS[Verdict(verdict)] if verdict else EXECUTIONS[ExecutionState.QUEUED]
    return {"look": look, "word": look.word if verdict else "Open"}


@register.inclusion_tag("components/state_pill.html")
def lifecycle_pill(lifecycle: str) -> dict[str, Any]:
    """Where a version stands."""
    look = LIFECYCLES[Lifecycle(lifecycle)]
    return {"look": look, "word": look.word}


@register.inclusion_tag("components/state_pill.html")
def readiness_pill(state: str) -> dict[str, Any]:
    """Could an alias be rolled back now?"""
    look = READINESS[ReadinessState(state)]
    return {"look": look, "word": look.word}


@register.inclusion_tag("components/state_pill.html")
def rollback_pill(state: str) -> dict[str, Any]:
    """Where a production rollback stands."""
    look = ROLLBACKS[RollbackState(state)]
    return {"look": look, "word": look.word}


@register.inclusion_tag("components/state_pill.html")
def release_pill(state: str) -> dict[str, Any]:
    """Where a release stands."""
    look = RELEASES[ReleaseState(state)]
    return {"look": look, "word": look.word}


@register.inclusion_tag("components/state_pill.html")
def review_pill(state: str) -> dict[str, Any]:
    """Where a quarterly review stands."""
    look = REVIEWS[ReviewState(state)]
    return {"look": look, "word": look.word}


@register.inclusion_tag("components/state_pill.html")
def postmortem_pill(state: str) -> dict[str, Any]:
    """Where a postmortem stands."""
    look = POSTMORTEMS[PostmortemState(state)]
    return {"look": look, "word": look.word}


@register.inclusion_tag("components/state_pill.html")
def planned_pill(state: str) -> dict[str, Any]:
    """Where a planned drill stands."""
    look = PLANNED[PlannedState(state)]
    return {"look": look, "word": look.word}


@register.filter
def planned_look(state: str) -> Look:
    """How a planned drill's state looks, where there is no room for its pill."""
    return PLANNED[PlannedState(state)]


@register.inclusion_tag("components/duration_against_target.html")
def against_target(seconds: float | None, target: float | None, verdict: str = "", large: bool = False) -> dict[str, Any]:
    """A duration on a bar with the target's tick, and the same in words. A verdict other than passed or failed keeps the bar grey."""
    over = seconds is not None and target is not None and seconds > target
    scale = max(target / TICK_AT * 100 if target else 0, (seconds or 0) * (1.1 if over else 1)) or 1
    return {
        "seconds": seconds,
        "target": target,
        "large": large,
        "over": over,
        "unsure": verdict not in ("", Verdict.PASSED) and not over,
        # A bar that was measured is seen, however short.
        "used": f"{max((seconds or 0) / scale * 100, 0.8):.2f}" if seconds is not None else "0",
        "tick": f"{target / scale * 100:.2f}" if target else "",
    }


@dataclass(frozen=True, slots=True)
class Share:
    """One candidate on a weights bar."""

    name: str
    detail: str
    weight: int
    offset: int
    series: int


@register.inclusion_tag("components/weights_bar.html")
def weights_bar(candidates: Iterable[Candidate | dict[str, Any]] | None, ids: bool = False) -> dict[str, Any]:
    """Where an alias' traffic goes: a bar and the same as a list. Takes candidates, or the dicts of a frozen plan."""
    shares: list[Share] = []
    offset = 0
    for index, candidate in enumerate(candidates or ()):
        if isinstance(candidate, dict):
            name, detail, weight = candidate["version_pin"], candidate["id"], candidate["weight"]
        else:
            name, detail, weight = candidate.version.label, candidate.candidate_id, candidate.weight
        shares.append(Share(name, detail if ids else "", weight, offset, index % SERIES))
        offset += weight
    return {"shares": shares, "words": ", ".join(f"{share.name} {share.weight} %" for share in shares)}


@register.inclusion_tag("components/instant.html")
def instant(value: dt.datetime | None, exact: bool = False) -> dict[str, Any]:
    """When it was: in relation to now, exactly on hover and for screen readers. `exact` shows the exact time itself."""
    if value is None:
        return {"value": None}
    return {"value": value, "iso": value.isoformat(), "full": full_time(value), "relative": relative(value), "exact": exact}


@register.filter
def mended_count(findings: Iterable[Finding]) -> int:
    """How many of them a later attempt no longer found."""
    return sum(1 for finding in findings if finding.mended_at is not None)


@register.filter
def full_time(value: dt.datetime) -> str:
    """`23 Nov 2026, 14:05:09 IST`, in the viewer's zone."""
    local = timezone.localtime(value)
    return f"{local.day} {local:%b %Y, %H:%M:%S %Z}"


@register.filter
def clock_time(value: dt.datetime) -> str:
    """`14:05:09.123`, in the viewer's zone."""
    local = timezone.localtime(value)
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}"


def relative(value: dt.datetime, now: dt.datetime | None = None) -> str:
    """`just now`, `40 s ago`, `3 min ago`, `2 h ago`, `5 days ago`, then the date. app.js goes on with the same words."""
    seconds = ((now or clock.now()) - value).total_seconds()
    if seconds < 5:
        return "just now"
    if seconds < 60:
        return f"{int(seconds)} s ago"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 86_400:
        return f"{int(seconds // 3600)} h ago"
    days = int(seconds // 86_400)
    if days < 31:
        return f"{days} day{'s' if days > 1 else ''} ago"
    local = timezone.localtime(value)
    return f"{local.day} {local:%b %Y}"


@register.filter
def seconds(value: float | None) -> str:
    """A duration in words; a dash for none."""
    return "–" if value is None else in_words(float(value))


@register.filter
def percent(value: float | None) -> str:
    """A share (0 to 1) in percent."""
    return "–" if value is None else f"{value * 100:.1f} %"


register.filter("event_words", readable)


@register.filter
def at(values: Sequence[Any], index: int) -> Any:
    """A value of a list by a place that a variable holds."""
    return values[index]


@register.filter
def get(mapping: dict[str, Any], key: str) -> Any:
    """A value of a mapping by a key that a variable holds; None when it has none."""
    return mapping.get(key)


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a diff: `sign` is +, - or a space; an empty text with sign `…` stands for equal lines left out."""

    sign: str
    text: str


def diff_lines(before: str, after: str, *, context: int = 3) -> list[DiffLine]:
    """The lines of two texts with what was added and removed, and `context` equal lines around."""
    old, new = before.splitlines(), after.splitlines()
    lines: list[DiffLine] = []
    for group_index, group in enumerate(difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(context)):
        if group_index or group[0][1] > 0:
            lines.append(DiffLine("…", ""))
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                lines += [DiffLine(" ", line) for line in old[old_from:old_to]]
                continue
            lines += [DiffLine("-", line) for line in old[old_from:old_to]]
            lines += [DiffLine("+", line) for line in new[new_from:new_to]]
    return lines


@register.inclusion_tag("components/yaml_diff.html")
def yaml_diff(before: str, after: str, label: str = "Changes") -> dict[str, Any]:
    """What changes from one YAML text to another."""
    return {"lines": diff_lines(before, after), "label": label}


@register.inclusion_tag("components/person.html")
def person(label: str, kind: str = "person") -> dict[str, Any]:
    """Who did it: a person, a token of a person, or a part of the system."""
    return {"label": label, "icon": {"person": "user", "token": "key"}.get(kind, "robot"), "kind": kind}


@register.filter
def present_candidates(revision: PolicyRevision | None) -> list[Candidate]:
    """The candidates of a revision that were fetched with it."""
    return list(revision.candidates.all()) if revision else []


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: Any) -> str:
    """This page's query string with changes; an empty value takes a key away."""
    values = context["request"].GET.copy()
    for key, value in changes.items():
        if value in ("", None):
            values.pop(key, None)
        else:
            values[key] = str(value)
    return "?" + values.urlencode() if values else "?"


@register.filter
def age(value: dt.datetime) -> str:
    """How long ago, as the counters of app.js say it."""
    return in_words(float(max(0, int((clock.now() - value).total_seconds()))))


@register.filter
def left(value: dt.datetime) -> str:
    """How long until then, as the counters of app.js say it; `0 s` once it is over."""
    seconds = float(max(0, int((value - clock.now()).total_seconds())))
    return in_words(seconds) if seconds < 86_400 else f"{seconds / 86_400:.1f} days"


@register.filter
def needs_person(rollback: Rollback) -> bool:
    """Whether nothing runs until somebody says how it goes on."""
    return rollback.state in STOPPED_STATES


@register.filter
def address_of(execution: Execution) -> str:
    """The page where a person follows it: a drill's own, or that of the rollback that it belongs to."""
    return owner_of(execution).address(execution)


@register.filter
def compact_json(value: Any) -> str:
    """JSON in one line."""
    return json.dumps(value, ensure_ascii=False)


@register.filter
def as_yaml(value: dict[str, Any]) -> str:
    """A mapping as YAML."""
    return plan_yaml(value)


@register.filter
def words(value: str) -> str:
    """`negative_feedback` as `Negative feedback`."""
    return value.replace("_", " ").capitalize()


register.filter("with_stop", with_stop)


@register.filter
def named(user: User) -> str:
    """The person's name as the record has it: the full name, else the account's."""
    return name_of(user)


@register.filter
def styled(field: forms.BoundField) -> SafeString:
    """A field of a form that is not ours, in our look."""
    kind = getattr(field.field.widget, "input_type", "")
    css = {"checkbox": "form-check-input m-0", "select": "form-select"}.get(kind, "form-control")
    return field.as_widget(attrs={"class": css})


@register.filter
def requester_kind(execution: Execution) -> str:
    """Whether a person requested it, or a part of the system."""
    return "person" if execution.requested_by_id else "system"
