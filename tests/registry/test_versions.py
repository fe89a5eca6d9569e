"""Registering versions: once, whoever is faster, and never with what should not be shown."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput
from rollbackhub.registry.domain.versions import register_version
from rollbackhub.registry.models import Artefact, Version
from tests.databases import FreshDatabase
from tests.factories.fixtures import Cast, make_cast
from tests.factories.registry import ArtefactFactory, VersionFactory
from tests.threads import at_once


def register(account: User, artefact: Artefact, **changes: Any) -> tuple[Version, bool]:
    """A version, by the domain."""
    values: dict[str, Any] = {
        "label": "v2",
        "digest": "sha256:2",
        "uri": "",
        "changelog": "",
        "eval_reference": "",
        "author": "",
        "parent": None,
        "is_strategic": False,
    }
    return register_version(artefact=artefact, account=account, actor=actor_of(account), **(values | changes))


def test_version_texts_are_trimmed_and_its_audit_event_tells_what_it_is(cast: Cast) -> None:
    artefact = ArtefactFactory(slug="reasoner")
    parent = VersionFactory(artefact=artefact, label="v1")
    version, created = register(cast.on_call, artefact, label="  v2 ", parent=" v1 ", author=" Ada ", changelog="a\r\nb\n", uri="models:/reasoner/2")
    assert created
    version.refresh_from_db()
    assert (version.label, version.parent, version.author, version.changelog, version.lifecycle) == ("v2", parent, "Ada", "a\nb", "registered")
    event = AuditEvent.objects.get()
    assert (event.event, event.subject_type, event.subject_id) == ("version.registered", "version", str(version.pk))
    assert event.data == {
        "version": "v2",
        "artefact": "reasoner",
        "before": "",
        "after": "registered",
        "reason": "registered",
        "digest": "sha256:2",
        "uri": "models:/reasoner/2",
        "author": "Ada",
        "parent": "v1",
        "strategic": False,
    }


def test_version_without_a_digest_is_another_thing_than_one_with(cast: Cast) -> None:
    artefact = ArtefactFactory(slug="reasoner")
    first, _ = register(cast.on_call, artefact, digest="")
    assert register(cast.on_call, artefact, digest="") == (first, False)
    with pytest.raises(Conflict, match="with no digest; yours has the digest sha256:2") as refused:
        register(cast.on_call, artefact)
    assert refused.value.code == "version_exists"


def test_version_same_label_of_another_artefact_is_another_version(cast: Cast) -> None:
    assert register(cast.on_call, ArtefactFactory(slug="one"))[1]
    assert register(cast.on_call, ArtefactFactory(slug="two"), digest="sha256:other")[1]


@pytest.mark.parametrize("name", ["leadership", "auditor", "stranger"])
def test_version_by_who_may_not_is_refused(name: str, cast: Cast) -> None:
    with pytest.raises(Forbidden, match="register versions"):
        register(getattr(cast, name), ArtefactFactory())
    assert not Version.objects.exists()
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    "text",
    [
        "https://ada:hunter2@models.example/2",
        "s3://bucket/key?X-Amz-Signature=0f",
        "https://storage.example/x?sig=0f",
        "https://storage.example/x?a=1&access_token=0f",
        "see https://storage.example/x?password=0f for more",
        "https://[broken/x?api_key=0f",
    ],
)
@pytest.mark.parametrize("field", ["uri", "changelog", "eval_reference", "author"])
def test_version_secrets_in_addresses_are_refused_wherever_they_stand(field: str, text: str, cast: Cast) -> None:
    with pytest.raises(InvalidInput) as refused:
        register(cast.on_call, ArtefactFactory(), **{field: text})
    assert field in refused.value.fields
    assert "hunter2" not in refused.value.message
    assert not Version.objects.exists()


@pytest.mark.parametrize(
    "text",
    [
        "https://models.example/2?version=7&token_id=5",
        "oci://registry.example/a@sha256:12",
        "https://evals.example/?sig=",
        "max_tokens=5: see https://x.example/?q=a",
    ],
)
def test_version_addresses_without_secrets_are_taken(text: str, cast: Cast) -> None:
    assert register(cast.on_call, ArtefactFactory(), changelog=text)[1]


@pytest.mark.parametrize("character", ["\u0000", "\u0007", "\u202e", "\ud800", "\ue000", "\u200b"])
@pytest.mark.parametrize("field", ["label", "digest", "uri", "changelog", "eval_reference", "author", "parent"])
def test_version_characters_that_cannot_be_shown_are_refused(field: str, character: str, cast: Cast) -> None:
    with pytest.raises(InvalidInput) as refused:
        register(cast.on_call, ArtefactFactory(), **{field: f"a{character}b"})
    assert field in refused.value.fields
    assert not Version.objects.exists()


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\u00a0", "\u2003", "\u3000"])
@pytest.mark.parametrize("field", ["label", "digest", "uri"])
def test_version_spaces_within_one_word_are_refused(field: str, space: str, cast: Cast) -> None:
    with pytest.raises(InvalidInput, match="no spaces or line breaks"):
        register(cast.on_call, ArtefactFactory(), **{field: f"a{space}b"})


def test_version_registered_by_ten_at_once_is_one(fresh_database: FreshDatabase) -> None:
    account, artefact = make_cast().on_call, ArtefactFactory()
    results = at_once(10, lambda _: register(account, artefact))
    assert sorted(result[1] for result in results if not isinstance(result, Exception)) == [False] * 9 + [True]
    assert Version.objects.count() == AuditEvent.objects.filter(event="version.registered").count() == 1


def test_version_label_wanted_by_ten_digests_at_once_is_one_and_the_others_are_told(fresh_database: FreshDatabase) -> None:
    account, artefact = make_cast().on_call, ArtefactFactory()
    results = at_once(10, lambda number: register(account, artefact, digest=f"sha256:{number}"))
    refused = [result for result in results if isinstance(result, Conflict)]
    version = Version.objects.get()
    assert len(refused) == 9
    assert {error.extra["digest"] for error in refused} == {version.digest}
    assert all(error.code == "version_exists" for error in refused)
