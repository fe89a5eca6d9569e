"""The continuous preflight: when an environment is due, one process looks at all of its paths, without acting, and keeps what it found."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput, NotFound
from rollbackhub.connectors.base import connector_type
from rollbackhub.connectors.mechanism import Problem, ProblemCode, RunsJobs, Share, VersionRef
from rollbackhub.executions.actions import parse_params
from rollbackhub.executions.domain.deliver import mechanism_of
from rollbackhub.executions.domain.mechanisms import JobLook
from rollbackhub.executions.domain.path import PathNow, paths_of
from rollbackhub.readiness.domain.checks import Found, Outcome, State, after_rollback, confirmed, run_checks, target_candidates
from rollbackhub.readiness.domain.looking import CALL_SECONDS, MechanismLook, Seen, look_at
from rollbackhub.readiness.enums import RunState
from rollbackhub.readiness.models import PreflightFinding, PreflightRun
from rollbackhub.registry.models import Connection, Environment, Version
from rollbackhub.routing.domain.gateways import list_live_gateways
from rollbackhub.routing.models import RoutingPolicy, RoutingState

ACTOR = system_actor("preflight")

RUN_SECONDS = 90.0
"""What is not read by then is left out, and listed."""

CLAIM_SECONDS = 180.0
"""After this another process may take over: whoever claimed it has died."""

LOOK_AGAIN_SECONDS = 1.0
"""Between the two looks: a flip reaches its gateways within milliseconds."""

JITTER = 0.1
SHARE_OF_TIME = 10
"""What found something looks again soon, but at most a tenth of the time goes into it."""

MOST_SKIPPED = 50
"""Lines about what could not be checked that are kept."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One process's right to run the preflight of an environment."""

    environment_id: int
    until: dt.datetime
    at: dt.datetime


