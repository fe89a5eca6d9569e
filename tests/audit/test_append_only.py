"""Nobody changes what was written: not the application's role, not the owner of the tables."""

from __future__ import annotations

import psycopg
import pytest
from django.db import connection

from rollbackhub.audit.domain.sequence import sequence_pending
from tests.audit.tampering import write_events
from tests.databases import FreshDatabase, url_of
from tests.factories.executions import ExecutionFactory, SampleFactory
from tests.factories.routing import RoutingPolicyFactory

REFUSED = {
    "audit_auditevent": ("UPDATE audit_auditevent SET event = 'x'", "DELETE FROM audit_auditevent", "TRUNCATE audit_auditevent CASCADE"),
    "audit_auditleaf": ("UPDATE audit_auditleaf SET position = position", "DELETE FROM audit_auditleaf", "TRUNCATE audit_auditleaf"),
    "audit_audittreehead": ("UPDATE audit_audittreehead SET size = size", "DELETE FROM audit_audittreehead", "TRUNCATE audit_audittreehead"),
    "routing_policyrevision": (
        "UPDATE routing_policyrevision SET reason = 'x'",
        "DELETE FROM routing_policyrevision",
        "TRUNCATE routing_policyrevision CASCADE",
    ),
    "routing_candidate": ("UPDATE routing_candidate SET weight = 0", "DELETE FROM routing_candidate", "TRUNCATE routing_candidate"),
    "executions_procedureversion": (
        "UPDATE executions_procedureversion SET steps = '[]'",
        "DELETE FROM executions_procedureversion",
        "TRUNCATE executions_procedureversion CASCADE",
    ),
    "executions_sample": ("UPDATE executions_sample SET value = '{}'",),
}
STATEMENTS = [(table, statement) for table, statements in REFUSED.items() for statement in statements]


@pytest.fixture
def here(db: None) -> str:
    """The name of the tests' database. Nothing is committed there, so the sessions below only try."""
    return str(connection.settings_dict["NAME"])


@pytest.mark.parametrize(("table", "statement"), STATEMENTS, ids=[statement for _, statement in STATEMENTS])
def test_change_as_owner_is_refused_by_trigger(here: str, table: str, statement: str) -> None:
    with psycopg.connect(url_of("DATABASE_OWNER_URL", database=here), autocommit=True) as owner:
        says = f"{table} keeps what was written: {statement.split()[0]} is refused"
        with pytest.raises(psycopg.errors.RestrictViolation, match=says):
            owner.execute(statement)


@pytest.mark.parametrize(("table", "statement"), STATEMENTS, ids=[statement for _, statement in STATEMENTS])
def test_change_as_application_is_refused(here: str, table: str, statement: str) -> None:
    with psycopg.connect(url_of("DATABASE_URL", database=here), autocommit=True) as app, pytest.raises(psycopg.errors.InsufficientPrivilege, match=table):
        app.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO audit_auditpending VALUES (1)",
        "UPDATE audit_auditpending SET event_id = 1",
        "TRUNCATE audit_auditpending",
        "DROP TRIGGER audit_auditevent_refuse_change ON audit_auditevent",
        "ALTER TABLE audit_auditevent DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
    ],
)
def test_way_around_as_application_is_refused(here: str, statement: str) -> None:
    with psycopg.connect(url_of("DATABASE_URL", database=here), autocommit=True) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(statement)


def test_changes_as_owner_leave_every_row(fresh_database: FreshDatabase) -> None:
    SampleFactory()
    write_events(2)
    assert sequence_pending() == 2
    with psycopg.connect(fresh_database.owner_url, autocommit=True) as owner:
        for table, statement in STATEMENTS:
            before = owner.execute(f"SELECT * FROM {table}").fetchall()
            assert before
            with pytest.raises(psycopg.errors.RestrictViolation):
                owner.execute(statement)
            assert owner.execute(f"SELECT * FROM {table}").fetchall() == before


def test_samples_go_with_their_execution(fresh_database: FreshDatabase) -> None:
    sample = SampleFactory()
    sample.execution.delete()
    with psycopg.connect(fresh_database.url) as app:
        assert app.execute("SELECT count(*) FROM executions_sample").fetchone() == (0,)


@pytest.mark.parametrize(("column", "value"), [("plan", '{"alias": "other"}'), ("plan", "{}"), ("fingerprint", "other"), ("fingerprint", "")])
def test_frozen_column_of_execution_cannot_change(fresh_database: FreshDatabase, column: str, value: str) -> None:
    ExecutionFactory()
    for url in (fresh_database.url, fresh_database.owner_url):
        with psycopg.connect(url, autocommit=True) as connection, pytest.raises(psycopg.errors.RestrictViolation, match="were frozen when the row was made"):
            connection.execute(f"UPDATE executions_execution SET {column} = %s", [value])


def test_frozen_execution_can_still_be_saved_whole(fresh_database: FreshDatabase) -> None:
    execution = ExecutionFactory()
    execution.refresh_from_db()
    execution.outcome = "stands where it stood"
    execution.save()
    execution.refresh_from_db()
    assert execution.outcome == "stands where it stood"


def test_frozen_columns_that_are_empty_can_be_filled_once(fresh_database: FreshDatabase) -> None:
    execution = ExecutionFactory(plan={}, fingerprint="")
    execution.plan, execution.fingerprint = {"alias": "a"}, "f"
    execution.save()
    with psycopg.connect(fresh_database.url, autocommit=True) as app, pytest.raises(psycopg.errors.RestrictViolation):
        app.execute("UPDATE executions_execution SET fingerprint = 'g'")


REVISION = "INSERT INTO routing_policyrevision (policy_id, number, routing_number, reason, actor_label) VALUES (%s, 2, 2, '', '') RETURNING id"
CANDIDATE = (
    "INSERT INTO routing_candidate (revision_id, position, candidate_id, version_id, weight) SELECT %s, %s, 'c' || %s, id, %s FROM registry_version LIMIT 1"
)


@pytest.mark.parametrize("weights", [[], [99], [60, 60], [0, 0], [100, 1]])
def test_revision_whose_weights_do_not_sum_to_100_cannot_be_committed(fresh_database: FreshDatabase, weights: list[int]) -> None:
    policy = RoutingPolicyFactory()
    with psycopg.connect(fresh_database.url) as app:
        row = app.execute(REVISION, [policy.pk]).fetchone()
        assert row is not None
        for position, weight in enumerate(weights):
            app.execute(CANDIDATE, [row[0], position, position, weight])
        with pytest.raises(psycopg.errors.CheckViolation, match=f"sum to {sum(weights)}, not to 100"):
            app.commit()
    assert policy.revisions.count() == 1


@pytest.mark.parametrize("weights", [[100], [0, 100], [25, 75], [33, 33, 34]])
def test_revision_whose_weights_sum_to_100_is_committed(fresh_database: FreshDatabase, weights: list[int]) -> None:
    policy = RoutingPolicyFactory()
    with psycopg.connect(fresh_database.url) as app:
        row = app.execute(REVISION, [policy.pk]).fetchone()
        assert row is not None
        for position, weight in enumerate(weights):
            app.execute(CANDIDATE, [row[0], position, position, weight])
    assert policy.revisions.count() == 2


def test_candidate_with_weight_added_later_cannot_be_committed(fresh_database: FreshDatabase) -> None:
    policy = RoutingPolicyFactory()
    with psycopg.connect(fresh_database.url) as app:
        app.execute(CANDIDATE, [policy.revisions.get().pk, 9, 9, 1])
        with pytest.raises(psycopg.errors.CheckViolation):
            app.commit()
