"""Production rollbacks on a real gateway: one to its end, coordinated, partly restored, and traffic of a version under hold."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from incidents.domain.selectors import incident_of
from incidents.enums import IncidentState
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Notice
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.models import Finding, Sample
from rollbackhub.lab.catalogue import BAD_MODEL, GOOD_MODEL, SMART_REASONER, SUPPORT_ANSWER
from rollbackhub.lab.envoy import GatewayMode
from rollbackhub.registry.domain.holds import lift_hold, start_hold
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import StabilityHold, Version
from rollbackhub.rollbacks.domain.acts import close_rollback, retry_rollback
from rollbackhub.rollbacks.domain.selectors import rollback_report
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import HeldTraffic, Rollback
from rollbackhub.routing.models import Gateway
from rollbackhub.routing.rules import CandidateSpec
from tests.integration.hub import ACTOR
from tests.integration.production import Production, effect_keys, executions_of, say

BAD_PROMPT, GOOD_PROMPT = (version.label for version in reversed(SUPPORT_ANSWER.versions))


@pytest.fixture
def rolled_back(production: Production) -> Rollback:
    """A rollback by the on-call engineer, a minute after it was noticed, that has ended well."""
    rollback_id = production.roll_back(detected_at=clock.now() - dt.timedelta(seconds=60), detected_by="negative feedback")
    return production.wait_for(rollback_id)


def events_of(rollback: Rollback) -> list[str]:
    """What the audit log has of it, in its order."""
    return list(AuditEvent.objects.filter(subject_type="rollback", subject_id=str(rollback.pk)).order_by("id").values_list("event", flat=True))


def test_rollback_by_on_call_is_observed_to_be_restored_and_its_clock_adds_up(production: Production, rolled_back: Rollback) -> None:
    report = rollback_report(rolled_back)
    say(f"rollback_seconds {report['rollback_seconds']}, segments {report['segments']}")
    assert report["bad_version_share"] == 0
    instants = [report["clock"][name] for name in ("detected", "decided", "authorised", "started", "executed", "propagated", "restored", "verified")]
    assert None not in instants
    assert all(earlier <= later for earlier, later in itertools.pairwise(instants))
    assert rolled_back.restored_at == max(report["clock"]["propagated"], report["clock"]["drained"])
    counted = sum(report["segments"][key] for key in ("authorise", "execute", "propagate", "drain"))
    assert report["rollback_seconds"] == pytest.approx(counted, abs=0.01)
    assert report["segments"]["detect"] == pytest.approx(60, abs=1)
    assert events_of(rolled_back)[:2] == ["rollback.requested", "rollback.authorised"]
    assert events_of(rolled_back)[-1] == "rollback.verified"
    assert production.weights() == {BAD_MODEL: 0, GOOD_MODEL: 100}
    (execution,) = executions_of(rolled_back.pk)
    assert effect_keys(execution) == ["flip"]
    after = [sample.value["requests"][BAD_MODEL] for sample in Sample.objects.filter(execution=execution, kind="traffic", taken_at__gte=execution.drained_at)]
    assert len(after) > 2
    assert sum(after) == 0
    assert {production.call_model() for _ in range(20)} == {(200, GOOD_MODEL)}


def test_rollback_that_is_over_says_its_exposure_and_its_basis(rolled_back: Rollback) -> None:
    say(f"exposure {rolled_back.exposure_observed} + {rolled_back.exposure_estimated}: {rolled_back.exposure_basis}")
    assert rolled_back.exposure_observed is not None
    # 60 s × about 30 requests/s × 25 %; a machine under load sends less.
    assert (rolled_back.exposure_estimated or 0) > 50
    counted = f"{rolled_back.exposure_observed} request{'' if rolled_back.exposure_observed == 1 else 's'}"
    # By whoever counted more; a request under way when they were read may be in one count only.
    assert re.match(f"{counted} counted by (the gateways|the callers' metrics) from ", rolled_back.exposure_basis)
    assert "s since the detection × " in rolled_back.exposure_basis
    assert "× 25 % weight" in rolled_back.exposure_basis


def test_version_that_was_rolled_back_is_under_hold_and_refused_everywhere(production: Production, rolled_back: Rollback) -> None:
    bad = Version.objects.get(label=BAD_MODEL)
    hold = StabilityHold.objects.get(version=bad, lifted_at=None)
    assert (hold.rollback_id, bad.lifecycle) == (rolled_back.pk, Lifecycle.ROLLED_BACK)
    with pytest.raises(InvalidInput) as again:
        production.roll_back()
    assert again.value.code == "nothing_to_roll_back"
    revision = production.policy().revision_number
    wanted = [{"id": candidate.candidate_id, "version_pin": candidate.version_pin, "weight": candidate.weight} for candidate in SMART_REASONER.candidates]
    content = {"expected_revision": revision, "reason": "back to canary", "candidates": wanted}
    answer = production.post("policies/production/smart-reasoner/revisions/", content)
    assert (answer.status_code, answer.json()["code"]) == (422, "version_held")
    assert f"rollback {str(rolled_back.pk)[:8]}" in answer.json()["detail"]
    assert production.policy().revision_number == revision


def test_incident_follows_the_rollback_to_its_end(rolled_back: Rollback) -> None:
    """The housekeeper does it, within seconds. What was rolled back a moment ago belongs to the same incident."""
    deadline = clock.monotonic() + 20
    while (incident := incident_of(rolled_back)) is None or incident.verified_at != rolled_back.verified_at:
        assert clock.monotonic() < deadline, f"the incident: {incident and incident.verified_at}"
        clock.sleep(0.1)
    assert (incident.state, incident.restored_at) == (IncidentState.STABLE, rolled_back.restored_at)
    assert incident.detected_at is not None
    assert rolled_back.detected_at is not None
    assert incident.detected_at <= rolled_back.detected_at
    assert incident.detected_by == "negative feedback"
    assert (incident.exposure_estimated or 0) >= (rolled_back.exposure_estimated or 0)


def command(production: Production, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`manage.py rollback` as the on-call engineer."""
    asked = [sys.executable, "manage.py", "rollback", *arguments, "--environment", "production", "--reason", "degraded feedback", "--as", "oncall", "--json"]
    return subprocess.run(asked, env=os.environ | production.hub.environment, capture_output=True, text=True, timeout=90)


