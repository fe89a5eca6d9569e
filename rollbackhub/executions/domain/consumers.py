"""Asking what uses a version which one it uses: the only thing that shows what runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.http import guarded_get
from rollbackhub.connectors.base import REFUSALS
from rollbackhub.connectors.mechanism import Consumer
from rollbackhub.executions.domain.context import StepContext, describe
from rollbackhub.executions.domain.mechanisms import BoundMechanism

TIMEOUT_SECONDS = 2.0
MAX_BYTES = 1_000_000
MAX_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Look:
    """What every consumer said at one look: the label of the version it uses (or its own words for another), or why it could not be asked."""

    answers: Mapping[str, str]
    wrong: Mapping[str, str]
    """Consumers that use something else."""
    errors: Mapping[str, str]
    kept: Mapping[str, Any]
    """The same as it was kept, with what each said word for word and the names that were wanted: it is judged again from that."""

    @property
    def all_right(self) -> bool:
        """Every consumer answered, and uses what was wanted."""
        return not self.wrong and not self.errors

    @property
    def in_words(self) -> str:
        """What is not right, or how many are."""
        if self.all_right:
            return f"{len(self.answers)} of {len(self.answers)} consumers use {', '.join(sorted(set(self.answers.values())))}"
        said = [f"{url} uses {version}" for url, version in self.wrong.items()] + [f"{url} was not heard ({why})" for url, why in self.errors.items()]
        return "; ".join(said)


def ask_consumers(context: StepContext, moved_by: BoundMechanism, *, wanted: Mapping[str, str]) -> Look:
    """Ask each consumer once, and keep what it said. `wanted`: names of the versions that it may use → label."""
    said: dict[str, str] = {}
    errors: dict[str, str] = {}
    for consumer in moved_by.target.consumers:
        try:
            said[consumer.url] = read_version(consumer)
        except RollbackHubError as error:
            errors[consumer.url] = describe(error)
    answers = {url: wanted.get(name, name) for url, name in said.items()}
    wrong = {url: name for url, name in said.items() if name not in wanted}
    value = {"answers": answers, "wrong": wrong, "errors": errors, "said": said, "wanted": dict(wanted)}
    context.keep_sample(kind="consumers", source=f"consumers of {moved_by.name}", value=value)
    return Look(answers, wrong, errors, value)


def read_version(consumer: Consumer) -> str:
    """What a consumer says that it uses. Raises RollbackHubError when it does not say it."""
    answer = guarded_get(consumer.url, timeout_seconds=TIMEOUT_SECONDS, max_bytes=MAX_BYTES)
    if answer.status in REFUSALS:
        raise RollbackHubError(f"{answer.url} refuses to say which version it uses (HTTP {answer.status}).", code="permission_missing")
    if answer.status != 200:
        raise RollbackHubError(f"{answer.url} answered HTTP {answer.status}.", code="unreachable")
    value: Any = answer.json()
    for part in consumer.field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise RollbackHubError(f"{answer.url} does not say {consumer.field}.", code="unreadable_answer")
    return str(value)[:MAX_SHOWN]
