"""Before and after the story: whether the lab is in a state to play on, and how it gets back to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx

from incidents.domain.acts import close_incident
from incidents.enums import IncidentState, Source
from incidents.models import Incident
from rollbackhub.accounts.domain.notices import list_people_with
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.alerts.domain.proposals import dismiss_proposal
from rollbackhub.alerts.enums import ProposalState
from rollbackhub.alerts.models import AlertHook, Proposal
from rollbackhub.common.errors import Conflict, Forbidden, NotFound, RollbackHubError, Unavailable
from rollbackhub.executions.domain.transitions import find_active as find_active_execution
from rollbackhub.executions.enums import ExecutionState, ProofState
from rollbackhub.lab.catalogue import ENVIRONMENTS
from rollbackhub.lab.domain.alerting import HOOK_NAME
from rollbackhub.lab.enums import SwitchName
from rollbackhub.lab.models import LabSwitch
from rollbackhub.lab.ports import LOOPBACK, Ports
from rollbackhub.lab.story.stage import ALIAS, ALL_GOOD, CALL_SECONDS, Stage, StoryFailed
from rollbackhub.lab.story.teller import Teller
from rollbackhub.registry.domain.holds import lift_hold, list_standing_holds
from rollbackhub.registry.models import Artefact, Environment
from rollbackhub.rollbacks.domain.acts import close_rollback
from rollbackhub.rollbacks.enums import OPEN_STATES, RollbackState
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.domain.current import get_candidates

CALM_WITHIN = 150.0
"""Seconds until an alert has ended whose version gets no requests any more: the rules look back 30 seconds."""
REASON = "The story (a simulation) puts the lab back as it was."
CHANGED = "The story: changed since the last drill, and nobody drilled again"


def find_stage(*, ports: Ports, on_call: str, lead: str) -> Stage:
    """The stage, if the story may be played here and now; empty names: the first who may. Changes nothing.

    Raises NotFound, Forbidden, Conflict, Unavailable, each with the sentence that says what to do.
    """
    for slug in ENVIRONMENTS:
        environment = Environment.objects.filter(slug=slug).first()
        if environment is None:
            raise NotFound(f"The story is played on the lab, and there is no environment {slug}. Start the lab once (make up).", code="no_lab")
        if not environment.is_lab:
            sentence = f"The environment {slug} is not the lab's. The story breaks things on purpose: it is played on the lab's own data, nowhere else."
            raise Forbidden(sentence, code="not_the_labs")
    artefact = Artefact.objects.filter(slug=ALIAS).first()
    if artefact is None or not artefact.is_lab:
        raise Forbidden(f"The artefact {ALIAS} is not the lab's. The story is played on the lab's own data, nowhere else.", code="not_the_labs")
    _require_alerting(ports)
    stage = Stage(ports, _person(on_call, Role.ON_CALL), _person(lead, Role.PLATFORM_LEAD))
    _require_untouched(stage)
    return stage


@contextmanager
def as_found(stage: Stage) -> Iterator[None]:
    """Whatever happens inside: afterwards weights, checks, switches and holds are as they were. What is on the record stays there."""
    weights = {found.version_pin: found.weight for found in get_candidates(policy=stage.policy("production"))}
    checks = Artefact.objects.get(slug=ALIAS).checks
    try:
        yield
    finally:
        steps: list[Callable[[], None]] = [
            *(partial(stage.switch, SwitchName.FLAG_MOVED, slug, on=False) for slug in ENVIRONMENTS if _is_on(SwitchName.FLAG_MOVED, slug)),
            partial(settle, stage),
            partial(stage.write_checks, checks, reason=REASON),
            partial(stage.route, weights, reason=REASON),
        ]
        _do_all(steps)


def _is_on(name: SwitchName, environment: str) -> bool:
    return LabSwitch.objects.filter(name=name, environment__slug=environment, is_on=True).exists()


def _do_all(steps: Sequence[Callable[[], None]]) -> None:
    """Each of them, whatever becomes of the others. Raises StoryFailed at the end, with what did not work."""
    problems = []
    for step in steps:
        try:
            step()
        except (StoryFailed, RollbackHubError) as error:
            problems.append(str(error))
    if problems:
        raise StoryFailed(f"The lab is not as it was found: {' '.join(problems)}")


def make_calm(stage: Stage, teller: Teller) -> None:
    """Nothing bad serves, no alert fires, nothing about the alias is open. Raises StoryFailed."""
    stage.route(ALL_GOOD, reason="The story: a quiet lab to begin with")
    if not stage.is_calm():
        teller.played("The canary's weight is taken away until the alert about it has ended.")
    stage.wait_for(stage.is_calm, within=CALM_WITHIN, what="no alert was firing any more")
    settle(stage)


def settle(stage: Stage) -> None:
    """Bring what is open about the alias to its end, as people would the day after. Whoever began the story found nothing open but what alerts had made."""
    policy = stage.policy("production")
    on_call, lead = stage.on_call, stage.lead
    for proposal in Proposal.objects.filter(policy=policy, state=ProposalState.OPEN):
        try:
            dismiss_proposal(proposal_id=proposal.pk, account=on_call, actor=stage.acting(on_call), reason=REASON)
        except Conflict:
            # It has ended in this moment.
            continue
    for rollback in Rollback.objects.filter(parts__policy=policy, state__in=OPEN_STATES):
        standing = stage.wait_for(partial(_standing_still, rollback), within=120, what="the rollback stood still")
        if standing.state in OPEN_STATES:
            close_rollback(rollback_id=rollback.pk, account=on_call, actor=stage.acting(on_call), reason=REASON)
    for hold in list_standing_holds().filter(version__artefact=policy.artefact_id):
        lift_hold(hold_id=hold.pk, user=lead, actor=stage.acting(lead), reason=REASON)
    for incident in Incident.objects.filter(aliases=policy).exclude(state=IncidentState.CLOSED):
        close_incident(incident_id=incident.pk, account=on_call, actor=stage.acting(on_call), reason=REASON)


@contextmanager
def unproven(stage: Stage, teller: Teller) -> Iterator[None]:
    """Inside, the way back has no valid proof. Where the lab was drilled, something that its proof rests on is changed, as it is in life."""
    artefact = Artefact.objects.get(slug=ALIAS)
    before: Any = artefact.checks
    if stage.proof().state != ProofState.VALID or not before:
        yield
        return
    first, *others = before
    stage.write_checks([{**first, "title": f"{first.get('title') or first['key']} (changed)"}, *others], reason=CHANGED)
    teller.played("This lab has been drilled before. A check of the alias is changed, as things change: its proof is stale now.")
    try:
        yield
    finally:
        stage.write_checks(before, reason=REASON)


def _standing_still(rollback: Rollback) -> Rollback | None:
    found = Rollback.objects.get(pk=rollback.pk)
    moving = (RollbackState.RUNNING, RollbackState.RESTORED, RollbackState.UNDOING, RollbackState.ROLLING_FORWARD)
    return None if found.state in moving else found


def _person(username: str, *roles: Role) -> User:
    people = list_people_with(*roles)
    found = people.filter(username=username).first() if username else people.first()
    if found is None:
        wanted = " or ".join(role.label for role in roles)
        sentence = f"There is no active person {username} with the role {wanted}." if username else f"Nobody active has the role {wanted}."
        raise NotFound(f"{sentence} The story plays an on-call engineer and a platform lead: name them with --on-call and --lead.", code="account_not_found")
    return found


def _require_alerting(ports: Ports) -> None:
    address = f"http://{LOOPBACK}:{ports.alertmanager}/-/ready"
    try:
        ready = httpx.get(address, timeout=CALL_SECONDS, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        ready = False
    if not ready:
        raise Unavailable(
            f"No Alertmanager of the lab answers at {address}. The story needs a running lab with the parts prometheus and alertmanager"
            " (Debian: apt-get install prometheus prometheus-alertmanager, then make up).",
            code="no_alertmanager",
        )
    if not AlertHook.objects.filter(name=HOOK_NAME, is_active=True).exists():
        raise Unavailable(
            f"The hub takes no alerts of the lab: its hook “{HOOK_NAME}” is not there yet, or was ended. A lab that starts makes it.", code="no_hook"
        )


def _require_untouched(stage: Stage) -> None:
    """Raises Conflict for whatever a person has begun here: the story would walk over it."""
    on = LabSwitch.objects.filter(is_on=True).select_related("environment").first()
    if on is not None:
        raise Conflict(f"The lab's switch {on.name} is on in {on.environment.slug}. Turn it off first (manage.py lab_switch).", code="switch_on")
    for environment in ENVIRONMENTS:
        policy = stage.policy(environment)
        running = find_active_execution(policy)
        if running is not None:
            what = f"A {running.get_kind_display().lower()} of {ALIAS} in {environment}"
            if running.state == ExecutionState.NEEDS_HUMAN:
                raise Conflict(f"{what} waits for a person (/drills/{running.pk}/). Let it go on or stop it first.", code="already_running")
            raise Conflict(f"{what} runs (/drills/{running.pk}/). Wait for its end.", code="already_running")
    rollback = Rollback.objects.filter(parts__policy=stage.policy("production"), state__in=OPEN_STATES).first()
    if rollback is not None:
        raise Conflict(f"A rollback of {ALIAS} is open: /rollbacks/{rollback.pk}/. Close it first.", code="rollback_active")
    hold = list_standing_holds().first()
    if hold is not None:
        why = "puts it into canary" if hold.version.artefact.slug == ALIAS else "lets the whole gateway serve by a table of its own, which may give it traffic"
        raise Conflict(f"{hold.version.label} is under a stability hold. Have a lead lift it first: the story {why}.", code="version_held")
    mine = Incident.objects.filter(aliases__alias=ALIAS).exclude(state=IncidentState.CLOSED)
    for incident in mine:
        if incident.source != Source.ALERT or incident.commander_id is not None or incident.rollback_links.exists() or incident.notes.exists():
            raise Conflict(
                f"Somebody works on an incident of {ALIAS}: /incidents/{incident.pk}/. Close it first: the story opens its own.", code="incident_open"
            )
