"""The part of OpenAI's chat-completions API that the lab's model servers speak: reading a request, and the shapes of answers and errors."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

MAX_BODY_BYTES = 1_000_000
_ROLES = ("developer", "system", "user", "assistant", "tool", "function")


class ApiError(Exception):
    """An error in OpenAI's shape: HTTP status, sentence, the parameter at fault and a code."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.content = {"error": {"message": message, "type": "invalid_request_error" if status < 500 else "server_error", "param": param, "code": code}}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat completion request that can be answered."""

    prompt: str
    stream: bool
    with_usage: bool
    """For a stream: send a last chunk with the usage."""


def read_chat_request(body: bytes) -> ChatRequest:
    """Read the body of POST /v1/chat/completions. Raises ApiError (400) that names the parameter at fault.

    `model` is what the caller calls it (behind a gateway: the alias); which model answers is the gateway's choice.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError("We could not parse the JSON body of your request. The API expects a JSON object.") from None
    if not isinstance(content, dict):
        raise ApiError("The body of your request must be a JSON object.")
    if not isinstance(content.get("model"), str) or not content["model"]:
        raise ApiError("You must provide a model parameter: a string that is not empty.", param="model")
    stream = content.get("stream", False)
    if stream is None:
        stream = False
    if not isinstance(stream, bool):
        raise ApiError("Invalid type for 'stream': expected a boolean.", param="stream", code="invalid_type")
    _check_number(content, "temperature", least=0, most=2)
    _check_number(content, "top_p", least=0, most=1)
    for name in ("max_tokens", "max_completion_tokens"):
        _check_number(content, name, least=1, most=1_000_000, whole=True)
    _check_number(content, "n", least=1, most=1, whole=True)
    options = content.get("stream_options")
    if options is not None and not (stream and isinstance(options, dict)):
        raise ApiError("The 'stream_options' parameter is an object, and only allowed when 'stream' is true.", param="stream_options")
    return ChatRequest(prompt=_last_user_text(content.get("messages")), stream=stream, with_usage=bool(options and options.get("include_usage")))


def _check_number(content: dict[str, Any], name: str, *, least: int, most: int, whole: bool = False) -> None:
    value = content.get(name)
    if value is None:
        return
    kind = "an integer" if whole else "a number"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise ApiError(f"Invalid type for '{name}': expected {kind}.", param=name, code="invalid_type")
    if not least <= value <= most:
        raise ApiError(f"Invalid value for '{name}': expected {kind} from {least} to {most}, got {value}.", param=name, code="invalid_value")


def _last_user_text(messages: object) -> str:
    """The text of the last message. Raises ApiError unless messages are a list of role and content."""
    if messages is None:
        raise ApiError("Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter")
    if not isinstance(messages, list) or not messages:
        raise ApiError("Invalid 'messages': expected a list with at least one message.", param="messages", code="invalid_type")
    text = ""
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if not isinstance(message, dict):
            raise ApiError(f"Invalid type for '{place}': expected an object.", param=place, code="invalid_type")
        if message.get("role") not in _ROLES:
            raise ApiError(f"Invalid value for '{place}.role': expected one of {', '.join(_ROLES)}.", param=f"{place}.role", code="invalid_value")
        text = _text_of(message, place)
    return text


def _text_of(message: dict[str, Any], place: str) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None and message["role"] == "assistant":
        return ""
    if isinstance(content, list) and content and all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content):
        return " ".join(str(part.get("text", "")) for part in content)
    raise ApiError(f"Invalid type for '{place}.content': expected a string or a list of parts.", param=f"{place}.content", code="invalid_type")


def answer_text(*, version: str, prompt: str) -> str:
    """What the simulated model says."""
    topic = " ".join(prompt.split())[:80] or "nothing in particular"
    return f"This is a simulated answer by {version} to: {topic}"


def completion(*, model: str, request: ChatRequest, text: str) -> dict[str, Any]:
    """A whole answer (`chat.completion`)."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**_head(model, "chat.completion"), "choices": [choice], "usage": _usage(request.prompt, text)}


def chunks(*, model: str, request: ChatRequest, text: str) -> list[dict[str, Any]]:
    """A streamed answer (`chat.completion.chunk`), word by word."""
    head = _head(model, "chat.completion.chunk")
    words = text.split(" ")
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        *({"content": word if index == 0 else f" {word}"} for index, word in enumerate(words)),
    ]
    found = [{**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]} for delta in deltas]
    found.append({**head, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]})
    if request.with_usage:
        found.append({**head, "choices": [], "usage": _usage(request.prompt, text)})
    return found


def model_list(model: str) -> dict[str, Any]:
    """The answer of GET /v1/models."""
    return {"object": "list", "data": [{"id": model, "object": "model", "created": 0, "owned_by": "rollbackhub-lab"}]}


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def _usage(prompt: str, text: str) -> dict[str, int]:
    """Words stand for tokens: the lab has no tokenizer."""
    asked, answered = len(prompt.split()), len(text.split())
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
