from django.db import migrations

from rollbackhub.common.append_only import FreezeColumns, RefuseChanges


class Migration(migrations.Migration):
    dependencies = [("executions", "0001_initial")]

    operations = [
        RefuseChanges(model_name="ProcedureVersion"),
        # Samples go with their execution when lab data is deleted, so only a change of one is refused.
        RefuseChanges(model_name="Sample", delete=False),
        FreezeColumns(model_name="Execution", columns=["plan", "fingerprint"]),
    ]
