"""A rollback in a terminal: the plan before, the steps while it runs."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.accounts.models import User
from rollbackhub.common.sentences import with_stop
from rollbackhub.executions.progress import progress_table
from rollbackhub.rollbacks.domain.proposal import Proposal, ProposedPart, expect_roll_forward
from rollbackhub.rollbacks.domain.selectors import list_parts, seconds_so_far
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback, RollbackPart
from rollbackhub.routing.domain.yaml_io import dump_policies
from rollbackhub.routing.rules import CandidateSpec


def plan_text(proposal: Proposal) -> str:
    """The plan for people: what changes as a YAML diff, who decides, what speaks for it."""
    lines = [weights_diff(proposal.parts)]
    for part in proposal.parts:
        content = part.plan.content
        forward = expect_roll_forward(change_type=content["change_type"])
        lines += [
            f"{part.policy.alias}: takes out {content['bad_version']}, back to {', '.join(content['good_versions'])}",
            f"  Target version: {part.retention_in_words}",
            f"  Proof:          {part.proof_in_words}",
            f"  Rolling back:   {part.expectation.in_words}",
            f"  A fix instead:  {forward.in_words}",
            f"  Steps:          {'; '.join(step['title'] for step in content['steps'] if not step.get('undo'))}",
        ]
    if proposal.coordination and proposal.coordination.no_return_before:
        lines.append(f"Point of no return: before {proposal.coordination.no_return_before}. {with_stop(proposal.coordination.no_return_because)}")
    target = "no target is set" if proposal.target_seconds is None else f"{proposal.target_seconds} s"
    lines += [
        f"Target from decision to restored: {target}",
        f"Authority: {proposal.authority.in_words}. "
        + ("You may start it alone." if proposal.alone else f"It waits for approval: {names(proposal.approvers)}."),
        f"Plan: {proposal.plan_hash}",
    ]
    return "\n".join(lines)


def weights_diff(parts: Sequence[ProposedPart]) -> str:
    """The policies before and after, as a unified diff of the policy file."""
    before, after = (
        dump_policies({part.policy.alias: [CandidateSpec.from_dict(entry) for entry in part.plan.content[key]] for part in parts}).splitlines(keepends=True)
        for key in ("weights_before", "weights_rolled_back")
    )
    return "".join(difflib.unified_diff(before, after, fromfile="now", tofile="rolled back", n=20))


def names(people: Sequence[User]) -> str:
    """`Lee Lead (lead), Vera Vice (leadership)`, or that there is nobody."""
    return ", ".join(f"{name_of(person)} ({person.username})" for person in people) or "nobody has that authority; grant it to somebody"


def rollback_table(rollback: Rollback) -> Group:
    """State, clock and the steps of each alias."""
    parts = list_parts(rollback)
    seconds = seconds_so_far(rollback)
    clock = "" if seconds is None else f", {seconds:.1f} s from the decision" + (" to restored" if rollback.rollback_seconds is not None else "")
    return Group(Text(f"Rollback {rollback.pk}: {rollback.get_state_display()}{clock}", style="bold"), *(_steps(rollback, part) for part in parts))


def _steps(rollback: Rollback, part: RollbackPart) -> Text | Table:
    if part.execution is None:
        waits = "waits for approval" if rollback.state == RollbackState.AWAITING_APPROVAL else "not begun"
        return Text(f"{part.policy.alias}: {waits}")
    return progress_table(part.execution)
