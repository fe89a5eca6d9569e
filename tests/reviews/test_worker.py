"""A real worker prepares a review and makes its documents, figures and all, and the housekeeper does when there is none."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from threading import Thread

import pytest
from django.db import connection

from rollbackhub.celery import app
from rollbackhub.reviews.domain.documents import request_documents
from rollbackhub.reviews.domain.due import call_workers
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.reviews.models import Review, ReviewDocument
from tests.databases import FreshDatabase
from tests.factories.fixtures import make_cast
from tests.factories.reviews import ReviewFactory, make_review


def until(holds: Callable[[], bool], *, seconds: float = 120) -> None:
    """Wait for it. Fails when it does not come."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.2)


def is_made(review: Review) -> bool:
    """Whether both documents are there, with nothing missing."""
    return ReviewDocument.objects.filter(review=review, made_number=review.number, problem="", pdf__isnull=False, html__contains="<svg").exists()


@pytest.mark.slow
def test_worker_prepares_reviews_and_makes_documents(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    waiting: Review = ReviewFactory()
    held = make_review(ReviewState.HELD)
    request_documents(review_id=held.pk, account=cast.auditor)
    command = [sys.executable, "-m", "celery", "-A", "rollbackhub", "worker", "-c", "1", "-Q", "default", "--loglevel", "WARNING"]
    worker = subprocess.Popen(command, env=fresh_database.env)
    try:
        app.send_task("reviews.prepare", args=[str(waiting.pk)])
        app.send_task("reviews.export", args=[str(held.pk)])
        until(lambda: Review.objects.get(pk=waiting.pk).state == ReviewState.PREPARED)
        until(lambda: is_made(held))
    finally:
        worker.terminate()
        worker.wait(timeout=30)


@pytest.mark.slow
def test_housekeepers_thread_makes_documents_when_the_broker_is_gone(fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str, args: list[str], retry: bool) -> None:
        raise ConnectionError("no broker")

    monkeypatch.setattr(app, "send_task", gone)
    held = make_review(ReviewState.HELD)
    request_documents(review_id=held.pk, account=make_cast().auditor)

    def keep_house() -> None:
        try:
            call_workers()
        finally:
            connection.close()

    thread = Thread(target=keep_house)
    thread.start()
    thread.join()
    assert is_made(held)
