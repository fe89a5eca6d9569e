"""Django's `migrate`, run as the owner of the tables, and then the application role's rights."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.core.management.commands.migrate import Command as DjangoMigrate

from rollbackhub.common.grants import OWNER, apply_grants


class Command(DjangoMigrate):
    """`manage.py migrate` on the alias `owner` unless told otherwise."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Django's arguments with another default database."""
        super().add_arguments(parser)
        parser.set_defaults(database=OWNER)

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate, then set the rights (not for the forms that change nothing)."""
        super().handle(*args, **options)
        if options["plan"] or options["check_unapplied"] or options["database"] != OWNER:
            return
        if not apply_grants() and options["verbosity"] >= 1:
            self.stdout.write("The application uses the owner's role: the database itself does not refuse changes to append-only tables by grants.")
