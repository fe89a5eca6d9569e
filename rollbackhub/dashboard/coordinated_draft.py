"""A coordinated procedure as a person edits it: read from a form, changed by its buttons, drawn again. Nothing typed is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.http import QueryDict

from rollbackhub.rollbacks.domain.coordination import StepDraft
from rollbackhub.rollbacks.models import CoordinatedProcedure
from rollbackhub.rollbacks.rules import MAX_PARTS

LONGEST = 2000
"""Characters of one field that are kept, so that what was typed can be shown again."""
ABOVE_THE_ROWS = {"name": "name", "slug": "short name", "environment": "environment", "steps": "the order"}
BELOW_THE_ROWS = {"no_return_before": "point of no return", "no_return_because": "why nothing can be put back"}
"""The places of the form at which mistakes are said, by the field that the domain blames."""


@dataclass(slots=True)
class RowDraft:
    """One place of the order."""

    alias: str = ""
    why: str = ""
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class CoordinatedDraft:
    """Everything that the form holds. `no_return` is the place (from 0) before which the point of no return stands; None: there is none."""

    slug: str = ""
    name: str = ""
    rows: list[RowDraft] = field(default_factory=lambda: [RowDraft(), RowDraft()])
    no_return: int | None = None
    because: str = ""
    based_on: int = 0
    errors: dict[str, list[str]] = field(default_factory=dict)
    """Of the fields that are no row's."""

    @property
    def steps(self) -> list[StepDraft]:
        """As the domain takes them."""
        return [StepDraft(row.alias, row.why) for row in self.rows]

    @property
    def no_return_before(self) -> str:
        """The alias of the chosen place; empty: no such point."""
        return self.rows[self.no_return].alias if self.no_return is not None and self.no_return < len(self.rows) else ""

    @property
    def is_full(self) -> bool:
        """No row may be added."""
        return len(self.rows) >= MAX_PARTS

    @property
    def wrong_places(self) -> list[str]:
        """Where something is wrong, as the form names these places, from top to bottom. Empty: nothing is."""
        rows = [f"place {number}" for number, row in enumerate(self.rows, start=1) if row.errors]
        above, below = ([words for name, words in places.items() if name in self.errors] for places in (ABOVE_THE_ROWS, BELOW_THE_ROWS))
        return above + rows + below

    def press(self, button: str) -> bool:
        """Do what a button of the form says (`add`, `up:2`, `down:2`, `remove:2`). Whether it was one of these."""
        name, _, place = button.partition(":")
        if name == "add":
            if not self.is_full:
                self.rows.append(RowDraft())
            return True
        if name not in ("up", "down", "remove") or not place.isascii() or not place.isdigit() or len(place) > 3 or int(place) >= len(self.rows):
            return False
        index = int(place)
        chosen = self.rows[self.no_return] if self.no_return is not None and self.no_return < len(self.rows) else None
        row = self.rows.pop(index)
        if name != "remove":
            self.rows.insert(max(0, index - 1) if name == "up" else index + 1, row)
        # The point of no return stays with its alias.
        self.no_return = next((place for place, other in enumerate(self.rows) if other is chosen), None)
        return True

    def blame(self, fields: Mapping[str, Sequence[str]]) -> None:
        """Put the domain's sentences where they belong."""
        for name, sentences in fields.items():
            first, _, rest = name.partition(".")
            place = rest.split(".")[0]
            if first == "steps" and place.isdigit() and int(place) < len(self.rows):
                self.rows[int(place)].errors += sentences
            else:
                self.errors.setdefault(first, []).extend(sentences)


def draft_of_procedure(procedure: CoordinatedProcedure) -> CoordinatedDraft:
    """The form as it begins. The steps must be fetched with their policies."""
    return CoordinatedDraft(
        slug=procedure.slug,
        name=procedure.name,
        rows=[RowDraft(step.policy.alias, step.why) for step in procedure.steps.all()],
        no_return=procedure.no_return_at,
        because=procedure.no_return_because,
        based_on=procedure.number,
    )


def read_draft(data: QueryDict) -> CoordinatedDraft:
    """What was sent. A number that is none counts as 0."""
    count = min(_whole(data.get("rows", "")) or 0, MAX_PARTS)
    return CoordinatedDraft(
        slug=data.get("slug", "")[:LONGEST],
        name=data.get("name", "")[:LONGEST],
        rows=[RowDraft(data.get(f"rows-{index}-alias", "")[:LONGEST], data.get(f"rows-{index}-why", "")[:LONGEST]) for index in range(count)],
        no_return=_whole(data.get("no_return", "")),
        because=data.get("because", "")[:LONGEST],
        based_on=_whole(data.get("based_on", "")) or 0,
    )


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
