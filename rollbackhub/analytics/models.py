"""Facts that analytics are made of: one row a run, by the hub or imported. Rollups are kept from them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from rollbackhub.accounts.models import Team
from rollbackhub.analytics.enums import REHEARSED, Measure, ProductionMeasure, RunKind, RunSource, Span
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.models import Execution
from rollbackhub.registry.enums import ChangeType
from rollbackhub.registry.models import Artefact, Environment
from rollbackhub.routing.models import RoutingPolicy


class HistoryImport(models.Model):
    """One file of past drills and rollbacks that was taken in, whole or not at all."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    file_name = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the file: the same file is not taken in twice")
    rows = models.PositiveIntegerField()
    note = models.CharField(max_length=300, blank=True)
    imported_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    imported_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-imported_at"]

    def __str__(self) -> str:
        return f"{self.file_name} ({self.rows} rows)"


class ImportedRun(models.Model):
    """A drill or a rollback of before RollbackHub, as a file tells it. It is never proof of anything: proof is read from executions."""

    history_import = models.ForeignKey(HistoryImport, on_delete=models.CASCADE, related_name="runs")
    row = models.PositiveIntegerField(help_text="Its row in the file, the header being 1")
    reference = models.CharField(max_length=120, blank=True, help_text="The file's own name for it, e.g. a ticket")
    note = models.TextField(blank=True)

    class Meta:
        ordering = ["history_import", "row"]
        constraints = [models.UniqueConstraint(fields=["history_import", "row"], name="imported_row_once")]

    def __str__(self) -> str:
        return self.reference or f"row {self.row}"


