"""What the pages of artefacts and versions say: who uses them, where a version stands, and how it came there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Q

from rollbackhub.audit.domain.listing import list_events
from rollbackhub.audit.models import AuditEvent
from rollbackhub.audit.wording import readable
from rollbackhub.dashboard.looks import LIFECYCLES, Look
from rollbackhub.dashboard.templatetags.hub import full_time
from rollbackhub.registry.domain.holds import gates_of, stands, until_in_words, with_gates
from rollbackhub.registry.enums import EnvironmentKind, Lifecycle
from rollbackhub.registry.models import Artefact, StabilityHold, Version
from rollbackhub.releases.models import Release
from rollbackhub.routing.domain.selectors import get_present_revisions
from rollbackhub.routing.models import Candidate, PolicyRevision, RoutingPolicy

SHOWN = 50
"""Rows of each list on a page; where there may be more, the page says so."""
WEB = ("https://", "http://")
"""Only these become links: a version may be at an address that no browser should follow."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The page's answer: how it looks, in words, and what follows from it."""

    look: Look
    words: str
    detail: str


@dataclass(frozen=True, slots=True)
class Happening:
    """One entry of a version's history."""

    event: AuditEvent
    words: str
    reason: str


def list_users(artefact: Artefact) -> tuple[list[tuple[RoutingPolicy, PolicyRevision | None]], bool]:
    """The aliases that serve an artefact with their present revisions, production first, and whether there are more. Four queries."""
    policies = list(artefact.policies.select_related("environment").order_by("environment__kind", "alias", "environment__slug")[: SHOWN + 1])
    revisions = get_present_revisions(policies[:SHOWN])
    return [(policy, revisions.get(policy.pk)) for policy in policies[:SHOWN]], len(policies) > SHOWN


def artefact_answer(artefact: Artefact) -> Answer:
    """How many versions there are to go back to. One query."""
    kept_ones = Q(lifecycle__in=(Lifecycle.SUPERSEDED, Lifecycle.ARCHIVED), superseded_at__isnull=False)
    counts = Version.objects.filter(artefact=artefact).aggregate(
        all=Count("pk"),
        live=Count("pk", filter=Q(lifecycle=Lifecycle.LIVE)),
        canary=Count("pk", filter=Q(lifecycle=Lifecycle.CANARY)),
        kept=Count("pk", filter=kept_ones),
    )
    if not counts["all"]:
        return Answer(Look("", "info-circle", "idle"), "No version is registered yet.", "Without a second version there is nothing to go back to.")
    detail = f"{counts['live']} live in production, {counts['all']} registered in all."
    if not counts["kept"] and counts["live"] and counts["canary"]:
        return Answer(Look("", "info-circle", "idle"), "Only what is live now: the canary can go back to it.", detail)
    if not counts["kept"]:
        return Answer(Look("", "info-circle", "warn" if counts["live"] else "idle"), "No version that served before is kept.", detail)
    words = "1 version that served before is kept." if counts["kept"] == 1 else f"{counts['kept']} versions that served before are kept."
    return Answer(Look("", "circle-check", "ok"), words, detail)


def version_context(version: Version) -> dict[str, Any]:
    """What the page of a version shows besides its retention. Eight queries."""
    serving = list(
        Candidate.objects.filter(version=version, weight__gt=0, revision__number=F("revision__policy__revision_number"))
        .select_related("revision__policy__environment")
        .order_by("revision__policy__environment__kind", "revision__policy__alias")[: SHOWN + 1]
    )
    holds = list(with_gates(version.holds.select_related("lifted_by")).order_by("-started_at")[:SHOWN])
    releases = Release.objects.select_related("policy__environment", "from_version", "to_version")
    events, older = list_events(subject_type="version", subject_id=str(version.pk), size=SHOWN)
    in_production = [candidate for candidate in serving if candidate.revision.policy.environment.kind == EnvironmentKind.PRODUCTION]
    return {
        "version": version,
        "answer": _answer(version, in_production=len({candidate.revision.policy_id for candidate in in_production}), holds=holds),
        "uri_is_web": version.uri.startswith(WEB),
        "eval_is_web": version.eval_reference.startswith(WEB) and " " not in version.eval_reference,
        "serving": serving[:SHOWN],
        "serves_more": len(serving) > SHOWN,
        "children": list(version.children.order_by("-created_at", "-pk")[:SHOWN]),
        "releases": list((releases.filter(to_version=version) | releases.filter(from_version=version)).order_by("-created_at", "-pk")[:SHOWN]),
        "holds": holds,
        "history": [_happening(event) for event in events],
        "history_older": older,
        "homes": list(
            RoutingPolicy.objects.filter(artefact_id=version.artefact_id, environment__kind=EnvironmentKind.PRODUCTION)
            .select_related("environment")
            .order_by("alias", "environment__slug")[:SHOWN]
        ),
    }


def _answer(version: Version, *, in_production: int, holds: list[StabilityHold]) -> Answer:
    look = LIFECYCLES[Lifecycle(version.lifecycle)]
    aliases = f"{in_production} alias{'es' if in_production > 1 else ''} in production"
    if in_production:
        detail = f"It has weight in {aliases}."
    elif version.lifecycle == Lifecycle.REGISTERED:
        detail = "It never took over in production. Its first weight there is given by a release."
    elif version.lifecycle == Lifecycle.SUPERSEDED:
        detail = "It served before, and a rollback may go back to it."
    elif version.lifecycle == Lifecycle.ARCHIVED:
        detail = "It is kept, but not meant to serve again."
    elif version.lifecycle == Lifecycle.RETIRED:
        detail = "It is gone: no policy gives it weight, and no rollback goes back to it."
    elif version.lifecycle == Lifecycle.ROLLED_BACK:
        detail = "A rollback took it out of production."
    else:
        detail = "It has no weight in production now."
    standing = next((hold for hold in holds if stands(hold)), None)
    if standing is not None:
        until = until_in_words(standing) if gates_of(standing) else f"until {full_time(standing.ends_at)}"
        detail += f" It is under a stability hold {until}."
    return Answer(look, f"{version.label} is {look.word.lower()}.", detail)


def _happening(event: AuditEvent) -> Happening:
    data = event.data
    reason = str(data.get("reason") or "")
    if event.event == "version.registered" and not data.get("before"):
        return Happening(event, "Registered", "")
    if event.event.startswith("version.") and data.get("before") in Lifecycle and data.get("after") in Lifecycle:
        return Happening(event, f"{Lifecycle(data['before']).label} → {Lifecycle(data['after']).label}", reason)
    if event.event == "hold.started" and data.get("lifecycle_before") in Lifecycle:
        return Happening(event, f"{Lifecycle(data['lifecycle_before']).label} → {Lifecycle.ROLLED_BACK.label}, under hold", reason)
    return Happening(event, readable(event.event), reason)
