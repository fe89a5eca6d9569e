"""The few calls of MLflow's REST API that an alias needs (https://mlflow.org/docs/latest/api_reference/rest-api.html; read from 3.17.2 itself)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from rollbackhub.common.errors import TransientError, Unavailable
from rollbackhub.common.http import Response, guarded_request
from rollbackhub.connectors.base import REFUSALS, PermissionMissing
from rollbackhub.connectors.mlflow.settings import MlflowSettings, MlflowTarget
from rollbackhub.connectors.secret_refs import SecretMissing, read_secret

_ALIAS = "/api/2.0/mlflow/registered-models/alias"
_MODEL = "/api/2.0/mlflow/registered-models/get"
_VERSION = "/api/2.0/mlflow/model-versions/get"
_CURRENT_USER = "/api/2.0/mlflow/users/current"
_PERMISSION = "/api/3.0/mlflow/users/permissions/get"
_GRANTS = "/api/3.0/mlflow/users/current/permissions"
_ORDER = ["NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE"]
"""Permissions by what they allow (mlflow/server/auth/permissions.py)."""
_NOT_SAID = (403, 404, 405)
"""HTTP statuses of a server that knows no such question."""
_PROMPT_TAG = "mlflow.prompt.is_prompt"
_LATER = (408, 429)
"""HTTP statuses that are worth a retry."""
_MAX_BYTES = 4_000_000


class Missing(Exception):
    """MLflow itself says that there is no such thing: not an address that leads elsewhere."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What the server says that we may do with a model."""

    user: str
    name: str

    @property
    def may_move_aliases(self) -> bool:
        """MLflow asks for `can_update`, which these two have (mlflow/server/auth/permissions.py)."""
        return self.name in {"EDIT", "MANAGE"}


