"""Reading postmortems."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, Case, Count, Exists, IntegerField, OuterRef, Q, QuerySet, Value, When

from incidents.models import Incident
from rollbackhub.accounts.models import Team, User
from rollbackhub.actions.domain.selectors import today_of
from rollbackhub.actions.enums import ActionState
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput
from rollbackhub.postmortems.domain.facts import facts_of, list_rollbacks_with_parts, timeline_of
from rollbackhub.postmortems.domain.writing import no_postmortem
from rollbackhub.postmortems.enums import PostmortemState
from rollbackhub.postmortems.models import Cause, FactorAnswer, Postmortem, PostmortemAction, Reviewer, Section, TextRevision
from rollbackhub.postmortems.rules import WRITTEN_BEFORE_DUE
from rollbackhub.registry.domain.holds import gates_kept_by
from rollbackhub.routing.models import RoutingPolicy


@dataclass(frozen=True, slots=True)
class Record:
    """A postmortem with everything that belongs to it."""

    postmortem: Postmortem
    aliases: list[RoutingPolicy]
    sections: list[Section]
    """In the order in which they are read."""
    factors: list[FactorAnswer]
    causes: list[Cause]
    reviewers: list[Reviewer]
    actions: list[PostmortemAction]
    facts: dict[str, Any]
    """As they were when it was published; before that, as they are."""
    timeline: list[dict[str, Any]]

    @property
    def open_actions(self) -> list[PostmortemAction]:
        """Those that keep it from being closed."""
        return [link for link in self.actions if link.action.state == ActionState.OPEN]


def postmortem_of(incident: Incident) -> Postmortem | None:
    """The postmortem of an incident, with its owner and team; None while there is none. One query."""
    return Postmortem.objects.select_related("owner", "team").filter(incident=incident).first()


def postmortems_of(incidents: Iterable[Incident]) -> dict[UUID, Postmortem]:
    """The postmortems of these incidents, by the incident's id. One query."""
    found = Postmortem.objects.filter(incident__in=[incident.pk for incident in incidents]).select_related("team", "owner")
    return {postmortem.incident_id: postmortem for postmortem in found}


def list_postmortems(
    *,
    state: str = "",
    severity: str = "",
    team: str = "",
    owner: User | None = None,
    overdue: bool | None = None,
    cause: str = "",
    at: dt.datetime | None = None,
) -> QuerySet[Postmortem]:
    """Postmortems: overdue ones first, then what is due soonest, then what was published last. Each has `late` and numbers of its actions.

    `team` and `cause` are slugs. Two queries. Raises InvalidInput for a state that does not exist.
    """
    if state and state not in PostmortemState.values:
        raise InvalidInput(f"There is no state {state!r}; there are {', '.join(PostmortemState.values)}.", fields={"state": ["Unknown state."]})
    late = _late(at or clock.now())
    rank = Case(
        When(late, then=Value(0)),
        When(state__in=WRITTEN_BEFORE_DUE, then=Value(1)),
        When(state=PostmortemState.PUBLISHED, then=Value(2)),
        default=Value(3),
        output_field=IntegerField(),
    )
    due_first = Case(When(state__in=WRITTEN_BEFORE_DUE, then="due_on"), default=Value(None))
    found = Postmortem.objects.select_related("incident__environment", "team", "owner").annotate(
        late=Case(When(late, then=Value(True)), default=Value(False), output_field=BooleanField()),
        actions_count=Count("action_links", distinct=True),
        open_actions=Count("action_links", filter=Q(action_links__action__state=ActionState.OPEN), distinct=True),
        rank=rank,
        due_first=due_first,
    )
    if state:
        found = found.filter(state=state)
    if severity:
        found = found.filter(incident__severity=severity)
    if team:
        found = found.filter(team__slug=team)
    if owner is not None:
        found = found.filter(owner=owner)
    if cause:
        found = found.filter(pk__in=Postmortem.causes.through.objects.filter(cause__slug=cause).values("postmortem"))
    if overdue is not None:
        found = found.filter(late=overdue)
    return found.order_by("rank", "due_first", "-published_at", "-created_at", "pk")


def count_overdue(*, at: dt.datetime | None = None) -> int:
    """How many are overdue. Two queries."""
    return Postmortem.objects.filter(_late(at or clock.now())).count()


def is_overdue(postmortem: Postmortem, *, at: dt.datetime | None = None) -> bool:
    """Whether it is not published and its day is over in the team's zone. No query when fetched with its team."""
    zone = postmortem.team.timezone if postmortem.team else "UTC"
    return postmortem.state in WRITTEN_BEFORE_DUE and postmortem.due_on < today_of(zone, at=at or clock.now())


def get_postmortem(postmortem_id: UUID) -> Postmortem:
    """A postmortem with its incident, team and owner. Raises NotFound. One query."""
    found = Postmortem.objects.select_related(
        "incident__environment", "incident__decided_by", "incident__authorised_by", "incident__commander", "team", "owner", "sent_by"
    )
    postmortem = found.filter(pk=postmortem_id).first()
    if postmortem is None:
        raise no_postmortem()
    return postmortem


def get_record(postmortem_id: UUID) -> Record:
    """A postmortem with everything that belongs to it. Raises NotFound. Seven queries; thirteen more at most until it is published."""
    postmortem = get_postmortem(postmortem_id)
    incident = postmortem.incident
    if postmortem.frozen_facts is not None and postmortem.frozen_timeline is not None:
        facts, timeline = postmortem.frozen_facts, postmortem.frozen_timeline
    else:
        rollbacks = list_rollbacks_with_parts(incident)
        facts, timeline = facts_of(incident, rollbacks), timeline_of(incident)
    return Record(
        postmortem=postmortem,
        aliases=list(RoutingPolicy.objects.filter(incidents=incident).select_related("environment", "artefact").order_by("alias", "pk")),
        sections=list(Section.objects.filter(postmortem=postmortem).order_by("pk")),
        factors=list(FactorAnswer.objects.filter(postmortem=postmortem).select_related("question").order_by("question__position", "pk")),
        causes=list(postmortem.causes.order_by("name")),
        reviewers=list(Reviewer.objects.filter(postmortem=postmortem).select_related("user").order_by("pk")),
        actions=list(
            PostmortemAction.objects.filter(postmortem=postmortem)
            .select_related("action__owner", "action__team")
            .annotate(gates_a_hold=Exists(gates_kept_by(OuterRef("action"))))
            .order_by("pk")
        ),
        facts=facts,
        timeline=timeline,
    )


def list_revisions(postmortem: Postmortem, *, key: str = "") -> QuerySet[TextRevision]:
    """Every saved text, the newest first; of one section or question where `key` names it. One query."""
    found = TextRevision.objects.filter(postmortem=postmortem).order_by("-saved_at", "-pk")
    return found.filter(key=key) if key else found


def _late(at: dt.datetime) -> Q:
    """Not published, and its day is over in the team's zone. One query: which zones teams are in."""
    late = Q(team=None, due_on__lt=today_of("UTC", at=at))
    for timezone in Team.objects.order_by().values_list("timezone", flat=True).distinct():
        late |= Q(team__timezone=timezone, due_on__lt=today_of(timezone, at=at))
    return Q(state__in=WRITTEN_BEFORE_DUE) & late
