"""Rollups are kept by the database itself: whoever changes facts, by whatever way, changes the counts in the same statement.

Each statement's transition tables give what went and what came; what they differ by is added to the cells and buckets that it touches. So two
transactions at once add up, whatever their order (within a statement rows are taken in one order, so that two do not wait for each other in a
circle), and a statement of 100,000 rows costs one pass. Sums are whole microseconds: floats would not come back to where they were.

`analytics_recount(mend)` reckons all of it from the facts, under a lock that keeps writers out, and gives the rows that differ.
"""

from django.db import migrations

GAMMA = 1.01 / 0.99
"""Of the buckets: a value is off by 1 % at most when its bucket's middle is taken for it."""

SEGMENTS = ("detect", "decide", "authorise", "execute", "propagate", "drain", "verify")
MEASURES = ("rollback", *SEGMENTS)
CELL_KEY = ("month", "kind", "alias", "policy_id", "environment_id", "team_id", "artefact_id", "change_type", "is_lab", "source")
HISTOGRAM_KEY = ("measure", "month", "kind", "environment_id", "change_type", "is_lab", "source")
COUNTS = (
    "n",
    "passed",
    "failed",
    "inconclusive",
    "error",
    "with_target",
    "hits",
    *(f"{measure}_{what}" for measure in MEASURES for what in ("n", "us")),
)


def _counted(sign: str) -> str:
    """Each count of a cell over some facts, in the order of COUNTS."""
    verdicts = [f"sum({sign}) FILTER (WHERE verdict = '{verdict}')" for verdict in ("passed", "failed", "inconclusive", "error")]
    measures = [
        expression
        for measure in MEASURES
        for expression in (
            f"sum({sign}) FILTER (WHERE {measure}_seconds IS NOT NULL)",
            f"sum({sign} * round({measure}_seconds * 1000000)::bigint)",
        )
    ]
    counts = [f"sum({sign})", *verdicts, f"sum({sign}) FILTER (WHERE hit IS NOT NULL)", f"sum({sign}) FILTER (WHERE hit)", *measures]
    return ", ".join(f"coalesce({count}, 0) AS {name}" for name, count in zip(COUNTS, counts, strict=True))


def _cells_of(facts: str, sign: str) -> str:
    return f"SELECT {', '.join(CELL_KEY)}, {_counted(sign)} FROM {facts} GROUP BY {', '.join(CELL_KEY)}"


def _histograms_of(facts: str, sign: str) -> str:
    """The histogram of each measure over some facts: buckets in rising order, with what each holds. What comes to nothing is left out."""
    key = ", ".join(HISTOGRAM_KEY)
    values = ", ".join(f"('{measure}', {measure}_seconds)" for measure in MEASURES)
    return f"""
        SELECT {key}, array_agg(bucket ORDER BY bucket) AS buckets, array_agg(held ORDER BY bucket) AS counts, sum(held) AS n
        FROM (
            SELECT measure, month, kind, environment_id, change_type, is_lab, source, analytics_bucket(seconds) AS bucket, sum({sign})::integer AS held
            FROM {facts} CROSS JOIN LATERAL (VALUES {values}) AS measured (measure, seconds)
            WHERE seconds IS NOT NULL
            GROUP BY measure, month, kind, environment_id, change_type, is_lab, source, analytics_bucket(seconds)
        ) AS in_buckets
        WHERE held <> 0
        GROUP BY {key}
    """


