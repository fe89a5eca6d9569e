"""From a draft to what everybody may read: sent to review, approved by somebody else, published, and closed when all of it is done."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from rollbackhub.accounts.domain.notices import list_people_with, put_away, tell
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import ROLES, Capability
from rollbackhub.actions.domain.sources import ActionSource
from rollbackhub.actions.enums import ActionState
from rollbackhub.actions.models import Action
from rollbackhub.audit.actors import Actor
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput
from rollbackhub.common.sentences import with_stop
from rollbackhub.postmortems.domain.facts import facts_of, list_rollbacks_with_parts, timeline_of
from rollbackhub.postmortems.domain.texts import require_person
from rollbackhub.postmortems.domain.writing import address_of, begin, keep, lock_postmortem, move, optional_text, required_text
from rollbackhub.postmortems.enums import PostmortemState, ReviewVerdict
from rollbackhub.postmortems.models import FactorAnswer, Postmortem, PostmortemAction, Reviewer, Section
from rollbackhub.postmortems.rules import MAX_WORDS, MIN_REASON, Act, missing_for_review


def send_to_review(*, postmortem_id: UUID, reviewers: Iterable[User], account: User, actor: Actor) -> Postmortem:
    """Ask these people, or those who were asked before, to review it.

    Raises NotFound, Forbidden, InvalidInput (a reviewer who cannot be one), Conflict `not_complete` with `missing`, each lack a sentence.
    """
    with transaction.atomic():
        postmortem = begin(postmortem_id, Act.SEND, account=account)
        missing = list_missing(postmortem)
        if missing:
            raise Conflict("It is not complete: " + " ".join(missing), code="not_complete", missing=missing, url=address_of(postmortem))
        wanted = list(reviewers)
        for person in wanted:
            _require_reviewer(postmortem, person)
        rows = [Reviewer(postmortem=postmortem, user=person, asked_by_label=actor.label) for person in wanted]
        Reviewer.objects.bulk_create(rows, ignore_conflicts=True)
        asked = [
            row.user for row in Reviewer.objects.filter(postmortem=postmortem).exclude(user=postmortem.owner_id).exclude(user=account).select_related("user")
        ]
        if not asked:
            sentence = "Name at least one other person who reviews it."
            raise InvalidInput(sentence, code="no_reviewer", fields={"reviewers": [sentence]})
        move(postmortem, PostmortemState.IN_REVIEW)
        postmortem.sent_by, postmortem.sent_at = account, clock.now()
        keep(
            postmortem,
            ["state", "sent_by", "sent_at"],
            event="postmortem.sent_to_review",
            actor=actor,
            data={"reviewers": [person.username for person in asked]},
        )
        _tell_reviewers(postmortem, asked)
        return postmortem


def ask_reviewer(*, postmortem_id: UUID, reviewer: User, account: User, actor: Actor) -> Reviewer:
    """Ask one more person while it is in review. Raises NotFound, Forbidden, InvalidInput, Conflict."""
    with transaction.atomic():
        postmortem = begin(postmortem_id, Act.ASK_REVIEWER, account=account)
        _require_reviewer(postmortem, reviewer)
        row, is_new = Reviewer.objects.get_or_create(postmortem=postmortem, user=reviewer, defaults={"asked_by_label": actor.label})
        if is_new:
            keep(postmortem, [], event="postmortem.reviewer_asked", actor=actor, data={"reviewer": reviewer.username})
            _tell_reviewers(postmortem, [reviewer])
        return row


def approve_postmortem(*, postmortem_id: UUID, account: User, actor: Actor, seen: int | None = None, note: str = "") -> Reviewer:
    """Say that the text as it stands may be published: another person than its owner and than who sent it, themselves.

    `seen`: the number of the text that they read (`text_number`). Raises NotFound, Forbidden (`own_postmortem`, `token_not_allowed`),
    Conflict `text_moved` when it has changed since.
    """
    return _say(ReviewVerdict.APPROVED, postmortem_id=postmortem_id, account=account, actor=actor, seen=seen, note=note)


def ask_for_changes(*, postmortem_id: UUID, account: User, actor: Actor, note: str, seen: int | None = None) -> Reviewer:
    """Say what has to change before it is published. Raises as `approve_postmortem`, and InvalidInput without a note."""
    return _say(ReviewVerdict.CHANGES, postmortem_id=postmortem_id, account=account, actor=actor, seen=seen, note=note)


def take_back(*, postmortem_id: UUID, account: User, actor: Actor) -> Postmortem:
    """Make it a draft again. What reviewers said stands until the text changes. Raises NotFound, Forbidden, Conflict."""
    with transaction.atomic():
        postmortem = begin(postmortem_id, Act.TAKE_BACK, account=account)
        move(postmortem, PostmortemState.DRAFT)
        keep(postmortem, ["state"], event="postmortem.taken_back", actor=actor)
        put_away([_review_key(postmortem)])
        return postmortem


def publish_postmortem(*, postmortem_id: UUID, account: User, actor: Actor) -> Postmortem:
    """Publish it: facts and timeline are frozen, and the team is told.

    Raises NotFound, Forbidden, Conflict: `not_complete` with `missing`, `not_approved`, `changes_wanted` with who wants them.
    """
    with transaction.atomic():
        postmortem = begin(postmortem_id, Act.PUBLISH, account=account)
        missing = list_missing(postmortem)
        if missing:
            raise Conflict("It is not complete: " + " ".join(missing), code="not_complete", missing=missing, url=address_of(postmortem))
        said = list(Reviewer.objects.filter(postmortem=postmortem).select_related("user").order_by("pk"))
        wanting = [row.user.username for row in said if row.verdict == ReviewVerdict.CHANGES]
        if wanting:
            raise Conflict(
                f"{', '.join(wanting)} asks for changes: make them, or talk to each other.", code="changes_wanted", by=wanting, url=address_of(postmortem)
            )
        # Of the owner or the sender, an approval of earlier days does not count: roles may have changed hands since.
        approvals = [row for row in said if row.verdict == ReviewVerdict.APPROVED and row.user_id not in (postmortem.owner_id, postmortem.sent_by_id)]
        if not approvals:
            raise Conflict(
                "Nobody has approved the text as it stands: another person than its owner and than who sent it has to.",
                code="not_approved",
                url=address_of(postmortem),
            )
        rollbacks = list_rollbacks_with_parts(postmortem.incident)
        move(postmortem, PostmortemState.PUBLISHED)
        postmortem.published_at, postmortem.published_by_label = clock.now(), actor.label
        postmortem.frozen_facts = facts_of(postmortem.incident, rollbacks)
        postmortem.frozen_timeline = timeline_of(postmortem.incident)
        fields = ["state", "published_at", "published_by_label", "frozen_facts", "frozen_timeline"]
        approved_by = [row.user.username for row in approvals]
        keep(postmortem, fields, event="postmortem.published", actor=actor, data={"approved_by": approved_by, "text": postmortem.text_number})
        put_away([_review_key(postmortem), f"postmortem:{postmortem.pk}:drafted"])
        people = list_people_with(*ROLES[Capability.RESPOND]).exclude(pk=account.pk)
        tell(
            people=people,
            key=f"postmortem:{postmortem.pk}:published",
            subject=f"Published: {postmortem}"[:200],
            text="Read what it taught.",
            url=address_of(postmortem),
        )
        return postmortem


def close_postmortem(*, postmortem_id: UUID, account: User, actor: Actor) -> Postmortem:
    """Say that all that came out of it is settled. Raises NotFound, Forbidden, Conflict `actions_open` with the actions that are not."""
    with transaction.atomic():
        postmortem = begin(postmortem_id, Act.CLOSE, account=account)
        links = Action.objects.select_for_update(of=("self",)).select_related("owner").filter(postmortem_link__postmortem=postmortem)
        still_open = [action for action in links.order_by("postmortem_link") if action.state == ActionState.OPEN]
        if still_open:
            named = "; ".join(f"“{action.title}” ({action.owner.username}, by {action.due_on:%d %b %Y})" for action in still_open)
            raise Conflict(
                f"{len(still_open)} of its actions {'is' if len(still_open) == 1 else 'are'} neither done nor given up with a reason: {named}.",
                code="actions_open",
                actions=[
                    {"id": str(action.pk), "title": action.title, "owner": action.owner.username, "due_on": action.due_on.isoformat()} for action in still_open
                ],
                url=address_of(postmortem),
            )
        move(postmortem, PostmortemState.CLOSED)
        postmortem.closed_at, postmortem.closed_by_label = clock.now(), actor.label
        keep(postmortem, ["state", "closed_at", "closed_by_label"], event="postmortem.closed", actor=actor)
        return postmortem


def reopen_for_action(action_id: UUID, *, reason: str, actor: Actor) -> None:
    """One of its actions is about to be opened again: what was closed is published again, since not all of it is settled. Its owner is told.

    To be called in the transaction that opens the action, before the action is locked; closing waits for it, or it for closing.
    Who may open the action may do this: nothing is asked here. Nothing happens to a postmortem that is not closed.
    """
    link = PostmortemAction.objects.select_related("action").filter(action=action_id).first()
    if link is None:
        return
    postmortem = lock_postmortem(link.postmortem_id)
    if postmortem.state != PostmortemState.CLOSED:
        return
    move(postmortem, PostmortemState.PUBLISHED)
    postmortem.closed_at, postmortem.closed_by_label = None, ""
    data = {"action": str(action_id), "action_title": link.action.title, "reason": reason}
    keep(postmortem, ["state", "closed_at", "closed_by_label"], event="postmortem.reopened", actor=actor, data=data)
    if postmortem.owner is not None:
        tell(
            people=[postmortem.owner],
            key=f"postmortem:{postmortem.pk}:reopened:{postmortem.number}",
            subject=f"Not settled after all: {postmortem}"[:200],
            text=f"“{link.action.title}” is open again: {with_stop(reason)} Close the postmortem once it is done.",
            url=address_of(postmortem),
        )


class PostmortemSource(ActionSource):
    """Postmortems hear of their actions."""

    def reopening(self, action_id: UUID, *, reason: str, actor: Actor) -> None:
        """As `reopen_for_action`."""
        reopen_for_action(action_id, reason=reason, actor=actor)


def list_missing(postmortem: Postmortem) -> list[str]:
    """What it lacks to be sent to review, a sentence each. Two queries."""
    texts = dict(Section.objects.filter(postmortem=postmortem).values_list("key", "text"))
    unanswered = FactorAnswer.objects.filter(postmortem=postmortem, answer="").order_by("question__position", "pk").values_list("question__text", flat=True)
    return missing_for_review(texts=texts, unanswered=list(unanswered))


def may_review(postmortem: Postmortem, user: User) -> bool:
    """Whether this person is another one than its owner and than who sent it, and no machine. Roles are asked besides. No query."""
    return not user.is_service and user.pk not in (postmortem.owner_id, postmortem.sent_by_id)


def _say(verdict: ReviewVerdict, *, postmortem_id: UUID, account: User, actor: Actor, seen: int | None, note: str) -> Reviewer:
    with transaction.atomic():
        postmortem = begin(postmortem_id, Act.REVIEW, account=account)
        if actor.kind != "person" or account.is_service:
            raise Forbidden("A person reviews it, signed in: no token and no service account.", code="token_not_allowed")
        if not may_review(postmortem, account):
            raise Forbidden("Who owns it, or sent it to review, does not review it: another person does.", code="own_postmortem")
        if seen is not None and seen != postmortem.text_number:
            raise Conflict(
                "Somebody has changed the text since you read it. Read it once more.",
                code="text_moved",
                text_number=postmortem.text_number,
                url=address_of(postmortem),
            )
        if verdict == ReviewVerdict.CHANGES:
            words = required_text(note, field="note", what="what has to change", least=MIN_REASON, most=MAX_WORDS)
        else:
            words = optional_text(note, field="note", most=MAX_WORDS)
        row, _ = Reviewer.objects.get_or_create(postmortem=postmortem, user=account, defaults={"asked_by_label": actor.label})
        row.verdict, row.note, row.text_number, row.decided_at = verdict, words, postmortem.text_number, clock.now()
        row.save(update_fields=["verdict", "note", "text_number", "decided_at"])
        event = "postmortem.approved" if verdict == ReviewVerdict.APPROVED else "postmortem.changes_wanted"
        keep(postmortem, [], event=event, actor=actor, data={"text": postmortem.text_number, "note": words})
        if postmortem.owner is not None:
            says = "approves" if verdict == ReviewVerdict.APPROVED else "asks for changes to"
            key = f"postmortem:{postmortem.pk}:said:{postmortem.number}"
            tell(people=[postmortem.owner], key=key, subject=f"{actor.label} {says} {postmortem}"[:200], text=words, url=address_of(postmortem))
        return row


def _require_reviewer(postmortem: Postmortem, person: User) -> None:
    require_person(person, field="reviewers")
    if person.pk == postmortem.owner_id:
        sentence = f"{person.username} owns it: another person reviews it."
        raise InvalidInput(sentence, code="own_postmortem", fields={"reviewers": [sentence]})


def _tell_reviewers(postmortem: Postmortem, people: Iterable[User]) -> None:
    tell(
        people=people,
        key=_review_key(postmortem),
        subject=f"Your review is asked for: {postmortem}"[:200],
        text="Read it, and approve it or say what has to change.",
        url=address_of(postmortem),
    )


def _review_key(postmortem: Postmortem) -> str:
    # Asked again after it was taken back: another key, so that people are told again.
    return f"postmortem:{postmortem.pk}:review:{postmortem.sent_at:%Y%m%d%H%M%S}" if postmortem.sent_at else f"postmortem:{postmortem.pk}:review"
