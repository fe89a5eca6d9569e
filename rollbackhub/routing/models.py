"""Routing policies, their immutable revisions, and the gateways that serve by them."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from rollbackhub.registry.models import Artefact, Connection, Environment, Version


class RoutingState(models.Model):
    """The version of everything an environment's gateways should serve. Counts up with each flip of any of its aliases."""

    environment = models.OneToOneField(Environment, on_delete=models.CASCADE, primary_key=True, related_name="routing_state")
    number = models.BigIntegerField(default=0)
    changed_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.environment} at {self.number}"


class RoutingPolicy(models.Model):
    """What an alias means in an environment. Its present state is the revision with the highest number."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="policies")
    alias = models.SlugField(max_length=80)
    artefact = models.ForeignKey(Artefact, on_delete=models.PROTECT, related_name="policies")
    connection = models.ForeignKey(
        Connection, null=True, blank=True, on_delete=models.PROTECT, related_name="policies", help_text="What brings it to the real system; empty: the gateways"
    )
    target = models.JSONField(default=dict, blank=True, help_text="What of that system it moves, as the connection's connector wants it")
    revision_number = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["alias", "environment"]
        verbose_name_plural = "routing policies"
        constraints = [models.UniqueConstraint(fields=["environment", "alias"], name="policy_once_per_environment")]

    def __str__(self) -> str:
        return f"{self.alias} in {self.environment}"


class Delivery(models.Model):
    """How far a policy has reached the system that serves by it, where a mechanism brings it there (gateways come for theirs)."""

    policy = models.OneToOneField(RoutingPolicy, on_delete=models.CASCADE, primary_key=True, related_name="delivery")
    number = models.PositiveIntegerField(default=0, help_text="The revision that the system was last brought to")
    delivered_at = models.DateTimeField(db_default=Now())
    trying = models.PositiveIntegerField(null=True, help_text="The revision that is being delivered, or could not be")
    problem = models.TextField(blank=True, help_text="Why it could not be delivered")
    due_at = models.DateTimeField(null=True, help_text="When it is tried again; null: when there is a new revision")
    claimed_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return f"{self.policy} delivered to revision {self.number}"


class PolicyRevision(models.Model):
    """One immutable state of a routing policy. The database refuses to change or delete it."""

    append_only = True

    policy = models.ForeignKey(RoutingPolicy, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    routing_number = models.BigIntegerField(help_text="The environment's routing state that this revision made")
    reason = models.CharField(max_length=300)
    actor_label = models.CharField(max_length=200)
    effect_key = models.CharField(max_length=120, unique=True, null=True, help_text="The step of an execution that wrote it; the same step twice writes once")
    release_id = models.BigIntegerField(null=True, help_text="The release whose canary step it is")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["policy", "-number"]
        constraints = [models.UniqueConstraint(fields=["policy", "number"], name="revision_number_once")]

    def __str__(self) -> str:
        return f"revision {self.number} of {self.policy}"


class Candidate(models.Model):
    """One way to serve the alias in a revision, with its share of the traffic."""

    append_only = True

    revision = models.ForeignKey(PolicyRevision, on_delete=models.PROTECT, related_name="candidates")
    position = models.PositiveSmallIntegerField()
    candidate_id = models.CharField(max_length=160, help_text="provider:model:region")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+")
    weight = models.PositiveSmallIntegerField(help_text="Percent of the traffic")

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["revision", "candidate_id"], name="candidate_once_per_revision"),
            models.UniqueConstraint(fields=["revision", "position"], name="candidate_position_once"),
            models.CheckConstraint(condition=models.Q(weight__gte=0, weight__lte=100), name="candidate_weight_percent"),
        ]

    def __str__(self) -> str:
        return f"{self.candidate_id} {self.weight} %"


class Gateway(models.Model):
    """A process that asks for routes. What it asks with says what it has applied."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="gateways")
    node_id = models.CharField(max_length=120)
    applied_number = models.BigIntegerField(default=0, help_text="The routing state that it has applied")
    applied_at = models.DateTimeField(null=True, help_text="When it said so first")
    first_seen_at = models.DateTimeField(db_default=Now(), editable=False)
    last_seen_at = models.DateTimeField(db_default=Now())
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    refused_number = models.BigIntegerField(null=True)
    refused_at = models.DateTimeField(null=True)
    refusal = models.TextField(blank=True)

    class Meta:
        ordering = ["environment", "node_id"]
        constraints = [models.UniqueConstraint(fields=["environment", "node_id"], name="gateway_once_per_environment")]

    def __str__(self) -> str:
        return self.node_id
