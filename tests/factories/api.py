"""What the API remembers."""

from __future__ import annotations

import factory
from factory.django import DjangoModelFactory

from rollbackhub.api.models import KeptAnswer


class KeptAnswerFactory(DjangoModelFactory):
    """The kept answer to one POST."""

    class Meta:
        model = KeptAnswer

    owner = "person:1"
    key = factory.Sequence("key-{}".format)
    request_hash = "0" * 64
    status = 201
    body = "{}"
