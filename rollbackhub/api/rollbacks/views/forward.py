"""Roll-forwards: ship a fix instead."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.idempotency import created, once
from rollbackhub.api.permissions import MayRollBackInPerson
from rollbackhub.api.rollbacks.bodies import RollForwardRequest
from rollbackhub.api.rollbacks.queries import add_addresses, describe, get_fix_version, get_target
from rollbackhub.api.rollbacks.serializers import RollbackDetail
from rollbackhub.api.views import ApiView
from rollbackhub.common.errors import Conflict
from rollbackhub.rollbacks.domain.roll_forward import SkippedGate, start_roll_forward
from rollbackhub.rollbacks.enums import Via


class RollForwardList(ApiView):
    """The start of a roll-forward."""

    permission_classes = [MayRollBackInPerson]

    @extend_schema(
        operation_id="roll_forwards_create",
        summary="Ship a fix instead of rolling back",
        request=RollForwardRequest,
        responses={201: OpenApiResponse(RollbackDetail, description="The rollback that it stands on; follow it at its url (also the Location header)")},
    )
    def post(self, request: Request) -> Response:
        """In a session only, and with the authority that the rollback would take. The gates that it skips go on the record."""
        return once(request, self._start)

    def _start(self, key: str | None) -> Response:
        wanted = RollForwardRequest(data=self.request.data)
        wanted.is_valid(raise_exception=True)
        values = wanted.validated_data
        target = get_target(environment=values["environment"], alias=values["alias"], bad_version=values["bad_version"])
        try:
            forward = start_roll_forward(
                target=target,
                fix_version=get_fix_version(policy=target.policy, label=values["fix_version"]),
                account=self.person,
                actor=self.actor,
                reason=values["reason"],
                skipped_gates=[SkippedGate(**gate) for gate in values["skipped_gates"]],
                via=Via.API,
                percents=values["percents"],
            )
        except Conflict as error:
            raise add_addresses(error) from error
        content = describe(forward.rollback_id)
        return created(content, at=content["url"])
