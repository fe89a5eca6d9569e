"""From bodies and query parameters to what they mean, and from releases to what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet

from rollbackhub.api.lookups import get_policy
from rollbackhub.api.releases.serializers import ReleaseDetail, release_path
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.executions.enums import REHEARSES
from rollbackhub.registry.models import Version
from rollbackhub.releases.domain.selectors import get_release, list_releases
from rollbackhub.releases.models import Release
from rollbackhub.routing.models import RoutingPolicy


def find_releases(query: Mapping[str, Any]) -> QuerySet[Release]:
    """The releases that match the checked query parameters. One query for a page of them."""
    found = list_releases(state=query.get("state", ""), environment=query.get("environment", ""), bypassed=query.get("bypassed", False))
    # Pages search by part of a name; the API takes names exactly.
    return found.filter(policy__alias=query["alias"]) if "alias" in query else found


def get_named_policy(*, environment: str, alias: str) -> RoutingPolicy:
    """The alias that a body names. Raises InvalidInput."""
    try:
        return get_policy(environment=environment, alias=alias)
    except NotFound as error:
        raise InvalidInput(error.message, code=error.code, fields={"alias": [error.message]}) from error


def get_named_version(*, policy: RoutingPolicy, label: str, field: str) -> Version:
    """A version of the alias's artefact that a body names in this field. Raises InvalidInput."""
    version = Version.objects.filter(artefact_id=policy.artefact_id, label=label).first()
    if version is None:
        sentence = f"{label} is not a version of {policy.artefact.slug}. Register it first."
        raise InvalidInput(sentence, code="version_not_in_artefact", fields={field: [sentence]})
    return version


def describe(release_id: int) -> Any:
    """A release as ReleaseDetail answers it. Raises NotFound."""
    return ReleaseDetail(get_release(release_id)).data


def add_addresses(error: Conflict) -> Conflict:
    """A conflict with the API's address of what stands in the way."""
    if "release_id" in error.extra:
        error.extra["api_url"] = release_path(int(str(error.extra["release_id"])))
    elif "execution_id" in error.extra:
        resource = "drills" if error.extra.get("execution_kind") in REHEARSES else "executions"
        error.extra["api_url"] = f"/api/v1/{resource}/{error.extra['execution_id']}/"
    return error
