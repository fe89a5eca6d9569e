"""Reading releases."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.urls import reverse

from rollbackhub.common.errors import NotFound
from rollbackhub.registry.domain.holds import list_standing_holds
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import StabilityHold, Version
from rollbackhub.releases.models import Release, ReleaseRehearsal
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.models import RoutingPolicy

_WITH = ("policy__environment", "policy__artefact__team", "policy__connection", "policy__delivery", "from_version", "to_version", "created_by", "bypassed_by")


def get_release(release_id: int) -> Release:
    """A release with all that it names. Raises NotFound. One query."""
    release = Release.objects.select_related(*_WITH).filter(pk=release_id).first()
    if release is None:
        raise NotFound("There is no such release.", code="release_not_found")
    return release


def way_back(release: Release) -> str:
    """Where rolling it back begins: the page of its alias, with the version that it brought named as the bad one."""
    alias = release.policy.alias
    query = urlencode({"alias": alias, f"bad_version.{alias}": release.to_version.label})
    return f"{reverse('rollbacks:start', args=[release.policy.environment.slug])}?{query}"


def list_releases(*, state: str = "", environment: str = "", alias: str = "", bypassed: bool = False) -> QuerySet[Release]:
    """Releases, the newest first, with all that they name. One query."""
    found = Release.objects.select_related(*_WITH).order_by("-created_at", "-pk")
    if state:
        found = found.filter(state=state)
    if environment:
        found = found.filter(policy__environment__slug=environment)
    if alias:
        found = found.filter(policy__alias__icontains=alias)
    return found.filter(bypassed_at__isnull=False) if bypassed else found


def list_releasable_versions(policy: RoutingPolicy) -> QuerySet[Version]:
    """The versions that could be released there, the newest first: without weight, neither retired nor under hold. One query."""
    serving = policy.revisions.filter(number=policy.revision_number, candidates__weight__gt=0).values("candidates__version_id")
    return (
        Version.objects.filter(artefact_id=policy.artefact_id)
        .exclude(lifecycle=Lifecycle.RETIRED)
        .exclude(pk__in=serving)
        .exclude(pk__in=list_standing_holds().values("version_id"))
        .order_by("-created_at", "-pk")
    )


def weights_now(release: Release) -> list[dict[str, Any]]:
    """The policy's weights at present: id, version_pin, weight. One query."""
    return [candidate.as_dict() for candidate in get_candidates(policy=release.policy)]


def rehearsals_of(release: Release) -> list[ReleaseRehearsal]:
    """The rehearsals that were started from its gate, the newest first. One query."""
    return list(release.rehearsals.select_related("execution__environment").order_by("-execution__created_at"))


def hold_since_release(release: Release) -> StabilityHold | None:
    """The newest hold on its version that began after its first weight. One query."""
    if release.started_at is None:
        return None
    return StabilityHold.objects.filter(version_id=release.to_version_id, started_at__gte=release.started_at).order_by("-started_at", "-pk").first()


def rollback_of(release: Release) -> Rollback | None:
    """The rollback of this very alias that took its version out after its first weight. At most two queries.

    A hold stands on the version and so in every alias; the rollback that began it may have been another alias's. A roll-forward that was turned
    back has the fix as its bad version by then: it is found by the hold.
    """
    hold = hold_since_release(release)
    if hold is None:
        return None
    same = Q(pk=hold.rollback_id) | Q(parts__policy_id=release.policy_id, parts__bad_version_id=release.to_version_id)
    of_alias = Rollback.objects.filter(parts__policy_id=release.policy_id, decided_at__gte=release.started_at)
    return of_alias.filter(same).order_by("-decided_at").first()
