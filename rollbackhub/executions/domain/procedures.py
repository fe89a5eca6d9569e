"""Writing procedures. A version never changes; a change is the next version."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError as ModelInvalid
from django.db import IntegrityError, transaction
from pydantic import BaseModel, ValidationError

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.common.shown_text import problem_of, problems_within, spoken
from rollbackhub.common.typed_words import in_words
from rollbackhub.connectors.base import connector_type, list_connector_names
from rollbackhub.connectors.mechanism import Mechanism
from rollbackhub.executions.actions import get_action, list_action_names, parse_params
from rollbackhub.executions.fingerprints import canonical_hash
from rollbackhub.executions.models import Procedure, ProcedureVersion
from rollbackhub.executions.procedure_rules import Judgement, MovedBy, judge_procedure
from rollbackhub.executions.rules import Step
from rollbackhub.registry.models import Artefact

MAX_STEPS = 40
MAX_REASON = 300
RESERVED_SLUGS = frozenset({"new"})
"""Addresses of pages."""

Steps = Sequence[Mapping[str, Any]]


def require_valid_steps(steps: Sequence[Any]) -> None:
    """Raise InvalidInput, naming the step and the field (`steps.2.params.limit_seconds`), unless each step is well written."""
    fields: dict[str, list[str]] = {}
    if not steps:
        raise InvalidInput("A procedure needs at least one step.", code="invalid_procedure", fields={"steps": ["Add a step."]})
    if len(steps) > MAX_STEPS:
        raise InvalidInput(f"A procedure has at most {MAX_STEPS} steps.", code="invalid_procedure", fields={"steps": [f"At most {MAX_STEPS} steps."]})
    seen: dict[str, int] = {}
    for index, values in enumerate(steps):
        place = f"steps.{index}"
        problems = step_problems(values)
        for where, sentence in problems:
            fields.setdefault(f"{place}.{where}" if where else place, []).append(sentence)
        key = values.get("key") if isinstance(values, Mapping) else None
        if isinstance(key, str) and key in seen:
            fields.setdefault(f"{place}.key", []).append(f"The key {key[:40]} is that of step {seen[key] + 1} already.")
        elif isinstance(key, str):
            seen[key] = index
    if fields:
        raise refused(fields)


def refused(fields: Mapping[str, list[str]]) -> InvalidInput:
    """The error for these sentences by place."""
    said = " ".join(f"{key}: {value[0]}" for key, value in list(fields.items())[:10])
    return InvalidInput(f"The procedure cannot be used: {said}", code="invalid_procedure", fields=fields)


def step_problems(values: Any) -> list[tuple[str, str]]:
    """What is wrong with one step by itself: where in it, and a sentence."""
    if not isinstance(values, Mapping):
        return [("", "A step is an object with key, title, action and segment.")]
    unstorable = _unstorable(values)
    if unstorable:
        return unstorable
    found: list[tuple[str, str]] = []
    title = values.get("title")
    if isinstance(title, str) and (problem := problem_of(title)):
        found.append(("title", problem))
    try:
        Step.model_validate(values)
    except ValidationError as error:
        found += _sentences(error, Step)
    action = values.get("action")
    if not isinstance(action, str) or any(where.startswith("params") for where, _ in found):
        return found
    if action not in list_action_names():
        return [*found, ("action", f"There is no such action; there are {', '.join(list_action_names())}.")]
    params_type = get_action(action).params_type
    try:
        params_type.model_validate(dict(values.get("params") or {}))
    except ValidationError as error:
        found += [(f"params.{where}" if where else "params", sentence) for where, sentence in _sentences(error, params_type)]
    return found


def _sentences(error: ValidationError, kind: type[BaseModel]) -> list[tuple[str, str]]:
    found = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        own = _PATTERNS.get(where) if item["type"] == "string_pattern_mismatch" else None
        found.append((where, own or in_words(item, kind)))
    return found


_NAME = "Use small letters, digits and _, beginning with a letter."
_PATTERNS = {
    "key": f"{_NAME} At most 40.",
    "to": "Choose canary or rolled_back.",
    "job": f"{_NAME} At most 60.",
    "connection": "Use letters, digits, _ and -. At most 40.",
}


def _unstorable(value: Any, at: str = "") -> list[tuple[str, str]]:
    """What cannot be kept as JSON, or not be shown."""
    return [*problems_within(value, at), *_no_numbers(value, at)]


def _no_numbers(value: Any, at: str) -> list[tuple[str, str]]:
    if isinstance(value, float) and not math.isfinite(value):
        return [(at, "It must be a number.")]
    if isinstance(value, Mapping):
        inside = [(str(key), entry) for key, entry in value.items()]
    elif isinstance(value, list | tuple):
        inside = [(str(index), entry) for index, entry in enumerate(value)]
    else:
        return []
    return [problem for name, entry in inside for problem in _no_numbers(entry, f"{at}.{name}" if at else name)]


def mover_of(connector: str) -> MovedBy:
    """What a procedure's steps must fit."""
    if not connector:
        return MovedBy()
    kind = connector_type(connector) if connector in list_connector_names() else None
    if kind is None or not issubclass(kind, Mechanism):
        return MovedBy(connector=connector, known=False)
    return MovedBy(connector=connector, counts_requests=kind.counts_requests)


