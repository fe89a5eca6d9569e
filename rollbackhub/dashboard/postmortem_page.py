"""What the pages of a postmortem show: where it stands, what comes next, its texts, and what of somebody's text was not saved."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.utils.safestring import SafeString

from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, may
from rollbackhub.actions.domain.selectors import is_overdue as action_is_overdue
from rollbackhub.actions.domain.transitions import may_act_on
from rollbackhub.actions.enums import ActionState
from rollbackhub.common.durations import in_words
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.common.markdown import to_html
from rollbackhub.dashboard.looks import ACTION_OVERDUE_LOOK, ACTIONS, Look
from rollbackhub.dashboard.postmortem_forms import FactorForm, SectionForm
from rollbackhub.dashboard.rollback_request_forms import show_refusal
from rollbackhub.postmortems.domain.reviewing import may_review
from rollbackhub.postmortems.domain.selectors import Record, is_overdue
from rollbackhub.postmortems.domain.writing import answer_in_words
from rollbackhub.postmortems.enums import FactorAnswerValue, PostmortemState, ReviewVerdict
from rollbackhub.postmortems.models import FactorAnswer, PostmortemAction, Reviewer, TextRevision
from rollbackhub.postmortems.rules import ALLOWED_IN, Act, missing_for_review

FACTORS = {
    "": Look("Not answered", "circle-dashed", "warn"),
    FactorAnswerValue.YES: Look("Contributed", "alert-triangle", "warn"),
    FactorAnswerValue.NO: Look("Did not", "check", "idle"),
    FactorAnswerValue.NOT_APPLICABLE: Look("Not applicable", "ban", "idle"),
}
VERDICTS = {
    ReviewVerdict.ASKED: Look("Has not said yet", "hourglass", "idle"),
    ReviewVerdict.APPROVED: Look("Approves", "circle-check", "ok"),
    ReviewVerdict.CHANGES: Look("Asks for changes", "edit", "warn"),
}


@dataclass(frozen=True, slots=True)
class Rights:
    """What this person may do to this postmortem now."""

    write: bool
    amend: bool
    tag: bool
    give_action: bool
    send: bool
    ask: bool
    review: bool
    take_back: bool
    publish: bool
    close: bool
    ungate: bool
    """A lead's: that a hold no longer waits for an action."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where it stands, in words, with what comes next."""

    words: str
    more: str
    tone: str
    icon: str
    act: str = ""
    """The one thing to do next: write, send, review, publish, actions or close."""


def rights_of(record: Record, user: User) -> Rights:
    """What this person may do now. One query, for the roles."""
    postmortem = record.postmortem
    responds = may(user=user, capability=Capability.RESPOND)

    def now(act: Act) -> bool:
        return responds and postmortem.state in ALLOWED_IN[act]

    return Rights(
        write=now(Act.WRITE),
        amend=now(Act.AMEND),
        tag=now(Act.TAG),
        give_action=now(Act.GIVE_ACTION),
        send=now(Act.SEND),
        ask=now(Act.ASK_REVIEWER),
        review=now(Act.REVIEW) and may_review(postmortem, user),
        take_back=now(Act.TAKE_BACK),
        publish=now(Act.PUBLISH) and is_approved(record),
        close=now(Act.CLOSE) and not record.open_actions,
        ungate=now(Act.GATE) and may(user=user, capability=Capability.LEAD),
    )


def is_approved(record: Record) -> bool:
    """Whether another person has approved the text as it stands, and nobody asks for changes."""
    said = {ReviewVerdict(row.verdict) for row in record.reviewers if row.user_id not in (record.postmortem.owner_id, record.postmortem.sent_by_id)}
    return ReviewVerdict.APPROVED in said and all(row.verdict != ReviewVerdict.CHANGES for row in record.reviewers)


def missing_of(record: Record) -> list[str]:
    """What it lacks to be sent to review. No query."""
    texts = {section.key: section.text for section in record.sections}
    return missing_for_review(texts=texts, unanswered=[factor.question.text for factor in record.factors if not factor.answer])


def standing_of(record: Record, rights: Rights, user: User) -> Standing:
    """In words, and what comes next. No query."""
    postmortem = record.postmortem
    day = f"{postmortem.due_on.day} {postmortem.due_on:%B}"
    late = is_overdue(postmortem)
    due = f"It is overdue: it was to be published by {day}." if late else f"It is to be published by {day}."
    tone, icon = ("warn", "alert-triangle") if late else ("busy", "edit")
    if postmortem.state == PostmortemState.DRAFT:
        missing = missing_of(record)
        if missing:
            lacks = "1 thing is missing" if len(missing) == 1 else f"{len(missing)} things are missing"
            return Standing(f"It is a draft; {lacks}.", due, tone, icon, "write" if rights.write else "")
        return Standing("It is a draft, and complete.", f"{due} Next, another person reviews it.", tone, icon, "send" if rights.send else "")
    if postmortem.state == PostmortemState.IN_REVIEW:
        return _in_review(record, rights, due=due, tone="warn" if late else "busy")
    if postmortem.state == PostmortemState.PUBLISHED:
        number = len(record.open_actions)
        if number:
            words = f"It is published; {number} of its {len(record.actions)} actions {'is' if number == 1 else 'are'} open."
            return Standing(words, "It is closed once each is done, or given up with a reason.", "busy", "list-check", "actions")
        more = "All its actions are settled." if record.actions else "It has no actions."
        return Standing("It is published, and nothing is left to do.", more, "ok", "circle-check", "close" if rights.close else "")
    return Standing("It is closed: what came out of it is settled.", "What was wrong in it is put right by an amendment.", "ok", "circle-check")


