"""Where people and other systems can write the texts of corpus.py.

A part of the product whose fields are new adds a line to WRITERS: a function that writes a text into all its fields and gives the addresses at
which they are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import reverse

from incidents.models import Incident
from rollbackhub.accounts.enums import Role
from rollbackhub.alerts.models import Automation
from rollbackhub.common.clock import now
from rollbackhub.notifications.enums import DeliveryState
from rollbackhub.postmortems.enums import PostmortemState, ReviewVerdict
from rollbackhub.postmortems.models import Cause, FactorAnswer, Reviewer, Section, TextRevision
from rollbackhub.reviews.enums import Agenda, ReviewState
from rollbackhub.reviews.models import Review
from tests.browser.corpus import CORPUS
from tests.factories.actions import ActionFactory
from tests.factories.alerts import AlertFactory, AlertHookFactory, AlertRuleFactory, AutomationFactory, AutoRollbackFactory, ProposalFactory
from tests.factories.drills import CalendarFeedFactory, DrillPlanFactory, PlannedDrillFactory, QuietPeriodFactory
from tests.factories.incidents import IncidentCorrectionFactory, IncidentFactory, IncidentNoteFactory, IncidentNoteTextFactory
from tests.factories.notifications import ChannelFactory, DeliveryAttemptFactory, MessageDeliveryFactory
from tests.factories.postmortems import FactorAnswerFactory, FactorQuestionFactory, PostmortemActionFactory, make_action, make_postmortem
from tests.factories.reviews import (
    AttendanceFactory,
    ReviewActionFactory,
    ReviewDecisionFactory,
    ReviewItemFactory,
    SignOffFactory,
    WantedDecisionFactory,
    make_review,
)


def write_postmortem(text: str) -> list[str]:
    """Every field that people write of a postmortem, in review and published."""
    addresses = []
    for state in (PostmortemState.IN_REVIEW, PostmortemState.PUBLISHED):
        incident = IncidentFactory(stable=True, title=text[:200], summary=text)
        IncidentNoteFactory(incident=incident, text=text, author_label=text[:200])  # stands in the timeline, which is frozen with the postmortem
        postmortem = make_postmortem(state, incident=incident, created_by_label=text[:200])
        question = FactorQuestionFactory(text=text[:300], hint=text[:300], is_active=False)  # not asked in the others
        FactorAnswerFactory(postmortem=postmortem, question=question)
        Incident.objects.filter(pk=postmortem.incident_id).update(detected_by=text[:200], exposure_basis=text, outcome=text, authority=text)
        Section.objects.filter(postmortem=postmortem).update(text=text, by_label=text[:200])
        FactorAnswer.objects.filter(postmortem=postmortem).update(words=text, fact=text, by_label=text[:200])
        Reviewer.objects.filter(postmortem=postmortem).update(verdict=ReviewVerdict.CHANGES, note=text)
        cause, _ = Cause.objects.get_or_create(slug=f"markup-{CORPUS.index(text)}", defaults={"name": f"{CORPUS.index(text)} {text}"[:60]})
        postmortem.causes.add(cause)
        for number in (1, 2):
            said = {"text": text * number, "reason": text, "by_label": text[:200]}
            TextRevision.objects.create(postmortem=postmortem, key="summary", number=number, saved_at=now(), **said)
        closed = {"done": True, "closed_reason": text, "closed_by_label": text[:200]} if state == PostmortemState.PUBLISHED else {}
        said = {"title": text[:200], "detail": text, "origin_label": text[:200], "created_by_label": text[:200]}
        action = make_action(postmortem, is_gating=True, **said, **closed)
        PostmortemActionFactory(postmortem=postmortem, action=action)
        pages = ("detail", "history") if state == PostmortemState.PUBLISHED else ("detail", "edit", "factors", "settings", "review")
        addresses += [reverse(f"postmortems:{page}", args=[postmortem.pk]) for page in pages]
        addresses.append(reverse("actions:detail", args=[action.pk]))
    return addresses


def write_incident(text: str) -> list[str]:
    """Every field that people write of an incident, on its page, on its record, and as search shows it."""
    number = CORPUS.index(text)
    said = {"stable_evidence": text, "impact": text, "detected_by": text[:200], "outcome": text, "exposure_basis": text, "authority": text}
    incident = IncidentFactory(title=f"needle{number} {text}"[:200], summary=f"needle{number} {text}", stable=True, stable_by_label=text[:200], **said)
    note = IncidentNoteFactory(incident=incident, text=text, author_label=text[:200])
    IncidentNoteFactory(incident=incident, withdrawn=True, withdrawn_by_label=text[:200], withdrawn_reason=text)
    IncidentNoteTextFactory(note=note, text=text, by_label=text[:200])
    correction = {"incident": incident, "value": {"impact": text}, "before": {"impact": text}, "reason": text, "made_by_label": text[:200]}
    IncidentCorrectionFactory(**correction, ended_at=now(), ended_by_label=text[:200], ended_reason=text)
    IncidentCorrectionFactory(**correction)
    closed = IncidentFactory(
        closed=True, title=text[:200], closed_reason=text, closed_by_label=text[:200], opened_by_label=text[:200], named_detected_by=text[:200]
    )
    about = [incident.pk]
    return [
        reverse("incidents:detail", args=about),
        reverse("incidents:record", args=about),
        reverse("incidents:edit", args=about),
        reverse("incidents:note", args=[incident.pk, note.pk]),
        reverse("incidents:detail", args=[closed.pk]),
        reverse("incidents:record", args=[closed.pk]),
        f"{reverse('postmortems:search')}?q=needle{number}",
    ]


def write_alert(text: str) -> list[str]:
    """What other systems send by a hook, and what people write about it."""
    hook = AlertHookFactory(name=text[:100])
    AlertHookFactory(signed=True, name=text[:100], signing_ref=f"env:{text}"[:420])
    AutomationFactory()
    Automation.objects.update(is_stopped=True, reason=text, changed_by_label=text[:200], changed_at=now())  # one row: the last text stays
    matchers = [{"label": text[:100], "op": "=", "value": text[:200]}]
    rule = AlertRuleFactory(name=text[:100], alias_label=text[:100], changed_by_label=text[:200], matchers=matchers)
    proposal = ProposalFactory(dismissed=True, detected_by=text[:200], ended_by_label=text[:200], ended_because=text, not_automatic=text)
    Incident.objects.filter(pk=proposal.incident_id).update(title=text[:200])
    said = {"name": text[:200], "fingerprint": text[:200], "outcome": text}
    labels, annotations = {"alertname": text, text[:100]: text}, {"summary": text, text[:100]: text}
    alert = AlertFactory(
        hook=hook, rule=rule, policy=proposal.policy, incident=proposal.incident, proposal=proposal, labels=labels, annotations=annotations, **said
    )
    waiting = ProposalFactory(detected_by=text[:200])
    Incident.objects.filter(pk=waiting.incident_id).update(title=text[:200])
    return [
        reverse("alerts:proposal", args=[waiting.pk]),
        reverse("alerts:detail", args=[alert.pk]),
        reverse("alerts:proposal", args=[proposal.pk]),
        reverse("alerts:rule-edit", args=[rule.pk]),
    ]


def write_notification(text: str) -> list[str]:
    """Channels, and what became of the messages that went to them: one dead, one discarded."""
    channel = ChannelFactory(name=f"{CORPUS.index(text)} {text}"[:100], address_ref=f"env:{text}"[:420], last_error=text[:300], last_failed_at=now())
    said = {"channel": channel, "message__subject": text[:200], "message__body": text}
    dead = MessageDeliveryFactory(dead=True, **{**said, "error": text[:300]})
    DeliveryAttemptFactory(delivery=dead, error=text[:300])
    discarded = MessageDeliveryFactory(state=DeliveryState.DISCARDED, ended_by_label=text[:200], ended_reason=text[:300], **said)
    return [
        reverse("notifications:channel-edit", args=[channel.pk]),
        reverse("notifications:delivery", args=[dead.pk]),
        reverse("notifications:delivery", args=[discarded.pk]),
    ]


def write_others(text: str) -> list[str]:
    """Plans and excuses, quiet periods, calendars, what may happen by itself, and actions that are closed."""
    number = CORPUS.index(text)
    plan = DrillPlanFactory(name=f"{number} {text}"[:100])
    planned = PlannedDrillFactory(plan=plan, excused=True, why=text)
    QuietPeriodFactory(reason=text[:200])
    CalendarFeedFactory(name=text[:100])
    AutoRollbackFactory(reason=text)
    said = {"title": f"{number} {text}"[:200], "detail": text, "closed_reason": text, "closed_by_label": text[:200]}
    action = ActionFactory(not_doing=True, **said)
    return [
        reverse("drills:planned", args=[planned.pk]),
        reverse("drills:plan", args=[plan.pk]),
        reverse("drills:plan-edit", args=[plan.pk]),
        reverse("actions:detail", args=[action.pk]),
    ]


def write_review(text: str) -> list[str]:
    """What people write in a quarterly review, and an amendment of it that somebody has signed."""
    review = _make_review(text)
    amended = _make_review(text, amends=review, amendment_reason=text)
    amended.state, amended.held_at = ReviewState.HELD, now()
    amended.save()
    SignOffFactory(review=amended, role=Role.LEADERSHIP, signer_label=text[:200], note=text[:300])
    return [
        reverse("reviews:detail", args=[review.pk]),
        *(reverse("reviews:present-item", args=[review.pk, screen]) for screen in (Agenda.DECISIONS.value, "end")),
        reverse("reviews:detail", args=[amended.pk]),
    ]


def _make_review(text: str, **values: Any) -> Review:
    """A review that is prepared, with a text wherever its items, its minutes and what was agreed have one."""
    review = make_review(ReviewState.PREPARING, created_by_label=text[:200], **values)
    columns = [{"key": "what", "heading": "What", "unit": "text"}, {"key": "url", "heading": "Page", "unit": "text"}]
    table = {"title": "What was promised", "columns": columns, "rows": [[text, "/drills/"], [text, ""]], "url_column": 1}
    for agenda in Agenda:
        ReviewItemFactory(review=review, agenda=agenda, headline=text[:300], content={"tables": [table], "figures": [], "notes": [text], "empty": text})
    review.state, review.prepared_at, review.prepare_at = ReviewState.PREPARED, now(), None
    review.save()
    review.items.update(minutes=text, minutes_by_label=text[:200])
    WantedDecisionFactory(review=review, text=text, asked_by_label=text[:200])
    for item in (None, review.items.get(agenda=Agenda.DECISIONS)):
        ReviewDecisionFactory(review=review, item=item, text=text, owner_label=text[:200])
        ReviewActionFactory(review=review, item=item, title=text[:200], detail=text, owner_label=text[:200])
    AttendanceFactory(review=review, name=text[:200])
    return review


WRITERS: list[Callable[[str], list[str]]] = [write_postmortem, write_incident, write_alert, write_notification, write_others, write_review]

LISTS = [
    *("/postmortems/", "/postmortems/causes/", "/incidents/search/?q=needle", "/actions/", "/incidents/", "/alerts/", "/alerts/proposals/", "/alerts/rules/"),
    *("/alerts/hooks/", "/alerts/automation/", "/notifications/", "/notifications/deliveries/", "/notifications/rules/", "/notifications/rules/platform/"),
    *("/drills/plans/", "/drills/calendar/", "/drills/quiet/", "/drills/feeds/", "/reviews/", "/"),
    *(f"{place}?page={number}" for place in ("/incidents/", "/alerts/", "/alerts/proposals/", "/actions/", "/postmortems/") for number in (2, 3)),
]
"""Pages on which all of it stands together."""


def write_all(text: str) -> list[str]:
    """A text into every field; where it is shown."""
    return [address for write in WRITERS for address in write(text)]
