"""Drafting a postmortem: by itself when an incident is stable, or by hand. Idempotent, and safe twice at once."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from uuid import UUID

from django.db import transaction

from incidents.enums import IncidentState
from incidents.models import Incident
from rollbackhub.accounts.domain.notices import list_people_with, tell
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, principal_of, require
from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, NotFound
from rollbackhub.common.turns import each_of
from rollbackhub.postmortems.domain.facts import facts_of, list_rollbacks_with_parts
from rollbackhub.postmortems.domain.first_words import first_answers, first_texts
from rollbackhub.postmortems.domain.writing import address_of, answer_in_words, record_about
from rollbackhub.postmortems.enums import SectionKey
from rollbackhub.postmortems.models import DueRule, FactorAnswer, FactorQuestion, Postmortem, Section, TextRevision
from rollbackhub.postmortems.rules import DEFAULT_WORKING_DAYS, add_working_days
from rollbackhub.routing.models import RoutingPolicy

DRAFTER = system_actor("postmortems")

LOOKED_BACK = dt.timedelta(days=30)
"""Incidents that were opened longer ago are drafted by hand alone: an installation that learns of postmortems does not get years of them at once."""

AT_ONCE = 50


def draft_due() -> int:
    """Draft what is due: stable incidents whose severity drafts by itself. Safe to run twice at once. Returns how many were drafted."""
    severities = DueRule.objects.filter(drafts=True).values("severity")
    found = Incident.objects.filter(postmortem=None, opened_at__gte=clock.now() - LOOKED_BACK, stable_at__isnull=False, severity__in=severities).exclude(
        state=IncidentState.OPEN
    )
    return each_of(found.order_by("opened_at").values_list("pk", flat=True)[:AT_ONCE], _draft_one, doing="while drafting the postmortem of incident")


def draft_postmortem(*, incident_id: UUID, account: User, actor: Actor) -> Postmortem:
    """Draft one by hand, of any incident. Raises NotFound, Forbidden, Conflict `postmortem_exists`."""
    require(user=account, capability=Capability.RESPOND)
    with transaction.atomic():
        postmortem, is_new = _draft(incident_id, actor=actor)
        if not is_new:
            raise Conflict("The incident has a postmortem already.", code="postmortem_exists", url=address_of(postmortem), postmortem_id=str(postmortem.pk))
        return postmortem


def _draft_one(incident_id: UUID) -> int:
    with transaction.atomic():
        return int(_draft(incident_id, actor=DRAFTER)[1])


def _draft(incident_id: UUID, *, actor: Actor) -> tuple[Postmortem, bool]:
    """Its postmortem, and whether it is new. One at a time for an incident: its row is locked."""
    locked = Incident.objects.select_for_update(of=("self",), no_key=True).select_related("environment", "commander", "decided_by", "authorised_by")
    incident = locked.filter(pk=incident_id).first()
    if incident is None:
        raise NotFound("There is no such incident.", code="incident_not_found")
    there = Postmortem.objects.filter(incident=incident).first()
    if there is not None:
        return there, False
    policies = list(RoutingPolicy.objects.filter(incidents=incident).select_related("artefact__team").order_by("alias", "pk"))
    team = policies[0].artefact.team if policies else None
    postmortem = Postmortem.objects.create(
        incident=incident,
        team=team,
        owner=_owner(incident),
        due_on=_due_on(incident, zone=team.timezone if team else "UTC"),
        is_lab=incident.is_lab,
        created_by_label=actor.label,
    )
    _fill(postmortem, incident, aliases=[policy.alias for policy in policies])
    owner = postmortem.owner
    data = {"due_on": postmortem.due_on.isoformat(), "owner": owner.username if owner else "", "severity": incident.severity}
    record_about(postmortem, event="postmortem.drafted", actor=actor, data=data)
    subject = f"A postmortem to write by {postmortem.due_on:%d %b %Y}: {incident.title}"
    text = "It is drafted with what is known. Complete it and send it to review." if owner else "It is drafted, and has no owner: name one."
    tell(
        people=[owner] if owner else list_people_with(Role.PLATFORM_LEAD),
        key=f"postmortem:{postmortem.pk}:drafted",
        subject=subject,
        text=text,
        url=address_of(postmortem),
    )
    return postmortem, True


def _fill(postmortem: Postmortem, incident: Incident, *, aliases: list[str]) -> None:
    """Sections with what is known in words, and the checklist with what is known of it."""
    rollbacks = list_rollbacks_with_parts(incident)
    texts = first_texts(incident, facts_of(incident, rollbacks), aliases=aliases)
    now, by = clock.now(), DRAFTER.label
    sections = [
        Section(
            postmortem=postmortem, key=key, text=texts.get(key, ""), number=int(bool(texts.get(key))), by_label=by if texts.get(key) else "", changed_at=now
        )
        for key in SectionKey
    ]
    Section.objects.bulk_create(sections)
    first = [
        TextRevision(postmortem=postmortem, key=section.key, number=1, text=section.text, by_label=by, saved_at=now) for section in sections if section.number
    ]
    known = first_answers(incident, rollbacks)
    answers = []
    for question in FactorQuestion.objects.filter(is_active=True):
        found = known.get(question.key)
        answered = found is not None and found.answer
        answers.append(
            FactorAnswer(
                postmortem=postmortem,
                question=question,
                answer=found.answer if found else "",
                fact=found.fact if found else "",
                by_label=by if answered else "",
                changed_at=now if answered else None,
            )
        )
    FactorAnswer.objects.bulk_create(answers)
    first += [
        TextRevision(postmortem=postmortem, key=f"factor:{row.question.key}", number=0, text=answer_in_words(row.answer, ""), by_label=by, saved_at=now)
        for row in answers
        if row.answer
    ]
    TextRevision.objects.bulk_create(first)


def _owner(incident: Incident) -> User | None:
    """Who led, else who decided; nobody when they can no longer sign in."""
    for person in (incident.commander, incident.decided_by):
        if person is not None and principal_of(person).is_active:
            return principal_of(person)
    return None


def _due_on(incident: Incident, *, zone: str) -> dt.date:
    days = DueRule.objects.filter(severity=incident.severity).values_list("working_days", flat=True).first()
    began = (incident.stable_at or clock.now()).astimezone(zoneinfo.ZoneInfo(zone)).date()
    return add_working_days(began, days or DEFAULT_WORKING_DAYS)
