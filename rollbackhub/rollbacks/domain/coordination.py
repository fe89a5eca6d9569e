"""Coordinated procedures: several aliases that go back together, their order, and the point from which on nothing is put back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.sentences import with_stop
from rollbackhub.common.shown_text import problem_of
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.registry.models import Environment
from rollbackhub.rollbacks.domain.changes import address_of
from rollbackhub.rollbacks.models import CoordinatedProcedure, CoordinatedStep, Rollback, RollbackPart
from rollbackhub.rollbacks.rules import MAX_PARTS
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy

MAX_WHY = 300
MAX_BECAUSE = 500
RESERVED_SLUGS = frozenset({"new"})
"""Addresses of pages."""
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class StepDraft:
    """One place of the order as somebody writes it."""

    alias: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Coordination:
    """What a coordinated procedure says about one rollback. Frozen with the request, and part of its plan's hash."""

    slug: str
    name: str
    number: int
    order: list[str]
    """All aliases of the procedure."""
    left_out: list[str]
    """Those that this rollback does not touch."""
    no_return_before: str
    """From this alias on nothing is put back; empty: no such point."""
    no_return_because: str

    def as_json(self) -> dict[str, Any]:
        """As it is kept and hashed."""
        return asdict(self)


def coordination_of(rollback: Rollback) -> Coordination | None:
    """What was frozen with this rollback; None: it follows no coordinated procedure."""
    return Coordination(**rollback.coordination) if rollback.coordination is not None else None


def coordinate(procedure: CoordinatedProcedure, policies: Sequence[RoutingPolicy]) -> Coordination:
    """The procedure for these of its aliases. Its steps must be fetched with their policies.

    An alias may be left out (nothing of it was released); the order stays. When the alias of the point of no return is left out, the
    point stands before the next one. Raises InvalidInput `not_in_procedure`, `wrong_order`.
    """
    steps = list(procedure.steps.all())
    order = [step.policy.alias for step in steps]
    places = {step.policy_id: step.position for step in steps}
    strangers = [policy.alias for policy in policies if policy.pk not in places]
    if strangers:
        sentence = f"{', '.join(strangers)} does not belong to {procedure.name}, whose order is {', '.join(order)}. Roll it back by itself."
        raise InvalidInput(sentence, code="not_in_procedure", fields={"aliases": [sentence]})
    positions = [places[policy.pk] for policy in policies]
    if positions != sorted(positions):
        sentence = f"{procedure.name} has the order {', '.join(order)}. Keep it, or ask for the rollback without the coordinated procedure."
        raise InvalidInput(sentence, code="wrong_order", fields={"aliases": [sentence]})
    at = procedure.no_return_at
    before = next((policy.alias for policy, position in zip(policies, positions, strict=True) if at is not None and position >= at), "")
    return Coordination(
        slug=procedure.slug,
        name=procedure.name,
        number=procedure.number,
        order=order,
        left_out=[step.policy.alias for step in steps if step.position not in positions],
        no_return_before=before,
        no_return_because=procedure.no_return_because if before else "",
    )


def past_no_return(rollback: Rollback) -> Coordination | None:
    """The coordination whose point of no return this rollback has passed: something of the alias behind it, or of a later one, was changed.

    At most two queries; none without a coordinated procedure.
    """
    coordination = coordination_of(rollback)
    if coordination is None or not coordination.no_return_before:
        return None
    executions = list(
        RollbackPart.objects.filter(rollback=rollback, execution__isnull=False)
        .order_by("position")
        .values_list("policy__alias", "execution_id", "execution__executed_at")
    )
    begun = [alias for alias, _, _ in executions]
    if coordination.no_return_before not in begun:
        return None
    behind = executions[begun.index(coordination.no_return_before) :]
    if len(behind) > 1 or behind[0][2] is not None:
        return coordination
    return coordination if PolicyRevision.objects.filter(effect_key__startswith=f"{behind[0][1]}:").exists() else None


def refuse_past_no_return(rollback: Rollback) -> None:
    """Raise Conflict `past_no_return` when what was done can no longer be put back."""
    passed = past_no_return(rollback)
    if passed is not None:
        raise Conflict(
            f"{passed.name} states a point of no return before {passed.no_return_before}, and it is passed: {with_stop(passed.no_return_because)}"
            " Retry the step, skip it, or close this rollback and ship a fix.",
            code="past_no_return",
            rollback_id=str(rollback.pk),
            url=address_of(rollback),
        )


