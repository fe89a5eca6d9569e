"""Tests run with the rights that the application has in production."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.db import ProgrammingError, connection, transaction

from rollbackhub.accounts.models import Team
from rollbackhub.common.grants import append_only_tables
from tests.databases import FreshDatabase

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.django_db
def test_ordinary_test_runs_as_application_role() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("rollbackhub_app",)


@pytest.mark.django_db
@pytest.mark.parametrize("table", sorted(append_only_tables()))
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {} CASCADE", "DROP TABLE {}"])
def test_append_only_table_is_changed_by_application_refused(table: str, statement: str) -> None:
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(table))


def test_append_only_tables_are_the_ones_of_the_design() -> None:
    expected = {"audit_auditevent", "audit_auditleaf", "audit_audittreehead", "routing_policyrevision", "routing_candidate"}
    assert append_only_tables() >= expected | {"executions_procedureversion"}


@pytest.mark.django_db
@pytest.mark.parametrize("table", [*sorted(append_only_tables()), "executions_sample"])
def test_evidence_cannot_be_changed_by_the_application(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege(%s, 'UPDATE'), has_table_privilege(%s, 'TRUNCATE'), has_table_privilege(%s, 'INSERT')", [table] * 3)
        assert cursor.fetchone() == (False, False, True)


@pytest.mark.django_db
def test_public_has_no_rights() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a WHERE n.nspname = 'public' AND a.grantee = 0"
        )
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*) FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = current_database() AND a.grantee = 0")
        assert cursor.fetchone() == (0,)


def test_fresh_database_is_seen_by_django_and_by_subprocesses(fresh_database: FreshDatabase) -> None:
    Team.objects.create(slug="payments", name="Payments")
    with psycopg.connect(fresh_database.url) as other:
        assert other.execute("SELECT name, current_user FROM accounts_team").fetchall() == [("Payments", "rollbackhub_app")]
    code = "from rollbackhub.accounts.models import Team; Team.objects.create(slug='search', name='Search')"
    subprocess.run([sys.executable, "manage.py", "shell", "-v0", "-c", code], cwd=ROOT, env=fresh_database.env, check=True, capture_output=True)
    assert Team.objects.count() == 2


def test_fresh_database_of_the_next_test_is_empty(fresh_database: FreshDatabase) -> None:
    assert not Team.objects.exists()


@pytest.mark.django_db
def test_ordinary_test_after_fresh_database_is_back_on_its_own() -> None:
    assert not Team.objects.exists()
    assert str(connection.settings_dict["NAME"]).endswith(("_master", "_gw0", "_gw1", "_gw2", "_gw3"))
