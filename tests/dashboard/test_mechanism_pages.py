"""Pages of drills and rollbacks of aliases that no gateway takes from the hub: their words, their targets, their jobs."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.dashboard.rollback_plan import PlanPart
from rollbackhub.executions.domain.plan import build_plan
from rollbackhub.executions.enums import ExecutionKind, StepState
from rollbackhub.executions.models import Execution, StepAttempt
from rollbackhub.registry.models import Artefact, SpeedTarget, Version
from rollbackhub.routing.models import RoutingPolicy
from tests.dashboard.mechanism_world import HOURS, MOVED, MechanismWorld, make_mechanism_world, make_moved, make_rebuilding_rollback, see_job
from tests.dashboard.people import client_of, page
from tests.factories.executions import ProcedureFactory, ProcedureVersionFactory
from tests.factories.fixtures import Cast
from tests.factories.registry import ConnectionFactory, EnvironmentFactory
from tests.factories.routing import BAD, RoutingPolicyFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def moved(cast: Cast) -> MechanismWorld:
    return make_mechanism_world()


def text_of(cast: Cast, name: str, *args: Any) -> str:
    return re.sub(r"\s+", " ", unescape(page(client_of(cast.lead), reverse(name, args=args))))


def main_of(text: str) -> str:
    return re.sub(r"<pre.*?</pre>|<script.*?</script>", "", text.split("<main")[1])


# Words


@pytest.mark.parametrize("alias", MOVED)
def test_drill_start_says_what_is_true_for_what_moves_the_alias(alias: str, cast: Cast, moved: MechanismWorld) -> None:
    text = main_of(text_of(cast, "drills:start", "staging", alias))
    assert "gateway" not in text.lower()
    shares = alias == "fast-model"
    assert ("Weights in Staging" in text) is shares
    assert ("to its canary weight" in text) is shares
    assert ("What serves in Staging" in text) is not shares
    assert ("It is there already: one version serves at a time." in text) is not shares


@pytest.mark.parametrize("alias", MOVED)
def test_drill_page_speaks_of_no_gateway(alias: str, cast: Cast, moved: MechanismWorld) -> None:
    text = main_of(text_of(cast, "drills:detail", moved.drills[alias].pk))
    assert "gateway" not in text.lower()
    assert ("weights" in text.lower()) is (alias == "fast-model")


@pytest.mark.parametrize(
    ("alias", "connections"),
    [
        ("support-tone", {"mlflow": "the alias is moved back there"}),
        ("fast-model", {"haproxy": "its servers take the new weights; its own counters", "prometheus": "read for feedback and latency"}),
        ("support-agent", {"deploy": "it is told to deploy the version back"}),
        ("support-evals", {"git": "a new commit brings the content back", "deploy": "it runs the job rebaseline, which is followed to its end"}),
        ("support-articles", {"delta": "the table is restored", "deploy": "it runs the job rebuild index"}),
    ],
)
def test_plan_says_of_each_connection_that_it_uses_what_is_done_with_it(alias: str, connections: dict[str, str], moved: MechanismWorld) -> None:
    policy = moved.policies[alias]
    ConnectionFactory(environment=policy.environment, connector="prometheus")
    bad = Version.objects.get(artefact=policy.artefact, label=BAD)
    plan = build_plan(policy=policy, kind=ExecutionKind.ROLLBACK, bad_version=bad)
    found = dict(PlanPart(plan.content).connections)
    assert found.keys() == connections.keys()
    for name, words in connections.items():
        assert found[name].startswith(words), found[name]


def test_rollback_page_of_a_table_speaks_of_no_gateway_and_no_traffic(cast: Cast, moved: MechanismWorld) -> None:
    text = main_of(text_of(cast, "rollbacks:detail", moved.rollback.pk))
    assert "gateway" not in text.lower()
    assert "traffic" not in text.lower()


def test_plan_of_a_rollback_names_gateways_only_where_they_take_it(cast: Cast, moved: MechanismWorld) -> None:
    place = EnvironmentFactory(slug="production")
    table = RoutingPolicy.objects.get(environment=place, alias="support-articles")
    weights = RoutingPolicyFactory(environment=place, alias="smart-reasoner")
    ProcedureVersionFactory(procedure=ProcedureFactory(change_type=weights.artefact.change_type))

    def plan_of(policy: RoutingPolicy) -> str:
        address = f"{reverse('rollbacks:start', args=['production'])}?alias={policy.alias}&bad_version.{policy.alias}={BAD}"
        return main_of(page(client_of(cast.lead), address)).split("Connections that move")[1].split("</section>")[0]

    assert "<dt>Gateways</dt>" not in plan_of(table)
    assert "<dt>Gateways</dt>" in plan_of(weights)


def test_offer_to_put_a_table_back_names_the_version_and_no_weights(cast: Cast) -> None:
    rollback = make_rebuilding_rollback(make_moved(EnvironmentFactory(slug="production"), "support-articles"), state="needs_human")
    text = main_of(text_of(cast, "rollbacks:detail", rollback.pk))
    assert "Put it back as before?" in text
    assert f"support-articles is brought to {BAD} again, as before. That is the bad version." in text
    assert "The weights of" not in text
    assert "Rebuild index by deploy: Failed after 29 s: The disk is full." in text


# Targets


def figure(text: str) -> Any:
    found = re.search(r'<script id="figure-durations" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found.group(1))


def lines(text: str) -> list[str]:
    return [annotation["text"] for annotation in figure(text)["layout"].get("annotations", [])]


def rows(text: str) -> dict[str, tuple[str, str]]:
    """Target and whose it is, by alias."""
    table = text.split("The same as a table")[1].split("</table>")[0]
    cells = [[re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)] for row in table.split("<tr>")[2:]]
    return {row[1].split(" in ")[0]: (row[4], row[5]) for row in cells}


def test_five_types_stand_against_five_targets_the_data_sets_is_its_own(cast: Cast, moved: MechanismWorld) -> None:
    text = page(client_of(cast.auditor), reverse("drills:list"))
    assert lines(text) == [
        "target 5 min (prompt)",
        "target 10 min (model)",
        "target 15 min (eval set)",
        "target 30 min (agent code)",
        "target 4 h (Support articles)",
    ]
    assert {trace["name"] for trace in figure(text)["data"]} == {"Prompt", "Model", "Agent code", "Eval set", "Data set"}
    assert rows(text) == {
        "support-tone": ("5 min", "Prompt"),
        "fast-model": ("10 min", "Model"),
        "support-agent": ("30 min", "Agent code"),
        "support-evals": ("15 min", "Eval set"),
        "support-articles": ("4 h", "Support articles"),
    }


def test_target_that_was_changed_since_stands_beside_the_present_one(cast: Cast, moved: MechanismWorld) -> None:
    SpeedTarget.objects.filter(change_type="prompt").update(seconds=120)
    Artefact.objects.filter(slug="support-articles").update(target_seconds=None)
    text = page(client_of(cast.auditor), reverse("drills:list") + "?alias=support-")
    assert lines(text) == [
        "target 2 min (prompt)",
        "target 5 min (formerly prompt)",
        "target 15 min (eval set)",
        "target 30 min (agent code)",
        "target 4 h (formerly data set)",
    ]
    assert rows(text)["support-tone"] == ("5 min", "Formerly prompt")


def test_run_without_any_target_has_no_line_and_a_dash(cast: Cast, moved: MechanismWorld) -> None:
    Artefact.objects.filter(slug="support-articles").update(target_seconds=None)
    Execution.objects.filter(target_seconds=HOURS).update(target_seconds=None)
    text = page(client_of(cast.auditor), reverse("drills:list") + "?alias=articles")
    assert lines(text) == []
    assert rows(text) == {"support-articles": ("–", "–")}


# Jobs


@pytest.fixture(params=["drill", "rollback"])
def job(request: pytest.FixtureRequest, moved: MechanismWorld) -> tuple[str, str, StepAttempt]:
    """The address of the page, that of its live part, and the attempt whose job runs."""
    if request.param == "drill":
        execution, name, key = moved.rebuilding, "drills", moved.rebuilding.pk
    else:
        part = moved.rollback.parts.get()
        assert part.execution is not None
        execution, name, key = part.execution, "rollbacks", moved.rollback.pk
    return reverse(f"{name}:detail", args=[key]), reverse(f"{name}:live", args=[key]), execution.attempts.get(action="run_job")


def polled(text: str) -> str:
    found = re.search(r'hx-get="([^"]+/live/[^"]+)"', text)
    assert found
    return unescape(found.group(1))


def words_of_job(text: str) -> str:
    found = re.search(r'<div class="notes job">(.*?)</div>\s*</li>|<div class="notes job">(.*?)</div>\s*<div class="notes">', text, re.DOTALL)
    assert found, "no job on the page"
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", found.group(1) or found.group(2)))).strip()


def test_job_that_runs_shows_its_share_its_words_and_since_when(cast: Cast, job: tuple[str, str, StepAttempt]) -> None:
    text = page(client_of(cast.auditor), job[0])
    assert '<progress max="100" value="40" aria-label="Share done of the job Rebuild index">' in text
    words = words_of_job(text)
    assert "Rebuild index by deploy: 40 % done: 4 of 10 parts. Since" in words


def test_page_is_told_when_the_job_has_moved_on_and_only_then(cast: Cast, job: tuple[str, str, StepAttempt]) -> None:
    client = client_of(cast.auditor)
    address = polled(page(client, job[0]))
    assert client.get(address).status_code == 204
    see_job(job[2], progress=60.0, message="6 of 10 parts", after=20)
    fresh = client.get(address)
    assert fresh.status_code == 200
    assert 'value="60"' in fresh.content.decode()
    assert client.get(polled(fresh.content.decode())).status_code == 204


def test_job_that_cannot_be_asked_keeps_what_was_known_and_says_so(cast: Cast, job: tuple[str, str, StepAttempt]) -> None:
    see_job(job[2], error="unreachable: http://127.0.0.1:9 did not answer.", after=21)
    words = words_of_job(page(client_of(cast.auditor), job[0]))
    assert "40 % done: 4 of 10 parts." in words
    assert words.endswith("It could not be asked lately: http://127.0.0.1:9 did not answer.")


@pytest.mark.parametrize(
    ("state", "ends", "words"),
    [
        ("succeeded", StepState.DONE, "Rebuild index by deploy: Ended well after 31 s."),
        ("failed", StepState.FAILED, "Rebuild index by deploy: Failed after 31 s: the table is locked."),
        ("running", StepState.FAILED, "Rebuild index by deploy: Had not ended when this step did (55 % done: the table is locked)."),
    ],
)
def test_job_that_is_over_shows_its_duration_and_outcome(state: str, ends: str, words: str, cast: Cast, job: tuple[str, str, StepAttempt]) -> None:
    see_job(job[2], state=state, progress=55.0, message="the table is locked.", after=32)
    StepAttempt.objects.filter(pk=job[2].pk).update(state=ends, message="That is that.")
    text = page(client_of(cast.auditor), job[0])
    assert words_of_job(text) == f"{words} That is that."
    assert "<progress" not in text


def test_job_that_was_started_anew_is_counted_from_its_own_beginning(cast: Cast, job: tuple[str, str, StepAttempt]) -> None:
    see_job(job[2], job_id="job-2", state="succeeded", progress=100.0, after=40)
    see_job(job[2], job_id="job-2", state="succeeded", progress=100.0, message="done", after=43)
    assert words_of_job(page(client_of(cast.auditor), job[0])) == "Rebuild index by deploy: Ended well after 3.0 s."


def test_pages_without_a_job_ask_for_none(cast: Cast, moved: MechanismWorld) -> None:
    client = client_of(cast.auditor)
    address = reverse("drills:detail", args=[moved.drills["support-agent"].pk])
    page(client, address)
    with CaptureQueriesContext(connection) as queries:
        page(client, address)
    assert not [query for query in queries if "jsonb" in query["sql"] or "#>>" in query["sql"]]


def test_live_part_of_a_job_is_not_for_strangers(cast: Cast, job: tuple[str, str, StepAttempt]) -> None:
    page(client_of(cast.stranger), job[1], status=403)


def test_step_that_waits_says_for_what_and_the_page_that_shows_it_asks_for_it(cast: Cast, moved: MechanismWorld) -> None:
    attempt = StepAttempt.objects.get(execution=moved.rebuilding, state=StepState.STARTED)
    address = reverse("drills:live", args=[moved.rebuilding.pk])
    digest = re.search(r"/live/\?seen=([0-9a-f]{16})", page(client_of(cast.lead), reverse("drills:detail", args=[moved.rebuilding.pk])))
    assert digest
    seen = {"seen": digest.group(1), "needs": "0"}
    assert client_of(cast.lead).get(address, seen).status_code == 204
    StepAttempt.objects.filter(pk=attempt.pk).update(message="Its clients keep what they have read for up to 60 s: waiting 58 s for that to be over.")
    answer = client_of(cast.lead).get(address, seen)
    assert answer.status_code == 200
    assert "waiting 58 s for that to be over" in answer.content.decode()
