"""Reading the registry for pages."""

from __future__ import annotations

from django.db.models import Count, QuerySet

from rollbackhub.common.errors import NotFound
from rollbackhub.registry.domain.retention import list_retention
from rollbackhub.registry.models import Artefact, Environment, RetentionRule, Version
from rollbackhub.registry.rules import DEFAULT_RETENTION_DAYS


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


def get_retention_days(artefact: Artefact) -> int:
    """For how many days its superseded versions are kept: its own number, else its change type's. One query at most."""
    if artefact.retention_days is not None:
        return artefact.retention_days
    days = RetentionRule.objects.filter(change_type=artefact.change_type).values_list("days", flat=True).first()
    return DEFAULT_RETENTION_DAYS if days is None else days


def list_versions(*, artefact: str = "", label: str = "", lifecycle: str = "") -> QuerySet[Version]:
    """Versions, newest first, with artefact, team and parent, and the end of their window (`window_ends_at`). All filters are exact."""
    versions = list_retention(artefact=artefact).select_related("parent").order_by("-created_at", "-pk")
    if label:
        versions = versions.filter(label=label)
    if lifecycle:
        versions = versions.filter(lifecycle=lifecycle)
    return versions


def get_version(version_id: int) -> Version:
    """One version as `list_versions` gives it. Raises NotFound. One query."""
    version = list_versions().filter(pk=version_id).first()
    if version is None:
        raise NotFound("There is no such version.", code="version_not_found")
    return version


def list_environments() -> QuerySet[Environment]:
    """All environments with their connections, production first. Two queries."""
    return Environment.objects.prefetch_related("connections").order_by("kind", "slug")


def get_environment(slug: str) -> Environment:
    """An environment. Raises NotFound. One query."""
    environment = Environment.objects.filter(slug=slug).first()
    if environment is None:
        raise NotFound(f"There is no environment {slug}.", code="environment_not_found")
    return environment
