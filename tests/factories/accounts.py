"""People, teams, roles and tokens."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Any

import factory
from django.contrib.auth.hashers import make_password
from factory.django import DjangoModelFactory

from rollbackhub.accounts.enums import Role, Scope
from rollbackhub.accounts.models import ApiToken, RoleAssignment, Team, User

PASSWORD = "correct-horse-battery-staple"


@cache
def hashed_password() -> str:
    """Hashed once: hashing is slow on purpose."""
    return make_password(PASSWORD)


class TeamFactory(DjangoModelFactory):
    """A team."""

    class Meta:
        model = Team
        django_get_or_create = ["slug"]

    slug = factory.Sequence("team-{}".format)
    name = factory.LazyAttribute(lambda team: team.slug.title())


class UserFactory(DjangoModelFactory):
    """A person without roles who signs in with PASSWORD. `roles=[Role.ADMIN]` gives some."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence("person{}".format)
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.org")
    password = factory.LazyFunction(hashed_password)

    @factory.post_generation
    def roles(self: User, create: bool, extracted: list[Role] | None, **kwargs: Any) -> None:
        """As the domain leaves it: an administrator has Django's two flags as well."""
        for role in extracted or []:
            RoleAssignmentFactory(user=self, role=role)
        if Role.ADMIN in (extracted or []):
            self.is_staff = self.is_superuser = True
            self.save(update_fields=["is_staff", "is_superuser"])


class RoleAssignmentFactory(DjangoModelFactory):
    """A role of a person."""

    class Meta:
        model = RoleAssignment

    user = factory.SubFactory(UserFactory)
    role = Role.ON_CALL


class ApiTokenFactory(DjangoModelFactory):
    """A token. The text to send stands in `plain`."""

    class Meta:
        model = ApiToken

    user = factory.SubFactory(UserFactory, roles=[Role.ON_CALL])
    name = factory.Sequence("token {}".format)
    scopes = factory.LazyFunction(lambda: [Scope.READ.value])
    expiry = dt.timedelta(days=90)

    @classmethod
    def _create(cls, model_class: type[ApiToken], *args: Any, **kwargs: Any) -> ApiToken:
        token: ApiToken
        token, plain = model_class.objects.create(*args, **kwargs)
        token.plain = plain
        return token
