"""The bad canary degrades feedback: the real Alertmanager behind the real Prometheus tells the real hub, and one confirmation rolls back."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from uuid import uuid4

import pytest

from incidents.domain.timeline import Timeline
from incidents.enums import IncidentState, Source
from incidents.models import Incident
from rollbackhub.alerts.enums import AlertState, ProposalState
from rollbackhub.alerts.models import Alert, Proposal
from rollbackhub.common import clock
from rollbackhub.lab.catalogue import BAD_MODEL, GOOD_MODEL, SMART_REASONER
from rollbackhub.lab.domain.alerting import DEGRADED, UNMEASURED
from rollbackhub.lab.metrics import MetricsMode
from rollbackhub.lab.models import LabSwitch
from rollbackhub.postmortems.enums import PostmortemState, SectionKey
from rollbackhub.postmortems.models import Postmortem
from rollbackhub.registry.domain.holds import list_standing_holds
from rollbackhub.registry.models import Artefact
from rollbackhub.rollbacks.models import Rollback
from tests.integration.production import Alerted, say
from tests.lab.worlds import eventually

pytestmark = pytest.mark.slow

ALIAS = SMART_REASONER.alias
FIRES_WITHIN, ENDS_WITHIN, SETTLED_WITHIN = 120.0, 120.0, 60.0
"""Seconds on a busy machine. The rules look back 30 seconds and wait 5."""
STORY_LIMIT_SECONDS = 900


def firing() -> Alert:
    """The alert about the alias, as soon as it fires and a rollback is proposed for it."""
    found = Alert.objects.filter(policy__alias=ALIAS, state=AlertState.FIRING, proposal__state=ProposalState.OPEN)
    eventually(found.exists, within=FIRES_WITHIN, what="the alert with its proposal")
    return found.select_related("incident", "proposal", "policy__environment").get()


@pytest.mark.timeout(600)
def test_alert_opens_an_incident_and_proposes_and_its_end_without_data_closes_nothing(alerted: Alerted) -> None:
    alert = firing()
    incident, proposal = alert.incident, alert.proposal
    assert incident is not None
    assert proposal is not None
    assert (alert.name, alert.labels["artefact_version"], proposal.policy.environment.slug) == (DEGRADED, BAD_MODEL, "production")
    assert (incident.source, incident.state, incident.detected_at, incident.detected_by) == (Source.ALERT, IncidentState.OPEN, alert.starts_at, DEGRADED)
    assert (proposal.policy, proposal.detected_at) == (alert.policy, alert.starts_at)
    assert not Rollback.objects.exists(), "it proposes, and does nothing"

    # The callers' metrics die: Alertmanager says that it is over.
    assert alerted.world.set_metrics_mode("production", MetricsMode.DOWN)
    try:
        eventually(lambda: Alert.objects.get(pk=alert.pk).state == AlertState.RESOLVED, within=ENDS_WITHIN, what="an end without a recovery")
        eventually(lambda: Alert.objects.filter(name=UNMEASURED, state=AlertState.FIRING).exists(), within=ENDS_WITHIN, what="that nobody counts")
    finally:
        assert alerted.world.set_metrics_mode("production", MetricsMode.NORMAL)
    assert Incident.objects.get(pk=incident.pk).state == IncidentState.OPEN
    assert Proposal.objects.get(pk=proposal.pk).state == ProposalState.OPEN
    again = firing()
    assert (again.pk, again.incident, again.proposal) == (alert.pk, incident, proposal), "the same harm: no second incident, no second proposal"
    assert again.times_fired == 2


@pytest.mark.timeout(600)
def test_one_confirmation_restores_and_timeline_and_postmortem_fill_themselves(alerted: Alerted) -> None:
    alert = firing()
    proposal, incident = alert.proposal, alert.incident
    assert proposal is not None
    assert incident is not None
    answer = alerted.post(f"alert-proposals/{proposal.pk}/confirm/", {"plan_hash": proposal.plan_hash}, key=str(uuid4()))
    assert answer.status_code == 200, answer.text
    confirmed = Proposal.objects.get(pk=proposal.pk)
    assert confirmed.state == ProposalState.CONFIRMED
    assert confirmed.rollback_id is not None
    rollback = alerted.wait_for(confirmed.rollback_id, timeout_seconds=180)
    exposure = f"{rollback.exposure_observed} + {rollback.exposure_estimated}"
    say(f"alert {alert.starts_at:%H:%M:%S}, rolled back in {rollback.rollback_seconds:.2f} s, exposure {exposure}")
    assert alerted.weights() == {BAD_MODEL: 0, GOOD_MODEL: 100}
    assert (rollback.detected_at, rollback.detected_by) == (proposal.detected_at, DEGRADED)
    assert proposal.detected_at <= alert.starts_at, "the first firing counts"

    stable = Incident.objects.filter(pk=incident.pk, state=IncidentState.STABLE, rollback_links__rollback=rollback)
    eventually(stable.exists, within=SETTLED_WITHIN, what="a stable incident")
    eventually(Postmortem.objects.filter(incident=incident).exists, within=SETTLED_WITHIN, what="a drafted postmortem")
    eventually(lambda: Alert.objects.get(pk=alert.pk).state == AlertState.RESOLVED, within=ENDS_WITHIN, what="the alert's own end")
    eventually(lambda: not Alert.objects.get(pk=alert.pk).to_do, within=SETTLED_WITHIN, what="the end being noted")
    incident = Incident.objects.get(pk=incident.pk)
    assert incident.state == IncidentState.STABLE, "the alert's end closes nothing"
    assert_timeline_tells_it(incident)
    assert_postmortem_says_what_is_known(Postmortem.objects.get(incident=incident), rollback)


def assert_timeline_tells_it(incident: Incident) -> None:
    """Every act is there, in its order, and nobody wrote a line."""
    timeline = Timeline(incident)
    lines = timeline.lines
    say("\n".join(f"{line.at:%H:%M:%S}  {line.words}  {line.who}" for line in lines))
    assert timeline.is_whole
    assert [line for line in lines if line.kind == "note"] == []
    assert all(earlier.at <= later.at for earlier, later in itertools.pairwise(lines))
    told = [line.event for line in lines if line.event]
    wanted = [
        "alert.fired",
        "proposal.made",
        "proposal.confirmed",
        "rollback.requested",
        "rollback.authorised",
        "rollback.restored",
        "rollback.verified",
        "hold.started",
        "incident.opened",
        "incident.joined",
        "incident.stable",
        "postmortem.drafted",
        "alert.resolved",
    ]
    assert [event for event in wanted if event not in told] == []
    course = ("incident.opened", "proposal.made", "proposal.confirmed", "rollback.restored", "rollback.verified", "postmortem.drafted")
    order = [told.index(event) for event in course]
    assert order == sorted(order)
    steps = " ".join(line.words.lower() for line in lines if line.kind == "step")
    assert len([line for line in lines if line.kind == "step"]) >= 4, steps
    assert all(line.words and (line.who or line.kind == "detected") for line in lines)


def assert_postmortem_says_what_is_known(postmortem: Postmortem, rollback: Rollback) -> None:
    """Exposure and segments are in the draft, with the rollback's own figures."""
    assert (postmortem.state, postmortem.owner) == (PostmortemState.DRAFT, rollback.principal)
    texts = dict(postmortem.sections.values_list("key", "text"))
    assert rollback.exposure_observed is not None
    assert f"{rollback.exposure_observed:,} counted" in texts[SectionKey.IMPACT]
    response = texts[SectionKey.RESPONSE]
    assert "| Segment | Took |" in response
    for segment in ("Detect", "Execute", "Propagate", "Drain", "Verify"):
        assert f"| {segment} |" in response


