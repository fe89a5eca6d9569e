from django.db import migrations

from rollbackhub.common.append_only import RefuseChanges

WORKING_DAYS = {"sev1": 5, "sev2": 5, "sev3": 5, "sev4": 10}

# Asked so that yes means: it contributed.
QUESTIONS = [
    ("eval_gate", "Did the eval gate miss the case?", "Which eval set passed the version, and does it hold a case like this one now?"),
    ("feedback_gate", "Was the feedback gate's threshold too loose, or its sample too small?", "How much feedback had come when it let the version pass?"),
    ("canary_steps", "Were the canary's steps too large?", "What share of the traffic did the version have when it was noticed?"),
    ("canary_dwell", "Was the time at each canary step too short?", "Would a longer stay at a small share have shown it?"),
    ("monitoring", "Did monitoring notice it late, or not at all?", "Who noticed first: an alert, a person, a customer?"),
    ("drilled", "Was the rollback path not drilled before?", "When was the last passed drill of this very path?"),
    ("proof", "Was the proof of the rollback path stale, expired or failed when it was decided?", "What had changed since the drill?"),
    ("slow_segment", "Was a segment of the rollback slow?", "Which took longest, and what is the target?"),
    ("authority", "Did authority or approval cost time?", "Was it clear who decides, and were they reached?"),
    ("retention", "Was the version to go back to missing, or hard to get?", "Was it retained, reachable, and known?"),
    ("communication", "Did communication fail somewhere?", "Did everybody who had to know, know in time, and by one channel?"),
    ("documentation", "Was the procedure or its documentation wrong?", "Did people follow it, and did it say what was true?"),
]
CAUSES = [
    "Prompt regression",
    "Model regression",
    "Provider change",
    "Data quality",
    "Eval gap",
    "Canary too fast",
    "Monitoring gap",
    "Configuration drift",
    "Capacity",
    "Dependency failure",
    "Procedure gap",
    "Approval delay",
]


def seed(apps, schema_editor):
    """Add what is missing; what an administrator has set stays."""
    using = schema_editor.connection.alias
    for severity, days in WORKING_DAYS.items():
        defaults = {"working_days": days, "drafts": severity != "sev4"}
        apps.get_model("postmortems", "DueRule").objects.using(using).get_or_create(severity=severity, defaults=defaults)
    for position, (key, text, hint) in enumerate(QUESTIONS):
        defaults = {"text": text, "hint": hint, "position": 10 * (position + 1)}
        apps.get_model("postmortems", "FactorQuestion").objects.using(using).get_or_create(key=key, defaults=defaults)
    for name in CAUSES:
        apps.get_model("postmortems", "Cause").objects.using(using).get_or_create(slug=name.lower().replace(" ", "-"), defaults={"name": name})


class Migration(migrations.Migration):
    dependencies = [("postmortems", "0002_search")]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop), RefuseChanges(model_name="TextRevision")]