class RunFact(models.Model):
    """One run that has ended, as it is counted. Seconds are measured from recorded instants; null: not measured.

    A rollback of several aliases has a fact for each of them, all with its id; detect, decide and authorise are the whole's.
    """

    source = models.CharField(max_length=10, choices=RunSource)
    execution = models.OneToOneField(Execution, null=True, on_delete=models.CASCADE, related_name="run_fact")
    imported = models.OneToOneField(ImportedRun, null=True, on_delete=models.CASCADE, related_name="run_fact")
    rollback_id = models.UUIDField(null=True, db_index=True, help_text="The production rollback that it belongs to")
    followed_number = models.PositiveIntegerField(default=0, help_text="The rollback's number when it was looked at last")

    kind = models.CharField(max_length=12, choices=RunKind)
    at = models.DateTimeField(help_text="When it was decided (a drill: requested)")
    month = models.DateField(help_text="The first day of its month, in UTC; the database holds it to that")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    artefact = models.ForeignKey(Artefact, on_delete=models.PROTECT, related_name="+")
    policy = models.ForeignKey(
        RoutingPolicy, null=True, on_delete=models.CASCADE, related_name="+", help_text="Null: an imported run of an alias that is no more"
    )
    alias = models.CharField(max_length=120)
    change_type = models.CharField(max_length=20, choices=ChangeType)
    verdict = models.CharField(max_length=12, choices=Verdict)
    outcome = models.CharField(max_length=20, help_text="How a rollback or roll-forward ended (its state); of a drill its verdict")
    authority = models.CharField(max_length=20, blank=True, help_text="Of a rollback: the role that had to decide")
    authorised_how = models.CharField(max_length=12, blank=True)

    rollback_seconds = models.FloatField(null=True, help_text="Decided to restored")
    target_seconds = models.PositiveIntegerField(null=True)
    hit = models.BooleanField(null=True, help_text="Restored within its target; null: not measured, or no target")
    detect_seconds = models.FloatField(null=True)
    decide_seconds = models.FloatField(null=True)
    authorise_seconds = models.FloatField(null=True)
    execute_seconds = models.FloatField(null=True)
    propagate_seconds = models.FloatField(null=True)
    drain_seconds = models.FloatField(null=True)
    verify_seconds = models.FloatField(null=True)
    exposure = models.BigIntegerField(null=True, help_text="Requests that the bad version served; a whole rollback's, on its first fact only")
    exposure_estimated = models.BigIntegerField(null=True, help_text="Of the exposure, what was estimated; null: all of it was counted, or a file told it")
    is_whole = models.BooleanField(
        db_default=True, help_text="It stands for its whole rollback: of several aliases the first one. What is the whole's is counted there"
    )
    finding_codes = ArrayField(models.CharField(max_length=24), default=list, db_default=[], help_text="What it caught, each code once")
    is_lab = models.BooleanField(default=False)

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(source=RunSource.HUB, execution__isnull=False, imported=None)
                | models.Q(source=RunSource.IMPORTED, execution=None, imported__isnull=False),
                name="run_fact_has_its_source",
            ),
            models.CheckConstraint(
                condition=models.Q(hit=None, rollback_seconds=None)
                | models.Q(hit=None, target_seconds=None)
                | models.Q(hit=True, target_seconds__isnull=False, rollback_seconds__isnull=False, rollback_seconds__lte=models.F("target_seconds"))
                | models.Q(hit=False, target_seconds__isnull=False, rollback_seconds__isnull=False, rollback_seconds__gt=models.F("target_seconds")),
                name="run_fact_hit_is_within_its_target",
            ),
        ]
        indexes = [
            models.Index(fields=["-at", "-id"], name="run_fact_newest"),
            models.Index(fields=["month", "kind"], name="run_fact_by_month"),
            models.Index(fields=["policy", "kind", "-at"], name="run_fact_by_policy"),
            # What a production rollback is compared with: the newest passed drill of its path before it.
            models.Index(
                fields=["alias", "artefact", "-at", "-id"],
                condition=models.Q(kind__in=REHEARSED, verdict=Verdict.PASSED, rollback_seconds__gt=0),
                name="run_fact_passed_drills",
            ),
            models.Index(fields=["-at", "-id"], condition=models.Q(kind=RunKind.ROLLBACK, rollback_seconds__gt=0), name="run_fact_measured_rollbacks"),
            models.Index(fields=["alias", "-at", "-id"], include=["kind", "rollback_seconds"], name="run_fact_by_alias"),
            models.Index(fields=["policy", "-at", "-id"], condition=models.Q(kind__in=REHEARSED, rollback_seconds__gt=0), name="run_fact_measured_drills"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.alias} at {self.at:%Y-%m-%d %H:%M}"


class RunCell(models.Model):
    """How many runs of a kind there were in a month, by everything that one may filter by, and how they went.

    Kept by triggers on the facts, in the transaction that changes them (migrations/0003_rollups.py); nobody else may write it. Sums are whole
    microseconds, so that adding and taking away in any order comes to the same. A cell without a run does not exist.
    """

    app_privileges = ("SELECT",)

    month = models.DateField()
    kind = models.CharField(max_length=12, choices=RunKind)
    environment = models.ForeignKey(Environment, on_delete=models.DO_NOTHING, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.DO_NOTHING, related_name="+")
    artefact = models.ForeignKey(Artefact, on_delete=models.DO_NOTHING, related_name="+")
    policy = models.ForeignKey(RoutingPolicy, null=True, on_delete=models.DO_NOTHING, related_name="+")
    alias = models.CharField(max_length=120)
    change_type = models.CharField(max_length=20, choices=ChangeType)
    is_lab = models.BooleanField()
    source = models.CharField(max_length=10, choices=RunSource)

    n = models.IntegerField(help_text="Runs")
    passed = models.IntegerField()
    failed = models.IntegerField()
    inconclusive = models.IntegerField()
    error = models.IntegerField()
    with_target = models.IntegerField(help_text="Measured, and had a target")
    hits = models.IntegerField(help_text="Restored within their target")
    rollback_n = models.IntegerField(help_text="Measured: decided to restored")
    rollback_us = models.BigIntegerField()
    detect_n = models.IntegerField()
    detect_us = models.BigIntegerField()
    decide_n = models.IntegerField()
    decide_us = models.BigIntegerField()
    authorise_n = models.IntegerField()
    authorise_us = models.BigIntegerField()
    execute_n = models.IntegerField()
    execute_us = models.BigIntegerField()
    propagate_n = models.IntegerField()
    propagate_us = models.BigIntegerField()
    drain_n = models.IntegerField()
    drain_us = models.BigIntegerField()
    verify_n = models.IntegerField()
    verify_us = models.BigIntegerField()

    class Meta:
        ordering = ["month", "alias", "kind"]
        constraints = [
            models.UniqueConstraint(
                fields=["month", "kind", "alias", "policy", "environment", "team", "artefact", "change_type", "is_lab", "source"],
                nulls_distinct=False,
                name="run_cell_once",
            )
        ]
        indexes = [models.Index(fields=["alias", "month"], name="run_cell_by_alias")]

    def __str__(self) -> str:
        return f"{self.n} × {self.kind} of {self.alias} in {self.month:%Y-%m}"


class RunHistogram(models.Model):
    """How long the runs of a month took, in one measure: from these, percentiles over many runs are read.

    Bucket i holds seconds above γ^(i-1) up to γ^i, with γ = 1.01/0.99: its middle is off by 1 % at most (DDSketch; Masson, Rim, Lee, VLDB 2019);
    bucket -32768 holds what took nothing, or less than a microsecond. Kept as cells are, by change type and environment but not by team and
    alias: what those filter is few enough to be reckoned run by run.
    """

    app_privileges = ("SELECT",)

    measure = models.CharField(max_length=10, choices=Measure)
    month = models.DateField()
    kind = models.CharField(max_length=12, choices=RunKind)
    environment = models.ForeignKey(Environment, on_delete=models.DO_NOTHING, related_name="+")
    change_type = models.CharField(max_length=20, choices=ChangeType)
    is_lab = models.BooleanField()
    source = models.CharField(max_length=10, choices=RunSource)
    buckets = ArrayField(models.SmallIntegerField(), help_text="The buckets that hold a run, in rising order")
    counts = ArrayField(models.IntegerField(), help_text="How many each of them holds")
    n = models.IntegerField(help_text="All of them together")

    class Meta:
        ordering = ["measure", "month", "kind"]
        constraints = [
            models.UniqueConstraint(fields=["measure", "month", "kind", "environment", "change_type", "is_lab", "source"], name="run_histogram_once")
        ]

    def __str__(self) -> str:
        return f"{self.n} × {self.measure} of {self.kind} in {self.month:%Y-%m}"


class ProductionCell(models.Model):
    """Rollbacks and roll-forwards of a month by who decided and how they ended, and the exposure that they had.

    Kept by triggers on the facts as RunCell is (migrations/0005_production_rollups.py); nobody else may write it.
    """

    app_privileges = ("SELECT",)

    month = models.DateField()
    kind = models.CharField(max_length=12, choices=RunKind)
    environment = models.ForeignKey(Environment, on_delete=models.DO_NOTHING, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.DO_NOTHING, related_name="+")
    alias = models.CharField(max_length=120)
    change_type = models.CharField(max_length=20, choices=ChangeType)
    authority = models.CharField(max_length=20, blank=True)
    authorised_how = models.CharField(max_length=12, blank=True)
    verdict = models.CharField(max_length=12, choices=Verdict)
    outcome = models.CharField(max_length=20)
    is_lab = models.BooleanField()
    source = models.CharField(max_length=10, choices=RunSource)

    n = models.IntegerField(help_text="Runs: one an alias")
    wholes = models.IntegerField(help_text="Rollbacks, whatever the number of their aliases")
    exposure_n = models.IntegerField(help_text="Whose exposure is known")
    exposure = models.BigIntegerField()
    exposure_estimated = models.BigIntegerField()

    class Meta:
        ordering = ["month", "alias", "kind"]
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "month",
                    "kind",
                    "environment",
                    "team",
                    "alias",
                    "change_type",
                    "authority",
                    "authorised_how",
                    "verdict",
                    "outcome",
                    "is_lab",
                    "source",
                ],
                name="production_cell_once",
            )
        ]
        indexes = [models.Index(fields=["alias", "month"], name="production_cell_by_alias")]

    def __str__(self) -> str:
        return f"{self.n} × {self.kind} of {self.alias} in {self.month:%Y-%m}"


