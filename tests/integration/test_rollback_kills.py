"""Processes are killed in the middle of production rollbacks; each rollback ends by itself, restored and verified, with one flip."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rollbackhub.executions.enums import StepState
from rollbackhub.executions.models import Execution
from rollbackhub.lab.catalogue import BAD_MODEL, SMART_REASONER, SUPPORT_ANSWER
from rollbackhub.registry.models import Artefact
from rollbackhub.rollbacks.models import Rollback
from tests.integration.hub import PLAIN_CHECKS, RESUME_LIMIT_SECONDS, assert_audit_log_verifies, resume_seconds, steps_of
from tests.integration.production import Production, effect_keys, executions_of, say

ALIAS = SMART_REASONER.alias
KEYS = ["preflight", "flip", "propagate", "drain", "verify"]
POINTS = ["boundary-flip", "acted-flip", "middle-propagate", "started-verify", "boundary-end"]


@pytest.fixture(scope="module", autouse=True)
def audit_log_verifies_after_all_of_it(production_hub: Production) -> Iterator[None]:
    """However the tests are shared out: each hub's audit log is whole at its end. A hub's first rollback loads code, so one goes before."""
    Artefact.objects.update(checks=PLAIN_CHECKS)
    production_hub.begin_again()
    production_hub.wait_for(production_hub.roll_back())
    yield
    assert_audit_log_verifies(production_hub.hub)


def assert_done_once(execution: Execution) -> None:
    """Each step done once, one revision for the flip, and the only attempts besides are those that were interrupted."""
    assert [attempt.key for attempt in execution.attempts.filter(state=StepState.DONE)] == KEYS, steps_of(execution)
    assert not execution.attempts.exclude(state__in=(StepState.DONE, StepState.INTERRUPTED)).exists(), steps_of(execution)
    assert effect_keys(execution) == ["flip"]


@pytest.mark.parametrize("target", ["child", "main"])
@pytest.mark.parametrize("point", POINTS)
def test_rollback_whose_worker_is_killed_resumes_by_itself(production: Production, point: str, target: str) -> None:
    hub = production.hub
    restarts = hub.worker.restarts
    hub.arm(point, alias=ALIAS, lines=[*([f"kill {hub.worker.pid}"] if target == "main" else []), "kill self"])
    rollback = production.wait_for(production.roll_back())
    (execution,) = executions_of(rollback.pk)
    assert_done_once(execution)
    assert execution.claims == 2
    seconds = resume_seconds(hub, point, ALIAS, execution)
    say(f"{point}, {target} killed: resumed after {seconds:.2f} s")
    assert seconds <= RESUME_LIMIT_SECONDS
    assert rollback.exposure_observed is not None
    if point == "boundary-flip":
        # For the length of a lease the bad version went on serving, and was counted.
        assert rollback.exposure_observed > 5
    if target == "main":
        hub.wait_up(hub.worker, restarts_before=restarts)


@pytest.mark.parametrize("name", ["sweeper", "housekeeper", "web"])
def test_rollback_survives_the_death_of_any_other_process_with_its_worker(production: Production, name: str) -> None:
    hub = production.hub
    child = next(child for child in hub.children if child.name == name)
    restarts = child.restarts
    hub.arm("middle-propagate", alias=ALIAS, lines=[f"kill {child.pid}", "kill self"])
    rollback = production.wait_for(production.roll_back())
    (execution,) = executions_of(rollback.pk)
    assert_done_once(execution)
    # How soon depends on how soon the dead process starts again; seconds are held above, and for drills in test_kills.py.
    say(f"{name} and worker killed: resumed after {resume_seconds(hub, 'middle-propagate', ALIAS, execution):.2f} s")
    hub.wait_up(child, restarts_before=restarts)


def test_coordinated_rollback_killed_between_its_aliases_goes_on_with_the_second(production: Production) -> None:
    """The worker dies when it is to end the first part: the second is started once, when that end is written."""
    hub = production.hub
    hub.arm("boundary-end", alias=SUPPORT_ANSWER.alias, lines=["kill self"])
    hub.arm("acted-flip", alias=ALIAS, lines=["kill self"])
    rollback = production.wait_for(production.roll_back(SUPPORT_ANSWER.alias, ALIAS, by=production.cast.lead))
    runs = executions_of(rollback.pk)
    assert [execution.claims for execution in runs] == [2, 2]
    for execution in runs:
        assert_done_once(execution)
    assert Rollback.objects.filter(parts__holds_alias=True).count() == 0
    assert production.weights()[BAD_MODEL] == 0
