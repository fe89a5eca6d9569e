"""The pages of releases: the list, planning one, the page of one with its gate, and the acts on it."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.dashboard.release_page import CONDITIONS
from rollbackhub.executions.enums import ExecutionKind, ExecutionState
from rollbackhub.executions.models import Execution
from rollbackhub.releases.enums import ReleaseState
from rollbackhub.releases.models import Release
from rollbackhub.routing.models import Gateway, RoutingPolicy
from tests.common.servers import answers, http, tcp_server
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World
from tests.factories.executions import FindingFactory
from tests.factories.fixtures import Cast
from tests.factories.registry import ConnectionFactory, VersionFactory
from tests.factories.releases import ReleaseFactory, ReleaseRehearsalFactory
from tests.factories.routing import GOOD, PolicyRevisionFactory, RoutingPolicyFactory
from tests.releases.gates import open_gate
from tests.releases.test_reach import connect, members

NEW = "claude-sonnet-5"
REASON = "The vendor turns the old one off tonight."


@pytest.fixture
def reasoner(world: World) -> RoutingPolicy:
    """smart-reasoner in production, whose gateways follow."""
    Gateway.objects.update(applied_number=10**6)
    return RoutingPolicy.objects.select_related("environment", "artefact").get(environment=world.production, alias="smart-reasoner")


@pytest.fixture
def planned(reasoner: RoutingPolicy) -> Release:
    """A release whose gate is closed: nothing was rehearsed, and no preflight has looked."""
    release: Release = ReleaseFactory(policy=reasoner, to_version=VersionFactory(artefact=reasoner.artefact, label=NEW))
    return release


def _go(client: Client, release: Release, act: str, *, step: int | str | None = None, **values: Any) -> Any:
    body = {"expected_step": release.next_step if step is None else step, **values}
    return client.post(reverse(f"releases:{act}", args=[release.pk]), body)


def _detail(client: Client, release: Release) -> str:
    return unescape(page(client, reverse("releases:detail", args=[release.pk])))


def _buttons(text: str) -> set[str]:
    """The acts that the page offers: forms that are sent, and dialogs that are opened (each of which is there)."""
    opened, dialogs = set(re.findall(r'data-open-dialog="([\w-]+)-dialog"', text)), set(re.findall(r'<dialog class="confirm" id="([\w-]+)-dialog"', text))
    assert opened == dialogs, "every button opens a dialog"
    posted = set(re.findall(r'action="/releases/\d+/(promote|rehearse)/"', text))
    return opened | posted


def _primary(text: str) -> list[str]:
    main = text.split("<main")[1]
    return [re.sub(r"<[^>]+>", "", found).strip() for found in re.findall(r'<(?:button|a) class="btn btn-primary"[^>]*>(.*?)</(?:button|a)>', main, re.DOTALL)]


def _fresh(release: Release) -> Release:
    return Release.objects.get(pk=release.pk)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", {"planned", "live", "bypassed"}),
        ("?alias=smart", {"planned"}),
        ("?state=live", {"live"}),
        ("?bypassed=1", {"bypassed"}),
        ("?bypassed=1&state=live", set()),
        ("?environment=production&alias=other", {"live", "bypassed"}),
        ("?environment=staging&state=nonsense", {"planned", "live", "bypassed"}),
    ],
)
def test_list_filter_in_the_address_lists_what_it_says(query: str, names: set[str], cast: Cast, planned: Release) -> None:
    made: dict[str, Release] = {
        "planned": planned,
        "live": ReleaseFactory(policy__alias="other-1", state=ReleaseState.LIVE, live_at=now()),
        "bypassed": ReleaseFactory(policy__alias="other-2", bypassed_at=now(), bypassed_by=cast.lead, bypass_reason=REASON),
    }
    text = page(client_of(cast.auditor), reverse("releases:list") + query)
    assert {int(found) for found in re.findall(r'href="/releases/(\d+)/"', text)} == {made[name].pk for name in names}
    assert (f"by Lee Lead: {REASON}" in text) == ("bypassed" in names), "a bypass is said in words"


@pytest.mark.django_db
def test_list_without_any_and_with_none_that_match_says_so(cast: Cast) -> None:
    assert "No release yet" in page(client_of(cast.admin), reverse("releases:list"))
    assert "No release matches" in page(client_of(cast.admin), reverse("releases:list") + "?alias=zzz")


def _queries(client: Client, address: str) -> int:
    page(client, address)
    with CaptureQueriesContext(connection) as captured:
        page(client, address)
    return len(captured)


@pytest.mark.django_db
def test_list_number_of_queries_does_not_grow(cast: Cast, planned: Release) -> None:
    client = client_of(cast.auditor)
    few = _queries(client, reverse("releases:list"))
    for number in range(8):
        ReleaseFactory(policy__alias=f"other-{number}")
    assert few == _queries(client, reverse("releases:list")) <= 10


@pytest.mark.django_db
def test_detail_and_live_number_of_queries_does_not_grow(cast: Cast, planned: Release) -> None:
    client = client_of(cast.lead)
    addresses = [reverse("releases:detail", args=[planned.pk]), reverse("releases:live", args=[planned.pk])]
    few = [_queries(client, address) for address in addresses]
    for _ in range(6):
        ReleaseRehearsalFactory(release=planned, execution__policy=RoutingPolicyFactory(), execution__failed=True)
    assert few == [_queries(client, address) for address in addresses]
    assert few[0] <= 52, "five of them: what a rollback would go back to; three: whether it can be rehearsed"
    assert few[1] <= 47


@pytest.mark.django_db
def test_detail_closed_gate_names_each_condition_its_evidence_and_the_one_next_act(cast: Cast, planned: Release) -> None:
    text = _detail(client_of(cast.on_call), planned)
    assert f"Not begun: 2 of 5 conditions of the gate do not hold, so {NEW} may get no traffic yet." in text
    for title in CONDITIONS.values():
        assert title in text
    gate = text.split('id="gate-title"')[1].split("</section>")[0]
    assert (gate.count("Holds</span>"), gate.count("Does not hold</span>")) == (3, 2)
    assert "Rehearse it in staging." in gate
    assert 'href="/readiness/production/smart-reasoner/#findings"' in gate
    assert gate.count("<summary>Evidence") == 5
    assert _primary(text) == ["Rehearse in staging"]
    assert _buttons(text) == {"rehearse", "abandon"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("who", "offered"),
    [
        ("on_call", {"rehearse", "abandon"}),
        ("lead", {"rehearse", "abandon", "bypass"}),
        ("admin", {"rehearse", "abandon"}),
        ("leadership", {"bypass"}),
        ("auditor", set()),
    ],
)
def test_detail_offers_to_each_role_what_it_may(who: str, offered: set[str], cast: Cast, planned: Release) -> None:
    assert _buttons(_detail(client_of(getattr(cast, who)), planned)) == offered


@pytest.mark.django_db
def test_rehearse_starts_a_rehearsal_whose_page_says_what_it_is(cast: Cast, planned: Release) -> None:
    client = client_of(cast.on_call)
    response = _go(client, planned, "rehearse")
    execution = Execution.objects.get(kind=ExecutionKind.REHEARSAL)
    assert response["Location"] == reverse("drills:detail", args=[execution.pk])
    text = page(client, response["Location"])
    assert "Rehearsal: did the rollback of" in text
    assert "Stop the rehearsal" in text
    assert f'href="/releases/{planned.pk}/">release of {NEW}</a>' in text
    assert _primary(_detail(client, planned)) == ["Watch the rehearsal"]
    again = _go(client, planned, "rehearse")
    assert again["Location"] == response["Location"], "taken to the one that runs"
    listed = page(client, reverse("drills:list") + "?kind=rehearsal")
    assert str(execution.pk) in listed
    assert "Rehearsal</span>" in listed
    assert str(execution.pk) not in page(client, reverse("drills:list") + "?kind=drill").split('aria-label="Drills"')[1]


@pytest.mark.django_db
def test_rehearsal_is_watched_stopped_retried_and_closed_on_its_page(cast: Cast, planned: Release) -> None:
    client = client_of(cast.on_call)
    address = _go(client, planned, "rehearse")["Location"]
    execution_id = address.split("/")[2]
    live = client.get(address + "live/")
    assert live.status_code == 200
    seen = re.search(r"seen=(\w+)", live.content.decode())
    assert seen is not None
    assert client.get(f"{address}live/?seen={seen[1]}").status_code == 204
    Execution.objects.filter(pk=execution_id).update(state=ExecutionState.NEEDS_HUMAN)
    assert "The rehearsal goes on" in client.post(address + "retry/", follow=True).content.decode()
    Execution.objects.filter(pk=execution_id).update(state=ExecutionState.NEEDS_HUMAN)
    assert "The rehearsal is closed" in client.post(address + "close/", {"reason": "staging is down"}, follow=True).content.decode()
    another = _go(client, planned, "rehearse")["Location"]
    assert "The rehearsal is being stopped" in client.post(another + "stop/", {"reason": "wrong day"}, follow=True).content.decode()
    ended = page(client, another)
    assert f'href="/releases/{planned.pk}/"' in ended
    assert "To its release" in ended


@pytest.mark.django_db
def test_promote_through_the_open_gate_takes_the_step_and_says_so(cast: Cast, planned: Release) -> None:
    open_gate(planned, account=cast.on_call)
    client = client_of(cast.on_call)
    text = _detail(client, planned)
    assert f"Not begun: everything that the gate asks for holds, so {NEW} may get its first 1 %." in text
    assert _primary(text) == ["Promote to 1 %"]
    text = unescape(client.post(reverse("releases:promote", args=[planned.pk]), {"expected_step": "0"}, follow=True).content.decode())
    assert "Step 1 is taken: 1 %." in text
    assert f"{NEW} has 1 % of the traffic: 1 of 5 steps is taken." in text
    assert "As it was when the first weight was given" in text
    step = _fresh(planned).taken_steps.get()
    assert f'by Olga Call, <a href="/routing/production/aliases/smart-reasoner/#revision-{step.revision.number}">' in text
    assert _primary(text) == ["Promote to 5 %"]
    assert f'href="/rollbacks/start/production/?alias=smart-reasoner&bad_version.smart-reasoner={NEW}"' in text
    assert "abandon" not in _buttons(text), "it has traffic: it is rolled back, not abandoned"


@pytest.mark.django_db
def test_promote_from_a_stale_page_is_refused_in_words(cast: Cast, planned: Release) -> None:
    open_gate(planned, account=cast.on_call)
    client = client_of(cast.on_call)
    _go(client, planned, "promote", step=0)
    response = _go(client, planned, "promote", step=0)
    assert response.status_code == 409
    text = unescape(response.content.decode())
    assert "Step 1 of this release was taken already, by somebody else or in another window." in text
    assert f'href="/releases/{planned.pk}/"' in text
    assert _fresh(planned).next_step == 1


@pytest.mark.django_db
@pytest.mark.parametrize("act", ["rehearse", "bypass", "abandon"])
def test_act_from_a_stale_page_is_refused_in_words(act: str, cast: Cast, planned: Release) -> None:
    response = _go(client_of(cast.lead), planned, act, step=3, reason=REASON)
    assert response.status_code == 409
    assert "has taken a step since you looked" in response.content.decode()
    assert (_fresh(planned).state, _fresh(planned).bypassed_at) == (ReleaseState.PLANNED, None)
    assert not Execution.objects.filter(kind=ExecutionKind.REHEARSAL).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("act", ["promote", "rehearse", "bypass", "abandon"])
@pytest.mark.parametrize("step", ["", "x", "-1", "٣", "9999"])
def test_act_without_the_step_that_was_looked_at_is_refused(step: str, act: str, cast: Cast, planned: Release) -> None:
    response = _go(client_of(cast.lead), planned, act, step=step, reason=REASON)
    assert response.status_code == 422
    assert "does not say which step you looked at" in response.content.decode()


@pytest.mark.django_db
def test_promote_through_the_closed_gate_is_refused_with_what_does_not_hold(cast: Cast, planned: Release) -> None:
    response = _go(client_of(cast.on_call), planned, "promote")
    assert response.status_code == 409
    assert "The gate is closed: The preflight has not looked at it yet." in response.content.decode()
    assert _fresh(planned).state == ReleaseState.PLANNED


@pytest.mark.django_db
def test_bypass_by_a_lead_opens_the_gate_and_is_seen_from_then_on(cast: Cast, planned: Release) -> None:
    lead = client_of(cast.lead)
    assert "may then get traffic although this does not hold" in _detail(lead, planned)
    text = unescape(lead.post(reverse("releases:bypass", args=[planned.pk]), {"expected_step": "0", "reason": REASON}, follow=True).content.decode())
    assert f"but Lee Lead let it pass, so {NEW} may get its first 1 %." in text
    assert _primary(text) == ["Promote to 1 %"]
    assert "bypass" not in _buttons(text)
    _go(client_of(cast.on_call), planned, "promote")
    later = _detail(client_of(cast.auditor), planned)
    assert re.search(r"The gate was bypassed</strong>\s<time[^>]*>.{,200}</time>\s+by Lee Lead: " + re.escape(REASON), later, re.DOTALL)
    assert REASON in later
    bypassed = later.split('id="bypass-title"')[1].split("</section>")[0]
    assert bypassed.count("Does not hold</span>") == 2


@pytest.mark.django_db
@pytest.mark.parametrize(("act", "reason"), [("bypass", ""), ("bypass", "too short"), ("abandon", ""), ("abandon", "x")])
def test_act_without_a_reason_is_refused(act: str, reason: str, cast: Cast, planned: Release) -> None:
    assert _go(client_of(cast.lead), planned, act, reason=reason).status_code == 422
    assert (_fresh(planned).state, _fresh(planned).bypassed_at) == (ReleaseState.PLANNED, None)


@pytest.mark.django_db
@pytest.mark.parametrize(("act", "least"), [("bypass", 10), ("abandon", 3)])
def test_reason_that_is_too_short_is_kept_in_the_dialog_which_says_so(act: str, least: int, cast: Cast, planned: Release) -> None:
    client = client_of(cast.lead)
    assert f'name="reason" minlength="{least}"' in _detail(client, planned).split(f'id="{act}-dialog"')[1].split("</dialog>")[0]
    response = _go(client, planned, act, reason="x<")
    assert response.status_code == 422
    text = response.content.decode()
    opened = re.findall(r'<dialog class="confirm" id="([\w-]+)"[^>]* open>', text)
    assert opened == [f"{act}-dialog"]
    dialog = text.split(f'id="{act}-dialog"')[1].split("</dialog>")[0]
    assert 'value="x&lt;"' in dialog
    assert f"Say why, in {least} to 1000 characters" in dialog
    assert (_fresh(planned).state, _fresh(planned).bypassed_at) == (ReleaseState.PLANNED, None)
    assert " open>" not in _detail(client, planned)


@pytest.mark.django_db
def test_reason_that_is_too_short_for_a_release_that_has_ended_is_an_error_page(cast: Cast, planned: Release) -> None:
    Release.objects.filter(pk=planned.pk).update(state=ReleaseState.ABANDONED, ended_at=now())
    response = _go(client_of(cast.lead), planned, "bypass", reason="x")
    assert response.status_code == 422
    assert "Say why, in 10 to 1000 characters" in response.content.decode()


@pytest.mark.django_db
def test_rehearsal_is_offered_after_a_bypass_too_and_what_it_caught_is_said_in_words(cast: Cast, planned: Release) -> None:
    lead = client_of(cast.lead)
    _go(lead, planned, "bypass", reason=REASON)
    text = _detail(lead, planned)
    assert _buttons(text) == {"promote", "rehearse", "abandon"}
    assert _primary(text) == ["Promote to 1 %"], "one next act"
    address = _go(lead, planned, "rehearse")["Location"]
    assert f'href="{address}"' in _detail(lead, planned).split("Watch the rehearsal")[0].split("<section")[1]
    execution = Execution.objects.get(kind=ExecutionKind.REHEARSAL)
    Execution.objects.filter(pk=execution.pk).update(state=ExecutionState.FINISHED, verdict="failed", finished_at=now())
    FindingFactory(execution=execution, subject="gateway-1", expected="what the hub says", found="routes of its own.")
    text = _detail(lead, planned)
    assert "Configuration mismatch: gateway-1: expected what the hub says, found routes of its own." in text
    assert f'href="{address}"' in text.split('id="gate-title"')[1].split("</section>")[0]
    assert _buttons(text) == {"promote", "rehearse", "abandon"}


@pytest.mark.django_db
def test_list_says_which_filters_there_are_not(cast: Cast, planned: Release) -> None:
    client = client_of(cast.auditor)
    text = unescape(page(client, reverse("releases:list") + "?state=nonsense&environment=moon&alias=smart"))
    assert "The address filters by what there is not (state=nonsense, environment=moon)." in text
    assert f'href="/releases/{planned.pk}/"' in text
    assert "filters by what there is not" not in page(client, reverse("releases:list") + "?state=planned")


@pytest.mark.django_db
def test_abandon_ends_it_and_a_new_one_can_be_planned(cast: Cast, planned: Release) -> None:
    client = client_of(cast.on_call)
    _go(client, planned, "abandon", reason="The eval found a regression.")
    text = _detail(client, planned)
    assert f"It was abandoned: {NEW} got no traffic by it." in text
    assert "The eval found a regression." in text
    assert _buttons(text) == set()
    assert "hx-get" not in text.split('id="live"')[1].split(">")[0]
    assert "Plan the release" in page(client, reverse("releases:start", args=["production", "smart-reasoner"]))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("state", "values", "sentence"),
    [
        (ReleaseState.LIVE, {"live_at": now()}, f"Every step was taken; {NEW} has 0 % of the traffic now."),
        (ReleaseState.SUPERSEDED, {"live_at": now()}, "a later release has taken its place"),
        (ReleaseState.ROLLED_BACK, {"end_reason": "Rollback 1a2b took it out."}, f"It was rolled back to {GOOD}."),
        (ReleaseState.ROLLING_OUT, {"started_at": now(), "next_step": 2}, f"{NEW} has 0 % of the traffic: 2 of 5 steps are taken."),
    ],
)
def test_detail_answers_in_words_in_every_state(state: str, values: dict[str, Any], sentence: str, cast: Cast, planned: Release) -> None:
    Release.objects.filter(pk=planned.pk).update(state=state, **values)
    text = _detail(client_of(cast.auditor), planned)
    assert sentence in text
    assert text.count("<h1") == 1


@pytest.mark.django_db
def test_detail_says_when_somebody_changed_the_weights_since_the_last_step(cast: Cast, planned: Release, reasoner: RoutingPolicy) -> None:
    open_gate(planned, account=cast.on_call)
    client = client_of(cast.on_call)
    _go(client, planned, "promote")
    PolicyRevisionFactory(policy=RoutingPolicy.objects.get(pk=reasoner.pk), weights={NEW: 40, GOOD: 60})
    assert f"{NEW} has 40 % of the traffic: 1 of 5 steps is taken. The last step gave it 1 %: somebody changed the weights since." in _detail(client, planned)


@pytest.mark.django_db
def test_live_is_silent_until_something_changes_and_reloads_when_the_acts_do(cast: Cast, planned: Release) -> None:
    client = client_of(cast.on_call)
    address = re.search(r'hx-get="(/releases/\d+/live/\?[^"]+)"', _detail(client, planned))
    assert address is not None
    assert client.get(address[1]).status_code == 204
    ReleaseRehearsalFactory(release=planned, execution__policy=RoutingPolicyFactory(), execution__failed=True)
    quiet = client.get(address[1], headers={"HX-Request": "true"})
    assert (quiet.status_code, quiet.headers.get("HX-Refresh")) == (200, None)
    assert 'hx-swap-oob="innerHTML:#said"' in quiet.content.decode()
    open_gate(planned, account=cast.on_call)
    loud = client.get(address[1], headers={"HX-Request": "true"})
    assert loud.headers["HX-Refresh"] == "true"


@pytest.mark.django_db
def test_start_shows_the_first_step_and_the_gate_and_plans_it(cast: Cast, reasoner: RoutingPolicy) -> None:
    VersionFactory(artefact=reasoner.artefact, label=NEW)
    client = client_of(cast.on_call)
    address = reverse("releases:start", args=["production", "smart-reasoner"])
    text = unescape(page(client, address + f"?to={NEW}"))
    assert 'value="1, 5, 25, 50, 100"' in text
    assert f"{NEW} gets 1 %" in text
    assert f"<ins>        - id: anthropic:{NEW}:ap-south-1" in text.replace("&#x27;", "'") or f"- id: anthropic:{NEW}:ap-south-1</ins>" in text
    assert "What the gate will ask before the first 1 %" in text
    shown = unescape(client.post(address, {"to_version": NEW, "steps": "10, 100", "preview": "1"}).content.decode())
    assert f"{NEW} gets 10 %" in shown
    assert not Release.objects.exists(), "looking plans nothing"
    body = {"to_version": NEW, "steps": "10 %; 100", "note": "Friday", "idempotency_key": "page-1"}
    responses = [client.post(address, body) for _ in range(2)]
    release = Release.objects.get()
    assert [response["Location"] for response in responses] == [reverse("releases:detail", args=[release.pk])] * 2, "a double click plans one"
    assert (release.to_version.label, release.from_version.label, release.steps, release.note) == (NEW, GOOD, [10, 100], "Friday")
    assert f"A release to {NEW} is open already: planned." in unescape(page(client, address))
    held = client.post(address, {**body, "idempotency_key": "page-2"})
    assert held["Location"] == f"/releases/{release.pk}/"


@pytest.mark.django_db
@pytest.mark.parametrize("preview", [{}, {"preview": "1"}])
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": "five, 100"}, "Write whole numbers with commas between them"),
        ({"steps": "5, 50"}, "The last step is 100 %."),
        ({"steps": "50, 5, 100"}, "Each step is larger than the one before."),
        ({"to_version": "nothing"}, "Select a valid choice"),
        ({"to_version": GOOD}, "Select a valid choice"),
        ({"candidate_id": f"anthropic:{GOOD}:ap-south-1"}, "Name another candidate."),
        ({"candidate_id": "two words"}, "A candidate's id has no spaces"),
        ({"candidate_id": "turned\u202e"}, "holds a character that cannot be shown"),
        ({"candidate_id": "x" * 161}, "at most 160 characters"),
    ],
)
def test_start_what_cannot_be_is_said_at_its_field(
    changes: dict[str, str], sentence: str, preview: dict[str, str], cast: Cast, reasoner: RoutingPolicy
) -> None:
    VersionFactory(artefact=reasoner.artefact, label=NEW)
    response = client_of(cast.on_call).post(
        reverse("releases:start", args=["production", "smart-reasoner"]), {"to_version": NEW, "steps": "5, 100", **changes, **preview}
    )
    assert response.status_code == 422
    assert sentence in unescape(response.content.decode()).split('class="field-error">', 1)[1]
    assert not Release.objects.exists()


@pytest.mark.django_db
def test_start_whose_own_candidate_cannot_be_leaves_the_form_to_name_another(cast: Cast, reasoner: RoutingPolicy) -> None:
    VersionFactory(artefact=reasoner.artefact, label=NEW)
    settings = {"sockets": {"lb": "unix:/run/haproxy.sock"}}
    reasoner.connection = ConnectionFactory(environment=reasoner.environment, connector="haproxy", settings=settings)
    reasoner.target = {"backend": "models", "servers": {"blue": ["old1"], "green": ["new1"]}}
    reasoner.save()
    client = client_of(cast.on_call)
    address = reverse("releases:start", args=["production", "smart-reasoner"])
    text = unescape(page(client, address))
    assert "it has those of blue, green. Name one of these." in text
    assert "Plan the release" in text
    response = client.post(address, {"to_version": NEW, "steps": "5, 100", "candidate_id": "green"})
    assert response["Location"] == reverse("releases:detail", args=[Release.objects.get().pk])


@pytest.mark.django_db
def test_start_where_none_can_be_says_why(cast: Cast, world: World, reasoner: RoutingPolicy) -> None:
    client = client_of(cast.on_call)
    assert "Releases are for production" in page(client, reverse("releases:start", args=["staging", "smart-reasoner"]))
    assert "There is no version to release." in page(client, reverse("releases:start", args=["production", "smart-reasoner"]))
    page(client, reverse("releases:start", args=["production", "nothing"]), status=404)


@pytest.mark.django_db
def test_alias_page_offers_a_release_in_production_to_those_who_may(cast: Cast, world: World) -> None:
    offer = 'href="/releases/start/production/smart-reasoner/"'
    assert offer in page(client_of(cast.on_call), reverse("routing:detail", args=["production", "smart-reasoner"]))
    assert offer not in page(client_of(cast.auditor), reverse("routing:detail", args=["production", "smart-reasoner"]))
    assert "/releases/start/" not in page(client_of(cast.on_call), reverse("routing:detail", args=["staging", "smart-reasoner"]))


@pytest.mark.django_db
def test_pages_show_what_people_wrote_as_text(cast: Cast, reasoner: RoutingPolicy) -> None:
    evil = "<script>alert(1)</script>"
    release = ReleaseFactory(
        policy=reasoner,
        to_version=VersionFactory(artefact=reasoner.artefact, label=evil),
        candidate_id=evil,
        note=evil,
        created_by_label=evil,
        bypassed_at=now(),
        bypassed_by=cast.lead,
        bypass_reason=evil,
        bypassed_conditions=[{"code": evil, "holds": False, "sentence": evil, "evidence": {"x": evil}, "remedy": evil, "url": "/"}],
    )
    client = client_of(cast.lead)
    for address in (reverse("releases:list"), reverse("releases:detail", args=[release.pk]), reverse("releases:start", args=["production", "smart-reasoner"])):
        text = page(client, address)
        assert evil not in text, address
        assert "&lt;script&gt;" in text, address


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["detail", "live"])
def test_release_that_is_not_there_is_a_404(name: str, cast: Cast) -> None:
    page(client_of(cast.auditor), reverse(f"releases:{name}", args=[99]), status=404)


@pytest.mark.django_db
def test_acts_are_on_the_record_with_the_person(cast: Cast, planned: Release) -> None:
    _go(client_of(cast.lead), planned, "bypass", reason=REASON)
    _go(client_of(cast.on_call), planned, "promote")
    events = AuditEvent.objects.filter(subject_type="release", subject_id=str(planned.pk)).order_by("id").values_list("event", "actor_label")
    assert list(events) == [("release.gate_bypassed", "Lee Lead"), ("release.step_taken", "Olga Call")]
    assert "Release gate bypassed" in _detail(client_of(cast.auditor), planned)


@pytest.mark.django_db
def test_page_says_beforehand_that_staging_gateways_have_no_cluster_for_it(cast: Cast, reasoner: RoutingPolicy, planned: Release, settings: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"outbound_allowed_hosts": ["127.0.0.1"]})
    client = client_of(cast.on_call)
    staging = RoutingPolicy.objects.filter(environment__kind="staging", alias=reasoner.alias, artefact=reasoner.artefact).first()
    staging = staging or RoutingPolicyFactory(alias=reasoner.alias, artefact=reasoner.artefact, revision={GOOD: 100})
    with tcp_server(answers(http("200 OK", members("something:else:x")))) as server:
        connect(staging, server.url)
        text = _detail(client, planned)
        refused = unescape(_go(client, planned, "rehearse").content.decode())
    said = f"{staging.environment.slug}-1 has no cluster {planned.candidate_id} and would refuse the routes of every alias in {staging.environment.slug}."
    assert f"<strong>It cannot be rehearsed now.</strong> {said}" in text
    assert 'type="submit" disabled aria-describedby="no-rehearsal"' in text
    assert said in refused, "the same words as the refusal"


@pytest.mark.django_db
def test_gateways_that_have_the_cluster_or_do_not_answer_leave_the_rehearsal_open(cast: Cast, reasoner: RoutingPolicy, planned: Release) -> None:
    staging = RoutingPolicy.objects.filter(environment__kind="staging", alias=reasoner.alias, artefact=reasoner.artefact).first()
    staging = staging or RoutingPolicyFactory(alias=reasoner.alias, artefact=reasoner.artefact, revision={GOOD: 100})
    with tcp_server(answers(http("200 OK", members(planned.candidate_id)))) as server:
        connect(staging, server.url)
        assert "It cannot be rehearsed now" not in _detail(client_of(cast.on_call), planned)
    cache.clear()
    assert "It cannot be rehearsed now" not in _detail(client_of(cast.on_call), planned), "that it does not answer is the preflight's matter"


@pytest.mark.django_db
def test_alias_that_stands_in_no_staging_is_said_beforehand(cast: Cast, world: World) -> None:
    policy = RoutingPolicyFactory(environment=world.production, alias="lonely", revision={GOOD: 100})
    text = _detail(client_of(cast.on_call), ReleaseFactory(policy=policy, to_version=VersionFactory(artefact=policy.artefact, label=NEW)))
    assert "stands in no staging environment, so it cannot be rehearsed." in text
    assert 'type="submit" disabled' in text
