"""The lab's switches: faults that a person or a test can put into it."""

from __future__ import annotations

from django.db import models


class SwitchName(models.TextChoices):
    """What a switch breaks while it is on."""

    FLAG_MOVED = "flag_moved", "The flag has moved: the gateway serves by a table of its own"
    BAD_ROUTE = "bad_route", "The gateway lacks a cluster and refuses its routes"
    METRICS_DOWN = "metrics_down", "The metrics endpoint answers 503"
    METRICS_SILENT = "metrics_silent", "The metrics endpoint answers without the environment's series"
    STICKY_CLIENTS = "sticky_clients", "A share of the clients stays with the version that served it first, past the gateway"
