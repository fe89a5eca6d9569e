"""Reading the registry for pages."""

from __future__ import annotations

from django.db.models import Count, QuerySet

from rollbackhub.common.errors import NotFound
from rollbackhub.registry.models import Artefact, Environment


def list_artefacts(*, query: str = "", change_type: str = "") -> QuerySet[Artefact]:
    """Artefacts with the number of their versions (`version_count`), by slug."""
    artefacts = Artefact.objects.select_related("team").annotate(version_count=Count("versions")).order_by("slug")
    if query:
        artefacts = artefacts.filter(slug__icontains=query)
    if change_type:
        artefacts = artefacts.filter(change_type=change_type)
    return artefacts


def get_artefact(slug: str) -> Artefact:
    """An artefact with its team. Raises NotFound. One query."""
    artefact = Artefact.objects.select_related("team").filter(slug=slug).first()
    if artefact is None:
        raise NotFound(f"There is no artefact {slug}.", code="artefact_not_found")
    return artefact


def list_environments() -> QuerySet[Environment]:
    """All environments with their connections, production first. Two queries."""
    return Environment.objects.prefetch_related("connections").order_by("kind", "slug")


def get_environment(slug: str) -> Environment:
    """An environment. Raises NotFound. One query."""
    environment = Environment.objects.filter(slug=slug).first()
    if environment is None:
        raise NotFound(f"There is no environment {slug}.", code="environment_not_found")
    return environment
