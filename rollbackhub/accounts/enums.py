"""Roles, and what an API token may be used for."""

from __future__ import annotations

from django.db import models


class Role(models.TextChoices):
    """What a person may decide (DESIGN.md §1, the chapter's three authorities, and two who watch)."""

    ON_CALL = "on_call", "On-call engineer"
    PLATFORM_LEAD = "platform_lead", "Platform lead"
    LEADERSHIP = "leadership", "Senior leadership"
    AUDITOR = "auditor", "Auditor"
    ADMIN = "admin", "Administrator"


class Scope(models.TextChoices):
    """What an API token may do. A token never has more rights than its person."""

    READ = "read", "Read everything its person may read"
    DRILL = "drill", "Start and stop drills"
    ROUTE = "route", "Change routing policies"
    CONFIGURE = "configure", "Set up aliases and procedures"
    REGISTER = "register", "Register and retire versions"
    RELEASE = "release", "Start and promote releases"
    ROLLBACK = "rollback", "Request and run production rollbacks"
    RESPOND = "respond", "Open and work on incidents and postmortems"
