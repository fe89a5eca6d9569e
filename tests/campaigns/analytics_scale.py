"""`make bench-analytics`: 10,000 and then 1,000,000 runs over five years; each question's page beside the bare SQL of the same answer, in one run.

Of every question that is registered: the median server time of its page (Django's test client, signed in, everything that there is: `?period=all`,
and the last twelve months as pages ask by themselves) and of its bare SQL (`BARE_SQL` of its module: exact, from the tables of record, without a
rollup), how many times the second the first is, and what the page takes more with a hundred times the runs. Then what keeping the rollups costs, and
that they equal a recount.

The runs are written by INSERT … SELECT (tests/campaigns/analytics_world.py says which are executions and which are imported, and why). Runs under
`rollbackhub.local.with_servers`, in a database of its own. Exit code 1 when a page takes more than twice its bare SQL and more than LIGHT_MS, more
than MOST_MS at all, or grows more than GROWTH times. Where there are no pages yet, the answer and its figures as JSON stand for them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import django

SIZES = (10_000, 1_000_000)
TIMES_BARE, MOST_MS, GROWTH = 2.0, 500.0, 3.0
LIGHT_MS = 150.0
"""A page takes its time for menus and templates however little it asks for: below this it is not held to its bare SQL."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds of a question at a size: its page for all time and for the last year, and the bare SQL of all time."""

    page: float
    last_year: float
    bare: float


def main() -> int:
    """Fill, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs=2, default=SIZES)
    parser.add_argument("--runs", type=int, default=5, help="times that each page and statement is measured; the median counts")
    parser.add_argument("--questions", nargs="*", help="only these modules")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rollbackhub.settings")
    django.setup()

    from django.core.management import call_command

    from rollbackhub.analytics.questions import QUESTIONS
    from rollbackhub.common.clock import now
    from tests.campaigns.analytics_world import fill, make_world
    from tests.factories.fixtures import make_cast

    call_command("migrate", verbosity=0)
    make_cast()
    make_world()
    until, made = now(), 0
    costs: dict[str, list[Cost]] = {}
    for size in options.sizes:
        began = time.perf_counter()
        fill(made, size, until=until)
        print(f"{size - made:,} runs written in {time.perf_counter() - began:.0f} s", flush=True)
        made = size
        for name in options.questions or QUESTIONS:
            costs.setdefault(name, []).append(_cost(name, runs=options.runs))
            print(f"{size:>9,} runs: {name}", flush=True)
    passed = _print_table(costs, sizes=options.sizes)
    _print_rollups()
    return 0 if passed else 1


def _cost(name: str, *, runs: int) -> Cost:
    from django.db import connection

    from rollbackhub.analytics.questions import question_module

    statement = question_module(name).BARE_SQL

    def bare() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            while True:
                if cursor.description is not None:
                    cursor.fetchall()
                if not cursor.nextset():
                    break

    return Cost(page=_median(_page_of(name, "?period=all"), runs), last_year=_median(_page_of(name, ""), runs), bare=_median(bare, min(runs, 3)))


def _page_of(name: str, query: str) -> Callable[[], None]:
    """What asks for the page of a question."""
    import datetime as dt

    from django.test import Client
    from django.urls import NoReverseMatch, reverse

    from rollbackhub.accounts.models import User
    from rollbackhub.analytics.answer import AnalyticsFilter
    from rollbackhub.analytics.questions import question_module
    from rollbackhub.common.clock import now

    try:
        address = reverse("analytics:question", args=[name.replace("_", "-")]) + query
    except NoReverseMatch:
        wanted = AnalyticsFilter() if query else AnalyticsFilter(since=now().date() - dt.timedelta(days=364))

        def answer() -> None:
            for figure in question_module(name).answer(wanted).figures:
                figure.figure.to_json()

        return answer
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(User.objects.get(username="lead"))

    def page() -> None:
        response = client.get(address)
        assert response.status_code == 200, (address, response.status_code)

    return page


def _median(act: Callable[[], None], runs: int) -> float:
    """Milliseconds, after a first time that does not count."""
    act()
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


def _print_table(costs: dict[str, list[Cost]], *, sizes: Sequence[int]) -> bool:
    small, large = (f"{size:,}" for size in sizes)
    print(f"\n{'question':<14}{f'page, {small}':>15}{f'page, {large}':>17}{'last year':>12}{'bare SQL':>11}{'page/bare':>11}{'growth':>8}")
    passed = True
    for name, (before, after) in costs.items():
        times_bare, growth = after.page / after.bare, after.page / before.page
        wrong = [
            *(["over twice its bare SQL"] if times_bare > TIMES_BARE and after.page > LIGHT_MS else []),
            *([f"over {MOST_MS:.0f} ms"] if max(after.page, after.last_year) > MOST_MS else []),
            *([f"grows over {GROWTH:.0f} times"] if growth > GROWTH else []),
        ]
        passed = passed and not wrong
        print(
            f"{name:<14}{before.page:>12.0f} ms{after.page:>14.0f} ms{after.last_year:>9.0f} ms{after.bare:>8.0f} ms{times_bare:>11.2f}{growth:>8.1f}"
            f"{'   ' + ', '.join(wrong) if wrong else ''}"
        )
    return passed


def _print_rollups() -> None:
    """What the rollups take beside the facts, what keeping them costs, and that they are right."""
    from django.db import connection, transaction

    from rollbackhub.analytics.domain.recount import recount
    from rollbackhub.analytics.models import RunFact

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_size_pretty(pg_total_relation_size(relid)), n_live_tup FROM pg_stat_user_tables"
            " WHERE relname LIKE 'analytics\\_%' AND relname !~ 'import' ORDER BY pg_total_relation_size(relid) DESC"
        )
        print()
        for name, taken, rows in cursor.fetchall():
            print(f"{name:<28}{rows:>10,} rows{taken:>10}")
    newest = list(RunFact.objects.filter(kind="rollback").order_by("-at")[:200])

    def correct() -> None:
        with transaction.atomic():
            for fact in newest:
                RunFact.objects.filter(pk=fact.pk).update(detect_seconds=(fact.detect_seconds or 0) + 1)
            transaction.set_rollback(True)

    print(f"correcting the detection of one run: {_median(correct, 3) / len(newest):.1f} ms, its rollups with it")
    began = time.perf_counter()
    differing = recount(mend=False)
    print(f"recount: {time.perf_counter() - began:.1f} s, {len(differing)} rows differ")
    assert not differing, differing[0]


if __name__ == "__main__":
    sys.exit(main())
