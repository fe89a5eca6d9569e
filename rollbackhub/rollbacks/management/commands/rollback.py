"""manage.py rollback ALIAS [ALIAS …] --environment production --reason "…" [--json]"""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Any, NoReturn
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from psycopg_pool import PoolTimeout
from rich.console import Console
from rich.live import Live

from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput, NotFound, RollbackHubError, Unavailable
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.registry.models import Environment, Version
from rollbackhub.rollbacks.domain.authority import list_approvers
from rollbackhub.rollbacks.domain.changes import address_of
from rollbackhub.rollbacks.domain.coordination import coordinate, get_coordinated
from rollbackhub.rollbacks.domain.proposal import Target, propose_rollback
from rollbackhub.rollbacks.domain.proposal_report import proposal_report
from rollbackhub.rollbacks.domain.selectors import get_rollback, list_executions_of, rollback_report
from rollbackhub.rollbacks.domain.transitions import request_rollback
from rollbackhub.rollbacks.enums import RollbackState, Via
from rollbackhub.rollbacks.management.principal import actor_by_command_line, choose_account
from rollbackhub.rollbacks.management.terminal import names, plan_text, rollback_table
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy

RESTORED, NOT_RESTORED, COULD_NOT_RUN, WAITS = 0, 1, 2, 3
LOOK_SECONDS = 0.2
MOVING = (RollbackState.RUNNING, RollbackState.RESTORED, RollbackState.UNDOING, RollbackState.ROLLING_FORWARD)
"""Something happens by itself; in every other state the command has nothing to wait for."""