def list_coordinated(*, environment: str = "") -> QuerySet[CoordinatedProcedure]:
    """All of them, by environment and short name, with their steps. Two queries for any number."""
    found = CoordinatedProcedure.objects.select_related("environment").prefetch_related("steps__policy__artefact").order_by("environment__slug", "slug")
    return found.filter(environment__slug=environment) if environment else found


def get_coordinated(slug: str) -> CoordinatedProcedure:
    """One by its short name, with its steps. Raises NotFound. Two queries."""
    found = list_coordinated().filter(slug=slug).first() if "\x00" not in slug else None
    if found is None:
        raise NotFound(f"There is no coordinated procedure {slug[:80]!r}.", code="coordinated_not_found")
    return found


def list_coordinated_with(policies: Sequence[RoutingPolicy]) -> list[CoordinatedProcedure]:
    """Those that have all of these aliases: what somebody who rolls one of them back should know of. Two queries."""
    wanted = [policy.pk for policy in policies]
    with_all = (
        CoordinatedStep.objects.filter(policy__in=wanted).values("procedure").annotate(found=Count("policy")).filter(found=len(wanted)).values("procedure")
    )
    return list(list_coordinated().filter(pk__in=with_all))


def write_coordinated(
    *,
    slug: str,
    name: str,
    environment: Environment,
    steps: Sequence[StepDraft],
    no_return_before: str,
    no_return_because: str,
    based_on: int,
    account: User,
    actor: Actor,
) -> CoordinatedProcedure:
    """Write a coordinated procedure anew (`based_on` 0), or change the one of this short name as it stood at `based_on`.

    Raises Forbidden, InvalidInput with its fields, Conflict `coordinated_exists`, `coordinated_moved`, NotFound.
    """
    require(user=account, capability=Capability.CONFIGURE)
    name, because = name.strip(), no_return_because.replace("\r\n", "\n").strip()
    drafts = [StepDraft(step.alias.strip(), step.why.strip()) for step in steps]
    policies = _checked(slug=slug, name=name, environment=environment, steps=drafts, no_return_before=no_return_before, because=because)
    at = next((place for place, step in enumerate(drafts) if step.alias == no_return_before), None)
    values = {"name": name, "no_return_at": at, "no_return_because": because, "author_label": actor.label}
    try:
        with transaction.atomic():
            if based_on == 0:
                procedure = CoordinatedProcedure.objects.create(slug=slug, environment=environment, **values)
                before = None
            else:
                procedure, before = _changed(slug, environment=environment, based_on=based_on, values=values)
            CoordinatedStep.objects.bulk_create(
                CoordinatedStep(procedure=procedure, position=place, policy=policies[step.alias], why=step.why) for place, step in enumerate(drafts)
            )
            after = _content(name, [(step.alias, step.why) for step in drafts], at, because)
            record(
                event="coordinated_procedure.created" if before is None else "coordinated_procedure.changed",
                actor=actor,
                subject_type="coordinated_procedure",
                subject_id=slug,
                data={"environment": environment.slug, "number": procedure.number, **({"before": before} if before else {}), "after": after},
            )
    except IntegrityError as error:
        sentence = f"There is a coordinated procedure {slug} already. Choose another short name, or change that one."
        raise Conflict(sentence, code="coordinated_exists", fields={"slug": [sentence]}) from error
    return get_coordinated(slug)


def delete_coordinated(*, slug: str, account: User, actor: Actor) -> None:
    """Remove one. Rollbacks that followed it keep what it said then. Raises Forbidden, NotFound."""
    require(user=account, capability=Capability.CONFIGURE)
    with transaction.atomic():
        procedure = _locked(slug)
        record(
            event="coordinated_procedure.deleted",
            actor=actor,
            subject_type="coordinated_procedure",
            subject_id=slug,
            data={"environment": procedure.environment.slug, "number": procedure.number, "before": _content_of(procedure)},
        )
        procedure.delete()


