"""What an action is: typed parameters, a promise for the case of a crash, and one method that acts and observes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.typed_words import problems_in_words
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.verification.evidence import CheckOutcome


class Params(BaseModel):
    """Base of every action's parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How a step ended. Only `passed` lets the procedure go on; `at` is the observed instant of what the step waited for."""

    verdict: Verdict
    message: str
    at: dt.datetime | None = None
    drained_at: dt.datetime | None = None
    """Since when nothing goes to the bad version, of a step that saw it after the drain: counts when what was restored had been revoked."""
    result: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[FindingDraft, ...] = ()
    checks: tuple[CheckOutcome, ...] = ()


_actions: dict[str, Action] = {}


class Action:
    """One kind of step. A subclass with a `name` registers itself."""

    name: ClassVar[str] = ""
    promise: ClassVar[Promise]
    params_type: ClassVar[type[Params]] = Params

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.name:
            _actions[cls.name] = cls()

    def promise_in(self, plan: Mapping[str, Any], params: Any) -> Promise:
        """What it can promise with this plan: where a system decides that, it is the system's promise."""
        return self.promise

    def run(self, context: StepContext, params: Any) -> StepOutcome:
        """Act if the action acts, observe until what is wanted is seen or the time is over, and say what was seen.

        May raise LeaseLost and CancelRequested (from the context), and TransientError to be tried again.
        """
        raise NotImplementedError


def list_action_names() -> list[str]:
    """The names of all actions, sorted."""
    return sorted(_actions)


def get_action(name: str) -> Action:
    """An action by its name. Raises InvalidInput when there is none."""
    if name not in _actions:
        raise InvalidInput(f"There is no action {name!r}; there are {', '.join(list_action_names())}.", code="unknown_action")
    return _actions[name]


def parse_params(*, action: str, params: Mapping[str, Any]) -> Any:
    """Typed parameters of an action. Raises InvalidInput naming each wrong one."""
    try:
        return get_action(action).params_type.model_validate(dict(params))
    except ValidationError as error:
        fields = problems_in_words(error, get_action(action).params_type, whole="params")
        said = " ".join(f"{place}: {sentences[0]}" for place, sentences in fields.items())
        raise InvalidInput(f"The parameters of {action} cannot be used. {said}", code="invalid_params", fields=fields) from error
