"""From the names in an address or a body to what they mean."""

from __future__ import annotations

from typing import TypeVar

from rollbackhub.accounts.models import Team, User
from rollbackhub.common.errors import InvalidInput, NotFound
from rollbackhub.registry.models import Artefact, Environment, Version
from rollbackhub.routing.models import RoutingPolicy

Found = TypeVar("Found")


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


def named_team(slug: str) -> Team:
    """A team that is named in a body. Raises InvalidInput."""
    return _named(Team.objects.filter(slug=slug).first(), field="team", sentence=f"There is no team {slug}.")


def named_person(username: str, *, field: str = "owner") -> User:
    """An account that is named in a body. Raises InvalidInput."""
    return _named(User.objects.filter(username=username).first(), field=field, sentence=f"There is nobody with the username {username}.")


def named_artefact(slug: str) -> Artefact:
    """An artefact that is named in a body. Raises InvalidInput."""
    return _named(Artefact.objects.select_related("team").filter(slug=slug).first(), field="artefact", sentence=f"There is no artefact {slug}.")


def named_environment(slug: str) -> Environment:
    """An environment that is named in a body. Raises InvalidInput."""
    return _named(Environment.objects.filter(slug=slug).first(), field="environment", sentence=f"There is no environment {slug}.")


def named_policy(*, environment: str, alias: str) -> RoutingPolicy:
    """An alias that is named in a body. Raises InvalidInput."""
    found = RoutingPolicy.objects.select_related("environment", "artefact__team").filter(environment__slug=environment, alias=alias).first()
    return _named(found, field="alias", sentence=f"There is no alias {alias} in {environment}.")


def _named(found: Found | None, *, field: str, sentence: str) -> Found:
    if found is None:
        raise InvalidInput(sentence, fields={field: [sentence]})
    return found
