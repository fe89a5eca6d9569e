"""Runs by the million, for `make bench-analytics`: made in the database by INSERT … SELECT, with the shapes that real ones have.

Drills (80 %, a tenth of them rehearsals) are executions with facts. Production (20 %, one in twenty a roll-forward) has its rollback, its part
and its execution, too, because questions read them. Each alias has a monthly plan; one finding of drills in twenty has an action, which is done.
Executions are cheap: an empty plan, no steps, no samples, which no question reads. One run in fifty is imported, as the history of before is.
Random numbers come from a seed, so that two fills of a size are alike.
"""

from __future__ import annotations

import datetime as dt
import os

import psycopg

TEAMS, ALIASES, YEARS = 20, 200, 5
BATCH = 100_000

# Seconds: the median of a drill, and the target.
SPEEDS = {"prompt": (190, 300), "model": (400, 600), "agent_code": (620, 900), "eval_set": (1100, 1800), "dataset": (8000, 14400)}


def make_world() -> None:
    """Teams, artefacts of the five types, and their aliases in staging and production."""
    from drills.enums import Cadence
    from drills.models import DrillPlan
    from rollbackhub.accounts.models import User
    from rollbackhub.registry.enums import ChangeType
    from rollbackhub.registry.models import Artefact, Version
    from rollbackhub.routing.models import RoutingPolicy
    from tests.factories.accounts import TeamFactory
    from tests.factories.executions import ProcedureVersionFactory
    from tests.factories.registry import EnvironmentFactory

    teams = [TeamFactory(slug=f"team-{number:02}", name=f"Team {number:02}") for number in range(TEAMS)]
    places = [EnvironmentFactory(slug="staging"), EnvironmentFactory(slug="production")]
    types = list(ChangeType)
    for change_type in types:
        ProcedureVersionFactory(procedure__change_type=change_type)
    artefacts = Artefact.objects.bulk_create(
        Artefact(slug=f"artefact-{number:03}", name=f"Artefact {number:03}", change_type=types[number % 5], team=teams[number % TEAMS])
        for number in range(ALIASES)
    )
    Version.objects.bulk_create(
        Version(artefact=artefact, label=label, digest=f"sha256:{artefact.slug}-{label}") for artefact in artefacts for label in ("v1", "v2")
    )
    policies = RoutingPolicy.objects.bulk_create(
        RoutingPolicy(environment=place, alias=f"alias-{number:03}", artefact=artefact) for place in places for number, artefact in enumerate(artefacts)
    )
    owner = User.objects.order_by("pk")[0]
    DrillPlan.objects.bulk_create(
        DrillPlan(
            name=policy.alias,
            team=policy.artefact.team,
            owner=owner,
            environment=policy.environment,
            policy=policy,
            cadence=Cadence.MONTHLY,
            seed=1,
            is_active=False,
        )
        for policy in policies
        if policy.environment == places[0]
    )


def fill(begin: int, end: int, *, until: dt.datetime) -> None:
    """Runs number `begin` up to `end`, over the five years before `until` and in their order, and what belongs to them. Commits each batch.

    What surrounds the facts is written without looking up each reference, which would take longer than all the rest; facts are written as ever,
    so that the time of keeping the rollups can be told. Needs DATABASE_SUPERUSER_URL (`rollbackhub.local.with_servers` gives it).
    """
    with psycopg.connect(os.environ["DATABASE_SUPERUSER_URL"]) as connection:
        for first in range(begin, end, BATCH):
            with connection.transaction(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL session_replication_role = replica")
                cursor.execute("SELECT setseed(0.42 + %s / 1e8)", [first])
                runs = RUNS % {
                    "first": first,
                    "last": min(first + BATCH, end) - 1,
                    "begin": begin,
                    "count": end - begin,
                    "until": f"'{until.isoformat()}'",
                    "years": YEARS,
                    "aliases": ALIASES,
                }
                for statement in (runs, IMPORTS, EXECUTIONS, ROLLBACKS, PARTS, ROLL_FORWARDS, FINDINGS, RELEASES, READINESS, PLANNED, ACTIONS):
                    cursor.execute(statement)
                cursor.execute("SET LOCAL session_replication_role = origin")
                cursor.execute(FACTS)
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE)")


