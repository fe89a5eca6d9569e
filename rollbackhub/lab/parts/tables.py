"""A data set in a Delta table, and an index that is built from it."""

from __future__ import annotations

from pathlib import Path

import arro3.core as arrow
from deltalake import DeltaTable, write_deltalake

from rollbackhub.lab.catalogue import BAD, GOOD, LabVersion
from rollbackhub.lab.deployer.settings import Service
from rollbackhub.lab.parts.base import LabConnection, LabPart, MovedAlias

ALIAS = "support-articles"
OLD, NEW = f"{ALIAS}-2026-10", f"{ALIAS}-2026-11"
TARGET_SECONDS = 300
_SUBJECTS = ("refund", "invoice", "plan", "password", "export", "delivery", "discount", "contract", "address", "trial")


class TablesPart(LabPart):
    """`support-articles` (data set): the table's version 0 is good, version 1 has lost a part of its rows."""

    name = "delta"

    @property
    def root(self) -> Path:
        """Where the tables are, a folder an environment."""
        return self.folder / "tables"

    def prepare(self) -> None:
        """Write both versions."""
        for environment in self.environments:
            folder = str(self.root / environment / ALIAS)
            if DeltaTable.is_deltatable(folder):
                continue
            Path(folder).mkdir(parents=True, exist_ok=True)
            write_deltalake(folder, _articles(OLD, range(400)))
            write_deltalake(folder, _articles(NEW, range(0, 400, 3)), mode="overwrite")

    def services(self) -> dict[str, Service]:
        """The index of each environment."""
        return {f"{ALIAS}-{environment}": Service(kind="index", table=str(self.root / environment / ALIAS)) for environment in self.environments}

    def aliases(self) -> list[MovedAlias]:
        """The newer version serves, the older one is what to go back to."""
        versions = (
            LabVersion(label=OLD, quality=GOOD, changelog="Known good: 400 articles.", uri=f"delta:{ALIAS}@0", lifecycle="superseded"),
            LabVersion(label=NEW, quality=BAD, changelog="A filter went wrong: two thirds of the articles are gone.", uri=f"delta:{ALIAS}@1", lifecycle="live"),
        )
        targets = {
            environment: {"table": ALIAS, "consumers": [{"url": self.status_url(ALIAS, environment), "field": "version"}]} for environment in self.environments
        }
        candidates = ((f"delta:{NEW}:lab", NEW, 100), (f"delta:{OLD}:lab", OLD, 0))
        return [MovedAlias(ALIAS, "Support articles (lab)", "dataset", "delta", versions, candidates, targets, target_seconds=TARGET_SECONDS)]

    def connections(self, environment: str) -> list[LabConnection]:
        """The environment's tables."""
        return [LabConnection("delta", {"root": str(self.root / environment)})]


def _articles(version: str, numbers: range) -> arrow.Table:
    texts = [f"Article {number} about {_SUBJECTS[number % len(_SUBJECTS)]}, as of {version[-7:]}" for number in numbers]
    return arrow.Table.from_pydict(
        {
            "id": arrow.Array(list(numbers), arrow.DataType.int64()),
            "text": arrow.Array(texts, arrow.DataType.string()),
            "version": arrow.Array([version] * len(texts), arrow.DataType.string()),
        }
    )
