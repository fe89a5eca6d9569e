"""Each reason alone, made of real rows: its state, what it says, what to do, and that the link leads somewhere."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from rollbackhub.accounts.models import RoleAssignment
from rollbackhub.common.clock import now
from rollbackhub.common.verdict import Verdict as RunVerdict
from rollbackhub.executions.enums import ExecutionKind, ExecutionState, FindingCode
from rollbackhub.executions.models import ProcedureVersion
from rollbackhub.executions.procedures import WEIGHT_FLIP
from rollbackhub.readiness.domain.facts import facts_of
from rollbackhub.readiness.domain.reasons import judge_readiness
from rollbackhub.readiness.enums import ReadinessState, ReasonCode
from rollbackhub.readiness.models import PreflightRun
from rollbackhub.readiness.rules import Verdict
from rollbackhub.registry.enums import ChangeType, Lifecycle
from rollbackhub.registry.models import Connection, Version
from rollbackhub.rollbacks.models import AuthorityRule
from rollbackhub.routing.models import RoutingPolicy
from tests.dashboard.people import client_of, page
from tests.factories.executions import ExecutionFactory, FindingFactory, ProcedureVersionFactory
from tests.factories.fixtures import Cast
from tests.factories.readiness import PreflightFindingFactory, PreflightRunFactory
from tests.factories.registry import ArtefactFactory, ConnectionFactory, EnvironmentFactory, VersionFactory
from tests.factories.rollbacks import StabilityHoldFactory
from tests.factories.routing import BAD, GOOD, WEIGHTS, RoutingPolicyFactory

DAY = dt.timedelta(days=1)
NOT_READY, AT_RISK = ReadinessState.NOT_READY, ReadinessState.AT_RISK


@dataclass
class Alias:
    """`reasoner` in production and in staging."""

    production: RoutingPolicy
    staging: RoutingPolicy | None

    def verdict(self, *, at: dt.datetime | None = None) -> Verdict:
        """As it is judged in production."""
        policy = RoutingPolicy.objects.select_related("environment", "artefact").get(pk=self.production.pk)
        return judge_readiness(facts_of([policy], at=at)[policy.pk])

    def good(self, **values: Any) -> None:
        """The version to go back to is like this."""
        Version.objects.filter(artefact=self.production.artefact, label=GOOD).update(**values)

    def drill(self, **values: Any) -> Any:
        """A drill in staging."""
        return ExecutionFactory(policy=self.staging, **({} if {"failed", "finished_run"} & values.keys() else {"passed": True}), **values)


def make_alias(
    *,
    weights: dict[str, int] | None = None,
    change_type: str = ChangeType.MODEL,
    good: str = Lifecycle.LIVE,
    steps: Any = WEIGHT_FLIP,
    metrics: bool = True,
    checked: dt.timedelta | None = dt.timedelta(minutes=1),
    drilled: dt.timedelta | None = dt.timedelta(minutes=1),
    in_staging: bool = True,
) -> Alias:
    """An alias against which nothing speaks, unless it is asked for."""
    environments = [EnvironmentFactory(slug=slug) for slug in ("production", "staging")]
    for environment in environments:
        if metrics or environment.slug == "staging":
            ConnectionFactory(environment=environment)
        if checked is not None:
            PreflightRunFactory(environment=environment, started_at=now() - checked)
    if steps:
        ProcedureVersionFactory(procedure__change_type=change_type, steps=steps)
    artefact = ArtefactFactory(slug="reasoner-model", change_type=change_type)
    VersionFactory(artefact=artefact, label=GOOD, lifecycle=good)
    VersionFactory(artefact=artefact, label=BAD, lifecycle=Lifecycle.CANARY)
    policies = [
        RoutingPolicyFactory(environment=environment, alias="reasoner", artefact=artefact, revision=weights or WEIGHTS)
        for environment in environments[: 1 + in_staging]
    ]
    alias = Alias(policies[0], policies[1] if in_staging else None)
    if drilled is not None and in_staging:
        alias.drill(started_at=now() - drilled)
    return alias


def needs_person(kind: str) -> Alias:
    alias = make_alias()
    ExecutionFactory(policy=alias.production, kind=kind, state=ExecutionState.NEEDS_HUMAN, started_at=now(), fence=1, claims=1)
    return alias


def with_good(**values: Any) -> Alias:
    alias = make_alias()
    alias.good(**values)
    return alias


def held() -> Alias:
    alias = make_alias()
    StabilityHoldFactory(version=Version.objects.get(artefact=alias.production.artefact, label=GOOD))
    return alias


def found(code: str, *, everywhere: bool = False) -> Alias:
    alias = make_alias()
    values: dict[str, Any] = {"policy": None, "environment": alias.production.environment} if everywhere else {"policy": alias.production}
    PreflightFindingFactory(code=code, subject="gateway-1", expected="25 %", found="60 %", remedy="Point it at the hub.", **values)
    return alias


def failed(*codes: str) -> Alias:
    alias = make_alias()
    drill = alias.drill(failed=True, started_at=now() - dt.timedelta(seconds=30))
    for code in codes:
        FindingFactory(execution=drill, code=code, subject="staging-gateway-1", expected="25 %", found="60 %")
    return alias


def unclear() -> Alias:
    alias = make_alias()
    alias.drill(finished_run=True, verdict=RunVerdict.INCONCLUSIVE, started_at=now() - dt.timedelta(seconds=30), finished_at=now())
    return alias


def nobody() -> Alias:
    alias = make_alias()
    RoleAssignment.objects.exclude(user__username="admin").delete()
    return alias


def led() -> Alias:
    alias = make_alias()
    AuthorityRule.objects.filter(subject="model").update(role="platform_lead")
    return alias


UNVERIFIED = [step for step in WEIGHT_FLIP if step["action"] != "verify"]

POLICY, ARTEFACT, ADMIN = "/routing/production/aliases/reasoner/", "/registry/artefacts/reasoner-model/", "/admin/"
FINDINGS, DRILL = "/readiness/production/reasoner/#findings", "/drills/start/staging/reasoner/"
R = ReasonCode

CASES: dict[str, tuple[Callable[[], Alias], ReasonCode, ReadinessState, str, str, str]] = {
    "a rollback waits": (
        lambda: needs_person(ExecutionKind.ROLLBACK),
        R.ROLLBACK_NEEDS_PERSON,
        NOT_READY,
        "A rollback of it stands still",
        "Open it",
        "/rollbacks/?open=1",
    ),
    "no procedure": (
        lambda: make_alias(change_type=ChangeType.AGENT_CODE, steps=None, drilled=None),
        R.NO_PROCEDURE,
        NOT_READY,
        "the change type agent code",
        "write one",
        "/procedures/",
    ),
    "one version": (
        lambda: make_alias(weights={GOOD: 100}, drilled=None),
        R.NO_TARGET,
        NOT_READY,
        "nothing to go back to",
        "Keep the previous version",
        POLICY,
    ),
    "retired": (
        lambda: make_alias(weights={BAD: 100, GOOD: 0}, good=Lifecycle.RETIRED),
        R.TARGET_RETIRED,
        NOT_READY,
        f"{GOOD}, the version to go back to, is retired",
        "keep another version",
        ARTEFACT,
    ),
    "held": (held, R.TARGET_HELD, NOT_READY, GOOD, "Keep another version", POLICY),
    "shut down": (lambda: with_good(provider_retires_at=now() - DAY), R.PROVIDER_RETIRED, NOT_READY, f"shut {GOOD}", "Keep another version", ARTEFACT),
    "shuts down soon": (lambda: with_good(provider_retires_at=now() + 9.5 * DAY), R.PROVIDER_RETIRES, AT_RISK, "in 9 days", "drill going back to it", ARTEFACT),
    "drill failed": (failed, R.DRILL_FAILED, NOT_READY, "The last drill failed on", "See why", "/drills/"),
    "never drilled": (lambda: make_alias(drilled=None), R.NEVER_DRILLED, NOT_READY, "Never drilled", "Drill it in staging", DRILL),
    "nowhere to drill": (lambda: make_alias(in_staging=False), R.NEVER_DRILLED, NOT_READY, "Never drilled", "Add the alias to a staging environment", POLICY),
    "nobody decides": (nobody, R.NOBODY_MAY_DECIDE, NOT_READY, "no active person has the role", "give somebody the role", ADMIN),
    "changed": (lambda: with_good(digest="sha256:other"), R.PROOF_STALE, AT_RISK, "sha256:other", "Drill it in staging", DRILL),
    "long ago": (lambda: make_alias(drilled=93 * DAY), R.PROOF_EXPIRED, AT_RISK, "too long ago", "Drill it in staging", DRILL),
    "never checked": (lambda: make_alias(checked=None), R.NOT_CHECKED, AT_RISK, "has not looked at it yet", "start one", FINDINGS),
    "checked long ago": (lambda: make_alias(checked=dt.timedelta(hours=4)), R.NOT_CHECKED, AT_RISK, "last looked at", "housekeeper", FINDINGS),
    "on-call waits": (led, R.ON_CALL_LACKS_AUTHORITY, AT_RISK, "asks for the role", "Let on-call decide", ADMIN),
    "no verify step": (lambda: make_alias(steps=UNVERIFIED), R.NO_VERIFICATION, AT_RISK, "without a verification", "action verify", "/procedures/"),
    "no metrics": (lambda: make_alias(metrics=False), R.NO_VERIFICATION, AT_RISK, "no metrics", "prometheus", ADMIN),
    "drill unclear": (unclear, R.DRILL_UNCLEAR, AT_RISK, "showed nothing (inconclusive", "Drill it again", "/drills/"),
    **{
        f"preflight {code}": (
            partial(found, code),
            R(str(code)),
            AT_RISK if code == FindingCode.DOCS_STALE else NOT_READY,
            "gateway-1: expected 25 %, found 60 %",
            "Point it at the hub.",
            FINDINGS,
        )
        for code in FindingCode
    },
    **{
        f"drill {code}": (
            partial(failed, code),
            R(str(code)),
            NOT_READY,
            "caught it: staging-gateway-1: expected 25 %, found 60 %",
            "Then drill again.",
            "/drills/",
        )
        for code in FindingCode
    },
    "preflight of all": (lambda: found(FindingCode.UNREACHABLE, everywhere=True), R.UNREACHABLE, NOT_READY, "gateway-1", "Point it at the hub.", FINDINGS),
}


def test_alias_against_which_nothing_speaks_is_ready(cast: Cast) -> None:
    verdict = make_alias().verdict()
    assert (verdict.state, verdict.rollbackable, verdict.reasons) == (ReadinessState.READY, True, [])


@pytest.mark.parametrize("case", CASES)
def test_reason_alone_says_what_is_wrong_what_to_do_and_where(case: str, cast: Cast) -> None:
    make, code, state, sentence, remedy, url = CASES[case]
    verdict = make().verdict()
    assert verdict.codes == [code]
    reason = verdict.reasons[0]
    assert (verdict.state, reason.severity) == (state, state)
    assert verdict.rollbackable == (state == AT_RISK and code not in (ReasonCode.PROOF_STALE, ReasonCode.PROOF_EXPIRED))
    assert sentence in reason.sentence
    assert remedy in reason.remedy
    assert reason.url.startswith(url)
    # Settings are the administrators'; everything else is open to whoever is on call.
    page(client_of(cast.admin if url == ADMIN else cast.on_call), reason.url.partition("#")[0])


def test_every_reason_that_there_is_has_a_case() -> None:
    assert {code for _, code, *_ in CASES.values()} == set(ReasonCode)


def test_drill_in_staging_that_waits_for_a_person_stands_in_the_way_there_only(cast: Cast) -> None:
    alias = make_alias()
    assert alias.staging is not None
    waiting = ExecutionFactory(policy=alias.staging, state=ExecutionState.NEEDS_HUMAN, started_at=now(), fence=1, claims=1)
    assert alias.verdict().codes == []
    reasons = Alias(alias.staging, alias.staging).verdict().reasons
    assert [(reason.code, reason.url) for reason in reasons] == [("rollback_needs_person", f"/drills/{waiting.pk}/")]


def test_staging_asks_for_no_authority(cast: Cast) -> None:
    alias = nobody()
    assert alias.staging is not None
    assert Alias(alias.staging, alias.staging).verdict().codes == []


def test_several_reasons_come_the_most_urgent_first(cast: Cast) -> None:
    alias = make_alias(metrics=False, drilled=None)
    PreflightFindingFactory(policy=alias.production, code=FindingCode.DOCS_STALE)
    alias.good(provider_retires_at=now() - DAY)
    assert alias.verdict().codes == ["provider_retired", "never_drilled", "no_verification", "docs_stale"]


def test_where_the_target_is_held_nobody_is_told_to_drill(cast: Cast) -> None:
    alias = make_alias(drilled=None)
    StabilityHoldFactory(version=Version.objects.get(artefact=alias.production.artefact, label=GOOD))
    assert alias.verdict().codes == ["target_held"]


def test_finding_of_another_alias_environment_or_of_the_past_does_not_count(cast: Cast) -> None:
    alias = make_alias()
    other = RoutingPolicyFactory(environment=alias.production.environment, alias="other")
    PreflightFindingFactory(policy=other)
    PreflightFindingFactory(policy=alias.staging)
    PreflightFindingFactory(policy=alias.production, closed=True)
    assert alias.verdict().codes == []


def test_time_alone_ends_a_proof_and_a_target(cast: Cast) -> None:
    alias = make_alias()
    alias.good(provider_retires_at=now() + 40 * DAY)
    PreflightRun.objects.update(finished_at=now() + 100 * DAY)
    assert [alias.verdict(at=now() + days * DAY).codes for days in (0, 9, 11, 41, 93)] == [
        [],
        [],
        ["provider_retires"],
        ["provider_retired"],
        ["provider_retired", "proof_expired"],
    ]


def test_preflight_counts_as_lately_for_three_hours(cast: Cast) -> None:
    alias = make_alias()
    finished = PreflightRun.objects.get(environment=alias.production.environment).finished_at
    assert finished is not None
    assert alias.verdict(at=finished + dt.timedelta(hours=3)).codes == []
    assert alias.verdict(at=finished + dt.timedelta(hours=3, seconds=1)).codes == ["not_checked"]


def test_change_types_that_leads_decide_are_no_mistake_of_the_table(cast: Cast) -> None:
    alias = make_alias(change_type=ChangeType.DATASET)
    assert AuthorityRule.objects.get(subject="dataset").role != "on_call"
    assert alias.verdict().codes == []
    assert ProcedureVersion.objects.filter(procedure__change_type=ChangeType.DATASET, procedure__connector="").exists()
    assert Connection.objects.count() == 2
