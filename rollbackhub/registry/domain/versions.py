"""Registering versions: the one way in, for the page, the API, files and the admin."""

from __future__ import annotations

import unicodedata

from django.db import IntegrityError, transaction

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.common.secret_names import holds_secret
from rollbackhub.common.shown_text import problem_of
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Artefact, Version

LONGEST = {"label": 120, "digest": 100, "uri": 500, "changelog": 20_000, "eval_reference": 500, "author": 200}
"""Characters that each field may have."""

_ONE_WORD = ("label", "digest", "uri", "parent")


def register_version(
    *,
    artefact: Artefact,
    label: str,
    digest: str,
    uri: str,
    changelog: str,
    eval_reference: str,
    author: str,
    parent: str | None,
    is_strategic: bool,
    account: User,
    actor: Actor,
) -> tuple[Version, bool]:
    """Make a version known; answers it, and whether it is new.

    The same label and digest again is the same version, as it was registered first: nothing is written. `parent` is the label of the version
    that it was made from.
    Raises Forbidden, InvalidInput (sentences by field), Conflict `version_exists` (the label stands for another digest).
    """
    require(user=account, capability=Capability.REGISTER)
    values = {
        name: text.strip()
        for name, text in {
            "label": label,
            "digest": digest,
            "uri": uri,
            "changelog": changelog.replace("\r\n", "\n"),
            "eval_reference": eval_reference,
            "author": author,
        }.items()
    }
    parent = (parent or "").strip()
    fields = field_problems(values | {"parent": parent})
    with transaction.atomic():
        # Two at once do not wait for each other here; the constraint below decides.
        wanted = {text for name, text in (("label", values["label"]), ("parent", parent)) if text and name not in fields}
        known = {found.label: found for found in Version.objects.filter(artefact=artefact, label__in=wanted)}
        existing = known.get(values["label"])
        if parent and "parent" not in fields:
            fields |= _parent_problems(parent, values["label"], artefact=artefact, known=known)
        if fields:
            sentences = " ".join(sentence for found in fields.values() for sentence in found)
            raise InvalidInput(f"The version cannot be registered: {sentences}", fields=fields)
        if existing is not None:
            return _same(existing, values["digest"], artefact=artefact), False
        try:
            with transaction.atomic():
                version = Version.objects.create(artefact=artefact, parent=known.get(parent), is_strategic=is_strategic, **values)
        except IntegrityError:
            existing = Version.objects.filter(artefact=artefact, label=values["label"]).first()
            if existing is None:
                raise
            return _same(existing, values["digest"], artefact=artefact), False
        record_registered(version, parent=parent, actor=actor)
        return version, True


def record_registered(version: Version, *, parent: str = "", actor: Actor) -> None:
    """Record that a version is known from now on. `version` has its artefact; `parent` is a label. To be called in the transaction that made it."""
    record(
        event="version.registered",
        actor=actor,
        subject_type="version",
        subject_id=version.pk,
        data={
            "version": version.label,
            "artefact": version.artefact.slug,
            "before": "",
            "after": str(Lifecycle.REGISTERED),
            "reason": "registered",
            "digest": version.digest,
            "uri": version.uri,
            "author": version.author,
            "parent": parent,
            "strategic": version.is_strategic,
        },
    )


def _same(existing: Version, digest: str, *, artefact: Artefact) -> Version:
    """The version that has the label already. Raises Conflict when it is another thing: a version never changes."""
    if existing.digest == digest:
        existing.artefact = artefact
        return existing
    raise Conflict(
        f"{artefact.slug} has a version {existing.label} already, with {_digest_words(existing.digest)}; yours has {_digest_words(digest)}."
        " A version never changes: give yours a label of its own.",
        code="version_exists",
        fields={"label": [f"Taken: it stands for {_digest_words(existing.digest)}."]},
        version_id=existing.pk,
        digest=existing.digest,
        your_digest=digest,
    )


def _digest_words(digest: str) -> str:
    return f"the digest {digest}" if digest else "no digest"


def field_problems(values: dict[str, str]) -> dict[str, list[str]]:
    """What is wrong with each field by itself (those of LONGEST, and the parent's label), in sentences."""
    fields: dict[str, list[str]] = {}
    for name, text in values.items():
        found = []
        if name == "label" and not text:
            found.append("Give the version a label, e.g. v12.")
        longest = LONGEST.get(name, LONGEST["label"])
        if len(text) > longest:
            found.append(f"{_name(name)} may have {longest:,} characters at most, not {len(text):,}.")
        if name in _ONE_WORD and any(_is_space(character) for character in text):
            found.append(f"{_name(name)} may hold no spaces or line breaks.")
        elif problem_of(text, lines=name == "changelog"):
            found.append(f"{_name(name)} holds a character that cannot be shown. Take it out.")
        if holds_secret(text):
            found.append(f"{_name(name)} holds a password or a key in an address. It would be shown to everybody: leave it out.")
        if found:
            fields[name] = found
    return fields


def _parent_problems(parent: str, label: str, *, artefact: Artefact, known: dict[str, Version]) -> dict[str, list[str]]:
    if parent == label:
        return {"parent": ["A version cannot be made from itself."]}
    if parent not in known:
        return {"parent": [f"{parent} is not a version of {artefact.slug}. Register it first, or leave the parent out."]}
    return {}


def _name(field: str) -> str:
    return {"uri": "The URI", "eval_reference": "The eval reference"}.get(field, f"The {field}")


def _is_space(character: str) -> bool:
    return character.isspace() or unicodedata.category(character)[0] == "Z"
