"""`/healthz`, for people, load balancers and `make up`."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from rollbackhub.common import clock
from rollbackhub.local.health.probes import NoAnswer, broker_probe, database_probe
from rollbackhub.local.health.rules import Part, judge_audit, judge_process, judge_whole

PROBE_SECONDS = 1.5
"""Both probes run at once and share this, so that the answer comes within 2 s."""

PROCESSES = ("web", "worker", "beat", "sweeper", "housekeeper", "sequencer")


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """The state of RollbackHub and of each part; 503 when it is down. Needs no sign-in and names no data."""
    parts = get_parts()
    status = judge_whole(parts)
    content = {"status": status, "checked_at": clock.now().isoformat(), "parts": {name: part.as_json() for name, part in parts.items()}}
    response = JsonResponse(content, status=503 if status == "down" else 200)
    # Django logs every 503 as an error; this one is an answer to a question that is asked every few seconds.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def get_parts() -> dict[str, Part]:
    """Every part's state, within 2 s whatever hangs."""
    deadline = clock.monotonic() + PROBE_SECONDS
    names = [*PROCESSES, "lab"] if settings.CONFIG.lab else list(PROCESSES)
    broker = broker_probe.start()
    parts: dict[str, Part] = {}
    try:
        answer = database_probe.answer(timeout_seconds=deadline - clock.monotonic())
    except NoAnswer as error:
        unknown = Part(status="down", sentence="Not known: the database, to which it reports, does not answer.")
        parts |= {"database": Part(status="down", sentence=str(error)), **dict.fromkeys([*names, "audit"], unknown)}
        # Somebody is answering this.
        parts["web"] = Part(status="degraded", sentence="It answers, but it cannot report to the database.")
    else:
        parts["database"] = Part(status="ok", sentence=f"It answers in {answer.seconds * 1000:.0f} ms.")
        parts |= {name: judge_process(name=name, beats=answer.beats) for name in names}
        parts["audit"] = judge_audit(pending=answer.pending, oldest_seconds=answer.oldest_pending_seconds)
    try:
        seconds = broker_probe.wait(broker, timeout_seconds=max(deadline - clock.monotonic(), 0.01))
    except NoAnswer as error:
        parts["broker"] = Part(status="down", sentence=f"{error} Work still starts, a few seconds later.")
    else:
        parts["broker"] = Part(status="ok", sentence=f"It answers in {seconds * 1000:.0f} ms.")
    return {name: parts[name] for name in ("database", "broker", *names, "audit")}
