import django.db.models.deletion
from django.db import migrations, models

import rollbackhub.audit.models
from rollbackhub.common.append_only import RefuseChanges

# Runs with the rights of the tables' owner, so that the application's role needs no right to insert into the pending table.
FILL_PENDING = """
    CREATE FUNCTION audit_auditevent_is_pending() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    BEGIN
        INSERT INTO audit_auditpending (event_id) SELECT id FROM new_events;
        RETURN NULL;
    END $$;
    CREATE TRIGGER audit_auditevent_is_pending AFTER INSERT ON audit_auditevent
        REFERENCING NEW TABLE AS new_events FOR EACH STATEMENT EXECUTE FUNCTION audit_auditevent_is_pending();
    INSERT INTO audit_auditpending (event_id) SELECT id FROM audit_auditevent event
        WHERE NOT EXISTS (SELECT 1 FROM audit_auditleaf leaf WHERE leaf.event_id = event.id);
"""
NO_FILL_PENDING = "DROP TRIGGER audit_auditevent_is_pending ON audit_auditevent; DROP FUNCTION audit_auditevent_is_pending();"

# Every row is inserted and deleted within seconds: without frequent vacuum the sequencer would walk over the dead ones.
VACUUM_PENDING = "ALTER TABLE audit_auditpending SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 100000)"


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="AuditPending",
            fields=[
                (
                    "event",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="pending",
                        serialize=False,
                        to="audit.auditevent",
                    ),
                ),
            ],
            options={"verbose_name_plural": "audit pending", "ordering": ["event"]},
        ),
        migrations.AddConstraint(
            model_name="auditevent",
            constraint=models.CheckConstraint(condition=rollbackhub.audit.models.DataIsCanonical(models.F("data")), name="audit_event_data_canonical"),
        ),
        migrations.AlterModelOptions(name="auditleaf", options={"ordering": ["position"], "verbose_name_plural": "audit leaves"}),
        migrations.RunSQL(FILL_PENDING, NO_FILL_PENDING),
        migrations.RunSQL(VACUUM_PENDING, migrations.RunSQL.noop),
        RefuseChanges(model_name="AuditEvent"),
        RefuseChanges(model_name="AuditLeaf"),
        RefuseChanges(model_name="AuditTreeHead"),
    ]
