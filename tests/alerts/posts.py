"""Posts as the systems send them, with their signatures."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from typing import Any

from standardwebhooks.webhooks import Webhook

from rollbackhub.alerts.domain.receiving import receive_post
from rollbackhub.alerts.enums import HookKind
from rollbackhub.alerts.models import AlertHook
from rollbackhub.common import clock

STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PAGER_SECRET = "a-secret-of-pagerduty"
BEGAN = clock.now().replace(microsecond=0) - dt.timedelta(hours=12)


def am_alert(fingerprint: str = "f1", *, status: str = "firing", began: dt.datetime = BEGAN, ended: dt.datetime | None = None, **labels: str) -> dict[str, Any]:
    """One alert in an Alertmanager's post, about smart-reasoner unless told otherwise."""
    return {
        "status": status,
        "labels": {"alertname": "ReasonerFeedbackBad", "alias": "smart-reasoner", "severity": "critical", **labels},
        "annotations": {"summary": "Negative feedback is above 20 %"},
        "startsAt": began.isoformat(),
        "endsAt": ended.isoformat() if ended else "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": fingerprint,
    }


def am_body(*alerts: dict[str, Any]) -> bytes:
    """An Alertmanager's post, payload version 4."""
    found = list(alerts) or [am_alert()]
    return json.dumps(
        {
            "version": "4",
            "groupKey": '{}:{alertname="ReasonerFeedbackBad"}',
            "truncatedAlerts": 0,
            "status": found[0]["status"],
            "receiver": "rollbackhub",
            "groupLabels": {"alertname": "ReasonerFeedbackBad"},
            "commonLabels": {},
            "commonAnnotations": {},
            "externalURL": "http://alertmanager",
            "alerts": found,
        }
    ).encode()


def pd_body(event_type: str = "incident.triggered", *, event_id: str = "01EVENT", incident: str = "PGR0VU2", at: dt.datetime | None = None) -> bytes:
    """A PagerDuty v3 webhook."""
    occurred = (at or clock.now()).isoformat()
    data = {
        "id": incident,
        "type": "incident",
        "title": "Reasoner answers badly",
        "status": "triggered",
        "urgency": "high",
        "service": {"id": "PF9KMXH", "summary": "smart-reasoner", "type": "service_reference"},
        "priority": {"id": "PSO75BM", "summary": "P1"},
        "created_at": occurred,
    }
    return json.dumps({"event": {"id": event_id, "event_type": event_type, "resource_type": "incident", "occurred_at": occurred, "data": data}}).encode()


def pd_headers(body: bytes, *, secret: str = PAGER_SECRET) -> dict[str, str]:
    """Signed as PagerDuty does, an older secret's signature before it."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-pagerduty-signature": f"v1={'0' * 64},v1={signature}"}


def std_body(*, fingerprint: str = "s1", status: str = "firing", **labels: str) -> bytes:
    """A post of our own form."""
    alert = {
        "fingerprint": fingerprint,
        "status": status,
        "labels": {"alertname": "ReasonerFeedbackBad", "alias": "smart-reasoner", **labels},
        "annotations": {"summary": "Negative feedback is above 20 %"},
        "starts_at": BEGAN.isoformat(),
    }
    return json.dumps({"alerts": [alert]}).encode()


def std_headers(body: bytes, *, delivery: str = "msg_1", at: dt.datetime | None = None, secret: str = STANDARD_SECRET) -> dict[str, str]:
    """Signed by Standard Webhooks."""
    at = at or clock.now()
    signature = Webhook(secret).sign(msg_id=delivery, timestamp=at, data=body.decode())
    return {"webhook-id": delivery, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def post(hook: AlertHook, body: bytes, *, key: str = "", headers: dict[str, str] | None = None) -> int:
    """Post it to a hook: how many alerts were taken."""
    return receive_post(kind=HookKind(hook.kind), key=key or str(hook.pk), headers=headers or {}, body=body)
