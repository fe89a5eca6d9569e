"""Writing: sections, answers about factors, causes, owner and day. Nothing is written over somebody else's text unknowingly."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.utils.text import slugify

from rollbackhub.accounts.domain.notices import put_away, tell
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, may
from rollbackhub.audit.actors import Actor
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.shown_text import require_shown
from rollbackhub.postmortems.domain.writing import address_of, answer_in_words, begin, keep, keep_text, optional_text, required_text
from rollbackhub.postmortems.enums import FactorAnswerValue
from rollbackhub.postmortems.models import Cause, FactorAnswer, Postmortem, Section
from rollbackhub.postmortems.rules import MAX_CAUSE, MAX_CAUSES, MAX_REASON, MAX_TEXT, MAX_WORDS, MIN_REASON, Act


def write_section(*, postmortem_id: UUID, key: str, text: str, based_on: int, account: User, actor: Actor, reason: str = "") -> Section:
    """Write a section (Markdown), whole. `based_on`: the number of the text that the person began from.

    What is published is amended: with a `reason`, which stands in the history. What reviewers said of the former text ends.
    Raises NotFound, Forbidden, InvalidInput, Conflict `postmortem_in_other_state`, and Conflict `text_moved` with the present text, its
    number, who saved it and when, when somebody else has written meanwhile: nothing is overwritten.
    """
    with transaction.atomic():
        postmortem = begin(postmortem_id, Act.AMEND if reason.strip() else Act.WRITE, account=account)
        section = Section.objects.filter(postmortem=postmortem, key=key).first()
        if section is None:
            raise NotFound("A postmortem has no such section.", code="section_not_found")
        cleaned = optional_text(text, field="text", most=MAX_TEXT)
        why = required_text(reason, field="reason", what="why it is amended", least=MIN_REASON, most=MAX_REASON) if reason.strip() else ""
        if section.text == cleaned:
            return section
        if section.number != based_on:
            raise Conflict(
                f"{section.by_label} has saved another text of “{section.get_key_display()}” since you began. Nothing of yours was saved yet:"
                " take over what you need, and save again.",
                code="text_moved",
                section=section.key,
                text=section.text,
                number=section.number,
                by=section.by_label,
                at=section.changed_at.isoformat() if section.changed_at else None,
            )
        if not cleaned and postmortem.is_published:
            raise InvalidInput("What is published is not emptied.", fields={"text": ["Write what is right instead."]})
        section.text, section.number, section.by_label, section.changed_at = cleaned, section.number + 1, actor.label, clock.now()
        section.save(update_fields=["text", "number", "by_label", "changed_at"])
        keep_text(postmortem, key=section.key, number=section.number, text=cleaned, actor=actor, reason=why)
        event = "postmortem.amended" if why else "postmortem.section_written"
        data = {"section": section.key, "number": section.number, "characters": len(cleaned), "reason": why}
        keep(postmortem, ["text_number"], event=event, actor=actor, data=data)
        return section


def answer_factor(*, postmortem_id: UUID, key: str, answer: str, words: str, based_on: int, account: User, actor: Actor) -> FactorAnswer:
    """Say whether a factor contributed, and how. `based_on`: the number of the answer that the person saw.

    Raises NotFound, Forbidden, InvalidInput, Conflict `postmortem_in_other_state`, Conflict `text_moved` with the present answer.
    """
    with transaction.atomic():
        postmortem = begin(postmortem_id, Act.WRITE, account=account)
        found = FactorAnswer.objects.select_related("question").filter(postmortem=postmortem, question__key=key).first()
        if found is None:
            raise NotFound("The checklist has no such question.", code="question_not_found")
        if answer not in ("", *FactorAnswerValue.values):
            raise InvalidInput("Answer yes, no or not_applicable.", fields={"answer": [f"There are {', '.join(FactorAnswerValue.values)}."]})
        cleaned = optional_text(words, field="words", most=MAX_WORDS)
        if (found.answer, found.words) == (answer, cleaned):
            return found
        if found.number != based_on:
            raise Conflict(
                f"{found.by_label} has answered “{found.question.text}” since you began. Nothing of yours was saved yet: look at both, and save again.",
                code="text_moved",
                question=key,
                answer=found.answer,
                words=found.words,
                number=found.number,
                by=found.by_label,
                at=found.changed_at.isoformat() if found.changed_at else None,
            )
        found.answer, found.words, found.number, found.by_label, found.changed_at = answer, cleaned, found.number + 1, actor.label, clock.now()
        found.save(update_fields=["answer", "words", "number", "by_label", "changed_at"])
        keep_text(postmortem, key=f"factor:{key}", number=found.number, text=answer_in_words(answer, cleaned), actor=actor)
        keep(postmortem, ["text_number"], event="postmortem.factor_answered", actor=actor, data={"question": key, "answer": answer, "number": found.number})
        return found


def set_causes(*, postmortem_id: UUID, slugs: Iterable[str], own: Iterable[str] = (), account: User, actor: Actor) -> list[Cause]:
    """Name its causes: of the vocabulary by slug, and own ones by name (one that exists already is taken). All that stood there before is replaced.

    Raises NotFound, Forbidden, InvalidInput, Conflict.
    """
    with transaction.atomic():
        postmortem = begin(postmortem_id, Act.TAG, account=account)
        wanted = set(slugs)
        causes = list(Cause.objects.filter(slug__in=wanted))
        unknown = sorted(wanted - {cause.slug for cause in causes})
        if unknown:
            raise InvalidInput(f"There is no cause {', '.join(unknown)}.", fields={"causes": ["Choose from the vocabulary, or add your own."]})
        for name in own:
            cause = _own_cause(name, actor=actor)
            if cause is not None and cause not in causes:
                causes.append(cause)
        if len(causes) > MAX_CAUSES:
            raise InvalidInput(f"At most {MAX_CAUSES} causes: name those that mattered.", fields={"causes": [f"At most {MAX_CAUSES}."]})
        before = set(postmortem.causes.values_list("slug", flat=True))
        after = {cause.slug for cause in causes}
        if before != after:
            postmortem.causes.set(causes)
            keep(postmortem, [], event="postmortem.causes_named", actor=actor, data={"before": sorted(before), "after": sorted(after)})
        return causes


def change_postmortem(*, postmortem_id: UUID, account: User, actor: Actor, owner: User | None = None, due_on: dt.date | None = None) -> Postmortem:
    """Give it to somebody else, or another day. The new owner is told. Raises NotFound, Forbidden, InvalidInput, Conflict."""
    with transaction.atomic():
        postmortem = begin(postmortem_id, Act.CHANGE, account=account)
        changes: dict[str, list[str]] = {}
        if owner is not None and owner != postmortem.owner:
            require_person(owner, field="owner")
            changes["owner"] = [postmortem.owner.username if postmortem.owner else "", owner.username]
            postmortem.owner = owner
        if due_on is not None and due_on != postmortem.due_on:
            changes["due_on"] = [postmortem.due_on.isoformat(), due_on.isoformat()]
            postmortem.due_on = due_on
        if changes:
            keep(postmortem, ["owner", "due_on"], event="postmortem.changed", actor=actor, data={"changes": changes})
        if "owner" in changes and owner is not None:
            put_away([f"postmortem:{postmortem.pk}:drafted"])
            subject = f"Now yours, by {postmortem.due_on:%d %b %Y}: {postmortem.incident.title}"
            tell(people=[owner], key=f"postmortem:{postmortem.pk}:yours:{postmortem.number}", subject=subject, url=address_of(postmortem))
        return postmortem


def require_person(user: User, *, field: str) -> None:
    """Raise InvalidInput unless this is a person who may work on postmortems."""
    if user.is_service or not may(user=user, capability=Capability.RESPOND):
        sentence = f"{user.username} cannot: choose a person whose role works on incidents."
        raise InvalidInput(sentence, code="invalid_person", fields={field: [sentence]})


def _own_cause(name: str, *, actor: Actor) -> Cause | None:
    """The cause of this name, made if there is none; None for an empty name."""
    cleaned = " ".join(require_shown(name, field="own").split())
    if not cleaned:
        return None
    slug = slugify(cleaned)[:80]
    if len(cleaned) > MAX_CAUSE or not slug:
        raise InvalidInput(
            f"A cause has 1 to {MAX_CAUSE} characters, letters or digits among them.", fields={"own": [f"At most {MAX_CAUSE} characters, with letters."]}
        )
    found = Cause.objects.filter(name__iexact=cleaned).first() or Cause.objects.filter(slug=slug).first()
    return found or Cause.objects.create(slug=slug, name=cleaned, is_own=True, created_by_label=actor.label)
