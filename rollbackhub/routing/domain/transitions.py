"""The only writers of routing policies. A flip is an append by compare-and-set; gateways are told by NOTIFY at commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection as db
from django.db import transaction
from django.db.models import F

from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.shown_text import problems_within, require_shown, spoken
from rollbackhub.connectors.base import connector_type
from rollbackhub.connectors.mechanism import Mechanism
from rollbackhub.registry.domain.holds import describe_hold, held_among
from rollbackhub.registry.domain.lifecycle import Served, follow_traffic
from rollbackhub.registry.enums import EnvironmentKind, Lifecycle
from rollbackhub.registry.models import Artefact, Connection, Environment, Version
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.models import Candidate, Delivery, PolicyRevision, RoutingPolicy, RoutingState
from rollbackhub.routing.rules import CandidateSpec, require_valid

FLIP_CHANNEL = "rollbackhub_flip"
"""NOTIFY channel; the payload is the environment's slug."""


def create_policy(
    *,
    environment: Environment,
    alias: str,
    artefact: Artefact,
    candidates: Sequence[CandidateSpec],
    actor: Actor,
    reason: str,
    connection: Connection | None = None,
    target: Mapping[str, Any] | None = None,
) -> RoutingPolicy:
    """Make an alias callable in an environment, with its first revision. `connection` None: gateways take it from the hub; else it moves `target`.

    Raises Conflict when it exists, or another alias moves that target (`target_taken`); InvalidInput when the candidates do not make a policy, or
    connection and target do not fit.
    """
    bound = require_valid_target(environment=environment, connection=connection, target=target or {})
    with transaction.atomic():
        if connection is not None and not RoutingPolicy.objects.filter(environment=environment, alias=alias).exists():
            _require_free(alias=alias, connection=connection, target=bound)
        values = {"artefact": artefact, "connection": connection, "target": bound}
        policy, created = RoutingPolicy.objects.get_or_create(environment=environment, alias=alias, defaults=values)
        if not created:
            raise Conflict(f"The alias {alias} already exists in {environment.slug}. Append a revision instead.", code="policy_exists")
        record(
            event="policy.created",
            actor=actor,
            subject_type="policy",
            subject_id=policy.pk,
            data={
                "alias": alias,
                "environment": environment.slug,
                "artefact": artefact.slug,
                "connection": connection.key if connection else "",
                "target": bound,
            },
        )
        append_revision(policy_id=policy.pk, expected_revision=0, candidates=candidates, actor=actor, reason=reason)
        policy.refresh_from_db()
        return policy


def bind_policy(*, policy_id: int, connection: Connection | None, target: Mapping[str, Any], actor: Actor, reason: str) -> RoutingPolicy:
    """Say what brings an alias to the real system from now on. The proof of its path is stale afterwards; nothing is moved by this itself.

    Whether the present revision stands there is unknown until it was looked at: its delivery begins anew.

    Raises NotFound, Conflict `target_taken`, InvalidInput (they do not fit, or the present weights cannot be served that way).
    """
    reason = spoken(reason)
    with transaction.atomic():
        policy = RoutingPolicy.objects.select_for_update(of=("self",)).select_related("environment", "connection").filter(pk=policy_id).first()
        if policy is None:
            raise NotFound("There is no such routing policy.", code="policy_not_found")
        bound = require_valid_target(environment=policy.environment, connection=connection, target=target)
        before = {"connection": policy.connection.key if policy.connection else "", "target": policy.target}
        if connection is not None:
            _require_free(alias=policy.alias, connection=connection, target=bound)
        if (policy.connection, _moved(policy.target)) != (connection, _moved(bound)):
            # Whoever delivers to the former one at this moment finds its claim gone.
            Delivery.objects.filter(policy=policy).delete()
        policy.connection, policy.target = connection, bound
        _require_servable(policy, get_candidates(policy=policy))
        policy.save(update_fields=["connection", "target"])
        record(
            event="policy.bound",
            actor=actor,
            subject_type="policy",
            subject_id=policy.pk,
            data={
                "alias": policy.alias,
                "environment": policy.environment.slug,
                "before": before,
                "after": {"connection": connection.key if connection else "", "target": bound},
                "reason": reason,
            },
        )
        with db.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [FLIP_CHANNEL, policy.environment.slug])
        return policy