def test_rollback_command_exits_0_with_the_whole_clock_and_says_what_a_second_one_meets(production: Production) -> None:
    first = command(production, "smart-reasoner")
    assert first.returncode == 0, first.stdout + first.stderr
    report = json.loads(first.stdout)
    say(f"command: rollback_seconds {report['rollback_seconds']}, exposure {report['exposure']['observed']}")
    assert (report["state"], report["bad_version_share"]) == ("verified", 0)
    assert report["exposure"]["observed"] is not None
    second = command(production, "smart-reasoner")
    assert second.returncode == 2, second.stdout + second.stderr
    assert json.loads(second.stdout)["error"]["code"] == "nothing_to_roll_back"


def test_rollback_made_twice_after_its_hold_was_lifted_has_one_flip_each(production: Production, rolled_back: Rollback) -> None:
    production.begin_again()
    second = production.wait_for(production.roll_back())
    assert second.pk != rolled_back.pk
    assert [effect_keys(execution) for rollback in (rolled_back, second) for execution in executions_of(rollback.pk)] == [["flip"], ["flip"]]


def test_coordinated_rollback_whose_second_alias_cannot_go_says_what_stands_and_resumes(production: Production) -> None:
    """The version to go back to comes under hold under its feet: nothing of the second alias is touched until that is mended."""
    target = Version.objects.get(label=GOOD_MODEL)
    rollback_id = production.roll_back(SUPPORT_ANSWER.alias, SMART_REASONER.alias, by=production.cast.lead)
    hold = start_hold(version=target, rollback_id=uuid4(), actor=ACTOR)
    stopped = production.wait_for(rollback_id, RollbackState.NEEDS_HUMAN)
    assert f"{GOOD_MODEL} is under a stability hold" in stopped.outcome
    assert f"support-answer: restored and verified without {BAD_PROMPT}." in stopped.outcome
    assert f"smart-reasoner: nothing was changed, {BAD_MODEL} keeps its weight." in stopped.outcome
    assert (production.weights("support-answer")[BAD_PROMPT], production.weights()[BAD_MODEL]) == (0, 25)
    assert stopped.restored_at is None
    lift_hold(hold_id=hold.pk, user=production.cast.lead, actor=actor_of(production.cast.lead), reason="a mistake")
    retry_rollback(rollback_id=rollback_id, account=production.cast.on_call, actor=actor_of(production.cast.on_call))
    ended = production.wait_for(rollback_id)
    assert (production.weights("support-answer")[BAD_PROMPT], production.weights()[BAD_MODEL]) == (0, 0)
    assert [effect_keys(execution) for execution in executions_of(rollback_id)] == [["flip"], ["flip"]]
    assert ended.restored_at == max(execution.restored_at for execution in executions_of(rollback_id) if execution.restored_at)
    assert set(StabilityHold.objects.filter(lifted_at=None).values_list("version__label", flat=True)) == {BAD_PROMPT, BAD_MODEL}