_SPEEDS = ", ".join(f"('{name}', {median}, {target})" for name, (median, target) in SPEEDS.items())

# Drills take the median of their type, production a third more; each alias has a factor of its own, and everybody gets a tenth faster a year.
# Three times as many runs fall into a spring or autumn month as into the quietest one.
RUNS = f"""
    CREATE TEMPORARY TABLE made ON COMMIT DROP AS
    WITH drawn AS MATERIALIZED (
        SELECT number, gen_random_uuid() AS id, gen_random_uuid() AS rollback_id, number %% %(aliases)s AS alias_number,
            (number - %(begin)s + random()) / %(count)s AS when_in, random() AS what, random() AS which, random() AS measured, random() AS late,
            random_normal() AS z, random_normal() AS z_detect, random_normal() AS z_authorise, random_normal() AS z_verify,
            random() AS no_detect, random() AS no_propagate, random() AS no_verify, random_normal() AS z_requests
        FROM generate_series(%(first)s, %(last)s) AS number
    ),
    placed AS (
        SELECT *, when_in + 0.5 / (4 * pi() * %(years)s) * sin(when_in * 4 * pi() * %(years)s) AS u,
            CASE WHEN what < 0.72 THEN 'drill' WHEN what < 0.8 THEN 'rehearsal' WHEN what < 0.99 THEN 'rollback' ELSE 'roll_forward' END AS kind
        FROM drawn
    ),
    known AS (
        SELECT placed.*, %(until)s::timestamptz - make_interval(secs => (1 - u) * %(years)s * 365.25 * 86400) AS at,
            p.id AS policy_id, p.environment_id, p.alias, a.id AS artefact_id, a.team_id, a.change_type, speed.target,
            speed.median * exp(0.45 * z) * exp(0.25 * sin(alias_number * 2.4)) * power(0.9, u * %(years)s)
                * CASE WHEN placed.kind IN ('drill', 'rehearsal') THEN 1 ELSE 1.33 END AS seconds,
            bad.id AS bad_id, good.id AS good_id, pv.id AS procedure_id
        FROM placed
        JOIN registry_environment e ON e.slug = CASE WHEN placed.kind IN ('drill', 'rehearsal') THEN 'staging' ELSE 'production' END
        JOIN routing_routingpolicy p ON p.environment_id = e.id AND p.alias = 'alias-' || lpad(alias_number::text, 3, '0')
        JOIN registry_artefact a ON a.id = p.artefact_id
        JOIN registry_version bad ON bad.artefact_id = a.id AND bad.label = 'v2'
        JOIN registry_version good ON good.artefact_id = a.id AND good.label = 'v1'
        JOIN (VALUES {_SPEEDS}) AS speed (change_type, median, target) ON speed.change_type = a.change_type
        JOIN executions_procedure ep ON ep.change_type = a.change_type AND ep.artefact_id IS NULL AND ep.connector = ''
        JOIN executions_procedureversion pv ON pv.procedure_id = ep.id AND pv.number = 1
    )
    SELECT *, kind IN ('rollback', 'roll_forward') AS in_production, number %% 50 = 0 AND kind <> 'roll_forward' AS is_imported,
        measured < 0.95 AS is_measured,
        CASE WHEN measured < 0.95 THEN seconds END AS rollback_seconds,
        CASE WHEN measured >= 0.97 THEN 'failed' WHEN measured >= 0.95 THEN 'error' WHEN kind IN ('drill', 'rehearsal') AND seconds > target THEN 'failed'
            WHEN measured < 0.01 THEN 'inconclusive' ELSE 'passed' END AS verdict,
        CASE WHEN kind IN ('rollback', 'roll_forward') AND no_detect > 0.2 THEN 900 * exp(1.1 * z_detect) END AS detect_seconds,
        CASE WHEN kind IN ('rollback', 'roll_forward') THEN least(seconds * 0.6, 40 * exp(1.2 * z_authorise)) END AS authorise_seconds,
        180 * exp(0.5 * z_verify) AS verify_seconds
    FROM known
"""

