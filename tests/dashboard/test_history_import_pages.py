"""The pages on which a file of past runs is shown, confirmed, looked at, and taken back."""

from __future__ import annotations

import csv
import io
import re
import uuid
from html import unescape
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from rollbackhub.analytics.models import HistoryImport, RunFact
from rollbackhub.common.csv_file import MAX_BYTES
from rollbackhub.dashboard.views import history_import
from tests.analytics.history_files import DRILL, GONE, ROLLBACK, csv_of, make_world
from tests.dashboard.people import client_of, page
from tests.dashboard.test_registry_pages import plain
from tests.factories.fixtures import Cast

IMPORT = "/analytics/import/"
FILE = csv_of(DRILL, {**ROLLBACK, "note": "=cmd|' /C calc'!A0"}, GONE)


@pytest.fixture
def client(cast: Cast) -> Client:
    """The platform lead's browser."""
    make_world()
    return client_of(cast.lead)


def upload(client: Client, content: bytes, *, name: str = "past.csv", **fields: str) -> Any:
    """Choose a file and send the form."""
    return client.post(IMPORT, {"file": SimpleUploadedFile(name, content), **fields})


def token_in(response: Any) -> str:
    """What the page's confirmation sends."""
    found = re.search(r'name="preview" value="([^"]+)"', response.content.decode())
    assert found, "the page has nothing to confirm"
    return unescape(found.group(1))


def bring_in(client: Client) -> HistoryImport:
    """Import the file."""
    assert client.post(IMPORT, {"preview": token_in(upload(client, FILE))}).status_code == 302
    return HistoryImport.objects.get()


def test_import_page_empty_says_what_would_fill_it_and_has_a_template(client: Client) -> None:
    words = plain(page(client, IMPORT))
    assert "Nothing was imported yet" in words
    assert "A template to fill in" in words
    template = client.get("/analytics/import/template.csv")
    assert template["Content-Disposition"] == 'attachment; filename="history-template.csv"'
    rows = list(csv.DictReader(io.StringIO(template.content.decode("utf-8-sig"))))
    assert [row["kind"] for row in rows] == ["drill", "rollback"]


def test_import_page_shows_every_row_and_imports_on_confirmation(client: Client) -> None:
    response = upload(client, FILE, note="From the wiki")
    words = plain(response.content.decode())
    assert response.status_code == 200
    assert "2 drills, 1 rollback will be counted by analytics." in words
    assert "Nothing is imported yet" in words
    assert "3 Rollback, passed reasoner production" in words
    assert "21 min 30 s of 10 min" in words
    assert "INC-204 =cmd|' /C calc'!A0" in words
    assert "4 Drill, failed its alias is not here any more summariser staging" in words
    assert not RunFact.objects.exists()
    done = client.post(IMPORT, {"preview": token_in(response)})
    made = HistoryImport.objects.get()
    assert done["Location"] == f"/analytics/import/{made.pk}/"
    words = plain(page(client, done["Location"]))
    assert "Imported: 3 past runs." in words
    assert "2 drills, 1 rollback, imported from a file." in words
    assert "From the wiki" in words
    listed = plain(page(client, IMPORT))
    assert "past.csv 3" in listed
    assert "by Lee Lead From the wiki" in listed


def test_import_page_with_wrong_rows_shows_them_first_and_offers_nothing_to_confirm(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_import, "SHOWN_ROWS", 2)
    response = upload(client, csv_of(DRILL, GONE, {**ROLLBACK, "verdict": "great", "environment": "moon"}))
    words = plain(response.content.decode())
    assert response.status_code == 422
    assert "1 of 3 rows cannot be imported, so none is." in words
    assert "4 Cannot be imported environment : There is no environment moon; there are: production, staging. verdict : great is none of passed" in words
    assert "1 more row that is not shown; those that are wrong stand first." in words
    assert 'name="preview"' not in response.content.decode()


