"""Postmortems: their texts with every revision, factors, causes, reviewers, actions; and what search looks in."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models.functions import Lower, Now

from incidents.enums import Severity
from incidents.models import Incident
from rollbackhub.accounts.models import Team
from rollbackhub.actions.models import Action
from rollbackhub.postmortems.enums import FactorAnswerValue, PostmortemState, ReviewVerdict, SectionKey
from rollbackhub.postmortems.rules import DEFAULT_WORKING_DAYS, WRITTEN_BEFORE_DUE

PUBLISHED_STATES = (PostmortemState.PUBLISHED, PostmortemState.CLOSED)


class DueRule(models.Model):
    """What a severity asks for: by when a postmortem is published, and whether it is drafted by itself. Seeded; editable in the admin."""

    severity = models.CharField(max_length=4, choices=Severity, unique=True)
    working_days = models.PositiveSmallIntegerField(
        default=DEFAULT_WORKING_DAYS, help_text="Working days (Monday to Friday) from the day on which the incident was stable"
    )
    drafts = models.BooleanField("drafts by itself", default=True, help_text="A postmortem is drafted as soon as an incident of this severity is stable")

    class Meta:
        ordering = ["severity"]
        constraints = [
            models.CheckConstraint(condition=models.Q(working_days__gte=1, working_days__lte=260), name="due_rule_days_in_bounds"),
            models.CheckConstraint(condition=models.Q(severity__in=Severity.values), name="due_rule_severity_known"),
        ]

    def __str__(self) -> str:
        return f"{self.get_severity_display()}: {self.working_days} working days"


class Cause(models.Model):
    """A tag for what made incidents possible: of the vocabulary, or a person's own."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=60)
    is_own = models.BooleanField(default=False, help_text="Somebody added it; the others are the vocabulary")
    created_by_label = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="cause_name_once", violation_error_message="There is a cause of this name.")]

    def __str__(self) -> str:
        return self.name


class FactorQuestion(models.Model):
    """One question of the checklist of contributing factors, asked so that yes means: it contributed. Seeded; editable in the admin."""

    key = models.SlugField(max_length=40, unique=True)
    text = models.CharField(max_length=300)
    hint = models.CharField(max_length=300, blank=True, help_text="What to look at before answering")
    position = models.PositiveSmallIntegerField(default=0)
    is_active = models.BooleanField(default=True, help_text="Asked in new postmortems")

    class Meta:
        ordering = ["position", "key"]

    def __str__(self) -> str:
        return self.text


