"""Since when a version has served in production, from the policies' revisions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.db.models import Min

from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.registry.models import Version
from rollbackhub.routing.models import Candidate


def first_served(versions: Iterable[Version]) -> dict[int, dt.datetime]:
    """When each of these versions got its first weight in production, by the version's id; one that never did is absent. One query."""
    found = Candidate.objects.filter(
        version__in=[version.pk for version in versions], weight__gt=0, revision__policy__environment__kind=EnvironmentKind.PRODUCTION
    )
    return dict(found.order_by().values_list("version").annotate(first=Min("revision__created_at")).values_list("version", "first"))
