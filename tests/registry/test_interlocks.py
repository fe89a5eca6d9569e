"""Whatever a version is still needed for keeps it from being retired, in the database, too; and when that has gone it may be retired."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import ProtectedError

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.registry.domain.interlocks import Interlocked, list_interlocks
from rollbackhub.registry.domain.lifecycle import archive_version, retire_version
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Version
from tests.databases import FreshDatabase
from tests.factories.fixtures import Cast, make_cast
from tests.factories.registry import VersionFactory
from tests.registry.interlocks import ALL_AT_ONCE, ALL_CODES, REASONS, VERSION, Scene, make_scene

CASES = [pytest.param(code, make, id=name) for name, (code, make) in REASONS.items()]


def codes_of(version: Version) -> list[str]:
    return sorted(reason.code for reason in list_interlocks([version]).get(version.pk, []))


def row_of(version: Version) -> dict[str, Any]:
    """All that the database has of it."""
    return dict(Version.objects.values().get(pk=version.pk))


@pytest.mark.django_db
def test_version_that_nothing_needs_is_free() -> None:
    assert codes_of(make_scene().version) == []


@pytest.mark.django_db
@pytest.mark.parametrize(("code", "make"), CASES)
def test_reason_stands_until_it_is_taken_away(code: str, make: Callable[[Scene], Any]) -> None:
    scene = make_scene()
    ends = make(scene)
    assert codes_of(scene.version) == [code]
    ends()
    assert codes_of(scene.version) == []


@pytest.mark.django_db
@pytest.mark.parametrize(("code", "make"), CASES)
def test_domain_refuses_to_retire_until_the_reason_has_gone(code: str, make: Callable[[Scene], Any], cast: Cast) -> None:
    scene = make_scene()
    ends = make(scene)
    before, events = row_of(scene.version), AuditEvent.objects.count()
    with pytest.raises(Interlocked) as caught:
        retire(scene.version, cast)
    assert (caught.value.code, caught.value.status) == ("interlocked", 409)
    assert [reason["code"] for reason in caught.value.extra["reasons"]] == [code]  # type: ignore[attr-defined]
    assert (row_of(scene.version), AuditEvent.objects.count()) == (before, events)
    ends()
    assert retire(scene.version, cast).lifecycle == Lifecycle.RETIRED
    event = AuditEvent.objects.latest("pk")
    assert (event.event, event.subject_id, event.data["reason"]) == ("version.retired", str(scene.version.pk), "its provider has deleted it")


def retire(version: Version, cast: Cast) -> Version:
    return retire_version(version_id=version.pk, account=cast.lead, actor=actor_of(cast.lead), reason="its provider has deleted it")


SQL = {
    "update": "UPDATE registry_version SET lifecycle = 'retired' WHERE id = %s",
    "update that frees itself": "UPDATE registry_version SET superseded_at = NULL, lifecycle = 'retired' WHERE id = %s",
    "upsert": "INSERT INTO registry_version SELECT * FROM registry_version WHERE id = %s ON CONFLICT (id) DO UPDATE SET lifecycle = 'retired'",
    "delete": "DELETE FROM registry_version WHERE id = %s",
}


@pytest.mark.parametrize(("code", "make"), CASES)
def test_plain_sql_is_refused_for_both_roles_until_the_reason_has_gone(code: str, make: Callable[[Scene], Any], fresh_database: FreshDatabase) -> None:
    scene = make_scene()
    ends = make(scene)
    before = row_of(scene.version)
    for role in ("default", "owner"):
        for name, statement in SQL.items():
            with pytest.raises(DatabaseError, match=rf"(?s)v1 is still needed.*\b{code}: "), connections[role].cursor() as cursor:
                cursor.execute(statement, [scene.version.pk])
            assert row_of(scene.version) == before, (role, name)
    ends()
    for role in ("default", "owner"):
        with connections[role].cursor() as cursor:
            cursor.execute(SQL["update"], [scene.version.pk])
            assert cursor.rowcount == 1
        assert row_of(scene.version)["lifecycle"] == "retired"
        Version.objects.filter(pk=scene.version.pk).update(lifecycle="archived")


@pytest.mark.django_db
@pytest.mark.parametrize(("code", "make"), CASES)
def test_orm_is_refused_until_the_reason_has_gone(code: str, make: Callable[[Scene], Any]) -> None:
    scene = make_scene()
    ends = make(scene)
    before = row_of(scene.version)
    found = Version.objects.get(pk=scene.version.pk)
    found.lifecycle = Lifecycle.RETIRED
    acts: dict[str, Callable[[], Any]] = {
        "save": lambda: found.save(),
        "update": lambda: Version.objects.filter(pk=found.pk).update(lifecycle=Lifecycle.RETIRED),
        "bulk update": lambda: Version.objects.bulk_update([found], ["lifecycle"]),
        "delete": lambda: found.delete(),
        "delete many": lambda: Version.objects.filter(pk=found.pk).delete(),
    }
    for name, act in acts.items():
        with pytest.raises((DatabaseError, ProtectedError)), transaction.atomic():
            act()
        found.pk = scene.version.pk
        assert row_of(scene.version) == before, name
    ends()
    acts["save"]()
    assert row_of(scene.version)["lifecycle"] == "retired"


@pytest.mark.django_db
def test_refusal_names_every_reason(cast: Cast) -> None:
    scene = make_scene()
    for make in ALL_AT_ONCE:
        make(scene)
    with pytest.raises(Interlocked) as caught:
        retire(scene.version, cast)
    reasons = caught.value.reasons
    assert [reason.code for reason in reasons] == ALL_CODES
    for reason in reasons:
        assert reason.sentence in caught.value.message
    until = {reason.code: reason.until for reason in reasons}
    assert until["within_window"] is not None
    assert until["within_window"] > now()
    assert until["stability_hold"] is not None
    assert until["open_incident"] is None
    with pytest.raises(DatabaseError) as refused, transaction.atomic():
        Version.objects.filter(pk=scene.version.pk).update(lifecycle="retired")
    for code in ALL_CODES:
        assert f"{code}: " in str(refused.value)


@pytest.mark.django_db
def test_what_serves_is_told_of_every_reason_not_of_its_state_alone(cast: Cast) -> None:
    scene = make_scene()
    REASONS["serves in production"][1](scene)
    Version.objects.filter(pk=scene.version.pk).update(lifecycle=Lifecycle.LIVE, superseded_at=now() - dt.timedelta(days=2))
    with pytest.raises(Interlocked) as caught:
        retire(scene.version, cast)
    assert [reason.code for reason in caught.value.reasons] == ["serves", "within_window"]


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["on_call", "leadership", "auditor", "stranger"])
def test_retiring_and_archiving_is_for_platform_leads_and_administrators(who: str, cast: Cast) -> None:
    version, account = make_scene().version, getattr(cast, who)
    for act in (retire_version, archive_version):
        with pytest.raises(Forbidden):
            act(version_id=version.pk, account=account, actor=actor_of(account), reason="not mine to say")
    assert row_of(version)["lifecycle"] == "archived"


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["", "  ", "x "])
def test_retiring_without_a_reason_is_refused(reason: str, cast: Cast) -> None:
    version = make_scene().version
    with pytest.raises(InvalidInput, match="Say why"):
        retire_version(version_id=version.pk, account=cast.lead, actor=actor_of(cast.lead), reason=reason)
    assert row_of(version)["lifecycle"] == "archived"


@pytest.mark.django_db
def test_retiring_what_is_not_there_or_is_retired_is_refused(cast: Cast) -> None:
    version = make_scene().version
    retire(version, cast)
    with pytest.raises(Conflict, match="cannot become retired"):
        retire(version, cast)
    with pytest.raises(NotFound):
        retire_version(version_id=2**40, account=cast.lead, actor=actor_of(cast.lead), reason="nothing there")
    # It comes back as archived, and from there it may be retired again.
    assert archive_version(version_id=version.pk, account=cast.lead, actor=actor_of(cast.lead), reason="it exists after all").lifecycle == "archived"
    assert retire(version, cast).lifecycle == "retired"


@pytest.mark.django_db
@pytest.mark.parametrize("lifecycle", ["canary", "live"])
def test_what_serves_is_not_archived(lifecycle: str, cast: Cast) -> None:
    version = VersionFactory(lifecycle=lifecycle)
    with pytest.raises(Conflict, match="take its weight away first"):
        archive_version(version_id=version.pk, account=cast.lead, actor=actor_of(cast.lead), reason="tidy up")


@pytest.mark.django_db
def test_two_proven_versions_in_one_statement_are_not_both_retired() -> None:
    scene = make_scene()
    scene.proves(VERSION)
    third = scene.other("v3")
    scene.proves("v3")
    assert list_interlocks([scene.version, third]) == {}
    with pytest.raises(DatabaseError, match="only_proven_target"), transaction.atomic():
        Version.objects.filter(pk__in=[scene.version.pk, third.pk]).update(lifecycle="retired")
    assert not Version.objects.filter(lifecycle="retired").exists()


@pytest.mark.django_db
def test_retired_version_gets_no_weight_by_plain_sql_either() -> None:
    scene = make_scene()
    Version.objects.filter(pk=scene.version.pk).update(lifecycle="retired")
    with pytest.raises(DatabaseError, match="retired and may get no weight"), transaction.atomic():
        scene.weights(scene.staging, v1=10, v2=90)
    scene.weights(scene.production, v1=0, v2=100)


@pytest.mark.django_db
def test_interlocks_of_many_versions_take_one_query(django_assert_num_queries: Any) -> None:
    scenes = [make_scene(f"alias-{number}") for number in range(4)]
    for scene in scenes:
        for make in ALL_AT_ONCE:
            make(scene)
    with django_assert_num_queries(1):
        found = list_interlocks([scene.version for scene in scenes])
    assert [[reason.code for reason in found[scene.version.pk]] for scene in scenes] == [ALL_CODES] * 4
    with django_assert_num_queries(0):
        assert list_interlocks([]) == {}


def test_reasons_are_reckoned_by_the_instant_that_is_asked_for(fresh_database: FreshDatabase) -> None:
    make_cast()
    scene = make_scene()
    ends = REASONS["within the window"][1](scene)
    version = scene.version
    assert list_interlocks([version], at=now() + dt.timedelta(days=90)) == {}
    ends()
    assert [reason.code for reason in list_interlocks([version], at=now() - dt.timedelta(days=2))[version.pk]] == ["within_window"]
    assert connection.connection is not None