class MlflowClient:
    """Calls one server. Every call may raise TransientError, PermissionMissing, SecretMissing, OutboundRefused and Unavailable."""

    def __init__(self, settings: MlflowSettings, *, timeout_seconds: float) -> None:
        self._settings = settings
        self._timeout_seconds = timeout_seconds

    def is_prompt(self, model: str) -> bool:
        """Whether a registered model is a prompt. Raises Missing when there is none of this name."""
        response = self._get(_MODEL, {"name": model})
        found = self._content(response).get("registered_model", {})
        _text(response, found, "name")
        return any(tag.get("key") == _PROMPT_TAG and str(tag.get("value")).lower() == "true" for tag in found.get("tags", []))

    def alias_version(self, target: MlflowTarget) -> str | None:
        """The number that the alias points to, None without such an alias. Raises Missing when there is no such model."""
        response = self._get(_ALIAS, {"name": target.model, "alias": target.alias})
        # A missing model is 404; a missing alias 400, with the code that every wrong parameter has, so its sentence decides. Both names were checked.
        if response.status == 400 and _error_code(response) in {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"} and "not found" in response.text:
            return None
        return _text(response, self._content(response), "model_version", "version")

    def version_status(self, *, model: str, number: str) -> str:
        """READY, PENDING_REGISTRATION or FAILED_REGISTRATION. Raises Missing when there is no such version."""
        response = self._get(_VERSION, {"name": model, "version": number})
        return _text(response, self._content(response), "model_version", "status")

    def set_alias(self, target: MlflowTarget, *, number: str) -> None:
        """Point the alias to this version. Raises Missing when there is no such version."""
        body = json.dumps({"name": target.model, "alias": target.alias, "version": number}).encode()
        self._content(self._send("POST", _ALIAS, content=body))

    def permission(self, *, model: str, is_prompt: bool) -> Permission | None:
        """What the server says that we may do with this model. None: it does not say (it knows no users, or others than MLflow's own)."""
        current = self._send("GET", _CURRENT_USER)
        if current.status in _NOT_SAID:
            return None
        user = _text(current, self._content(current), "user", "username")
        # For prompts it answers only about all of them together (`*`); what is granted for one by its name stands in the list of grants.
        kind, thing = ("prompt", "*") if is_prompt else ("registered_model", model)
        answer = self._get(_PERMISSION, {"username": user, "resource_type": kind, "resource_id": thing})
        if answer.status in _NOT_SAID:
            return None
        name = _text(answer, self._content(answer), "permission")
        return self._prompt_permission(user, model, in_general=name) if is_prompt else Permission(user=user, name=name)

    def _prompt_permission(self, user: str, model: str, *, in_general: str) -> Permission | None:
        """The highest permission that anything gives us on a prompt: what is doubtful (workspaces) is left for `apply` to show."""
        response = self._get(_GRANTS, {})
        if response.status in _NOT_SAID:
            return None
        content = self._content(response)
        if _text(response, content, "is_admin") == "True":
            return Permission(user=user, name="MANAGE")
        names = [in_general]
        for grant in content.get("permissions", []):
            place = (grant.get("resource_type"), grant.get("resource_pattern"))
            if place in {("prompt", model), ("prompt", "*"), ("workspace", "*")}:
                names.append(str(grant.get("permission")))
        return Permission(user=user, name=max(names, key=lambda name: _ORDER.index(name) if name in _ORDER else -1))

    def _get(self, path: str, query: Mapping[str, str]) -> Response:
        return self._send("GET", f"{path}?{urlencode(query)}")

    def _send(self, method: str, path: str, *, content: bytes = b"") -> Response:
        headers = {"Accept": "application/json", **self._login()}
        if content:
            headers["Content-Type"] = "application/json"
        address = self._settings.address + path
        return guarded_request(method, address, timeout_seconds=self._timeout_seconds, max_bytes=_MAX_BYTES, headers=headers, content=content)

    def _login(self) -> dict[str, str]:
        if self._settings.token_ref:
            return {"Authorization": f"Bearer {read_secret(self._settings.token_ref)}"}
        if self._settings.login_ref:
            login = read_secret(self._settings.login_ref)
            if ":" not in login:
                raise SecretMissing(f"What {self._settings.login_ref} leads to is not of the form user:password. Put it there in this form.")
            return {"Authorization": "Basic " + base64.b64encode(login.encode()).decode("ascii")}
        return {}

    def _content(self, response: Response) -> dict[str, Any]:
        """The answer's JSON object. What is not a success is raised as what it means."""
        if response.status in REFUSALS:
            remedy = "Check the connection's login." if response.status == 401 else "Its user needs the permission EDIT on the model or prompt."
            raise PermissionMissing(f"{response.url} answered {response.status}. {remedy}")
        if response.status in _LATER:
            raise TransientError(f"{response.url} answered {response.status}: it has too much to do.", code="busy")
        if response.status >= 400:
            code = _error_code(response)
            if response.status == 404 and code == "RESOURCE_DOES_NOT_EXIST":
                raise Missing
            said = f"{code}: {response.json().get('message', '')}"[:300] if code else "but not as MLflow does; check the connection's address"
            raise Unavailable(f"{response.url} answered {response.status}, {said}.", code="unexpected_answer")
        content = response.json()
        if not isinstance(content, dict):
            raise _unknown_shape(response)
        return content


def _text(response: Response, content: Any, *path: str) -> str:
    """A member of an answer. Raises Unavailable when it is not there: something else than MLflow answers, or another version of it."""
    for part in path:
        if not isinstance(content, dict) or part not in content:
            raise _unknown_shape(response)
        content = content[part]
    return str(content)


def _unknown_shape(response: Response) -> Unavailable:
    return Unavailable(f"{response.url} answered in an unknown shape; check the connection's address.", code="unexpected_answer")


def _error_code(response: Response) -> str:
    """MLflow's own code of an error; empty when the answer is not MLflow's."""
    try:
        content = json.loads(response.body)
    except ValueError:
        return ""
    return str(content.get("error_code", "")) if isinstance(content, dict) else ""
