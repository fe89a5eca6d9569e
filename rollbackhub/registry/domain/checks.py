"""What verifies a rollback of an artefact: its own checks, in place of the template of its change type."""

from __future__ import annotations

import hashlib

import rfc8785
from django.db import transaction

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.common.shown_text import spoken
from rollbackhub.registry.models import Artefact
from rollbackhub.verification.specs import Check, as_json, parse_checks
from rollbackhub.verification.written import parse_written

MAX_REASON = 300


def checks_digest(artefact: Artefact) -> str:
    """A short name of its present checks: who saves says by it which ones they have seen."""
    return hashlib.sha256(rfc8785.dumps(artefact.checks)).hexdigest()[:16]


def own_checks(artefact: Artefact) -> list[Check] | None:
    """Its own checks; None when the template of its change type counts."""
    return None if artefact.checks is None else parse_checks(artefact.checks)


def set_checks(*, artefact: Artefact, checks: object, based_on: str, reason: str, account: User, actor: Actor) -> bool:
    """Give an artefact checks of its own, or (None) the template again. True when that changed anything; the proofs of its paths are stale then.

    `based_on`: the `checks_digest` of what was seen. Raises Forbidden, InvalidInput (`checks.1.margin_ratio`, `reason`), Conflict `checks_moved`.
    """
    require(user=account, capability=Capability.CONFIGURE)
    reason = spoken(reason)
    if not reason or len(reason) > MAX_REASON:
        sentence = f"Say why, in 1 to {MAX_REASON} characters."
        raise InvalidInput(sentence, code="reason_needed", fields={"reason": [sentence]})
    wanted = None if checks is None else as_json(parse_written(checks))
    with transaction.atomic():
        locked = Artefact.objects.select_for_update().get(pk=artefact.pk)
        if locked.checks == wanted:
            return False
        if checks_digest(locked) != based_on:
            raise Conflict(
                f"Somebody else has changed the checks of {locked.slug} meanwhile. Look at theirs, then save again.",
                code="checks_moved",
                current=checks_digest(locked),
            )
        data = {"artefact": locked.slug, "before": locked.checks, "after": wanted, "reason": reason}
        locked.checks = wanted
        locked.save(update_fields=["checks"])
        record(event="artefact.checks_changed", actor=actor, subject_type="artefact", subject_id=locked.pk, data=data)
    artefact.checks = wanted
    return True
