"""Receivers, a process that sends, and a world in which something happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rollbackhub.notifications.domain.send import send_due
from rollbackhub.notifications.models import Channel
from rollbackhub.notifications.sending import Sender, sender_of_this_thread
from tests.factories.notifications import ChannelFactory
from tests.notifications.receivers import HttpReceiver, SmtpReceiver, http_receiver, smtp_receiver


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    """A webhook's server."""
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def smtp() -> Iterator[SmtpReceiver]:
    """A mail server."""
    with smtp_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def _process() -> Iterator[Sender]:
    sender = sender_of_this_thread()
    yield sender
    sender.close()


@pytest.fixture
def sender(_process: Sender) -> Sender:
    """The process that sends: one for all tests, so that it is started once."""
    return _process


@pytest.fixture
def quick(settings: Any) -> None:
    """A try takes one second at most."""
    settings.CONFIG = settings.CONFIG.model_copy(update={"notify_timeout_seconds": 1})


@pytest.fixture
def channel_at(monkeypatch: pytest.MonkeyPatch, db: None) -> Callable[..., Channel]:
    """Makes a channel that leads to an address, which stands in the environment."""
    made: list[Channel] = []

    def make(address: str, **values: Any) -> Channel:
        name = f"NOTIFY_TEST_{len(made)}"
        monkeypatch.setenv(name, address)
        made.append(ChannelFactory(address_ref=f"env:{name}", **values))
        return made[-1]

    return make


@pytest.fixture
def send(sender: Sender) -> Callable[[], int]:
    """One turn of the job that sends."""
    return send_due
