"""Versions from a CSV file: shown row by row, then all of it or nothing, and exactly what was shown."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core import signing

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.csv_file import MAX_BYTES
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput
from rollbackhub.registry.domain import version_import
from rollbackhub.registry.domain.version_import import MAX_ROWS, NEW, SAME, WRONG, ImportRow, Preview, confirm_import, preview_again, preview_import
from rollbackhub.registry.models import Version
from tests.databases import FreshDatabase
from tests.factories.fixtures import Cast, make_cast
from tests.factories.registry import ArtefactFactory, VersionFactory
from tests.threads import at_once

HEADER = "artefact,label,digest,uri,changelog,eval_reference,author,parent"
FILE = f"""{HEADER}
prompt,v2,sha256:2,models:/prompt/2,"Shorter, and
friendlier",eval 7,Ada,v1
prompt,v3,sha256:3,,,,,v2
model,m1,,,,,,
"""


@pytest.fixture
def account(cast: Cast) -> User:
    """The on-call engineer, with two artefacts and one version."""
    VersionFactory(artefact=ArtefactFactory(slug="prompt"), label="v1", digest="sha256:1")
    ArtefactFactory(slug="model")
    return cast.on_call


def preview(account: User, text: str | bytes) -> Preview:
    """What a file would do."""
    content = text.encode() if isinstance(text, str) else text
    return preview_import(content=content, account=account, actor=actor_of(account))


def confirm(account: User, token: str) -> list[ImportRow]:
    """Import it."""
    return confirm_import(token=token, account=account, actor=actor_of(account))


def problems(account: User, text: str) -> list[tuple[int, str, str]]:
    """Row, column and sentence of all that is wrong."""
    return [(row.number, problem.column, problem.sentence) for row in preview(account, text).rows for problem in row.problems]


def labels() -> list[str]:
    """Every version that there is."""
    return sorted(Version.objects.values_list("label", flat=True))


def test_preview_shows_each_row_and_writes_nothing(account: User) -> None:
    shown = preview(account, FILE)
    assert [(row.number, row.action, row.values["label"]) for row in shown.rows] == [(2, NEW, "v2"), (3, NEW, "v3"), (4, NEW, "m1")]
    assert shown.rows[0].values["changelog"] == "Shorter, and\nfriendlier"
    assert shown.counts == {NEW: 3, SAME: 0, WRONG: 0}
    assert shown.token
    assert labels() == ["v1"]
    assert not AuditEvent.objects.exists()


def test_confirm_imports_what_was_shown(account: User) -> None:
    confirm(account, preview(account, FILE).token)
    assert labels() == ["m1", "v1", "v2", "v3"]
    version = Version.objects.get(label="v3")
    assert version.parent is not None
    assert (version.parent.label, version.digest, version.lifecycle) == ("v2", "sha256:3", "registered")
    second = Version.objects.get(label="v2")
    assert (second.author, second.uri, second.eval_reference, second.changelog) == ("Ada", "models:/prompt/2", "eval 7", "Shorter, and\nfriendlier")
    events = list(AuditEvent.objects.order_by("id").values_list("event", "actor_label"))
    assert events == [("version.registered", "Olga Call")] * 3 + [("versions.imported", "Olga Call")]


def test_versions_that_are_there_already_stay_as_they_are(account: User) -> None:
    text = f"{HEADER}\nprompt,v1,sha256:1,,another text,,,\nprompt,v2,sha256:2,,,,,\n"
    shown = preview(account, text)
    assert [row.action for row in shown.rows] == [SAME, NEW]
    confirm(account, shown.token)
    assert Version.objects.get(label="v1").changelog == ""
    again = preview(account, text)
    assert [row.action for row in again.rows] == [SAME, SAME]
    assert again.token == "", "nothing to confirm"


@pytest.mark.parametrize(
    ("row", "column", "sentence"),
    [
        ("unknown,v2,,,,,,", "artefact", "There is no artefact unknown. Use its short name"),
        (",v2,,,,,,", "artefact", "Say of which artefact it is a version."),
        ("prompt,,,,,,,", "label", "Give the version a label"),
        ("prompt,v 2,,,,,,", "label", "no spaces"),
        (f"prompt,{'x' * 121},,,,,,", "label", "120 characters at most"),
        ("prompt,v1,sha256:other,,,,,", "label", "with the digest sha256:1; yours has the digest sha256:other"),
        ("prompt,v2,a b,,,,,", "digest", "no spaces"),
        ("prompt,v2,,https://ada:hunter2@models.example/,,,,", "uri", "password"),
        ("prompt,v2,,,,,,v9", "parent", "v9 is not a version of prompt"),
        ("prompt,v2,,,,,,v2", "parent", "from itself"),
        ("prompt,v2,,,bell \u0007,,,", "changelog", "cannot be shown"),
        ("prompt,v2,,,a, text with commas,,,", "", "It has 9 cells, the header has 8. A text with a comma stands in quotes."),
        ("prompt,v2", "", "It has 2 cells, the header has 8. Write the commas of empty cells, too."),
        ("prompt", "", "It has 1 cell, the header has 8."),
    ],
)
def test_row_that_is_wrong_is_named_with_its_column_and_nothing_is_imported(row: str, column: str, sentence: str, account: User) -> None:
    text = f"{HEADER}\nmodel,m1,,,,,,\n{row}\nmodel,m2,,,,,,\n"
    shown = preview(account, text)
    found = [(found.number, problem.column, problem.sentence) for found in shown.rows for problem in found.problems]
    assert len(found) == 1
    assert found[0][:2] == (3, column)
    assert sentence in found[0][2]
    assert [row.action for row in shown.rows] == [NEW, WRONG, NEW]
    assert shown.token == "", "a file with a wrong row cannot be confirmed"
    assert labels() == ["v1"]


def test_row_with_several_mistakes_names_them_all(account: User) -> None:
    found = problems(account, f"{HEADER}\nprompt,v 2,a b,https://ada:hunter2@x.example,,,,v9\n")
    assert [(row, column) for row, column, _ in found] == [(2, "label"), (2, "digest"), (2, "uri"), (2, "parent")]


def test_rows_that_name_the_same_version_twice(account: User) -> None:
    ((number, column, sentence),) = problems(account, f"{HEADER}\nmodel,m1,a,,,,,\nprompt,m1,a,,,,,\nmodel,m1,a,,,,,\n")
    assert (number, column) == (4, "label")
    assert "Row 2 names the same version" in sentence


def test_parent_that_stands_further_down_is_to_be_put_above(account: User) -> None:
    sentence = "v2 stands further down, in row 3. Put the row of a parent above those of the versions made from it."
    assert problems(account, f"{HEADER}\nprompt,v3,,,,,,v2\nprompt,v2,,,,,,\n") == [(2, "parent", sentence)]
    assert problems(account, f"{HEADER}\nprompt,v2,,,,,,\nprompt,v3,,,,,,v2\n") == []
    # Of another artefact it is another version; one that is registered already may stand anywhere.
    assert "is not a version of model" in problems(account, f"{HEADER}\nmodel,m3,,,,,,v2\nprompt,v2,,,,,,\n")[0][2]
    assert problems(account, f"{HEADER}\nprompt,v3,,,,,,v1\nprompt,v1,sha256:1,,,,,\n") == []


def test_parent_in_a_row_that_is_wrong_names_that_row(account: User) -> None:
    found = problems(account, f"{HEADER}\nprompt,v2\nprompt,v3,,,,,,v2\n")
    assert found[1] == (3, "parent", "v2 stands in row 2, which cannot be imported. Mend that row first.")


def test_row_numbers_are_those_of_a_spreadsheet(account: User) -> None:
    text = f'{HEADER}\n\nprompt,v2,,,"two\nlines",,,\n,,,,,,,\nprompt,v 3,,,,,,\n'
    shown = preview(account, text)
    assert [(row.number, row.action) for row in shown.rows] == [(3, NEW), (5, WRONG)]


@pytest.mark.parametrize("cell", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "'quoted", "=1+1", "<script>alert(1)</script>"])
def test_cell_that_looks_like_a_formula_stays_the_text_that_it_is(cell: str, account: User) -> None:
    shown = preview(account, f"{HEADER}\nprompt,v2,,,{cell},,{cell},\n")
    confirm(account, shown.token)
    version = Version.objects.get(label="v2")
    assert (version.changelog, version.author) == (cell, cell)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + FILE,
        FILE.replace("\n", "\r\n"),
        "Artefact , LABEL\nprompt,v2\nprompt,v3\nmodel,m1\n",
        "label;artefact\nv2;prompt\nv3;prompt\nm1;model\n",
        "label\tartefact\nv2\tprompt\nv3\tprompt\nm1\tmodel",
    ],
)
def test_file_as_spreadsheets_write_it(text: str, account: User) -> None:
    confirm(account, preview(account, text).token)
    assert labels() == ["m1", "v1", "v2", "v3"]


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "file_empty", "Its first row names the columns: artefact, label"),
        (b"\n\n", "wrong_columns", "no column artefact"),
        (HEADER.encode(), "file_empty", "a header and no rows"),
        (HEADER.encode() + b"\n,,,,,,,\n\n", "file_empty", "a header and no rows"),
        (f"{HEADER}\nprompt,v2,,,grün,,,".encode("latin-1"), "wrong_encoding", "not UTF-8 (line 2)"),
        (FILE.encode("utf-16"), "wrong_encoding", "UTF-16"),
        (FILE.encode("utf-16-le"), "wrong_encoding", "NUL"),
        (b"PK\x03\x04\x00\x00\xff", "wrong_encoding", "not UTF-8"),
        (b"artefact,version\nprompt,v2\n", "wrong_columns", "It has no column label. It has columns that mean nothing here: version."),
        (b"artefact,label,label\nprompt,v2,v3\n", "wrong_columns", "the column label more than once"),
        (b"artefact,label,\nprompt,v2,\n", "wrong_columns", "a column without a name"),
        (b'artefact,label\nprompt,"v2\n', "not_csv", "Row 2 cannot be read"),
        (b'artefact,label\nprompt,"v2"x\n', "not_csv", "Row 2 cannot be read"),
        (b"artefact,label\n" + b"prompt,v2\n" * (MAX_ROWS + 1), "too_many_rows", "more than 1,000 rows"),
        (b"artefact,label\nprompt," + b"x" * MAX_BYTES, "file_too_large", "more than 1 MB. Split it"),
        (b"artefact,label,changelog\nprompt,v2," + b"x" * 200_000, "not_csv", "Row 2 cannot be read"),
    ],
)
def test_file_that_cannot_be_read_is_refused_in_words(content: bytes, code: str, words: str, account: User) -> None:
    with pytest.raises(InvalidInput) as refused:
        preview(account, content)
    assert refused.value.code == code
    assert words in refused.value.message
    assert labels() == ["v1"]


def test_confirm_after_the_registry_has_changed_imports_nothing(account: User) -> None:
    token = preview(account, FILE).token
    VersionFactory(artefact=ArtefactFactory(slug="model"), label="m1", digest="sha256:by-somebody-else")
    with pytest.raises(Conflict) as refused:
        confirm(account, token)
    assert refused.value.code == "preview_outdated"
    assert labels() == ["m1", "v1"]
    assert not AuditEvent.objects.exists()
    again = preview_again(token=token, account=account, actor=actor_of(account))
    assert [row.action for row in again.rows] == [NEW, NEW, WRONG]


def test_confirm_after_a_version_came_by_another_way_is_shown_again_first(account: User) -> None:
    token = preview(account, FILE).token
    VersionFactory(artefact=ArtefactFactory(slug="model"), label="m1", digest="")
    with pytest.raises(Conflict):
        confirm(account, token)
    assert labels() == ["m1", "v1"]
    confirm(account, preview_again(token=token, account=account, actor=actor_of(account)).token)
    assert labels() == ["m1", "v1", "v2", "v3"]


def test_confirm_twice_imports_once(account: User) -> None:
    token = preview(account, FILE).token
    confirm(account, token)
    with pytest.raises(Conflict):
        confirm(account, token)
    assert AuditEvent.objects.filter(event="versions.imported").count() == 1


def test_confirm_takes_only_what_this_account_was_shown(account: User, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    token = preview(account, FILE).token
    forged = signing.dumps([account.pk, FILE, "0" * 64], salt="something else", compress=True)
    for bad in ("", "nonsense", token[:-3] + "abc", forged):
        with pytest.raises(InvalidInput) as refused:
            confirm(account, bad)
        assert refused.value.code == "preview_missing"
    with pytest.raises(InvalidInput, match="made by somebody else"):
        confirm(cast.lead, token)
    monkeypatch.setattr(version_import, "PREVIEW_SECONDS", dt.timedelta(seconds=-1))
    with pytest.raises(InvalidInput) as refused:
        confirm(account, token)
    assert refused.value.code == "preview_expired"
    assert labels() == ["v1"]


@pytest.mark.parametrize("name", ["leadership", "auditor", "stranger"])
def test_import_is_for_those_who_may_register(name: str, account: User, cast: Cast) -> None:
    token = preview(account, FILE).token
    other = getattr(cast, name)
    with pytest.raises(Forbidden):
        preview(other, FILE)
    with pytest.raises(Forbidden):
        confirm(other, token)
    assert labels() == ["v1"]


def test_error_of_the_database_is_no_mistake_of_a_row(account: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**kwargs: Any) -> None:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(version_import, "register_version", broken)
    with pytest.raises(RuntimeError, match="the database is gone"):
        preview(account, FILE)


def test_largest_file_takes_a_bounded_number_of_queries_a_row(account: User, django_assert_max_num_queries: Any) -> None:
    text = HEADER + "".join(f"\nprompt,n{number},sha256:{number},,,,,v1" for number in range(MAX_ROWS))
    with django_assert_max_num_queries(10 * MAX_ROWS + 20):
        shown = preview(account, text)
    assert shown.counts[NEW] == MAX_ROWS


def test_files_that_name_the_same_versions_in_another_order_at_once_do_not_stand_in_each_others_way(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    ArtefactFactory(slug="prompt")
    rows = [f"\nprompt,n{number},sha256:{number},,,,," for number in range(40)]
    files = [HEADER + "".join(rows), HEADER + "".join(reversed(rows))]
    tokens = [preview(account, text).token for account, text in zip((cast.on_call, cast.lead), files, strict=True)]
    results = at_once(2, lambda index: confirm((cast.on_call, cast.lead)[index], tokens[index]))
    assert Version.objects.count() == 40
    assert [type(result) for result in results if isinstance(result, Exception)] == [Conflict]