IMPORTS = """
    INSERT INTO analytics_historyimport (id, file_name, digest, rows, note, imported_by_id)
        SELECT gen_random_uuid(), 'history.csv', md5(min(number)::text) || md5(max(number)::text), count(*), '', (SELECT min(id) FROM accounts_user)
        FROM made WHERE is_imported HAVING count(*) > 0;
    INSERT INTO analytics_importedrun (history_import_id, row, reference, note)
        SELECT h.id, row_number() OVER (ORDER BY number) + 1, 'OPS-' || number, ''
        FROM made, (SELECT id FROM analytics_historyimport ORDER BY imported_at DESC, digest LIMIT 1) AS h WHERE is_imported
"""

EXECUTIONS = """
    INSERT INTO executions_execution (id, kind, state, environment_id, policy_id, procedure_version_id, change_type, bad_version_id, plan, fingerprint,
        requested_by_label, is_lab, fence, claimed_by, claims, created_at, started_at, decided_at, executed_at, propagated_at, drained_at, restored_at,
        verified_at, finished_at, rollback_seconds, target_seconds, verdict, outcome)
    SELECT id, kind, 'finished', environment_id, policy_id, procedure_id, change_type, bad_id, jsonb_build_object('alias', alias), md5(number::text),
        'campaign', false, 1, 'worker', 1, at, at, at,
        CASE WHEN is_measured THEN at + make_interval(secs => seconds * 0.1) END,
        CASE WHEN is_measured THEN at + make_interval(secs => seconds * 0.3) END,
        CASE WHEN is_measured THEN at + make_interval(secs => seconds) END,
        CASE WHEN is_measured THEN at + make_interval(secs => seconds) END,
        CASE WHEN is_measured THEN at + make_interval(secs => seconds + verify_seconds) END,
        at + make_interval(secs => seconds + verify_seconds + 10), rollback_seconds, target, verdict, ''
    FROM made WHERE NOT is_imported
"""

ROLLBACKS = """
    INSERT INTO rollbacks_rollback (id, number, state, environment_id, is_strategic, reason, requested_by_id, principal_id, requested_by_label, requested_via,
        idempotency_owner, request_hash, is_lab, plan_hash, plan_number, required_role, required_because, authorised_how, authorised_by_id,
        break_glass_reason, review_note, detected_at, detected_by, decided_at, authorised_at, started_at, executed_at, propagated_at, drained_at,
        restored_at, verified_at, closed_at, rollback_seconds, target_seconds, exposure_observed, exposure_basis, outcome, created_at)
    SELECT rollback_id, 5, CASE WHEN kind = 'rollback' THEN 'closed' ELSE 'rolled_forward' END, environment_id, false, 'degraded feedback', who.id, who.id,
        'campaign', 'page', '', md5(number::text), false, md5(number::text), 1, role, change_type,
        CASE WHEN which < 0.75 THEN 'own' WHEN which < 0.97 THEN 'approval' ELSE 'break_glass' END,
        CASE WHEN which < 0.75 OR which >= 0.97 THEN who.id ELSE other.id END, CASE WHEN which >= 0.97 THEN 'nobody answers' ELSE '' END, '',
        at - make_interval(secs => detect_seconds), 'alert', at, at + make_interval(secs => authorise_seconds),
        at + make_interval(secs => authorise_seconds),
        CASE WHEN is_measured THEN at + make_interval(secs => seconds * 0.7) END,
        CASE WHEN is_measured THEN at + make_interval(secs => seconds * 0.8) END,
        CASE WHEN is_measured THEN at + make_interval(secs => seconds) END,
        CASE WHEN is_measured THEN at + make_interval(secs => seconds) END,
        CASE WHEN is_measured THEN at + make_interval(secs => seconds + verify_seconds) END,
        at + make_interval(secs => seconds + verify_seconds + 60), rollback_seconds, target,
        CASE WHEN is_measured THEN (2000 * exp(z_requests))::bigint END, '', '', at
    FROM made
    CROSS JOIN LATERAL (SELECT CASE change_type WHEN 'dataset' THEN 'platform_lead' ELSE 'on_call' END AS role) AS authority
    CROSS JOIN (SELECT min(id) AS id FROM accounts_user) AS who CROSS JOIN (SELECT max(id) AS id FROM accounts_user) AS other
    WHERE in_production AND NOT is_imported
"""

