"""The process that uses the Delta library: one question a line comes in as JSON, one answer a line goes out.

A call into the library cannot be interrupted, a process can be ended: so what is over its time is really over. It is started by its path with an empty
environment and knows nothing of the hub; the options, secret ones among them, come by its standard input.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from deltalake import CommitProperties, DeltaTable
from deltalake._internal import DeltaFileSystemHandler

MAX_COMMITS = 10_000
MAX_NAMED = 50
KEY = "rollbackhub.key"
_AT_ONCE = 16


class Refused(Exception):
    """The question cannot be answered; the text says why. `args[0]` is one of the kinds that the connector knows."""


def look(uri: str, options: dict[str, str], *, root: str, versions: list[int], key: str | None, files_of: int | None) -> dict[str, Any]:
    """The newest version, and for each version asked for: what changed the data since the table last had its content."""
    table = _open(uri, options, root=root)
    found: dict[str, Any] = {"tip": table.version(), "features": _features(table), "versions": {}, "refused": _refused_to_write(uri)}
    log = _Log(uri, options)
    for version in versions:
        found["versions"][str(version)] = _since(uri, options, table, log, version)
    if key is not None:
        found["key_version"] = log.version_of_key(key, after=min(versions), last=table.version())
    if files_of is not None and "gone" not in found["versions"].get(str(files_of), {"gone": ""}):
        found["files"] = _missing_files(uri, options, DeltaTable(uri, version=files_of, storage_options=options))
    return found


def restore(uri: str, options: dict[str, str], *, tip: int, version: int, metadata: dict[str, str]) -> dict[str, Any]:
    """Make the next version after `tip`, with the content of `version`. Raises CommitFailedError when there is a newer one than `tip`.

    No retry by the library: it would put the restore on top of what somebody has committed meanwhile, unseen.
    """
    table = DeltaTable(uri, version=tip, storage_options=options)
    table.restore(version, commit_properties=CommitProperties(custom_metadata=dict(metadata), max_commit_retries=0))
    return {"version": tip + 1}


def _open(uri: str, options: dict[str, str], *, root: str) -> DeltaTable:
    if uri.startswith("/"):
        if not os.path.isdir(root):
            raise Refused("unreachable", f"the folder {root} is not there")
        if os.path.commonpath([os.path.realpath(root), os.path.realpath(uri)]) != os.path.realpath(root):
            raise Refused("escapes", "it leads out of the root by a link")
        if os.path.isdir(uri) and not os.access(uri, os.R_OK | os.X_OK):
            raise Refused("refused", f"the folder {uri} may not be read")
    return DeltaTable(uri, storage_options=options)


def _refused_to_write(uri: str) -> str:
    """Why we may not commit here, as far as that can be known without doing it. Of object storage it cannot."""
    log = f"{uri}/_delta_log"
    return f"the folder {log} may not be written" if uri.startswith("/") and not os.access(log, os.W_OK | os.X_OK) else ""


def _features(table: DeltaTable) -> list[str]:
    protocol = table.protocol()
    return sorted({*(protocol.reader_features or []), *(protocol.writer_features or [])})


class _Log:
    """The table's commits, each read once."""

    def __init__(self, uri: str, options: dict[str, str]) -> None:
        self._files = DeltaFileSystemHandler(uri, options, None)
        self._read: dict[int, list[dict[str, Any]]] = {}

    def between(self, after: int, last: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """The commits after one up to another. Raises FileNotFoundError at one that the log does not hold any more."""
        for number in range(after + 1, last + 1):
            yield number, self._actions(number)

    def version_of_key(self, key: str, *, after: int, last: int) -> int | None:
        """The commit that carries this key, looked for from the newest back to `after`, as far as the log goes."""
        for number in range(last, max(after, last - MAX_COMMITS), -1):
            try:
                actions = self._actions(number)
            except FileNotFoundError:
                return None
            if _info(actions).get(KEY) == key:
                return number
        return None

    def _actions(self, number: int) -> list[dict[str, Any]]:
        if number not in self._read:
            file = self._files.open_input_file(f"_delta_log/{number:020d}.json")
            self._read[number] = [json.loads(line) for line in bytes(file.read(file.size())).splitlines() if line.strip()]
        return self._read[number]


def _since(uri: str, options: dict[str, str], table: DeltaTable, log: _Log, version: int) -> dict[str, Any]:
    """The commits that changed rows or schema since the table last had this version's content, by following the log from that version on."""
    if version > table.version():
        return {"gone": f"the newest version is {table.version()}"}
    try:
        base = DeltaTable(uri, version=version, storage_options=options)
    except Exception as error:
        # The library says it in many ways; that the newest could be opened shows that the table is there and answers.
        if _kind(error) in {"refused", "unreachable"}:
            raise
        return {"gone": "the table's log does not hold it any more"}
    start, schema = _paths(base), _schema(base)
    said: dict[str, Any] = {"features": _features(base), "changed": [], "count": 0, "by_log": True}
    if table.version() - version > MAX_COMMITS:
        return said | _compared(base, table, f"there are more than {MAX_COMMITS} commits since")
    now, schema_now = set(start), schema
    changed: list[dict[str, Any]] = []
    try:
        for number, actions in log.between(version, table.version()):
            schema_before, schema_now = schema_now, next((_schema_of(one["metaData"]) for one in actions if "metaData" in one), schema_now)
            now -= {unquote(one["remove"]["path"]) for one in actions if "remove" in one}
            now |= {unquote(one["add"]["path"]) for one in actions if "add" in one}
            touched = any(one[verb].get("dataChange", True) for one in actions for verb in ("add", "remove") if verb in one)
            if now == start and schema_now == schema:
                changed = []
            elif touched or schema_now != schema_before:
                changed.append(_named(number, actions))
    except FileNotFoundError:
        return said | _compared(base, table, "the log does not hold every commit since")
    return said | {"changed": changed[-MAX_NAMED:], "count": len(changed)}


def _compared(base: DeltaTable, table: DeltaTable, why: str) -> dict[str, Any]:
    """Without the commits: whether both have the same files and schema."""
    same = _paths(base) == _paths(table) and _schema(base) == _schema(table)
    return {"by_log": False, "why": why, "count": 0 if same else table.version() - base.version()}


def _paths(table: DeltaTable) -> set[str]:
    return {unquote(str(path)) for path in table.get_add_actions().column("path").to_pylist()}


def _schema(table: DeltaTable) -> Any:
    return [json.loads(table.schema().to_json()), table.metadata().partition_columns]


def _schema_of(metadata: dict[str, Any]) -> Any:
    return [json.loads(metadata["schemaString"]), metadata.get("partitionColumns", [])]


def _info(actions: list[dict[str, Any]]) -> dict[str, Any]:
    return next((one["commitInfo"] for one in actions if "commitInfo" in one), {})


def _named(number: int, actions: list[dict[str, Any]]) -> dict[str, Any]:
    info = _info(actions)
    return {"version": number, "operation": str(info.get("operation", "unknown"))[:40], "at": info.get("timestamp"), "key": info.get(KEY)}


def _missing_files(uri: str, options: dict[str, str], table: DeltaTable) -> dict[str, int]:
    """How many of a version's files are not there any more. Several at once: of object storage each is a question of its own."""
    paths = list(table.file_uris())
    if uri.startswith("/"):
        there = [Path(path).exists() for path in paths]
    else:
        files = DeltaFileSystemHandler(uri, options, None)
        prefix = table.table_uri.rstrip("/") + "/"

        def exists(path: str) -> bool:
            try:
                files.open_input_file(path.removeprefix(prefix))
            except FileNotFoundError:
                return False
            return True

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            there = list(pool.map(exists, paths))
    return {"all": len(paths), "missing": there.count(False)}


def _kind(error: BaseException) -> str:
    """What an error of the library means: it has few types, so its words are looked at."""
    text = str(error).lower()
    if isinstance(error, Refused):
        return str(error.args[0])
    if any(
        word in text for word in ("permission denied", "accessdenied", "access denied", "forbidden", "unauthorized", "invalidaccesskeyid", "read-only file")
    ):
        return "refused"
    if any(word in text for word in ("signaturedoesnotmatch", "os error 13", "os error 30", "without required permission")):
        return "refused"
    if "missing file" in text:
        return "missing"
    if any(word in text for word in ("error sending request", "timed out", "timeout", "connection", "server error", "500 ", "502 ", "503 ", "error after")):
        return "unreachable"
    if type(error).__name__ == "CommitFailedError" or "already exists" in text:
        return "late"
    return "not_there" if type(error).__name__ == "TableNotFoundError" else "failed"


def main() -> None:
    """Answer until nobody asks."""
    deeds: dict[str, Callable[..., dict[str, Any]]] = {"look": look, "restore": restore}
    sys.stdout.write("{}\n")  # It has started: its time is counted from here.
    sys.stdout.flush()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = deeds[asked.pop("do")](**asked)
        except BaseException as error:  # The library's panics are no Exception; every failure is an answer.
            answer = {"error": _kind(error), "says": str(error.args[-1] if isinstance(error, Refused) else error)[:2000]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
