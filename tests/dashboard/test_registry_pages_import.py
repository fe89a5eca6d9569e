"""The page on which a file of versions is shown and confirmed."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from rollbackhub.common.csv_file import MAX_BYTES
from rollbackhub.registry.models import Version
from tests.dashboard.people import client_of, page
from tests.dashboard.test_registry_pages import plain
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, VersionFactory

IMPORT = "/registry/import/"
FILE = "artefact,label,digest,changelog,author,parent\nprompt,v2,sha256:2,Shorter,Ada,v1\nprompt,v3,,,=cmd|' /C calc'!A0,v2\nprompt,v1,sha256:1,,,\n"


@pytest.fixture
def client(cast: Cast) -> Client:
    """The on-call engineer's browser; there is a prompt with one version."""
    VersionFactory(artefact=ArtefactFactory(slug="prompt"), label="v1", digest="sha256:1")
    return client_of(cast.on_call)


def upload(client: Client, text: str | bytes, name: str = "versions.csv") -> Any:
    """Choose a file and send the form."""
    content = text.encode() if isinstance(text, str) else text
    return client.post(IMPORT, {"file": SimpleUploadedFile(name, content)})


def token_in(response: Any) -> str:
    """What the page's confirmation sends."""
    found = re.search(r'name="preview" value="([^"]+)"', response.content.decode())
    assert found, "the page has nothing to confirm"
    return unescape(found.group(1))


def words_of(response: Any) -> str:
    """What a person reads."""
    return plain(response.content.decode())


def test_import_page_shows_every_row_and_imports_on_confirmation(client: Client) -> None:
    response = upload(client, FILE)
    assert response.status_code == 200
    words = words_of(response)
    assert "2 versions will be registered." in words
    assert "1 more is registered already and stays as it is." in words
    assert "2 Registers it prompt v2 sha256:2 from v1 by Ada Shorter" in words
    assert "by =cmd|' /C calc'!A0" in words
    assert "4 Is registered already prompt v1" in words
    assert Version.objects.count() == 1
    done = client.post(IMPORT, {"preview": token_in(response)})
    assert done["Location"] == "/registry/artefacts/prompt/"
    assert "Imported: 2 new versions." in page(client, done["Location"])
    assert Version.objects.get(label="v3").author == "=cmd|' /C calc'!A0"


def test_import_page_with_a_wrong_row_names_row_column_and_what_to_do_and_offers_nothing_to_confirm(client: Client) -> None:
    response = upload(client, FILE + "nothing,v1,,,,\nprompt,v 4,,,,v9\n")
    words = words_of(response)
    assert response.status_code == 422
    assert "2 of 5 rows cannot be imported, so none is." in words
    assert "5 Cannot be imported artefact : There is no artefact nothing." in words
    assert "6 Cannot be imported label : The label may hold no spaces or line breaks. parent : v9 is not a version of prompt." in words
    assert 'name="preview"' not in response.content.decode()
    assert Version.objects.count() == 1


def test_import_page_after_the_registry_changed_shows_the_new_state_and_imports_nothing(client: Client) -> None:
    token = token_in(upload(client, FILE))
    VersionFactory(artefact=ArtefactFactory(slug="prompt"), label="v2", digest="sha256:2")
    response = client.post(IMPORT, {"preview": token})
    assert response.status_code == 409
    assert "The registry has changed since you looked" in words_of(response)
    assert "1 version will be registered." in words_of(response)
    assert Version.objects.count() == 2
    client.post(IMPORT, {"preview": token_in(response)})
    assert sorted(Version.objects.values_list("label", flat=True)) == ["v1", "v2", "v3"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"label\nv1\n", "It has no column artefact."),
        ("artefact,label\nprompt,gr\u00fcn\n".encode("latin-1"), "The file is not UTF-8 (line 2)."),
        (b"artefact,label\n" + b"x" * MAX_BYTES, "The file has more than 1 MB."),
        (b"artefact,label\n", "The file has a header and no rows."),
        (b"", "The submitted file is empty."),
    ],
)
def test_import_page_refuses_what_is_no_such_file_in_words(content: bytes, sentence: str, client: Client) -> None:
    response = upload(client, content)
    assert response.status_code == 422
    assert sentence in words_of(response)
    assert Version.objects.count() == 1


def test_import_page_without_a_file_or_with_a_preview_of_nobody_says_so(client: Client, cast: Cast) -> None:
    assert "Choose a file first." in words_of(client.post(IMPORT, {}))
    assert "The preview of this import is missing." in words_of(client.post(IMPORT, {"preview": "nonsense"}))
    token = token_in(upload(client, FILE))
    assert "made by somebody else" in words_of(client_of(cast.lead).post(IMPORT, {"preview": token}))
    assert Version.objects.count() == 1


def test_import_page_texts_of_the_file_are_never_markup(client: Client) -> None:
    text = upload(client, 'artefact,label,changelog\nprompt,v2,<img src=x onerror=alert(1)>\n"<b>x</b>",v2,\n', name="<script>x.csv").content.decode()
    assert "<img src=x" not in text
    assert "<b>x</b>" not in text
    assert "<script>x" not in text


def test_import_page_is_for_those_who_may_register(client: Client, cast: Cast) -> None:
    token = token_in(upload(client, FILE))
    for name in ("leadership", "auditor", "stranger"):
        other = client_of(getattr(cast, name))
        assert upload(other, FILE).status_code == 403, name
        assert other.post(IMPORT, {"preview": token}).status_code == 403, name
    assert Version.objects.count() == 1
