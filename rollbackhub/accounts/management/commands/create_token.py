"""`manage.py create_token`: an API token for a person, printed once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rollbackhub.accounts.domain.transitions import issue_token
from rollbackhub.accounts.enums import Scope
from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import system_actor
from rollbackhub.common.errors import RollbackHubError


class Command(BaseCommand):
    """The token alone goes to standard output, so that a script can take it; what a person wants to know goes to standard error."""

    help = "Issue an API token for a person and print it once. It cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Whose, what for, what it may do, and for how long."""
        parser.add_argument("--user", required=True, help="user name of the person whose rights the token has")
        parser.add_argument("--name", required=True, help="what it is for, e.g. ci")
        parser.add_argument("--scopes", required=True, help=f"comma separated: {', '.join(Scope.values)}")
        parser.add_argument("--days", type=int, default=90, help="days until it expires (default 90)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Issue and print. Ends with one sentence when it cannot."""
        user = User.objects.filter(username=options["user"]).first()
        if user is None:
            raise CommandError(f"There is no account {options['user']}.")
        scopes = [part.strip() for part in options["scopes"].split(",") if part.strip()]
        try:
            token, plain = issue_token(user=user, name=options["name"], scopes=scopes, days=options["days"], actor=system_actor("command line"))
        except RollbackHubError as error:
            raise CommandError(error.message) from error
        may = ", ".join(token.scopes)
        self.stderr.write(f"Token {token.name} of {user.username} may {may} until {token.expiry:%Y-%m-%d}. It is stored nowhere and cannot be shown again:")
        self.stdout.write(plain)