@pytest.mark.timeout(1200)
def test_story_is_told_and_leaves_the_lab_as_it_found_it(alerted: Alerted) -> None:
    alerted.quiet()
    before = (alerted.weights(), Artefact.objects.get(slug=ALIAS).checks)
    command = [sys.executable, "manage.py", "tell_the_story", "--fast", "--json"]
    environment = os.environ | alerted.hub.environment | {"LAB_BASE_PORT": str(alerted.world.ports.base)}
    begun = clock.monotonic()
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=STORY_LIMIT_SECONDS)
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-3000:]
    report = json.loads(told.stdout)
    undrilled, drilled = report["paths"]
    say(f"told in {clock.monotonic() - begun:.0f} s: {undrilled['told_seconds'] / 60:.1f} minutes undrilled, {drilled['told_seconds'] / 60:.1f} drilled")
    assert report["simulation"] is True
    assert (undrilled["name"], drilled["name"]) == ("undrilled", "drilled")
    # The chapter's: three quarters of an hour against a few minutes, and what was met at night is what a drill finds.
    assert 40 * 60 < undrilled["told_seconds"] < 55 * 60
    assert drilled["told_seconds"] < 6 * 60
    assert any("mismatch" in finding.lower() for finding in undrilled["findings"])
    assert undrilled["proof"].startswith("Never drilled")
    assert "nothing has changed since" in drilled["proof"]
    for path in report["paths"]:
        assert path["exposure"]["counted"] is not None
        assert path["exposure"]["not_played"] > 0
        assert path["hand_written_lines"] == 0
        assert path["timeline_lines"] > 10
        assert {line["what"] for line in path["lines"]} == {"SIMULATION", "PLAYED", "MEASURED"}
        assert Postmortem.objects.filter(pk=path["addresses"]["postmortem"].split("/")[2]).exists()
    # As it was found.
    assert (alerted.weights(), Artefact.objects.get(slug=ALIAS).checks) == before
    assert not LabSwitch.objects.filter(is_on=True).exists()
    assert not list_standing_holds().exists()
    assert {alerted.call_model()[0] for _ in range(5)} == {200}
