"""The metrics endpoint: what it shows, and how it fails."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from rollbackhub.lab.metrics import MetricsApp, MetricsMode, TrafficMetrics


@pytest.fixture
def app() -> MetricsApp:
    metrics = TrafficMetrics()
    for environment in ("staging", "production"):
        metrics.answered(environment=environment, alias="smart-reasoner", version="claude-sonnet-4-5", code="200", seconds=0.02, disliked=False)
        metrics.answered(environment=environment, alias="smart-reasoner", version="claude-sonnet-4-6", code="200", seconds=0.06, disliked=True)
    metrics.failed(environment="staging", alias="smart-reasoner", code="unreachable")
    return MetricsApp(metrics, ("staging", "production"))


def get(app: MetricsApp, path: str, *, method: str = "GET", accept: str = "") -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://metrics") as client:  # type: ignore[arg-type]
            return await client.request(method, path, headers={"accept": accept} if accept else {})

    return asyncio.run(send())


def series(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, sample.labels.get("environment", ""), sample.labels.get("version", ""), sample.labels.get("code", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def test_metrics_names_and_values_are_the_contracts(app: MetricsApp) -> None:
    found = series(get(app, "/metrics").text)
    assert found["llm_requests_total", "staging", "claude-sonnet-4-5", "200"] == 1
    assert found["llm_requests_total", "staging", "none", "unreachable"] == 1
    assert found["llm_negative_feedback_total", "staging", "claude-sonnet-4-6", ""] == 1
    # Zero is said, not left out: no series would mean no data.
    assert found["llm_negative_feedback_total", "staging", "claude-sonnet-4-5", ""] == 0
    assert found["llm_request_duration_seconds_sum", "production", "claude-sonnet-4-6", ""] == pytest.approx(0.06)
    assert found["llm_request_duration_seconds_count", "production", "claude-sonnet-4-6", ""] == 1


def test_metrics_of_one_environment_leave_out_the_other(app: MetricsApp) -> None:
    assert {environment for _, environment, _, _ in series(get(app, "/metrics/staging").text)} == {"staging", ""}


def test_metrics_openmetrics_is_served_when_asked_for(app: MetricsApp) -> None:
    answer = get(app, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert "llm_requests" in {family.name for family in parse_openmetrics(answer.text)}


def test_metrics_down_answers_503_for_that_environment_only(app: MetricsApp) -> None:
    app.modes["staging"] = MetricsMode.DOWN
    assert get(app, "/metrics/staging").status_code == 503
    assert get(app, "/metrics/production").status_code == 200
    assert {environment for _, environment, _, _ in series(get(app, "/metrics").text)} == {"production", ""}
    app.modes["production"] = MetricsMode.DOWN
    assert get(app, "/metrics").status_code == 503


def test_metrics_silent_answers_without_the_series(app: MetricsApp) -> None:
    app.modes["staging"] = MetricsMode.SILENT
    answer = get(app, "/metrics/staging")
    assert answer.status_code == 200
    assert "llm_" not in answer.text
    assert "lab_requests_under_way" in answer.text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("GET", "/metrics/elsewhere", 404), ("POST", "/metrics", 405)])
def test_metrics_other_addresses_are_refused(app: MetricsApp, method: str, path: str, status: int) -> None:
    assert get(app, path, method=method).status_code == status