def _changed(slug: str, *, environment: Environment, based_on: int, values: dict[str, Any]) -> tuple[CoordinatedProcedure, dict[str, Any]]:
    procedure = _locked(slug)
    if procedure.number != based_on:
        sentence = (
            f"{procedure.author_label} changed it meanwhile (change {procedure.number}; you began from {based_on}). Look at theirs first, then change it again."
        )
        raise Conflict(sentence, code="coordinated_moved", current_number=procedure.number)
    if procedure.environment_id != environment.pk:
        sentence = f"It is for {procedure.environment.slug}, and stays there. Write another one for {environment.slug}."
        raise InvalidInput(sentence, code="invalid_coordinated", fields={"environment": [sentence]})
    before = _content_of(procedure)
    for field, value in values.items():
        setattr(procedure, field, value)
    procedure.number += 1
    procedure.updated_at = clock.now()
    procedure.save()
    procedure.steps.all().delete()
    return procedure, before


def _locked(slug: str) -> CoordinatedProcedure:
    found = CoordinatedProcedure.objects.select_for_update(of=("self",)).select_related("environment").filter(slug=slug).first() if "\x00" not in slug else None
    if found is None:
        raise NotFound(f"There is no coordinated procedure {slug[:80]!r}.", code="coordinated_not_found")
    return found


def _content_of(procedure: CoordinatedProcedure) -> dict[str, Any]:
    steps = list(procedure.steps.order_by("position").values_list("policy__alias", "why"))
    return _content(procedure.name, steps, procedure.no_return_at, procedure.no_return_because)


def _content(name: str, steps: Sequence[tuple[str, str]], no_return_at: int | None, because: str) -> dict[str, Any]:
    """As audited."""
    return {
        "name": name,
        "order": [{"alias": alias, "why": why} for alias, why in steps],
        "no_return_before": steps[no_return_at][0] if no_return_at is not None else "",
        "no_return_because": because,
    }


def _checked(*, slug: str, name: str, environment: Environment, steps: Sequence[StepDraft], no_return_before: str, because: str) -> dict[str, RoutingPolicy]:
    """The aliases that the steps name. Raises InvalidInput with a sentence a field."""
    fields: dict[str, list[str]] = {}
    if not _SLUG.fullmatch(slug) or len(slug) > 60 or slug in RESERVED_SLUGS:
        fields["slug"] = ["Use small letters, digits and -, at most 60, e.g. support-release."]
    if not 3 <= len(name) <= 120:
        fields["name"] = ["Give it a name of 3 to 120 characters."]
    elif problem := problem_of(name):
        fields["name"] = [problem]
    if environment.kind != EnvironmentKind.PRODUCTION:
        fields["environment"] = [f"Rollbacks are for production, and {environment.slug} is {environment.get_kind_display().lower()}."]
    if not 2 <= len(steps) <= MAX_PARTS:
        fields["steps"] = [f"Name 2 to {MAX_PARTS} aliases: one alone needs no coordinated procedure."]
    aliases = [step.alias for step in steps]
    found = {
        policy.alias: policy for policy in RoutingPolicy.objects.filter(environment=environment, alias__in=[alias for alias in aliases if "\x00" not in alias])
    }
    for place, step in enumerate(steps):
        if step.alias not in found:
            fields[f"steps.{place}.alias"] = [f"There is no alias {step.alias[:80]!r} in {environment.slug}." if step.alias else "Choose an alias."]
        elif step.alias in aliases[:place]:
            fields[f"steps.{place}.alias"] = [f"{step.alias} stands in place {aliases.index(step.alias) + 1} already."]
        if len(step.why) > MAX_WHY:
            fields[f"steps.{place}.why"] = [f"Say it in at most {MAX_WHY} characters."]
        elif problem := problem_of(step.why, lines=True):
            fields[f"steps.{place}.why"] = [problem]
    if no_return_before and no_return_before not in aliases:
        fields["no_return_before"] = ["Choose one of its aliases."]
    if no_return_before and not 10 <= len(because) <= MAX_BECAUSE:
        fields["no_return_because"] = [f"Say in 10 to {MAX_BECAUSE} characters why nothing can be put back from there on: people read it at night."]
    elif problem := problem_of(because, lines=True):
        fields["no_return_because"] = [problem]
    if because and not no_return_before:
        fields["no_return_before"] = ["Say before which alias the point of no return stands, or leave its reason empty."]
    if fields:
        said = " ".join(f"{field}: {sentences[0]}" for field, sentences in fields.items())
        raise InvalidInput(f"The coordinated procedure cannot be used: {said}", code="invalid_coordinated", fields=fields)
    return found
