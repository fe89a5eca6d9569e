"""The continuous preflight over the API."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.accounts.enums import Scope
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.readiness.domain.preflight import run_due
from rollbackhub.readiness.models import PreflightRun
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.fixtures import Cast
from tests.factories.readiness import PreflightFindingFactory, PreflightRunFactory
from tests.factories.routing import RoutingPolicyFactory

URL = "/api/v1/preflight/"
FINDINGS = f"{URL}findings/"
RUN = f"{URL}run/"
KEY = "9d0c2a52-5b0c-4b46-9a0e-8c5f6f1f4f1f"


def test_runs_and_open_findings_are_answered(on_call: CheckedClient) -> None:
    finding = PreflightFindingFactory(policy__alias="smart-reasoner")
    everywhere = PreflightFindingFactory(policy=None, environment=finding.environment, code="unreachable")
    PreflightFindingFactory(policy=finding.policy, closed=True)
    PreflightRunFactory(environment=finding.environment, skipped=["Metrics of each alias: gone"], state="incomplete")
    body = on_call.get(URL).json()
    (run,) = body["runs"]
    assert (run["environment"], run["state"], run["paths"], run["open_findings"]) == ("staging", "incomplete", 2, 2)
    assert run["skipped"] == ["Metrics of each alias: gone"]
    assert (body["open_findings"], {row["id"] for row in body["findings"]}) == (2, {finding.pk, everywhere.pk})
    row = next(row for row in body["findings"] if row["id"] == finding.pk)
    assert (row["alias"], row["check"], row["code"], row["closed_at"]) == ("smart-reasoner", "gateway_routes", "config_mismatch", None)
    assert next(row for row in body["findings"] if row["id"] == everywhere.pk)["alias"] is None
    assert on_call.get(body["findings_url"]).status_code == 200


def test_answer_that_the_caller_has_is_a_304(on_call: CheckedClient) -> None:
    PreflightFindingFactory()
    first = on_call.get(URL)
    assert on_call.get(URL, HTTP_IF_NONE_MATCH=first.headers["ETag"]).status_code == 304


def test_queries_do_not_grow_with_the_findings(on_call: CheckedClient, django_assert_num_queries: Any) -> None:
    on_call.get("/api/v1/me/")
    for environment in ("staging", "production", "sandbox"):
        for _ in range(3):
            PreflightRunFactory(environment=PreflightFindingFactory(policy__environment__slug=environment).environment)
        for url in (URL, FINDINGS):
            # The token, the roles; then runs and findings, or one page.
            with django_assert_num_queries(4 if url == URL else 3):
                on_call.get(url)


def test_findings_are_filtered(on_call: CheckedClient) -> None:
    mine = PreflightFindingFactory(policy__alias="mine")
    all_staging = PreflightFindingFactory(policy=None, environment=mine.environment, code="unreachable")
    other = PreflightFindingFactory(policy__alias="other", policy__environment__slug="production")
    closed = PreflightFindingFactory(policy=mine.policy, closed=True)

    def ids(**query: str) -> set[int]:
        return {row["id"] for row in on_call.get(FINDINGS, query).json()["results"]}

    assert ids() == {mine.pk, all_staging.pk, other.pk}
    assert ids(alias="mine") == {mine.pk, all_staging.pk}
    assert ids(alias="mine", closed="true") == {mine.pk, all_staging.pk, closed.pk}
    assert ids(environment="production") == {other.pk}
    assert ids(code="unreachable") == {all_staging.pk}
    assert on_call.get(FINDINGS, {"code": "nonsense"}).status_code == 422


def test_run_makes_every_environment_due_now(cast: Cast, by_token: Caller) -> None:
    for slug in ("staging", "production"):
        RoutingPolicyFactory(environment__slug=slug)
    run_due()
    assert run_due() == 0
    before = now()
    response = by_token(cast.lead).post(RUN, {}, format="json")
    assert response.status_code == 202
    assert response.json()["environments"] == ["production", "staging"]
    assert response.json()["url"] == URL
    assert all(before <= run.due_at <= now() for run in PreflightRun.objects.all())
    assert AuditEvent.objects.filter(event="preflight.requested", actor_kind="token", actor_user_id=cast.lead.pk).count() == 2
    assert run_due() == 2


def test_run_of_one_environment_with_its_key_acts_once(cast: Cast, by_token: Caller) -> None:
    for slug in ("staging", "production"):
        RoutingPolicyFactory(environment__slug=slug)
    client = by_token(cast.on_call)
    first, second = (client.post(RUN, {"environment": "staging"}, format="json", HTTP_IDEMPOTENCY_KEY=KEY) for _ in range(2))
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert first.json()["environments"] == ["staging"]
    assert AuditEvent.objects.filter(event="preflight.requested").count() == 1


@pytest.mark.parametrize(("body", "field"), [({"environment": "moon"}, "environment"), ({"environment": ""}, "environment"), ({"nonsense": 1}, "nonsense")])
def test_run_of_what_is_not_there_is_refused(body: dict[str, Any], field: str, on_call: CheckedClient) -> None:
    RoutingPolicyFactory()
    response = on_call.post(RUN, body, format="json")
    assert (response.status_code, list(response.json()["fields"])) == (422, [field])
    assert not AuditEvent.objects.filter(event="preflight.requested").exists()


@pytest.mark.parametrize(("name", "status"), [("on_call", 202), ("lead", 202), ("admin", 202), ("leadership", 403), ("auditor", 403), ("stranger", 403)])
def test_run_by_each_of_the_cast(name: str, status: int, cast: Cast, by_session: Caller) -> None:
    RoutingPolicyFactory()
    assert by_session(getattr(cast, name)).post(RUN, {}, format="json").status_code == status
    assert PreflightRun.objects.exists() == (status == 202)


def test_run_by_a_token_needs_the_scope(cast: Cast, by_token: Caller) -> None:
    RoutingPolicyFactory()
    assert by_token(cast.lead, scopes=(Scope.READ,)).post(RUN, {}, format="json").status_code == 403
    assert by_token(cast.lead, scopes=(Scope.READ,)).get(URL).status_code == 200
    assert by_token(cast.lead, scopes=(Scope.DRILL,)).post(RUN, {}, format="json").status_code == 202
