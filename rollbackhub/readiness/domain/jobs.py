"""What the housekeeper does for readiness. Nothing that a rollback needs to run depends on it."""

from __future__ import annotations

from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.housekeeping import register_job
from rollbackhub.readiness.domain.compute import compute_readiness
from rollbackhub.readiness.domain.preflight import run_due

LOOK_SECONDS = 2.0
"""How often it looks whether a preflight is due."""

EVERY_SECONDS = 60.0
"""Everything is judged anew at least this often: time alone makes proof expire."""

SHARE_OF_TIME = 10
"""After an event it is judged anew at once, but at most a tenth of the time goes into it."""


class _Due:
    """When this process judged last, by which event, and how long that took. Another process that judges too does no harm."""

    judged_at = float("-inf")
    event_id = -1
    took = 0.0


def register() -> None:
    """Once, when the app is ready."""
    register_job("readiness.preflight", every_seconds=LOOK_SECONDS, function=run_due, own_thread=True)
    register_job("readiness.compute", every_seconds=1, function=compute_if_due, own_thread=True)


def compute_if_due() -> int:
    """Judge every alias anew when something happened since (every act leaves an audit event), or a minute has passed. Returns how many changed."""
    begun = clock.monotonic()
    newest = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
    idle = begun - _Due.judged_at
    if idle < EVERY_SECONDS and (newest == _Due.event_id or idle < SHARE_OF_TIME * _Due.took):
        return 0
    changed = compute_readiness()
    _Due.judged_at, _Due.event_id, _Due.took = clock.monotonic(), newest, clock.monotonic() - begun
    return changed
