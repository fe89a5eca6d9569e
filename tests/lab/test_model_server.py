"""The model servers speak OpenAI's chat completions: answers, streams and errors."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from rollbackhub.lab.model_server import ModelServer
from rollbackhub.lab.openai_api import MAX_BODY_BYTES

MODEL = "claude-sonnet-4-5"
QUESTION = {"model": "smart-reasoner", "messages": [{"role": "user", "content": "How are you?"}]}
PATH = "/v1/chat/completions"


def call(method: str, path: str, *, model: str = MODEL, **options: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=ModelServer(model))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            return await client.request(method, path, **options)

    return asyncio.run(send())


def test_completion_valid_request_has_openais_shape() -> None:
    answer = call("POST", PATH, json=QUESTION)
    assert answer.status_code == 200
    assert answer.headers["x-served-version"] == MODEL
    content = answer.json()
    assert content["object"] == "chat.completion"
    assert content["model"] == MODEL
    assert content["choices"][0]["message"]["role"] == "assistant"
    assert "How are you?" in content["choices"][0]["message"]["content"]
    assert content["choices"][0]["finish_reason"] == "stop"
    usage = content["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


def test_completion_stream_sends_chunks_and_done() -> None:
    answer = call("POST", PATH, json={**QUESTION, "stream": True, "stream_options": {"include_usage": True}})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-served-version"] == MODEL
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    text = "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])
    assert text == call("POST", PATH, json=QUESTION).json()["choices"][0]["message"]["content"]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"role": "boss", "content": "hello"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": 5}]}, "messages[1].content"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"n": 2}, "n"),
    ],
)
def test_completion_bad_parameter_is_named_in_a_400(change: dict[str, Any], param: str) -> None:
    answer = call("POST", PATH, json={**QUESTION, **change})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "x-served-version" not in answer.headers


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe", b"[" * 100_000])
def test_completion_body_that_is_no_object_is_a_400(body: bytes) -> None:
    answer = call("POST", PATH, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_completion_huge_body_is_a_413() -> None:
    answer = call("POST", PATH, content=b" " * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", PATH, 405), ("POST", "/v1/models", 405), ("GET", "/v1/embeddings", 404), ("GET", "/", 404)])
def test_server_wrong_address_or_method_has_openais_error_shape(method: str, path: str, status: int) -> None:
    answer = call(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_models_lists_the_servers_own() -> None:
    content = call("GET", "/v1/models").json()
    assert content["object"] == "list"
    assert [model["id"] for model in content["data"]] == [MODEL]


def test_completion_prompt_candidate_is_served_as_the_prompts_version() -> None:
    headers = {"x-rollbackhub-candidate": "prompts:support-answer-v13:ap-south-1", "x-rollbackhub-version": "support-answer-v13"}
    answer = call("POST", PATH, json=QUESTION, headers=headers)
    assert answer.headers["x-served-version"] == "support-answer-v13"
    assert answer.json()["model"] == MODEL


def test_completion_model_candidate_is_served_as_what_really_answered() -> None:
    """A gateway that sends the bad version's traffic to the good server must not look as if it did what it says."""
    headers = {"x-rollbackhub-candidate": "anthropic:claude-sonnet-4-6:ap-south-1", "x-rollbackhub-version": "claude-sonnet-4-6"}
    assert call("POST", PATH, json=QUESTION, headers=headers).headers["x-served-version"] == MODEL


@pytest.mark.parametrize("version", ["", "a b", "x" * 121])
def test_completion_prompt_candidate_without_a_version_is_a_400(version: str) -> None:
    answer = call("POST", PATH, json=QUESTION, headers={"x-rollbackhub-candidate": "prompts:x:y", "x-rollbackhub-version": version})
    assert answer.status_code == 400