def list_movers() -> list[str]:
    """The connectors that move versions, sorted."""
    return [name for name in list_connector_names() if issubclass(connector_type(name), Mechanism)]


def judge_steps(steps: Sequence[Any], *, connector: str) -> Judgement:
    """What is wrong, and likely wrong, with a procedure for what this connector (empty: the gateways) moves.

    Raises InvalidInput for a step that is not well written.
    """
    require_valid_steps(steps)
    return judge_procedure(steps, moved_by=mover_of(connector))


def require_fitting_steps(steps: Sequence[Any], *, connector: str) -> Judgement:
    """As `judge_steps`. Raises InvalidInput also for what cannot work together."""
    judgement = judge_steps(steps, connector=connector)
    if judgement.refusals:
        raise refused(judgement.fields)
    return judgement


def tidy_steps(steps: Steps) -> list[dict[str, Any]]:
    """Valid steps as they are kept: typed, and nothing that was not given."""
    found = []
    for values in steps:
        step = Step.model_validate(values).model_dump(mode="json", exclude_unset=True)
        if "params" in step:
            params = parse_params(action=step["action"], params=step["params"]).model_dump(mode="json", exclude_unset=True)
            # 90.0 is 90, as most people write it: two versions side by side show what changed and nothing else.
            step["params"] = {name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in params.items()}
        found.append(step)
    return found


def full_steps(steps: Steps) -> list[dict[str, Any]]:
    """Valid steps with everything that they leave to the defaults: two that do the same are the same here."""
    found = []
    for values in steps:
        step = Step.model_validate(values)
        params = parse_params(action=step.action, params=step.params).model_dump(mode="json")
        kinds = sorted({str(kind) for kind in step.kinds})
        found.append({**step.model_dump(mode="json"), "params": params, "kinds": kinds})
    return found


def append_procedure_version(
    *, procedure: Procedure, steps: Sequence[dict[str, Any]], actor: Actor, reason: str = "", based_on: int | None = None
) -> ProcedureVersion:
    """Write the next version of a procedure (the present one, when nothing changed). `based_on`: the number that the author saw last (0: none).

    Raises InvalidInput, Conflict `procedure_moved` (somebody else wrote a version meanwhile).
    """
    require_valid_steps(steps)
    digest = canonical_hash(list(steps))
    with transaction.atomic():
        Procedure.objects.select_for_update().get(pk=procedure.pk)
        latest = procedure.versions.first()
        number = latest.number if latest else 0
        if based_on is not None and based_on != number:
            who = f" by {latest.author_label}" if latest and latest.author_label else ""
            raise Conflict(
                f"You began from version {based_on}; version {number} was written{who} meanwhile. Look at what it changes before you write yours over it.",
                code="procedure_moved",
                current_version=number,
            )
        if latest is not None and latest.content_hash == digest:
            return latest
        version = ProcedureVersion.objects.create(
            procedure=procedure, number=number + 1, steps=list(steps), content_hash=digest, author_label=actor.label[:200], reason=reason
        )
        data = {"slug": procedure.slug, "version": version.number, "content_hash": digest}
        record(
            event="procedure.version_appended",
            actor=actor,
            subject_type="procedure",
            subject_id=procedure.pk,
            data=data | ({"reason": reason} if reason else {}),
        )
        return version


