"""What connectors refuse in settings and targets is said in our words, with what is missing, unknown or wrong; and no value that was refused is repeated."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import BaseModel

from rollbackhub.common.errors import InvalidInput
from rollbackhub.connectors.base import connector_type, list_connector_names
from rollbackhub.connectors.mechanism import Mechanism
from rollbackhub.connectors.secret_refs import shown_again

LIBRARY = re.compile(
    r"Input should|[Ff]ield required|Extra inputs|should (be|match|have)|Value error|valid (string|integer|number|dictionary|list|boolean)|pydantic"
)
WRONG: list[Any] = [None, 5, -1.5, True, "", "%% hunter2-seen \x01", "x" * 3000 + "hunter2-seen", [], ["hunter2-seen"], {}, {"hunter2": "hunter2-seen"}, 1e12]


def parts() -> list[tuple[str, str]]:
    return [(name, part) for name in list_connector_names() for part in ("settings", "target") if part == "settings" or is_mechanism(name)]


def is_mechanism(name: str) -> bool:
    return issubclass(connector_type(name), Mechanism)


def refusal(name: str, part: str, values: Any) -> InvalidInput | None:
    kind: Any = connector_type(name)
    try:
        kind.parse_settings(values) if part == "settings" else kind.parse_target(values)
    except InvalidInput as error:
        return error
    return None


@pytest.mark.parametrize(("name", "part"), parts())
def test_whatever_is_wrong_is_said_in_our_words_and_not_repeated(name: str, part: str) -> None:
    kind: Any = connector_type(name)
    model: type[BaseModel] = kind.settings_type if part == "settings" else kind.target_type
    tried: list[Any] = [None, 5, "hunter2-seen", [], {}, {"colour": "hunter2-seen"}]
    tried += [{field: value} for field in model.model_fields for value in WRONG]
    if part == "target":
        tried += [{"consumers": [value]} for value in WRONG] + [{"consumers": [{"url": value, "field": value, "x": value}]} for value in WRONG]
    refused = [error for values in tried if (error := refusal(name, part, values)) is not None]
    assert len(refused) > len(model.model_fields)
    for error in refused:
        sentences = [sentence for found in error.fields.values() for sentence in found]
        assert sentences
        assert error.message.startswith(f"The {part} of the {name} connection ")
        for said in (error.message, *sentences):
            assert not LIBRARY.search(said), said
            assert "hunter2-seen" not in said
            assert said.endswith(".") or "An example: " in said, said


@pytest.mark.parametrize(
    ("name", "values", "place", "sentence"),
    [
        ("mlflow", {}, "address", "This is needed."),
        ("mlflow", {"address": "nowhere"}, "address", "It must look like https://mlflow.example.com, without a user name, a query or a fragment."),
        ("mlflow", {"address": "https://m", "client_cache_seconds": "soon"}, "client_cache_seconds", "It must be a number."),
        ("mlflow", {"address": "https://m", "client_cache_seconds": 90000}, "client_cache_seconds", "It must be 86400 or less."),
        (
            "mlflow",
            {"address": "https://m", "adress": "x"},
            "adress",
            "There is no such name here; there are address, token_ref, login_ref, client_cache_seconds.",
        ),
        (
            "mlflow",
            {"address": "https://m", "token_ref": "abc"},
            "token_ref",
            "It must refer to a secret, as env:NAME or file:/path; the secret itself is never stored.",
        ),
        ("haproxy", {"sockets": {}}, "sockets", "This is needed."),
        ("git", {"remote": "file:///srv/x", "tries": 2.5}, "tries", "It must be a whole number."),
        ("deploy", {"deploy_url": "ftp://x"}, "deploy_url", "It cannot be written so. An example: https://deploy.example.com/hook"),
        ("prometheus", {}, "settings", "Name the server, or a plain endpoint: one of the two."),
        ("delta", [1], "settings", "It must be a mapping: names, each with its value."),
    ],
)
def test_settings_say_what_is_wrong_at_its_place(name: str, values: Any, place: str, sentence: str) -> None:
    error = refusal(name, "settings", values)
    assert error is not None
    assert error.fields[place] == [sentence]


@pytest.mark.parametrize(
    ("name", "values", "place", "sentence"),
    [
        ("delta", {"table": "a", "appends": "keep"}, "appends", "Choose refuse or discard."),
        ("git", {}, "target", "It needs either path, or all of file, field and value."),
        ("git", {"path": "a", "consumers": [{"url": "x"}]}, "consumers.0.url", "It cannot be written so. An example: https://agent.example.com/version"),
        ("git", {"path": "a", "consumers": [{"address": "x"}]}, "consumers.0.address", "There is no such name here; there are url, field."),
        ("mlflow", {"model": "m", "alias": 5}, "alias", "It must be text. Put a number or a date in quotes."),
    ],
)
def test_targets_say_what_is_wrong_at_its_place(name: str, values: Any, place: str, sentence: str) -> None:
    error = refusal(name, "target", values)
    assert error is not None
    assert error.fields[place] == [sentence]


TOKEN = "ghp_" + "a1B2" * 9


@pytest.mark.parametrize(
    ("text", "refused", "shown"),
    [
        ('{"service": "agent"}', (), '{"service": "agent"}'),
        ('{"service": "hunter2"}', ("service",), {"service": ""}),
        ('{"a": {"b": ["x", "hunter2"]}}', ("a.b.1",), {"a": {"b": ["x", ""]}}),
        ('{"service": "agent", "password": "hunter2"}', (), {"service": "agent", "password": ""}),
        ('{"token_ref": "hunter2", "login_ref": "env:LOGIN"}', (), {"token_ref": "", "login_ref": "env:LOGIN"}),
        (f'{{"service": "{TOKEN}"}}', (), {"service": ""}),
        (f'{{"{TOKEN}": 1, "service": "agent"}}', (), {"service": "agent"}),
        ('{"url": "https://me:hunter2@host/"}', (), {"url": ""}),
        ('"hunter2"', (), ""),
        ("hunter2", (), ""),
        ('{"password": "hunter2"', (), ""),
        ('{"token_ref": hunter2}', (), ""),
        ('{"service": agent', (), '{"service": agent'),
        ("  ", (), "  "),
    ],
)
def test_what_may_be_a_secret_is_left_empty_when_a_form_is_shown_again(text: str, refused: tuple[str, ...], shown: Any) -> None:
    again = shown_again(text, load=json.loads, dump=json.dumps, refused=refused)
    assert again == (shown if isinstance(shown, str) else json.dumps(shown))
    assert "hunter2" not in again
    assert TOKEN not in again


def test_name_that_is_a_secret_is_refused_and_not_repeated() -> None:
    error = refusal("deploy", "target", {TOKEN: 1, "service": "agent"})
    assert error is not None
    assert "looks like a secret" in str(error.fields)
    assert TOKEN not in error.message + str(error.fields)
