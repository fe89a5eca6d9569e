"""Reading procedures: which there are, whose they are, and which aliases go back by each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet

from rollbackhub.common.errors import NotFound
from rollbackhub.executions.models import Procedure, ProcedureVersion
from rollbackhub.routing.models import RoutingPolicy


@dataclass(frozen=True, slots=True)
class ProcedureRow:
    """A procedure with its present version (None: nothing is written yet) and how many aliases go back by it, over all environments."""

    procedure: Procedure
    current: ProcedureVersion | None
    users: int


def list_procedures() -> QuerySet[Procedure]:
    """All of them, by change type, then by what moves the aliases."""
    return Procedure.objects.select_related("artefact").order_by("change_type", "connector", F("artefact__slug").asc(nulls_first=True))


def describe_procedures(procedures: Sequence[Procedure]) -> list[ProcedureRow]:
    """Each with its present version and its users. Three queries for any number."""
    current = current_versions([procedure.pk for procedure in procedures])
    users = count_users()
    return [ProcedureRow(procedure, current.get(procedure.pk), users.get(procedure.pk, 0)) for procedure in procedures]


def current_versions(procedure_ids: Sequence[int]) -> dict[int, ProcedureVersion]:
    """The present version of each procedure, by the procedure's id. One query."""
    found = ProcedureVersion.objects.filter(procedure__in=procedure_ids).order_by("procedure_id", "-number").distinct("procedure_id")
    return {version.procedure_id: version for version in found}


def count_users() -> dict[int, int]:
    """How many aliases go back by each procedure, by its id. Two queries."""
    written = Procedure.objects.filter(Exists(ProcedureVersion.objects.filter(procedure=OuterRef("pk"))))
    by_use: dict[tuple[str, str, int | None], int] = {
        (change_type, connector, artefact): pk for pk, change_type, connector, artefact in written.values_list("pk", "change_type", "connector", "artefact")
    }
    grouped = RoutingPolicy.objects.order_by().values_list("artefact__change_type", "connection__connector", "artefact").annotate(count=Count("pk"))
    users: dict[int, int] = {}
    for change_type, connector, artefact, count in grouped:
        pk = by_use.get((change_type, connector or "", artefact)) or by_use.get((change_type, connector or "", None))
        if pk is not None:
            users[pk] = users.get(pk, 0) + count
    return users


def get_procedure(slug: str) -> Procedure:
    """A procedure by its short name. Raises NotFound. One query."""
    found = Procedure.objects.select_related("artefact").filter(slug=slug).first()
    if found is None:
        raise NotFound(f"There is no procedure {slug}.", code="procedure_not_found")
    return found


def with_versions(procedures: QuerySet[Procedure]) -> QuerySet[Procedure]:
    """With all their versions, newest first. One query more."""
    return procedures.prefetch_related(Prefetch("versions", queryset=ProcedureVersion.objects.order_by("-number")))


def get_procedure_version(procedure: Procedure, number: int) -> ProcedureVersion:
    """One of its versions. Raises NotFound. One query."""
    found = procedure.versions.filter(number=number).first() if 0 < number < 2**31 else None
    if found is None:
        raise NotFound(f"{procedure.name} has no version {number}.", code="procedure_version_not_found")
    return found


def policies_using(procedure: Procedure) -> QuerySet[RoutingPolicy]:
    """The aliases that go back by this procedure (once it has a version), in every environment."""
    moved = Q(connection__connector=procedure.connector) if procedure.connector else Q(connection=None)
    found = RoutingPolicy.objects.filter(moved).select_related("environment", "artefact", "connection").order_by("alias", "environment__slug")
    if procedure.artefact_id is not None:
        return found.filter(artefact=procedure.artefact_id)
    own = ProcedureVersion.objects.filter(
        procedure__change_type=procedure.change_type, procedure__connector=procedure.connector, procedure__artefact=OuterRef("artefact")
    )
    return found.filter(Q(artefact__change_type=procedure.change_type), ~Exists(own))
