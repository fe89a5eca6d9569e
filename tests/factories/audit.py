"""Audit events. Their places in the log are made by the sequencer, as in production."""

from __future__ import annotations

import factory
from factory.django import DjangoModelFactory

from rollbackhub.audit.models import AuditEvent


class AuditEventFactory(DjangoModelFactory):
    """Something that a part of the system did."""

    class Meta:
        model = AuditEvent

    event = "test.happened"
    actor_kind = "system"
    actor_label = "test"
    subject_type = "test"
    subject_id = factory.Sequence(str)
    data = factory.LazyAttributeSequence(lambda event, number: {"number": number})
