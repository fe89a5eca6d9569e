"""A prompt in an MLflow registry, whose alias says which version serves."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx

from rollbackhub.common import clock
from rollbackhub.common.config import BASE_DIR
from rollbackhub.lab.catalogue import BAD, GOOD, LabVersion
from rollbackhub.lab.children import Child
from rollbackhub.lab.parts.base import LabConnection, LabPart, MovedAlias
from rollbackhub.lab.ports import LOOPBACK

logger = logging.getLogger(__name__)

ALIAS = "support-tone"
PROGRAM = BASE_DIR / ".venv-mlflow" / "bin" / "mlflow"
API = "/api/2.0/mlflow/"
CALL_SECONDS = 3.0
TRY_SECONDS = 2.0
_TEXTS = ("Answer in two friendly sentences: {{question}}", "Answer like a lawyer, at length: {{question}}")
EXISTS = "RESOURCE_ALREADY_EXISTS"


class MlflowPart(LabPart):
    """`support-tone` (prompt): version 2 serves, version 1 is what to go back to."""

    name = "mlflow"
    seeded = False
    """It has the prompt."""
    _try_at = 0.0

    def missing(self) -> str:
        """The server, in an environment of its own."""
        return "" if PROGRAM.exists() else "MLflow is not installed: run `make mlflow` (about 850 MB), then start the lab again"

    def ports_used(self) -> dict[str, int]:
        """The server's."""
        return {"MLflow": self.ports.mlflow}

    def prepare(self) -> None:
        """Its folder."""
        (self.folder / "mlflow").mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.ports.mlflow}"

    def children(self) -> list[Child]:
        """The server; it takes some 20 s to come up."""
        place: Path = self.folder / "mlflow"
        command = [str(PROGRAM), "server", "--backend-store-uri", f"sqlite:///{place}/mlflow.db", "--artifacts-destination", str(place / "artifacts")]
        command += ["--host", LOOPBACK, "--port", str(self.ports.mlflow), "--workers", "1"]
        return [Child(name="mlflow", command=lambda: command, folder=self.folder)]

    def aliases(self) -> list[MovedAlias]:
        """Both versions of the prompt."""
        labels = [f"{ALIAS}-v{number}" for number in (1, 2)]
        versions = (
            LabVersion(label=labels[0], quality=GOOD, changelog="Known good: friendly and short.", uri=f"prompts:/{ALIAS}/1", lifecycle="superseded"),
            LabVersion(label=labels[1], quality=BAD, changelog="Formal and long: users complain.", uri=f"prompts:/{ALIAS}/2", lifecycle="live"),
        )
        candidates = ((f"mlflow:{labels[1]}:lab", labels[1], 100), (f"mlflow:{labels[0]}:lab", labels[0], 0))
        targets = {environment: {"model": ALIAS, "alias": environment} for environment in self.environments}
        return [MovedAlias(ALIAS, "Support tone prompt (lab)", "prompt", "mlflow", versions, candidates, targets)]

    def connections(self, environment: str) -> list[LabConnection]:
        """The server; its clients' cache is MLflow's own 60 s."""
        return [LabConnection("mlflow", {"address": self.address})]

    def follow(self) -> None:
        """Once the server answers, make the prompt with its versions and aliases. An alias that exists stays where it points."""
        if self.seeded or clock.monotonic() < self._try_at:
            return
        self._try_at = clock.monotonic() + TRY_SECONDS
        try:
            with httpx.Client(base_url=self.address + API, timeout=CALL_SECONDS, trust_env=False) as client:
                self._seed(client)
        except httpx.TransportError:
            # It takes its time to come up.
            return
        except httpx.HTTPStatusError as error:
            logger.warning("MLflow does not take the lab's prompt: %s", error.response.text[:300])
            return
        self.seeded = True
        logger.info("MLflow has the prompt %s", ALIAS)

    def _seed(self, client: httpx.Client) -> None:
        is_prompt = {"key": "mlflow.prompt.is_prompt", "value": "true"}
        _make(client, "registered-models/create", {"name": ALIAS, "tags": [is_prompt]})
        for number, text in enumerate(_TEXTS, start=1):
            found = client.get("model-versions/get", params={"name": ALIAS, "version": str(number)})
            if found.status_code == httpx.codes.NOT_FOUND:
                tags = [is_prompt, {"key": "mlflow.prompt.text", "value": text}]
                _make(client, "model-versions/create", {"name": ALIAS, "source": "prompt-template", "tags": tags})
        for environment in self.environments:
            if client.get("registered-models/alias", params={"name": ALIAS, "alias": environment}).status_code != httpx.codes.OK:
                _make(client, "registered-models/alias", {"name": ALIAS, "alias": environment, "version": "2"})


def _make(client: httpx.Client, path: str, content: dict[str, object]) -> None:
    answer = client.post(path, json=content)
    if answer.status_code == httpx.codes.BAD_REQUEST and answer.json().get("error_code") == EXISTS:
        return
    answer.raise_for_status()
