"""Browsers for tests of pages."""

from __future__ import annotations

from django.test import Client

from rollbackhub.accounts.models import User


def client_of(user: User) -> Client:
    """A browser in which this person is signed in."""
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, address: str, *, status: int = 200) -> str:
    """The text of a page, which must answer with this status."""
    response = client.get(address)
    assert response.status_code == status, f"{address} answers {response.status_code}"
    return str(response.content.decode())
