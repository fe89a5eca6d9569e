"""Which state may follow which, who outranks whom, and what a plan's hash covers. Pure: no database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rollbackhub.accounts.enums import Role
from rollbackhub.executions.fingerprints import canonical_hash
from rollbackhub.rollbacks.enums import HOLDING_STATES, AuthoritySubject
from rollbackhub.rollbacks.enums import RollbackState as S

TRANSITIONS: dict[S, frozenset[S]] = {
    S.AWAITING_APPROVAL: frozenset({S.RUNNING, S.REJECTED, S.EXPIRED, S.WITHDRAWN, S.ROLLING_FORWARD}),
    S.RUNNING: frozenset({S.NEEDS_HUMAN, S.PARTIALLY_RESTORED, S.RESTORED, S.UNDOING, S.CANCELLED, S.CLOSED}),
    S.NEEDS_HUMAN: frozenset({S.RUNNING, S.UNDOING, S.CANCELLED, S.CLOSED, S.ROLLING_FORWARD}),
    S.PARTIALLY_RESTORED: frozenset({S.RUNNING, S.UNDOING, S.CLOSED}),
    S.RESTORED: frozenset({S.RUNNING, S.VERIFIED, S.VERIFICATION_FAILED, S.UNDOING, S.CLOSED}),
    S.VERIFICATION_FAILED: frozenset({S.RESTORED, S.VERIFIED, S.UNDOING, S.CLOSED}),
    S.VERIFIED: frozenset({S.VERIFICATION_FAILED, S.CLOSED}),
    S.UNDOING: frozenset({S.UNDONE, S.NEEDS_HUMAN, S.CLOSED}),
    S.ROLLING_FORWARD: frozenset({S.ROLLED_FORWARD, S.NEEDS_HUMAN, S.CLOSED}),
    S.REJECTED: frozenset(),
    S.EXPIRED: frozenset(),
    S.WITHDRAWN: frozenset(),
    S.UNDONE: frozenset(),
    S.CANCELLED: frozenset(),
    S.ROLLED_FORWARD: frozenset(),
    S.CLOSED: frozenset(),
}
"""Which state may follow which."""

LEVELS: tuple[Role, ...] = (Role.ON_CALL, Role.PLATFORM_LEAD, Role.LEADERSHIP)
"""The authorities, from the lowest; a higher one may do what a lower one may."""

MAX_PARTS = 20
"""Aliases of one rollback."""

MIN_REASON = 3
MIN_BREAK_GLASS_REASON = 10
MAX_REASON = 1000


def holds_aliases(state: S | str, *, was_verified: bool) -> bool:
    """Whether a rollback in this state keeps others from its aliases."""
    return state in HOLDING_STATES and not was_verified


def level_of(roles: Collection[str]) -> int:
    """The highest authority among these roles: 1 on-call, 2 platform lead, 3 leadership; 0: none."""
    return max((LEVELS.index(role) + 1 for role in LEVELS if role in roles), default=0)


def required_role(table: Mapping[str, str], *, change_types: Iterable[str], parts: int, strategic: bool) -> tuple[Role, str]:
    """The role that decides a rollback alone, and the subject of the table that says so (the highest of those that apply).

    `table` maps a subject to a role. A subject that is missing counts as leadership: nobody wins by deleting a row.
    """
    subjects = list(dict.fromkeys(change_types))
    if parts > 1:
        subjects.append(AuthoritySubject.COORDINATED)
    if strategic:
        subjects.append(AuthoritySubject.STRATEGIC)
    needed = [(Role(table.get(subject, Role.LEADERSHIP)), str(subject)) for subject in subjects]
    return max(needed, key=lambda entry: LEVELS.index(entry[0]))


def may_decide_alone(roles: Collection[str], *, required: str) -> bool:
    """Whether somebody with these roles needs nobody else. An administrator is no operational authority."""
    return level_of(roles) >= level_of([required])


def may_approve(roles: Collection[str], *, required: str) -> bool:
    """Whether somebody with these roles may approve somebody else's request: the required authority or a higher one, or an administrator."""
    return Role.ADMIN in roles or may_decide_alone(roles, required=required)


def approver_roles(required: str) -> list[Role]:
    """Who is told of a request at first: the lowest authority that may approve it, and administrators come with the next level."""
    return [Role(required)]


def next_level_roles(required: str) -> list[Role]:
    """Who is told when nobody has decided in time: the next authority above, and the administrators."""
    index = LEVELS.index(Role(required))
    return [*LEVELS[index + 1 : index + 2], Role.ADMIN]


def plan_hash(plans: Sequence[Mapping[str, Any]], *, strategic: bool, coordination: Mapping[str, Any] | None = None) -> str:
    """SHA-256 (hex) over everything that would be done, in its order, with its point of no return. Approvals are bound to it."""
    content: dict[str, Any] = {"plans": [dict(plan) for plan in plans], "strategic": strategic}
    if coordination is not None:
        content["coordination"] = dict(coordination)
    return canonical_hash(content)
