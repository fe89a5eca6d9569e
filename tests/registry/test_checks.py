"""Setting what verifies a rollback of an artefact: who may, what is refused, and what it changes."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput
from rollbackhub.registry.domain.checks import checks_digest, own_checks, set_checks
from rollbackhub.registry.models import Artefact
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory

CHECKS = [{"kind": "traffic_share", "key": "traffic"}, {"kind": "metric_threshold", "key": "errors", "metric": "errors", "limit": 0.01}]


@pytest.fixture
def artefact(db: None) -> Artefact:
    return Artefact.objects.get(pk=ArtefactFactory(slug="reasoner").pk)


def put(artefact: Artefact, who: Any, **values: Any) -> bool:
    values = {"checks": CHECKS, "based_on": checks_digest(artefact), "reason": "errors count here"} | values
    return set_checks(artefact=artefact, account=who, actor=actor_of(who), **values)


def test_lead_sets_them_spelt_out_and_the_audit_log_has_before_and_after(artefact: Artefact, cast: Cast) -> None:
    assert put(artefact, cast.lead)
    kept = Artefact.objects.get(pk=artefact.pk)
    assert kept.checks is not None
    assert (kept.checks[1]["limit"], kept.checks[1]["error_limit"]) == (0.01, 10)
    assert [check.key for check in own_checks(kept) or []] == ["traffic", "errors"]
    event = AuditEvent.objects.get(event="artefact.checks_changed")
    assert (event.data["before"], event.data["after"], event.data["reason"]) == (None, kept.checks, "errors count here")


def test_same_again_changes_and_records_nothing(artefact: Artefact, cast: Cast) -> None:
    put(artefact, cast.lead)
    assert put(artefact, cast.lead) is False
    assert AuditEvent.objects.filter(event="artefact.checks_changed").count() == 1


def test_none_is_the_template_again(artefact: Artefact, cast: Cast) -> None:
    put(artefact, cast.lead)
    assert put(artefact, cast.lead, checks=None)
    assert Artefact.objects.get(pk=artefact.pk).checks is None
    assert own_checks(artefact) is None


def test_somebody_elses_change_is_not_overwritten(artefact: Artefact, cast: Cast) -> None:
    seen = checks_digest(artefact)
    put(artefact, cast.lead)
    with pytest.raises(Conflict) as refused:
        put(artefact, cast.admin, checks=CHECKS[:1], based_on=seen)
    assert refused.value.code == "checks_moved"
    assert len(Artefact.objects.get(pk=artefact.pk).checks or []) == 2


@pytest.mark.parametrize(
    ("values", "place"), [({"checks": []}, "checks"), ({"checks": "x"}, "checks"), ({"reason": "  "}, "reason"), ({"reason": "x" * 301}, "reason")]
)
def test_what_is_wrong_is_refused_and_changes_nothing(values: dict[str, Any], place: str, artefact: Artefact, cast: Cast) -> None:
    with pytest.raises(InvalidInput) as refused:
        put(artefact, cast.lead, **values)
    assert place in refused.value.fields
    assert Artefact.objects.get(pk=artefact.pk).checks is None
    assert not AuditEvent.objects.filter(event="artefact.checks_changed").exists()


def test_only_who_may_configure_may(artefact: Artefact, cast: Cast) -> None:
    for name, person in cast.everybody_but("lead", "admin").items():
        with pytest.raises(Forbidden):
            put(artefact, person)
        assert Artefact.objects.get(pk=artefact.pk).checks is None, name
