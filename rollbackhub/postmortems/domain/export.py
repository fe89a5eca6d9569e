"""A postmortem as a file: Markdown to keep beside code, PDF to hand out."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.common.durations import in_words
from rollbackhub.common.markdown import to_html
from rollbackhub.common.pdf import write_pdf
from rollbackhub.common.sentences import with_stop
from rollbackhub.postmortems.domain.selectors import Record
from rollbackhub.postmortems.domain.writing import address_of
from rollbackhub.postmortems.enums import PostmortemState, ReviewVerdict

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&])")


def to_markdown(record: Record) -> str:
    """The whole postmortem in Markdown. What people wrote stands as they wrote it; all else is escaped."""
    postmortem = record.postmortem
    lines = [f"# Postmortem: {_plain(postmortem.incident.title)}", "", _plain(state_sentence(record)), ""]
    lines += [f"- **{name}:** {_plain(value)}" for name, value in facts_in_words(record)]
    for section in record.sections:
        lines += ["", f"## {section.get_key_display()}", "", section.text or "_Nothing is written here._"]
        if section.key == "summary":
            lines += ["", "## Timeline", "", "| When (UTC) | What | By |", "|---|---|---|"]
            lines += [f"| {when} | {_plain(words)} | {_plain(by)} |" for when, words, by in timeline_in_words(record, zone=dt.UTC)]
    lines += ["", "## Contributing factors", ""]
    for factor in record.factors:
        said = " ".join(with_stop(part) for part in (factor.words, factor.fact) if part)
        lines.append(f"- **{_plain(factor.question.text)}** {factor.get_answer_display() or 'Not answered'}. {_one_line(said)}".rstrip())
    lines += ["", "## Actions", ""]
    for link in record.actions:
        action = link.action
        gates = ", gates the hold" if action.is_gating else ""
        state = action.get_state_display().lower() + (f": {_plain(action.closed_reason)}" if action.closed_reason else "")
        kind = f"{action.get_kind_display()}: " if action.kind else ""
        lines.append(f"- {kind}{_plain(action.title)} ({_plain(actor_of(action.owner).label)}, by {action.due_on:%Y-%m-%d}{gates}; {state})")
    if not record.actions:
        lines.append("None.")
    return "\n".join(lines) + "\n"


def to_document(record: Record) -> str:
    """The whole postmortem as one HTML document that fetches nothing. No query."""
    return render_to_string("postmortems/document.html", _context(record))


def to_pdf(record: Record) -> bytes:
    """As PDF/UA-1. Raises Unavailable when this machine cannot make any."""
    return write_pdf(to_document(record))


def file_name(record: Record, ending: str) -> str:
    """`postmortem-2026-11-30-1a2b3c4d.pdf`"""
    return f"postmortem-{record.postmortem.incident.opened_at:%Y-%m-%d}-{str(record.postmortem.pk)[:8]}.{ending}"


def state_sentence(record: Record) -> str:
    """Where it stands, in a sentence: a file is read long after."""
    postmortem = record.postmortem
    published = f"Published by {postmortem.published_by_label} on {_day(postmortem.published_at)}"
    if postmortem.state == PostmortemState.CLOSED:
        return f"{published}; closed by {postmortem.closed_by_label} on {_day(postmortem.closed_at)}."
    if postmortem.state == PostmortemState.PUBLISHED:
        return f"{published}; {len(record.open_actions)} of its actions still open."
    return (
        "A draft, not approved by anybody: do not pass it on." if postmortem.state == PostmortemState.DRAFT else "In review, not published: do not pass it on."
    )


def facts_in_words(record: Record, *, zone: dt.tzinfo = dt.UTC) -> list[tuple[str, str]]:
    """The facts that stand at the top, with units. No query."""
    postmortem, facts = record.postmortem, record.facts
    seen, estimated = facts["exposure_observed"], facts["exposure_estimated"]
    exposure = ""
    if seen is not None or estimated is not None:
        exposure = f"{(seen or 0) + (estimated or 0):,} requests" + (f" (about {estimated:,} of them estimated)" if estimated else "")
    approved = [row.user.username for row in record.reviewers if row.verdict == ReviewVerdict.APPROVED]
    rows = [
        ("Severity", facts["severity"]),
        ("Environment", postmortem.incident.environment.name),
        ("Aliases", ", ".join(policy.alias for policy in record.aliases)),
        ("Causes", ", ".join(cause.name for cause in record.causes)),
        ("Noticed", _instant(facts["detected_at"], zone) + (f" by {facts['detected_by']}" if facts["detected_at"] and facts["detected_by"] else "")),
        ("Decided", _instant(facts["decided_at"], zone) + (f" by {facts['decided_by']}" if facts["decided_by"] else "")),
        (
            "Restored",
            _instant(facts["restored_at"], zone) + (f", {in_words(facts['restored_seconds'])} after the decision" if facts["restored_seconds"] else ""),
        ),
        ("Stable", _instant(facts["stable_at"], zone) + (f", after {in_words(facts['harm_seconds'])}" if facts["harm_seconds"] else "")),
        ("Exposure", exposure),
        ("Owner", actor_of(postmortem.owner).label if postmortem.owner else ""),
        ("Approved by", ", ".join(approved)),
        ("Lab data", "What happened was made by the lab." if postmortem.is_lab else ""),
        ("Kept at", f"{settings.PUBLIC_URL.rstrip('/')}{address_of(postmortem)}"),
    ]
    return [(name, value) for name, value in rows if value]


def timeline_in_words(record: Record, *, zone: dt.tzinfo) -> list[tuple[str, str, str]]:
    """When, what, and by whom."""
    return [(_instant(row["at"], zone), row["words"], row["by"]) for row in record.timeline]


def _context(record: Record) -> dict[str, Any]:
    zone: dt.tzinfo = zoneinfo.ZoneInfo(record.postmortem.team.timezone) if record.postmortem.team else dt.UTC
    return {
        "title": f"Postmortem: {record.postmortem.incident.title}",
        "state": state_sentence(record),
        "facts": facts_in_words(record, zone=zone),
        "sections": [(section.key, section.get_key_display(), to_html(section.text, first_heading=3, base=settings.PUBLIC_URL)) for section in record.sections],
        "timeline": timeline_in_words(record, zone=zone),
        "rollbacks": [(row, [(part["name"], in_words(part["seconds"])) for part in row["segments"]]) for row in record.facts["rollbacks"]],
        "factors": [(row.question.text, row.get_answer_display() or "Not answered", row.words, row.fact) for row in record.factors],
        "actions": [(link.action, actor_of(link.action.owner).label) for link in record.actions],
    }


def _plain(text: str) -> str:
    """A person's words as Markdown that shows them as they are, in one line."""
    return _SPECIAL.sub(r"\\\1", _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _instant(at: str | None, zone: dt.tzinfo) -> str:
    if not at:
        return ""
    local = dt.datetime.fromisoformat(at).astimezone(zone)
    return f"{local.day} {local:%b %Y, %H:%M:%S %Z}"


def _day(at: dt.datetime | None) -> str:
    return "" if at is None else f"{at.day} {at:%B %Y}"