def write_procedure_version(
    *, procedure: Procedure, steps: Sequence[Any], based_on: int, reason: str, account: User, actor: Actor
) -> tuple[ProcedureVersion, bool]:
    """A person's next version: well written, fitting what moves the aliases, begun from the present one. Answers it, and whether it is new.

    Steps that do the same as the present ones are the present version. Raises Forbidden, InvalidInput, Conflict `procedure_moved`.
    """
    require(user=account, capability=Capability.CONFIGURE)
    reason = require_reason(reason)
    require_fitting_steps(steps, connector=procedure.connector)
    latest = procedure.versions.first()
    if latest is not None and latest.number == based_on and full_steps(latest.steps) == full_steps(steps):
        return latest, False
    version = append_procedure_version(procedure=procedure, steps=tidy_steps(steps), actor=actor, reason=reason, based_on=based_on)
    return version, latest is None or version.pk != latest.pk


def create_procedure(
    *,
    slug: str,
    name: str,
    change_type: str,
    connector: str,
    artefact: Artefact | None,
    runbook_url: str,
    steps: Sequence[Any],
    account: User,
    actor: Actor,
    reason: str,
) -> Procedure:
    """A new procedure with its first version. Raises Forbidden, InvalidInput, Conflict `procedure_exists` (naming it by `slug`)."""
    require(user=account, capability=Capability.CONFIGURE)
    procedure = Procedure(slug=slug, name=name.strip(), change_type=change_type, connector=connector, artefact=artefact, runbook_url=runbook_url)
    fields: dict[str, list[str]] = {}
    try:
        procedure.clean_fields()
    except ModelInvalid as error:
        fields |= error.message_dict
    if slug in RESERVED_SLUGS:
        fields.setdefault("slug", []).append("This name is an address of a page: choose another.")
    if problem := problem_of(name.strip()):
        fields.setdefault("name", []).append(problem)
    if artefact is not None and artefact.change_type != change_type:
        fields.setdefault("artefact", []).append(f"{artefact.name} is of the change type {artefact.get_change_type_display().lower()}.")
    if not mover_of(connector).known:
        fields.setdefault("connector", []).append(f"There is no connector of this name that moves versions; there are {', '.join(list_movers())}.")
    if fields:
        raise InvalidInput(" ".join(sentence for found in fields.values() for sentence in found), code="invalid_procedure", fields=fields)
    require_fitting_steps(steps, connector=connector)
    reason = require_reason(reason)
    try:
        with transaction.atomic():
            procedure.save()
            data = {"slug": slug, "change_type": change_type, "connector": connector, "artefact": artefact.slug if artefact else ""}
            record(event="procedure.created", actor=actor, subject_type="procedure", subject_id=procedure.pk, data=data)
            append_procedure_version(procedure=procedure, steps=tidy_steps(steps), actor=actor, reason=reason, based_on=0)
    except IntegrityError:
        raise _exists(procedure) from None
    return procedure


def _exists(wanted: Procedure) -> Conflict:
    same = Procedure.objects.filter(change_type=wanted.change_type, connector=wanted.connector, artefact=wanted.artefact).first()
    if same is not None:
        return Conflict(f"{same.name} is for the same already: write its next version.", code="procedure_exists", slug=same.slug)
    return Conflict(f"There is a procedure with the short name {wanted.slug} already.", code="procedure_exists", slug=wanted.slug)


def require_reason(reason: str) -> str:
    """The reason without spaces around it. Raises InvalidInput when it is missing, too long or cannot be stored."""
    reason = spoken(reason)
    if not reason:
        raise InvalidInput("Say why: it is kept with the version.", code="reason_missing", fields={"reason": ["Say why."]})
    if len(reason) > MAX_REASON:
        raise InvalidInput(f"The reason has at most {MAX_REASON} characters.", code="invalid_reason", fields={"reason": [f"At most {MAX_REASON} characters."]})
    return reason
