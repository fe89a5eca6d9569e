"""Jobs that are run for a version: re-baseline against an eval set, rebuild an index from a Delta table. Real work on small data."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from rollbackhub.lab.deployer.services import Refused, Services, UnknownVersion
from rollbackhub.lab.deployer.settings import DeployerSettings, Service
from rollbackhub.lab.deployer.store import Store

Progress = Callable[[float, str], None]
_WORD = re.compile(r"[a-z0-9]{2,}")
STEPS = 10


class Jobs:
    """Runs each job in a thread of its own; what it says stands on disk."""

    def __init__(self, settings: DeployerSettings, store: Store, services: Services) -> None:
        self._settings = settings
        self._store = store
        self._services = services
        self._kinds: dict[str, Callable[[Mapping[str, Any], Progress], dict[str, Any]]] = {"rebaseline": self._rebaseline, "rebuild_index": self._rebuild_index}

    def start(self) -> None:
        """What ran when the process ended has failed. Indexes that were never built are built now."""
        for job in self._store.every("jobs"):
            if job["state"] == "running":
                self._store.write("jobs", job["job_id"], {**job, "state": "failed", "message": "The deployer was restarted meanwhile."})
        for name, service in self._settings.services.items():
            if service.kind == "index" and self._store.read("indexes", name) is None:
                self._build(name, service, lambda percent, said: None)

    def require_known(self, job: str) -> None:
        """Raise Refused when there is no such job."""
        if job not in self._kinds:
            raise Refused(f"There is no job {job}; there are {', '.join(sorted(self._kinds))}.")

    def begin(self, *, job_id: str, message: Mapping[str, Any]) -> None:
        """Start a job. Raises Refused."""
        self.require_known(str(message.get("job")))
        if self._store.read("jobs", job_id) is not None:
            return
        self._store.write("jobs", job_id, {"job_id": job_id, "job": message["job"], "state": "running", "progress": 0})
        threading.Thread(target=self._run, args=(job_id, message), name=f"job-{job_id}", daemon=True).start()

    def status(self, job_id: str) -> dict[str, Any] | None:
        """Where it stands."""
        return self._store.read("jobs", job_id)

    def _run(self, job_id: str, message: Mapping[str, Any]) -> None:
        kept: dict[str, Any] = {"job_id": job_id, "job": message["job"], "state": "running"}

        def progress(percent: float, said: str) -> None:
            self._store.write("jobs", job_id, {**kept, "progress": percent, "message": said})
            time.sleep(self._settings.step_seconds)

        try:
            result = self._kinds[str(message["job"])](message, progress)
        except Exception as error:
            # Whatever it was: whoever asked for the job has to know that it is not done.
            self._store.write("jobs", job_id, {**kept, "state": "failed", "message": f"{type(error).__name__}: {error}"[:500]})
            raise
        self._store.write("jobs", job_id, {**kept, "state": "succeeded", "progress": 100, "message": result.pop("said"), "result": result})

    def _rebaseline(self, message: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """Score the lab's rule model against each case of the set: the one that the branch holds now, or that of the version's own file."""
        version, file = self._cases_of(message)
        cases = [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
        if not cases:
            raise Refused("The eval set has no cases.")
        right = 0
        for number, case in enumerate(cases, start=1):
            right += _rule_model(str(case["question"])) == case["expected"]
            if number % max(1, len(cases) // STEPS) == 0:
                progress(100 * number / len(cases), f"{number} of {len(cases)} cases")
        baseline = {"version": version, "score": right / len(cases), "cases": len(cases)}
        self._store.write("baselines", f"{_service_name(message)}:{version}", baseline)
        return {**baseline, "said": f"{right} of {len(cases)} cases right: {100 * right / len(cases):.1f} %."}

    def _cases_of(self, message: Mapping[str, Any]) -> tuple[str, Path]:
        """An eval set's version and its file. Raises Unknown, Refused."""
        name = _service_name(message)
        service = self._services.named(name)
        if service.kind == "git":
            version, folder = self._services.checkout(name)
            return version, folder / "cases.jsonl"
        label = str((message.get("version") or {}).get("label", ""))
        # The label comes from a request: it is compared with what is there, never made into a path.
        found = {path.stem: path for path in Path(service.evals).glob("*.jsonl")} if service.evals else {}
        if label not in found:
            raise UnknownVersion(f"There are no cases of {label}.")
        return label, found[label]

    def _rebuild_index(self, message: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        """Build the index of words anew from the table as it is now."""
        name = _service_name(message)
        return self._build(name, self._services.named(name), progress)

    def _build(self, name: str, service: Service, progress: Progress) -> dict[str, Any]:
        table = DeltaTable(service.table)
        rows = _rows(table)
        terms: dict[str, list[int]] = {}
        step = max(1, len(rows) // STEPS)
        for number, row in enumerate(rows, start=1):
            for word in sorted(set(_WORD.findall(str(row["text"]).lower()))):
                terms.setdefault(word, []).append(int(row["id"]))
            if number % step == 0:
                progress(95 * number / len(rows), f"{number} of {len(rows)} documents")
        texts = {str(row["id"]): row["text"] for row in rows}
        # Which version the table holds is what its rows say, not what was asked for.
        labels = {str(row["version"]) for row in rows}
        version = labels.pop() if len(labels) == 1 else ""
        digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()
        built = {"version": version, "state": "succeeded", "table_version": table.version(), "count": len(rows), "digest": f"sha256:{digest}"}
        # Exchanged whole: a search sees the old index or the new one.
        self._store.write("indexes", name, {**built, "terms": terms, "documents": texts})
        return {**built, "said": f"{len(rows)} documents, {len(terms)} words, from the table's version {table.version()}."}

    def search(self, name: str, words: str) -> dict[str, Any]:
        """The documents that have all of the words. Raises Refused, Unknown."""
        self._services.named(name)
        index = self._store.read("indexes", name)
        if index is None:
            raise Refused(f"There is no index {name} yet.")
        found = [set(index["terms"].get(word, ())) for word in _WORD.findall(words.lower())]
        hits = sorted(set.intersection(*found)) if found else []
        return {"version": index["version"], "hits": [{"id": hit, "text": index["documents"][str(hit)]} for hit in hits[:20]]}


def _rows(table: DeltaTable) -> list[dict[str, Any]]:
    names = ("id", "text", "version")
    return [
        dict(zip(names, values, strict=True))
        for batch in table.scan(columns=list(names))
        for values in zip(*(batch.column(name).to_pylist() for name in names), strict=True)
    ]


def _service_name(message: Mapping[str, Any]) -> str:
    parameters = message.get("parameters")
    if not isinstance(parameters, Mapping):
        raise Refused("The job has no parameters.")
    return str(parameters.get("service") or f"{parameters.get('alias')}-{parameters.get('environment')}")


def _rule_model(question: str) -> str:
    """The lab's model for eval sets: a simulation by one rule."""
    return "refund" if "refund" in question.lower() or "money back" in question.lower() else "other"


def baseline_of(store: Store, *, name: str, version: str) -> dict[str, Any] | None:
    """The baseline of an eval set's version, when there is one."""
    return store.read("baselines", f"{name}:{version}")