def _follow(operation: str, facts: str, tables: str) -> str:
    """The function and its trigger that bring the rollups along after one kind of statement."""
    key, added = ", ".join(CELL_KEY), ", ".join(f"{name} = cell.{name} + EXCLUDED.{name}" for name in COUNTS)
    changes = " OR ".join(f"{name} <> 0" for name in COUNTS)
    histogram_key = ", ".join(HISTOGRAM_KEY)
    vanish = ""
    if operation != "insert":
        same = " AND ".join(f"cell.{name} = gone_key.{name}" for name in CELL_KEY if name != "policy_id")
        vanish = f"""
            DELETE FROM analytics_runcell AS cell USING (SELECT DISTINCT {key} FROM gone) AS gone_key
                WHERE {same} AND cell.policy_id IS NOT DISTINCT FROM gone_key.policy_id AND cell.n = 0;
            DELETE FROM analytics_runhistogram AS histogram USING (SELECT DISTINCT {", ".join(HISTOGRAM_KEY[1:])} FROM gone) AS gone_key
                WHERE {" AND ".join(f"histogram.{name} = gone_key.{name}" for name in HISTOGRAM_KEY[1:])} AND histogram.counts = '{{}}';
        """
    return f"""
        CREATE FUNCTION analytics_runfact_{operation}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
        BEGIN
            INSERT INTO analytics_runcell AS cell ({key}, {", ".join(COUNTS)})
                SELECT * FROM ({_cells_of(facts, "sign")}) AS changed WHERE {changes} ORDER BY {key}
                ON CONFLICT ({key}) DO UPDATE SET {added};
            INSERT INTO analytics_runhistogram AS histogram ({histogram_key}, buckets, counts, n)
                SELECT * FROM ({_histograms_of(facts, "sign")}) AS changed ORDER BY {histogram_key}
                ON CONFLICT ({histogram_key}) DO UPDATE SET n = histogram.n + EXCLUDED.n, (buckets, counts) = (
                    SELECT merged.buckets, merged.counts
                    FROM analytics_merged(histogram.buckets, histogram.counts, EXCLUDED.buckets, EXCLUDED.counts) AS merged
                );
            {vanish}
            RETURN NULL;
        END $$;
        CREATE TRIGGER analytics_runfact_{operation} AFTER {operation.upper()} ON analytics_runfact
            REFERENCING {tables} FOR EACH STATEMENT EXECUTE FUNCTION analytics_runfact_{operation}();
    """


BUCKETS = f"""
    CREATE FUNCTION analytics_bucket(seconds double precision) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT CASE WHEN seconds < 0.000001 THEN -32768 ELSE ceil(ln(seconds) / ln({GAMMA!r}::double precision)) END::smallint
    $$;
    CREATE FUNCTION analytics_bucket_seconds(bucket integer) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT CASE WHEN bucket = -32768 THEN 0 ELSE 2 * power({GAMMA!r}::double precision, bucket) / ({GAMMA!r}::double precision + 1) END
    $$;
    CREATE FUNCTION analytics_merged(buckets_1 smallint[], counts_1 integer[], buckets_2 smallint[], counts_2 integer[])
    RETURNS TABLE (buckets smallint[], counts integer[]) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT coalesce(array_agg(bucket ORDER BY bucket), '{{}}'), coalesce(array_agg(held ORDER BY bucket), '{{}}')
        FROM (
            SELECT bucket, sum(held)::integer AS held
            FROM (SELECT * FROM unnest(buckets_1, counts_1) UNION ALL SELECT * FROM unnest(buckets_2, counts_2)) AS both_of_them (bucket, held)
            GROUP BY bucket HAVING sum(held) <> 0
        ) AS summed
    $$;
"""
NO_BUCKETS = "DROP FUNCTION analytics_merged(smallint[], integer[], smallint[], integer[]); DROP FUNCTION analytics_bucket_seconds(integer); DROP FUNCTION analytics_bucket(double precision);"

BOTH = "(SELECT 1 AS sign, * FROM come UNION ALL SELECT -1 AS sign, * FROM gone) AS facts"
FOLLOWING = (
    _follow("insert", "(SELECT 1 AS sign, * FROM come) AS facts", "NEW TABLE AS come")
    + _follow("update", BOTH, "OLD TABLE AS gone NEW TABLE AS come")
    + _follow("delete", "(SELECT -1 AS sign, * FROM gone) AS facts", "OLD TABLE AS gone")
    + """
        CREATE FUNCTION analytics_runfact_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'analytics_runfact: TRUNCATE is refused, because the rollups would not follow it'
                USING ERRCODE = 'restrict_violation', HINT = 'Use DELETE.';
        END $$;
        CREATE TRIGGER analytics_runfact_refuse_truncate BEFORE TRUNCATE ON analytics_runfact
            FOR EACH STATEMENT EXECUTE FUNCTION analytics_runfact_refuse_truncate();
    """
)
NO_FOLLOWING = "".join(
    f"DROP TRIGGER analytics_runfact_{name} ON analytics_runfact; DROP FUNCTION analytics_runfact_{name}();"
    for name in ("insert", "update", "delete", "refuse_truncate")
)


