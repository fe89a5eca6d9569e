"""Channels, what a team wants to be told where, messages, and what became of each on each channel."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now

from rollbackhub.accounts.models import Team
from rollbackhub.notifications.enums import AttemptOutcome, DeliveryState, Digest, Topic


class Follower(models.Model):
    """How far the audit log was read for messages. One row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    position = models.BigIntegerField(help_text="The next place in the log to look at")
    moved_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="notification_follower_is_one")]

    def __str__(self) -> str:
        return f"follows from {self.position}"


class Channel(models.Model):
    """A place where a team reads. Its address is a secret, and stands elsewhere: here is only where to find it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="notification_channels")
    name = models.CharField(max_length=100)
    address_ref = models.CharField(max_length=420, help_text="Where the address is found: env:NAME or file:/path")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    # How it does; written with each attempt.
    last_delivered_at = models.DateTimeField(null=True, editable=False)
    last_failed_at = models.DateTimeField(null=True, editable=False)
    last_error = models.CharField(max_length=300, blank=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False, help_text="In a row")
    paused_until = models.DateTimeField(null=True, editable=False, help_text="It failed: until then it is left alone")

    class Meta:
        ordering = ["team__name", "name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="notification_channel_name_once")]

    def __str__(self) -> str:
        return self.name


class Rule(models.Model):
    """That a team wants a topic told, where and how soon. Without a rule nothing is told."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="notification_rules")
    topic = models.CharField(max_length=24, choices=Topic)
    channels = models.ManyToManyField(Channel, related_name="rules")
    digest = models.CharField(max_length=12, choices=Digest, default=Digest.AT_ONCE)
    daily_at = models.TimeField(null=True, blank=True, help_text="By the team's clock; of a daily digest")
    passes_quiet = models.BooleanField(help_text="Quiet hours do not hold it back")

    class Meta:
        ordering = ["team__name", "topic"]
        constraints = [
            models.UniqueConstraint(fields=["team", "topic"], name="notification_rule_once"),
            models.CheckConstraint(condition=models.Q(topic__in=Topic.values) & ~models.Q(topic=Topic.TEST), name="notification_rule_topic_known"),
            models.CheckConstraint(condition=models.Q(digest__in=Digest.values), name="notification_rule_digest_known"),
            models.CheckConstraint(condition=models.Q(digest=Digest.DAILY) ^ models.Q(daily_at=None), name="notification_rule_daily_has_time"),
        ]

    def __str__(self) -> str:
        return f"{self.get_topic_display()} for {self.team}"


class QuietHours(models.Model):
    """When a team's messages that are not urgent wait, by the team's clock."""

    team = models.OneToOneField(Team, on_delete=models.CASCADE, primary_key=True, related_name="quiet_hours")
    starts = models.TimeField()
    ends = models.TimeField(help_text="Before the start: on the next day. The same: only weekends")
    weekends = models.BooleanField(default=False, help_text="Saturday and Sunday as a whole")

    class Meta:
        verbose_name_plural = "quiet hours"
        constraints = [
            models.CheckConstraint(condition=~models.Q(starts=models.F("ends")) | models.Q(weekends=True), name="notification_quiet_hours_are_some"),
        ]

    def __str__(self) -> str:
        return f"{self.team}: {self.starts:%H:%M} to {self.ends:%H:%M}"