def test_import_page_of_a_file_that_became_wrong_since_names_the_rows(client: Client) -> None:
    token = token_in(upload(client, FILE))
    client.post(IMPORT, {"preview": token_in(upload(client, csv_of(ROLLBACK)))})
    response = client.post(IMPORT, {"preview": token})
    assert response.status_code == 422
    assert "row 3 : decided_at: This run is here already" in plain(response.content.decode())
    assert RunFact.objects.count() == 1


def test_import_page_of_the_same_file_again_leads_to_what_it_brought_in(client: Client) -> None:
    made = bring_in(client)
    response = upload(client, FILE)
    assert response.status_code == 409
    assert "This very file was imported on" in plain(response.content.decode())
    assert f'href="/analytics/import/{made.pk}/"' in response.content.decode()
    assert HistoryImport.objects.count() == 1


@pytest.mark.parametrize(
    ("content", "fields", "sentence"),
    [
        (b"alias\nx\n", {}, "It has no column kind"),
        (b"x" * (MAX_BYTES + 1), {}, "The file has more than 1 MB."),
        (b"", {}, "The submitted file is empty."),
        (FILE, {"zone": "Middle/Earth"}, "There is no time zone Middle/Earth."),
    ],
)
def test_import_page_refuses_what_it_cannot_read_in_words(content: bytes, fields: dict[str, str], sentence: str, client: Client) -> None:
    response = upload(client, content, **fields)
    assert response.status_code == 422
    assert sentence in plain(response.content.decode())


def test_import_page_texts_of_the_file_are_never_markup(client: Client) -> None:
    text = upload(client, csv_of({**DRILL, "note": "<img src=x onerror=alert(1)>"}), name="<script>x.csv").content.decode()
    assert "<img src=x" not in text
    assert "<script>x" not in text


def test_detail_page_marks_every_run_as_imported_and_each_role_may_look(client: Client, cast: Cast, django_assert_max_num_queries: Any) -> None:
    made = bring_in(client)
    for name in ("on_call", "auditor", "leadership", "admin"):
        assert plain(page(client_of(getattr(cast, name)), f"/analytics/import/{made.pk}/")).count(" Imported ") >= 3, name
    assert client_of(cast.stranger).get(f"/analytics/import/{made.pk}/").status_code == 403
    with django_assert_max_num_queries(16):
        page(client, f"/analytics/import/{made.pk}/")


def test_detail_page_of_an_alias_that_was_deleted_says_so(client: Client) -> None:
    made = bring_in(client)
    RunFact.objects.filter(alias="reasoner", kind="drill").delete()
    assert "Its alias was deleted; it is counted no more." in plain(page(client, f"/analytics/import/{made.pk}/"))


def test_lead_takes_an_import_back_with_a_reason(client: Client, cast: Cast) -> None:
    made = bring_in(client)
    where = f"/analytics/import/{made.pk}/take-back/"
    assert client.get(where).status_code == 405
    assert client.post(where, {"reason": " "}).status_code == 422
    for name in ("on_call", "auditor", "admin", "stranger"):
        assert client_of(getattr(cast, name)).post(where, {"reason": "because I can"}).status_code == 403, name
    assert RunFact.objects.count() == 3
    done = client.post(where, {"reason": "The wiki's clock was wrong"})
    assert done["Location"] == IMPORT
    assert "past.csv is taken back: its 3 runs are counted no more." in plain(page(client, IMPORT))
    assert not RunFact.objects.exists()
    assert client.get(f"/analytics/import/{made.pk}/").status_code == 404


def test_leadership_takes_back_and_lands_where_it_may_look(client: Client, cast: Cast) -> None:
    made = bring_in(client)
    done = client_of(cast.leadership).post(f"/analytics/import/{made.pk}/take-back/", {"reason": "Told to"})
    assert done["Location"] == "/"


def test_take_back_offer_is_for_leads(client: Client, cast: Cast) -> None:
    made = bring_in(client)
    assert "take-back-dialog" in page(client, f"/analytics/import/{made.pk}/")
    assert "take-back-dialog" not in page(client_of(cast.admin), f"/analytics/import/{made.pk}/")


def test_import_that_is_none_is_not_found(client: Client) -> None:
    assert client.get(f"/analytics/import/{uuid.UUID(int=1)}/").status_code == 404
