"""Processes."""

from __future__ import annotations

import factory
from factory.django import DjangoModelFactory

from rollbackhub.common.models import ProcessHeartbeat


class ProcessHeartbeatFactory(DjangoModelFactory):
    """A worker that beats."""

    class Meta:
        model = ProcessHeartbeat

    name = "worker"
    host = "localhost"
    pid = factory.Sequence(lambda number: 1000 + number)
