"""What search looks in follows every write by itself: statement triggers, so that many rows at once cost one pass."""

from django.db import migrations

# Two dictionaries: English finds other forms of a word, `simple` what somebody has begun to type (a prefix may be longer than the stem).
# A tsvector holds a megabyte at most; of a text that could pass that, only its beginning is looked in.
FUNCTIONS = """
    CREATE FUNCTION postmortems_vector(title text, names text, body text) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
        SELECT setweight(to_tsvector('english', title) || to_tsvector('simple', title), 'A')
            || setweight(to_tsvector('english', names) || to_tsvector('simple', names), 'B')
            || setweight(to_tsvector('english', cut) || to_tsvector('simple', cut), 'C')
        FROM (SELECT CASE WHEN octet_length(body) <= 250000 THEN body ELSE left(body, 60000) END AS cut) AS bounded
    $$;

    CREATE FUNCTION postmortems_index(ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE notes jsonb := '{}';
    BEGIN
        IF ids IS NULL OR cardinality(ids) = 0 THEN RETURN; END IF;
        IF to_regclass('incidents_incidentnote') IS NOT NULL THEN
            EXECUTE 'SELECT coalesce(jsonb_object_agg(incident_id, said), ''{}'') FROM (
                SELECT incident_id, string_agg(text, E''\\n\\n'' ORDER BY id) AS said FROM incidents_incidentnote
                WHERE incident_id = ANY ($1) AND withdrawn_at IS NULL GROUP BY incident_id) AS found' INTO notes USING ids;
        END IF;
        INSERT INTO postmortems_searchdocument (incident_id, opened_at, title, body, vector)
        SELECT i.id, i.opened_at, i.title, text.body, postmortems_vector(i.title, text.names, text.body)
        FROM incidents_incident i
        LEFT JOIN postmortems_postmortem p ON p.incident_id = i.id
        CROSS JOIN LATERAL (
            SELECT concat_ws(' ',
                    (SELECT string_agg(concat_ws(' ', r.alias, a.name), ' ') FROM incidents_incident_aliases l
                        JOIN routing_routingpolicy r ON r.id = l.routingpolicy_id JOIN registry_artefact a ON a.id = r.artefact_id WHERE l.incident_id = i.id),
                    (SELECT string_agg(c.name, ' ') FROM postmortems_postmortem_causes t JOIN postmortems_cause c ON c.id = t.cause_id WHERE t.postmortem_id = p.id)
                ) AS names,
                concat_ws(E'\\n\\n',
                    nullif(i.summary, ''),
                    (SELECT string_agg(nullif(s.text, ''), E'\\n\\n' ORDER BY s.id) FROM postmortems_section s WHERE s.postmortem_id = p.id),
                    (SELECT string_agg(nullif(f.words, ''), E'\\n\\n' ORDER BY f.id) FROM postmortems_factoranswer f WHERE f.postmortem_id = p.id),
                    notes ->> i.id::text
                ) AS body
        ) AS text
        WHERE i.id = ANY (ids)
        ON CONFLICT (incident_id) DO UPDATE SET opened_at = excluded.opened_at, title = excluded.title, body = excluded.body, vector = excluded.vector;
    END $$;

    CREATE FUNCTION postmortems_index_incidents() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM postmortems_index(ARRAY(SELECT id FROM changed));
        RETURN NULL;
    END $$;
    CREATE FUNCTION postmortems_index_incidents_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM postmortems_index(ARRAY(
            SELECT c.id FROM changed c JOIN before b USING (id) WHERE (c.title, c.summary, c.opened_at) IS DISTINCT FROM (b.title, b.summary, b.opened_at)
        ));
        RETURN NULL;
    END $$;
    CREATE FUNCTION postmortems_index_by_incident() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM postmortems_index(ARRAY(SELECT DISTINCT incident_id FROM changed WHERE incident_id IN (SELECT incident_id FROM postmortems_searchdocument)));
        RETURN NULL;
    END $$;
    CREATE FUNCTION postmortems_index_by_postmortem() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM postmortems_index(ARRAY(SELECT DISTINCT p.incident_id FROM changed c JOIN postmortems_postmortem p ON p.id = c.postmortem_id));
        RETURN NULL;
    END $$;
    CREATE FUNCTION postmortems_index_by_cause() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM postmortems_index(ARRAY(
            SELECT DISTINCT p.incident_id FROM changed c JOIN postmortems_postmortem_causes t ON t.cause_id = c.id JOIN postmortems_postmortem p ON p.id = t.postmortem_id
        ));
        RETURN NULL;
    END $$;
"""

