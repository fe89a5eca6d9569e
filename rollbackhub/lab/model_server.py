"""A model server of the lab: OpenAI's chat completions over HTTP, answered by a simulated model.

The HTTP server and its errors are real; the text, its quality and the time it takes are simulated (catalogue.py).
Run by the lab as `python -m rollbackhub.lab.model_server MODEL PORT`.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys

import uvicorn

from rollbackhub.lab import openai_api
from rollbackhub.lab.asgi import BodyTooLarge, Receive, Scope, Send, read_body, send_json, server_config
from rollbackhub.lab.catalogue import quality_of
from rollbackhub.lab.openai_api import ApiError

VERSION_HEADER = b"x-rollbackhub-version"
CANDIDATE_HEADER = b"x-rollbackhub-candidate"
PROMPT_CANDIDATES = b"prompts:"
SERVED_HEADER = b"x-served-version"
JITTER = 0.15
"""An answer takes its version's usual time, give or take this share."""
_LABEL = re.compile(r"[A-Za-z0-9._:/-]{1,120}")


class ModelServer:
    """The ASGI application of one model server."""

    def __init__(self, model: str) -> None:
        self._model = model
        # Pseudo-random is all that a jitter needs; the same seed makes two runs comparable.
        self._random = random.Random(model)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            await self._route(scope, receive, send)
        except ApiError as error:
            await send_json(send, status=error.status, content=error.content)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        if path == "/v1/chat/completions":
            _require_method(method, "POST", path)
            await self._complete(scope, receive, send)
        elif path == "/v1/models":
            _require_method(method, "GET", path)
            await send_json(send, status=200, content=openai_api.model_list(self._model))
        else:
            raise ApiError(f"Unknown request URL: {method} {path}.", status=404, code="unknown_url")

    async def _complete(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(receive, max_bytes=openai_api.MAX_BODY_BYTES)
        except BodyTooLarge:
            raise ApiError(f"The request is larger than {openai_api.MAX_BODY_BYTES} bytes.", status=413, code="request_too_large") from None
        if body is None:
            return
        request = openai_api.read_chat_request(body)
        version = self._served_version(scope)
        text = openai_api.answer_text(version=version, prompt=request.prompt)
        seconds = quality_of(version).seconds * (1 + self._random.uniform(-JITTER, JITTER))
        served = (SERVED_HEADER, version.encode())
        if not request.stream:
            await asyncio.sleep(seconds)
            await send_json(send, status=200, content=openai_api.completion(model=self._model, request=request, text=text), headers=(served,))
            return
        chunks = openai_api.chunks(model=self._model, request=request, text=text)
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache"), served]}
        )
        for chunk in chunks:
            await asyncio.sleep(seconds / len(chunks))
            await send({"type": "http.response.body", "body": b"data: " + json.dumps(chunk).encode() + b"\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    def _served_version(self, scope: Scope) -> str:
        """What answers: for a prompt's candidate the prompt version that the gateway named, else this very model."""
        headers = dict(scope["headers"])
        if not headers.get(CANDIDATE_HEADER, b"").startswith(PROMPT_CANDIDATES):
            return self._model
        version = str(headers.get(VERSION_HEADER, b"").decode("latin-1"))
        if not _LABEL.fullmatch(version):
            raise ApiError(f"The header {VERSION_HEADER.decode()} must hold the prompt version's label.", code="invalid_value")
        return version


def _require_method(method: str, wanted: str, path: str) -> None:
    if method != wanted:
        raise ApiError(f"Not allowed to {method} on {path}. Use {wanted}.", status=405, code="method_not_supported")


if __name__ == "__main__":
    uvicorn.Server(server_config(ModelServer(sys.argv[1]), port=int(sys.argv[2]))).run()