def _in_review(record: Record, rights: Rights, *, due: str, tone: str) -> Standing:
    wanting = [row for row in record.reviewers if row.verdict == ReviewVerdict.CHANGES]
    if wanting:
        return Standing(f"It is in review; {_names(wanting)} asks for changes.", due, "warn", "edit", "write" if rights.write else "")
    if is_approved(record):
        return Standing("It is approved, and can be published.", due, "ok", "circle-check", "publish" if rights.publish else "")
    waiting = [row for row in record.reviewers if row.verdict == ReviewVerdict.ASKED]
    return Standing(f"It is in review, and waits for {_names(waiting) or 'another person'}.", due, tone, "hourglass", "review" if rights.review else "")


def _names(rows: list[Reviewer]) -> str:
    names = [name_of(row.user) for row in rows]
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"


@dataclass(frozen=True, slots=True)
class ActionView:
    """An action on the page."""

    link: PostmortemAction
    look: Look
    may_act: bool

    @property
    def gates_in_words(self) -> str:
        """Whether a hold waits for it; empty when it is not meant to gate. One that was marked before any hold began waits for that one."""
        if not self.link.action.is_gating:
            return ""
        return "Gates the hold" if getattr(self.link, "gates_a_hold") else "Gates no hold now"  # noqa: B009 - a column of the query

    @property
    def is_open(self) -> bool:
        """Whether it is neither done nor given up."""
        return bool(self.link.action.state == ActionState.OPEN)


def action_views(record: Record, user: User) -> list[ActionView]:
    """Actions with how they look. No query but for the roles."""
    return [
        ActionView(link, ACTION_OVERDUE_LOOK if action_is_overdue(link.action) else ACTIONS[ActionState(link.action.state)], may_act_on(link.action, user=user))
        for link in record.actions
    ]


def factor_rows(record: Record) -> list[tuple[FactorAnswer, Look]]:
    """The checklist with how the answers look."""
    return [(factor, FACTORS[FactorAnswerValue(factor.answer) if factor.answer else ""]) for factor in record.factors]


def reviewer_rows(record: Record) -> list[tuple[Reviewer, Look]]:
    """Reviewers with what they say."""
    return [(row, VERDICTS[ReviewVerdict(row.verdict)]) for row in record.reviewers]


def timeline_rows(record: Record) -> list[dict[str, Any]]:
    """The timeline with instants."""
    return [{**row, "at": dt.datetime.fromisoformat(row["at"])} for row in record.timeline if row["at"]]


def segment_rows(record: Record) -> list[dict[str, Any]]:
    """The rollbacks with their segments in words, the slowest named."""
    return [
        {**row, "segments": [(segment["name"], in_words(segment["seconds"]), segment["name"] == row["slowest"]) for segment in row["segments"]]}
        for row in record.facts["rollbacks"]
    ]


@dataclass
class EditedSection:
    """A section on the page on which it is edited."""

    form: SectionForm
    html: SafeString | str = ""
    """How the posted text looks, when that was asked for."""
    theirs: str | None = None
    """What somebody else has saved meanwhile; the person's own text stands in the form beside it."""
    by: str = ""
    at: dt.datetime | None = None
    saved: bool = False


@dataclass
class EditedFactor:
    """A question of the checklist on the page on which it is edited."""

    form: FactorForm
    theirs: str | None = None
    by: str = ""
    at: dt.datetime | None = None
    saved: bool = False


@dataclass
class Outcome:
    """What came of saving a page of texts."""

    saved: int = 0
    moved: int = 0
    refused: int = 0
    problem: str = ""
    """Why nothing could be saved at all: it has been sent, published or closed meanwhile."""
    sections: list[EditedSection] = field(default_factory=list)
    factors: list[EditedFactor] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether everything that was sent stands now."""
        return not self.moved and not self.refused


def same_text(one: str, other: str) -> bool:
    """Whether two texts are the same but for what browsers do to line ends and space around."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()


def untouched(record: Record, key: str, number: int, text: str, *, empty: str = "") -> bool:
    """Whether a posted text is still the one that the person began from, which others have changed since: then there is nothing of theirs to save.

    `empty`: what a text of which no revision was kept stands for. One query.
    """
    before = TextRevision.objects.filter(postmortem=record.postmortem, key=key, number=number).values_list("text", flat=True).first()
    return same_text(empty if before is None else before, text)


def keep_as_moved(edited: EditedSection | EditedFactor, error: Conflict, data: Any) -> None:
    """Put the saved text beside the person's own, whose form now begins from it: saving again is a decision."""
    found = error.extra
    at = found.get("at")
    edited.by, edited.at = str(found.get("by") or ""), dt.datetime.fromisoformat(str(at)) if at else None
    changed = data.copy()
    changed[edited.form.add_prefix("based_on")] = str(found["number"])
    if isinstance(edited, EditedSection):
        edited.theirs = str(found["text"])
        edited.form = SectionForm(changed, section=edited.form.section)
    else:
        edited.theirs = answer_in_words(str(found["answer"]), str(found["words"]))
        edited.form = FactorForm(changed, factor=edited.form.factor)
    edited.form.is_valid()


def refuse(form: forms.Form, error: InvalidInput) -> None:
    """At the field that it is about."""
    show_refusal(form, error)


def rendered(text: str) -> SafeString | str:
    """Markdown under a section's heading."""
    return to_html(text, first_heading=4) if text else ""
