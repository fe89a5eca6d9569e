"""Actions."""

from __future__ import annotations

import datetime as dt

import factory
from factory.django import DjangoModelFactory

from rollbackhub.accounts.enums import Role
from rollbackhub.actions.enums import ActionOrigin, ActionState
from rollbackhub.actions.models import Action
from rollbackhub.common.clock import now
from tests.factories.accounts import TeamFactory, UserFactory


class ActionFactory(DjangoModelFactory):
    """An open action out of a review, due in a week. Traits: `overdue`, `done`."""

    class Meta:
        model = Action

    class Params:
        overdue = factory.Trait(due_on=factory.LazyFunction(lambda: now().date() - dt.timedelta(days=5)))
        done = factory.Trait(state=ActionState.DONE, closed_at=factory.LazyFunction(now), closed_by_label="Olga Call", closed_reason="It is mended.")

    title = factory.Sequence("Mend gateway {}".format)
    team = factory.SubFactory(TeamFactory, slug="platform")
    owner = factory.SubFactory(UserFactory, roles=[Role.ON_CALL])
    due_on = factory.LazyFunction(lambda: now().date() + dt.timedelta(days=7))
    origin = ActionOrigin.REVIEW
    origin_label = "Review Platform 2026 Q2"
    origin_url = "/reviews/"
    created_by_label = "Lee Lead"
