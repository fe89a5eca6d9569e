"""Coordinated procedures: their order, what may be left out, and the point from which on nothing is put back."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.common.verdict import Verdict
from rollbackhub.rollbacks.domain.acts import retry_rollback, undo_rollback
from rollbackhub.rollbacks.domain.coordination import (
    Coordination,
    StepDraft,
    coordinate,
    coordination_of,
    delete_coordinated,
    get_coordinated,
    list_coordinated_with,
    past_no_return,
    write_coordinated,
)
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import CoordinatedProcedure, Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.fixtures import Cast
from tests.rollbacks.conftest import again, approve, ask, ends, run, script, seed_production, weight_of

BECAUSE = "The index is built from the old table, and the new one is vacuumed."


@pytest.fixture
def three(db: None) -> list[RoutingPolicy]:
    """A prompt, a model and a data set of production."""
    return [seed_production(kind, alias=alias) for kind, alias in (("prompt", "tone"), ("model", "reasoner"), ("dataset", "corpus"))]


def write(cast: Cast, three: list[RoutingPolicy], **changes: Any) -> CoordinatedProcedure:
    """The three together, nothing put back from the data set on."""
    values: dict[str, Any] = {
        "slug": "support-release",
        "name": "Support release",
        "environment": three[0].environment,
        "steps": [StepDraft(policy.alias) for policy in three],
        "no_return_before": "corpus",
        "no_return_because": BECAUSE,
        "based_on": 0,
        "account": cast.lead,
        "actor": actor_of(cast.lead),
    }
    return write_coordinated(**values | changes)


def followed(cast: Cast, three: list[RoutingPolicy], policies: list[RoutingPolicy] | None = None) -> Rollback:
    """A rollback by it, asked for by a lead."""
    chosen = policies or three
    return ask(*chosen, account=cast.lead, coordination=coordinate(write(cast, three), chosen))


def undo(rollback: Rollback, cast: Cast) -> Rollback:
    return undo_rollback(rollback_id=rollback.pk, account=cast.lead, actor=actor_of(cast.lead), reason="it made things worse")


def test_written_procedure_is_audited_whole_and_found_by_each_of_its_aliases(cast: Cast, three: list[RoutingPolicy]) -> None:
    written = write(cast, three)
    assert [step.policy.alias for step in written.steps.all()] == ["tone", "reasoner", "corpus"]
    assert (written.number, written.no_return_at, written.author_label) == (1, 2, actor_of(cast.lead).label)
    event = AuditEvent.objects.get(event="coordinated_procedure.created")
    assert event.data["after"]["no_return_before"] == "corpus"
    for policy in three:
        assert list_coordinated_with([policy]) == [written]
    assert list_coordinated_with([three[0], three[2]]) == [written]
    assert list_coordinated_with([three[0], seed_production("model", alias="alone")]) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"slug": "Support release"}, "slug"),
        ({"slug": "new"}, "slug"),
        ({"slug": "x" * 61}, "slug"),
        ({"name": "  "}, "name"),
        ({"steps": [StepDraft("tone")], "no_return_before": "", "no_return_because": ""}, "steps"),
        ({"steps": [StepDraft(f"a-{number}") for number in range(21)]}, "steps"),
        ({"steps": [StepDraft("tone"), StepDraft("corpus"), StepDraft("tone")]}, "steps.2.alias"),
        ({"steps": [StepDraft("tone"), StepDraft("corpus"), StepDraft("who")]}, "steps.2.alias"),
        ({"steps": [StepDraft("tone"), StepDraft("corpus"), StepDraft("a\x00b")]}, "steps.2.alias"),
        ({"steps": [StepDraft("tone"), StepDraft("corpus", "x" * 301)]}, "steps.1.why"),
        ({"no_return_before": "who"}, "no_return_before"),
        ({"no_return_because": "short"}, "no_return_because"),
        ({"no_return_before": ""}, "no_return_before"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_its_field_and_changes_nothing(cast: Cast, three: list[RoutingPolicy], changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        write(cast, three, **changes)
    assert field in refused.value.fields
    assert not CoordinatedProcedure.objects.exists()
    assert not AuditEvent.objects.filter(subject_type="coordinated_procedure").exists()


def test_staging_is_refused(cast: Cast, three: list[RoutingPolicy]) -> None:
    staging = seed_production("model", alias="tone-two", environment="staging").environment
    with pytest.raises(InvalidInput) as refused:
        write(cast, three, environment=staging)
    assert "environment" in refused.value.fields


def test_only_those_who_configure_write_and_remove(cast: Cast, three: list[RoutingPolicy]) -> None:
    for person in (cast.on_call, cast.auditor, cast.stranger):
        with pytest.raises(Forbidden):
            write(cast, three, account=person)
    write(cast, three)
    with pytest.raises(Forbidden):
        delete_coordinated(slug="support-release", account=cast.on_call, actor=actor_of(cast.on_call))
    assert CoordinatedProcedure.objects.count() == 1


def test_second_of_a_name_and_a_change_over_anothers_are_refused(cast: Cast, three: list[RoutingPolicy]) -> None:
    write(cast, three)
    with pytest.raises(Conflict) as exists:
        write(cast, three, name="Another")
    assert exists.value.code == "coordinated_exists"
    changed = write(cast, three, based_on=1, steps=[StepDraft("reasoner", "answers first"), StepDraft("corpus")])
    assert (changed.number, changed.no_return_at) == (2, 1)
    with pytest.raises(Conflict) as moved:
        write(cast, three, based_on=1)
    assert (moved.value.code, moved.value.extra["current_number"]) == ("coordinated_moved", 2)
    event = AuditEvent.objects.get(event="coordinated_procedure.changed")
    assert [step["alias"] for step in event.data["before"]["order"]] == ["tone", "reasoner", "corpus"]
    assert event.data["after"]["order"][0] == {"alias": "reasoner", "why": "answers first"}


def test_every_alias_of_it_names_the_person_who_asked_not_the_hub_that_went_on_with_it(cast: Cast, three: list[RoutingPolicy]) -> None:
    rollback = run(followed(cast, three))
    assert rollback.state == RollbackState.VERIFIED, rollback.outcome
    asked = [part.execution for part in rollback.parts.select_related("execution").order_by("position")]
    assert len(asked) == 3
    for execution in asked:
        assert execution is not None
        assert (execution.requested_by, execution.requested_by_label) == (cast.lead, actor_of(cast.lead).label)
    queued = AuditEvent.objects.filter(event="execution.requested", subject_id=str(asked[2].pk if asked[2] else "")).get()
    assert queued.actor_label == "rollbacks", "the record says who queued it"


def test_removed_one_is_gone_and_a_rollback_keeps_what_it_said(cast: Cast, three: list[RoutingPolicy]) -> None:
    rollback = followed(cast, three)
    delete_coordinated(slug="support-release", account=cast.lead, actor=actor_of(cast.lead))
    with pytest.raises(NotFound):
        get_coordinated("support-release")
    kept = coordination_of(again(rollback))
    assert kept is not None
    assert (kept.name, kept.no_return_before, kept.no_return_because) == ("Support release", "corpus", BECAUSE)


@pytest.mark.parametrize(
    ("chosen", "left_out", "before"),
    [
        ([0, 1, 2], [], "corpus"),
        ([0, 2], ["reasoner"], "corpus"),
        ([0, 1], ["corpus"], ""),
    ],
)
def test_aliases_may_be_left_out_and_the_point_of_no_return_stays_in_its_place(
    cast: Cast, three: list[RoutingPolicy], chosen: list[int], left_out: list[str], before: str
) -> None:
    found = coordinate(write(cast, three), [three[place] for place in chosen])
    assert (found.left_out, found.no_return_before, bool(found.no_return_because)) == (left_out, before, bool(before))


def test_point_of_no_return_at_an_alias_that_is_left_out_stands_before_the_next(cast: Cast, three: list[RoutingPolicy]) -> None:
    written = write(cast, three, no_return_before="reasoner")
    assert coordinate(written, [three[0], three[2]]).no_return_before == "corpus"


def test_another_order_and_a_stranger_are_refused(cast: Cast, three: list[RoutingPolicy]) -> None:
    written = write(cast, three)
    with pytest.raises(InvalidInput) as order:
        coordinate(written, [three[1], three[0]])
    assert order.value.code == "wrong_order"
    with pytest.raises(InvalidInput) as stranger:
        coordinate(written, [three[0], seed_production("model", alias="alone")])
    assert stranger.value.code == "not_in_procedure"


def test_approval_is_bound_to_the_point_of_no_return(cast: Cast, three: list[RoutingPolicy]) -> None:
    written = write(cast, three)
    with_point = ask(*three, account=cast.on_call, coordination=coordinate(written, three))
    assert with_point.state == RollbackState.AWAITING_APPROVAL
    changed = write(cast, three, based_on=1, no_return_before="reasoner")
    assert approve(with_point, cast.lead).state == RollbackState.RUNNING
    assert coordination_of(again(with_point)) == coordinate(written, three), "what was asked for and approved, whatever it says now"
    assert coordinate(changed, three) != coordinate(written, three)


def test_same_key_with_and_without_the_procedure_is_not_the_same_request(cast: Cast, three: list[RoutingPolicy]) -> None:
    written = write(cast, three)
    ask(*three, account=cast.lead, idempotency_key="k-1", coordination=coordinate(written, three))
    with pytest.raises(Conflict) as reused:
        ask(*three, account=cast.lead, idempotency_key="k-1")
    assert reused.value.code == "idempotency_key_reused"


def test_step_that_fails_before_the_point_can_be_put_back(cast: Cast, three: list[RoutingPolicy]) -> None:
    script("drain", ends(Verdict.FAILED), alias="reasoner")
    rollback = run(followed(cast, three))
    assert rollback.state == RollbackState.PARTIALLY_RESTORED
    assert past_no_return(rollback) is None
    script("drain", None, alias="reasoner")
    assert run(undo(rollback, cast)).state == RollbackState.CLOSED
    assert (weight_of(three[0]), weight_of(three[1]), weight_of(three[2])) == (0, 25, 25)


def test_step_that_fails_behind_the_point_is_not_put_back_and_goes_on_by_retrying(cast: Cast, three: list[RoutingPolicy]) -> None:
    script("drain", ends(Verdict.FAILED), alias="corpus")
    rollback = run(followed(cast, three))
    assert rollback.state == RollbackState.PARTIALLY_RESTORED
    passed = past_no_return(rollback)
    assert isinstance(passed, Coordination)
    with pytest.raises(Conflict) as refused:
        undo(rollback, cast)
    assert refused.value.code == "past_no_return"
    assert BECAUSE in refused.value.message
    assert again(rollback).state == RollbackState.PARTIALLY_RESTORED
    assert not AuditEvent.objects.filter(event="rollback.undo_requested").exists()
    script("drain", None, alias="corpus")
    assert run(retry_rollback(rollback_id=rollback.pk, account=cast.lead, actor=actor_of(cast.lead))).state == RollbackState.VERIFIED


def test_alias_behind_the_point_that_has_changed_nothing_yet_has_not_passed_it(cast: Cast, three: list[RoutingPolicy]) -> None:
    script("preflight", ends(Verdict.FAILED), alias="corpus")
    rollback = run(followed(cast, three))
    assert rollback.state == RollbackState.NEEDS_HUMAN
    assert past_no_return(rollback) is None
    assert weight_of(three[2]) == 25
