from django.db import migrations

from rollbackhub.common.append_only import RefuseChanges

# Checked when the transaction commits, because candidates are inserted one after the other. On the revision too: one without candidates sums to 0.
WEIGHTS_SUM_TO_100 = """
    CREATE FUNCTION routing_revision_is_whole() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        revision bigint := CASE TG_TABLE_NAME WHEN 'routing_candidate' THEN (to_jsonb(NEW) ->> 'revision_id')::bigint ELSE (to_jsonb(NEW) ->> 'id')::bigint END;
        total bigint;
    BEGIN
        SELECT coalesce(sum(weight), 0) INTO total FROM routing_candidate WHERE revision_id = revision;
        IF total <> 100 THEN
            RAISE EXCEPTION 'the weights of policy revision % sum to %, not to 100', revision, total USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER routing_candidate_weights_sum AFTER INSERT ON routing_candidate
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION routing_revision_is_whole();
    CREATE CONSTRAINT TRIGGER routing_policyrevision_has_candidates AFTER INSERT ON routing_policyrevision
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION routing_revision_is_whole();
"""
WEIGHTS_FREE = """
    DROP TRIGGER routing_candidate_weights_sum ON routing_candidate;
    DROP TRIGGER routing_policyrevision_has_candidates ON routing_policyrevision;
    DROP FUNCTION routing_revision_is_whole();
"""


class Migration(migrations.Migration):
    dependencies = [("routing", "0001_initial")]

    operations = [
        RefuseChanges(model_name="PolicyRevision"),
        RefuseChanges(model_name="Candidate"),
        migrations.RunSQL(WEIGHTS_SUM_TO_100, WEIGHTS_FREE),
    ]
