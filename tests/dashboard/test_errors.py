"""Errors as pages, as notices for htmx, and as problem details for the API."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.test import Client, RequestFactory

from rollbackhub.common.errors import Conflict
from rollbackhub.dashboard.errors import error_response, server_error
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World
from tests.factories.fixtures import Cast


@pytest.mark.django_db
def test_unknown_address_is_a_404_page_with_a_way_on(cast: Cast) -> None:
    for client in (Client(), client_of(cast.on_call), client_of(cast.stranger)):
        text = page(client, "/no/such/page/", status=404)
        assert "There is no page at this address" in text
        assert "not_found" in text
    assert "To the overview" not in page(client_of(cast.stranger), "/no/such/page/", status=404)


@pytest.mark.django_db
def test_unknown_address_of_the_api_is_problem_details() -> None:
    response = Client().get("/api/v1/no-such-thing/")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("application/problem+json")


@pytest.mark.django_db
def test_form_without_its_token_is_a_403_page_that_says_to_reload(cast: Cast, world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.on_call)
    response = client.post(f"/drills/{world.running.pk}/stop/", {"reason": "x"})
    assert response.status_code == 403
    assert "Copy it, reload the page, and send it again" in response.content.decode()


@pytest.mark.django_db
def test_address_that_takes_forms_only_is_a_405_page_with_a_way_out(cast: Cast, world: World) -> None:
    client = Client()
    client.force_login(cast.on_call)
    response = client.get(f"/drills/{world.running.pk}/stop/")
    assert (response.status_code, response["Allow"]) == (405, "POST")
    text = response.content.decode()
    assert "This address takes forms only." in text
    assert 'href="/"' in text


@pytest.mark.django_db
def test_bad_request_is_a_400_page() -> None:
    response = Client().get("/", headers={"host": "evil.example"})
    assert response.status_code == 400
    assert "could not be understood" in response.content.decode()


@pytest.mark.django_db
def test_error_for_htmx_is_a_notice_above_the_content(cast: Cast, world: World) -> None:
    response = client_of(cast.on_call).post(f"/drills/{world.passed.pk}/stop/", {"reason": "late"}, headers={"HX-Request": "true"})
    assert response.status_code == 409
    assert response["HX-Retarget"] == "#notices"
    text = response.content.decode()
    assert 'role="alert"' in text
    assert "<html" not in text


def test_server_error_page_needs_no_database(rf: RequestFactory) -> None:
    response = server_error(rf.get("/drills/"))
    assert response.status_code == 500
    assert "it is on the server's log" in unescape(response.content.decode())
    api = server_error(rf.get("/api/v1/drills/"))
    assert api["Content-Type"] == "application/problem+json"


@pytest.mark.django_db
@pytest.mark.parametrize(("url", "linked"), [("/drills/1/", True), ("//evil.example/", False), ("https://evil.example/", False), (7, False), (None, False)])
def test_error_page_links_only_to_our_own_addresses(url: Any, linked: bool, rf: RequestFactory, cast: Cast) -> None:
    request = rf.get("/drills/")
    request.user = cast.on_call
    text = error_response(request, Conflict("Something is in the way.", code="already_running", url=url)).content.decode()
    assert ("Open the running one" in text) == linked
    assert "evil" not in text


@pytest.mark.django_db
def test_error_page_escapes_what_it_repeats(cast: Cast) -> None:
    text = page(client_of(cast.on_call), "/routing/staging/aliases/x/?from=%3Cscript%3E", status=404)
    assert "<script>" not in text.split("<main")[1]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/drills/start/", "/routing/", "/registry/", "/audit/", "/rollbacks/", "/rollbacks/start/"])
def test_nul_in_an_address_is_refused_in_words(cast: Cast, path: str) -> None:
    assert "nul_in_address" in page(client_of(cast.lead), f"{path}?q=a%00b", status=422)