def require_valid_target(*, environment: Environment, connection: Connection | None, target: Mapping[str, Any]) -> dict[str, Any]:
    """The target as it is stored, with its defaults. Raises InvalidInput unless it is one of the connection's connector."""
    if connection is None:
        if target:
            fields = {"target": ["Choose a connection first."]}
            raise InvalidInput("Gateways take an alias from the hub: it has no target.", code="invalid_target", fields=fields)
        return {}
    if connection.environment_id != environment.pk:
        raise InvalidInput(
            f"The connection {connection.key} is one of {connection.environment.slug}, not of {environment.slug}.",
            code="invalid_target",
            fields={"connection": ["Choose one of the same environment."]},
        )
    kind = connector_type(connection.connector)
    if not issubclass(kind, Mechanism):
        raise InvalidInput(
            f"The connector {connection.connector} moves no versions.", code="not_a_mechanism", fields={"connection": ["Choose one that moves versions."]}
        )
    kind.parse_settings(connection.settings)
    unshowable = {place: [problem] for place, problem in problems_within(target, "target")}
    if unshowable:
        said = " ".join(sentences[0] for sentences in unshowable.values())
        raise InvalidInput(f"The target cannot be used. {said}", code="invalid_target", fields=unshowable)
    try:
        stored: dict[str, Any] = kind.parse_target(target).model_dump(mode="json")
    except InvalidInput as error:
        # A member of it may be called as one of the alias's own fields is: MLflow's target has an alias.
        fields = {place if place == "target" else f"target.{place}": sentences for place, sentences in error.fields.items()}
        raise InvalidInput(error.message, code=error.code, fields=fields) from None
    return stored


def _moved(target: Mapping[str, Any]) -> dict[str, Any]:
    """What is moved: who uses it may change without that."""
    return {name: value for name, value in target.items() if name != "consumers"}


def _require_free(*, alias: str, connection: Connection, target: Mapping[str, Any]) -> None:
    """Two aliases that move one thing would undo each other's rollbacks. Raises Conflict `target_taken`, in the open transaction."""
    # Whoever binds to the same connection waits here, so that only one of two at once gets it.
    Connection.objects.select_for_update(no_key=True).get(pk=connection.pk)
    subject = _subject(connection, target)
    others = RoutingPolicy.objects.filter(environment_id=connection.environment_id, connection__connector=connection.connector).exclude(alias=alias)
    for other in others.select_related("connection", "environment").order_by("alias"):
        assert other.connection is not None
        if other.connection.settings == connection.settings and _subject(other.connection, other.target) == subject:
            raise Conflict(
                f"The alias {other.alias} moves {subject} of {other.connection.key} in {other.environment.slug} already: a rollback of one would move"
                f" the other. Give {alias} a target of its own, or bind {other.alias} to something else first.",
                code="target_taken",
                alias=other.alias,
            )


def _subject(connection: Connection, target: Mapping[str, Any]) -> str | None:
    """What a stored target moves; None when its connector cannot read it any more."""
    kind = connector_type(connection.connector)
    assert issubclass(kind, Mechanism)
    try:
        return str(kind.parse_target(target).subject)
    except InvalidInput:
        return None


def _require_servable(policy: RoutingPolicy, candidates: Sequence[CandidateSpec]) -> None:
    """A system that serves one version at a time cannot be given two."""
    if policy.connection is None or not candidates:
        return
    kind = connector_type(policy.connection.connector)
    serving = [candidate for candidate in candidates if candidate.weight > 0]
    if issubclass(kind, Mechanism) and not kind.weighted and len(serving) > 1:
        raise InvalidInput(
            f"{policy.connection.key} serves one version at a time: give {policy.alias} one candidate with 100 %, and the others 0 %.",
            code="not_splittable",
            fields={"candidates": ["Give one candidate 100 % and the others 0 %."]},
        )


