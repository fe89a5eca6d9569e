"""What a person may do about a request that waits for approval: for `rollbacks/partials/_approval_block.html`, wherever it stands."""

from __future__ import annotations

from typing import Any

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, may
from rollbackhub.rollbacks.domain.matters import is_own, may_decide
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.rollbacks.rules import level_of


def approval_context(*, rollback: Rollback, person: User) -> dict[str, Any]:
    """What the block needs. No query but the person's roles, once."""
    waits = rollback.state == RollbackState.AWAITING_APPROVAL
    may_roll_back = may(user=person, capability=Capability.ROLL_BACK)
    is_lead = may(user=person, capability=Capability.LEAD)
    able = waits and may_decide(rollback, person)
    return {
        "rollback": rollback,
        "plan_hash": rollback.plan_hash,
        "may_decide": able,
        "may_withdraw": waits and may_roll_back and (is_own(rollback, person) or is_lead),
        # Who may approve has no glass to break.
        "may_break_glass": waits and may_roll_back and not able and not person.is_service and level_of(person.roles) > 0,
    }


def may_sign(*, rollback: Rollback, person: User) -> bool:
    """Whether this person may sign the review of a break-glass: a lead who did not break it. No query but the person's roles, once."""
    broke_it = person.pk in (rollback.principal_id, rollback.requested_by_id, rollback.authorised_by_id)
    return rollback.review_is_open and not broke_it and not person.is_service and may(user=person, capability=Capability.LEAD)
