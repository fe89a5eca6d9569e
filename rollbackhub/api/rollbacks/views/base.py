"""What every act on a rollback does alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.fields import ApiSerializer, NoBody
from rollbackhub.api.idempotency import once
from rollbackhub.api.permissions import MayRollBack
from rollbackhub.api.rollbacks.queries import add_addresses, describe
from rollbackhub.api.views import ApiView
from rollbackhub.common.errors import Conflict
from rollbackhub.rollbacks.domain.selectors import get_rollback


class RollbackAction(ApiView):
    """Something that is done to a rollback; answered with the rollback as it stands then."""

    permission_classes = [MayRollBack]
    body: ClassVar[type[ApiSerializer]] = NoBody

    def act(self, rollback_id: UUID, values: Mapping[str, Any]) -> None:
        """The domain function, with the checked body."""
        raise NotImplementedError

    def answer(self, request: Request, rollback_id: UUID) -> Response:
        """Do it once, answer with the rollback."""

        def do(key: str | None) -> Response:
            get_rollback(rollback_id)
            wanted = self.body(data=request.data)
            wanted.is_valid(raise_exception=True)
            try:
                self.act(rollback_id, wanted.validated_data)
            except Conflict as error:
                raise add_addresses(error) from error
            return Response(describe(rollback_id))

        return once(request, do, refusals_leave_traces=True)