def test_coordinated_rollback_whose_second_policy_somebody_changed_leaves_that_change(production: Production) -> None:
    rollback_id = production.roll_back(SUPPORT_ANSWER.alias, SMART_REASONER.alias, by=production.cast.lead)
    moved = [CandidateSpec(candidate.candidate_id, candidate.version_pin, 50) for candidate in SMART_REASONER.candidates]
    production.route("smart-reasoner", moved)
    stopped = production.wait_for(rollback_id, RollbackState.NEEDS_HUMAN)
    assert "Somebody changed the policy" in Finding.objects.get(execution=executions_of(rollback_id)[1], subject="policy of smart-reasoner").remedy
    assert f"smart-reasoner: nothing was changed, {BAD_MODEL} keeps its weight." in stopped.outcome
    assert production.weights()[BAD_MODEL] == 50
    lead = production.cast.lead
    close_rollback(rollback_id=rollback_id, account=lead, actor=actor_of(lead), reason="the rest by a new plan")
    production.wait_for(production.roll_back("smart-reasoner"))
    assert production.weights()[BAD_MODEL] == 0


def test_gateway_that_stops_answering_leaves_the_rollback_partially_restored_until_it_follows(production: Production) -> None:
    with production.gateway_stopped():
        rollback_id = production.roll_back()
        stopped = production.wait_for(rollback_id, RollbackState.PARTIALLY_RESTORED)
        assert "Not following: production-gateway-1." in stopped.outcome
        assert "the flip is written, but it is not observed" in stopped.outcome
        assert (stopped.restored_at, stopped.rollback_seconds) == (None, None)
        assert "rollback.restored" not in events_of(stopped)
    ended = production.wait_for(rollback_id)
    say(f"rollback_seconds with the gateway's silence {ended.rollback_seconds:.1f}")
    assert [event for event in events_of(ended) if event in ("rollback.partially_restored", "rollback.resumed", "rollback.restored")] == [
        "rollback.partially_restored",
        "rollback.resumed",
        "rollback.restored",
    ]
    assert [effect_keys(execution) for execution in executions_of(rollback_id)] == [["flip"]]


class SecondGateway:
    """A gateway that says what it is told to say; it has asked for routes and serves by them."""

    def __init__(self, production: Production, node_id: str = "production-gateway-2") -> None:
        self._url = f"{production.hub.url}/v3/discovery:routes"
        self.node_id = node_id
        self.follow()

    def follow(self) -> None:
        """Ask, and acknowledge what is answered."""
        self._ask(self._ask("0"))

    def _ask(self, applied: str) -> str:
        """The version that was answered; the one that it has when the hub holds the request."""
        body = {"node": {"id": self.node_id, "cluster": "production"}, "version_info": applied}
        try:
            answer = httpx.post(self._url, json=body, timeout=httpx.Timeout(5, read=0.7 if applied != "0" else 5), trust_env=False)
        except httpx.ReadTimeout:
            return applied
        answer.raise_for_status()
        return str(answer.json()["version_info"])


@pytest.fixture
def second_gateway(production: Production) -> Iterator[SecondGateway]:
    """Beside the lab's own."""
    gateway = SecondGateway(production)
    yield gateway
    Gateway.objects.filter(node_id=gateway.node_id).delete()


def test_one_of_two_gateways_that_lags_is_named_and_retried_when_it_follows(production: Production, second_gateway: SecondGateway) -> None:
    rollback_id = production.roll_back()
    stopped = production.wait_for(rollback_id, RollbackState.PARTIALLY_RESTORED)
    assert "1 of 2 gateways did not acknowledge within 5 s: production-gateway-2." in stopped.outcome
    assert stopped.restored_at is None
    assert {production.call_model() for _ in range(20)} == {(200, GOOD_MODEL)}, "the gateway that follows serves the good version"
    second_gateway.follow()
    ended = production.wait_for(rollback_id)
    assert ended.propagated_at is not None
    assert ended.propagated_at == Gateway.objects.get(node_id=second_gateway.node_id).applied_at


def test_traffic_of_a_held_version_reopens_the_rollback_until_it_is_gone(production: Production, rolled_back: Rollback) -> None:
    """Somebody goes around the hub: the gateway serves by a table of its own, which gives the held version 60 %."""
    production.world.set_gateway_mode("production", GatewayMode.OWN_TABLE)
    try:
        reopened = production.wait_for(rolled_back.pk, RollbackState.VERIFICATION_FAILED)
    finally:
        production.world.set_gateway_mode("production", GatewayMode.FOLLOWING)
        production.world.wait_ready()
    assert f"requests reached {BAD_MODEL}" in reopened.outcome
    seen = HeldTraffic.objects.get(rollback=rolled_back)
    assert (seen.requests > 0, list(seen.per_gateway)) == (True, ["production-gateway-1"])
    finding = Finding.objects.get(execution__rollback_part__rollback=rolled_back)
    assert (finding.code, finding.subject) == (FindingCode.NOT_RESTORED, f"held version {BAD_MODEL}")
    told = Notice.objects.filter(url=f"/rollbacks/{rolled_back.pk}/", subject__startswith=BAD_MODEL).values_list("user__username", flat=True)
    assert set(told) == {"oncall", "lead"}
    assert production.wait_for(rolled_back.pk).outcome.startswith(f"{BAD_MODEL} gets no traffic any more")
    assert events_of(rolled_back)[-2:] == ["rollback.reopened", "rollback.verified_again"]