class Message(models.Model):
    """What is told to a team: once for each event, whatever the number of channels. Its id is in what people read."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="messages")
    topic = models.CharField(max_length=24, choices=Topic)
    weight = models.CharField(max_length=10)
    subject = models.CharField(max_length=200)
    body = models.TextField()
    url = models.CharField(max_length=300, blank=True, help_text="Path of the page that it leads to")
    incident_id = models.UUIDField(null=True, help_text="The incident that it is about")
    position = models.BigIntegerField(null=True, help_text="The event's place in the audit log; none: a test")
    happened_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=models.Q(topic__in=Topic.values), name="notification_message_topic_known"),
            models.UniqueConstraint(fields=["position", "team"], name="notification_message_once"),
            models.CheckConstraint(condition=models.Q(topic=Topic.TEST) ^ models.Q(position__isnull=False), name="notification_message_has_event"),
        ]

    def __str__(self) -> str:
        return self.subject


class MessageDelivery(models.Model):
    """A message on its way to a channel. Its state moves by domain/deliveries.py alone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    message = models.ForeignKey(Message, on_delete=models.PROTECT, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="deliveries")
    state = models.CharField(max_length=10, choices=DeliveryState, default=DeliveryState.PENDING)
    is_bundled = models.BooleanField(default=False, help_text="It goes out with others of its channel in one")
    due_at = models.DateTimeField(help_text="When it is sent, or tried again")
    first_due_at = models.DateTimeField(help_text="When it was to be sent first, or again by a person")
    attempt_count = models.PositiveSmallIntegerField(default=0, help_text="Since a person last sent it again")
    claim = models.UUIDField(null=True, help_text="Who sends it now; those that go out in one share it")
    lease_until = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True, help_text="Of the last attempt that failed")
    ended_by_label = models.CharField(max_length=200, blank=True, help_text="Who discarded it")
    ended_reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name_plural = "message deliveries"
        constraints = [
            models.UniqueConstraint(fields=["message", "channel"], name="notification_delivery_once"),
            models.CheckConstraint(condition=models.Q(state__in=DeliveryState.values), name="notification_delivery_state_known"),
            models.CheckConstraint(
                condition=models.Q(state=DeliveryState.SENDING, claim__isnull=False, lease_until__isnull=False)
                | (~models.Q(state=DeliveryState.SENDING) & models.Q(claim=None, lease_until=None)),
                name="notification_delivery_sending_is_claimed",
            ),
            models.CheckConstraint(condition=models.Q(state=DeliveryState.DELIVERED) ^ models.Q(delivered_at=None), name="notification_delivered_has_instant"),
            models.CheckConstraint(condition=~models.Q(state=DeliveryState.DISCARDED) | ~models.Q(ended_reason=""), name="notification_discarded_has_reason"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(state__in=[DeliveryState.PENDING, DeliveryState.RETRYING]), name="notification_due"),
            models.Index(
                fields=["channel", "due_at"], condition=models.Q(state__in=[DeliveryState.PENDING, DeliveryState.RETRYING]), name="notification_due_of"
            ),
            models.Index(fields=["lease_until"], condition=models.Q(state=DeliveryState.SENDING), name="notification_in_flight"),
            models.Index(fields=["-created_at", "-id"], name="notification_newest"),
            models.Index(fields=["-created_at", "-id"], condition=models.Q(state=DeliveryState.DEAD), name="notification_dead"),
            models.Index(fields=["channel", "-created_at"], name="notification_of_channel"),
        ]

    def __str__(self) -> str:
        return f"{self.message} to {self.channel}"


class DeliveryAttempt(models.Model):
    """One try to send. Written before it, completed after it: what a killed sender did not complete is unknown."""

    delivery = models.ForeignKey(MessageDelivery, on_delete=models.CASCADE, related_name="attempts")
    claim = models.UUIDField()
    together = models.PositiveSmallIntegerField(default=1, help_text="How many messages went out in one")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=10, choices=AttemptOutcome, default=AttemptOutcome.RUNNING)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["started_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["delivery", "claim"], name="notification_attempt_once"),
            models.CheckConstraint(condition=models.Q(outcome__in=AttemptOutcome.values), name="notification_attempt_outcome_known"),
            models.CheckConstraint(
                condition=models.Q(outcome=AttemptOutcome.RUNNING) ^ models.Q(ended_at__isnull=False), name="notification_attempt_ended_has_instant"
            ),
        ]

    def __str__(self) -> str:
        return f"attempt of {self.delivery_id}"

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else None
