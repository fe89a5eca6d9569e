"""Preparing: once however many try, frozen whatever comes after, and said in words when it fails."""

from __future__ import annotations

import datetime as dt
from threading import Thread
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.actions.enums import ActionState
from rollbackhub.actions.models import Action
from rollbackhub.audit.models import AuditEvent
from rollbackhub.celery import app
from rollbackhub.common.clock import now
from rollbackhub.common.housekeeping import list_jobs
from rollbackhub.reviews import tasks
from rollbackhub.reviews.domain import due, preparing
from rollbackhub.reviews.domain.agenda.build import build_agenda
from rollbackhub.reviews.domain.documents import Made
from rollbackhub.reviews.domain.due import call_workers
from rollbackhub.reviews.domain.preparing import claim_review, prepare_review, request_preparation
from rollbackhub.reviews.domain.selectors import get_record
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.reviews.models import Review, ReviewDocument, ReviewItem
from tests.databases import FreshDatabase
from tests.factories.accounts import TeamFactory
from tests.factories.fixtures import Cast
from tests.factories.reviews import ReviewDocumentFactory, ReviewFactory, make_review
from tests.reviews.quarter import AT, QUARTER, add_more, make_quarter


def by(user: User) -> dict[str, Any]:
    return {"account": user, "actor": actor_of(user)}


def frozen(review: Review) -> list[tuple[Any, ...]]:
    """Everything of the agenda that is frozen."""
    return list(ReviewItem.objects.filter(review=review).order_by("position").values_list("agenda", "headline", "content", "query_seconds"))


@pytest.mark.django_db
def test_frozen_figures_stay_whatever_comes_after_until_it_is_prepared_again(cast: Cast) -> None:
    quarter = make_quarter(cast)
    review: Review = ReviewFactory(team=quarter.team, quarter=QUARTER)
    assert prepare_review(review_id=review.pk, at=AT)
    before = frozen(review)
    ReviewItem.objects.filter(review=review, agenda="misses").update(minutes="We talked.", minutes_number=1)
    add_more(quarter)
    assert not prepare_review(review_id=review.pk), "what is prepared is not prepared by itself"
    assert call_workers() == 0
    assert frozen(review) == before
    request_preparation(review_id=review.pk, **by(cast.lead))
    assert prepare_review(review_id=review.pk, at=AT)
    after = frozen(review)
    assert after[1][1].startswith("2 of 9 planned drills were done (22 %)")
    assert [item[0] for item in after] == [item[0] for item in before]
    assert ReviewItem.objects.get(review=review, agenda="misses").minutes == "We talked."
    found = Review.objects.get(pk=review.pk)
    assert (found.state, found.prepared_at, found.prepare_at, found.claimed_until) == ("prepared", AT, None, None)
    assert found.prepare_seconds
    assert found.prepare_seconds >= sum(item[3] for item in after)


@pytest.mark.django_db
def test_actions_stand_on_the_agenda_of_the_quarters_after_until_they_are_closed(cast: Cast) -> None:
    quarter = make_quarter(cast)
    for year, month in ((2026, 7), (2026, 10)):
        review = make_review(ReviewState.PREPARING, team=quarter.team, quarter=dt.date(year, month, 1))
        assert prepare_review(review_id=review.pk, at=AT)
        found = [row[0] for row in get_record(review.pk).items[0].content["tables"][0]["rows"]]
        assert "Write the runbook" in found
    Action.objects.filter(title="Write the runbook").update(state=ActionState.DONE, closed_at=AT - dt.timedelta(days=200), closed_by_label="Olga Call")
    request_preparation(review_id=review.pk, **by(cast.lead))
    assert prepare_review(review_id=review.pk, at=AT)
    assert "Write the runbook" not in [row[0] for row in get_record(review.pk).items[0].content["tables"][0]["rows"]]


@pytest.mark.django_db
def test_claim_is_one_at_a_time_and_ends_with_its_lease() -> None:
    review: Review = ReviewFactory()
    first = claim_review(review.pk)
    assert first is not None
    assert claim_review(review.pk) is None
    Review.objects.filter(pk=review.pk).update(claimed_until=now() - dt.timedelta(seconds=1))
    second = claim_review(review.pk)
    assert second is not None
    assert second.fence == first.fence + 1