def make_runs() -> None:
    """A row for each environment that has aliases. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO readiness_preflightrun (environment_id, state, paths, skipped)"
            " SELECT DISTINCT environment_id, 'never', 0, '[]'::jsonb FROM routing_routingpolicy ON CONFLICT DO NOTHING"
        )


_CLAIM_SQL = """
    UPDATE readiness_preflightrun SET claimed_until = clock_timestamp() + make_interval(secs => %(seconds)s), state = 'running'
    WHERE environment_id = (
        SELECT environment_id FROM readiness_preflightrun
        WHERE (claimed_until IS NULL OR claimed_until < clock_timestamp())
            AND CASE WHEN %(environment)s::bigint IS NULL THEN due_at <= clock_timestamp() ELSE environment_id = %(environment)s END
        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING environment_id, claimed_until, clock_timestamp()
"""


def claim_run(*, environment_id: int | None = None) -> Claim | None:
    """Claim the environment that has been due for longest, or this one whether due or not. None when there is none to be had."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM_SQL, {"seconds": CLAIM_SECONDS, "environment": environment_id})
        row = cursor.fetchone()
    return Claim(*row) if row else None


def request_run(*, environment: str | None, actor: Actor) -> list[PreflightRun]:
    """Make the preflight of an environment (of all of them: None) due now. Raises NotFound.

    One that runs at this moment may have looked already, so it runs again afterwards.
    """
    make_runs()
    with transaction.atomic():
        runs = PreflightRun.objects.select_related("environment").order_by("environment__slug")
        if environment is not None:
            runs = runs.filter(environment__slug=environment)
            if not Environment.objects.filter(slug=environment).exists():
                raise NotFound(f"There is no environment {environment}.", code="environment_not_found")
        found = list(runs)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE readiness_preflightrun SET due_at = clock_timestamp() WHERE environment_id = ANY(%s)", [[run.pk for run in found]])
        for run in found:
            record(event="preflight.requested", actor=actor, subject_type="environment", subject_id=run.pk, data={"environment": run.environment.slug})
    return list(runs)


def run_due() -> int:
    """Run the preflight of every environment that is due. Returns how many that were."""
    make_runs()
    done = 0
    while (claim := claim_run()) is not None:
        done += bool(run_preflight(claim))
    return done


def run_preflight(claim: Claim) -> bool:
    """Look at every path of the claimed environment, and keep what was found. False when the claim was lost meanwhile: then nothing is kept."""
    environment = Environment.objects.get(pk=claim.environment_id)
    began, started_at = clock.monotonic(), clock.now()
    try:
        state, outcome = _look(environment, deadline=began + RUN_SECONDS)
    except Exception as error:
        _give_up(claim, began, error)
        raise
    return _keep(claim, environment, state, outcome, started_at=started_at, took=clock.monotonic() - began)


def load_state(environment: Environment) -> State:
    """What the hub says now. A fixed number of queries."""
    policies = list(RoutingPolicy.objects.filter(environment=environment).select_related("environment", "artefact", "connection").order_by("alias"))
    number = RoutingState.objects.filter(environment=environment).values_list("number", flat=True).first()
    return State(environment.slug, paths_of(policies), list_live_gateways(environment_id=environment.pk), number or 0)


def _look(environment: Environment, *, deadline: float) -> tuple[State, Outcome]:
    """Look, and when anything seems wrong, look a second time: what is in the middle of a flip is right the next moment."""
    state = load_state(environment)
    outcome = run_checks(state, _see(environment, state, deadline=deadline))
    if not outcome.found:
        return state, outcome
    clock.sleep(LOOK_AGAIN_SECONDS)
    again = load_state(environment)
    second = run_checks(again, _see(environment, again, deadline=deadline))
    now = dict(RoutingPolicy.objects.filter(environment=environment).values_list("pk", "revision_number"))
    flipped = {policy_id for policy_id, number in again.revisions.items() if now.get(policy_id) != number}
    return again, confirmed(outcome, second, flipped=flipped)


def _see(environment: Environment, state: State, *, deadline: float) -> Seen:
    connections: dict[str, dict[str, Any]] = dict(Connection.objects.filter(environment=environment, name="").values_list("connector", "settings"))
    looks, wrong = _mechanisms(environment, state)
    seen = look_at(
        environment=environment.slug,
        connections=connections,
        clusters={candidate.candidate_id for path in state.by_gateways.values() for candidate in target_candidates(path)},
        aliases=[path.policy.alias for path in state.verified],
        mechanisms=looks,
        deadline=deadline,
    )
    seen.mechanisms |= wrong
    return seen


def _mechanisms(environment: Environment, state: State) -> tuple[list[MechanismLook], dict[int, list[Problem]]]:
    """What to ask of the systems that the hub moves (could each alias go back now?), and what stands in the way already. Two queries at most."""
    paths = [path for path in state.paths.values() if path.policy.connection is not None and path.candidates]
    if not paths:
        return [], {}
    rows = Version.objects.filter(artefact__in={path.policy.artefact_id for path in paths}).values_list("artefact_id", "label", "digest", "uri")
    versions = {(artefact_id, label): VersionRef(label, digest, uri) for artefact_id, label, digest, uri in rows}
    connections = {connection.key: connection for connection in Connection.objects.filter(environment=environment)}
    looks: list[MechanismLook] = []
    wrong: dict[int, list[Problem]] = {}
    for path in paths:
        try:
            moved_by = mechanism_of(path.policy, timeout_seconds=CALL_SECONDS)
            jobs = _jobs(path, connections)
        except InvalidInput as error:
            subject = f"connection of {path.policy.alias}"
            wrong[path.policy.pk] = [Problem(ProblemCode.CONFIG_MISMATCH, subject, "settings that its connector takes", error.message, "Mend the settings.")]
            continue
        before, wanted = (
            [Share(spec.candidate_id, versions[path.policy.artefact_id, spec.version_pin], spec.weight) for spec in candidates]
            for candidates in (path.candidates, after_rollback(path))
        )
        looks.append(MechanismLook(path.policy.pk, environment.slug, moved_by, before, wanted, jobs))
    return looks, wrong


def _jobs(path: PathNow, connections: Mapping[str, Connection]) -> list[JobLook]:
    found: dict[tuple[str, str], JobLook] = {}
    for step in path.procedure.steps if path.procedure else ():
        if step["action"] == "run_job":
            params = parse_params(action=step["action"], params=step.get("params") or {})
            known = connections.get(params.connection)
            kind = connector_type(known.connector) if known else None
            runner: object = kind(kind.parse_settings(known.settings), timeout_seconds=CALL_SECONDS) if kind and known else None
            found[params.job, params.connection] = JobLook(params.job, params.connection, runner if isinstance(runner, RunsJobs) else None)
    return list(found.values())


def _keep(claim: Claim, environment: Environment, state: State, outcome: Outcome, *, started_at: dt.datetime, took: float) -> bool:
    """Open, confirm and close findings, and say when the next run is due; all or nothing, and only while the claim holds."""
    now = clock.now()
    with transaction.atomic():
        if not PreflightRun.objects.select_for_update().filter(pk=claim.environment_id, claimed_until=claim.until).exists():
            return False
        rows = PreflightFinding.objects.filter(environment=environment, closed_at=None).values_list("pk", "check_name", "policy_id", "code", "subject")
        mended = [pk for pk, check, policy_id, code, subject in rows if outcome.may_close((check, policy_id, code, subject))]
        closed = PreflightFinding.objects.filter(pk__in=mended).update(closed_at=now) if mended else 0
        opened = _upsert(environment.pk, outcome.found.values(), now)
        skipped = outcome.skipped[:MOST_SKIPPED]
        if len(outcome.skipped) > MOST_SKIPPED:
            skipped.append(f"And {len(outcome.skipped) - MOST_SKIPPED} more.")
        PreflightRun.objects.filter(pk=claim.environment_id).update(
            state=RunState.INCOMPLETE if skipped else RunState.DONE, started_at=started_at, finished_at=now, paths=len(state.paths), skipped=skipped
        )
        _release(claim, seconds=_next_seconds(calm=not (outcome.found or outcome.unsure or skipped), took=took))
        if opened or closed:
            data = {"environment": environment.slug, "opened": opened, "closed": closed, "open": len(outcome.found)}
            record(event="preflight.findings_changed", actor=ACTOR, subject_type="environment", subject_id=environment.pk, data=data)
    return True


def _give_up(claim: Claim, began: float, error: Exception) -> None:
    """A run that broke: nothing is opened or closed, the next one is due soon."""
    with transaction.atomic():
        broken = PreflightRun.objects.filter(pk=claim.environment_id, claimed_until=claim.until)
        if broken.update(state=RunState.INCOMPLETE, skipped=[f"The whole run: {type(error).__name__}."]):
            _release(claim, seconds=_next_seconds(calm=False, took=clock.monotonic() - began))


def _next_seconds(*, calm: bool, took: float) -> float:
    config = settings.CONFIG
    seconds = config.preflight_seconds if calm else min(max(config.preflight_recheck_seconds, SHARE_OF_TIME * took), config.preflight_seconds)
    return float(seconds * random.uniform(1 - JITTER, 1 + JITTER))


def _release(claim: Claim, *, seconds: float) -> None:
    """End the claim. Whoever asked for a run since it began gets one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE readiness_preflightrun SET claimed_until = NULL,"
            " due_at = CASE WHEN due_at > %s AND due_at <= clock_timestamp() THEN due_at"
            " ELSE clock_timestamp() + make_interval(secs => %s) END WHERE environment_id = %s",
            [claim.at, seconds, claim.environment_id],
        )


_UPSERT_SQL = """
    INSERT INTO readiness_preflightfinding AS f
        (environment_id, policy_id, check_name, code, subject, expected, found, remedy, first_seen_at, last_seen_at)
    SELECT %(environment)s, n.policy_id, n.check_name, n.code, n.subject, n.expected, n.found, n.remedy, %(now)s, %(now)s
    FROM unnest(%(policies)s::bigint[], %(checks)s::text[], %(codes)s::text[], %(subjects)s::text[], %(expected)s::text[], %(found)s::text[],
        %(remedies)s::text[]) AS n (policy_id, check_name, code, subject, expected, found, remedy)
    WHERE n.policy_id IS NULL OR EXISTS (SELECT FROM routing_routingpolicy p WHERE p.id = n.policy_id)
    ON CONFLICT (environment_id, policy_id, check_name, code, subject) WHERE closed_at IS NULL
    DO UPDATE SET last_seen_at = excluded.last_seen_at, expected = excluded.expected, found = excluded.found, remedy = excluded.remedy
    RETURNING f.first_seen_at = f.last_seen_at
"""


def _upsert(environment_id: int, findings: Iterable[Found], now: dt.datetime) -> int:
    """Open what is new, confirm what is known. One statement for any number; returns how many are new."""
    rows = list(findings)
    if not rows:
        return 0
    values: dict[str, Any] = {
        "environment": environment_id,
        "now": now,
        "policies": [found.policy_id for found in rows],
        "checks": [str(found.check) for found in rows],
        "codes": [str(found.draft.code) for found in rows],
        "subjects": [found.draft.subject for found in rows],
        "expected": [found.draft.expected for found in rows],
        "found": [found.draft.found for found in rows],
        "remedies": [found.draft.remedy for found in rows],
    }
    with connection.cursor() as cursor:
        cursor.execute(_UPSERT_SQL, values)
        return sum(new for (new,) in cursor.fetchall())
