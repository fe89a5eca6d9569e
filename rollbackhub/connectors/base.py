"""What every connector is: typed settings, a stated promise, and errors that say whether a retry is worth it."""

from __future__ import annotations

import enum
import functools
import importlib
import pkgutil
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rollbackhub.common.errors import InvalidInput, RollbackHubError
from rollbackhub.common.typed_words import problems_in_words
from rollbackhub.connectors.secret_refs import find_secrets


class Promise(enum.StrEnum):
    """What an action can promise when it is tried again after a crash (DESIGN.md §4.4)."""

    CAS = "cas"
    """Compare-and-set on an expected revision."""
    IDEMPOTENT = "idempotent"
    """The same key twice has one effect."""
    CONVERGENT = "convergent"
    """Reads, compares, sets."""
    AT_LEAST_ONCE = "at_least_once"
    """Never retried blindly: after a crash its step is unknown until a person decides."""
    READ_ONLY = "read_only"
    """Has no effect at all."""


class PermissionMissing(RollbackHubError):
    """The system answers, and refuses us what we need there. A retry changes nothing."""

    code, status, title = "permission_missing", 503, "A system refuses RollbackHub"


REFUSALS = (401, 403)
"""HTTP statuses that mean it."""


class ConnectorSettings(BaseModel):
    """Base of every connector's settings. They hold no secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)


SettingsT = TypeVar("SettingsT", bound=ConnectorSettings)

_connectors: dict[str, type[Connector[Any]]] = {}


class Connector(Generic[SettingsT]):
    """One kind of real system. A subclass with a `name` registers itself."""

    name: ClassVar[str] = ""
    settings_type: ClassVar[type[ConnectorSettings]]

    def __init__(self, settings: SettingsT, *, timeout_seconds: float = 1.0) -> None:
        self.settings = settings
        self.timeout_seconds = timeout_seconds

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.name:
            _connectors[cls.name] = cls

    @classmethod
    def parse_settings(cls, values: object) -> Any:
        """Typed settings from stored JSON. Raises InvalidInput with a sentence per field."""
        return parse_typed(cls.settings_type, values, what=f"settings of the {cls.name} connection", code="invalid_connection", whole="settings")


def parse_typed(kind: type[BaseModel], values: object, *, what: str, code: str, whole: str) -> Any:
    """A typed model from JSON that a person wrote. `whole`: the place of what is wrong with all of it.

    Raises InvalidInput with a sentence per field. What looks like a secret is refused; no value that was refused is repeated.
    """
    secrets = find_secrets(values)
    if secrets:
        fields = {place or whole: ["This looks like a secret. Store only where it is: env:NAME or file:/path, in the field for it."] for place in secrets}
        raise InvalidInput(
            f"The {what} must not hold a secret: see {', '.join(secrets)}. Write env:NAME or file:/path in the field for it.", code=code, fields=fields
        )
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        fields = problems_in_words(error, kind, whole=whole)
        said = " ".join(f"{place}: {sentences[0]}" if place != whole else sentences[0] for place, sentences in fields.items())
        # Without its cause: that one repeats what was written.
        raise InvalidInput(f"The {what} cannot be used. {said}", code=code, fields=fields) from None


@functools.cache
def _discover() -> None:
    """Import every folder beside this file: connectors register themselves."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)], __package__ + "."):
        if module.ispkg:
            importlib.import_module(module.name)


def list_connector_names() -> list[str]:
    """The names of all connectors, sorted."""
    _discover()
    return sorted(_connectors)


def connector_type(name: str) -> type[Connector[Any]]:
    """A connector by its name. Raises InvalidInput when there is none."""
    _discover()
    if name not in _connectors:
        raise InvalidInput(f"There is no connector {name!r}; there are {', '.join(list_connector_names())}.", code="unknown_connector")
    return _connectors[name]
