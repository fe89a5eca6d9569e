"""What cannot be shown is refused on pages too, in words, and saved by none."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.shown_text import UNSHOWABLE
from rollbackhub.executions.models import Procedure, ProcedureVersion
from rollbackhub.executions.procedures import WEIGHT_FLIP
from rollbackhub.registry.domain.checks import checks_digest
from rollbackhub.registry.models import Artefact
from rollbackhub.rollbacks.models import CoordinatedProcedure
from tests.dashboard.people import client_of
from tests.dashboard.test_coordinated_pages import NEW as NEW_COORDINATED
from tests.dashboard.test_coordinated_pages import form as coordinated_form
from tests.dashboard.test_procedure_pages import NEW as NEW_PROCEDURE
from tests.dashboard.test_procedure_pages import form_of, new_values
from tests.dashboard.world import World
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory

HIDDEN = ["\x00", "\x01", "\u202e"]
CHECKS = reverse("registry:checks", args=["reasoner-model"])


@pytest.fixture
def lead(cast: Cast, world: World) -> Client:
    return client_of(cast.lead)


def checks(text: str) -> tuple[str, dict[str, Any]]:
    # As YAML writes them: a NUL as itself is no YAML.
    escaped = "".join(f"\\u{ord(letter):04x}" if letter in HIDDEN else letter for letter in text)
    digest = checks_digest(Artefact.objects.get(slug="reasoner-model"))
    return CHECKS, {"checks": f'- kind: traffic_share\n  key: traffic\n  title: "{escaped}"\n', "reason": "why", "based_on": digest}


def step(text: str) -> tuple[str, dict[str, Any]]:
    procedure = Procedure.objects.get(change_type="model", connector="")
    return f"/procedures/{procedure.slug}/edit/", form_of([{**WEIGHT_FLIP[0], "title": text}, *WEIGHT_FLIP[1:]])


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
@pytest.mark.parametrize("do", ["preview", "save"])
@pytest.mark.parametrize("editor", [checks, step])
def test_editors_refuse_it_in_the_preview_and_at_save(editor: Any, do: str, hidden: str, lead: Client) -> None:
    if editor is step and hidden == "\x00":
        pytest.skip("the form of a procedure leaves it out when it is read")
    address, values = editor(f"Nothing{hidden} goes there")
    before = (AuditEvent.objects.count(), ProcedureVersion.objects.count())
    answer = lead.post(address, values | {"do": do})
    said = answer.content.decode()
    assert answer.status_code == 422
    assert UNSHOWABLE in said
    assert (AuditEvent.objects.count(), ProcedureVersion.objects.count()) == before


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
def test_new_procedure_is_refused(hidden: str, lead: Client) -> None:
    ArtefactFactory(slug="classifier", change_type="model")
    assert lead.post(NEW_PROCEDURE, new_values(name=f"Class{hidden}ifier")).status_code == 422
    assert not Procedure.objects.filter(name__contains="ifier").exists()


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
@pytest.mark.parametrize("field", ["name", "rows-0-why", "because"])
def test_coordinated_procedure_is_refused(field: str, hidden: str, lead: Client) -> None:
    values = coordinated_form()
    assert lead.post(NEW_COORDINATED, values | {field: f"Support{hidden} release and more"}).status_code == 422
    assert not CoordinatedProcedure.objects.exists()


def test_reason_for_stopping_a_drill_is_refused_and_it_goes_on(lead: Client, world: World) -> None:
    assert lead.post(reverse("drills:stop", args=[world.running.pk]), {"reason": "wrong\x01alias"}).status_code == 422
    world.running.refresh_from_db()
    assert world.running.cancel_requested_at is None
