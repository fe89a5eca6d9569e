"""How long versions are kept: the window, the provider's date, what expires next."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.domain.notices import list_unread
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.common.errors import Forbidden, InvalidInput, NotFound
from rollbackhub.registry.domain.retention import RetentionState, describe_retention, get_retention_version, list_retention, set_provider_retirement
from rollbackhub.registry.domain.retirement_warnings import warn_of_retirements
from rollbackhub.registry.enums import ChangeType, Lifecycle
from rollbackhub.registry.models import Artefact, RetentionRule, Version
from rollbackhub.routing.domain.served import first_served
from tests.factories.accounts import TeamFactory
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, VersionFactory
from tests.registry.interlocks import ALL_AT_ONCE, ALL_CODES, REASONS, make_scene

DAY = dt.timedelta(days=1)

pytestmark = pytest.mark.django_db


def superseded(*, days: float, **values: Any) -> Version:
    found: Version = VersionFactory(lifecycle=Lifecycle.SUPERSEDED, superseded_at=now() - days * DAY, **values)
    return found


def test_window_is_the_artefacts_own_else_its_change_types() -> None:
    RetentionRule.objects.filter(change_type=ChangeType.PROMPT).update(days=45)
    versions = [
        superseded(days=1, artefact=ArtefactFactory(slug="model")),
        superseded(days=1, artefact=ArtefactFactory(slug="prompt", change_type=ChangeType.PROMPT)),
        superseded(days=1, artefact=ArtefactFactory(slug="own", change_type=ChangeType.PROMPT, retention_days=365)),
    ]
    rows = {row.version.artefact.slug: row for row in describe_retention(list(list_retention()), live_since={})}
    assert {slug: row.days for slug, row in rows.items()} == {"model": 90, "prompt": 45, "own": 365}
    for version in versions:
        row = rows[version.artefact.slug]
        assert version.superseded_at is not None
        assert row.retained_until == version.superseded_at + row.days * DAY
        # The list, the database's interlock and the row say the same.
        assert row.version.window_ends_at == row.retained_until  # type: ignore[attr-defined]
        assert [(reason.code, reason.until) for reason in row.interlocks] == [("within_window", row.retained_until)]
        assert row.window_open


def test_window_that_is_over_interlocks_nothing() -> None:
    superseded(days=90.001)
    (row,) = describe_retention(list(list_retention()), live_since={})
    assert (row.window_open, row.interlocks, row.next_at) == (False, (), None)


def test_change_type_without_a_rule_keeps_ninety_days() -> None:
    RetentionRule.objects.all().delete()
    version = superseded(days=1)
    (row,) = describe_retention(list(list_retention()), live_since={})
    assert row.days == 90
    assert version.superseded_at is not None
    assert row.retained_until == version.superseded_at + 90 * DAY


def test_list_begins_with_what_expires_next() -> None:
    superseded(days=80, label="window-10")
    VersionFactory(label="provider-5", provider_retires_at=now() + 5 * DAY)
    superseded(days=89, label="window-1-provider-3", provider_retires_at=now() + 3 * DAY)
    superseded(days=10, label="window-80-provider-7", provider_retires_at=now() + 7 * DAY)
    VersionFactory(label="provider-over", provider_retires_at=now() - DAY)
    VersionFactory(label="gone", lifecycle=Lifecycle.RETIRED, provider_retires_at=now() + DAY)
    VersionFactory(label="live", lifecycle=Lifecycle.LIVE)
    rows = describe_retention(list(list_retention()), live_since={})
    assert [row.version.label for row in rows][:4] == ["window-1-provider-3", "provider-5", "window-80-provider-7", "window-10"]
    assert [row.next_is_provider for row in rows[:4]] == [False, True, True, False]
    for row in rows:
        assert row.version.next_at == row.next_at  # type: ignore[attr-defined]
    assert {row.version.label for row in rows if row.next_at is None} == {"provider-over", "gone", "live"}


def test_list_is_narrowed_by_state() -> None:
    VersionFactory(label="live", lifecycle=Lifecycle.LIVE)
    VersionFactory(label="canary", lifecycle=Lifecycle.CANARY)
    superseded(days=1, label="kept")
    superseded(days=100, label="over", provider_retires_at=now() + DAY)
    VersionFactory(label="new")
    VersionFactory(label="gone", lifecycle=Lifecycle.RETIRED, superseded_at=now())
    found = {state.value: sorted(list_retention(state=state).values_list("label", flat=True)) for state in RetentionState}
    assert found == {
        "serving": ["canary", "live"],
        "within_window": ["kept"],
        "window_over": ["over"],
        "provider_retires": ["over"],
        "never_live": ["new"],
        "retired": ["gone"],
    }


def test_list_is_narrowed_by_artefact_team_and_change_type() -> None:
    one = VersionFactory(label="a-1", artefact=ArtefactFactory(slug="alpha", name="First", team=TeamFactory(slug="search")))
    two = VersionFactory(label="b-1", artefact=ArtefactFactory(slug="beta", change_type=ChangeType.PROMPT))
    cases: list[tuple[dict[str, Any], Version]] = [
        ({"artefact": "alpha"}, one),
        ({"team": "search"}, one),
        ({"change_type": "prompt"}, two),
        ({"query": "FIRST"}, one),
        ({"query": "lph"}, one),
        ({"query": "b-1"}, two),
    ]
    for wanted, version in cases:
        assert list(list_retention(**wanted)) == [version], wanted
    assert list(list_retention(artefact="alph")) == []


def test_live_since_is_the_first_weight_in_production() -> None:
    scene = make_scene()
    assert first_served([scene.version]) == {}
    scene.weights(scene.staging, v1=100)
    scene.weights(scene.production, v1=0, v2=100)
    assert first_served([scene.version]) == {}
    scene.weights(scene.production, v1=10, v2=90)
    scene.weights(scene.production, v1=90, v2=10)
    first = scene.production.revisions.get(number=3).created_at
    assert first_served([scene.version])[scene.version.pk] == first


def test_rows_of_many_versions_take_a_constant_number_of_queries(django_assert_num_queries: Any) -> None:
    for size in (2, 6):
        for number in range(size):
            scene = make_scene(f"alias-{size}-{number}")
            for make in ALL_AT_ONCE:
                make(scene)
        # Versions with artefact and team, first weights, interlocks.
        with django_assert_num_queries(3):
            versions = list(list_retention(query="v1"))
            rows = describe_retention(versions, live_since=first_served(versions))
            named = {(row.version.artefact.team.name, row.next_at) for row in rows}
        assert len(named) >= size
        assert sorted(reason.code for reason in rows[0].interlocks) == ALL_CODES


@pytest.mark.parametrize("days", [29, 0])
def test_window_shorter_than_thirty_days_is_refused_by_the_database(days: int) -> None:
    artefact = ArtefactFactory()
    with pytest.raises(IntegrityError, match="artefact_retention_at_least_30_days"), transaction.atomic():
        Artefact.objects.filter(pk=artefact.pk).update(retention_days=days)
    with pytest.raises(IntegrityError, match="retention_rule_at_least_30_days"), transaction.atomic():
        RetentionRule.objects.filter(change_type="model").update(days=days)
    assert Artefact.objects.filter(pk=artefact.pk).update(retention_days=30) == 1
    assert RetentionRule.objects.filter(change_type="model").update(days=30) == 1


def test_provider_retirement_is_recorded_changed_and_taken_away(cast: Cast) -> None:
    version, first, second = VersionFactory(label="v1"), now() + 40 * DAY, now() + 50 * DAY
    for at in (first, first, second, None):
        set_provider_retirement(version_id=version.pk, at=at, account=cast.lead, actor=actor_of(cast.lead))
        version.refresh_from_db()
        assert version.provider_retires_at == at
    events = AuditEvent.objects.filter(event="version.provider_retirement_set").order_by("pk")
    assert [(event.data["before"], event.data["after"]) for event in events] == [
        (None, first.isoformat()),
        (first.isoformat(), second.isoformat()),
        (second.isoformat(), None),
    ]
    assert {event.actor_user_id for event in events} == {cast.lead.pk}


@pytest.mark.parametrize("who", ["on_call", "leadership", "auditor", "stranger"])
def test_provider_retirement_is_for_platform_leads_and_administrators(who: str, cast: Cast) -> None:
    version, account = VersionFactory(), getattr(cast, who)
    with pytest.raises(Forbidden):
        set_provider_retirement(version_id=version.pk, at=now() + DAY, account=account, actor=actor_of(account))
    version.refresh_from_db()
    assert version.provider_retires_at is None


@pytest.mark.parametrize("at", [dt.datetime(2027, 1, 1), dt.datetime(1999, 12, 31, tzinfo=dt.UTC), dt.datetime(9999, 1, 1, tzinfo=dt.UTC)])  # noqa: DTZ001
def test_provider_retirement_without_a_zone_or_out_of_reason_is_refused(at: dt.datetime, cast: Cast) -> None:
    version = VersionFactory()
    with pytest.raises(InvalidInput, match="with its zone"):
        set_provider_retirement(version_id=version.pk, at=at, account=cast.lead, actor=actor_of(cast.lead))
    with pytest.raises(NotFound):
        set_provider_retirement(version_id=2**40, at=None, account=cast.lead, actor=actor_of(cast.lead))
    with pytest.raises(NotFound):
        get_retention_version(2**40)


def test_date_that_is_changed_puts_the_warnings_of_the_old_one_away(cast: Cast) -> None:
    scene = make_scene()
    REASONS["target in the policy"][1](scene)
    for days in (10, 12):
        set_provider_retirement(version_id=scene.version.pk, at=now() + days * DAY, account=cast.admin, actor=actor_of(cast.admin))
        assert [len(list_unread(person)) for person in (cast.lead, cast.admin)] == [0, 0]
        assert warn_of_retirements() == 1
        assert [len(list_unread(person)) for person in (cast.lead, cast.admin)] == [1, 1]
