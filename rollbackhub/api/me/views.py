"""Who am I?"""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.accounts.rules import Capability, may
from rollbackhub.api.me.serializers import MeRow
from rollbackhub.api.permissions import IsSignedIn, token_of
from rollbackhub.api.views import ApiView


class Me(ApiView):
    """The caller."""

    permission_classes = [IsSignedIn]

    @extend_schema(operation_id="me_retrieve", summary="Who you are and what you may do", responses=MeRow)
    def get(self, request: Request) -> Response:
        """Also for people without a role: they see that they have none."""
        person, token = self.person, token_of(request)
        content = {
            "id": person.pk,
            "username": person.username,
            "name": name_of(person),
            "email": person.email,
            "timezone": person.timezone,
            "roles": sorted(person.roles),
            "capabilities": [str(capability) for capability in Capability if may(user=person, capability=capability, token=token)],
            "token": token,
        }
        return Response(MeRow(content).data)
