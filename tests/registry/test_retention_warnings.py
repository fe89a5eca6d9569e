"""A provider's date warns 30, 14, 3 and 1 days ahead: once for each date and number of days, and only of what production needs."""

from __future__ import annotations

import datetime as dt

import pytest

from rollbackhub.accounts.models import Notice
from rollbackhub.common.clock import now
from rollbackhub.common.housekeeping import list_jobs
from rollbackhub.registry.domain.retirement_warnings import EVERY_SECONDS, mark_of, warn_of_retirements
from rollbackhub.registry.models import RetirementWarning, Version
from tests.databases import FreshDatabase
from tests.factories.fixtures import Cast, make_cast
from tests.registry.interlocks import REASONS, Scene, make_scene
from tests.threads import at_once

DAY = dt.timedelta(days=1)
START = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)


def needed_scene(*, retires_at: dt.datetime, by: str = "target in the policy") -> Scene:
    scene = make_scene()
    REASONS[by][1](scene)
    Version.objects.filter(pk=scene.version.pk).update(provider_retires_at=retires_at)
    return scene


@pytest.mark.parametrize(
    ("left", "mark"), [(31, None), (30.01, None), (30, 30), (14.01, 30), (14, 14), (3.5, 14), (3, 3), (1.01, 3), (1, 1), (0.01, 1), (0, None), (-1, None)]
)
def test_mark_is_the_nearest_that_has_come(left: float, mark: int | None) -> None:
    assert mark_of(START + left * DAY, now=START) == mark


@pytest.mark.django_db
def test_warning_at_each_mark_once(cast: Cast) -> None:
    retires_at = START + 40 * DAY
    needed_scene(retires_at=retires_at)
    told = []
    for hour in range(24 * 41):
        at = START + dt.timedelta(hours=hour)
        if hour % 6 == 0 and warn_of_retirements(at=at):
            told.append((retires_at - at).total_seconds() / 86_400)
    assert told == [30, 14, 3, 1]
    assert sorted(RetirementWarning.objects.values_list("days", flat=True)) == [1, 3, 14, 30]
    assert Notice.objects.count() == 8
    assert set(Notice.objects.values_list("user__username", flat=True)) == {"lead", "admin"}


@pytest.mark.django_db
def test_warning_says_what_when_why_and_whose(cast: Cast) -> None:
    scene = needed_scene(retires_at=START + 2.5 * DAY)
    assert warn_of_retirements(at=START) == 1
    notice = Notice.objects.get(user=cast.lead)
    assert notice.subject == f"v1 of {scene.artefact.name} is shut down by its provider in 3 days"
    for words in ("2027-03-04 00:00 UTC", "A rollback of smart-reasoner in Production goes back to it", scene.artefact.team.name):
        assert words in notice.text
    assert notice.url == "/registry/retention/?state=provider_retires&artefact=smart-reasoner-model"


@pytest.mark.django_db
def test_hub_that_was_down_across_two_marks_warns_once_of_the_nearest(cast: Cast) -> None:
    needed_scene(retires_at=START + 2 * DAY)
    assert [warn_of_retirements(at=START), warn_of_retirements(at=START)] == [1, 0]
    assert list(RetirementWarning.objects.values_list("days", flat=True)) == [3]


@pytest.mark.django_db
def test_date_that_is_changed_warns_anew(cast: Cast) -> None:
    scene = needed_scene(retires_at=START + 10 * DAY)
    assert warn_of_retirements(at=START) == 1
    Version.objects.filter(pk=scene.version.pk).update(provider_retires_at=START + 11 * DAY)
    assert [warn_of_retirements(at=START), warn_of_retirements(at=START)] == [1, 0]
    assert Notice.objects.filter(user=cast.lead).count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("reason", "warns"),
    [
        ("serves in production", True),
        ("target in the policy", True),
        ("target of the live release", True),
        ("only proven target", False),
        ("within the window", False),
        ("hold until lifted", False),
        ("taken out in an open incident", False),
    ],
)
def test_only_what_serves_or_is_a_rollback_target_warns(reason: str, warns: bool, cast: Cast) -> None:
    scene = needed_scene(retires_at=now() + 2 * DAY, by=reason)
    assert warn_of_retirements() == int(warns)
    assert RetirementWarning.objects.filter(version=scene.version).exists() == warns


@pytest.mark.django_db
def test_version_that_comes_to_be_needed_later_warns_then(cast: Cast) -> None:
    scene = make_scene()
    Version.objects.filter(pk=scene.version.pk).update(provider_retires_at=now() + 10 * DAY)
    assert warn_of_retirements() == 0
    REASONS["target in the policy"][1](scene)
    assert warn_of_retirements() == 1


@pytest.mark.django_db
def test_job_is_one_of_the_housekeepers() -> None:
    jobs = {job.name: job for job in list_jobs()}
    assert jobs["registry.warn_of_retirements"].function is warn_of_retirements
    assert jobs["registry.warn_of_retirements"].every_seconds == EVERY_SECONDS == 3600


def test_two_jobs_at_once_warn_once(fresh_database: FreshDatabase) -> None:
    make_cast()
    needed_scene(retires_at=START + 2 * DAY)
    results = at_once(4, lambda number: warn_of_retirements(at=START))
    assert sorted(results) == [0, 0, 0, 1]  # type: ignore[type-var]
    assert (RetirementWarning.objects.count(), Notice.objects.count()) == (1, 2)
