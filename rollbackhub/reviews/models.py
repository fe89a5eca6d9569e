"""Quarterly reviews: frozen before the meeting, minuted in it, signed after it, and then never changed."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Team
from rollbackhub.actions.models import Action
from rollbackhub.reviews.enums import Agenda, ReviewState
from rollbackhub.reviews.rules import quarter_name


class Review(models.Model):
    """The review of one team's quarter. An amendment is a review of its own that names the one it amends."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="reviews")
    quarter = models.DateField(help_text="The quarter's first day")
    amends = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="amendment")
    amendment_reason = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=ReviewState, default=ReviewState.PREPARING)
    meets_at = models.DateTimeField(null=True, help_text="When the meeting is")
    presenter = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    sign_off_roles = models.JSONField(default=list, help_text="One person of each of these roles signs")
    prepared_at = models.DateTimeField(null=True, help_text="When its figures were frozen")
    prepare_seconds = models.FloatField(null=True, help_text="How long its queries took, all together")
    prepare_problem = models.TextField(blank=True, help_text="Why it could not be prepared the last time")
    prepare_at = models.DateTimeField(null=True, help_text="When its figures are due to be frozen; null: they are")
    published_at = models.DateTimeField(null=True, help_text="A worker was called to prepare it then")
    claimed_until = models.DateTimeField(null=True, help_text="A process prepares it until then")
    fence = models.PositiveIntegerField(default=0, help_text="Counts the claims: only the newest may write")
    number = models.PositiveIntegerField(default=1, help_text="Counts up with every change")
    held_at = models.DateTimeField(null=True)
    signed_at = models.DateTimeField(null=True)
    is_lab = models.BooleanField(default=False)
    created_by_label = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-quarter", "team__name"]
        constraints = [
            models.UniqueConstraint(fields=["team", "quarter"], condition=models.Q(amends=None), name="review_once_a_quarter"),
            models.CheckConstraint(condition=models.Q(amends=None) | ~models.Q(amendment_reason=""), name="review_amendment_has_reason"),
            models.CheckConstraint(condition=models.Q(state=ReviewState.PREPARING) | models.Q(prepared_at__isnull=False), name="review_prepared_has_instant"),
            models.CheckConstraint(condition=models.Q(state=ReviewState.SIGNED) ^ models.Q(signed_at=None), name="review_signed_has_instant"),
            models.CheckConstraint(
                condition=~models.Q(state__in=(ReviewState.HELD, ReviewState.SIGNED)) | models.Q(held_at__isnull=False), name="review_held_has_instant"
            ),
        ]
        indexes = [models.Index(fields=["prepare_at"], condition=models.Q(state=ReviewState.PREPARING), name="review_to_prepare")]

    def __str__(self) -> str:
        return f"{self.team} {self.quarter_name}"

    @property
    def quarter_name(self) -> str:
        """`2026 Q3`."""
        return quarter_name(self.quarter)

    @property
    def is_open(self) -> bool:
        """Whether something of it may still change; from the first signature on only further ones come (the domain looks)."""
        return self.state != ReviewState.SIGNED


class ReviewItem(models.Model):
    """One item of the agenda: its frozen content, and what the meeting said about it."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveSmallIntegerField()
    agenda = models.CharField(max_length=12, choices=Agenda)
    headline = models.CharField(max_length=300, help_text="The finding in one sentence")
    content = models.JSONField(default=dict, help_text="Frozen tables: title, columns, rows; and figures as Plotly's JSON")
    query_seconds = models.FloatField()
    minutes = models.TextField(blank=True, help_text="Markdown, as it was written")
    minutes_number = models.PositiveIntegerField(default=0, help_text="Counts up with every change of the minutes")
    minutes_by_label = models.CharField(max_length=200, blank=True)
    minutes_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["review", "position"]
        constraints = [
            models.UniqueConstraint(fields=["review", "position"], name="review_item_position_once"),
            models.UniqueConstraint(fields=["review", "agenda"], name="review_item_once"),
        ]

    def __str__(self) -> str:
        return f"{self.position + 1}. {self.get_agenda_display()}"


class Attendance(models.Model):
    """That somebody was there: a person of the hub, or a guest by name."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="attendance")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["review", "name"], name="attendance_once")]

    def __str__(self) -> str:
        return self.name


class WantedDecision(models.Model):
    """A decision that somebody wants from the meeting, entered beforehand."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="wanted_decisions")
    text = models.TextField()
    asked_by_label = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["review", "id"]

    def __str__(self) -> str:
        return self.text[:80]


class ReviewDecision(models.Model):
    """What the meeting decided."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="decisions")
    item = models.ForeignKey(ReviewItem, null=True, on_delete=models.SET_NULL, related_name="decisions")
    wanted = models.ForeignKey(WantedDecision, null=True, on_delete=models.SET_NULL, related_name="decisions", help_text="The wish that it answers")
    text = models.TextField()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    owner_label = models.CharField(max_length=200)
    decided_at = models.DateTimeField()

    class Meta:
        ordering = ["review", "id"]

    def __str__(self) -> str:
        return self.text[:80]


class ReviewAction(models.Model):
    """An action that the meeting gave somebody. Until it is done it stands on the agenda of the quarters after."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="action_links")
    item = models.ForeignKey(ReviewItem, null=True, on_delete=models.SET_NULL, related_name="action_links")
    action = models.OneToOneField(Action, on_delete=models.PROTECT, related_name="review_link")
    title = models.CharField(max_length=200, help_text="As the meeting agreed it, whatever becomes of the action")
    detail = models.TextField(blank=True, help_text="As the meeting agreed it")
    owner_label = models.CharField(max_length=200)
    due_on = models.DateField()

    class Meta:
        ordering = ["review", "id"]

    def __str__(self) -> str:
        return self.title


class SignOff(models.Model):
    """That a person signed the review by a role. Never changed."""

    append_only = True

    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="sign_offs")
    role = models.CharField(max_length=20, choices=Role)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    signer_label = models.CharField(max_length=200)
    note = models.CharField(max_length=300, blank=True)
    signed_at = models.DateTimeField()

    class Meta:
        ordering = ["review", "signed_at"]
        constraints = [
            models.UniqueConstraint(fields=["review", "role"], name="sign_off_once_a_role"),
            models.UniqueConstraint(fields=["review", "user"], name="sign_off_once_a_person"),
        ]

    def __str__(self) -> str:
        return f"{self.signer_label} as {self.get_role_display()}"


class ReviewDocument(models.Model):
    """The review as documents, made by a task from what is frozen. Made again when the review has changed and somebody asks."""

    review = models.OneToOneField(Review, on_delete=models.CASCADE, primary_key=True, related_name="document")
    wanted_number = models.PositiveIntegerField(help_text="The review's number that was asked for")
    wanted_at = models.DateTimeField()
    made_number = models.PositiveIntegerField(null=True, help_text="The review's number that it shows")
    made_at = models.DateTimeField(null=True)
    make_seconds = models.FloatField(null=True)
    pdf = models.BinaryField(null=True)
    html = models.TextField(blank=True)
    problem = models.TextField(blank=True, help_text="What is missing in it, or why it could not be made, and what to do")
    due_at = models.DateTimeField(null=True, help_text="When it is to be made; null: it is")
    published_at = models.DateTimeField(null=True)
    claimed_until = models.DateTimeField(null=True)
    fence = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["review"]
        indexes = [models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="review_document_due")]

    def __str__(self) -> str:
        return f"documents of {self.review}"