PARTS = """
    INSERT INTO rollbacks_rollbackpart (rollback_id, position, policy_id, bad_version_id, procedure_version_id, plan, fingerprint, execution_id,
        earlier_executions, holds_alias)
    SELECT rollback_id, 0, policy_id, bad_id, procedure_id, jsonb_build_object('alias', alias), md5(number::text), CASE WHEN kind = 'rollback' THEN id END,
        '[]', false
    FROM made WHERE in_production AND NOT is_imported
"""

ROLL_FORWARDS = """
    INSERT INTO rollbacks_rollforward (rollback_id, part_id, fix_version_id, execution_id, state, canary_percents, skipped_gates, reason, started_by_id,
        outcome, created_at, ended_at)
    SELECT m.rollback_id, part.id, m.good_id, m.id, CASE WHEN m.verdict = 'passed' THEN 'held' ELSE 'failed' END, '[25, 100]', '[]', 'a small fix',
        (SELECT min(id) FROM accounts_user), '', m.at, m.at + make_interval(secs => m.seconds)
    FROM made m JOIN rollbacks_rollbackpart part ON part.rollback_id = m.rollback_id WHERE m.kind = 'roll_forward'
"""

FINDINGS = """
    INSERT INTO executions_finding (execution_id, code, subject, expected, found, remedy, found_at)
    SELECT id, (ARRAY['config_mismatch', 'flag_moved', 'target_retired', 'docs_stale', 'permission_missing', 'unreachable', 'too_slow', 'not_restored'])
        [1 + (which * 8)::int % 8], 'gateway-' || number % 5, 'as planned', 'something else', '', at + interval '10 seconds'
    FROM made WHERE NOT is_imported AND (verdict <> 'passed' OR late < 0.05)
"""

RELEASES = """
    INSERT INTO releases_release (policy_id, from_version_id, to_version_id, candidate_id, steps, next_step, state, note, created_by_id, created_by_label,
        created_at, started_at, live_at, ended_at, end_reason, bypass_reason, bypassed_conditions, gate_answer, idempotency_owner)
    SELECT policy_id, good_id, bad_id, 'campaign:v2:eu', '[5, 25, 50, 100]', 4, CASE WHEN which < 0.3 THEN 'rolled_back' ELSE 'superseded' END, '',
        (SELECT min(id) FROM accounts_user), 'campaign', at - interval '2 days', at - interval '2 days', at - interval '1 day', at, '', '', '[]', '{}', ''
    FROM made WHERE in_production
"""

READINESS = """
    INSERT INTO readiness_readinesschange (policy_id, at, state, rollbackable, codes, sentence)
    SELECT policy_id, at, CASE WHEN which < 0.7 THEN 'ready' ELSE 'not_ready' END, which < 0.7, '[]', ''
    FROM made WHERE in_production AND late < 0.25
"""

# The first drill of an alias in a month is the one that was planned; a tenth of those that did not pass never began.
PLANNED = """
    INSERT INTO drills_planneddrill (plan_id, slot, period_starts_at, period_ends_at, starts_at, latest_at, state, policy_id, execution_id, draw, started_at,
        ended_at, why)
    SELECT DISTINCT ON (plan.id, month) plan.id, month, month, month + interval '1 month', at, at + interval '1 day',
        CASE WHEN verdict = 'passed' THEN 'passed' WHEN missed THEN 'missed' ELSE 'failed' END, m.policy_id, CASE WHEN NOT missed THEN m.id END, '{}',
        CASE WHEN NOT missed THEN at END, at + interval '1 hour', ''
    FROM made m JOIN drills_drillplan plan ON plan.policy_id = m.policy_id
    CROSS JOIN LATERAL (SELECT date_trunc('month', at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS month, verdict <> 'passed' AND late < 0.1 AS missed) AS known
    WHERE kind = 'drill' AND NOT is_imported ORDER BY plan.id, month, at
    ON CONFLICT DO NOTHING
"""

