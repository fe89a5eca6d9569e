"""A hold stands beyond its time while an action that gates it is open: the database refuses as long."""

from importlib import import_module

from django.db import migrations

before = import_module("rollbackhub.routing.migrations.0003_held_versions")

BY_TIME = "h.ends_at > clock_timestamp()"
BY_TIME_OR_GATE = """(h.ends_at > clock_timestamp() OR EXISTS (
                SELECT 1 FROM registry_holdgate g JOIN actions_action a ON a.id = g.action_id
                WHERE g.hold_id = h.id AND a.is_gating AND a.state = 'open'
            ))"""
FUNCTION = before.CREATE.split("CREATE TRIGGER")[0].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
assert FUNCTION.count(BY_TIME) == 1


class Migration(migrations.Migration):
    dependencies = [("routing", "0005_mechanisms"), ("registry", "0008_hold_gates")]

    operations = [migrations.RunSQL(FUNCTION.replace(BY_TIME, BY_TIME_OR_GATE), FUNCTION)]