class Postmortem(models.Model):
    """What an incident taught. One for each incident at most."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    incident = models.OneToOneField(Incident, on_delete=models.PROTECT, related_name="postmortem")
    team = models.ForeignKey(Team, null=True, on_delete=models.PROTECT, related_name="postmortems", help_text="Whose alias it was; its zone tells the days")
    state = models.CharField(max_length=10, choices=PostmortemState, default=PostmortemState.DRAFT)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", help_text="Who sees to it that it is written")
    due_on = models.DateField(help_text="The last day on which it is published in time")
    causes = models.ManyToManyField(Cause, related_name="postmortems")
    number = models.PositiveIntegerField(default=1, help_text="Counts up with every change")
    text_number = models.PositiveIntegerField(default=0, help_text="Counts up with every change of what reviewers read: an approval holds for one of them")
    sent_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", help_text="Who sent it to review")
    sent_at = models.DateTimeField(null=True)
    published_at = models.DateTimeField(null=True)
    published_by_label = models.CharField(max_length=200, blank=True)
    closed_at = models.DateTimeField(null=True)
    closed_by_label = models.CharField(max_length=200, blank=True)
    frozen_facts = models.JSONField(null=True, help_text="Exposure, duration and segments as they were when it was published")
    frozen_timeline = models.JSONField(null=True, help_text="The incident's timeline as it was when it was published")
    is_lab = models.BooleanField(default=False)
    created_by_label = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=PostmortemState.values), name="postmortem_state_known"),
            models.CheckConstraint(
                condition=models.Q(state__in=PUBLISHED_STATES, published_at__isnull=False)
                | (~models.Q(state__in=PUBLISHED_STATES) & models.Q(published_at=None)),
                name="postmortem_published_has_instant",
            ),
            models.CheckConstraint(condition=models.Q(state=PostmortemState.CLOSED) ^ models.Q(closed_at=None), name="postmortem_closed_has_instant"),
            models.CheckConstraint(
                condition=~models.Q(state__in=PUBLISHED_STATES) | models.Q(frozen_timeline__isnull=False, frozen_facts__isnull=False),
                name="postmortem_published_is_frozen",
            ),
        ]
        indexes = [
            models.Index(fields=["due_on"], condition=models.Q(state__in=WRITTEN_BEFORE_DUE), name="postmortem_due"),
            models.Index(fields=["-created_at"], name="postmortem_newest"),
        ]

    def __str__(self) -> str:
        return f"Postmortem of {self.incident.title}"

    @property
    def is_published(self) -> bool:
        """Whether its texts change by amendments alone."""
        return self.state in PUBLISHED_STATES


class Section(models.Model):
    """The present text of a section, in Markdown."""

    postmortem = models.ForeignKey(Postmortem, on_delete=models.CASCADE, related_name="sections")
    key = models.CharField(max_length=24, choices=SectionKey)
    text = models.TextField(blank=True)
    number = models.PositiveIntegerField(default=0, help_text="Counts up with every change: nobody writes over another's unknowingly")
    by_label = models.CharField(max_length=200, blank=True)
    changed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["postmortem", "id"]
        constraints = [
            models.UniqueConstraint(fields=["postmortem", "key"], name="section_once"),
            models.CheckConstraint(condition=models.Q(key__in=SectionKey.values), name="section_key_known"),
        ]

    def __str__(self) -> str:
        return self.get_key_display()


class FactorAnswer(models.Model):
    """The present answer to a question about contributing factors."""

    postmortem = models.ForeignKey(Postmortem, on_delete=models.CASCADE, related_name="factors")
    question = models.ForeignKey(FactorQuestion, on_delete=models.PROTECT, related_name="answers")
    answer = models.CharField(max_length=16, choices=FactorAnswerValue, blank=True)
    words = models.TextField(blank=True)
    fact = models.TextField(blank=True, help_text="What RollbackHub knows about it, from the rollbacks")
    number = models.PositiveIntegerField(default=0)
    by_label = models.CharField(max_length=200, blank=True)
    changed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["postmortem", "question__position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["postmortem", "question"], name="factor_once"),
            models.CheckConstraint(condition=models.Q(answer="") | models.Q(answer__in=FactorAnswerValue.values), name="factor_answer_known"),
        ]

    def __str__(self) -> str:
        return f"{self.question}: {self.get_answer_display() or 'not answered'}"


class TextRevision(models.Model):
    """What somebody saved: one text of a section, or one answer about a factor. Never changed."""

    append_only = True

    postmortem = models.ForeignKey(Postmortem, on_delete=models.PROTECT, related_name="revisions")
    key = models.CharField(max_length=60, help_text="The section, or `factor:` and the question")
    number = models.PositiveIntegerField()
    text = models.TextField(blank=True)
    reason = models.TextField(blank=True, help_text="Of an amendment: why")
    by_label = models.CharField(max_length=200)
    saved_at = models.DateTimeField()

    class Meta:
        ordering = ["postmortem", "saved_at", "id"]
        constraints = [models.UniqueConstraint(fields=["postmortem", "key", "number"], name="text_revision_once")]

    def __str__(self) -> str:
        return f"{self.key}, number {self.number}"


class Reviewer(models.Model):
    """A person who was asked to review it, or did, and what they say of the text as it stands."""

    postmortem = models.ForeignKey(Postmortem, on_delete=models.CASCADE, related_name="reviewers")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    verdict = models.CharField(max_length=10, choices=ReviewVerdict, default=ReviewVerdict.ASKED)
    note = models.TextField(blank=True)
    text_number = models.PositiveIntegerField(null=True, help_text="Of the text that they read")
    decided_at = models.DateTimeField(null=True)
    asked_by_label = models.CharField(max_length=200)

    class Meta:
        ordering = ["postmortem", "id"]
        constraints = [
            models.UniqueConstraint(fields=["postmortem", "user"], name="reviewer_once"),
            models.CheckConstraint(condition=models.Q(verdict=ReviewVerdict.ASKED) ^ models.Q(text_number__isnull=False), name="reviewer_said_of_a_text"),
            models.CheckConstraint(condition=~models.Q(verdict=ReviewVerdict.CHANGES) | ~models.Q(note=""), name="reviewer_changes_say_what"),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_verdict_display()}"


class PostmortemAction(models.Model):
    """An action that came out of a postmortem."""

    postmortem = models.ForeignKey(Postmortem, on_delete=models.PROTECT, related_name="action_links")
    action = models.OneToOneField(Action, on_delete=models.PROTECT, related_name="postmortem_link")

    class Meta:
        ordering = ["postmortem", "id"]

    def __str__(self) -> str:
        return str(self.action)


class SearchDocument(models.Model):
    """What search looks in: an incident's texts with its postmortem's. Written by triggers alone (migration 0002)."""

    incident = models.OneToOneField(Incident, on_delete=models.CASCADE, primary_key=True, related_name="search_document")
    opened_at = models.DateTimeField()
    title = models.TextField()
    body = models.TextField()
    vector = SearchVectorField()

    class Meta:
        indexes = [GinIndex(fields=["vector"], name="search_document_vector", fastupdate=False)]

    def __str__(self) -> str:
        return self.title