ACTIONS = """
    WITH picked AS MATERIALIZED (
        SELECT gen_random_uuid() AS action_id, m.id AS execution_id, m.policy_id, m.team_id, m.at, m.verify_seconds, f.id AS finding_id, f.code, f.subject
        FROM made m JOIN executions_finding f ON f.execution_id = m.id WHERE m.kind = 'drill' AND m.which < 0.05
    ),
    actions AS (
        INSERT INTO actions_action (id, title, detail, team_id, owner_id, due_on, state, origin, origin_label, origin_url, is_lab, created_by_label,
            created_at, closed_at, closed_by_label, closed_reason)
        SELECT action_id, 'mend it', '', team_id, (SELECT min(id) FROM accounts_user), (at + interval '28 days')::date, 'done', 'drill', 'a drill', '/drills/',
            false, 'campaign', at, at + make_interval(secs => 3000 * verify_seconds), 'campaign', 'mended'
        FROM picked
    )
    INSERT INTO drills_findingaction (action_id, finding_id, policy_id, code, subject, last_seen_execution_id, times_seen, recurrences)
    SELECT action_id, finding_id, policy_id, code, subject, execution_id, 1, 0 FROM picked
"""

FACTS = """
    INSERT INTO analytics_runfact (source, execution_id, imported_id, rollback_id, followed_number, kind, at, month, environment_id, team_id, artefact_id,
        policy_id, alias, change_type, verdict, outcome, authority, authorised_how, rollback_seconds, target_seconds, hit, detect_seconds, decide_seconds,
        authorise_seconds, execute_seconds, propagate_seconds, drain_seconds, verify_seconds, exposure, exposure_estimated, finding_codes, is_lab)
    SELECT CASE WHEN is_imported THEN 'imported' ELSE 'hub' END, CASE WHEN NOT is_imported THEN made.id END, i.id,
        CASE WHEN in_production AND NOT is_imported THEN rollback_id END, CASE WHEN in_production THEN 5 ELSE 0 END,
        kind, at, date_trunc('month', at AT TIME ZONE 'UTC')::date, environment_id, team_id, artefact_id, policy_id, alias, change_type, verdict,
        CASE kind WHEN 'rollback' THEN 'closed' WHEN 'roll_forward' THEN CASE WHEN verdict = 'passed' THEN 'held' ELSE 'failed' END ELSE verdict END,
        CASE WHEN in_production THEN CASE change_type WHEN 'dataset' THEN 'platform_lead' ELSE 'on_call' END ELSE '' END,
        CASE WHEN NOT in_production THEN '' WHEN which < 0.75 THEN 'own' WHEN which < 0.97 THEN 'approval' ELSE 'break_glass' END,
        rollback_seconds, target, rollback_seconds <= target, detect_seconds, NULL, authorise_seconds,
        CASE WHEN is_measured THEN seconds * 0.1 * exp(0.3 * z_verify) END,
        CASE WHEN is_measured AND no_propagate > 0.1 THEN seconds * 0.2 * exp(0.3 * z_detect) END,
        CASE WHEN is_measured THEN seconds * 0.6 * exp(0.2 * z_authorise) END,
        CASE WHEN is_measured AND no_verify > 0.1 THEN verify_seconds END,
        CASE WHEN in_production AND is_measured THEN (2000 * exp(z_requests))::bigint END, CASE WHEN in_production AND is_measured THEN 100 END,
        coalesce((SELECT array_agg(DISTINCT f.code) FROM executions_finding f WHERE f.execution_id = made.id), '{}'), false
    FROM made LEFT JOIN analytics_importedrun i ON is_imported AND i.reference = 'OPS-' || number
    ORDER BY number
"""
