"""Writing and finding procedures. A version never changes; a change is the next version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from pydantic import ValidationError

from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.errors import InvalidInput
from rollbackhub.executions.actions import parse_params
from rollbackhub.executions.fingerprints import canonical_hash
from rollbackhub.executions.models import Procedure, ProcedureVersion
from rollbackhub.executions.rules import Step


def require_valid_steps(steps: Sequence[dict[str, Any]]) -> None:
    """Raise InvalidInput, naming the step and the field, unless the steps make a procedure."""
    fields: dict[str, list[str]] = {}
    seen: set[str] = set()
    if not steps:
        raise InvalidInput("A procedure needs at least one step.", code="invalid_procedure", fields={"steps": ["Add a step."]})
    for index, values in enumerate(steps):
        try:
            step = Step.model_validate(values)
            parse_params(action=step.action, params=step.params)
        except ValidationError as error:
            for item in error.errors():
                fields.setdefault(f"steps.{index}.{'.'.join(str(part) for part in item['loc'])}", []).append(item["msg"])
            continue
        except InvalidInput as error:
            fields.setdefault(f"steps.{index}", []).append(error.message)
            continue
        if step.key in seen:
            fields.setdefault(f"steps.{index}.key", []).append(f"The key {step.key} stands twice.")
        seen.add(step.key)
    if fields:
        raise InvalidInput(
            "The procedure cannot be used: " + " ".join(f"{key}: {value[0]}" for key, value in fields.items()), code="invalid_procedure", fields=fields
        )


def append_procedure_version(*, procedure: Procedure, steps: Sequence[dict[str, Any]], actor: Actor) -> ProcedureVersion:
    """Write the next version of a procedure (the present one, when nothing changed). Raises InvalidInput."""
    require_valid_steps(steps)
    digest = canonical_hash(list(steps))
    with transaction.atomic():
        Procedure.objects.select_for_update().get(pk=procedure.pk)
        latest = procedure.versions.first()
        if latest is not None and latest.content_hash == digest:
            return latest
        version = ProcedureVersion.objects.create(procedure=procedure, number=(latest.number if latest else 0) + 1, steps=list(steps), content_hash=digest)
        record(
            event="procedure.version_appended",
            actor=actor,
            subject_type="procedure",
            subject_id=procedure.pk,
            data={"slug": procedure.slug, "version": version.number, "content_hash": digest},
        )
        return version
