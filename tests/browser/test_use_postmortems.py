"""A postmortem as people write it: drafted, completed, reviewed by another person, published, its action done, closed; on a desk and on a phone at night."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.db import connections
from playwright.sync_api import Browser, Page, sync_playwright
from pytest_django.plugin import DjangoDbBlocker

from rollbackhub.postmortems.domain.drafting import draft_due
from rollbackhub.postmortems.rules import USERS_UNSAID
from tests.browser.conftest import chromium, serve
from tests.browser.visits import Theme, Visit, Visitor
from tests.databases import cloned_database, point_django_at
from tests.factories.fixtures import make_cast
from tests.factories.incidents import IncidentFactory, IncidentRollbackFactory
from tests.factories.rollbacks import RollbackFactory

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Desk:
    """A running RollbackHub with drafted postmortems, one for each look."""

    visitor: Visitor
    titles: dict[str, str]


@pytest.fixture(scope="module")
def desk(
    django_test_environment: None, database_template: str, django_db_blocker: DjangoDbBlocker, worker_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """In a database of its own: it is written to."""
    name = f"test_{worker_id}_desk"
    var: Path = tmp_path_factory.mktemp("desk")
    titles = {"light": "degraded feedback of the writer", "dark": "slow answers of the reasoner", "plain": "wrong answers of the classifier"}
    with django_db_blocker.unblock(), cloned_database(template=database_template, name=name):
        before = connections["default"].settings_dict["NAME"]
        point_django_at(name)
        cast = make_cast()
        for title in titles.values():
            rollback = RollbackFactory(verified=True, principal=cast.on_call)
            policies = [part.policy for part in rollback.parts.select_related("policy")]
            incident = IncidentFactory(stable=True, title=title, environment=rollback.environment, aliases=policies, decided_by=cast.on_call)
            IncidentRollbackFactory(rollback=rollback, incident=incident)
        assert draft_due() == len(titles)
        point_django_at(before)
        with serve(name, var) as url, django_db_blocker.block(), sync_playwright() as playwright:
            browser: Browser = chromium(playwright)
            yield Desk(Visitor(browser, url, {}), titles)
            browser.close()


def fine(visit: Visit) -> None:
    """What holds for every page."""
    assert visit.overflow() <= 0, visit.wider_than_window()
    assert visit.violations() == []
    assert visit.problems == []


def to_page(visit: Visit, title: str) -> Page:
    """To a postmortem, by the list."""
    page = visit.open("/postmortems/")
    fine(visit)
    page.get_by_role("link", name=title).first.click()
    page.get_by_role("heading", level=1, name=title).wait_for()
    visit.settle()
    fine(visit)
    return page


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 380)])
def test_from_draft_to_closed(theme: Theme, width: int, desk: Desk) -> None:
    title = desk.titles[theme]
    with desk.visitor.visit("oncall", theme=theme, width=width) as visit:
        page = to_page(visit, title)
        assert "It is a draft; " in page.locator(".answer-words").first.inner_text()
        page.get_by_role("link", name="Write it").click()
        assert page.get_by_text("Blameless:").is_visible()
        assert "2.5 s from decision to restored" in page.get_by_label("Response assessment").input_value()
        impact = page.get_by_label("Impact")
        impact.fill(impact.input_value().replace(USERS_UNSAID, "**Users:** got thin answers."))
        page.get_by_label("Root cause").fill("The eval set held **no** such case.")
        page.get_by_label("Discipline improvements").fill("- a case for it\n- a longer canary")
        page.get_by_role("button", name="Show how it looks").click()
        page.get_by_role("heading", name="How it looks (not saved yet)").first.wait_for()
        assert page.locator(".prose strong", has_text="no").count() >= 1
        fine(visit)
        page.get_by_role("button", name="Save").click()
        page.wait_for_url(lambda url: url.rstrip("/").split("/")[-1] not in ("edit",))
        page.get_by_role("link", name="Checklist").first.click()
        for answer in page.get_by_label("Did it contribute?").all():
            if not answer.input_value():
                answer.select_option("no")
        fine(visit)
        page.get_by_role("button", name="Save").click()
        page.get_by_text("It is a draft, and complete.").wait_for()
        page.get_by_role("link", name="Give an action").click()
        page.get_by_label("What is to be done?").fill("Add the case to the eval set")
        page.get_by_label("Who does it?").select_option("oncall")
        page.get_by_label("The version that was rolled back may not ship before it is closed").check()
        fine(visit)
        page.get_by_role("button", name="Give it").click()
        page.get_by_text("Gates no hold now").wait_for()
        page.get_by_role("link", name="Send it to review").click()
        page.get_by_label("Lee Lead (lead)").check()
        fine(visit)
        page.get_by_role("button", name="Send it to review").click()
        page.get_by_text("It is in review, and waits for Lee Lead.").wait_for()
        assert page.get_by_role("button", name="Publish it").count() == 0
        address = page.url
    with desk.visitor.visit("lead", theme=theme, width=width) as visit:
        visit.page.goto(address)
        visit.page.get_by_role("link", name="Review it").click()
        visit.settle()
        assert visit.axe(only_contrast=theme == "dark") == []
        fine(visit)
        visit.page.get_by_role("button", name="It may be published").click()
        visit.page.get_by_text("It is approved, and can be published.").wait_for()
    with desk.visitor.visit("oncall", theme=theme, width=width) as visit:
        page = visit.page
        page.goto(address)
        page.get_by_role("button", name="Publish it").click()
        page.get_by_role("dialog", name="Publish it?").get_by_role("button", name="Publish it").click()
        page.get_by_text("It is published; 1 of its 1 actions is open.").wait_for()
        assert page.get_by_role("button", name="Close it").count() == 0
        page.get_by_role("link", name="Add the case to the eval set", exact=True).click()
        page.get_by_role("button", name="Done…").click()
        page.get_by_role("button", name="It is done").click()
        page.get_by_text("The action is done.").wait_for()
        page.goto(address)
        page.get_by_role("button", name="Close it").click()
        page.get_by_role("dialog", name="Close it?").get_by_role("button", name="Close it").click()
        page.get_by_text("It is closed: what came out of it is settled.").wait_for()
        visit.settle()
        assert visit.axe(only_contrast=theme == "dark") == []
        fine(visit)
        page = visit.open("/incidents/search/?q=" + title.split()[0][:5])
        assert page.locator("mark").count() >= 1
        fine(visit)


def test_two_writers_without_scripts_lose_nothing(desk: Desk) -> None:
    title = desk.titles["plain"]
    with desk.visitor.visit("oncall", scripts=False) as first, desk.visitor.visit("lead", scripts=False) as second:
        for visit in (first, second):
            visit.page.goto(f"{visit.base}/postmortems/")
            visit.page.get_by_role("link", name=title).first.click()
            visit.page.get_by_role("link", name="Write it").click()
        first.page.get_by_label("Root cause").fill("Olga's root cause")
        first.page.get_by_role("button", name="Save").click()
        second.page.get_by_label("Root cause").fill("Lee's root cause")
        second.page.get_by_label("What went well").fill("The drill")
        second.page.get_by_role("button", name="Save").click()
        page = second.page
        assert "Somebody else has saved 1 of these sections" in page.inner_text("main")
        assert page.get_by_label("Your text of “Root cause”, not saved yet").input_value() == "Lee's root cause"
        assert page.get_by_label("What stands there now: saved by Olga Call").input_value() == "Olga's root cause"
        page.get_by_label("Your text of “Root cause”, not saved yet").fill("Olga's and Lee's root cause")
        page.get_by_role("button", name="Save").click()
        assert "Olga's and Lee's root cause" in page.inner_text("main")
        assert "The drill" in page.inner_text("main")
