"""People, teams, roles and API tokens."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from functools import cached_property

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower, Now
from knox.models import AbstractAuthToken

from rollbackhub.accounts.enums import Role, Scope

LEAST_WORKING_HOURS = dt.timedelta(hours=1)


class Team(models.Model):
    """Owns artefacts and runs drills."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    timezone = models.CharField(max_length=64, default="UTC", help_text="IANA name, e.g. Asia/Kolkata: what its drills are planned by")
    work_starts = models.TimeField(default=dt.time(9), help_text="Working hours, Monday to Friday: unannounced drills come within them")
    work_ends = models.TimeField(default=dt.time(17))

    class Meta:
        ordering = ["name"]
        constraints = [models.CheckConstraint(condition=models.Q(work_ends__gt=models.F("work_starts")), name="team_work_ends_after_start")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a time zone that does not exist, and working hours that are none: drills are planned by them."""
        super().clean()
        wrong = {}
        if self.timezone not in zoneinfo.available_timezones():
            wrong["timezone"] = f"There is no time zone {self.timezone!r}. Use an IANA name such as Asia/Kolkata."
        # A field that could not be read is None, and says so itself.
        if self.work_starts is not None and self.work_ends is not None and _hours(self.work_starts, self.work_ends) < LEAST_WORKING_HOURS:
            wrong["work_ends"] = "Work ends an hour after it starts at the earliest, on the same day: unannounced drills come within working hours."
        if wrong:
            raise ValidationError(wrong)


def _hours(starts: dt.time, ends: dt.time) -> dt.timedelta:
    day = dt.date.min
    return dt.datetime.combine(day, ends) - dt.datetime.combine(day, starts)


class User(AbstractUser):  # type: ignore[django-manager-missing] # knox has no types
    """A person. Rights come from roles; Django's own permissions serve the admin only."""

    timezone = models.CharField(max_length=64, default="UTC", help_text="IANA name, e.g. Asia/Kolkata")
    responsible = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="service_accounts",
        help_text="Of a service account: the person who answers for it. Empty: a person's own account",
    )

    class Meta(AbstractUser.Meta):
        verbose_name, verbose_name_plural = "person", "people"
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                condition=~models.Q(email=""),
                name="user_email_once",
                violation_error_message="There is an account with this e-mail address already.",
            ),
            models.CheckConstraint(condition=models.Q(responsible=None) | ~models.Q(responsible=models.F("id")), name="user_not_responsible_for_itself"),
        ]

    def clean(self) -> None:
        """Refuse a time zone that does not exist: every page would fail on it."""
        super().clean()
        if self.timezone not in zoneinfo.available_timezones():
            raise ValidationError({"timezone": f"There is no time zone {self.timezone!r}. Use an IANA name such as Asia/Kolkata."})
        if self.responsible is not None and (self.responsible.is_service or self.responsible.pk == self.pk):
            raise ValidationError({"responsible": "A person answers for a service account, not another service account."})

    @property
    def is_service(self) -> bool:
        """Whether a machine uses this account. It decides nothing."""
        return self.responsible_id is not None

    @cached_property
    def roles(self) -> frozenset[str]:
        """The person's roles, read once per loaded object."""
        return frozenset(self.role_assignments.values_list("role", flat=True))

    def has_role(self, *roles: Role) -> bool:
        """Whether the person has one of these roles."""
        return self.is_active and not self.roles.isdisjoint(roles)


class RoleAssignment(models.Model):
    """A role that a person has."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="role_assignments")
    role = models.CharField(max_length=20, choices=Role)
    granted_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "role"], name="role_assignment_once"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="role_assignment_known_role"),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.get_role_display()}"


class ApiToken(AbstractAuthToken):
    """A person's API token: stored as a hash, scoped, expiring."""

    name = models.CharField(max_length=100)
    scopes = models.JSONField(default=list, help_text=f"Some of {', '.join(Scope.values)}")
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.token_key}…)"


class Notice(models.Model):
    """Something that a person was told: on their pages, and by e-mail when the installation sends any."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notices")
    key = models.CharField(max_length=120, help_text="Nobody is told the same twice")
    subject = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    url = models.CharField(max_length=300, blank=True, help_text="Path of the page that it is about")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    read_at = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True)
    mail_error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="notice_once")]
        indexes = [
            models.Index(fields=["user", "-created_at"], condition=models.Q(read_at=None), name="notice_unread"),
            models.Index(fields=["key"], condition=models.Q(read_at=None), name="notice_unread_by_key"),
        ]

    def __str__(self) -> str:
        return self.subject
