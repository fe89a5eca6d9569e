"""States of a postmortem, its sections, and what is answered and said about it."""

from __future__ import annotations

from django.db import models


class PostmortemState(models.TextChoices):
    """Where a postmortem stands. Published (people can learn from it) is not closed (what came out of it is done)."""

    DRAFT = "draft", "Draft"
    IN_REVIEW = "in_review", "In review"
    PUBLISHED = "published", "Published"
    CLOSED = "closed", "Closed"


class SectionKey(models.TextChoices):
    """The sections that people write, in the order in which they are read. The timeline is the incident's."""

    SUMMARY = "summary", "Summary"
    IMPACT = "impact", "Impact"
    ROOT_CAUSE = "root_cause", "Root cause"
    RESPONSE = "response_assessment", "Response assessment"
    WENT_WELL = "went_well", "What went well"
    IMPROVEMENTS = "improvements", "Discipline improvements"


class FactorAnswerValue(models.TextChoices):
    """Whether a factor contributed. Empty: nobody has answered."""

    YES = "yes", "Yes, it contributed"
    NO = "no", "No"
    NOT_APPLICABLE = "not_applicable", "Not applicable"


class ReviewVerdict(models.TextChoices):
    """What a reviewer says of the text as it stands."""

    ASKED = "asked", "Has not said yet"
    APPROVED = "approved", "Approves"
    CHANGES = "changes", "Asks for changes"
