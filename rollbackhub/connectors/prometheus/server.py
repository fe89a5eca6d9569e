"""Asks a Prometheus server over its HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api/)."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from rollbackhub.common import clock
from rollbackhub.common.errors import TransientError
from rollbackhub.common.http import Response, guarded_request
from rollbackhub.connectors.base import REFUSALS, PermissionMissing
from rollbackhub.connectors.prometheus.reading import MetricSample, NoData, Reading, fold
from rollbackhub.connectors.prometheus.settings import PrometheusSettings

MAX_BYTES = 4_000_000
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def read_server(
    settings: PrometheusSettings, *, environment: str, alias: str, headers: Mapping[str, str], timeout_seconds: float, at: dt.datetime | None = None
) -> Reading:
    """The newest samples of an alias, at the server's present or as they were `at` an instant of its clock.

    A range is asked for, not an instant vector: it gives each sample its own time, and shows by that whether scrapes go on.
    Raises NoData (the newest sample is older than `stale_after_seconds`, or the answer is partial), TransientError, PermissionMissing, Unavailable.
    """
    names = "|".join(
        re.escape(name) for name in (settings.requests, settings.negative_feedback, *(f"{settings.duration}_{part}" for part in ("sum", "count", "bucket")))
    )
    selector = f"{{__name__=~{_text(names)},environment={_text(environment)},alias={_text(alias)}}}"
    query = f"{selector}[{_duration(settings.stale_after_seconds)}]"
    read_at = clock.now()
    result, answer = _ask(settings, query, headers=headers, timeout_seconds=timeout_seconds, at=at)
    source_now = at or _date_of(answer)
    newest = max((float(point[0]) for series in result for point in series["values"][-1:]), default=None)
    newest_at = None if newest is None else dt.datetime.fromtimestamp(newest, tz=dt.UTC)
    if newest_at is not None and source_now is not None and (source_now - newest_at).total_seconds() > settings.stale_after_seconds:
        age = (source_now - newest_at).total_seconds()
        raise NoData(f"The newest sample at {settings.server} is {age:.0f} s old, more than {settings.stale_after_seconds:g} s: its scrapes have stopped.")
    totals = fold(_newest_of(result), settings)
    return Reading(totals=totals, query=query, read_at=read_at, source_now=source_now, newest_at=newest_at)


def list_series(settings: PrometheusSettings, *, environment: str, headers: Mapping[str, str], timeout_seconds: float) -> set[tuple[str, str]]:
    """Which of the metrics there are, by alias: (alias, metric's name). One query without values, for any number of aliases. Raises as read_server."""
    names = "|".join(re.escape(name) for name in (settings.requests, settings.negative_feedback, f"{settings.duration}_sum", f"{settings.duration}_count"))
    query = f'count by (alias, __name__) ({{__name__=~{_text(names)},environment={_text(environment)},alias!=""}})'
    result, _ = _ask(settings, query, headers=headers, timeout_seconds=timeout_seconds, at=None)
    return {(series["metric"]["alias"], series["metric"]["__name__"]) for series in result}


def _ask(
    settings: PrometheusSettings, query: str, *, headers: Mapping[str, str], timeout_seconds: float, at: dt.datetime | None
) -> tuple[list[dict[str, Any]], Response]:
    """The series of an answer, each with its metric, and the answer."""
    form = {"query": query, "timeout": _duration(max(timeout_seconds * 0.9, 0.1)), **({"time": f"{at.timestamp():.3f}"} if at else {})}
    where = f"{(settings.server or '').rstrip('/')}/api/v1/query"
    answer = guarded_request("POST", where, timeout_seconds=timeout_seconds, max_bytes=MAX_BYTES, headers={**FORM, **headers}, content=urlencode(form).encode())
    if answer.status in REFUSALS:
        raise PermissionMissing(f"The Prometheus server {settings.server} answered HTTP {answer.status}.")
    try:
        content = json.loads(answer.body)
        status = content["status"]
        if status != "success":
            raise TransientError(f"The Prometheus server {settings.server} refuses the query: {str(content.get('error', 'no reason'))[:300]}")
        result = content["data"]["result"]
        warnings = content.get("warnings") or []
        for series in result:
            # What is not so is no answer of a Prometheus.
            series["metric"].items(), series.get("values") or series["value"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TransientError(f"{where} does not answer as a Prometheus server does (HTTP {answer.status}).") from error
    if warnings:
        raise NoData(f"The answer of {settings.server} is partial: {'; '.join(str(warning) for warning in warnings)[:300]}")
    return result, answer


def _newest_of(result: list[dict[str, Any]]) -> Iterator[MetricSample]:
    for series in result:
        labels = dict(series["metric"])
        name = labels.pop("__name__", "")
        try:
            value = float(series["values"][-1][1])
        except (ValueError, TypeError, IndexError, KeyError) as error:
            raise TransientError(f"A series of {name or 'the answer'} has no value that can be read.") from error
        yield MetricSample(name, labels, value)


def _date_of(answer: Response) -> dt.datetime | None:
    """The server's clock, from the header that every HTTP server sends (RFC 9110 §6.6.1): to the second."""
    text = answer.headers.get("date", "")
    try:
        found = email.utils.parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return found.astimezone(dt.UTC) if found is not None and found.tzinfo is not None else None


def _duration(seconds: float) -> str:
    """As Prometheus writes it: whole numbers only."""
    return f"{round(seconds * 1000)}ms"


def _text(value: str) -> str:
    """A PromQL string: escaped as in JSON, which is a part of Go's."""
    return json.dumps(value, ensure_ascii=False)