TRIGGERS = [
    ("incidents_incident", "INSERT", "postmortems_index_incidents"),
    ("incidents_incident", "UPDATE", "postmortems_index_incidents_changed"),
    ("incidents_incident_aliases", "INSERT", "postmortems_index_by_incident"),
    ("incidents_incident_aliases", "DELETE", "postmortems_index_by_incident"),
    ("postmortems_section", "INSERT", "postmortems_index_by_postmortem"),
    ("postmortems_section", "UPDATE", "postmortems_index_by_postmortem"),
    ("postmortems_factoranswer", "UPDATE", "postmortems_index_by_postmortem"),
    ("postmortems_postmortem_causes", "INSERT", "postmortems_index_by_postmortem"),
    ("postmortems_postmortem_causes", "DELETE", "postmortems_index_by_postmortem"),
    ("postmortems_cause", "UPDATE", "postmortems_index_by_cause"),
]
NOTES = [("incidents_incidentnote", what, "postmortems_index_by_incident") for what in ("INSERT", "UPDATE")]


def create(table: str, what: str, function: str) -> str:
    """A trigger after each statement, with the rows that it wrote as `changed`."""
    rows = {"INSERT": "NEW TABLE AS changed", "UPDATE": "OLD TABLE AS before NEW TABLE AS changed", "DELETE": "OLD TABLE AS changed"}[what]
    return (
        f"CREATE TRIGGER postmortems_index_{what.lower()} AFTER {what} ON {table}"
        f" REFERENCING {rows} FOR EACH STATEMENT EXECUTE FUNCTION {function}();"
    )


# Notes of incidents come with another migration of incidents; where they are, they are followed.
WITH_NOTES = "DO $do$ BEGIN IF to_regclass('incidents_incidentnote') IS NOT NULL THEN " + " ".join(create(*row) for row in NOTES) + " END IF; END $do$;"
WITHOUT_NOTES = (
    "DO $do$ BEGIN IF to_regclass('incidents_incidentnote') IS NOT NULL THEN "
    + " ".join(f"DROP TRIGGER IF EXISTS postmortems_index_{what.lower()} ON {table};" for table, what, _ in NOTES)
    + " END IF; END $do$;"
)
FILL = "SELECT postmortems_index(ARRAY(SELECT id FROM incidents_incident));"
DROP = "".join(f"DROP TRIGGER postmortems_index_{what.lower()} ON {table};" for table, what, _ in TRIGGERS) + """
    DROP FUNCTION postmortems_index_by_cause();
    DROP FUNCTION postmortems_index_by_postmortem();
    DROP FUNCTION postmortems_index_by_incident();
    DROP FUNCTION postmortems_index_incidents_changed();
    DROP FUNCTION postmortems_index_incidents();
    DROP FUNCTION postmortems_index(uuid[]);
    DROP FUNCTION postmortems_vector(text, text, text);
"""


class Migration(migrations.Migration):
    dependencies = [("postmortems", "0001_initial"), ("incidents", "0003_people_work_on_incidents")]

    operations = [
        migrations.RunSQL(FUNCTIONS + "".join(create(*row) for row in TRIGGERS), DROP),
        migrations.RunSQL(WITH_NOTES, WITHOUT_NOTES),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
