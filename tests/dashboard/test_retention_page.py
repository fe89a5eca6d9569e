"""The retention page and the retention of one version."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import monotonic, now
from rollbackhub.registry.domain.interlocks import list_interlocks
from rollbackhub.registry.models import Version
from tests.dashboard.people import client_of, page
from tests.factories.accounts import TeamFactory
from tests.factories.fixtures import Cast
from tests.factories.readiness import ReadinessChangeFactory, ReadinessFactory
from tests.factories.registry import ArtefactFactory, VersionFactory
from tests.registry.interlocks import ALL_AT_ONCE, REASONS, Scene, make_scene

RETENTION = "/registry/retention/"
DAY = dt.timedelta(days=1)

QUERIES = 15
"""Of the page: who asks, the filter, the versions and their number, first weights, interlocks, the share with its states and history, the bar."""

pytestmark = pytest.mark.django_db


def text_of(client: Client, address: str) -> str:
    """The words of a page, without marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<script.*?</script>", "", unescape(page(client, address)))))


def rows_of(client: Client, query: str = "") -> list[str]:
    """The labels of the versions in the table, in order."""
    found = page(client, RETENTION + query)
    return re.findall(r'(?s)<th scope="row" data-label="Version">.*?<strong>(.*?)</strong>', found)


def version_page(version: Version) -> str:
    return reverse("registry:version", args=[version.pk])


def test_page_answers_with_the_share_and_draws_its_history(cast: Cast) -> None:
    ready, other = ReadinessFactory(), ReadinessFactory(not_ready=True)
    ReadinessFactory(not_ready=True)
    ReadinessChangeFactory(policy=ready.policy, at=now() - 40 * DAY, rollbackable=False)
    ReadinessChangeFactory(policy=other.policy, at=now() - 20 * DAY, rollbackable=False)
    ReadinessChangeFactory(policy=ready.policy, at=now() - 10 * DAY, rollbackable=True)
    client = client_of(cast.auditor)
    text = text_of(client, RETENTION)
    assert "1 of 3 live aliases is rollbackable right now: 33.3 %." in text
    html = page(client, RETENTION)
    assert 'data-figure="figure-share"' in html
    # The table behind has each step, the newest first.
    assert re.findall(r'<td class="num">(\d+)</td><td class="num">(\d+)</td><td class="num">([\d.]+) %</td>', html) == [
        ("1", "2", "50.0"),
        ("0", "2", "0.0"),
        ("0", "1", "0.0"),
    ]


@pytest.mark.parametrize(
    ("able", "total", "tone", "words"),
    [(2, 2, "ok", "2 of 2 live aliases are rollbackable right now: 100 %."), (0, 1, "bad", "0 of 1 live alias is rollbackable right now: 0 %.")],
)
def test_page_tone_says_whether_all_are(able: int, total: int, tone: str, words: str, cast: Cast) -> None:
    for number in range(total):
        ReadinessFactory(**({} if number < able else {"not_ready": True}))
    assert words in text_of(client_of(cast.lead), RETENTION)
    assert f'class="answer tone-{tone}"' in page(client_of(cast.lead), RETENTION)


def test_page_without_anything_says_what_will_fill_it(cast: Cast) -> None:
    text = text_of(client_of(cast.admin), RETENTION)
    assert "No alias is live in production yet." in text
    assert "No version is registered yet" in text
    assert "What expires next" not in text
    assert "data-figure=" not in page(client_of(cast.admin), RETENTION)


