"""What the application's database role may do: work with rows, and only add to the tables that are append-only.

A model says so by a class attribute `append_only = True`, or names its rights itself: `app_privileges = ("SELECT", "DELETE")`.
The owner role, which migrates, is the only one who may change tables.
"""

from __future__ import annotations

from django.apps import apps
from django.db import connections, transaction
from psycopg import sql

OWNER = "owner"
APP = "default"


def append_only_tables() -> set[str]:
    """Tables of all models that declare `append_only = True`."""
    return {model._meta.db_table for model in apps.get_models(include_auto_created=True) if getattr(model, "append_only", False)}


def table_rights() -> dict[str, str]:
    """The application role's rights on the tables where they are not all four."""
    named = {model._meta.db_table: ", ".join(model.app_privileges) for model in apps.get_models(include_auto_created=True) if hasattr(model, "app_privileges")}
    return {"django_migrations": "SELECT", **dict.fromkeys(append_only_tables(), "SELECT, INSERT"), **named}


def apply_grants() -> bool:
    """Set the application role's rights on everything in the schema `public`; PUBLIC has none. Safe to repeat.

    Answers False when there is no second role: an installation whose two database URLs name the same user.
    """
    owner, app = connections[OWNER], connections[APP].settings_dict["USER"]
    if not app or app == owner.settings_dict["USER"]:
        return False
    role = sql.Identifier(app)
    with transaction.atomic(using=OWNER), owner.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, c.relkind = 'S' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND pg_get_userbyid(c.relowner) = current_user"
        )
        found = [(str(name), bool(is_sequence)) for name, is_sequence in cursor.fetchall()]
        cursor.execute("SELECT current_database()")
        database = sql.Identifier(cursor.fetchone()[0])
        special = table_rights()
        statements = [
            sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database),
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, role),
            sql.SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC"),
            sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role),
            sql.SQL("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC"),
            sql.SQL("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {}").format(role),
        ]
        for name, is_sequence in found:
            rights = "USAGE, SELECT" if is_sequence else special.get(name, "SELECT, INSERT, UPDATE, DELETE")
            kind = "SEQUENCE" if is_sequence else "TABLE"
            target = sql.SQL("{} public.{}").format(sql.SQL(kind), sql.Identifier(name))
            statements.append(sql.SQL("REVOKE ALL ON {} FROM PUBLIC, {}").format(target, role))
            statements.append(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights), target, role))
        cursor.execute(sql.SQL("; ").join(statements))
    return True
