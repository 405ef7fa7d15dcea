"""The OpenAI API with OpenAI's own Python client, against the real program and the starter model."""
import json
import os
import sys

import httpx
import openai
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Instance  # noqa: E402

HI = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(scope="module")
def server():
    with Instance() as i:
        yield i.ready()


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=server.secret, max_retries=0,
                         timeout=120)


def test_models(client):
    assert [m.id for m in client.models.list()] == ["smollm2:latest"]
    one = client.models.retrieve("smollm2")
    assert one.id == "smollm2:latest" and one.owned_by == "library" and one.created > 1_700_000_000
    with pytest.raises(openai.NotFoundError) as e:
        client.models.retrieve("nope")
    assert e.value.code == "model_not_found" and e.value.param == "model"


def test_whole_and_streamed_say_the_same(client):
    ask = dict(model="smollm2", messages=HI, max_tokens=12, temperature=0, seed=1)
    whole = client.chat.completions.create(**ask)
    assert whole.id.startswith("chatcmpl-") and whole.object == "chat.completion"
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert whole.usage.prompt_tokens_details.cached_tokens >= 0
    assert whole.system_fingerprint.startswith("fp_")
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    assert all(c.choices[0].delta.role == "assistant" for c in chunks[:-1])
    assert "".join(c.choices[0].delta.content for c in chunks[:-1]) == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks[:-2]] == [None] * (len(chunks) - 2)
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({c.id for c in chunks}) == 1


def test_the_stream_ends_with_done(server):
    with httpx.stream("POST", f"http://127.0.0.1:{server.port}/v1/chat/completions", timeout=120,
                      headers={"Authorization": f"Bearer {server.secret}"},
                      json={"model": "smollm2", "messages": HI, "max_tokens": 3, "stream": True}) as r:
        assert r.headers["content-type"] == "text/event-stream"
        events = [x for x in r.iter_lines() if x]
    assert all(e.startswith("data: ") for e in events) and events[-1] == "data: [DONE]"
    assert all(json.loads(e[6:])["object"] == "chat.completion.chunk" for e in events[:-1])


def test_content_parts_and_developer_role(client):
    r = client.chat.completions.create(model="smollm2", max_tokens=5, messages=[
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Say "}, {"type": "text", "text": "yes."}]}])
    assert r.choices[0].message.content is not None
    with pytest.raises(openai.BadRequestError) as e:
        client.chat.completions.create(model="smollm2", messages=[{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}])
    assert e.value.param == "messages"


def test_json_schema(client):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}
    r = client.chat.completions.create(
        model="smollm2", messages=HI, max_tokens=40, temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert r.choices[0].finish_reason == "stop"
    assert set(json.loads(r.choices[0].message.content)) == {"ok"}


def test_a_seed_repeats(client):
    ask = dict(model="smollm2", messages=HI, max_tokens=16, temperature=1.0, seed=1234)
    texts = {client.chat.completions.create(**ask).choices[0].message.content for _ in range(3)}
    assert len(texts) == 1


@pytest.mark.parametrize("more,param", [
    ({"n": 9}, "n"), ({"top_p": 3}, "top_p"), ({"max_tokens": 0}, "max_tokens"),
    ({"stop": ["a"] * 20}, "stop")])
def test_what_is_not_done_is_said(client, more, param):
    with pytest.raises(openai.BadRequestError) as e:
        client.chat.completions.create(model="smollm2", messages=HI, **more)
    assert e.value.param == param and e.value.type == "invalid_request_error"


def test_errors(server, client):
    with pytest.raises(openai.NotFoundError) as e:
        client.chat.completions.create(model="nope", messages=HI)
    assert e.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as e:
        client.chat.completions.create(model="smollm2", messages=[{"role": "user", "content": "word " * 9000}])
    assert e.value.code == "context_length_exceeded"
    assert "has 90" in e.value.message and "the context holds 8192" in e.value.message
    wrong = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="sk-nonsense", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as e:
        wrong.models.list()
    assert e.value.code == "invalid_api_key"


def test_warnings_name_what_had_no_effect(client):
    r = client.chat.completions.create(model="smollm2", messages=HI, max_tokens=2, user="u-1",
                                       extra_body={"zzz": 1})
    text = " ".join(r.model_extra["warnings"])
    assert '"user"' in text and '"zzz"' in text
    assert r.model_extra["model_digest"] and r.model_extra["engine_build"] and r.model_extra["template_hash"]


def test_a_key_without_the_scope_is_refused(server):
    key = server.key("o@example.org", "models.read")
    c = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=key, max_retries=0)
    assert list(c.models.list())
    with pytest.raises(openai.PermissionDeniedError) as e:
        c.chat.completions.create(model="smollm2", messages=HI)
    assert "scope" in e.value.message
