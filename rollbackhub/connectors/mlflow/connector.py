"""Moves an alias of a registered model or prompt. Who loads by the alias gets the version that it points to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rollbackhub.common.errors import RollbackHubError, TransientError
from rollbackhub.common.http_network import OutboundRefused
from rollbackhub.connectors.base import PermissionMissing, Promise
from rollbackhub.connectors.mechanism import Applied, Change, Mechanism, Observation, Problem, ProblemCode, ProblemFound, Share, VersionRef, serving
from rollbackhub.connectors.mlflow.client import Missing, MlflowClient
from rollbackhub.connectors.mlflow.settings import MlflowSettings, MlflowTarget, number_of
from rollbackhub.connectors.secret_refs import SecretMissing

READY = "READY"
_STOPS = {ProblemCode.UNREACHABLE, ProblemCode.PERMISSION_MISSING}


class MlflowConnector(Mechanism[MlflowSettings, MlflowTarget]):
    """One MLflow server. Its API sets an alias without a condition, so we read, compare and set."""

    name = "mlflow"
    settings_type = MlflowSettings
    target_type = MlflowTarget
    promise = Promise.CONVERGENT

    def preflight(self, *, target: MlflowTarget, before: Sequence[Share], wanted: Sequence[Share]) -> list[Problem]:
        """See Mechanism. Our permission is known beforehand where the server has MLflow's own users (`--app-name basic-auth`); else `apply` shows it."""
        client = self._client()
        looks: list[Callable[[], list[Problem]]] = [
            lambda: self._must_point(client, target, serving(before)),
            lambda: self._must_be_ready(client, target, serving(wanted)),
            lambda: self._must_be_allowed(client, target),
        ]
        problems: list[Problem] = []
        for look in looks:
            problems += self._problems(look)
            if any(problem.code in _STOPS for problem in problems):
                break  # A server that is down or refuses us is one problem, and is not waited for three times.
        return list(dict.fromkeys(problems))

    def plan(self, *, target: MlflowTarget, wanted: Sequence[Share]) -> list[Change]:
        """See Mechanism."""
        number = number_of(target, serving(wanted))
        now = self._standing(self._client(), target)
        return [] if now == number else [Change(subject=target.subject, before=f"version {now}", after=f"version {number}")]

    def apply(self, *, target: MlflowTarget, before: Sequence[Share], wanted: Sequence[Share], key: str, reason: str) -> Applied:
        """See Mechanism. `reason` is not recorded there: an alias has no place for it."""
        old, new = number_of(target, serving(before)), number_of(target, serving(wanted))
        client = self._client()
        now = self._standing(client, target)
        if now == new:
            return Applied(changed=False, revision=f"{target.model}/{new}", note=f"The {target.subject} pointed to version {new} already.")
        if now != old:
            raise ProblemFound(_moved_behind(target, expected=old, found=now))
        self._require_ready(client, target, serving(wanted), new)
        try:
            client.set_alias(target, number=new)
        except Missing as error:
            raise ProblemFound(_gone(target, serving(wanted), new)) from error
        except TransientError as error:
            unsure = f"Whether the {target.subject} was moved to version {new} is not known; the next try reads it first."
            raise TransientError(f"{error.message} {unsure}", code=error.code) from error
        return Applied(changed=True, revision=f"{target.model}/{new}", note=f"The {target.subject} was moved from version {now} to version {new}.")

    def observe(self, *, target: MlflowTarget, wanted: Sequence[Share]) -> Observation:
        """See Mechanism: what the alias points to. Clients that cache it may still use the former version for `settle_seconds`."""
        number = number_of(target, serving(wanted))
        expected = f"{target.subject} at version {number}"
        values = {"model": target.model, "alias": target.alias, "wanted": number}
        try:
            now = self._client().alias_version(target)
        except Missing:
            return Observation(False, expected, f"no model or prompt {target.model}", {**values, "found": None})
        found = f"{target.subject} at version {now}" if now else f"no alias {target.alias} of {target.model}"
        return Observation(now == number, expected, found, {**values, "found": now})

    def settle_seconds(self, *, target: MlflowTarget) -> float:
        """How long clients keep what an alias points to (MLflow's own client: `prompts:/name@alias` for 60 s)."""
        return self.settings.client_cache_seconds

    def served_names(self, *, target: MlflowTarget, version: VersionRef) -> list[str]:
        """Its label and digest, MLflow's number for it, and that with the model's name, as `support-answers/3`."""
        names = super().served_names(target=target, version=version)
        try:
            number = number_of(target, version)
        except ProblemFound:
            return names  # A version of something else has no name here.
        return list(dict.fromkeys([*names, number, f"{target.model}/{number}"]))

    def _client(self) -> MlflowClient:
        return MlflowClient(self.settings, timeout_seconds=self.timeout_seconds)

    def _standing(self, client: MlflowClient, target: MlflowTarget) -> str:
        """The number that the alias points to. Raises ProblemFound when there is no such model or alias."""
        try:
            now = client.alias_version(target)
        except Missing as error:
            raise ProblemFound(_no_model(target)) from error
        if now is None:
            remedy = "Set the alias there, or correct the target: somebody deleted or renamed it."
            raise ProblemFound(Problem(ProblemCode.FLAG_MOVED, target.model, f"the alias {target.alias}", "no such alias", remedy))
        return now

    def _must_point(self, client: MlflowClient, target: MlflowTarget, before: VersionRef) -> list[Problem]:
        number = number_of(target, before)
        now = self._standing(client, target)
        return [] if now == number else [_moved_behind(target, expected=number, found=now)]

    def _must_be_ready(self, client: MlflowClient, target: MlflowTarget, wanted: VersionRef) -> list[Problem]:
        self._require_ready(client, target, wanted, number_of(target, wanted))
        return []

    def _must_be_allowed(self, client: MlflowClient, target: MlflowTarget) -> list[Problem]:
        try:
            permission = client.permission(model=target.model, is_prompt=client.is_prompt(target.model))
        except Missing as error:
            raise ProblemFound(_no_model(target)) from error
        if permission is None or permission.may_move_aliases:
            return []
        remedy = f"Have an administrator of MLflow grant {permission.user} EDIT on {target.model}."
        found = f"{permission.name} for {permission.user}"
        return [Problem(ProblemCode.PERMISSION_MISSING, target.subject, "the permission EDIT", found, remedy)]

    def _require_ready(self, client: MlflowClient, target: MlflowTarget, wanted: VersionRef, number: str) -> None:
        """Raises ProblemFound when MLflow has no such version, or not ready for use."""
        try:
            status = client.version_status(model=target.model, number=number)
        except Missing as error:
            raise ProblemFound(_gone(target, wanted, number)) from error
        if status != READY:
            remedy = "Register it there anew, or roll back to another version."
            raise ProblemFound(Problem(ProblemCode.TARGET_RETIRED, f"version {wanted.label}", f"{target.model}/{number} {READY}", f"it is {status}", remedy))

    def _problems(self, look: Callable[[], list[Problem]]) -> list[Problem]:
        """What a look finds, with what it raises as problems. SecretMissing passes."""
        try:
            return look()
        except ProblemFound as error:
            return [error.problem]
        except SecretMissing:
            raise
        except OutboundRefused as error:
            remedy = "Have an administrator add the host to OUTBOUND_ALLOWED_HOSTS."
            return [Problem(ProblemCode.PERMISSION_MISSING, self.settings.address, "that we may call it", error.message, remedy)]
        except PermissionMissing as error:
            remedy = "Give the connection a login with the permission EDIT on the model or prompt."
            return [Problem(ProblemCode.PERMISSION_MISSING, self.settings.address, "that we may read and change", error.message, remedy)]
        except RollbackHubError as error:
            return [Problem(ProblemCode.UNREACHABLE, self.settings.address, "an answer in time", error.message, "Check that MLflow runs there.")]


def _moved_behind(target: MlflowTarget, *, expected: str, found: str) -> Problem:
    remedy = "Find out who moved it: register and route to what serves now, or set the alias back."
    return Problem(ProblemCode.CONFIG_MISMATCH, target.subject, f"version {expected}", f"version {found}", remedy)


def _no_model(target: MlflowTarget) -> Problem:
    remedy = "Correct the target's model: somebody deleted or renamed it there."
    return Problem(ProblemCode.FLAG_MOVED, target.subject, f"a model or prompt {target.model}", "none of this name", remedy)


def _gone(target: MlflowTarget, version: VersionRef, number: str) -> Problem:
    remedy = "It was deleted there: roll back to another version."
    return Problem(ProblemCode.TARGET_RETIRED, f"version {version.label}", f"{target.model}/{number} in MLflow", "no such version", remedy)
