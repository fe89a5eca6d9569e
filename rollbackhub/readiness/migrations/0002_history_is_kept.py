from django.db import migrations

from rollbackhub.common.append_only import RefuseChanges


class Migration(migrations.Migration):
    dependencies = [("readiness", "0001_initial")]

    operations = [
        # A change goes with its alias when that is deleted, so only a change of it is refused.
        RefuseChanges(model_name="ReadinessChange", delete=False),
    ]