def test_what_expires_next_counts_down_and_says_what_it_is(cast: Cast) -> None:
    scene = make_scene()
    REASONS["target in the policy"][1](scene)
    Version.objects.filter(pk=scene.version.pk).update(provider_retires_at=now() + 2.5 * DAY)
    VersionFactory(label="kept", artefact=scene.artefact, lifecycle="superseded", superseded_at=now() - 80 * DAY)
    VersionFactory(label="unneeded", artefact=scene.artefact, provider_retires_at=now() + 20 * DAY)
    html = page(client_of(cast.auditor), RETENTION)
    items = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", item)) for item in re.findall(r'(?s)<li class="card-body spread">(.*?)</li>', html)]
    assert [item.split()[0] for item in items] == ["v1", "kept", "unneeded"]
    assert "Its provider shuts it down, and production needs it" in items[0]
    assert "in 2.5 days" in items[0]
    assert "Its window of 90 days ends" in items[1]
    assert "and production needs it" not in items[2]


def test_rows_give_every_reason_and_the_table_stands_behind_the_timeline(cast: Cast) -> None:
    scene = make_scene()
    for make in ALL_AT_ONCE:
        make(scene)
    html = unescape(page(client_of(cast.auditor), RETENTION))
    for reason in list_interlocks([scene.version])[scene.version.pk]:
        assert reason.sentence in html
    assert "6 reasons" in html
    assert 'data-figure="figure-retention"' in html
    assert f'href="{version_page(scene.version)}"' in html


def make_filterable() -> None:
    team = TeamFactory(slug="search", name="Search")
    VersionFactory(label="live-1", lifecycle="live", artefact=ArtefactFactory(slug="alpha", name="Alpha", team=team))
    VersionFactory(label="kept-1", lifecycle="superseded", superseded_at=now() - DAY, artefact=ArtefactFactory(slug="alpha"))
    VersionFactory(
        label="over-1", lifecycle="superseded", superseded_at=now() - 99 * DAY, artefact=ArtefactFactory(slug="beta", name="Beta", change_type="prompt")
    )
    VersionFactory(label="gone-1", lifecycle="retired", artefact=ArtefactFactory(slug="beta"))


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ("?artefact=alp", {"live-1", "kept-1"}),
        ("?artefact=over", {"over-1"}),
        ("?team=search", {"live-1", "kept-1"}),
        ("?change_type=prompt", {"over-1", "gone-1"}),
        ("?state=serving", {"live-1"}),
        ("?state=within_window", {"kept-1"}),
        ("?state=window_over", {"over-1"}),
        ("?state=retired", {"gone-1"}),
        ("?state=retired&artefact=alpha", set()),
    ],
)
def test_filters_stand_in_the_address_for_the_page_and_the_file(query: str, labels: set[str], cast: Cast) -> None:
    make_filterable()
    client = client_of(cast.auditor)
    assert set(rows_of(client, query)) == labels
    if not labels:
        assert "No version matches" in page(client, RETENTION + query)
        assert "Show all" in page(client, RETENTION + query)
    assert {row["version"] for row in csv_of(client, query)} == labels


def test_filter_that_there_is_not_is_named_on_the_page_and_refused_for_the_file(cast: Cast) -> None:
    make_filterable()
    client = client_of(cast.auditor)
    query = "?state=nonsense&team=nobody"
    assert set(rows_of(client, query)) == {"live-1", "kept-1", "over-1", "gone-1"}
    assert "The address filters by what there is not (team=nobody, state=nonsense). That part was left out." in text_of(client, RETENTION + query)
    answer = client.get(f"{RETENTION}export.csv{query}")
    assert answer.status_code == 422
    assert "mend the address" in answer.content.decode()


def test_version_that_serves_in_two_environments_is_said_to_serve_once_in_the_file(cast: Cast) -> None:
    scene = make_scene()
    for case in ("serves in production", "serves in staging"):
        REASONS[case][1](scene)
    assert [reason.code for reason in list_interlocks([scene.version])[scene.version.pk]].count("serves") == 2
    row = next(row for row in csv_of(client_of(cast.auditor)) if row["version"] == "v1")
    assert row["kept_because"].split().count("serves") == 1


