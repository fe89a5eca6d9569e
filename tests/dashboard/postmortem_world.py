"""Postmortems in every state, for pages."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.urls import reverse

from rollbackhub.accounts.models import User
from rollbackhub.common.clock import now
from rollbackhub.postmortems.enums import PostmortemState
from rollbackhub.postmortems.models import Cause, FactorAnswer, Postmortem, TextRevision
from tests.factories.incidents import IncidentFactory, IncidentRollbackFactory
from tests.factories.postmortems import PostmortemActionFactory, PostmortemFactory, ReviewerFactory, make_action, make_postmortem
from tests.factories.rollbacks import HoldGateFactory, RollbackFactory, StabilityHoldFactory


@dataclass(frozen=True)
class Postmortems:
    """One in each state."""

    empty: Postmortem
    """Overdue, nothing is written, and nobody owns it."""
    draft: Postmortem
    in_review: Postmortem
    published: Postmortem
    """Of a real rollback, with a gating action."""
    closed: Postmortem


def make_postmortems() -> Postmortems:
    """In whatever database is current; people of the cast are there."""
    on_call, lead = (User.objects.get(username=name) for name in ("oncall", "lead"))
    cause = Cause.objects.get(slug="eval-gap")
    empty = PostmortemFactory(empty=True, owner=None, due_on=now().date() - dt.timedelta(days=3), incident__title="latency of the gateway in production")
    draft = make_postmortem(owner=on_call)
    in_review = make_postmortem(PostmortemState.IN_REVIEW, owner=on_call, approved_by=lead)
    ReviewerFactory(postmortem=in_review, changes=True, user=User.objects.get(username="admin"))
    rollback = RollbackFactory(verified=True, principal=on_call)
    part = rollback.parts.get()
    incident = IncidentFactory(
        stable=True, environment=rollback.environment, aliases=[part.policy], title="degraded feedback of the writer", decided_by=on_call
    )
    IncidentRollbackFactory(rollback=rollback, incident=incident)
    published = make_postmortem(PostmortemState.PUBLISHED, incident=incident, owner=on_call, approved_by=lead)
    gating = make_action(published, title="Add the case to the eval set", owner=on_call, is_gating=True)
    PostmortemActionFactory(postmortem=published, action=gating)
    hold = StabilityHoldFactory(version=part.bad_version, rollback_id=rollback.pk)
    HoldGateFactory(hold=hold, action=gating)
    closed = make_postmortem(PostmortemState.CLOSED, owner=lead)
    for postmortem in (published, closed):
        postmortem.causes.add(cause)
        for number, text in enumerate(("What there was.", "What there is to say about summary."), start=1):
            TextRevision.objects.create(
                postmortem=postmortem, key="summary", number=number, text=text, by_label="Olga Call", saved_at=now(), reason="It was not." if number > 1 else ""
            )
    FactorAnswer.objects.filter(postmortem=published).update(fact="No drill of it had passed before the decision.")
    return Postmortems(empty, draft, in_review, published, closed)


def addresses_of_postmortems(postmortems: Postmortems) -> dict[str, str]:
    """Every page of them, by a short name."""
    names = ("empty", "draft", "in_review", "published", "closed")
    draft, in_review, published = postmortems.draft.pk, postmortems.in_review.pk, postmortems.published.pk
    return {
        "postmortems": reverse("postmortems:list"),
        "postmortems-none": reverse("postmortems:list") + "?state=closed&owner=mine",
        **{f"postmortem-{name}": reverse("postmortems:detail", args=[getattr(postmortems, name).pk]) for name in names},
        "postmortem-edit": reverse("postmortems:edit", args=[draft]),
        "postmortem-amend": reverse("postmortems:edit", args=[published]),
        "postmortem-factors": reverse("postmortems:factors", args=[draft]),
        "postmortem-factors-closed": reverse("postmortems:factors", args=[published]),
        "postmortem-settings": reverse("postmortems:settings", args=[draft]),
        "postmortem-action": reverse("postmortems:action", args=[published]),
        "postmortem-send": reverse("postmortems:review", args=[draft]),
        "postmortem-review": reverse("postmortems:review", args=[in_review]),
        "postmortem-history": reverse("postmortems:history", args=[published]),
        "postmortem-history-none": reverse("postmortems:history", args=[draft]),
        "search": reverse("postmortems:search"),
        "search-found": reverse("postmortems:search") + "?q=feedb",
        "search-none": reverse("postmortems:search") + "?q=zebra",
        "causes": reverse("postmortems:causes"),
    }
