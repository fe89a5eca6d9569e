"""Drills."""

from __future__ import annotations

import factory
from factory.django import DjangoModelFactory

from drills.models import Drill
from tests.factories.executions import ExecutionFactory


class DrillFactory(DjangoModelFactory):
    """A queued drill; `execution__passed=True` and so on give the others."""

    class Meta:
        model = Drill

    execution = factory.SubFactory(ExecutionFactory)
