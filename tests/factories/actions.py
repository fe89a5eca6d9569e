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
    """Open, due in four weeks, out of a drill. Traits: `done`, `not_doing`."""

    class Meta:
        model = Action

    class Params:
        done = factory.Trait(state=ActionState.DONE, closed_at=factory.LazyFunction(now), closed_by_label="Olga Call", closed_reason="Mended.")
        not_doing = factory.Trait(state=ActionState.NOT_DOING, closed_at=factory.LazyFunction(now), closed_by_label="Lee Lead", closed_reason="It goes away.")

    title = factory.Sequence("Mend gateway {}".format)
    team = factory.SubFactory(TeamFactory, slug="platform")
    owner = factory.SubFactory(UserFactory, roles=[Role.ON_CALL])
    due_on = factory.LazyFunction(lambda: now().date() + dt.timedelta(days=28))
    origin = ActionOrigin.DRILL
    origin_label = "Drill 1a2b3c4d of smart-reasoner in staging"
    origin_url = "/drills/"
    created_by_label = "drill findings"
