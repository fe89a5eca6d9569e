"""Hooks: made, changed, ended. Their only writer."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import defaultdict
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet, Sum
from pydantic import TypeAdapter, ValidationError

from rollbackhub.accounts.models import Team, User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.alerts.domain.hook_secrets import NoSuchSecret, read_hook_secret
from rollbackhub.alerts.enums import Counted, HookKind
from rollbackhub.alerts.models import AlertHook, PostCount
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.shown_text import problem_of
from rollbackhub.connectors.secret_refs import SecretMissing, SecretRef
from rollbackhub.registry.models import Environment

BASE = "/api/v1/hooks"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,100}")
_REFERENCE = TypeAdapter(SecretRef)


def make_hook(
    *, kind: HookKind | str, name: str, environment: Environment, team: Team, actor: Actor, user: User, signing_ref: str = ""
) -> tuple[AlertHook, str]:
    """Make a hook. The second answer is the path to post to; an Alertmanager's holds its secret, is shown once and stored as a hash only.

    A signing secret that is not there yet may come later: until then posts are asked to come again. One that cannot be any is refused at once.

    Raises Forbidden, InvalidInput with sentences per field.
    """
    require(user=user, capability=Capability.CONFIGURE)
    name, signing_ref = name.strip(), signing_ref.strip()
    fields: dict[str, list[str]] = {}
    if kind not in HookKind.values:
        fields["kind"] = [f"Choose one of {', '.join(HookKind.values)}."]
    if not name or len(name) > 100 or problem_of(name):
        fields["name"] = ["Say in 1 to 100 characters, on one line, what posts to it."]
    if kind == HookKind.ALERTMANAGER and signing_ref:
        fields["signing_ref"] = ["Alertmanager does not sign. Its address holds a secret of its own: leave this empty."]
    elif kind in (HookKind.PAGERDUTY, HookKind.STANDARD) and not _is_reference(signing_ref):
        fields["signing_ref"] = ["Say where RollbackHub finds the hook's secret, as env:NAME or file:/path. The secret itself is never stored."]
    elif signing_ref and (sentence := _problem_of_secret(HookKind(kind), signing_ref)):
        fields["signing_ref"] = [sentence]
    if fields:
        raise InvalidInput("The hook cannot be made: " + " ".join(said for found in fields.values() for said in found), fields=fields)
    token = secrets.token_urlsafe(32) if kind == HookKind.ALERTMANAGER else ""
    with transaction.atomic():
        hook = AlertHook.objects.create(
            kind=kind,
            name=name,
            environment=environment,
            team=team,
            token_hash=hash_of(token) if token else None,
            signing_ref=signing_ref,
            created_by=user,
        )
        _record("alert_hook.made", hook, actor)
    return hook, path_of(hook, token=token)


def end_hook(*, hook_id: UUID, actor: Actor, user: User) -> AlertHook:
    """Take no more posts, at once. Raises Forbidden, NotFound, Conflict `hook_ended`."""
    require(user=user, capability=Capability.CONFIGURE)
    with transaction.atomic():
        hook = AlertHook.objects.select_for_update(of=("self",)).select_related("environment", "team", "created_by").filter(pk=hook_id).first()
        if hook is None:
            raise no_hook()
        if not hook.is_active:
            raise Conflict("This hook was ended already.", code="hook_ended")
        hook.is_active, hook.ended_at = False, clock.now()
        hook.save(update_fields=["is_active", "ended_at"])
        _record("alert_hook.ended", hook, actor)
    return hook


def get_hook(hook_id: UUID) -> AlertHook:
    """A hook. Raises NotFound. One query."""
    hook = AlertHook.objects.select_related("environment", "team", "created_by").filter(pk=hook_id).first()
    if hook is None:
        raise no_hook()
    return hook


def list_hooks(*, active: bool | None = None, kind: str = "") -> QuerySet[AlertHook]:
    """Hooks, those in use first, by name."""
    found = AlertHook.objects.select_related("environment", "team", "created_by").order_by("-is_active", "name", "created_at")
    found = found.filter(kind=kind) if kind else found
    return found if active is None else found.filter(is_active=active)


def counts_of(hook_ids: list[UUID]) -> dict[UUID, dict[Counted, int]]:
    """How many posts each hook has taken, and refused for which reason. One query."""
    found: dict[UUID, dict[Counted, int]] = defaultdict(dict)
    for row in PostCount.objects.filter(hook__in=hook_ids).values("hook", "counted").annotate(total=Sum("count")):
        found[row["hook"]][Counted(row["counted"])] = row["total"]
    return dict(found)


def count_unknown() -> int:
    """How many posts came to addresses that are no hook's. One query."""
    return PostCount.objects.filter(hook=None).aggregate(total=Sum("count"))["total"] or 0


def path_of(hook: AlertHook, *, token: str = "") -> str:
    """Where its posts go. An Alertmanager's is known only to who has its secret."""
    return f"{BASE}/{hook.kind}/{token if hook.kind == HookKind.ALERTMANAGER else hook.pk}"


@dataclass(frozen=True, slots=True)
class Way:
    """What has to be known of a hook to take a post."""

    hook_id: UUID
    kind: HookKind
    signing_ref: str


def find_way(kind: HookKind, key: str) -> Way | None:
    """The hook at an address: by its secret, or by its id. None: there is none, or it was ended. One query at most.

    As SQL: of all that a post costs, having Django write this query was the most.
    """
    if kind == HookKind.ALERTMANAGER:
        if not _TOKEN.fullmatch(key):
            return None
        column, value = "token_hash", hash_of(key)
    else:
        try:
            column, value = "id", str(UUID(key))
        except ValueError:
            return None
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, signing_ref FROM alerts_alerthook WHERE {column} = %s AND kind = %s AND is_active", [value, kind.value])
        row = cursor.fetchone()
    return Way(row[0], kind, row[1]) if row is not None else None


def hash_of(token: str) -> str:
    """What is stored of a secret. It has 256 bits, so it needs no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def no_hook() -> NotFound:
    """What is said of a hook that there is not."""
    return NotFound("There is no such hook.", code="alert_hook_not_found")


def _problem_of_secret(kind: HookKind, reference: str) -> str:
    try:
        read_hook_secret(kind, reference)
    except NoSuchSecret as error:
        return error.message
    except SecretMissing:
        pass  # not there yet: it may come later
    return ""


def _is_reference(text: str) -> bool:
    try:
        _REFERENCE.validate_python(text)
    except ValidationError:
        return False
    return True


def _record(event: str, hook: AlertHook, actor: Actor) -> None:
    data = {"kind": hook.kind, "name": hook.name, "environment": hook.environment.slug, "team": hook.team.slug, "signing_ref": hook.signing_ref}
    record(event=event, actor=actor, subject_type="alert_hook", subject_id=hook.pk, data=data)