class ProductionBucket(models.Model):
    """How many decisions, recoveries and exposures of a month or a year were about so large, by authority, in RunHistogram's buckets.

    Decisions (`detect`, `authorise`) count once a rollback, the others once an alias. Every run counts in its month and in its year: few of each kind
    of decision fall into one month, so that years are read from years. Not by team, alias and change type: what those filter is few enough to be
    reckoned run by run.
    """

    app_privileges = ("SELECT",)

    span = models.CharField(max_length=5, choices=Span)
    begins = models.DateField(help_text="The first day of the month or year, in UTC")
    measure = models.CharField(max_length=20, choices=ProductionMeasure)
    kind = models.CharField(max_length=12, choices=RunKind)
    environment = models.ForeignKey(Environment, on_delete=models.DO_NOTHING, related_name="+")
    authority = models.CharField(max_length=20, blank=True)
    authorised_how = models.CharField(max_length=12, blank=True)
    is_lab = models.BooleanField()
    bucket = models.SmallIntegerField(help_text="As in RunHistogram")
    n = models.IntegerField()

    class Meta:
        ordering = ["span", "begins", "measure", "bucket"]
        constraints = [
            models.UniqueConstraint(
                fields=["span", "begins", "measure", "kind", "environment", "authority", "authorised_how", "is_lab", "bucket"], name="production_bucket_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.n} × {self.measure} of {self.kind} in the {self.span} of {self.begins}"


class FindingCell(models.Model):
    """How many runs of a month caught what. Kept as the cells are."""

    app_privileges = ("SELECT",)

    month = models.DateField()
    kind = models.CharField(max_length=12, choices=RunKind)
    environment = models.ForeignKey(Environment, on_delete=models.DO_NOTHING, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.DO_NOTHING, related_name="+")
    alias = models.CharField(max_length=120)
    change_type = models.CharField(max_length=20, choices=ChangeType)
    code = models.CharField(max_length=24)
    is_lab = models.BooleanField()
    source = models.CharField(max_length=10, choices=RunSource)
    n = models.IntegerField(help_text="Runs that caught it")

    class Meta:
        ordering = ["month", "alias", "code"]
        constraints = [
            models.UniqueConstraint(
                fields=["month", "kind", "environment", "team", "alias", "change_type", "code", "is_lab", "source"], name="finding_cell_once"
            )
        ]
        indexes = [models.Index(fields=["alias", "month"], name="finding_cell_by_alias")]

    def __str__(self) -> str:
        return f"{self.n} × {self.code} of {self.alias} in {self.month:%Y-%m}"
