"""How often the target is met: shares with Wilson's intervals, and what so few runs say."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from rollbackhub.analytics.answer import AnalyticsFilter
from rollbackhub.analytics.enums import RunKind
from rollbackhub.analytics.questions import hit_rate
from rollbackhub.analytics.questions.saying import per_cent
from tests.analytics.test_durations_question import END, alias_in, figure, rows
from tests.factories.analytics import add_facts


def by_hand(hits: int, runs: int) -> tuple[float, float]:
    """Wilson's formula."""
    z = 1.959963984540054
    share, middle = hits / runs, z * z / runs
    reach = z * math.sqrt(share * (1 - share) / runs + z * z / (4 * runs * runs))
    return (share + middle / 2 - reach) / (1 + middle), (share + middle / 2 + reach) / (1 + middle)


@pytest.mark.parametrize(("hits", "runs"), [(0, 5), (5, 5), (1, 3), (81, 263), (999, 1000)])
def test_wilson_is_wilson(hits: int, runs: int) -> None:
    assert hit_rate.wilson([hits], [runs])[0] == pytest.approx(by_hand(hits, runs), abs=1e-9)


def test_runs_without_a_target_say_what_would_fill_it(db: None) -> None:
    add_facts(alias_in("staging"), [10.0], end=END, target_seconds=None)
    answer = hit_rate.answer(AnalyticsFilter())
    assert (answer.figures, answer.tables) == ((), ())
    assert answer.empty.endswith("Only runs of what has a target count here.")


def test_shares_have_their_intervals_and_small_numbers_are_said_to_be(db: None) -> None:
    add_facts(alias_in("staging"), [10.0] * 36 + [700.0] * 4, end=END, every=dt.timedelta(hours=1))
    add_facts(alias_in("staging"), [None, None], end=END)
    add_facts(alias_in("production"), [10.0] * 3 + [700.0], end=END, kind=RunKind.ROLLBACK, every=dt.timedelta(hours=1))
    answer = hit_rate.answer(AnalyticsFilter())
    drills, production, together = rows(answer, "By change type")
    assert drills == ["Model", "Drills", 36, 40, 0.9, *map(pytest.approx, by_hand(36, 40))]
    assert production[:5] == ["Model", "Production", 3, 4, 0.75]
    assert together == ["Model", "Together", 39, 44, pytest.approx(39 / 44), *map(pytest.approx, by_hand(39, 44))]
    assert [row[0] for row in rows(answer, "By month")] == [dt.date(2026, 3, 1)] * 3
    assert answer.headline == (
        "3 of 4 production rollbacks met their target: 75 % (95 % interval 30 % to 95 %; so few say little); "
        "36 of 40 drills met their target: 90 % (95 % interval 77 % to 96 %)."
    )
    assert "2 drills ended without being seen restored and are not counted: as misses they would bring the share of drills to 86 %." in answer.notes
    first, second = figure(answer, "hit-rate-by-month")["data"]
    assert (first["line"]["dash"], first["marker"]["symbol"]) != (second["line"]["dash"], second["marker"]["symbol"])
    assert first["error_y"]["array"][0] == pytest.approx(100 * by_hand(36, 40)[1] - 90, abs=0.001)
    assert [trace["name"] for trace in figure(answer, "hit-rate-by-type")["data"]] == ["Drills", "Production"]
    assert answer.extra["production_low"] == pytest.approx(by_hand(3, 4)[0])


def test_no_production_run_is_said_to_be_none(db: None) -> None:
    add_facts(alias_in("staging"), [10.0] * 30, end=END)
    assert hit_rate.answer(AnalyticsFilter()).headline.startswith("No production rollback with a target was measured; 30 of 30 drills met their target: 100 %")


@pytest.mark.parametrize(("share", "said"), [(0.5, "50 %"), (0.996, "99.6 %"), (1, "100 %"), (0, "0 %"), (0.004, "0.4 %"), (0.123, "12 %")])
def test_per_cent_claims_neither_all_nor_none(share: float, said: str) -> None:
    assert per_cent(share) == said