def append_revision(
    *,
    policy_id: int,
    expected_revision: int,
    candidates: Sequence[CandidateSpec],
    actor: Actor,
    reason: str,
    effect_key: str | None = None,
    release_id: int | None = None,
) -> PolicyRevision:
    """Make these candidates the policy's present state, if its present revision is the expected one.

    With an `effect_key` (a step of an execution) the same key again returns what it wrote before and writes nothing. `release_id`: the
    release whose gate has let this through. In production the lifecycle of the versions follows their traffic.
    Raises NotFound, InvalidInput (weights, unknown, retired or held versions, `release_needed`), Conflict `revision_moved` (somebody was faster).
    """
    require_valid(candidates)
    if effect_key is None:
        # What an execution puts back is not refused for how somebody once wrote it.
        reason = spoken(reason)
        for place, candidate in enumerate(candidates):
            require_shown(candidate.candidate_id, field=f"candidates.{place}")
    with transaction.atomic():
        policy = RoutingPolicy.objects.select_for_update(of=("self",)).select_related("environment", "artefact", "connection").filter(pk=policy_id).first()
        if policy is None:
            raise NotFound("There is no such routing policy.", code="policy_not_found")
        if effect_key is not None:
            written = PolicyRevision.objects.filter(effect_key=effect_key).first()
            if written is not None:
                return written
        if policy.revision_number != expected_revision:
            raise Conflict(
                f"{policy.alias} in {policy.environment.slug} is at revision {policy.revision_number}, not {expected_revision}:"
                " somebody changed it meanwhile. Look at the new revision and try again.",
                code="revision_moved",
                current_revision=policy.revision_number,
            )
        _require_servable(policy, candidates)
        in_production = policy.environment.kind == EnvironmentKind.PRODUCTION
        if in_production:
            # Flips of one artefact go one after the other: each moves the lifecycle of versions that the other may serve, too.
            Artefact.objects.select_for_update(no_key=True).get(pk=policy.artefact_id)
        versions = _versions_of(policy, candidates)
        if in_production and policy.environment.releases_only and policy.revision_number and effect_key is None and release_id is None:
            _require_known(policy, candidates)
        number = policy.revision_number + 1
        before = (
            {} if number == 1 else dict(Candidate.objects.filter(revision__policy=policy, revision__number=number - 1).values_list("candidate_id", "weight"))
        )
        revision = PolicyRevision.objects.create(
            policy=policy,
            number=number,
            routing_number=_next_routing_number(policy.environment),
            reason=reason[:300],
            actor_label=actor.label,
            effect_key=effect_key,
            release_id=release_id,
        )
        Candidate.objects.bulk_create(
            Candidate(revision=revision, position=position, candidate_id=spec.candidate_id, version=versions[spec.version_pin], weight=spec.weight)
            for position, spec in enumerate(candidates)
        )
        RoutingPolicy.objects.filter(pk=policy.pk).update(revision_number=number)
        if in_production:
            follow_traffic(artefact=policy.artefact, served=_served_in_production(policy.artefact), actor=actor)
        record(
            event="policy.revision_appended",
            actor=actor,
            subject_type="policy",
            subject_id=policy.pk,
            data={
                "alias": policy.alias,
                "environment": policy.environment.slug,
                "revision": number,
                "weights_before": before,
                "weights_after": {spec.candidate_id: spec.weight for spec in candidates},
                "reason": reason,
                "effect_key": effect_key or "",
            },
        )
        with db.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [FLIP_CHANNEL, policy.environment.slug])
        return revision


def _versions_of(policy: RoutingPolicy, candidates: Sequence[CandidateSpec]) -> dict[str, Version]:
    """The registered versions that the candidates pin; retired ones may not get traffic, in production none under a stability hold."""
    pins = {candidate.version_pin for candidate in candidates}
    versions = {version.label: version for version in Version.objects.filter(artefact=policy.artefact, label__in=pins)}
    held = held_among(versions.values()) if policy.environment.kind == EnvironmentKind.PRODUCTION else {}
    fields: dict[str, list[str]] = {}
    code = "invalid_policy"
    for index, candidate in enumerate(candidates):
        version = versions.get(candidate.version_pin)
        if version is None:
            fields[f"candidates.{index}"] = [f"The version {candidate.version_pin} is not registered for {policy.artefact.slug}. Register it first."]
        elif version.lifecycle == Lifecycle.RETIRED and candidate.weight > 0:
            fields[f"candidates.{index}"] = [f"The version {candidate.version_pin} is retired and cannot serve traffic."]
        elif version.pk in held and candidate.weight > 0:
            fields[f"candidates.{index}"] = [describe_hold(held[version.pk])]
            code = "version_held"
    if fields:
        raise InvalidInput(" ".join(sentence for sentences in fields.values() for sentence in sentences), code=code, fields=fields)
    return versions


def _require_known(policy: RoutingPolicy, candidates: Sequence[CandidateSpec]) -> None:
    """Only versions that had weight in this alias before may get some now: a new one comes by a release, whose gate asks for the way back."""
    wanted = {candidate.version_pin for candidate in candidates if candidate.weight > 0}
    served = Candidate.objects.filter(revision__policy=policy, weight__gt=0, version__label__in=wanted).values_list("version__label", flat=True).distinct()
    new = sorted(wanted - set(served))
    if new:
        raise InvalidInput(
            f"{', '.join(new)} never served {policy.alias} in {policy.environment.slug}: the first weight in production is given by a release, whose gate"
            " asks for a verified way back. Start a release, or roll forward if production is burning.",
            code="release_needed",
            fields={f"candidates.{index}": ["Start a release for this version."] for index, found in enumerate(candidates) if found.version_pin in new},
        )


def _served_in_production(artefact: Artefact) -> list[Served]:
    """All weight that versions of the artefact have in production now. One query."""
    rows = Candidate.objects.filter(
        revision__policy__artefact=artefact,
        revision__policy__environment__kind=EnvironmentKind.PRODUCTION,
        revision__number=F("revision__policy__revision_number"),
        weight__gt=0,
    ).values_list("revision__policy_id", "version_id", "weight")
    return [Served(*row) for row in rows]


def _next_routing_number(environment: Environment) -> int:
    """Count the environment's routing state up; the row lock keeps numbers and commits in one order."""
    RoutingState.objects.get_or_create(environment=environment)
    RoutingState.objects.filter(environment=environment).update(number=F("number") + 1, changed_at=clock.now())
    return RoutingState.objects.values_list("number", flat=True).get(environment=environment)
