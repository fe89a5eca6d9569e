"""Idempotency-Key: the same POST sent again acts once and gets the same answer.

The key's row, the act and the kept answer are one transaction. A second request with the key waits on the unique index until the first has committed
(then it gets the kept answer) or failed (then it acts itself). Errors are not kept: what was refused has done nothing and may be tried again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, connection, transaction
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.models import KeptAnswer
from rollbackhub.api.permissions import token_of
from rollbackhub.common.errors import Conflict, InvalidInput, RollbackHubError

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT_DAYS = 7
_KEY = re.compile(r"[A-Za-z0-9._:@/+=-]{1,100}")
_FORGOTTEN_AT_ONCE = 20


def key_of(request: Request) -> str | None:
    """The request's key; None without one. Raises InvalidInput when it cannot be one."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    # The draft standard writes it as a quoted string; most clients send it bare.
    bare = key[1:-1] if len(key) > 2 and key[0] == key[-1] == '"' else key
    if not _KEY.fullmatch(bare):
        sentence = "An Idempotency-Key has 1 to 100 letters, digits or . _ : @ / + = - (a UUID is fine)."
        raise InvalidInput(sentence, code="invalid_idempotency_key", fields={HEADER: [sentence]})
    return bare


def once(request: Request, act: Callable[[str | None], Response], *, secret_members: tuple[str, ...] = (), refusals_leave_traces: bool = False) -> Response:
    """Do `act(key)` and answer with its response, or with the kept answer of the same request before.

    Members named in `secret_members` are answered once and not kept: null in a replay. `refusals_leave_traces`: what the domain wrote
    although it refused (a request that has expired, a plan that was renewed) stays, with a key as without one.
    Raises InvalidInput for a bad key and Conflict `idempotency_key_reused` when the key belongs to another request.
    """
    key = key_of(request)
    if key is None:
        return act(None)
    owner = _owner(request)
    wanted = _hash_of(request)
    kept = KeptAnswer.objects.filter(owner=owner, key=key).first()
    if kept is not None:
        return _replay(kept, wanted)
    refusal: RollbackHubError | None = None
    with transaction.atomic():
        try:
            with transaction.atomic():
                row = KeptAnswer.objects.create(owner=owner, key=key, request_hash=wanted)
        except IntegrityError:
            return _replay(KeptAnswer.objects.get(owner=owner, key=key), wanted)
        try:
            response = act(key)
        except RollbackHubError as error:
            if not refusals_leave_traces:
                raise
            refusal = error
            row.delete()
        else:
            _keep(row, response, secret_members=secret_members)
            _forget_old()
    if refusal is not None:
        raise refusal
    return response


def _keep(row: KeptAnswer, response: Response, *, secret_members: tuple[str, ...]) -> None:
    body = json.loads(json.dumps(response.data, cls=DjangoJSONEncoder))
    row.status = response.status_code
    row.body = json.dumps({name: None if name in secret_members else value for name, value in body.items()})
    row.location = response.headers.get("Location", "")
    row.save(update_fields=["status", "body", "location"])


def _replay(kept: KeptAnswer, wanted: str) -> Response:
    if kept.request_hash != wanted:
        raise Conflict("This Idempotency-Key was used for another request. Use a new key for a new request.", code="idempotency_key_reused")
    headers = {REPLAYED: "true"}
    if kept.location:
        headers["Location"] = kept.location
    return Response(json.loads(kept.body), status=kept.status, headers=headers)


def _owner(request: Request) -> str:
    token = token_of(request)
    return f"user:{request.user.pk}/token:{token.token_key}" if token else f"user:{request.user.pk}"


def _hash_of(request: Request) -> str:
    parts = [request.method, request.get_full_path(), request.data]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, cls=DjangoJSONEncoder).encode()).hexdigest()


def _forget_old() -> None:
    """Take away a few answers that are too old; those that another process is taking away are left to it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM api_keptanswer WHERE id IN (SELECT id FROM api_keptanswer WHERE created_at < now() - make_interval(days => %s)"
            " ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED)",
            [KEPT_DAYS, _FORGOTTEN_AT_ONCE],
        )


def created(content: dict[str, Any], *, at: str) -> Response:
    """201 with the address of what was made."""
    return Response(content, status=201, headers={"Location": at})
