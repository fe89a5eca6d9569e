"""Preflights with what they found, and readiness with its history."""

from __future__ import annotations

import datetime as dt

import factory
from factory.django import DjangoModelFactory

from rollbackhub.common.clock import now
from rollbackhub.executions.enums import FindingCode, ProofState
from rollbackhub.readiness.enums import ReadinessState, RunState
from rollbackhub.readiness.models import PreflightFinding, PreflightRun, Readiness, ReadinessChange
from tests.factories.registry import EnvironmentFactory
from tests.factories.routing import RoutingPolicyFactory


class PreflightRunFactory(DjangoModelFactory):
    """A preflight that ended a minute ago and found its checks able to run."""

    class Meta:
        model = PreflightRun
        django_get_or_create = ["environment"]

    environment = factory.SubFactory(EnvironmentFactory)
    state = RunState.DONE
    started_at = factory.LazyFunction(lambda: now() - dt.timedelta(minutes=1))
    finished_at = factory.LazyAttribute(lambda run: run.started_at + dt.timedelta(seconds=1))
    due_at = factory.LazyAttribute(lambda run: run.started_at + dt.timedelta(hours=1))
    paths = 2


class PreflightFindingFactory(DjangoModelFactory):
    """An open finding of an alias. Trait: `closed`."""

    class Meta:
        model = PreflightFinding

    class Params:
        closed = factory.Trait(closed_at=factory.LazyFunction(now))

    policy = factory.SubFactory(RoutingPolicyFactory)
    environment = factory.SelfAttribute("policy.environment")
    check_name = "gateway_routes"
    code = FindingCode.CONFIG_MISMATCH
    subject = factory.Sequence("gateway gateway-{}".format)
    expected = "claude-sonnet-4-6 25 %"
    found = "claude-sonnet-4-6 60 %"
    remedy = "Point the gateway at the hub again."
    first_seen_at = factory.LazyFunction(lambda: now() - dt.timedelta(hours=3))
    last_seen_at = factory.LazyFunction(now)


class ReadinessFactory(DjangoModelFactory):
    """An alias that is ready. Traits: `at_risk`, `not_ready` (never drilled)."""

    class Meta:
        model = Readiness
        django_get_or_create = ["policy"]

    class Params:
        at_risk = factory.Trait(
            state=ReadinessState.AT_RISK,
            rank=115,
            rollbackable=False,
            proof_state=ProofState.STALE,
            reasons=[{"code": "proof_stale", "severity": "at_risk", "sentence": "Changed since it was proven.", "remedy": "Drill it.", "url": "/drills/"}],
        )
        not_ready = factory.Trait(
            state=ReadinessState.NOT_READY,
            rank=13,
            rollbackable=False,
            proof_state=ProofState.MISSING,
            reasons=[{"code": "never_drilled", "severity": "not_ready", "sentence": "Never drilled.", "remedy": "Drill it in staging.", "url": "/drills/"}],
        )

    policy = factory.SubFactory(RoutingPolicyFactory, environment__slug="production")
    state = ReadinessState.READY
    rank = 200
    rollbackable = True
    proof_state = ProofState.VALID
    since = factory.LazyFunction(lambda: now() - dt.timedelta(days=2))
    computed_at = factory.LazyFunction(now)


class ReadinessChangeFactory(DjangoModelFactory):
    """An alias became ready."""

    class Meta:
        model = ReadinessChange

    policy = factory.SubFactory(RoutingPolicyFactory, environment__slug="production")
    at = factory.LazyFunction(lambda: now() - dt.timedelta(days=2))
    state = ReadinessState.READY
    rollbackable = True
