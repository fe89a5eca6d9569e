"""What is frozen or signed cannot change, by SQL either: not as the application, not as the owner of the tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Thread

import psycopg
import pytest
from django.db import connection, transaction

from rollbackhub.reviews.enums import ReviewState
from rollbackhub.reviews.models import Review
from tests.databases import FreshDatabase
from tests.factories.reviews import (
    AttendanceFactory,
    ReviewActionFactory,
    ReviewDecisionFactory,
    ReviewFactory,
    SignOffFactory,
    WantedDecisionFactory,
    make_review,
)

CHILDREN = ("reviewitem", "attendance", "wanteddecision", "reviewdecision", "reviewaction", "signoff")
CHANGES = {
    "reviewitem": "minutes = 'x'",
    "attendance": "name = 'x'",
    "wanteddecision": "text = 'x'",
    "reviewdecision": "text = 'x'",
    "reviewaction": "title = 'x'",
    "signoff": "note = 'x'",
}


@dataclass
class Settled:
    """A signed review and one that is not, each with one of everything; a database of their own."""

    database: FreshDatabase
    signed: Review
    other: Review


@pytest.fixture
def settled(fresh_database: FreshDatabase) -> Settled:
    with transaction.atomic():
        return Settled(fresh_database, written(sign=True), written(sign=False))


def written(*, sign: bool) -> Review:
    review = make_review(ReviewState.HELD)
    for factory in (AttendanceFactory, WantedDecisionFactory, ReviewDecisionFactory, ReviewActionFactory):
        factory(review=review)
    if sign:
        for role in review.sign_off_roles:
            SignOffFactory(review=review, role=role)
        review.state, review.signed_at = ReviewState.SIGNED, review.held_at
        review.save()
    return review


@pytest.fixture(params=["application", "owner"])
def session(request: pytest.FixtureRequest, settled: Settled) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection of the role."""
    url = settled.database.url if request.param == "application" else settled.database.owner_url
    with psycopg.connect(url, autocommit=True) as connected:
        yield connected


def contents(session: psycopg.Connection[tuple[object, ...]], review: Review) -> list[object]:
    """Every row of the review."""
    found: list[object] = [session.execute("SELECT * FROM reviews_review WHERE id = %s", [review.pk]).fetchall()]
    for child in CHILDREN:
        found.append(session.execute(f"SELECT * FROM reviews_{child} WHERE review_id = %s ORDER BY id", [review.pk]).fetchall())
    return found


def test_signed_review_refuses_every_change_by_sql(settled: Settled, session: psycopg.Connection[tuple[object, ...]]) -> None:
    signed, other = settled.signed.pk, settled.other.pk
    statements = [
        ("UPDATE reviews_review SET meets_at = now() WHERE id = %s", [signed]),
        ("UPDATE reviews_review SET state = 'held', signed_at = NULL WHERE id = %s", [signed]),
        ("UPDATE reviews_review SET number = number WHERE id = %s", [signed]),
        ("DELETE FROM reviews_review WHERE id = %s", [signed]),
    ]
    for child in CHILDREN:
        statements += [
            (f"UPDATE reviews_{child} SET {CHANGES[child]} WHERE review_id = %s", [signed]),
            (f"DELETE FROM reviews_{child} WHERE review_id = %s", [signed]),
            (f"UPDATE reviews_{child} SET review_id = %s WHERE review_id = %s", [other, signed]),
            (f"UPDATE reviews_{child} SET review_id = %s WHERE review_id = %s", [signed, other]),
        ]
    statements += [
        ("INSERT INTO reviews_attendance (review_id, name) VALUES (%s, 'Eve')", [signed]),
        ("INSERT INTO reviews_wanteddecision (review_id, text, asked_by_label) VALUES (%s, 'x', 'Eve')", [signed]),
        (
            "INSERT INTO reviews_reviewdecision (review_id, text, owner_id, owner_label, decided_at) SELECT %s, 'x', owner_id, 'Eve', now()"
            " FROM reviews_reviewdecision LIMIT 1",
            [signed],
        ),
        (
            "INSERT INTO reviews_signoff (review_id, role, user_id, signer_label, note, signed_at) SELECT %s, 'admin', owner_id, 'Eve', '', now()"
            " FROM reviews_reviewdecision LIMIT 1",
            [signed],
        ),
        (
            "INSERT INTO reviews_reviewitem (review_id, position, agenda, headline, content, query_seconds, minutes, minutes_number, minutes_by_label)"
            " VALUES (%s, 99, 'more', 'x', '{}', 0, '', 0, '')",
            [signed],
        ),
        ("TRUNCATE reviews_review CASCADE", []),
        *((f"TRUNCATE reviews_{child} CASCADE", []) for child in CHILDREN),
    ]
    before = contents(session, settled.signed)
    accepted = []
    for statement, values in statements:
        try:
            done = session.execute(statement.encode(), values)
        except (psycopg.errors.RestrictViolation, psycopg.errors.InsufficientPrivilege):
            continue
        if done.rowcount:
            accepted.append(statement)
    assert accepted == []
    assert contents(session, settled.signed) == before