@pytest.mark.django_db
def test_preparer_that_was_overtaken_writes_nothing(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    review: Review = ReviewFactory()

    def overtaken(found: Review, *, at: dt.datetime) -> Any:
        request_preparation(review_id=review.pk, **by(cast.lead))
        return build_agenda(found, at=at)

    monkeypatch.setattr(preparing, "build_agenda", overtaken)
    assert not prepare_review(review_id=review.pk)
    assert Review.objects.get(pk=review.pk).state == ReviewState.PREPARING
    assert not ReviewItem.objects.exists()
    monkeypatch.setattr(preparing, "build_agenda", build_agenda)
    assert prepare_review(review_id=review.pk)


@pytest.mark.django_db
def test_preparation_that_fails_says_so_and_is_tried_again_a_minute_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(review: Review, *, at: dt.datetime) -> Any:
        raise ZeroDivisionError

    review: Review = ReviewFactory()
    monkeypatch.setattr(preparing, "build_agenda", broken)
    with pytest.raises(ZeroDivisionError):
        prepare_review(review_id=review.pk)
    found = Review.objects.get(pk=review.pk)
    assert found.prepare_problem.startswith("It could not be prepared (ZeroDivisionError)")
    assert found.prepare_at
    assert 50 < (found.prepare_at - now()).total_seconds() <= 60
    assert call_workers() == 0
    monkeypatch.setattr(preparing, "build_agenda", build_agenda)
    assert prepare_review(review_id=review.pk)
    assert Review.objects.get(pk=review.pk).prepare_problem == ""


@pytest.mark.django_db
def test_what_is_due_calls_a_worker_once_and_is_done_here_when_none_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(app, "send_task", lambda name, args, retry: sent.append((name, args)))
    monkeypatch.setattr("rollbackhub.reviews.domain.documents.build_documents", lambda record: Made("x", None, ""))
    review: Review = ReviewFactory()
    ReviewFactory(prepare_at=now() + dt.timedelta(days=1))
    document = ReviewDocumentFactory(review=make_review(), wanted=True)
    assert call_workers() == 2
    assert sent == [("reviews.prepare", [str(review.pk)]), ("reviews.export", [str(document.pk)])]
    assert call_workers() == 0, "a worker has time to come"
    long_ago = now() - dt.timedelta(seconds=due.GRACE_SECONDS + 1)
    Review.objects.filter(pk=review.pk).update(published_at=long_ago)
    ReviewDocument.objects.filter(pk=document.pk).update(published_at=long_ago)
    assert call_workers() == 2
    assert Review.objects.get(pk=review.pk).state == ReviewState.PREPARED
    assert ReviewDocument.objects.get(pk=document.pk).html == "x"
    assert len(sent) == 2


@pytest.mark.django_db
def test_broker_that_is_gone_does_not_keep_a_review_from_being_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str, args: list[str], retry: bool) -> None:
        raise ConnectionError("no broker")

    monkeypatch.setattr(app, "send_task", gone)
    review: Review = ReviewFactory()
    assert call_workers() == 1
    assert Review.objects.get(pk=review.pk).state == ReviewState.PREPARED


@pytest.mark.django_db
def test_tasks_and_job_are_known_by_their_names() -> None:
    review: Review = ReviewFactory()
    assert (tasks.prepare_task.name, tasks.export_task.name) == ("reviews.prepare", "reviews.export")
    assert tasks.prepare_task(str(review.pk)) is True
    assert tasks.prepare_task(str(review.pk)) is False
    assert tasks.export_task(str(review.pk)) is False
    assert [job.own_thread for job in list_jobs() if job.name == "reviews.due"] == [True]


def test_many_at_once_prepare_a_review_once(fresh_database: FreshDatabase) -> None:
    review: Review = ReviewFactory()
    done: list[bool] = []

    def prepare() -> None:
        try:
            done.append(prepare_review(review_id=review.pk))
        finally:
            connection.close()

    threads = [Thread(target=prepare) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [False] * 5 + [True]
    assert AuditEvent.objects.filter(event="review.prepared").count() == 1
    assert ReviewItem.objects.count() == 8


@pytest.mark.django_db
def test_command_prepares_and_says_the_agenda(capsys: pytest.CaptureFixture[str]) -> None:
    ReviewFactory(team=TeamFactory(slug="platform"), quarter=QUARTER)
    call_command("prepare_review", "platform", "2026-Q3")
    said = capsys.readouterr().out
    assert "1. What we promised last quarter" in said
    assert "No drill was planned in this quarter." in said
    with pytest.raises(SystemExit):
        call_command("prepare_review", "platform", "2026-Q3")
    assert "Nothing to prepare: the review is prepared" in capsys.readouterr().err
    for team, quarter, sentence in (("platform", "2026-Q9", "There is no quarter"), ("nobody", "2026-Q3", "There is no review of nobody")):
        with pytest.raises(CommandError, match=sentence):
            call_command("prepare_review", team, quarter)
