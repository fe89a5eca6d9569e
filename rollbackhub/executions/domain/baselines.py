"""What was normal: the good versions' metrics in the window before the release, and beside the bad version."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from rollbackhub.common.errors import RollbackHubError
from rollbackhub.connectors.prometheus import PrometheusConnector, VersionMetrics
from rollbackhub.executions.domain.context import StepContext, describe
from rollbackhub.executions.models import Sample
from rollbackhub.routing.domain.current import find_first_weight

WINDOW = dt.timedelta(hours=1)
"""Before the bad version's first weight."""


def read_baselines(context: StepContext) -> dict[str, Any]:
    """By name (`before_release`, `concurrent`): the good versions' totals in that window, from when to when, and the query; or why there is none."""
    return {"concurrent": _concurrent(context), "before_release": _before_release(context)}


def _concurrent(context: StepContext) -> dict[str, Any]:
    """All that the good versions' source had counted until the flip."""
    flipped_at = context.execution.executed_at
    before = Sample.objects.filter(execution=context.execution, kind="metrics", taken_at__lte=flipped_at).order_by("-id")[:5] if flipped_at else ()
    for sample in before:
        versions = sample.value.get("versions", {}) if "error" not in sample.value else {}
        good = {version: entry for version, entry in versions.items() if version in context.good_versions}
        if good:
            return {"versions": good, "to": sample.taken_at.isoformat(), "query": sample.value.get("query", "")}
    return {"versions": {}, "why_none": "no metrics of the good versions were read before the flip"}


def _before_release(context: StepContext) -> dict[str, Any]:
    """The good versions' growth in the hour before the bad version's first weight; only a source with history can tell."""
    connector = context.connector(PrometheusConnector.name)
    if not isinstance(connector, PrometheusConnector) or not connector.has_history:
        return {"versions": {}, "why_none": "the metrics source has no history"}
    until = find_first_weight(policy_id=context.execution.policy_id, label=context.bad_version)
    if until is None:
        return {"versions": {}, "why_none": "the bad version never had weight here"}
    where = {"environment": context.plan["environment"], "alias": context.plan["alias"]}
    try:
        after = connector.read(**where, at=until)
        before = connector.read(**where, at=until - WINDOW)
    except RollbackHubError as error:
        return {"versions": {}, "why_none": describe(error)}
    then, now = before.totals.get(context.plan["alias"], {}), after.totals.get(context.plan["alias"], {})
    grown = {label: _growth(then.get(label), metrics) for label, metrics in now.items() if label in context.good_versions}
    versions = {label: entry for label, entry in grown.items() if entry}
    found: dict[str, Any] = {"versions": versions, "from": (until - WINDOW).isoformat(), "to": until.isoformat(), "query": after.query}
    return found if versions else {**found, "why_none": "the good versions served nothing before the release"}


def _growth(before: VersionMetrics | None, after: VersionMetrics) -> Mapping[str, Any]:
    """What was counted in between, as samples are kept; empty when there was nothing, or the source started anew."""
    now = after.as_dict()
    if before is None:
        return now if after.requests else {}
    then = before.as_dict()
    grown = {name: now[name] - then.get(name, 0) for name in now if name != "buckets"}
    buckets = {bound: count - then.get("buckets", {}).get(bound, 0) for bound, count in now.get("buckets", {}).items()}
    if grown["requests"] <= 0 or min(*grown.values(), *buckets.values(), 0) < 0:
        return {}
    return {**grown, **({"buckets": buckets} if buckets else {})}
