"""The fingerprint of a rollback path: all that a proof is bound to, and what of it has changed since. Pure: no database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785

Path = Mapping[str, Any]
"""`alias`; `procedure`: name and hash; `checks`: by key, when the artefact has its own; `runbook`: hash; `target`: digest by version label;
`candidates`: version pin by candidate id; `connections`: by environment and connector the settings (references only, never a secret).
Weights are not part of it.
"""

UNKNOWN = "not known"
NOTHING = object()
"""A member that is not there: not the same as null."""

SHOWN = 120
"""Characters of a value that are shown."""


@dataclass(frozen=True, slots=True)
class PathChange:
    """One thing that is not as it was when the path was proven."""

    part: str
    """`procedure`, `target`, `alias`, `candidates`, `connections`, `checks` or `runbook`."""
    what: str
    """What of it, e.g. `staging / envoy / admins / gateway-1`; the same as the part when it has no parts."""
    old: str
    new: str

    @property
    def in_words(self) -> str:
        """`connections (staging / envoy / admins / gateway-1): http://a:1 → http://b:1`."""
        where = "" if self.what == self.part else f" ({self.what})"
        return f"{self.part}{where}: {self.old} → {self.new}"


def canonical_hash(content: object) -> str:
    """SHA-256 (hex) over the RFC 8785 form of JSON content: the order of keys does not matter."""
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(content: object) -> bytes:
    try:
        return rfc8785.dumps(content)  # type: ignore[arg-type]
    except rfc8785.CanonicalizationError:
        # RFC 8785 knows no whole numbers beyond 2^53. One such setting must not take the readiness of every alias away.
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def fingerprint(path: Path, *, settings_hashes: Mapping[tuple[str, str], str] | None = None) -> str:
    """SHA-256 (hex) over everything that the path depends on. A procedure's name does not count, its content does.

    `settings_hashes`: hashes of connections' settings by environment and connector, when many paths share them.
    """
    known = settings_hashes or {}
    connections = {
        environment: {connector: known.get((environment, connector)) or canonical_hash(settings) for connector, settings in found.items()}
        for environment, found in path["connections"].items()
    }
    return canonical_hash({**path, "procedure": path["procedure"]["hash"], "connections": connections})


def path_gone(then: Path, *, has_procedure: bool) -> list[PathChange]:
    """What is missing where there is no path any more: the procedure, else the version to go back to."""
    if not has_procedure:
        return [PathChange("procedure", "procedure", then["procedure"]["name"] if then else UNKNOWN, "none")]
    return [PathChange("target", "version", _labels(then["target"]) if then else UNKNOWN, "none")]


def path_changes(then: Path, now: Path, *, environments: Iterable[str]) -> list[PathChange]:
    """What differs between the path that was proven and the path as it is. Connections are compared in these environments only."""
    if not then:
        return [PathChange("procedure", "the whole path", "run before paths were recorded", str(now["procedure"]["name"]))]
    changes: list[PathChange] = []
    if then["alias"] != now["alias"]:
        changes.append(PathChange("alias", "alias", then["alias"], now["alias"]))
    if then["procedure"]["hash"] != now["procedure"]["hash"]:
        old, new = _told_apart(then["procedure"]["hash"], now["procedure"]["hash"])
        changes.append(PathChange("procedure", "procedure", f"{then['procedure']['name']} ({old})", f"{now['procedure']['name']} ({new})"))
    changes += _target_changes(then["target"], now["target"])
    changes += _differences("candidates", then["candidates"], now["candidates"])
    for environment in sorted(set(environments)):
        before, after = (found["connections"].get(environment, {}) for found in (then, now))
        for connector in sorted(before.keys() | after.keys()):
            changes += _differences("connections", before.get(connector, NOTHING), after.get(connector, NOTHING), at=f"{environment} / {connector}")
    changes += _differences("checks", then.get("checks", {}), now.get("checks", {}))
    if then["runbook"] != now["runbook"]:
        changes.append(PathChange("runbook", "content", *_told_apart(then["runbook"], now["runbook"])))
    return changes


def _target_changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[PathChange]:
    if then.keys() != now.keys():
        return [PathChange("target", "version", _labels(then), _labels(now))]
    return [PathChange("target", f"digest of {label}", *_told_apart(then[label], now[label])) for label in sorted(then) if then[label] != now[label]]


def _differences(part: str, old: Any, new: Any, *, at: str = "") -> list[PathChange]:
    """Leaf by leaf, so that what changed is named and nothing else."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: list[PathChange] = []
        for key in sorted(old.keys() | new.keys()):
            found += _differences(part, old.get(key, NOTHING), new.get(key, NOTHING), at=f"{at} / {key}" if at else key)
        return found
    # In the form that is hashed: 1 and 1.0 are the same there, 1 and true are not.
    if old is new or (NOTHING not in (old, new) and _canonical(old) == _canonical(new)):
        return []
    return [PathChange(part, at or part, *_shown(_text(old), _text(new)))]


def _text(value: Any) -> str:
    if value is NOTHING:
        return "none"
    return value if isinstance(value, str) else _canonical(value).decode()


def _shown(old: str, new: str) -> tuple[str, str]:
    """Both, cut to where they differ when they are long."""
    if max(len(old), len(new)) <= SHOWN:
        return old, new
    same = next((index for index, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    begin = 0 if same < SHOWN - 20 else same - 20
    return _cut(old, begin), _cut(new, begin)


def _cut(text: str, begin: int) -> str:
    shown = text[begin : begin + SHOWN]
    return ("…" if begin else "") + shown + ("…" if begin + SHOWN < len(text) else "")


def _told_apart(old: str, new: str) -> tuple[str, str]:
    """Two digests, short unless they begin alike."""
    short = _short(old), _short(new)
    return short if short[0] != short[1] else (old, new)


def _short(digest: str) -> str:
    return (digest[:19] + "…" if len(digest) > 20 else digest) or UNKNOWN


def _labels(target: Mapping[str, str]) -> str:
    return ", ".join(sorted(target)) or "none"
