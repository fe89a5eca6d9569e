"""Who may work on postmortems by the API."""

from __future__ import annotations

from rollbackhub.accounts.rules import Capability
from rollbackhub.api.permissions import CapabilityPermission, InPerson


class MayRespondToIncidents(CapabilityPermission):
    """Write, send, publish, close, give actions."""

    capability = Capability.RESPOND


class MayReviewInPerson(InPerson):
    """Approve, or ask for changes."""

    capability = Capability.RESPOND
