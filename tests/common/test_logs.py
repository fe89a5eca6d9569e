"""A refused request is one line in the log."""

from __future__ import annotations

import logging

import pytest
from django.test import Client


def test_request_with_a_foreign_host_is_refused_and_logged_in_one_line(db: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        answer = Client(raise_request_exception=False).get("/", headers={"host": "evil.example"})
    assert answer.status_code == 400
    [record] = [record for record in caplog.records if record.name == "django.security.DisallowedHost"]
    assert "evil.example" in record.getMessage()
    assert record.exc_info is None
