"""The database itself refuses weight for a version under a stability hold in production, whoever writes it."""

from django.db import migrations

CREATE = """
    CREATE FUNCTION routing_candidate_refuse_held() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        -- Waits for a hold that is being started, and makes one wait for this revision.
        PERFORM 1 FROM registry_version WHERE id = NEW.version_id FOR SHARE;
        IF EXISTS (
            SELECT 1 FROM registry_stabilityhold h
            WHERE h.version_id = NEW.version_id AND h.lifted_at IS NULL AND h.ends_at > clock_timestamp()
        ) AND EXISTS (
            SELECT 1 FROM routing_policyrevision r
            JOIN routing_routingpolicy p ON p.id = r.policy_id
            JOIN registry_environment e ON e.id = p.environment_id
            WHERE r.id = NEW.revision_id AND e.kind = 'production'
        ) THEN
            RAISE EXCEPTION 'routing_candidate: the version % is under a stability hold and may get no weight in production', NEW.version_id
                USING ERRCODE = 'restrict_violation', HINT = 'Ship another version, or have a lead lift the hold.';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER routing_candidate_refuse_held BEFORE INSERT ON routing_candidate
        FOR EACH ROW WHEN (NEW.weight > 0) EXECUTE FUNCTION routing_candidate_refuse_held();
"""
DROP = "DROP TRIGGER routing_candidate_refuse_held ON routing_candidate; DROP FUNCTION routing_candidate_refuse_held();"


class Migration(migrations.Migration):
    dependencies = [("routing", "0002_immutable_revisions"), ("registry", "0003_stability_hold")]

    operations = [migrations.RunSQL(CREATE, DROP)]
