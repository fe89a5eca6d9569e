"""The lab's optional parts: one real system each, most with an alias that RollbackHub moves there. `LAB_PARTS` says which run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rollbackhub.lab.parts.alertmanager import AlertmanagerPart
from rollbackhub.lab.parts.balancer import BalancerPart
from rollbackhub.lab.parts.base import LabConnection, LabPart, MovedAlias
from rollbackhub.lab.parts.git import GitPart
from rollbackhub.lab.parts.mlflow import MlflowPart
from rollbackhub.lab.parts.prometheus import PrometheusPart
from rollbackhub.lab.parts.tables import TablesPart
from rollbackhub.lab.ports import Ports

PARTS: dict[str, type[LabPart]] = {part.name: part for part in (GitPart, TablesPart, BalancerPart, MlflowPart, PrometheusPart, AlertmanagerPart)}
AUTO = "auto"


def choose_parts(names: Iterable[str], *, environments: Sequence[str], ports: Ports, folder: Path, hub_url: str) -> tuple[list[LabPart], dict[str, str]]:
    """The parts of these names, and why others do not run. `auto`: those that this machine has. Raises ValueError for an unknown name."""
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in PARTS and name != AUTO]
    if unknown:
        raise ValueError(f"LAB_PARTS names {', '.join(unknown)}; there are {', '.join([AUTO, *PARTS])}")
    chosen: list[LabPart] = []
    missing: dict[str, str] = {}
    for name, kind in PARTS.items():
        if name not in wanted and AUTO not in wanted:
            continue
        part = kind(environments=environments, ports=ports, folder=folder, hub_url=hub_url)
        why = part.missing()
        if not why and kind.needs and kind.needs not in {found.name for found in chosen}:
            why = f"it needs the part {kind.needs} beside it"
        if why:
            missing[name] = why
        else:
            chosen.append(part)
    for part in chosen:
        part.beside = frozenset(found.name for found in chosen)
    return chosen, missing


__all__ = ["AUTO", "PARTS", "LabConnection", "LabPart", "MovedAlias", "choose_parts"]