def test_review_that_nobody_has_signed_can_be_written_by_the_application(settled: Settled) -> None:
    """So that what is refused above is refused for the signature."""
    with psycopg.connect(settled.database.url, autocommit=True) as session:
        for child in CHILDREN[:-1]:
            one = f"SELECT min(id) FROM reviews_{child} WHERE review_id = %s"
            done = session.execute(f"UPDATE reviews_{child} SET {CHANGES[child]} WHERE id = ({one})".encode(), [settled.other.pk])
            assert done.rowcount == 1, child


@pytest.mark.django_db
@pytest.mark.parametrize("column", ["headline = 'x'", "content = '{}'", "query_seconds = 9", "position = 50", "agenda = 'x'"])
@pytest.mark.parametrize("state", ["prepared", "held"])
def test_frozen_figures_are_refused_a_change_once_prepared(state: str, column: str) -> None:
    review = make_review(ReviewState(state))
    with pytest.raises(Exception, match="are frozen"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE reviews_reviewitem SET {column} WHERE review_id = %s AND agenda = 'misses'", [review.pk])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE reviews_reviewitem SET minutes = 'x' WHERE review_id = %s", [review.pk])
        assert cursor.rowcount == 8


@pytest.mark.django_db
def test_first_signature_closes_the_record_in_the_database_too() -> None:
    review = written(sign=False)
    SignOffFactory(review=review, role="platform_lead")
    for statement in (
        "UPDATE reviews_reviewitem SET minutes = 'x' WHERE review_id = %s",
        "DELETE FROM reviews_attendance WHERE review_id = %s",
        "UPDATE reviews_review SET sign_off_roles = '[\"platform_lead\"]' WHERE id = %s",
        "UPDATE reviews_review SET state = 'signed', signed_at = now() WHERE id = %s",
    ):
        with pytest.raises(Exception, match="has signed"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, [review.pk])
    SignOffFactory(review=review, role="leadership")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE reviews_review SET state = 'signed', signed_at = now() WHERE id = %s", [review.pk])


@pytest.mark.django_db
def test_review_without_roles_or_signatures_cannot_be_signed() -> None:
    for roles in ([], ["platform_lead"]):
        review = make_review(ReviewState.HELD, sign_off_roles=roles)
        with pytest.raises(Exception, match="not every role"), transaction.atomic():
            Review.objects.filter(pk=review.pk).update(state=ReviewState.SIGNED, signed_at=review.held_at)
    with pytest.raises(Exception, match="not every role"), transaction.atomic():
        ReviewFactory(state=ReviewState.SIGNED, signed_at=review.held_at, prepared_at=review.held_at, held_at=review.held_at)


def test_change_beside_the_last_signature_waits_and_is_refused(settled: Settled) -> None:
    review = settled.other.pk
    refused: list[str] = []

    def write() -> None:
        with psycopg.connect(settled.database.url, autocommit=True) as beside:
            try:
                beside.execute("UPDATE reviews_reviewitem SET minutes = 'late' WHERE review_id = %s", [review])
            except psycopg.errors.RestrictViolation as error:
                refused.append(str(error))

    # A transaction of its own for each look: within one, pg_stat_activity stays as it was first read.
    with psycopg.connect(settled.database.url, autocommit=True) as watching, psycopg.connect(settled.database.url) as signing:
        signing.execute("SELECT 1 FROM reviews_review WHERE id = %s FOR UPDATE", [review])
        signing.execute(
            "INSERT INTO reviews_signoff (review_id, role, user_id, signer_label, note, signed_at)"
            " SELECT %s, 'platform_lead', owner_id, 'Lee', '', now() FROM reviews_reviewdecision WHERE review_id = %s LIMIT 1",
            [review, review],
        )
        thread = Thread(target=write)
        thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        until = time.monotonic() + 30
        while thread.is_alive() and watching.execute(waiting).fetchone() == (0,):
            assert time.monotonic() < until, "the writer neither waits nor is done"
            time.sleep(0.01)
        assert thread.is_alive(), "the writer waits for whoever signs"
        signing.commit()
        thread.join()
    assert len(refused) == 1
    assert "has signed" in refused[0]