class Command(BaseCommand):
    """Requests a production rollback and follows it to its end. It never approves."""

    # They load every page and cost a third of the start; whoever types this cannot wait for it.
    requires_system_checks = []
    help = (
        "Roll back one alias, or several in this order, in production. "
        "Exit code 0: restored and verified, 1: not, 2: could not run or was refused, 3: waits for approval."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("aliases", nargs="*", metavar="alias", help="the alias, e.g. smart-reasoner; several are rolled back in this order")
        parser.add_argument("--coordinated", default="", metavar="SLUG", help="a coordinated procedure: all its aliases, or those that are named")
        parser.add_argument("--environment", default="production", help="their environment (production)")
        parser.add_argument("--reason", default="", help="why, for the record")
        parser.add_argument("--as", dest="account", default="", metavar="USERNAME", help="the account that asks (ROLLBACKHUB_AS, else yours)")
        parser.add_argument("--bad-version", action="append", default=[], metavar="[ALIAS=]LABEL", help="the version to take out (the one in canary)")
        parser.add_argument("--strategic", action="store_true", help="it is strategic: leadership decides")
        parser.add_argument("--detected-at", default="", metavar="INSTANT", help="when it was noticed, e.g. 2026-11-23T01:25:00Z")
        parser.add_argument("--detected-by", default="", help="how it was noticed")
        parser.add_argument("--break-glass", default="", metavar="WHY", help="start without the approval that it would need; every lead is told")
        parser.add_argument("--plan", action="store_true", help="only show what would be done, and change nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON object at the end, and nothing else")
        parser.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="seconds to wait for an approval and follow on (0)")
        parser.add_argument("--start-within", type=float, default=20, help="seconds after which to say that nobody picks it up (20)")
        parser.add_argument("--timeout", type=float, default=600, help="seconds to follow it while it runs; it goes on afterwards (600)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Request, follow, report."""
        try:
            rollback = self._request(options)
        except RollbackHubError as error:
            self._could_not_run(error, as_json=options["json"])
        except (DatabaseError, PoolTimeout) as error:
            sentence = f"The database does not answer: {_first_line(error)}. Is `make up` running?"
            self._could_not_run(Unavailable(sentence, code="database"), as_json=options["json"])
        if rollback is None:
            return
        try:
            rollback = self._follow(rollback, options)
            report = rollback_report(rollback)
        except KeyboardInterrupt:
            self._not_followed(rollback, "You stopped looking.", as_json=options["json"])
        except (DatabaseError, PoolTimeout) as error:
            self._not_followed(rollback, f"The database does not answer: {_first_line(error)}.", as_json=options["json"])
        if options["json"]:
            self.stdout.write(_json(report))
        else:
            self.stdout.write(f"{rollback.get_state_display()}: {rollback.outcome}".removesuffix(": "))
        sys.exit(self._code(rollback))

    def _request(self, options: dict[str, Any]) -> Rollback | None:
        """Ask for the rollback; None when only the plan was wanted."""
        environment = Environment.objects.filter(slug=options["environment"]).first()
        if environment is None:
            raise NotFound(f"There is no environment {options['environment']}.", code="environment_not_found")
        procedure = get_coordinated(options["coordinated"]) if options["coordinated"] else None
        aliases = options["aliases"] or ([step.policy.alias for step in procedure.steps.all()] if procedure else [])
        if not aliases:
            raise InvalidInput("Name an alias to roll back, or a coordinated procedure with --coordinated.", code="no_alias")
        targets = _targets(environment, aliases=aliases, bad_versions=options["bad_version"])
        coordination = coordinate(procedure, [target.policy for target in targets]) if procedure else None
        account, told = choose_account(named=options["account"], environment=environment)
        if told:
            self.stderr.write(told)
        if options["plan"]:
            proposal = propose_rollback(targets=targets, account=account, strategic=options["strategic"], coordination=coordination)
            self.stdout.write(_json(proposal_report(proposal)) if options["json"] else plan_text(proposal))
            return None
        return request_rollback(
            targets=targets,
            account=account,
            actor=actor_by_command_line(account),
            reason=options["reason"],
            via=Via.COMMAND,
            strategic=options["strategic"],
            coordination=coordination,
            detected_at=_instant(options["detected_at"]),
            detected_by=options["detected_by"],
            break_glass_reason=options["break_glass"],
        )

    def _follow(self, rollback: Rollback, options: dict[str, Any]) -> Rollback:
        """Look until nothing happens by itself any more, or the time is over. It is never stopped from here."""
        page = _page(rollback)
        watch = _Watch(wait=options["wait"], timeout=options["timeout"], start_within=options["start_within"])
        console = Console(stderr=True, quiet=options["json"])
        if rollback.state == RollbackState.AWAITING_APPROVAL:
            who = names(list_approvers(rollback.required_role, principal=rollback.principal))
            self.stderr.write(f"It waits for approval, by one of: {who}. Page: {page}")
        with Live(console=console, auto_refresh=False, transient=False) as live:
            while True:
                try:
                    rollback = get_rollback(rollback.pk)
                    if not options["json"]:
                        live.update(rollback_table(rollback), refresh=True)
                    queued = _queued_of(rollback)
                except (OperationalError, InterfaceError, PoolTimeout) as error:
                    # It is asked for and stands in the database; whoever comes back goes on with it.
                    connection.close()
                    self._say_once(watch, "database", f"The database does not answer ({_first_line(error)}); the rollback goes on with it. Looking again.")
                else:
                    if watch.is_over(rollback):
                        break
                    if watch.is_late(queued):
                        sentence = (
                            f"Nobody has picked it up for {options['start_within']:g} s. Are the worker and the sweeper of `make up` running? It stays queued."
                        )
                        self._say_once(watch, f"late:{queued}", sentence)
                if watch.is_out_of_time():
                    self.stderr.write(f"Not at its end after {options['timeout']:g} s; it goes on: {page}")
                    break
                clock.sleep(LOOK_SECONDS)
        return rollback

    def _say_once(self, watch: _Watch, key: str, sentence: str) -> None:
        if key not in watch.said:
            watch.said.add(key)
            self.stderr.write(sentence)

    @staticmethod
    def _code(rollback: Rollback) -> int:
        if rollback.state == RollbackState.AWAITING_APPROVAL:
            return WAITS
        done = rollback.state in (RollbackState.VERIFIED, RollbackState.CLOSED) and rollback.restored_at is not None and rollback.verified_at is not None
        return RESTORED if done else NOT_RESTORED

    def _could_not_run(self, error: RollbackHubError, *, as_json: bool) -> NoReturn:
        if as_json:
            self.stdout.write(_json({"error": {"code": error.code, "message": error.message, "fields": error.fields, **error.extra}}))
        else:
            where = f" See {settings.PUBLIC_URL}{error.extra['url']}" if "url" in error.extra else ""
            self.stderr.write(f"{error.message}{where}")
        sys.exit(COULD_NOT_RUN)

    def _not_followed(self, rollback: Rollback, why: str, *, as_json: bool) -> NoReturn:
        """It is requested, and goes on; how it ends is not known here."""
        sentence = f"{why} The rollback is requested and goes on without this command. Page: {_page(rollback)}"
        if as_json:
            extra = {"rollback_id": str(rollback.pk), "url": address_of(rollback)}
            self.stdout.write(_json({"error": {"code": "not_followed", "message": sentence, "fields": {}, **extra}}))
        else:
            self.stderr.write(sentence)
        sys.exit(NOT_RESTORED)


class _Watch:
    """How long to look at what, by the clock that never goes back."""

    def __init__(self, *, wait: float, timeout: float, start_within: float) -> None:
        self.wait, self.timeout, self.start_within = wait, timeout, start_within
        self.said: set[str] = set()
        self._began = clock.monotonic()
        self._running_since = self._began
        self._queued: tuple[UUID | None, float] = (None, self._began)

    def is_over(self, rollback: Rollback) -> bool:
        """Whether there is nothing more to see."""
        if rollback.state == RollbackState.AWAITING_APPROVAL:
            self._running_since = clock.monotonic()
            return clock.monotonic() - self._began >= self.wait
        return rollback.state not in MOVING

    def is_late(self, queued: UUID | None) -> bool:
        """Whether this execution has been queued for too long."""
        if queued != self._queued[0]:
            self._queued = (queued, clock.monotonic())
        return queued is not None and clock.monotonic() - self._queued[1] > self.start_within

    def is_out_of_time(self) -> bool:
        """Whether it has run for as long as anybody wanted to look."""
        return clock.monotonic() - self._running_since > self.timeout


def _page(rollback: Rollback) -> str:
    return f"{settings.PUBLIC_URL}{address_of(rollback)}"


def _queued_of(rollback: Rollback) -> UUID | None:
    """The execution of it that nobody has picked up yet."""
    return next((execution.pk for execution in list_executions_of(rollback) if execution.state == ExecutionState.QUEUED), None)


def _targets(environment: Environment, *, aliases: list[str], bad_versions: list[str]) -> list[Target]:
    """What the command line names. Raises NotFound and InvalidInput."""
    wanted: dict[str, str] = {}
    for text in bad_versions:
        alias, found, label = text.partition("=")
        if not found or alias not in aliases:
            if len(aliases) > 1:
                raise InvalidInput(f"Of several aliases say which: --bad-version ALIAS={text}, ALIAS being one of {', '.join(aliases)}.", code="which_alias")
            alias, label = aliases[0], text
        if alias in wanted:
            raise InvalidInput(f"Two bad versions are named for {alias}.", code="which_version")
        wanted[alias] = label
    policies = {
        policy.alias: policy for policy in RoutingPolicy.objects.select_related("environment", "artefact").filter(environment=environment, alias__in=aliases)
    }
    return [_target(policies.get(alias), alias=alias, environment=environment, label=wanted.get(alias, "")) for alias in aliases]


def _target(policy: RoutingPolicy | None, *, alias: str, environment: Environment, label: str) -> Target:
    if policy is None:
        known = list(RoutingPolicy.objects.filter(environment=environment).order_by("alias").values_list("alias", flat=True)[:20])
        raise NotFound(f"There is no alias {alias} in {environment.slug}. There are: {', '.join(known) or 'none yet'}.", code="policy_not_found")
    if not label:
        return Target(policy=policy)
    version = Version.objects.filter(artefact=policy.artefact, label=label).first()
    if version is None:
        raise InvalidInput(f"{label} is not a version of {policy.artefact.slug}.", code="version_not_in_policy")
    return Target(policy=policy, bad_version=version)


def _instant(text: str) -> dt.datetime | None:
    """`--detected-at` with its zone. Raises InvalidInput."""
    if not text:
        return None
    try:
        instant = dt.datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise InvalidInput(f"{text} is no instant with a zone. Write it like 2026-11-23T01:25:00Z.", code="detected_at_invalid")
    return instant


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, cls=DjangoJSONEncoder)
