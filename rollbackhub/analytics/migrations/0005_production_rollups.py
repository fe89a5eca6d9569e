"""What production alone has (who decided, how it ended, exposure, recovery) and what runs caught, kept by the database as 0003_rollups keeps the others.

`analytics_recount_production(mend)` reckons all of it from the facts, under a lock that keeps writers out, and gives the rows that differ.
"""

from django.db import migrations

CELL_KEY = ("month", "kind", "environment_id", "team_id", "alias", "change_type", "authority", "authorised_how", "verdict", "outcome", "is_lab", "source")
CELL_COUNTS = ("n", "wholes", "exposure_n", "exposure", "exposure_estimated")
BUCKET_KEY = ("span", "begins", "measure", "kind", "environment_id", "authority", "authorised_how", "is_lab", "bucket")
FINDING_KEY = ("month", "kind", "environment_id", "team_id", "alias", "change_type", "code", "is_lab", "source")
IN_PRODUCTION = "kind IN ('rollback', 'roll_forward')"

MEASURES = """
    ('detect', CASE WHEN is_whole THEN detect_seconds END),
    ('authorise', CASE WHEN is_whole THEN authorise_seconds END),
    ('recovery', detect_seconds + rollback_seconds),
    ('decided_recovery', CASE WHEN detect_seconds IS NULL THEN rollback_seconds END),
    ('exposure', exposure::double precision)
"""


def _cells(facts: str, sign: str) -> str:
    return f"""
        SELECT {", ".join(CELL_KEY)}, sum({sign}) AS n, coalesce(sum({sign}) FILTER (WHERE is_whole), 0) AS wholes,
            coalesce(sum({sign}) FILTER (WHERE exposure IS NOT NULL), 0) AS exposure_n, coalesce(sum({sign} * exposure), 0) AS exposure,
            coalesce(sum({sign} * exposure_estimated), 0) AS exposure_estimated
        FROM {facts} WHERE {IN_PRODUCTION} GROUP BY {", ".join(CELL_KEY)}
    """


def _buckets(facts: str, sign: str) -> str:
    return f"""
        SELECT span, begins, measure, kind, environment_id, authority, authorised_how, is_lab, analytics_bucket(seconds) AS bucket, sum({sign}) AS n
        FROM {facts} CROSS JOIN LATERAL (VALUES {MEASURES}) AS measured (measure, seconds)
            CROSS JOIN LATERAL (VALUES ('month', month), ('year', date_trunc('year', month)::date)) AS spans (span, begins)
        WHERE {IN_PRODUCTION} AND seconds IS NOT NULL
        GROUP BY span, begins, measure, kind, environment_id, authority, authorised_how, is_lab, analytics_bucket(seconds)
    """


def _findings(facts: str, sign: str) -> str:
    others = ", ".join(name for name in FINDING_KEY if name != "code")
    return f"""
        SELECT {", ".join(FINDING_KEY)}, sum({sign}) AS n FROM {facts} CROSS JOIN LATERAL unnest(finding_codes) AS caught (code)
        GROUP BY {others}, code
    """


TABLES = (
    ("analytics_productioncell", CELL_KEY, CELL_COUNTS, _cells, IN_PRODUCTION),
    ("analytics_productionbucket", BUCKET_KEY, ("n",), _buckets, IN_PRODUCTION),
    ("analytics_findingcell", FINDING_KEY, ("n",), _findings, "finding_codes <> '{}'"),
)
"""Each rollup with its key, its counts, how they are reckoned, and which facts concern it: most statements (a drill that caught nothing) concern none."""


def _follow(operation: str, facts: str, tables: str) -> str:
    """The function and its trigger that bring these rollups along after one kind of statement. Rows are taken in one order."""
    body = []
    for table, key, counts, count, concerns in TABLES:
        statements = []
        keys, added = ", ".join(key), ", ".join(f"{name} = kept.{name} + EXCLUDED.{name}" for name in counts)
        changes = " OR ".join(f"{name} <> 0" for name in counts)
        statements.append(
            f"INSERT INTO {table} AS kept ({keys}, {', '.join(counts)})"
            f" SELECT * FROM ({count(facts, 'sign')}) AS changed WHERE {changes} ORDER BY {keys}"
            f" ON CONFLICT ({keys}) DO UPDATE SET {added};"
        )
        if operation != "insert":
            same = " AND ".join(f"kept.{name} = was.{name}" for name in key)
            statements.append(f"DELETE FROM {table} AS kept USING ({count('gone', '1')}) AS was WHERE {same} AND kept.n = 0;")
        body.append(f"IF EXISTS (SELECT FROM {facts} WHERE {concerns}) THEN {' '.join(statements)} END IF;")
    return f"""
        CREATE FUNCTION analytics_production_{operation}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
        BEGIN
            {" ".join(body)}
            RETURN NULL;
        END $$;
        CREATE TRIGGER analytics_production_{operation} AFTER {operation.upper()} ON analytics_runfact
            REFERENCING {tables} FOR EACH STATEMENT EXECUTE FUNCTION analytics_production_{operation}();
    """


FOLLOWING = (
    _follow("insert", "(SELECT 1 AS sign, * FROM come) AS facts", "NEW TABLE AS come")
    + _follow("update", "(SELECT 1 AS sign, * FROM come UNION ALL SELECT -1 AS sign, * FROM gone) AS facts", "OLD TABLE AS gone NEW TABLE AS come")
    + _follow("delete", "(SELECT -1 AS sign, * FROM gone) AS facts", "OLD TABLE AS gone")
)
NO_FOLLOWING = "".join(
    f"DROP TRIGGER analytics_production_{name} ON analytics_runfact; DROP FUNCTION analytics_production_{name}();" for name in ("insert", "update", "delete")
)


def _recount(table: str, key: tuple[str, ...], counts: tuple[str, ...], fresh: str) -> str:
    names = (*key, *counts)
    return f"""
        CREATE TEMPORARY TABLE differing ON COMMIT DROP AS
            SELECT held.id, to_jsonb(held) - 'id' AS kept, to_jsonb(fresh) AS fresh
            FROM {table} AS held FULL JOIN ({fresh}) AS fresh ON to_jsonb(held) - 'id' = to_jsonb(fresh)
            WHERE held.n IS NULL OR fresh.n IS NULL;
        IF mend THEN
            DELETE FROM {table} WHERE id IN (SELECT id FROM differing);
            INSERT INTO {table} ({", ".join(names)})
                SELECT {", ".join(f"right_one.{name}" for name in names)}
                FROM differing CROSS JOIN LATERAL jsonb_populate_record(NULL::{table}, differing.fresh) AS right_one WHERE differing.fresh IS NOT NULL;
        END IF;
        RETURN QUERY SELECT '{table}', differing.kept, differing.fresh FROM differing;
        DROP TABLE differing;
    """


RECOUNT = f"""
    CREATE FUNCTION analytics_recount_production(mend boolean) RETURNS TABLE (rollup text, kept jsonb, recounted jsonb)
        LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    BEGIN
        LOCK TABLE analytics_runfact IN SHARE MODE;
        {"".join(_recount(table, key, counts, count("analytics_runfact", "1")) for table, key, counts, count, _ in TABLES)}
    END $$;
    SELECT analytics_recount_production(true);
"""
NO_RECOUNT = "DROP FUNCTION analytics_recount_production(boolean);"


class Migration(migrations.Migration):
    dependencies = [("analytics", "0004_production_tables")]

    operations = [migrations.RunSQL(FOLLOWING, NO_FOLLOWING), migrations.RunSQL(RECOUNT, NO_RECOUNT)]
