"""What the page of a production rollback shows: everything that was decided, done and seen, gathered in a bounded number of queries."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlencode
from uuid import UUID

from rollbackhub.audit.domain.listing import list_events_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.charts.content import as_content
from rollbackhub.charts.rollback_clock import rollback_clock
from rollbackhub.common import clock
from rollbackhub.common.errors import NotFound
from rollbackhub.dashboard.drill_page import StepRow, digest_of, step_rows
from rollbackhub.dashboard.figures import PageFigure, TrafficRow, measured_until, segment_bars, traffic_figure, traffic_rows, versions_in_order
from rollbackhub.dashboard.looks import Look
from rollbackhub.dashboard.plans import PlanWords, plan_yaml, weights_yaml, words_of
from rollbackhub.dashboard.rollback_plan import proofs_of_requests
from rollbackhub.dashboard.verification_panel import VerificationPanel, panel_of
from rollbackhub.executions.domain.listing import JobSeen, list_jobs, newest_look
from rollbackhub.executions.domain.proof import Proof
from rollbackhub.executions.domain.selectors import SegmentTime
from rollbackhub.executions.enums import ExecutionState, Segment, StepState
from rollbackhub.executions.models import CheckResult, Execution, Finding, Sample, StepAttempt
from rollbackhub.registry.domain.holds import stands, with_gates
from rollbackhub.registry.models import StabilityHold
from rollbackhub.rollbacks.domain.coordination import Coordination, coordination_of, past_no_return
from rollbackhub.rollbacks.domain.roll_forward import GATES, failed_roll_forward
from rollbackhub.rollbacks.domain.selectors import get_rollback, list_parts, segments_of_rollback, stands_in_words
from rollbackhub.rollbacks.enums import STOPPED_STATES, RollbackState
from rollbackhub.rollbacks.models import Approval, HeldTraffic, Rollback, RollbackPart, RollForward
from rollbackhub.routing.models import Gateway

PAGE_SAMPLES = 2000
TABLE_SAMPLES = 200
HELD_ROWS = 50
SAMPLE_KINDS = ("traffic", "gateways", "metrics", "baseline", "probe", "routes", "counters", "observed", "consumers", "job")
SKIPPED_BY_PERSON = Look("Skipped by a person", "arrow-right", "warn")
RUNS_STATES = (RollbackState.RUNNING, RollbackState.RESTORED, RollbackState.UNDOING, RollbackState.ROLLING_FORWARD)
MOVING_STATES = (RollbackState.RUNNING, RollbackState.UNDOING, RollbackState.ROLLING_FORWARD)


@dataclass(slots=True)
class Run:
    """One execution of a rollback, with its steps in words."""

    execution: Execution
    title: str
    is_current: bool
    steps: list[StepRow]
    samples: list[Sample] = field(default_factory=list)
    panel: VerificationPanel | None = None

    @property
    def done(self) -> int:
        """How many steps are done."""
        return sum(1 for step in self.steps if step.state == StepState.DONE)

    @property
    def words(self) -> PlanWords:
        """How to speak of what it moves."""
        return words_of(self.execution.plan)

    @property
    def checks(self) -> list[CheckResult]:
        """What was verified."""
        return list(self.execution.checks.all())

    @property
    def traffic(self) -> list[TrafficRow]:
        """Who answered, sample by sample."""
        return traffic_rows(execution=self.execution, samples=self.samples)

    @property
    def figure(self) -> PageFigure | None:
        """The same as a chart, under an id of its own."""
        found = traffic_figure(execution=self.execution, rows=self.traffic)
        return dataclasses.replace(found, id=f"{found.id}-{str(self.execution.pk)[:8]}") if found else None

    @property
    def versions(self) -> list[str]:
        """The versions of the chart, in its order."""
        return versions_in_order(self.execution, self.traffic)

    @property
    def newest_traffic(self) -> list[TrafficRow]:
        """What the table shows."""
        return self.traffic[-TABLE_SAMPLES:]

    @property
    def samples_by_kind(self) -> list[tuple[str, int, list[Sample]]]:
        """Kind, number, and the newest samples of it."""
        kinds: dict[str, list[Sample]] = {}
        for sample in self.samples:
            kinds.setdefault(sample.kind, []).append(sample)
        return [(kind, len(found), found[-TABLE_SAMPLES:]) for kind, found in kinds.items()]


@dataclass(frozen=True, slots=True)
class PartView:
    """One alias: what the plan changes there, and what stands."""

    part: RollbackPart
    stands: str
    before: str
    after: str
    plan: str


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """One gateway in the newest look: what it serves by, and whether that is what was wanted."""

    name: str
    applied: int
    wanted: int
    acknowledged: bool
    last_seen_at: dt.datetime | None
    refusal: str

    @property
    def look(self) -> Look:
        """Acknowledged, refused, or lagging."""
        if self.acknowledged:
            return Look("Acknowledged", "circle-check", "ok")
        return Look("Refused", "circle-x", "bad") if self.refusal else Look("Lagging", "alert-triangle", "warn")


class RollbackView:
    """A rollback as its page shows it. Everything is fetched once, when it is first asked for."""

    def __init__(self, rollback_id: UUID) -> None:
        self.rollback: Rollback = get_rollback(rollback_id)
        self.parts: list[RollbackPart] = list_parts(self.rollback)
        self.forwards: list[RollForward] = list(self.rollback.roll_forwards.select_related("fix_version", "started_by", "part__policy").order_by("created_at"))

    @property
    def aliases(self) -> str:
        """`smart-reasoner, support-reply`, in the order of the parts."""
        return ", ".join(part.policy.alias for part in self.parts)

    @property
    def same_aliases(self) -> str:
        """The query string by which the same aliases are chosen again."""
        return urlencode([("alias", part.policy.alias) for part in self.parts])

    @property
    def shows_standing(self) -> bool:
        """Whether the reader has to know what stands: there are several aliases, or it stopped or ended in the middle."""
        several = len(self.parts) > 1 and self.rollback.authorised_at is not None
        ended_unverified = self.rollback.state == RollbackState.CLOSED and self.rollback.verified_at is None
        return several or ended_unverified or self.rollback.state in (*STOPPED_STATES, RollbackState.UNDONE)

    @property
    def is_live(self) -> bool:
        """Whether the page goes on asking: something runs, waits or may go on by itself."""
        return self.rollback.state in LIVE_STATES

    @cached_property
    def runs(self) -> list[Run]:
        """All executions, those of earlier plans and of roll-forwards included, as they came. Four queries; two more where a step has a job run."""
        titles: dict[UUID, str] = {}
        for part in self.parts:
            of = f" of {part.policy.alias}" if len(self.parts) > 1 else ""
            titles.update({UUID(str(earlier)): f"Earlier rollback{of}" for earlier in part.earlier_executions})
            if part.execution_id:
                titles[part.execution_id] = f"Rollback{of}"
        titles.update({forward.execution_id: f"Roll-forward to {forward.fix_version.label}" for forward in self.forwards})
        found = Execution.objects.filter(pk__in=titles).prefetch_related("attempts", "checks", "findings").order_by("created_at", "pk")
        current, jobs = self._current_id(), list_jobs(found)
        runs = [Run(execution, titles[execution.pk], execution.pk == current, rows_of(execution, jobs=jobs)) for execution in found]
        return sorted(runs, key=lambda run: run.execution.created_at)

    @property
    def current(self) -> Run | None:
        """What runs or stopped last."""
        return next((run for run in self.runs if run.is_current), None)

    def _current_id(self) -> UUID | None:
        last = next((part.execution_id for part in reversed(self.parts) if part.execution_id), None)
        return last or (self.forwards[-1].execution_id if self.forwards else None)

    @property
    def waits_for(self) -> str:
        """What the step that runs says it waits for; empty when none runs, or it has said nothing."""
        steps = self.current.steps if self.current else ()
        return next((step.message for step in steps if step.state == StepState.STARTED), "") if self.rollback.state in RUNS_STATES else ""

    @property
    def part_in_words(self) -> str:
        """`alias 2 of 2 (support-reply), ` for the headline of a coordinated rollback."""
        begun = [part for part in self.parts if part.execution_id]
        if len(self.parts) < 2 or not begun:
            return ""
        return f"alias {len(begun)} of {len(self.parts)} ({begun[-1].policy.alias}), "

    @cached_property
    def segments(self) -> list[SegmentTime]:
        """The whole clock. While it runs, what the executions have reached counts, once all parts have one."""
        executions = [part.execution for part in self.parts if part.execution is not None]
        return segments_of_rollback(self.rollback, executions=executions if len(executions) == len(self.parts) else ())

    @cached_property
    def part_views(self) -> list[PartView]:
        """The aliases in order. A query per alias that was flipped."""
        return [
            PartView(
                part,
                stands_in_words(part),
                weights_yaml(part.policy.alias, part.plan["weights_before"]),
                weights_yaml(part.policy.alias, part.plan["weights_rolled_back"]),
                plan_yaml(part.plan),
            )
            for part in self.parts
        ]

    @property
    def plans(self) -> list[tuple[PartView, Proof | None]]:
        """The aliases in order, each with what is proven about its way back while somebody has to decide about it."""
        waits = self.rollback.state == RollbackState.AWAITING_APPROVAL
        proofs = proofs_of_requests(self.parts) if waits else {}
        return [(view, proofs.get(view.part.policy_id)) for view in self.part_views]

    @property
    def stands(self) -> str:
        """What stands where, in a sentence per alias."""
        return " ".join(f"{view.part.policy.alias}: {view.stands}." for view in self.part_views)

    @cached_property
    def gateways(self) -> list[GatewayRow]:
        """The gateways in the newest look at them. Two queries."""
        sample = Sample.objects.filter(execution__in=[run.execution for run in self.runs], kind="gateways").order_by("-id").first()
        if sample is None:
            return []
        known = {gateway.node_id: gateway for gateway in Gateway.objects.filter(environment_id=self.rollback.environment_id)}
        wanted = int(sample.value["wanted"])
        rows = []
        for name, seen in sorted(sample.value["gateways"].items()):
            gateway = known.get(name)
            refused = gateway is not None and gateway.refused_number is not None and gateway.refused_number >= wanted
            rows.append(
                GatewayRow(
                    name=name,
                    applied=int(seen["applied"]),
                    wanted=wanted,
                    acknowledged=bool(seen["acknowledged"]),
                    last_seen_at=gateway.last_seen_at if gateway else None,
                    refusal=gateway.refusal if gateway is not None and refused and not seen["acknowledged"] else "",
                )
            )
        return rows

    @property
    def lagging(self) -> list[str]:
        """The names of those that do not follow."""
        return [row.name for row in self.gateways if not row.acknowledged]

    @property
    def findings(self) -> list[Finding]:
        """What the executions caught."""
        return [finding for run in self.runs for finding in run.execution.findings.all()]

    @cached_property
    def coordination(self) -> Coordination | None:
        """The coordinated procedure that it follows."""
        return coordination_of(self.rollback)

    @cached_property
    def passed_no_return(self) -> Coordination | None:
        """The same, once its point of no return is passed. At most two queries; none without a coordinated procedure."""
        return past_no_return(self.rollback)

    @cached_property
    def holds(self) -> list[StabilityHold]:
        """The holds that this rollback began. One query."""
        holds = with_gates(StabilityHold.objects.filter(rollback_id=self.rollback.pk))
        return list(holds.select_related("version__artefact", "lifted_by").order_by("started_at"))

    @property
    def standing_holds(self) -> list[StabilityHold]:
        """Those that stand now."""
        return [hold for hold in self.holds if stands(hold)]

    @cached_property
    def failed_forward(self) -> RollForward | None:
        """The fix that does not hold and from which nobody has gone back yet."""
        return failed_roll_forward(self.rollback) if self.forwards and self.rollback.state == RollbackState.NEEDS_HUMAN else None

    @property
    def fix(self) -> str:
        """The label of what is shipped instead, while that is what the rollback is about."""
        about = self.rollback.state in (RollbackState.ROLLING_FORWARD, RollbackState.ROLLED_FORWARD) or self.failed_forward is not None
        return self.forwards[-1].fix_version.label if about and self.forwards else ""

    @cached_property
    def approvals(self) -> list[Approval]:
        """What people decided. One query."""
        return list(self.rollback.approvals.select_related("user").order_by("decided_at"))

    @cached_property
    def held_traffic(self) -> list[HeldTraffic]:
        """The newest looks that saw a held version serve. One query."""
        return list(self.rollback.held_traffic.select_related("version").order_by("-seen_at")[:HELD_ROWS])

    @cached_property
    def events(self) -> list[AuditEvent]:
        """What was recorded about it and its executions. One query."""
        return list_events_of(subject_types=["rollback", "execution"], subject_ids=[str(self.rollback.pk), *(str(run.execution.pk) for run in self.runs)])

    def load_samples(self) -> None:
        """Fetch what was observed, the newest of it. One query for all executions, and one for each that has verified."""
        newest = Sample.objects.filter(execution__in=[run.execution for run in self.runs], kind__in=SAMPLE_KINDS).order_by("-taken_at", "-id")[:PAGE_SAMPLES]
        by_execution: dict[UUID, list[Sample]] = {}
        for sample in reversed(newest):
            by_execution.setdefault(sample.execution_id, []).append(sample)
        for run in self.runs:
            run.samples = by_execution.get(run.execution.pk, [])
            run.panel = panel_of(run.execution)

    def clock_figure(self) -> PageFigure | None:
        """The waterfall of the whole clock; None while nothing of it was measured."""
        return clock_figure(rollback=self.rollback, segments=self.segments, until=self._measured_until)

    @property
    def _measured_until(self) -> dt.datetime | None:
        """Until when a segment that did not end was measured; None while something runs."""
        stopped = self.rollback.state in (*STOPPED_STATES, RollbackState.CLOSED)
        return measured_until(run.execution for run in self.runs if run.is_current) if stopped else None

    @property
    def open_seconds(self) -> float | None:
        """How long the segment that did not end was measured; None without one."""
        started = next((segment.start for segment in self.segments if segment.end is None), None)
        return clock.seconds_between(started, self._measured_until)

    @property
    def gates(self) -> list[tuple[RollForward, list[dict[str, str]]]]:
        """The roll-forwards with the gates that each skipped, in words."""
        return [(forward, [gate | {"title": GATES.get(gate["gate"], gate["gate"])} for gate in forward.skipped_gates]) for forward in self.forwards]


LIVE_STATES = (
    RollbackState.AWAITING_APPROVAL,
    RollbackState.RUNNING,
    RollbackState.NEEDS_HUMAN,
    RollbackState.PARTIALLY_RESTORED,
    RollbackState.RESTORED,
    RollbackState.VERIFICATION_FAILED,
    RollbackState.UNDOING,
    RollbackState.ROLLING_FORWARD,
)
"""The page of such a rollback goes on asking."""


def rows_of(execution: Execution, *, jobs: Mapping[tuple[UUID, int], JobSeen]) -> list[StepRow]:
    """The steps that are or were run: those that only put back show when somebody chose that. What a person skipped says so. No query."""
    putting_back = execution.state == ExecutionState.CLEANING_UP
    rows: list[StepRow] = []
    for row, step in zip(step_rows(execution, jobs=jobs), execution.plan["steps"], strict=True):
        if step.get("undo") and not row.attempts and not putting_back:
            continue
        if row.attempts and row.state == StepState.SKIPPED:
            row.look = SKIPPED_BY_PERSON
        row.number = len(rows) + 1
        rows.append(row)
    return rows


def clock_figure(*, rollback: Rollback, segments: Sequence[SegmentTime], until: dt.datetime | None = None) -> PageFigure | None:
    """The clock from detection to verification as a waterfall; None while nothing was measured. `until`: so far goes a segment that did not end."""
    start = rollback.decided_at
    bars = segment_bars([segment for segment in segments if segment.segment != Segment.DETECT], zero=start, until=until)
    if not bars:
        return None
    figure = rollback_clock(
        segments=bars,
        detect_seconds=clock.seconds_between(rollback.detected_at, start) if rollback.detected_at else None,
        target_seconds=rollback.target_seconds,
        restored_seconds=clock.seconds_between(start, rollback.restored_at),
    )
    return PageFigure(
        "figure-clock", as_content(figure), "The rollback's clock, segment by segment, in seconds since the decision. The table has the same numbers."
    )


def digest_while_live(rollback_id: UUID) -> str:
    """The `live_digest` while the page goes on asking; empty when the rollback has ended, or there is none. One query, then six more."""
    is_live = Rollback.objects.filter(pk=rollback_id, state__in=LIVE_STATES).exists()
    return live_digest(rollback_id) if is_live else ""


def live_digest(rollback_id: UUID) -> str:
    """A short name of all that the live part shows: equal while nothing has changed. Raises NotFound. Six queries."""
    state = Rollback.objects.filter(pk=rollback_id).values("state", "number", "outcome").first()
    if state is None:
        raise NotFound("There is no such rollback.", code="rollback_not_found")
    ids = {
        *RollbackPart.objects.filter(rollback=rollback_id, execution__isnull=False).values_list("execution_id", flat=True),
        *RollForward.objects.filter(rollback=rollback_id).values_list("execution_id", flat=True),
    }
    executions = Execution.objects.filter(pk__in=ids).order_by("pk")
    attempts = StepAttempt.objects.filter(execution__in=ids).order_by("execution", "position", "number")
    return digest_of(
        {
            **state,
            "executions": list(executions.values_list("pk", "state", "verdict", "cancel_requested_at", "claims")),
            "attempts": list(attempts.values_list("execution", "position", "number", "state", "message")),
            "looks": newest_look(ids, kinds=["gateways", "job"]),
        }
    )
