"""Who may archive and retire versions."""

from __future__ import annotations

from rollbackhub.accounts.rules import Capability
from rollbackhub.api.permissions import CapabilityPermission


class MayRetire(CapabilityPermission):
    """Archive and retire versions, and record a provider's date."""

    capability = Capability.RETIRE
