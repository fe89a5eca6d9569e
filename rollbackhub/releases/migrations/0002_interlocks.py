"""What keeps a version from being retired, as one function: pages and API ask it, and the database asks it itself, whoever writes.

It stands here because it looks at everything: the version, policies, drills, releases and incidents.
"""

from django.db import migrations

from rollbackhub.common.append_only import RefuseChanges

CREATE = """
    CREATE FUNCTION registry_interlocks(ids bigint[], at timestamptz)
    RETURNS TABLE (version_id bigint, code text, sentence text, until timestamptz) LANGUAGE sql STABLE AS $$
        WITH wanted AS (
            SELECT v.id, v.label, v.artefact_id, v.lifecycle, v.superseded_at, coalesce(a.retention_days, rule.days, 90) AS days
            FROM registry_version v
            JOIN registry_artefact a ON a.id = v.artefact_id
            LEFT JOIN registry_retentionrule rule ON rule.change_type = a.change_type
            WHERE v.id = ANY (ids)
        ),
        present AS (
            SELECT c.version_id, sum(c.weight) AS weight, p.alias, e.name AS environment, e.kind
            FROM routing_candidate c
            JOIN routing_policyrevision r ON r.id = c.revision_id
            JOIN routing_routingpolicy p ON p.id = r.policy_id AND p.revision_number = r.number
            JOIN registry_environment e ON e.id = p.environment_id
            WHERE p.artefact_id IN (SELECT artefact_id FROM wanted)
            GROUP BY c.version_id, p.id, p.alias, e.name, e.kind
        ),
        proven AS (
            SELECT DISTINCT p.alias, p.artefact_id, label
            FROM executions_execution x
            JOIN routing_routingpolicy p ON p.id = x.policy_id
            CROSS JOIN LATERAL jsonb_array_elements_text(x.plan -> 'good_versions') AS label
            WHERE p.artefact_id IN (SELECT artefact_id FROM wanted)
                AND x.kind IN ('drill', 'rehearsal') AND x.state = 'finished' AND x.verdict = 'passed'
        )
        SELECT w.id, 'serves', format('It serves %s %% of %s in %s: take its weight away first.', s.weight, s.alias, s.environment), NULL::timestamptz
        FROM wanted w JOIN present s ON s.version_id = w.id AND s.weight > 0
        UNION ALL
        SELECT w.id, 'rollback_target', format('A rollback of %s in %s goes back to it: put another version into the policy in its place first.', s.alias, s.environment), NULL
        FROM wanted w JOIN present s ON s.version_id = w.id AND s.weight = 0 AND s.kind = 'production'
        UNION ALL
        SELECT w.id, 'rollback_target', format('Release %s of %s in %s goes back to it if it is rolled back.', l.id, p.alias, e.name), NULL
        FROM wanted w
        JOIN releases_release l ON l.from_version_id = w.id
        JOIN registry_version t ON t.id = l.to_version_id
        JOIN routing_routingpolicy p ON p.id = l.policy_id
        JOIN registry_environment e ON e.id = p.environment_id
        WHERE l.state IN ('planned', 'rolling_out') OR (l.state = 'live' AND t.lifecycle IN ('canary', 'live') AND NOT EXISTS (
            SELECT 1 FROM releases_release later WHERE later.policy_id = l.policy_id AND later.state = 'live' AND later.live_at > l.live_at))
        UNION ALL
        SELECT DISTINCT w.id, 'only_proven_target',
            format('It is the only version to which going back is proven for %s: drill going back to another one first.', n.alias), NULL::timestamptz
        FROM wanted w
        JOIN proven n ON n.artefact_id = w.artefact_id AND n.label = w.label
        WHERE EXISTS (
            SELECT 1 FROM routing_routingpolicy p JOIN registry_environment e ON e.id = p.environment_id
            WHERE p.alias = n.alias AND p.artefact_id = n.artefact_id AND e.kind = 'production'
        ) AND NOT EXISTS (
            SELECT 1 FROM proven o JOIN registry_version v ON v.artefact_id = o.artefact_id AND v.label = o.label
            WHERE o.alias = n.alias AND o.artefact_id = n.artefact_id AND o.label <> w.label AND v.lifecycle <> 'retired'
        )
        UNION ALL
        SELECT w.id, 'within_window',
            format('Its window of %s days lasts until %s UTC.', w.days, to_char((w.superseded_at + make_interval(days => w.days)) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')),
            w.superseded_at + make_interval(days => w.days)
        FROM wanted w WHERE w.superseded_at + make_interval(days => w.days) > at
        UNION ALL
        SELECT w.id, 'stability_hold',
            format('It is under a stability hold until %s UTC: what happened is still being looked at.', to_char(h.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')), h.ends_at
        FROM wanted w JOIN registry_stabilityhold h ON h.version_id = w.id AND h.lifted_at IS NULL AND h.ends_at > at
        UNION ALL
        SELECT DISTINCT w.id, 'open_incident', format('The incident “%s” is not closed: close it first.', i.title), NULL::timestamptz
        FROM wanted w
        JOIN rollbacks_rollbackpart part ON part.bad_version_id = w.id
            OR (part.plan ->> 'artefact' = (SELECT slug FROM registry_artefact WHERE id = w.artefact_id) AND part.plan -> 'good_versions' ? w.label)
        JOIN incidents_incidentrollback link ON link.rollback_id = part.rollback_id
        JOIN incidents_incident i ON i.id = link.incident_id AND i.state <> 'closed'
    $$;

    CREATE FUNCTION registry_version_refuse_interlocked() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE why text;
    BEGIN
        -- Retirements of one artefact go one after the other: else two proven versions, each of which counts on the other, could go at once.
        PERFORM pg_advisory_xact_lock(hashtext('registry_retirement'), OLD.artefact_id::int);
        -- A function that is volatile looks anew here: it sees what was committed while it waited, and rows that its own statement has changed.
        SELECT string_agg(code || ': ' || sentence, ' ' ORDER BY code) INTO why FROM registry_interlocks(ARRAY[OLD.id], clock_timestamp());
        IF why IS NOT NULL THEN
            RAISE EXCEPTION 'registry_version: % is still needed. %', OLD.label, why
                USING ERRCODE = 'restrict_violation', HINT = 'See the retention page for what has to happen first.';
        END IF;
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END $$;
    CREATE TRIGGER registry_version_refuse_interlocked_retirement BEFORE UPDATE ON registry_version
        FOR EACH ROW WHEN (NEW.lifecycle = 'retired' AND OLD.lifecycle <> 'retired') EXECUTE FUNCTION registry_version_refuse_interlocked();
    CREATE TRIGGER registry_version_refuse_interlocked_deletion BEFORE DELETE ON registry_version
        FOR EACH ROW EXECUTE FUNCTION registry_version_refuse_interlocked();

    -- The other way round: what is retired gets no traffic. The row lock of the held-versions trigger makes one wait for the other.
    CREATE FUNCTION routing_candidate_refuse_retired() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT 1 FROM registry_version WHERE id = NEW.version_id AND lifecycle = 'retired') THEN
            RAISE EXCEPTION 'routing_candidate: the version % is retired and may get no weight', NEW.version_id
                USING ERRCODE = 'restrict_violation', HINT = 'Restore the version, or choose another one.';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER routing_candidate_refuse_retired BEFORE INSERT ON routing_candidate
        FOR EACH ROW WHEN (NEW.weight > 0) EXECUTE FUNCTION routing_candidate_refuse_retired();
"""
DROP = """
    DROP TRIGGER routing_candidate_refuse_retired ON routing_candidate;
    DROP FUNCTION routing_candidate_refuse_retired();
    DROP TRIGGER registry_version_refuse_interlocked_deletion ON registry_version;
    DROP TRIGGER registry_version_refuse_interlocked_retirement ON registry_version;
    DROP FUNCTION registry_version_refuse_interlocked();
    DROP FUNCTION registry_interlocks(bigint[], timestamptz);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("releases", "0001_initial"),
        ("incidents", "0001_initial"),
        ("rollbacks", "0003_open_reviews"),
        ("routing", "0003_held_versions"),
        ("registry", "0005_retention_rules"),
    ]

    operations = [RefuseChanges(model_name="ReleaseStep"), migrations.RunSQL(CREATE, DROP)]
