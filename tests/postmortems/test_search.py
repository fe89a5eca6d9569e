"""Search by stem and by what somebody has begun to type; what it looks in follows every write; passages are escaped; the plan uses the index."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from incidents.models import Incident
from rollbackhub.common.clock import now
from rollbackhub.common.errors import InvalidInput
from rollbackhub.postmortems.domain.search import PAGE_SIZE, RANKED, by_index, ranking_sql, search, tsquery_of
from rollbackhub.postmortems.domain.texts import answer_factor, set_causes, write_section
from rollbackhub.postmortems.models import Cause, SearchDocument
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory
from tests.factories.postmortems import PostmortemFactory
from tests.factories.routing import RoutingPolicyFactory
from tests.postmortems.conftest import who

pytestmark = pytest.mark.django_db


def found(query: str) -> list[Any]:
    return [row.incident_id for row in search(query).rows]


@pytest.mark.parametrize(
    "query",
    ["degradation", "degraded", "degrading", "DEGRADE", "degr", "degradat", "feedback degra", "feed", "embedding", "embeddings cache", "cach"],
)
def test_finds_by_stem_and_by_prefix(query: str) -> None:
    incident = IncidentFactory(title="Feedback was degrading", summary="A degradation by the cached embeddings")
    IncidentFactory(title="Something else", summary="Nothing of it")
    assert found(query) == [incident.pk]


@pytest.mark.parametrize("query", ["degradation elsewhere", "xdegr", "egradation", "degradatoin"])
def test_does_not_find_what_is_not_there(query: str) -> None:
    IncidentFactory(title="Feedback was degrading", summary="A degradation")
    assert found(query) == []


@pytest.mark.parametrize("query", ["smart-reasoner", "smart-rea", "smart", "reasoner", "reaso"])
def test_finds_by_alias(query: str) -> None:
    incident = IncidentFactory(title="x", aliases=[RoutingPolicyFactory(alias="smart-reasoner")])
    assert found(query) == [incident.pk]


def test_what_is_looked_in_follows_every_write(cast: Cast) -> None:
    postmortem = PostmortemFactory()
    incident = postmortem.incident
    write_section(postmortem_id=postmortem.pk, key="root_cause", text="The **tokenizer** was swapped.", based_on=1, **who(cast.on_call))
    assert found("tokenizers") == [incident.pk]
    write_section(postmortem_id=postmortem.pk, key="root_cause", text="It was the prompt.", based_on=2, **who(cast.on_call))
    assert found("tokenizers") == []
    answer_factor(postmortem_id=postmortem.pk, key="eval_gate", answer="yes", words="Multilingual cases were missing.", based_on=0, **who(cast.on_call))
    assert found("multiling") == [incident.pk]
    set_causes(postmortem_id=postmortem.pk, slugs=["configuration-drift"], **who(cast.on_call))
    assert found("drifting configurations") == [incident.pk]
    Cause.objects.filter(slug="configuration-drift").update(name="Skewed settings")
    assert found("skewed") == [incident.pk]
    set_causes(postmortem_id=postmortem.pk, slugs=[], **who(cast.on_call))
    assert found("skewed") == []
    Incident.objects.filter(pk=incident.pk).update(title="Latency of the gateway")
    assert found("latencies") == [incident.pk]
    policy = RoutingPolicyFactory(alias="support-writer")
    incident.aliases.add(policy)
    assert found("support-writ") == [incident.pk]
    incident.aliases.remove(policy)
    assert found("support-writ") == []


def test_incidents_without_postmortem_are_found_too_and_titles_count_more() -> None:
    in_text = IncidentFactory(title="Another thing", summary="the quota was mentioned once", opened_at=now())
    in_title = IncidentFactory(title="Quota exceeded", opened_at=now() - dt.timedelta(days=3))
    results = search("quota")
    assert [row.incident_id for row in results.rows] == [in_title.pk, in_text.pk]
    assert [row.postmortem_id for row in results.rows] == [None, None]
    assert (results.total, results.pages, results.is_cut) == (2, 1, False)


def test_passages_are_escaped_and_mark_what_matched() -> None:
    IncidentFactory(title="<script>alert(1)</script> quota", summary='The <img src=x onerror=alert(2)> quota & "more" was \x02quota\x03 exceeded')
    row = search("quota").rows[0]
    assert "<script>" not in row.title
    assert "&lt;script&gt;" in row.title
    assert "<mark>quota</mark>" in row.title
    assert "<img" not in row.passages
    assert "&amp;" in row.passages
    assert "<mark>quota</mark>" in row.passages
    assert "\x02" not in row.passages + row.plain_passages + row.title + row.plain_title


def test_prefix_longer_than_the_stem_is_marked_too() -> None:
    IncidentFactory(title="x", summary="There was a degradation of answers.")
    assert "<mark>degradation</mark>" in search("degradat").rows[0].passages


@pytest.mark.parametrize("query", ["", "   ", "!!! ?", "''':*", "\\", "\x00"])
def test_query_without_a_word_is_refused(query: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        search(query)
    assert list(caught.value.fields) == ["q"]


TYPED = ["a'b", "it's", "a & b | !c", "x <-> y", "x:*", "(a", "a\\'", "the", "of the", "ärger", "日本語", "a" * 200, "v1.2", "a:b:c", "%s %(x)s"]


@pytest.mark.parametrize("query", TYPED)
def test_whatever_is_typed_is_no_error(query: str) -> None:
    IncidentFactory(title="it's a & b of the x v1.2.3 ärger 日本語")
    assert search(query).total in (0, 1)


def test_long_query_is_refused() -> None:
    with pytest.raises(InvalidInput):
        search("x" * 201)


def test_text_too_large_for_an_index_is_found_by_its_beginning(cast: Cast) -> None:
    words = " ".join(f"wörd{number:06d}" for number in range(40_000))
    incident = IncidentFactory(title="huge")
    Incident.objects.filter(pk=incident.pk).update(summary=f"quota {words}")
    assert found("quota") == [incident.pk]
    assert found("wörd000100") == [incident.pk]


def test_pages_are_of_twenty_and_two_queries_do_for_any_number() -> None:
    for number in range(PAGE_SIZE + 3):
        IncidentFactory(title=f"Quota {number}")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        first = search("quota")
    assert len([query for query in queries if "postmortems_searchdocument" in query["sql"]]) == 2
    second = search("quota", page=2)
    assert (len(first.rows), len(second.rows), first.pages) == (PAGE_SIZE, 3, 2)
    assert not {row.incident_id for row in first.rows} & {row.incident_id for row in second.rows}
    assert search("quota", page=99).page == 2


def test_plan_uses_the_index() -> None:
    environment = IncidentFactory().environment
    instants = [now() - dt.timedelta(minutes=number) for number in range(4000)]
    Incident.objects.bulk_create(Incident(title=f"Incident of {at:%H:%M}, the quota", environment=environment, opened_at=at) for at in instants)
    Incident.objects.bulk_create([Incident(title="A zebra at the gateway", environment=environment, opened_at=now())])
    assert SearchDocument.objects.count() == 4002, "statement triggers index what comes in bulk, too"
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE postmortems_searchdocument")
        by_index(cursor)
        sql, values = tsquery_of(["zebra"])
        cursor.execute(f"EXPLAIN {ranking_sql(sql)}", [*values, *values])
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "search_document_vector" in plan, plan
    assert "Seq Scan" not in plan, plan
    assert search("quota").total == RANKED
    assert search("quota").is_cut
