"""The bar above every page: what runs, what waits for this person, what this person was told."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

from rollbackhub.accounts.domain.notices import list_unread
from rollbackhub.accounts.models import Notice, User
from rollbackhub.accounts.rules import Capability, may
from rollbackhub.alerts.domain.proposals import list_open_proposals, url_of
from rollbackhub.alerts.models import Proposal
from rollbackhub.executions.domain.listing import list_active
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.executions.models import Execution
from rollbackhub.rollbacks.domain.matters import Matters, list_matters
from rollbackhub.rollbacks.enums import STOPPED_STATES
from rollbackhub.rollbacks.models import Rollback

SHOWN = 5
"""Of drills and of notices."""

SHOWN_ROLLBACKS = 3
"""Of each kind; the rest is counted: on a phone the page itself has to be seen, too."""

OF_ROLLBACKS = (ExecutionKind.ROLLBACK, ExecutionKind.ROLL_FORWARD)


@dataclass
class Bar:
    """What it shows."""

    executions: list[Execution] = field(default_factory=list)
    """Drills: executions of rollbacks show as their rollback."""
    matters: Matters = field(default_factory=Matters)
    notices: list[Notice] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)
    """Rollbacks that alerts propose, for who may confirm them: the oldest of them."""
    more_proposals: bool = False

    @cached_property
    def is_empty(self) -> bool:
        """Whether there is nothing to say."""
        matters = self.matters
        return not (self.executions or self.notices or self.proposals or matters.running or matters.waiting or matters.mine or matters.reviews)

    @cached_property
    def digest(self) -> str:
        """Short, equal while the bar shows the same; `none` when it shows nothing."""
        if self.is_empty:
            return "none"
        matters = self.matters
        rollbacks = [f"{kind}{rollback.pk}.{rollback.number}" for kind in ("running", "waiting", "mine", "reviews") for rollback in getattr(matters, kind)]
        seen = [*(f"{execution.pk}.{execution.state}" for execution in self.executions), *rollbacks, *(str(notice.pk) for notice in self.notices)]
        seen += [str(proposal.pk) for proposal in self.proposals]
        return hashlib.sha256(" ".join(seen).encode()).hexdigest()[:16]

    @property
    def rollbacks(self) -> list[Rollback]:
        """Those that run, the ones that need a person first."""
        return sorted(self.matters.running, key=lambda rollback: rollback.state not in STOPPED_STATES)[:SHOWN_ROLLBACKS]

    @property
    def more_rollbacks(self) -> int:
        """How many more run or need a person."""
        return len(self.matters.running) - len(self.rollbacks)

    @property
    def waiting(self) -> list[Rollback]:
        """The oldest requests that wait for this person."""
        return self.matters.waiting[:SHOWN_ROLLBACKS]

    @property
    def more_waiting(self) -> int:
        """How many more wait for this person, with the reviews to sign that are not shown."""
        matters = self.matters
        return len(matters.waiting) - len(self.waiting) + len(matters.reviews) - len(self.reviews)

    @property
    def reviews(self) -> list[Rollback]:
        """The oldest reviews to sign."""
        return self.matters.reviews[:SHOWN_ROLLBACKS]

    @property
    def shown_notices(self) -> list[Notice]:
        """The newest; what the lines above say already is left out."""
        return self._other_notices[:SHOWN]

    @property
    def more_notices(self) -> int:
        """How many more there are."""
        return len(self._other_notices) - len(self.shown_notices)

    @cached_property
    def _other_notices(self) -> list[Notice]:
        said = {f"/rollbacks/{rollback.pk}/" for rollback in [*self.matters.waiting, *self.matters.reviews]}
        said |= {url_of(proposal) for proposal in self.proposals}
        return [notice for notice in self.notices if notice.url not in said]


def bar_for(user: User) -> Bar:
    """What the bar shows this person. Three queries, four for who may roll back, one more for leads."""
    drills = [execution for execution in list_active(limit=4 * SHOWN) if execution.kind not in OF_ROLLBACKS]
    able = may(user=user, capability=Capability.ROLL_BACK) and not user.is_service
    proposals = list(list_open_proposals()[: SHOWN_ROLLBACKS + 1]) if able else []
    return Bar(
        executions=drills[:SHOWN],
        matters=list_matters(user),
        notices=list_unread(user),
        proposals=proposals[:SHOWN_ROLLBACKS],
        more_proposals=len(proposals) > SHOWN_ROLLBACKS,
    )
