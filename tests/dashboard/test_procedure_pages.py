"""Pages of procedures, and the form that writes their next version."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client

from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import TransientError
from rollbackhub.connectors.mechanism import Change, Problem, ProblemCode
from rollbackhub.dashboard.procedure_draft import ACTIONS, PARAMS, draft_of, params_of
from rollbackhub.executions.actions import get_action, list_action_names
from rollbackhub.executions.domain import procedure_preview
from rollbackhub.executions.domain.procedures import append_procedure_version, full_steps
from rollbackhub.executions.models import Procedure, ProcedureVersion
from rollbackhub.executions.procedures import BUILT_IN, REDEPLOY, WEIGHT_FLIP
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World
from tests.factories.executions import ProcedureFactory, ProcedureVersionFactory
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, ConnectionFactory
from tests.factories.routing import PolicyRevisionFactory, RoutingPolicyFactory

LIST = "/procedures/"
NEW = "/procedures/new/"
ACTOR = system_actor("test")


@pytest.fixture
def flip(db: None) -> Procedure:
    """The gateways' procedure for models, with its built-in steps."""
    found = Procedure.objects.filter(change_type="model", connector="", artefact=None).first() or ProcedureFactory()
    if not found.versions.exists():
        append_procedure_version(procedure=found, steps=WEIGHT_FLIP, actor=ACTOR)
    return found


