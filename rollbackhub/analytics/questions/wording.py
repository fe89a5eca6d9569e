"""Words of the questions about people, production and planning; what all questions say alike stands in saying.py."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from uuid import UUID

from rollbackhub.accounts.enums import Role
from rollbackhub.analytics.domain.statistics import Estimate
from rollbackhub.analytics.enums import RunSource
from rollbackhub.analytics.questions.saying import per_cent
from rollbackhub.rollbacks.enums import AuthorisedBy

TOO_FEW = "too few to say"


def source_in_words(source: str) -> str:
    """`Imported` or `RollbackHub`: whatever lists a run says which."""
    return "Imported" if source == RunSource.IMPORTED else "RollbackHub"


def address_of_run(url: str, import_id: UUID | None) -> str:
    """The page of a run: its own, or of the file that it came in with."""
    return url or (f"/analytics/import/{import_id}/" if import_id else "")


def role_in_words(role: str) -> str:
    """Whose decision it was; history may not say."""
    return str(Role(role).label) if role in Role.values else "Not recorded"


def how_in_words(how: str) -> str:
    """How it came by its authority; history may not say."""
    return str(AuthorisedBy(how).label) if how in AuthorisedBy.values else "Not recorded"


def months_between(months: Iterable[dt.date]) -> list[dt.date]:
    """Every month from the first to the last of these, so that one without anything shows as such."""
    found = sorted(set(months))
    if not found:
        return []
    shown, month = [], found[0]
    while month <= found[-1]:
        shown.append(month)
        month = (month + dt.timedelta(days=32)).replace(day=1)
    return shown


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def interval_in_words(estimate: Estimate) -> str:
    """`24 % (95 % interval 18 % to 31 %)`."""
    return f"{per_cent(estimate.value)} (95 % interval {bounds_in_words(estimate)})"


def bounds_in_words(estimate: Estimate) -> str:
    """`18 % to 31 %`."""
    return f"{per_cent(estimate.low)} to {per_cent(estimate.high)}"
