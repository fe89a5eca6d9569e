"""manage.py create_first_people"""

from __future__ import annotations

import secrets
import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction
from rich.console import Console
from rich.table import Table

from rollbackhub.accounts.domain.transitions import create_person
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import system_actor

FIRST_PEOPLE = (
    ("oncall", Role.ON_CALL),
    ("lead", Role.PLATFORM_LEAD),
    ("leadership", Role.LEADERSHIP),
    ("auditor", Role.AUDITOR),
    ("admin", Role.ADMIN),
)
PASSWORD_BYTES = 15


class Command(BaseCommand):
    """One person per role, so that somebody can sign in; once, while there is nobody at all."""

    # They would load every page and the whole API, which takes seconds.
    requires_system_checks: list[str] = []
    help = "Makes one person per role with generated passwords, shown once, unless there are people already."

    def handle(self, *args: Any, **options: Any) -> None:
        """Make them and print their passwords; nothing happens when anybody exists."""
        with transaction.atomic():
            if User.objects.exists():
                return
            made = [(name, role, _make(name=name, role=role)) for name, role in FIRST_PEOPLE]
        table = Table()
        for heading in ("Sign in as", "Password", "Role"):
            table.add_column(heading)
        for name, role, password in made:
            table.add_row(name, password, role.label)
        console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 100)
        console.print("The first people. Their passwords are shown this once and kept nowhere in plain.")
        console.print(table)


def _make(*, name: str, role: Role) -> str:
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    create_person(username=name, password=password, roles=[role], actor=system_actor("setup"))
    return password