def plain(text: str) -> str:
    """What a person reads of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def form_of(steps: list[dict[str, Any]], *, based_on: int = 1, **more: Any) -> dict[str, Any]:
    """What the form sends for these steps."""
    sent: dict[str, Any] = {"steps": str(len(steps)), "based_on": str(based_on), "reason": "Slower drains", **more}
    for index, step in enumerate(draft_of(steps).steps):
        prefix = f"steps-{index}-"
        sent |= {prefix + name: getattr(step, name) for name in ("key", "title", "action", "segment", "kinds")}
        sent |= {f"{prefix}params-{name}": value for name, value in step.params.items()}
        sent |= {prefix + name: "on" for name in ("always", "starts_clock") if getattr(step, name)}
    return sent


def number_of(procedure: Procedure) -> int:
    """Of its present version."""
    return newest(procedure).number


def newest(procedure: Procedure) -> ProcedureVersion:
    """Its present version."""
    return procedure.versions.order_by("-number")[0]


def edit(procedure: Procedure) -> str:
    """The address of its form."""
    return f"{LIST}{procedure.slug}/edit/"


def send(client: Client, procedure: Procedure, steps: list[dict[str, Any]], do: str, **more: Any) -> Any:
    """Press a button of the form."""
    return client.post(edit(procedure), form_of(steps, do=do, **({"based_on": number_of(procedure)} | more)))


def otherwise(key: str, **params: Any) -> list[dict[str, Any]]:
    """The built-in steps, one of them with other parameters."""
    return [{**step, "params": {**step.get("params", {}), **params}} if step["key"] == key else step for step in WEIGHT_FLIP]


def test_every_action_and_parameter_has_words() -> None:
    # Tests of other parts register actions of their own.
    names = [name for name in list_action_names() if type(get_action(name)).__module__.startswith("rollbackhub.")]
    assert set(ACTIONS) == set(names)
    assert {entry.name for name in names for entry in params_of(name)} == set(PARAMS)


@pytest.mark.parametrize("entry", BUILT_IN, ids=lambda entry: entry["slug"])
def test_form_gives_back_the_steps_that_it_shows(entry: dict[str, Any]) -> None:
    assert draft_of(entry["steps"]).as_steps() == entry["steps"] or full_steps(draft_of(entry["steps"]).as_steps()) == full_steps(entry["steps"])


def test_list_says_of_each_what_it_is_for_and_who_uses_it(cast: Cast, world: World, flip: Procedure) -> None:
    own = ProcedureFactory.create(slug="own-flip", name="Own <b>flip</b>", artefact=world.reasoner.artefact, change_type="model", connector="")
    words = plain(page(client_of(cast.auditor), LIST))
    assert "How do we roll back, step by step?" in words
    assert flip.name in words
    assert "New procedure" not in words, "an auditor writes none"
    assert "New procedure" in page(client_of(cast.lead), LIST)
    assert own.slug
    assert "<b>flip</b>" not in page(client_of(cast.auditor), LIST)


def test_list_filters_by_change_type_and_ignores_nonsense(cast: Cast, flip: Procedure) -> None:
    client = client_of(cast.auditor)
    assert flip.name in page(client, f"{LIST}?change_type=model")
    assert f"/procedures/{flip.slug}/" not in page(client, f"{LIST}?change_type=dataset")
    assert flip.name in page(client, f"{LIST}?change_type=nonsense")
    page(client, f"{LIST}?change_type=%00", status=422)
    page(client, f"{LIST}?page=99")


def test_detail_says_the_steps_in_words_who_uses_it_and_its_runbook(cast: Cast, world: World, flip: Procedure) -> None:
    Procedure.objects.filter(pk=flip.pk).update(runbook_url="https://wiki.example/flip", runbook_problem="It answered 404.")
    text = page(client_of(cast.auditor), f"{LIST}{flip.slug}/")
    words = plain(text)
    assert "A rollback runs 5 steps, a drill 10." in words
    assert (
        "Verify traffic, feedback and latency: 3 looks in a row must pass, over at least 5.0 s, within 15 min" in words or "3 looks in a row must pass" in words
    )
    assert "drills and rehearsals only" in words
    assert "starts the clock" in words
    assert re.search(r"\d+ aliases of the change type model go back by it", words)
    assert "https://wiki.example/flip" in text
    assert "It answered 404." in words
    assert "Cannot be read" in words
    assert 'href="/readiness/staging/smart-reasoner/"' in text
    assert "Edit the steps" not in words
    assert "Edit the steps" in page(client_of(cast.lead), f"{LIST}{flip.slug}/")


def test_detail_of_nothing_answers_404(cast: Cast) -> None:
    page(client_of(cast.auditor), f"{LIST}nothing/", status=404)
    page(client_of(cast.lead), f"{LIST}nothing/edit/", status=404)


def test_compare_shows_what_changed_and_refuses_versions_that_are_not_there(cast: Cast, flip: Procedure) -> None:
    first = number_of(flip)
    append_procedure_version(procedure=flip, steps=otherwise("drain", limit_seconds=90), actor=ACTOR, reason="Slow clients")
    client = client_of(cast.auditor)
    text = page(client, f"{LIST}{flip.slug}/?from={first}&to={first + 1}")
    assert "limit_seconds 90" in plain(text)
    assert "<ins>" in text
    assert "<del>" in text
    assert "“Slow clients”" in text
    for wrong in ("from=1&to=999", "from=x&to=1", "from=1&to=-1", "from=%20&to=1", f"from=1&to={'9' * 400}"):
        page(client, f"{LIST}{flip.slug}/?{wrong}", status=404)
    page(client, f"{LIST}{flip.slug}/?from=1")


def test_pages_ask_the_database_the_same_number_of_times_for_many(cast: Cast, world: World, flip: Procedure, django_assert_max_num_queries: Any) -> None:
    for index in range(12):
        artefact = ArtefactFactory(slug=f"model-{index}")
        RoutingPolicyFactory(environment=world.staging, alias=f"model-{index}", artefact=artefact)
        own = ProcedureFactory.create(slug=f"own-{index}", name=f"Own {index}", artefact=ArtefactFactory(slug=f"own-model-{index}"), change_type="model")
        assert own.pk
        append_procedure_version(procedure=flip, steps=otherwise("drain", limit_seconds=90 + index), actor=ACTOR)
    client = client_of(cast.lead)
    page(client, LIST)
    with django_assert_max_num_queries(14):
        page(client, LIST)
    with django_assert_max_num_queries(15):
        page(client, f"{LIST}{flip.slug}/")
    with django_assert_max_num_queries(14):
        page(client, edit(flip))
    with django_assert_max_num_queries(45):
        assert send(client, flip, otherwise("drain", limit_seconds=33), "preview").status_code == 200


@pytest.mark.parametrize("who", ["on_call", "auditor", "leadership", "stranger"])
def test_others_neither_see_the_form_nor_write(who: str, cast: Cast, flip: Procedure) -> None:
    client = client_of(getattr(cast, who))
    before = number_of(flip)
    page(client, edit(flip), status=403)
    page(client, NEW, status=403)
    assert send(client, flip, otherwise("drain", limit_seconds=90), "save").status_code == 403
    assert number_of(flip) == before


def test_edit_shows_every_step_with_its_parameters_and_limits(cast: Cast, flip: Procedure) -> None:
    text = page(client_of(cast.lead), edit(flip))
    for index, step in enumerate(WEIGHT_FLIP):
        assert f'value="{step["key"]}"' in text
        assert f'id="step-{index + 1}"' in text
    words = plain(text)
    assert "More than 0, at most 86,400. Empty: 60." in words
    assert "Rolled back: the flip" in words
    assert "<script>" not in text.split("</head>")[1]
    assert "onclick" not in text


def test_save_writes_the_next_version_with_author_and_reason(cast: Cast, flip: Procedure) -> None:
    before = number_of(flip)
    response = client_of(cast.lead).post(edit(flip), form_of(otherwise("drain", limit_seconds=90.5), do="save", based_on=before), follow=True)
    assert f"Saved as version {before + 1}" in response.content.decode()
    version = newest(flip)
    assert (version.number, version.author_label, version.reason) == (before + 1, "Lee Lead", "Slower drains")
    assert version.steps == otherwise("drain", limit_seconds=90.5)
    event = AuditEvent.objects.filter(event="procedure.version_appended").latest("id")
    assert event.data["reason"] == "Slower drains"
    assert event.actor_label == "Lee Lead"


def test_save_without_a_change_writes_nothing(cast: Cast, flip: Procedure) -> None:
    before = number_of(flip)
    client = client_of(cast.lead)
    response = client.post(edit(flip), form_of(WEIGHT_FLIP, do="save", based_on=before), follow=True)
    assert "Nothing was changed" in response.content.decode()
    explicit = otherwise("drain", limit_seconds=60, interval_seconds=0.3, consecutive=3)
    assert client.post(edit(flip), form_of(explicit, do="save", based_on=before)).status_code == 302
    assert number_of(flip) == before, "what says the default does the same"


def test_save_without_a_reason_is_refused_and_keeps_the_text(cast: Cast, flip: Procedure) -> None:
    before = number_of(flip)
    for reason, said in (("", "Say why."), ("   ", "Say why."), ("x" * 301, "At most 300 characters.")):
        response = send(client_of(cast.lead), flip, otherwise("drain", limit_seconds=90), "save", reason=reason)
        assert response.status_code == 422
        assert said in response.content.decode()
        assert 'value="90"' in response.content.decode()
    assert number_of(flip) == before


def test_buttons_move_add_and_remove_without_writing(cast: Cast, flip: Procedure) -> None:
    client = client_of(cast.lead)

    def keys(do: str) -> list[str]:
        response = send(client, flip, WEIGHT_FLIP, do)
        assert response.status_code == 200
        return [step.key for step in response.context["draft"].steps]

    all_keys = [step["key"] for step in WEIGHT_FLIP]
    assert keys("up:1")[:2] == ["expose", "preflight"]
    assert keys("down:0")[:2] == ["expose", "preflight"]
    assert keys("remove:0") == all_keys[1:]
    assert keys("add") == [*all_keys, ""]
    for nothing in ("up:0", f"down:{len(all_keys) - 1}", "remove:99", "remove:-1", "up:x", "up:٣", "", "nonsense", "show:5"):
        assert keys(nothing) == all_keys, nothing
    assert number_of(flip) == 1


def test_action_that_is_chosen_brings_its_parameters_and_keeps_those_of_the_same_name(cast: Cast, flip: Procedure) -> None:
    sent = form_of(otherwise("drain", limit_seconds=77), do="show:6") | {"steps-6-action": "await_traffic"}
    response = client_of(cast.lead).post(edit(flip), sent)
    inputs = {entry.name: entry.value for entry in response.context["draft"].steps[6].inputs}
    assert inputs["limit_seconds"] == "77"
    assert "min_baseline_requests" in inputs
    assert "consecutive" not in inputs
    assert response.context["draft"].steps[6].is_open


@pytest.mark.parametrize(
    ("changes", "index", "where", "words"),
    [
        ({"steps-6-params-limit_seconds": "soon"}, 6, "params.limit_seconds", "It must be a number."),
        ({"steps-6-params-limit_seconds": "0"}, 6, "params.limit_seconds", "It must be above 0."),
        ({"steps-6-params-limit_seconds": "nan"}, 6, "params.limit_seconds", "number"),
        ({"steps-6-params-limit_seconds": "9" * 10_000}, 6, "params.limit_seconds", "It must be 86400 or less."),
        ({"steps-6-params-consecutive": "2.5"}, 6, "params.consecutive", "It must be a whole number."),
        ({"steps-4-params-to": ""}, 4, "params.to", "This is needed."),
        ({"steps-4-params-to": "moon"}, 4, "params.to", "Choose canary or rolled_back."),
        ({"steps-4-key": "Flip It"}, 4, "key", "small letters"),
        ({"steps-4-key": "preflight"}, 4, "key", "that of step 1 already"),
        ({"steps-4-title": ""}, 4, "title", "This is needed."),
        ({"steps-4-title": "x" * 10_000}, 4, "title", "at most 120"),
        ({"steps-4-action": "rm_rf"}, 4, "action", "There is no such action"),
        ({"steps-4-segment": "lunch"}, 4, "segment", "Choose "),
        ({"steps-4-kinds": ["party"]}, 4, "kinds", "Choose "),
        ({"steps-4-kinds": []}, 4, "kinds", "runs in nothing"),
        ({"steps-5-action": "await_observed"}, 5, "action", "gateways take these aliases"),
    ],
)
@pytest.mark.parametrize("do", ["save", "preview"])
def test_what_is_wrong_is_said_at_its_step_and_field(do: str, changes: dict[str, Any], index: int, where: str, words: str, cast: Cast, flip: Procedure) -> None:
    response = client_of(cast.lead).post(edit(flip), form_of(WEIGHT_FLIP, do=do) | changes)
    assert response.status_code == 422
    step = response.context["draft"].steps[index]
    said = [sentence for place, sentences in step.errors.items() if place.split(".0")[0] == where for sentence in sentences]
    assert any(words in sentence for sentence in said), step.errors
    assert step.is_open
    assert words in unescape(response.content.decode())
    assert number_of(flip) == 1


def test_without_a_step_it_is_refused(cast: Cast, flip: Procedure) -> None:
    response = client_of(cast.lead).post(edit(flip), {"do": "save", "steps": "0", "based_on": "1", "reason": "x"})
    assert response.status_code == 422
    assert "Add a step." in response.content.decode()


@pytest.mark.parametrize("total", ["", "-1", "x", "9" * 50, "٣", "40", "1e3"])
def test_hostile_counts_and_numbers_never_break(total: str, cast: Cast, flip: Procedure) -> None:
    response = client_of(cast.lead).post(edit(flip), {"do": "save", "steps": total, "based_on": total, "reason": "x", "preview_alias": "\x00"})
    assert response.status_code in (409, 422)
    assert client_of(cast.lead).post(edit(flip), {}).status_code == 200
    assert number_of(flip) == 1


def test_hostile_text_is_shown_as_text_and_not_stored(cast: Cast, flip: Procedure) -> None:
    evil = '"><script>alert(1)</script>\x00'
    sent = form_of(WEIGHT_FLIP, do="save", based_on=7) | {f"steps-4-{name}": evil for name in ("title", "key", "action", "segment")}
    response = client_of(cast.lead).post(edit(flip), sent | {"reason": evil, "steps-6-params-limit_seconds": evil, "steps-4-kinds": [evil]})
    text = response.content.decode()
    assert response.status_code == 422
    assert "<script>alert" not in text
    saved = client_of(cast.lead).post(edit(flip), form_of(WEIGHT_FLIP, do="save") | {"steps-4-title": "<b>Flip</b>", "reason": "<i>why</i>"})
    assert saved.status_code == 302
    text = page(client_of(cast.auditor), f"{LIST}{flip.slug}/?from=1&to=2")
    assert "<b>Flip" not in text
    assert "<i>why" not in text
    assert "&lt;b&gt;Flip" in text


def test_job_parameters_are_typed_and_what_is_no_mapping_is_refused(cast: Cast, db: None) -> None:
    procedure = Procedure.objects.get(slug="dataset-delta")
    steps = newest(procedure).steps
    place = next(index for index, step in enumerate(steps) if step["action"] == "run_job")
    client = client_of(cast.lead)
    for wrong in ("[1, 2]", "a: [1]", "a: b: c", "just text"):
        response = client.post(edit(procedure), form_of(steps, do="save") | {f"steps-{place}-params-parameters": wrong})
        assert response.status_code == 422, wrong
        assert any(where.startswith("params.parameters") for where in response.context["draft"].steps[place].errors), wrong
    response = client.post(edit(procedure), form_of(steps, do="save") | {f"steps-{place}-params-parameters": "depth: 3\nfull: true\nname: x\nratio: 0.5\n"})
    assert response.status_code == 302
    assert newest(procedure).steps[place]["params"]["parameters"] == {"depth": 3, "full": True, "name": "x", "ratio": 0.5}


def test_second_of_two_people_is_told_and_loses_nothing(cast: Cast, flip: Procedure) -> None:
    based_on = number_of(flip)
    assert send(client_of(cast.admin), flip, otherwise("drain", limit_seconds=120), "save", reason="Mine first").status_code == 302
    response = send(client_of(cast.lead), flip, otherwise("drain", limit_seconds=45), "save", based_on=based_on)
    text = response.content.decode()
    assert response.status_code == 409
    assert "Somebody else wrote version" in text
    assert "Mine first" in text
    assert f"?from={based_on}&amp;to={based_on + 1}" in text
    assert 'value="45"' in text
    assert 'value="Slower drains"' in text
    assert number_of(flip) == based_on + 1
    assert f'name="based_on" value="{based_on + 1}"' in text
    assert send(client_of(cast.lead), flip, otherwise("drain", limit_seconds=45), "save", based_on=based_on + 1).status_code == 302
    assert newest(flip).steps == otherwise("drain", limit_seconds=45)


def test_preview_shows_steps_warnings_and_whose_proof_ends_and_writes_nothing(cast: Cast, world: World, flip: Procedure) -> None:
    before = number_of(flip)
    steps = [step for step in otherwise("drain", limit_seconds=90) if step["key"] != "verify"]
    response = send(client_of(cast.lead), flip, steps, "preview", preview_alias=str(world.reasoner.pk))
    words = plain(response.content.decode())
    assert response.status_code == 200
    assert "Saving ends the proof of" in words
    assert "smart-reasoner" in words
    assert "A rollback would run" in words
    assert "A drill would run" in words
    assert "one of the five mistakes" in words
    assert "A person may have it put back by:" in words
    assert "The flip takes claude-sonnet-4-6 out" in words
    assert "Gateways take the weights" in words
    assert number_of(flip) == before
    saved = client_of(cast.lead).post(edit(flip), form_of(steps, do="save", based_on=before), follow=True)
    assert "No longer proven: smart-reasoner" in saved.content.decode()


def test_preview_of_what_nobody_uses_or_nothing_changes_says_so(cast: Cast, world: World, flip: Procedure) -> None:
    words = plain(send(client_of(cast.lead), flip, WEIGHT_FLIP, "preview").content.decode())
    assert "there is nothing to save" in words
    unused = Procedure.objects.get(slug="prompt-deploy")
    words = plain(send(client_of(cast.lead), unused, newest(unused).steps[:-1], "preview").content.decode())
    assert "No alias goes back by this procedure yet." in words


@pytest.fixture
def deployed(world: World) -> Any:
    """An alias in staging that the connector `deploy` moves."""
    connection = ConnectionFactory(environment=world.staging, connector="deploy", settings={})
    policy = RoutingPolicyFactory(environment=world.staging, alias="deployed", artefact=ArtefactFactory(slug="deployed-model"), connection=connection)
    PolicyRevisionFactory(policy=policy)
    return policy


class _Bound:
    """What moves an alias, as a test plays it."""

    name = "deploy"
    target = None

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.mechanism = self

    def shares(self, candidates: Any) -> list[Any]:
        """As they are."""
        return list(candidates)

    def plan(self, *, target: Any, wanted: Any) -> Any:
        """The answer, or the error."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([Change("image of <web>", "v2", "v1")], "image of &lt;web&gt;"),
        ([], "it stands there already as it would after the rollback"),
        (TransientError("The deployer did not answer within 5 s."), "The deployer did not answer within 5 s."),
        (ValueError("Exactly one version must have the traffic, 2 have."), "Exactly one version must have the traffic"),
    ],
)
def test_preview_asks_the_real_system_and_shows_what_it_says(answer: Any, words: str, cast: Cast, deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(ProblemCode.FLAG_MOVED, "image of web", "v2", "v9", "See who deployed it.")
    monkeypatch.setattr(procedure_preview, "mechanism_of", lambda policy, timeout_seconds: _Bound(answer))
    monkeypatch.setattr(procedure_preview, "problems_of", lambda moved_by, before, wanted: [problem])
    procedure = Procedure.objects.get(slug="model-deploy")
    steps = [{**step, "params": {"limit_seconds": 99}} if step["key"] == "drain" else step for step in REDEPLOY]
    response = send(client_of(cast.lead), procedure, steps, "preview", preview_alias=str(deployed.pk))
    text = response.content.decode()
    assert response.status_code == 200
    assert words in text
    assert "See who deployed it." in text


def test_preview_with_settings_that_are_none_says_so(cast: Cast, deployed: Any) -> None:
    procedure = Procedure.objects.get(slug="model-deploy")
    response = send(client_of(cast.lead), procedure, REDEPLOY, "preview", preview_alias=str(deployed.pk))
    assert response.status_code == 200
    assert "deploy could not say" in plain(response.content.decode())


def new_values(**changes: Any) -> dict[str, Any]:
    """The form of a new procedure."""
    values = {"name": "Own flip", "slug": "own-flip", "change_type": "model", "connector": "", "artefact": "reasoner-model"}
    return values | {"start": "template:model-weight-flip", "runbook_url": "wiki.example/own", "reason": "It drains slowly"} | changes


def test_new_procedure_begins_with_a_template_or_a_copy(cast: Cast, world: World, flip: Procedure) -> None:
    client = client_of(cast.lead)
    assert "What has no written rollback yet?" in page(client, NEW)
    response = client.post(NEW, new_values())
    assert response.status_code == 302
    assert response["Location"] == "/procedures/own-flip/edit/"
    own = Procedure.objects.get(slug="own-flip")
    assert own.artefact == world.reasoner.artefact
    assert own.runbook_url == "https://wiki.example/own"
    assert own.versions.get().steps == WEIGHT_FLIP
    assert {"procedure.created", "procedure.version_appended"} <= set(AuditEvent.objects.values_list("event", flat=True))
    append_procedure_version(procedure=flip, steps=otherwise("drain", limit_seconds=5), actor=ACTOR)
    assert client.post(NEW, new_values(slug="copied", artefact="classifier", start=f"copy:{flip.slug}")).status_code == 302
    assert Procedure.objects.get(slug="copied").versions.get().steps == otherwise("drain", limit_seconds=5)
    assert "smart-reasoner" in page(client, "/procedures/own-flip/")
    assert 'href="/readiness/staging/smart-reasoner/"' not in page(client, f"{LIST}{flip.slug}/"), "its own goes before"


def test_new_procedure_that_is_there_already_is_refused_and_named(cast: Cast, world: World, flip: Procedure) -> None:
    response = client_of(cast.lead).post(NEW, new_values(artefact=""))
    assert response.status_code == 409
    assert f'href="/procedures/{flip.slug}/"' in response.content.decode()
    assert 'value="Own flip"' in response.content.decode()
    response = client_of(cast.lead).post(NEW, new_values(slug=flip.slug))
    assert response.status_code == 409


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"slug": "new"}, "slug"),
        ({"slug": "a b"}, "slug"),
        ({"slug": "x" * 51}, "slug"),
        ({"name": ""}, "name"),
        ({"name": "x" * 10_000}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"connector": "prometheus"}, "connector"),
        ({"change_type": "prompt"}, "artefact"),
        ({"artefact": "nothing"}, "artefact"),
        ({"start": "template:model-deploy"}, "start"),
        ({"start": "copy:nothing"}, "start"),
        ({"start": ""}, "start"),
        ({"connector": "deploy"}, "start"),
        ({"runbook_url": "javascript:alert(1)"}, "runbook_url"),
        ({"reason": ""}, "reason"),
    ],
)
def test_new_procedure_that_cannot_be_is_refused_at_the_field(changes: dict[str, Any], field: str, cast: Cast, world: World, flip: Procedure) -> None:
    before = Procedure.objects.count()
    response = client_of(cast.lead).post(NEW, new_values(**changes))
    assert response.status_code == 422
    assert response.context["form"].errors.get(field), response.context["form"].errors
    assert Procedure.objects.count() == before


def test_old_version_that_could_not_run_any_more_is_shown_all_the_same(cast: Cast, flip: Procedure) -> None:
    ProcedureVersionFactory(procedure=flip, steps=[{**WEIGHT_FLIP[0], "params": {"gone": 1}}, {**WEIGHT_FLIP[1], "action": "gone"}])
    words = plain(page(client_of(cast.auditor), f"{LIST}{flip.slug}/"))
    assert "There is no action" in words
    assert client_of(cast.lead).get(edit(flip)).status_code == 200
