"""`manage.py drill` when the hub stops: what was accepted is not lost, and the sentence says so."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError

from drills.management.commands import drill as command
from drills.models import Drill
from tests.rollbacks.conftest import seed_production


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and what was said."""
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("drill", *arguments, stdout=out, stderr=out)
    return int(ended.value.code or 0), out.getvalue()


def gone(*args: Any, **kwargs: Any) -> None:
    raise OperationalError("server closed the connection unexpectedly\nThis probably means …")


@pytest.mark.django_db
def test_drill_whose_hub_stops_meanwhile_was_accepted_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seed_production(alias="smart-reasoner", environment="staging")
    monkeypatch.setattr(command, "get_drill", gone)
    code, said = run("smart-reasoner")
    drill = Drill.objects.get()
    assert code == 2
    assert "The drill was accepted, and cannot be followed any more: the database does not answer (server closed the connection unexpectedly)." in said
    assert f"it goes on by itself: drill {drill.pk}, /drills/{drill.pk}/." in said
    assert "Is `make up` running?" not in said


@pytest.mark.django_db
def test_the_same_as_json_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seed_production(alias="smart-reasoner", environment="staging")
    monkeypatch.setattr(command, "get_drill", gone)
    code, said = run("smart-reasoner", "--json")
    error = json.loads(said)["error"]
    assert (code, error["code"], error["drill_id"]) == (2, "not_followed", str(Drill.objects.get().pk))


@pytest.mark.django_db
def test_hub_that_does_not_run_accepts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.Command, "_start", gone)
    code, said = run("smart-reasoner")
    assert code == 2
    assert "Is `make up` running?" in said
    assert "accepted" not in said
