"""How an environment's metrics are reached, and what they are called there."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from rollbackhub.connectors.base import ConnectorSettings
from rollbackhub.connectors.secret_refs import SecretRef

MetricName = Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]{0,199}$", examples=["llm_requests_total"])]
Address = Annotated[str, Field(pattern=r"^https?://[^\s@?#]+$")]


class PrometheusSettings(ConnectorSettings):
    """A Prometheus server, or a plain endpoint for those without one. Each metric has the labels environment, alias and version."""

    endpoint: Address | None = Field(default=None, examples=["http://127.0.0.1:9100/metrics"])
    """A page in the Prometheus or OpenMetrics text format. It has no history: baselines are what it had counted before the flip."""
    server: Address | None = Field(default=None, examples=["https://prometheus.example.com"])
    """A Prometheus server (or what speaks its HTTP API); without `/api/v1`."""
    token_ref: SecretRef | None = None
    """A bearer token."""
    login_ref: SecretRef | None = None
    """Basic authentication, as user:password."""
    stale_after_seconds: float = Field(default=60, ge=1, le=3600)
    """A server whose newest sample is older has no data: set it to twice the scrape interval or more."""

    requests: MetricName = "llm_requests_total"
    """A counter. With a label `code` the share of errors can be verified, too."""
    error_codes: str = Field(default="5..|[^0-9].*", min_length=1, max_length=200)
    """Which values of `code` are errors, as a regular expression that must match the whole."""
    negative_feedback: MetricName = "llm_negative_feedback_total"
    """A counter."""
    duration: MetricName = "llm_request_duration_seconds"
    """A histogram in seconds (a summary will do, but then only means can be compared)."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.endpoint is None) == (self.server is None):
            raise ValueError("name the server, or a plain endpoint: one of the two")
        if self.token_ref is not None and self.login_ref is not None:
            raise ValueError("name token_ref or login_ref, not both")
        return self

    @property
    def source(self) -> str:
        """Where the metrics come from, for people."""
        return self.server or self.endpoint or ""
