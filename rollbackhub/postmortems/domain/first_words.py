"""What a new postmortem says by itself: facts in words with units, and what is known about contributing factors."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from incidents.models import Incident
from rollbackhub.common.durations import in_words
from rollbackhub.common.sentences import counted, in_utc, with_stop
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionKind, ExecutionState, Segment
from rollbackhub.executions.models import Execution
from rollbackhub.executions.rules import proven_until
from rollbackhub.postmortems.domain.facts import slowest_of
from rollbackhub.postmortems.enums import FactorAnswerValue, SectionKey
from rollbackhub.postmortems.rules import USERS_UNSAID
from rollbackhub.rollbacks.domain.selectors import segments_of_rollback
from rollbackhub.rollbacks.enums import AuthorisedBy
from rollbackhub.rollbacks.models import Rollback, RollbackPart


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about a factor, in words, and the answer where that is plain (empty: people judge)."""

    fact: str
    answer: str = ""


def first_texts(incident: Incident, facts: dict[str, Any], *, aliases: Sequence[str]) -> dict[SectionKey, str]:
    """The sections that facts can begin, in Markdown. Pure."""
    return {
        SectionKey.SUMMARY: _summary(incident, facts, aliases),
        SectionKey.IMPACT: _impact(facts),
        SectionKey.RESPONSE: _response(facts),
    }


def first_answers(incident: Incident, rollbacks: Sequence[Rollback]) -> dict[str, Known]:
    """What is known about factors, by the question's key. Two queries an alias of a rollback."""
    if not rollbacks:
        return {
            "drilled": Known("There was no rollback.", FactorAnswerValue.NOT_APPLICABLE),
            "proof": Known("There was no rollback.", FactorAnswerValue.NOT_APPLICABLE),
        }
    parts = [(part, rollback) for rollback in rollbacks for part in rollback.parts.all()]
    drills = [_drill_before(part, rollback.decided_at) for part, rollback in parts]
    yes, no = FactorAnswerValue.YES, FactorAnswerValue.NO
    never = [found for found in drills if found.passed_at is None]
    unproven = [found for found in drills if found.proof != "valid"]
    answers = {
        "drilled": Known(" ".join(found.words for found in drills), yes if never else no),
        "proof": Known(" ".join(found.proof_words for found in drills), yes if unproven else no),
        "slow_segment": _slow(rollbacks),
        "authority": _authority(rollbacks),
        "canary_steps": Known(" ".join(_weight(part) for part, _ in parts)),
        "monitoring": Known(_noticed(incident)),
    }
    if all(rollback.restored_at for rollback in rollbacks):
        gone_back = sorted({str(label) for part, _ in parts for label in part.plan.get("good_versions", ())})
        answers["retention"] = Known(f"What was gone back to ({', '.join(gone_back)}) was there.", no)
    return {key: known for key, known in answers.items() if known.fact}


@dataclass(frozen=True, slots=True)
class _Drill:
    words: str
    passed_at: dt.datetime | None
    proof: str
    proof_words: str


def _drill_before(part: RollbackPart, at: dt.datetime) -> _Drill:
    """The state of the proof of this very path at an instant, by what was finished before."""
    alias = part.policy.alias
    runs = Execution.objects.filter(
        kind__in=(ExecutionKind.DRILL, ExecutionKind.REHEARSAL),
        state=ExecutionState.FINISHED,
        verdict__in=(Verdict.PASSED, Verdict.FAILED),
        policy__alias=alias,
        policy__artefact=part.policy.artefact_id,
        finished_at__lte=at,
    ).order_by("-finished_at")
    newest = runs.filter(fingerprint=part.fingerprint).first() or runs.first()
    passed = newest if newest is not None and newest.verdict == Verdict.PASSED else runs.filter(verdict=Verdict.PASSED).first()
    passed_at = None if passed is None else passed.finished_at
    words = (
        f"No drill of {alias} had passed before the decision." if passed_at is None else f"The last drill of {alias} passed on {passed_at:%Y-%m-%d %H:%M} UTC."
    )
    if newest is None or newest.finished_at is None:
        return _Drill(words, passed_at, "missing", f"{alias} had no proof: its path was never drilled.")
    when = f"{newest.finished_at:%Y-%m-%d %H:%M} UTC"
    if newest.verdict != Verdict.PASSED:
        return _Drill(words, passed_at, "failed", f"The last drill of {alias}'s path failed on {when}.")
    if newest.fingerprint != part.fingerprint:
        return _Drill(words, passed_at, "stale", f"{alias}'s path had changed since it was drilled on {when}.")
    if proven_until(newest.finished_at, stakes=part.policy.artefact.stakes) < at:
        return _Drill(words, passed_at, "expired", f"The proof of {alias}'s path, of {when}, was too old.")
    return _Drill(words, passed_at, "valid", f"The proof of {alias}'s path was valid: drilled on {when}, nothing had changed.")


