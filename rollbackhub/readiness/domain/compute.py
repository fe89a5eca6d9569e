"""The only writer of readiness: judges many aliases at once, keeps what they are, and appends what has changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from django.db import connection, transaction

from rollbackhub.readiness.domain.facts import Facts, facts_of
from rollbackhub.readiness.domain.reasons import judge_readiness
from rollbackhub.readiness.models import Readiness, ReadinessChange
from rollbackhub.readiness.rules import Verdict, rank_of
from rollbackhub.routing.models import RoutingPolicy

LOCK = 7_142_004
"""Advisory lock: one process computes at a time."""

AT_ONCE = 1000
"""Policies that are judged together: bounds memory, not queries per alias."""


def compute_readiness(*, policies: Sequence[RoutingPolicy] | None = None, at: dt.datetime | None = None) -> int:
    """Judge these policies (all, by default), and keep what they are now. Returns how many changed.

    Two processes at once do not write the same change twice: the second waits. A fixed number of queries for each thousand policies.
    """
    wanted = list(RoutingPolicy.objects.select_related("environment", "artefact").order_by("pk")) if policies is None else list(policies)
    changed = 0
    for begin in range(0, len(wanted), AT_ONCE):
        facts = facts_of(wanted[begin : begin + AT_ONCE], at=at)
        changed += keep_verdicts((found, judge_readiness(found)) for found in facts.values())
    return changed


def keep_verdicts(judged: Iterable[tuple[Facts, Verdict]]) -> int:
    """Write down what was judged; a change of state, of rollbackable or of the reasons' codes is appended to the history."""
    rows = list(judged)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        before = Readiness.objects.in_bulk([facts.policy.pk for facts, _ in rows])
        # A policy may have gone since it was judged.
        there = set(RoutingPolicy.objects.filter(pk__in=[facts.policy.pk for facts, _ in rows]).values_list("pk", flat=True))
        present, changes = [], []
        for facts, verdict in rows:
            old = before.get(facts.policy.pk)
            if facts.policy.pk not in there or (old is not None and old.computed_at > facts.now):
                continue
            codes = verdict.codes
            moved = old is None or old.state != verdict.state or old.rollbackable != verdict.rollbackable
            if moved or (old is not None and [reason["code"] for reason in _once(old.reasons)] != codes):
                first = verdict.reasons[0].sentence if verdict.reasons else ""
                changes.append(
                    ReadinessChange(
                        policy_id=facts.policy.pk, at=facts.now, state=verdict.state, rollbackable=verdict.rollbackable, codes=codes, sentence=first
                    )
                )
            present.append(
                Readiness(
                    policy_id=facts.policy.pk,
                    state=verdict.state,
                    rank=rank_of(verdict),
                    rollbackable=verdict.rollbackable,
                    proof_state=facts.proof.state,
                    reasons=[reason.as_dict() for reason in verdict.reasons],
                    since=facts.now if old is None or old.state != verdict.state else old.since,
                    computed_at=facts.now,
                )
            )
        fields = ["state", "rank", "rollbackable", "proof_state", "reasons", "since", "computed_at"]
        Readiness.objects.bulk_create(present, update_conflicts=True, unique_fields=["policy"], update_fields=fields)
        ReadinessChange.objects.bulk_create(changes)
    return len(changes)


def _once(reasons: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return list({reason["code"]: reason for reason in reasons}.values())


def judge_now(policy: RoutingPolicy) -> tuple[Facts, Verdict]:
    """The readiness of one policy at this instant, freshly judged and kept. For whoever decides by it."""
    facts = facts_of([policy])[policy.pk]
    verdict = judge_readiness(facts)
    keep_verdicts([(facts, verdict)])
    return facts, verdict
