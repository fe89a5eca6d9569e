"""The lab's switches."""

from __future__ import annotations

import factory
from factory.django import DjangoModelFactory

from rollbackhub.lab.enums import SwitchName
from rollbackhub.lab.models import LabSwitch
from tests.factories.registry import EnvironmentFactory


class LabSwitchFactory(DjangoModelFactory):
    """The first fault, off."""

    class Meta:
        model = LabSwitch
        django_get_or_create = ["environment", "name"]

    environment = factory.SubFactory(EnvironmentFactory)
    name = SwitchName.values[0]