def csv_of(client: Client, query: str = "") -> list[dict[str, str]]:
    answer = client.get(f"{RETENTION}export.csv{query}")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def test_file_has_dates_and_reasons_and_runs_nothing_in_a_spreadsheet(cast: Cast) -> None:
    scene = make_scene()
    for make in ALL_AT_ONCE:
        make(scene)
    Version.objects.filter(pk=scene.version.pk).update(provider_retires_at=now() + 9 * DAY)
    VersionFactory(label="=1+1", artefact=scene.artefact)
    VersionFactory(label="@x", artefact=scene.artefact)
    rows = {row["version"]: row for row in csv_of(client_of(cast.auditor))}
    assert {"'=1+1", "'@x"} <= set(rows)
    row = rows["v1"]
    version = Version.objects.get(pk=scene.version.pk)
    assert version.superseded_at is not None
    assert (row["artefact"], row["team"], row["lifecycle"], row["window_days"]) == ("smart-reasoner-model", "platform", "archived", "90")
    assert dt.datetime.fromisoformat(row["retained_until"]) == version.superseded_at + 90 * DAY
    assert row["next_at"] == row["provider_retires_at"] != ""
    assert row["kept_because"] == "only_proven_target open_incident rollback_target stability_hold within_window"
    assert "under a stability hold" in row["reasons"]


def test_page_takes_a_constant_number_of_queries(cast: Cast) -> None:
    client = client_of(cast.auditor)
    counts = []
    for size in (1, 6):
        for number in range(size):
            scene = make_scene(f"alias-{size}-{number}")
            for make in ALL_AT_ONCE:
                make(scene)
            ReadinessChangeFactory(policy=ReadinessFactory(policy=scene.production).policy)
        page(client, RETENTION)
        with CaptureQueriesContext(
            connection,
        ) as captured:
            page(client, RETENTION)
        counts.append(len(captured))
    assert counts == [QUERIES, QUERIES]


def test_ten_thousand_versions_are_paged_and_quick(cast: Cast) -> None:
    artefacts = [ArtefactFactory(slug=f"artefact-{number}") for number in range(100)]
    at = now()
    Version.objects.bulk_create(
        Version(
            artefact=artefacts[number % 100],
            label=f"v{number}",
            lifecycle="superseded" if number % 2 else "registered",
            superseded_at=at - (number % 200) * DAY if number % 2 else None,
        )
        for number in range(10_000)
    )
    client = client_of(cast.auditor)
    page(client, RETENTION)
    began = monotonic()
    first = rows_of(client)
    took = monotonic() - began
    assert len(first) == 25
    last = page(client, f"{RETENTION}?page=400")
    assert "Page 400 of 400" in last
    # What expires next stands on every page.
    assert "What expires next" in last
    assert took < 3, took
    assert len(csv_of(client)) == 5000


def test_version_page_lists_reasons_with_what_to_do_and_until_when(cast: Cast) -> None:
    scene = make_scene()
    for make in ALL_AT_ONCE:
        make(scene)
    text = text_of(client_of(cast.lead), version_page(scene.version))
    assert "It is kept: 6 reasons against retiring it" in text
    assert "v1 cannot be retired yet" in text
    for words in (
        "drill going back to another one first. Start a drill",
        "( 89.0 days left)",
        "or a lead lifts it with a reason. Holds",
        "close it first. Incidents",
    ):
        assert words in text, words
    assert f'action="/registry/versions/{scene.version.pk}/retire/"' not in page(client_of(cast.lead), version_page(scene.version))


def test_version_page_offers_what_may_be_done_to_whom_may(cast: Cast) -> None:
    scene = make_scene()
    address = version_page(scene.version)
    for person in (cast.lead, cast.admin):
        html = page(client_of(person), address)
        assert f'action="/registry/versions/{scene.version.pk}/retire/"' in html
        assert "Nothing keeps it: it may be retired" in html
        assert "Take it back" not in html
    for person in (cast.on_call, cast.auditor):
        html = page(client_of(person), address)
        assert 'data-open-dialog="retire-dialog"' not in html
        assert "Platform leads and administrators archive and retire versions." in html


