"""Who may call what. Each endpoint names its permission; one that forgets is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from rollbackhub.accounts.models import ApiToken
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.common.errors import Forbidden

if TYPE_CHECKING:
    # rest_framework.views imports this module, by the settings.
    from rest_framework.views import APIView


class NothingByDefault(BasePermission):
    """Refuses everybody."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Never."""
        return False


class CapabilityPermission(BasePermission):
    """Asks accounts.rules for one capability; nobody signed in is a 401, somebody who may not a 403 with its reason."""

    capability: ClassVar[Capability | None]

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether this person, through this token, has the capability. Raises Forbidden with a sentence."""
        if not request.user.is_authenticated:
            return False
        if self.capability is not None:
            require(user=request.user, capability=self.capability, token=token_of(request))
        return True


class MayView(CapabilityPermission):
    """Any role."""

    capability = Capability.VIEW


class MayDrill(CapabilityPermission):
    """Start and stop drills."""

    capability = Capability.DRILL


class MayRoute(CapabilityPermission):
    """Change routing policies."""

    capability = Capability.ROUTE


class MayConfigure(CapabilityPermission):
    """Set up aliases and procedures."""

    capability = Capability.CONFIGURE


class MayRegister(CapabilityPermission):
    """Register versions."""

    capability = Capability.REGISTER


class MayRelease(CapabilityPermission):
    """Plan, rehearse and promote releases."""

    capability = Capability.RELEASE


class MayAudit(CapabilityPermission):
    """Read the audit log."""

    capability = Capability.AUDIT


class IsSignedIn(CapabilityPermission):
    """Anybody who is signed in, roles or not: for what concerns only themselves."""

    capability = None


class MayRollBack(CapabilityPermission):
    """Request and run production rollbacks."""

    capability = Capability.ROLL_BACK


class MayRespond(CapabilityPermission):
    """Open incidents and work on them and on their postmortems."""

    capability = Capability.RESPOND


class InPerson(CapabilityPermission):
    """For decisions: by a person in a signed-in session, never by a token."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """As its capability says; raises Forbidden `token_not_allowed` for a token."""
        if token_of(request) is not None:
            raise Forbidden("No token may do this: sign in and decide it as yourself.", code="token_not_allowed")
        return super().has_permission(request, view)


class MayRollBackInPerson(InPerson):
    """Break the glass, roll forward."""

    capability = Capability.ROLL_BACK


class MayRespondInPerson(InPerson):
    """Review a postmortem."""

    capability = Capability.RESPOND


class MayApproveInPerson(InPerson):
    """Approve and reject."""

    capability = Capability.APPROVE


class MayLeadInPerson(InPerson):
    """What takes a lead."""

    capability = Capability.LEAD


class MayViewInPerson(MayView):
    """Any role, by a signed-in session: no token may do it."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """As MayView; raises Forbidden `session_only` for a token."""
        if token_of(request) is not None:
            raise Forbidden("No token may do this: sign in and do it as yourself.", code="session_only")
        return super().has_permission(request, view)


def token_of(request: Request) -> ApiToken | None:
    """The API token that the request came with; None for a session."""
    return request.auth if isinstance(request.auth, ApiToken) else None


def permissions_of(view: type[Any], method: str) -> list[type[BasePermission]]:
    """The permission classes that a view asks for a method."""
    named = getattr(view, "permission_by_method", {}).get(method)
    return [named] if named else list(view.permission_classes)
