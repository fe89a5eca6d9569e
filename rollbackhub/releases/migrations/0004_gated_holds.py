"""A version whose hold is gated by an open action is interlocked as long, and the reason names the actions."""

from importlib import import_module

from django.db import migrations

before = import_module("rollbackhub.releases.migrations.0002_interlocks")

FUNCTION = before.CREATE.split("CREATE FUNCTION registry_version_refuse_interlocked()")[0].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
BY_TIME = """        SELECT w.id, 'stability_hold',
            format('It is under a stability hold until %s UTC: what happened is still being looked at.', to_char(h.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')), h.ends_at
        FROM wanted w JOIN registry_stabilityhold h ON h.version_id = w.id AND h.lifted_at IS NULL AND h.ends_at > at
"""
BY_GATE = """        UNION ALL
        SELECT w.id, 'stability_hold',
            format('Its stability hold waits for %s: close %s first.', string_agg('“' || a.title || '”', ', ' ORDER BY g.id), CASE count(*) WHEN 1 THEN 'it' ELSE 'them' END),
            NULL::timestamptz
        FROM wanted w
        JOIN registry_stabilityhold h ON h.version_id = w.id AND h.lifted_at IS NULL
        JOIN registry_holdgate g ON g.hold_id = h.id
        JOIN actions_action a ON a.id = g.action_id AND a.is_gating AND a.state = 'open'
        GROUP BY w.id
"""
assert FUNCTION.count(BY_TIME) == 1


class Migration(migrations.Migration):
    dependencies = [("releases", "0003_superseded"), ("registry", "0008_hold_gates")]

    operations = [migrations.RunSQL(FUNCTION.replace(BY_TIME, BY_TIME + BY_GATE), FUNCTION)]