def post(client: Client, version: Version, name: str, **values: Any) -> Any:
    return client.post(f"/registry/versions/{version.pk}/{name}/", values)


def test_retire_and_take_back_from_the_page(cast: Cast) -> None:
    version, client = make_scene().version, client_of(cast.lead)
    answer = post(client, version, "retire", reason="its provider has deleted it")
    assert (answer.status_code, answer["Location"]) == (302, version_page(version))
    html = page(client, version_page(version))
    assert "is retired: nothing can go back to it any more" in unescape(html)
    assert "Take it back" in html
    assert post(client, version, "retire", reason="once more").status_code == 409
    assert post(client, version, "archive", reason="it exists after all").status_code == 302
    assert list(AuditEvent.objects.filter(event__startswith="version.").order_by("pk").values_list("event", "actor_user_id")) == [
        ("version.retired", cast.lead.pk),
        ("version.archived", cast.lead.pk),
    ]


@pytest.mark.parametrize("reason", ["", " ", "x", "\x00\x00\x00"])
@pytest.mark.parametrize("name", ["retire", "archive"])
def test_act_without_a_reason_changes_nothing(name: str, reason: str, cast: Cast) -> None:
    version = VersionFactory()
    assert post(client_of(cast.lead), version, name, reason=reason).status_code == 422
    version.refresh_from_db()
    assert version.lifecycle == "registered"


@pytest.mark.parametrize("who", ["on_call", "leadership", "auditor", "stranger"])
@pytest.mark.parametrize("name", ["retire", "archive", "provider-retirement"])
def test_acts_are_for_platform_leads_and_administrators(name: str, who: str, cast: Cast) -> None:
    version = VersionFactory()
    assert post(client_of(getattr(cast, who)), version, name, reason="as I please", at="2027-06-01T12:00").status_code == 403
    version.refresh_from_db()
    assert (version.lifecycle, version.provider_retires_at) == ("registered", None)


@pytest.mark.parametrize("address", [RETENTION, f"{RETENTION}export.csv"])
def test_stranger_sees_nothing(address: str, cast: Cast) -> None:
    assert client_of(cast.stranger).get(address).status_code == 403


@pytest.mark.parametrize("name", ["retire", "archive", "provider-retirement"])
def test_version_that_is_not_there_is_not_found(name: str, cast: Cast) -> None:
    assert client_of(cast.lead).post(f"/registry/versions/999999/{name}/", {"reason": "nothing there"}).status_code == 404


def test_providers_date_is_read_by_the_viewers_clock(cast: Cast) -> None:
    cast.lead.timezone = "Asia/Kolkata"
    cast.lead.save(update_fields=["timezone"])
    version, client = VersionFactory(), client_of(cast.lead)
    assert post(client, version, "provider-retirement", at="2027-06-01T12:00").status_code == 302
    version.refresh_from_db()
    assert version.provider_retires_at == dt.datetime(2027, 6, 1, 6, 30, tzinfo=dt.UTC)
    html = page(client, version_page(version))
    assert "is shut down by its provider on 1 Jun 2027, 12:00 IST" in html
    assert 'value="2027-06-01T12:00"' in html
    assert post(client, version, "provider-retirement", at="").status_code == 302
    version.refresh_from_db()
    assert version.provider_retires_at is None
    for wrong in ("soon", "2027-13-01T12:00", "1066-10-14T09:00"):
        assert post(client, version, "provider-retirement", at=wrong).status_code == 422
    version.refresh_from_db()
    assert version.provider_retires_at is None


def test_scene_is_what_the_page_says(cast: Cast) -> None:
    scene: Scene = make_scene()
    REASONS["serves in production"][1](scene)
    assert "It serves 25 % of smart-reasoner in Production" in text_of(client_of(cast.lead), version_page(scene.version))
