"""What every page says about production rollbacks: those that run, those that wait for somebody's word, reviews that a lead has to sign."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, may
from rollbackhub.rollbacks.domain.approvals import list_open_reviews
from rollbackhub.rollbacks.enums import HOLDING_STATES, RollbackState
from rollbackhub.rollbacks.models import Rollback, RollbackPart
from rollbackhub.rollbacks.rules import may_approve
from rollbackhub.routing.models import RoutingPolicy

LIMIT = 50
"""So many rollbacks at once are a day that no list makes clearer."""


@dataclass(frozen=True, slots=True)
class Matters:
    """Rollbacks that need eyes now, each with `aliases` (a list, in order)."""

    running: list[Rollback] = field(default_factory=list)
    """They run, or somebody has to say how they go on."""
    waiting: list[Rollback] = field(default_factory=list)
    """This person may decide about them."""
    mine: list[Rollback] = field(default_factory=list)
    """This person asked for them, and nobody has decided yet."""
    reviews: list[Rollback] = field(default_factory=list)
    """Break-glass that nobody has signed; for leads."""


def list_matters(person: User) -> Matters:
    """What concerns this person now, the oldest first. One query, and one more for leads."""
    found = list(with_aliases(Rollback.objects.filter(state__in=HOLDING_STATES)).order_by("decided_at")[:LIMIT])
    open_requests = [rollback for rollback in found if rollback.state == RollbackState.AWAITING_APPROVAL]
    is_lead = may(user=person, capability=Capability.LEAD) and not person.is_service
    return Matters(
        running=[rollback for rollback in found if rollback.state != RollbackState.AWAITING_APPROVAL],
        waiting=[rollback for rollback in open_requests if may_decide(rollback, person)],
        mine=[rollback for rollback in open_requests if is_own(rollback, person)],
        reviews=list(with_aliases(list_open_reviews())[:LIMIT]) if is_lead else [],
    )


def may_decide(rollback: Rollback, person: User) -> bool:
    """Whether this person could approve or reject the request, as far as roles say. The decision itself asks again."""
    return not person.is_service and not is_own(rollback, person) and may_approve(person.roles, required=rollback.required_role)


def is_own(rollback: Rollback, person: User) -> bool:
    """Whether this person asked for it, through whichever account."""
    return person.pk in (rollback.principal_id, rollback.requested_by_id)


def with_aliases(rollbacks: QuerySet[Rollback]) -> QuerySet[Rollback]:
    """The same rollbacks with `aliases`, in the order of their parts, and their environment. No further query."""
    parts = RollbackPart.objects.filter(rollback=OuterRef("pk")).order_by("position").values("policy__alias")
    return rollbacks.select_related("environment").annotate(aliases=ArraySubquery(parts))


def aliases_held(policies: Iterable[RoutingPolicy]) -> list[tuple[str, Rollback]]:
    """Which of these aliases a rollback holds now, with that rollback, by alias. One query."""
    parts = RollbackPart.objects.filter(policy__in=list(policies), holds_alias=True).select_related("rollback", "policy").order_by("policy__alias")
    return [(part.policy.alias, part.rollback) for part in parts]