def _slow(rollbacks: Sequence[Rollback]) -> Known:
    said, late, known = [], False, True
    for rollback in rollbacks:
        slowest = slowest_of(rollback)
        if rollback.rollback_seconds is None or slowest is None:
            known = False
            continue
        words = f"{in_words(rollback.rollback_seconds)} from decision to restored; slowest: {slowest[0].label.lower()} with {in_words(slowest[1])}"
        if rollback.target_seconds is None:
            said.append(f"{words}; there is no target.")
            known = False
        else:
            said.append(f"{words}; the target is {in_words(rollback.target_seconds)}.")
            late = late or rollback.rollback_seconds > rollback.target_seconds
    answer = FactorAnswerValue.YES if late else FactorAnswerValue.NO if known else ""
    return Known(" ".join(said), answer if said else "")


def _authority(rollbacks: Sequence[Rollback]) -> Known:
    said, alone = [], True
    for rollback in rollbacks:
        took = next((segment.seconds for segment in segments_of_rollback(rollback) if segment.segment == Segment.AUTHORISE), None)
        if took is None or rollback.authorised_by is None:
            alone = False
            continue
        how = AuthorisedBy(rollback.authorised_how).label.lower()
        said.append(f"{rollback.authorised_by} authorised it ({how}), {in_words(took)} after the decision.")
        alone = alone and rollback.authorised_how not in (AuthorisedBy.APPROVAL, AuthorisedBy.BREAK_GLASS)
    return Known(" ".join(said), FactorAnswerValue.NO if said and alone else "")


def _weight(part: RollbackPart) -> str:
    before = part.plan.get("weights_before") or []
    share = sum(int(row.get("weight", 0)) for row in before if row.get("version_pin") == part.bad_version.label)
    return f"{part.bad_version.label} had {share} % of {part.policy.alias} when it was rolled back." if before else ""


def _noticed(incident: Incident) -> str:
    if incident.detected_at is None:
        return "When it was noticed is not known."
    by = f" by {incident.detected_by}" if incident.detected_by else ""
    return f"Noticed{by} at {incident.detected_at:%Y-%m-%d %H:%M:%S} UTC."


def _summary(incident: Incident, facts: dict[str, Any], aliases: Sequence[str]) -> str:
    where = f"{', '.join(aliases)} in {incident.environment.slug}" if aliases else incident.environment.slug
    lines = [with_stop(incident.title), f"It hurt users of {where} ({facts['severity']})."]
    if incident.summary:
        lines.append(with_stop(incident.summary))
    if facts["decided_by"] and facts["decided_at"]:
        lines.append(f"{facts['decided_by']} decided to roll back at {in_utc(facts['decided_at'])}. {facts['authority']}".strip())
    if facts["restored_at"]:
        lines.append(f"Restored at {in_utc(facts['restored_at'])}, {in_words(facts['restored_seconds'] or 0)} after the decision.")
    if facts["verified_at"]:
        lines.append(f"Verified at {in_utc(facts['verified_at'])}.")
    return "\n\n".join(lines)


def _impact(facts: dict[str, Any]) -> str:
    seen, estimated = facts["exposure_observed"], facts["exposure_estimated"]
    lines = []
    if seen is None and estimated is None:
        lines.append("**Exposure:** not known.")
    else:
        parts = [f"{seen:,} counted" if seen is not None else "", f"about {estimated:,} before that, estimated" if estimated is not None else ""]
        total = (seen or 0) + (estimated or 0)
        lines.append(f"**Exposure:** {counted(total, 'request')} answered by the bad version ({', '.join(part for part in parts if part)}).")
    if facts["exposure_basis"]:
        lines.append(with_stop(facts["exposure_basis"]))
    if facts["harm_seconds"] is not None:
        began = "noticed" if facts["detected_at"] else "opened"
        lines.append(f"**Duration:** {in_words(facts['harm_seconds'])}, from when it was {began} until it was stable.")
    lines.append(USERS_UNSAID)
    return "\n\n".join(lines)


def _response(facts: dict[str, Any]) -> str:
    blocks = []
    for number, rollback in enumerate(facts["rollbacks"], start=1):
        head = f"Rollback {number} of {', '.join(rollback['aliases'])} (from {', '.join(rollback['bad_versions'])})"
        if rollback["seconds"] is not None:
            target = f", the target is {in_words(rollback['target_seconds'])}" if rollback["target_seconds"] is not None else ""
            head += f": {in_words(rollback['seconds'])} from decision to restored{target}"
        rows = "\n".join(f"| {segment['name']} | {in_words(segment['seconds'])} |" for segment in rollback["segments"])
        blocks.append(f"{head}." + (f"\n\n| Segment | Took |\n|---|---|\n{rows}" if rows else ""))
    if facts["outcome"]:
        blocks.append(with_stop(facts["outcome"]))
    return "\n\n".join(blocks)
