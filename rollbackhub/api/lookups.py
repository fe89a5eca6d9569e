"""From the names in an address or a body to what they mean."""

from __future__ import annotations

from rollbackhub.common.errors import InvalidInput, NotFound
from rollbackhub.registry.models import Environment, Version
from rollbackhub.routing.models import RoutingPolicy


def get_environment(slug: str) -> Environment:
    """Raises NotFound."""
    environment = Environment.objects.filter(slug=slug).first()
    if environment is None:
        raise NotFound(f"There is no environment {slug}.", code="environment_not_found")
    return environment


def get_policy(*, environment: str, alias: str) -> RoutingPolicy:
    """The policy of an alias, with its environment and artefact. Raises NotFound. One query."""
    policy = RoutingPolicy.objects.select_related("environment", "artefact").filter(environment__slug=environment, alias=alias).first()
    if policy is None:
        raise no_policy(environment=environment, alias=alias)
    return policy


def no_policy(*, environment: str, alias: str) -> NotFound:
    """What is said of an alias that does not exist there."""
    return NotFound(f"There is no alias {alias} in {environment}.", code="policy_not_found")


def get_version(*, policy: RoutingPolicy, label: str) -> Version:
    """A version of the alias's artefact, named in a body. Raises InvalidInput."""
    version = Version.objects.filter(artefact_id=policy.artefact_id, label=label).first()
    if version is None:
        sentence = f"{label} is not a version of {policy.artefact.slug}."
        raise InvalidInput(sentence, code="version_not_in_policy", fields={"bad_version": [sentence]})
    return version
