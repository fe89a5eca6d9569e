"""What notes said is kept, and the audit events of other parts that name an incident are found without reading all of them.

The index stands here because it serves the timeline of incidents; it is small: few events have an incident in their data.
"""

from django.db import migrations

from rollbackhub.common.append_only import RefuseChanges


class Migration(migrations.Migration):
    dependencies = [("incidents", "0003_people_work_on_incidents"), ("audit", "0002_append_only")]

    operations = [
        RefuseChanges(model_name="IncidentNoteText"),
        migrations.RunSQL(
            "CREATE INDEX audit_event_of_incident ON audit_auditevent ((data ->> 'incident'), id) WHERE data ? 'incident'",
            reverse_sql="DROP INDEX audit_event_of_incident",
        ),
    ]
