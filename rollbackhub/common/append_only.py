"""Migration operations for tables whose rows must not change: the database itself refuses, for the tables' owner too.

Which rights the application's role has on such a table is decided by the `migrate` command (models with `append_only = True`).
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState


class _TableOperation(Operation):
    """SQL on one model's table, without any change of Django's picture of the model."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, *, model_name: str) -> None:
        self.model_name = model_name

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Nothing: columns stay as they are."""

    def database_forwards(self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState) -> None:
        """Create the triggers."""
        schema_editor.execute(self.create_sql(_table(to_state, app_label, self.model_name)), params=None)

    def database_backwards(self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState) -> None:
        """Drop the triggers."""
        schema_editor.execute(self.drop_sql(_table(from_state, app_label, self.model_name)), params=None)

    def create_sql(self, table: str) -> str:
        """The statements that put the rule in place."""
        raise NotImplementedError

    def drop_sql(self, table: str) -> str:
        """The statements that take it away."""
        raise NotImplementedError


class RefuseChanges(_TableOperation):
    """Refuse UPDATE, DELETE and TRUNCATE of a table, each with a message that names the table."""

    def __init__(self, *, model_name: str, delete: bool = True) -> None:
        """`delete=False` leaves DELETE and TRUNCATE alone and refuses UPDATE only."""
        super().__init__(model_name=model_name)
        self.delete = delete

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """For Django's migration writer."""
        return self.__class__.__qualname__, [], {"model_name": self.model_name, "delete": self.delete}

    def describe(self) -> str:
        """For the output of `migrate`."""
        return f"Refuse {self._verbs()} of {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        """For a generated migration's name."""
        return f"{self.model_name.lower()}_refuse_changes"

    def _verbs(self) -> str:
        return "UPDATE OR DELETE OR TRUNCATE" if self.delete else "UPDATE"

    def create_sql(self, table: str) -> str:
        """A statement trigger: it refuses before any row is looked at."""
        return f"""
            CREATE FUNCTION {table}_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION '{table} keeps what was written: % is refused', TG_OP
                    USING ERRCODE = 'restrict_violation', HINT = 'Write a new row instead.';
            END $$;
            CREATE TRIGGER {table}_refuse_change BEFORE {self._verbs()} ON {table}
                FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse_change();
        """

    def drop_sql(self, table: str) -> str:
        """Without the trigger and its function."""
        return f"DROP TRIGGER {table}_refuse_change ON {table}; DROP FUNCTION {table}_refuse_change();"


class FreezeColumns(_TableOperation):
    """Refuse to change some columns once they hold something (an empty text or an empty JSON object may still be filled)."""

    def __init__(self, *, model_name: str, columns: list[str]) -> None:
        super().__init__(model_name=model_name)
        self.columns = columns

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """For Django's migration writer."""
        return self.__class__.__qualname__, [], {"model_name": self.model_name, "columns": self.columns}

    def describe(self) -> str:
        """For the output of `migrate`."""
        return f"Freeze {', '.join(self.columns)} of {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        """For a generated migration's name."""
        return f"{self.model_name.lower()}_freeze_columns"

    def create_sql(self, table: str) -> str:
        """A row trigger that runs only when one of the columns would really change (saving a whole row with the same values is fine)."""
        changed = " OR ".join(f"(OLD.{column} IS DISTINCT FROM NEW.{column} AND OLD.{column}::text NOT IN ('', '{{}}'))" for column in self.columns)
        return f"""
            CREATE FUNCTION {table}_refuse_thaw() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION '{table}: {", ".join(self.columns)} were frozen when the row was made and cannot change'
                    USING ERRCODE = 'restrict_violation', HINT = 'Make a new row instead.';
            END $$;
            CREATE TRIGGER {table}_refuse_thaw BEFORE UPDATE OF {", ".join(self.columns)} ON {table}
                FOR EACH ROW WHEN ({changed}) EXECUTE FUNCTION {table}_refuse_thaw();
        """

    def drop_sql(self, table: str) -> str:
        """Without the trigger and its function."""
        return f"DROP TRIGGER {table}_refuse_thaw ON {table}; DROP FUNCTION {table}_refuse_thaw();"


def _table(state: ProjectState, app_label: str, model_name: str) -> str:
    return str(state.apps.get_model(app_label, model_name)._meta.db_table)
