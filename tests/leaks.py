"""Looks for the tests' secrets wherever the product writes: logs, audit rows and evidence, answers and error pages. A test that leaks one fails.

A plugin for the whole suite. A secret that a test makes up itself is given to `watch`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import Model
from django.test.client import Client

SECRETS: set[str] = {
    "test-only-git-token-5d1c",
    "test-only-s3-9d2f7c",
    "deploy-bearer-kL9mN2pQ",
    "hap-secret-eU8sF1",
    "deploy-hook-secret-of-the-tests-1",
    "ZGVwbG95LWhvb2stc2VjcmV0LW9mLXRoZS10ZXN0cy0x",
    "d3Jvbmctc2VjcmV0LW9mLXRoZS10ZXN0cw==",
}
"""What stands for a secret in tests/connectors and tests/lab; in clear, and as base64 where it travels so."""

EVIDENCE = {"AuditEvent", "Sample", "StepAttempt", "Delivery", "Execution", "Channel", "Message", "MessageDelivery", "DeliveryAttempt"}
_found: list[str] = []


def watch(secret: str) -> None:
    """Look for this one, too, from now on."""
    SECRETS.add(secret)


def look(text: str, *, where: str) -> None:
    """Remember where a secret was seen; the secret itself is not repeated."""
    for number, secret in enumerate(sorted(SECRETS)):
        if secret in text:
            _found.append(f"secret {number} in {where}")


class _Listener(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        look(record.getMessage(), where=f"the log of {record.name}")
        if record.exc_info and record.exc_info[1] is not None:
            look(repr(record.exc_info[1]), where=f"an error in the log of {record.name}")


def _answered(request: Any) -> Any:
    def wrapped(self: Client, **environment: Any) -> Any:
        response = request(self, **environment)
        if not response.streaming:
            look(response.content.decode(errors="replace"), where=f"the answer to {environment.get('PATH_INFO')}")
        return response

    return wrapped


def _saved(save: Any) -> Any:
    def wrapped(self: Model, *args: Any, **kwargs: Any) -> Any:
        if type(self).__name__ in EVIDENCE:
            look(str({field.attname: getattr(self, field.attname) for field in self._meta.concrete_fields}), where=f"a row of {type(self).__name__}")
        return save(self, *args, **kwargs)

    return wrapped


def pytest_configure(config: pytest.Config) -> None:
    """Listen from the begin."""
    listener = _Listener(level=logging.DEBUG)
    for name in (None, "django", "celery"):
        logging.getLogger(name).addHandler(listener)
    Client.request = _answered(Client.request)  # type: ignore[method-assign]
    Model.save_base = _saved(Model.save_base)  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def no_secret_leaks() -> Iterator[None]:
    """Fails the test during which a secret was seen."""
    _found.clear()
    yield
    seen = list(dict.fromkeys(_found))
    _found.clear()
    assert not seen, f"A test's secret was written: {'; '.join(seen)}"
