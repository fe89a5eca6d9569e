"""The error hierarchy. The same error reads the same on a page, in the API and on the command line.

Each has a code, an HTTP status, a sentence that says what is wrong and what to do, and details per field.
"""

from __future__ import annotations

from collections.abc import Mapping


class RollbackHubError(Exception):
    """Base of every error that a person may see."""

    code = "error"
    status = 500
    title = "Something went wrong"

    def __init__(self, message: str, *, code: str | None = None, fields: Mapping[str, list[str]] | None = None, **extra: object) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.fields: dict[str, list[str]] = dict(fields or {})
        self.extra = extra
        """Further members for the answer (ids and addresses of the thing that stands in the way)."""


class InvalidInput(RollbackHubError):
    """What was sent cannot be used; nothing was changed."""

    code, status, title = "invalid_input", 422, "The input cannot be used"


class NotFound(RollbackHubError):
    """There is no such thing, or the caller may not know of it."""

    code, status, title = "not_found", 404, "Not found"


class Forbidden(RollbackHubError):
    """The caller is known and may not do this."""

    code, status, title = "forbidden", 403, "Not allowed"


class MethodNotAllowed(RollbackHubError):
    """There is such an address, and it is not asked like this."""

    code, status, title = "method_not_allowed", 405, "This is no page"


class Conflict(RollbackHubError):
    """The state of things forbids it now (someone was faster, something is running)."""

    code, status, title = "conflict", 409, "In conflict with the present state"


class Unavailable(RollbackHubError):
    """A part that is needed does not answer; try again later."""

    code, status, title = "unavailable", 503, "A needed part is not available"


class TransientError(RollbackHubError):
    """A connector's call failed in a way that is worth a retry."""

    code, status, title = "transient", 503, "A system did not answer"


class LeaseLost(RollbackHubError):
    """This worker's claim on an execution has ended; whatever it still wanted to write must not be written."""

    code, status, title = "lease_lost", 409, "The claim on the execution has ended"