def _recount(table: str, key: tuple[str, ...], counts: tuple[str, ...], fresh: str) -> str:
    """Compare a rollup with the facts: rows that one side does not have, or has with other counts, come out, and are mended when that is wanted."""
    names = ", ".join((*key, *counts))
    same = " AND ".join("coalesce(kept.policy_id, 0) = coalesce(fresh.policy_id, 0)" if name == "policy_id" else f"kept.{name} = fresh.{name}" for name in key)
    other = ", ".join(f"kept.{name}" for name in counts), ", ".join(f"fresh.{name}" for name in counts)
    return f"""
        CREATE TEMPORARY TABLE differing ON COMMIT DROP AS
            SELECT kept.id, to_jsonb(kept) - 'id' AS kept, to_jsonb(fresh) AS fresh
            FROM {table} AS kept FULL JOIN ({fresh}) AS fresh ON {same}
            WHERE kept.n IS NULL OR fresh.n IS NULL OR ({other[0]}) IS DISTINCT FROM ({other[1]});
        IF mend THEN
            DELETE FROM {table} WHERE id IN (SELECT id FROM differing);
            INSERT INTO {table} ({names})
                SELECT {names} FROM differing CROSS JOIN LATERAL jsonb_populate_record(NULL::{table}, differing.fresh) WHERE differing.fresh IS NOT NULL;
        END IF;
        RETURN QUERY SELECT '{table}', differing.kept, differing.fresh FROM differing;
        DROP TABLE differing;
    """


RECOUNT = f"""
    CREATE FUNCTION analytics_recount(mend boolean) RETURNS TABLE (rollup text, stands jsonb, recounted jsonb)
        LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    BEGIN
        LOCK TABLE analytics_runfact IN SHARE MODE;
        {_recount("analytics_runcell", CELL_KEY, COUNTS, _cells_of("analytics_runfact", "1"))}
        {_recount("analytics_runhistogram", HISTOGRAM_KEY, ("buckets", "counts", "n"), _histograms_of("analytics_runfact", "1"))}
    END $$;
    SELECT analytics_recount(true);
"""
NO_RECOUNT = "DROP FUNCTION analytics_recount(boolean);"

# Rows of the present month change again and again: room beside them keeps the indexes out of it.
ROOM = "ALTER TABLE analytics_runcell SET (fillfactor = 80); ALTER TABLE analytics_runhistogram SET (fillfactor = 80);"
NO_ROOM = "ALTER TABLE analytics_runcell RESET (fillfactor); ALTER TABLE analytics_runhistogram RESET (fillfactor);"

MONTH = """
    ALTER TABLE analytics_runfact ADD CONSTRAINT run_fact_month_is_that_of_its_instant
        CHECK (month = date_trunc('month', at AT TIME ZONE 'UTC')::date);
"""
NO_MONTH = "ALTER TABLE analytics_runfact DROP CONSTRAINT run_fact_month_is_that_of_its_instant;"


class Migration(migrations.Migration):
    dependencies = [("analytics", "0002_rollup_tables")]

    operations = [
        migrations.RunSQL(MONTH, NO_MONTH),
        migrations.RunSQL(ROOM, NO_ROOM),
        migrations.RunSQL(BUCKETS, NO_BUCKETS),
        migrations.RunSQL(FOLLOWING, NO_FOLLOWING),
        migrations.RunSQL(RECOUNT, NO_RECOUNT),
    ]
