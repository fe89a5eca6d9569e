"""Jobs through the deploy hook, run for real by the receiver: a re-baseline of an eval set, an index of a Delta table."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import arro3.core as arrow
import pytest
from deltalake import DeltaTable, write_deltalake

from rollbackhub.common.errors import RollbackHubError, TransientError
from rollbackhub.connectors.deploy import DeployConnector
from rollbackhub.connectors.mechanism import JobReport, JobState, ProblemCode, ProblemFound
from tests.connectors.deploy_receiver import SECRET, SIGNING, Receiver, running_receiver
from tests.connectors.mlflow_server import relay_to
from tests.connectors.test_deploy import connector, version
from tests.ports import free_port

CASES = [("I want a refund", "refund"), ("Where is my invoice?", "other"), ("money back please", "refund"), ("refund?", "other")]


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIGNING, SECRET)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two versions: 40 documents, then 10."""
    folder = str(tmp_path_factory.mktemp("tables") / "articles")
    write_deltalake(folder, _articles("d1", 40))
    write_deltalake(folder, _articles("d2", 10), mode="overwrite")
    return folder


def _articles(label: str, count: int) -> arrow.Table:
    texts = [f"Article {number} of {label} about {'refunds' if number % 4 == 0 else 'plans'}" for number in range(count)]
    return arrow.Table.from_pydict(
        {
            "id": arrow.Array(list(range(count)), arrow.DataType.int64()),
            "text": arrow.Array(texts, arrow.DataType.string()),
            "version": arrow.Array([label] * count, arrow.DataType.string()),
        }
    )


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory, table: str) -> Iterator[Receiver]:
    evals = tmp_path_factory.mktemp("evals")
    (evals / "v1.jsonl").write_text("".join(json.dumps({"question": question, "expected": expected}) + "\n" for question, expected in CASES))
    (evals / "broken.jsonl").write_text("{not json\n")
    options = ["--service=evals=v2,v1", f"--evals={evals}", f"--index=articles={table}", "--step-seconds=0.05"]
    with running_receiver(tmp_path_factory.mktemp("state"), *options) as found:
        yield found


def start(mechanism: DeployConnector, job: str, *, key: str, label: str = "v1", **parameters: Any) -> str:
    return mechanism.start_job(job=job, version=version(label), parameters=parameters, key=key, reason="lead@x: wrong labels")


def ended(mechanism: DeployConnector, job_id: str) -> tuple[JobReport, list[float | None]]:
    """The last report, and the progress that was seen on the way."""
    progress: list[float | None] = []

    def is_over() -> bool:
        report = mechanism.read_job(job_id=job_id)
        if report.progress not in progress:
            progress.append(report.progress)
        return report.state != JobState.RUNNING

    Receiver.wait(is_over)
    return mechanism.read_job(job_id=job_id), progress


def test_rebaseline_scores_the_versions_cases_and_says_for_which_version(receiver: Receiver) -> None:
    mechanism = connector(receiver.address)
    assert mechanism.check_jobs(job="rebaseline") == []
    assert receiver.get("/services/evals/baselines/v1")[0] == 404
    report, progress = ended(mechanism, start(mechanism, "rebaseline", key="e1:baseline", service="evals"))
    assert report.state == JobState.SUCCEEDED
    assert report.result == {"version": "v1", "score": 0.75, "cases": 4}
    assert len(progress) > 2, "it was seen on the way"
    assert progress == sorted(progress, key=lambda value: value or 0)
    assert receiver.get("/services/evals/baselines/v1")[1]["score"] == 0.75


def test_rebuilt_index_is_of_the_tables_version_and_answers(receiver: Receiver, table: str) -> None:
    mechanism = connector(receiver.address)
    assert receiver.get("/indexes/articles")[1]["version"] == "d2"
    DeltaTable(table).restore(0)
    job_id = start(mechanism, "rebuild_index", key="e1:index", service="articles")
    assert receiver.get("/indexes/articles")[1]["count"] == 10, "searches see the old index until the new one is whole"
    report, progress = ended(mechanism, job_id)
    assert (report.state, report.result["version"], report.result["table_version"], report.result["count"]) == (JobState.SUCCEEDED, "d1", 2, 40)
    assert len(progress) > 3
    status = receiver.get("/indexes/articles")[1]
    assert (status["version"], status["table_version"], status["count"]) == ("d1", 2, 40)
    hits = receiver.get("/indexes/articles/search?q=refunds+36")[1]["hits"]
    assert [hit["id"] for hit in hits] == [36]


def test_same_key_starts_a_job_once_also_after_the_answer_was_lost(receiver: Receiver) -> None:
    with relay_to(receiver.port) as relay:
        mechanism = connector(relay.address)
        relay.fault = lambda method, path: "lose_answer"
        with pytest.raises(TransientError, match="Whether the job rebaseline was begun is not known"):
            start(mechanism, "rebaseline", key="e2:baseline", service="evals")
        relay.fault = lambda method, path: "pass"
        jobs = set(_jobs_of(receiver))
        job_id = start(mechanism, "rebaseline", key="e2:baseline", service="evals")
        assert start(mechanism, "rebaseline", key="e2:baseline", service="evals") == job_id
        assert set(_jobs_of(receiver)) == jobs
        assert ended(mechanism, job_id)[0].state == JobState.SUCCEEDED


def _jobs_of(receiver: Receiver) -> list[str]:
    """The jobs that the receiver has on its disk."""
    return sorted(path.name for path in (receiver.folder / "jobs").glob("*.json"))


def test_start_killed_before_it_is_recorded_starts_one_job_when_resumed(receiver: Receiver) -> None:
    mechanism = connector(receiver.address)
    before = len(_jobs_of(receiver))
    child = os.fork()
    if child == 0:
        try:
            start(mechanism, "rebaseline", key="e3:baseline", service="evals")
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert len(_jobs_of(receiver)) == before + 1
    assert ended(mechanism, start(mechanism, "rebaseline", key="e3:baseline", service="evals"))[0].state == JobState.SUCCEEDED
    assert len(_jobs_of(receiver)) == before + 1


def test_job_that_nobody_knows_is_found_beforehand_and_refused(receiver: Receiver) -> None:
    mechanism = connector(receiver.address)
    before = _jobs_of(receiver)
    [problem] = mechanism.check_jobs(job="retrain")
    assert "There is no job retrain" in problem.found
    with pytest.raises(ProblemFound) as caught:
        start(mechanism, "retrain", key="e4", service="evals")
    assert "There is no job retrain" in caught.value.message
    with pytest.raises(ProblemFound) as caught:
        mechanism.read_job(job_id="nobody")
    assert caught.value.problem.code == ProblemCode.NOT_RESTORED
    assert _jobs_of(receiver) == before


@pytest.mark.parametrize(("label", "says"), [("broken", "JSONDecodeError"), ("v0", "There are no cases of v0"), ("../evals/v1", "There are no cases")])
def test_job_that_fails_says_why(receiver: Receiver, label: str, says: str) -> None:
    mechanism = connector(receiver.address)
    report, _ = ended(mechanism, start(mechanism, "rebaseline", key=f"e5:{label}", label=label, service="evals"))
    assert report.state == JobState.FAILED
    assert says in report.message


def test_job_that_died_with_the_receiver_has_failed_and_the_old_index_stays(tmp_path: Path) -> None:
    folder = str(tmp_path / "table")
    write_deltalake(folder, _articles("d1", 20))
    with running_receiver(tmp_path / "state", f"--index=articles={folder}", "--step-seconds=1") as own:
        write_deltalake(folder, _articles("d2", 5), mode="overwrite")
        mechanism = connector(own.address)
        job_id = start(mechanism, "rebuild_index", key="e1", service="articles")
        Receiver.wait(lambda: (mechanism.read_job(job_id=job_id).progress or 0) > 0)
        own.kill()
        with pytest.raises(TransientError):
            mechanism.read_job(job_id=job_id)
        own.options[-1] = "--step-seconds=0"
        own.start()
        report = mechanism.read_job(job_id=job_id)
        assert (report.state, report.message) == (JobState.FAILED, "The deployer was restarted meanwhile.")
        assert own.get("/indexes/articles")[1]["version"] == "d1"
        assert start(mechanism, "rebuild_index", key="e1", service="articles") == job_id
        assert mechanism.read_job(job_id=job_id).state == JobState.FAILED, "the same key does not run it again"
        report, _ = ended(mechanism, start(mechanism, "rebuild_index", key="e2", service="articles"))
        assert (report.state, report.result["version"]) == (JobState.SUCCEEDED, "d2")


def test_receiver_that_is_down_or_runs_no_jobs(receiver: Receiver) -> None:
    down = connector(f"http://127.0.0.1:{free_port()}")
    assert [problem.code for problem in down.check_jobs(job="rebaseline")] == [ProblemCode.UNREACHABLE]
    for act in (lambda: start(down, "rebaseline", key="k"), lambda: down.read_job(job_id="k")):
        with pytest.raises(TransientError):
            act()
    without = connector(receiver.address, job_url="", job_status_url="")
    [problem] = without.check_jobs(job="rebaseline")
    assert (problem.code, problem.found) == (ProblemCode.CONFIG_MISMATCH, "no job_url")
    for act in (lambda: start(without, "rebaseline", key="k"), lambda: without.read_job(job_id="k")):
        with pytest.raises(ProblemFound):
            act()


def test_receiver_that_does_not_honour_keys_is_not_asked_for_a_job_again(receiver: Receiver) -> None:
    with relay_to(receiver.port) as relay:
        relay.fault = lambda method, path: "lose_answer"
        with pytest.raises(RollbackHubError) as caught:
            start(connector(relay.address, honours_idempotency_key=False), "rebaseline", key="e9", service="evals")
    assert caught.value.code == "effect_unknown"
    assert not isinstance(caught.value, TransientError)
