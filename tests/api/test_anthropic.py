"""Anthropic's API with Anthropic's own Python client, against the real program and the starter model."""
import json
import os
import sys

import anthropic
import httpx
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Instance  # noqa: E402

HI = [{"role": "user", "content": "Say hello."}]
# no argument of the newest client any more; of many programs that ask, it is
COLD = {"temperature": 0}
ASK = dict(model="smollm2", max_tokens=12, extra_body=COLD)
WEATHER = {"name": "weather", "description": "The weather of a city.",
           "input_schema": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}},
                            "required": ["city"]}}


@pytest.fixture(scope="module")
def server():
    with Instance() as i:
        yield i.ready()


@pytest.fixture(scope="module")
def client(server):
    return anthropic.Anthropic(base_url=f"http://127.0.0.1:{server.port}", api_key=server.secret, max_retries=0,
                               timeout=120)


def read(usage):
    """All tokens of a prompt, read now or before."""
    return usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens


def test_whole_and_streamed_say_the_same(client):
    whole = client.messages.create(**ASK, messages=HI)
    assert whole.id.startswith("msg_") and whole.type == "message" and whole.role == "assistant"
    assert [b.type for b in whole.content] == ["text"] and whole.content[0].text
    assert whole.stop_reason in ("end_turn", "max_tokens") and whole.stop_sequence is None
    assert 0 < whole.usage.output_tokens <= 12 and whole.model == "smollm2"
    with client.messages.stream(**ASK, messages=HI) as s:
        text = "".join(s.text_stream)
        streamed = s.get_final_message()
    assert text == whole.content[0].text == streamed.content[0].text
    assert streamed.stop_reason == whole.stop_reason and streamed.id != whole.id
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    assert read(streamed.usage) == read(whole.usage)


def test_events_come_in_their_order(server):
    with httpx.stream("POST", f"http://127.0.0.1:{server.port}/v1/messages", timeout=120,
                      headers={"X-Api-Key": server.secret, "Anthropic-Version": "2023-06-01"},
                      json={"model": "smollm2", "max_tokens": 3, "messages": HI, "stream": True}) as r:
        assert r.headers["content-type"] == "text/event-stream" and r.headers["request-id"]
        lines = [x for x in r.iter_lines() if x and not x.startswith(":")]
    names = [x[7:] for x in lines[::2]]
    events = [json.loads(x[6:]) for x in lines[1::2]]
    assert all(x.startswith("event: ") for x in lines[::2]) and all(x.startswith("data: ") for x in lines[1::2])
    assert names == [e["type"] for e in events]
    deltas = names.count("content_block_delta")
    assert deltas >= 1
    assert names == ["message_start", "ping", "content_block_start", *["content_block_delta"] * deltas,
                     "content_block_stop", "message_delta", "message_stop"]
    assert events[0]["message"]["usage"]["input_tokens"] + events[0]["message"]["usage"]["cache_read_input_tokens"] > 5
    assert events[-2]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] == 3


@pytest.mark.parametrize("more", [
    {"messages": HI},
    {"messages": HI, "system": "Be brief."},
    {"messages": HI, "tools": [WEATHER]},
    {"messages": HI, "tools": [WEATHER], "tool_choice": {"type": "any"}},
    {"messages": [*HI, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": [
        {"type": "text", "text": "Héllo wörld \U0001f600 again", "cache_control": {"type": "ephemeral"}}]}]},
])
def test_a_count_is_what_the_answer_says(client, more):
    counted = client.messages.count_tokens(model="smollm2", **more).input_tokens
    real = client.messages.create(model="smollm2", max_tokens=60 if "tool_choice" in more else 1, **more)
    assert counted == read(real.usage) > 5


def test_a_stop_sequence_is_named(client):
    whole = client.messages.create(**{**ASK, "max_tokens": 30}, messages=HI).content[0].text
    word = whole.split()[1]
    r = client.messages.create(**{**ASK, "max_tokens": 30}, messages=HI, stop_sequences=["never said", word])
    assert r.stop_reason == "stop_sequence" and r.stop_sequence == word
    assert word not in r.content[0].text and whole.startswith(r.content[0].text)


def test_a_tool_is_called_and_its_result_goes_back(client):
    r = client.messages.create(model="smollm2", max_tokens=80, extra_body=COLD, tools=[WEATHER],
                               tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
                               messages=[{"role": "user", "content": "How is the weather in Paris?"}])
    assert r.stop_reason == "tool_use" and [b.type for b in r.content] == ["tool_use"]
    use = r.content[0]
    assert use.name == "weather" and use.id.startswith("toolu_") and isinstance(use.input["city"], str)
    with client.messages.stream(model="smollm2", max_tokens=80, extra_body=COLD, tools=[WEATHER],
                                tool_choice={"type": "any", "disable_parallel_tool_use": True},
                                messages=[{"role": "user", "content": "How is the weather in Paris?"}]) as s:
        streamed = s.get_final_message()
    assert streamed.stop_reason == "tool_use" and streamed.content[-1].name == "weather"
    assert set(streamed.content[-1].input) == {"city"}
    after = client.messages.create(**ASK, tools=[WEATHER], messages=[
        {"role": "user", "content": "How is the weather in Paris?"},
        {"role": "assistant", "content": [b.model_dump() for b in r.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}]}])
    asked = client.messages.count_tokens(model="smollm2", tools=[WEATHER], messages=[
        {"role": "user", "content": "How is the weather in Paris?"}])
    assert read(after.usage) > asked.input_tokens + 10  # the call and its result are in the prompt


def test_a_schema_is_kept(client):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}
    r = client.messages.create(**{**ASK, "max_tokens": 40}, messages=HI,
                               output_config={"format": {"type": "json_schema", "schema": schema}})
    assert set(json.loads(r.content[0].text)) == {"ok"}


def test_errors(server, client):
    with pytest.raises(anthropic.NotFoundError) as e:
        client.messages.create(model="nope", max_tokens=1, messages=HI)
    assert e.value.body["error"]["type"] == "not_found_error" and e.value.request_id == e.value.body["request_id"]
    with pytest.raises(anthropic.BadRequestError) as e:
        client.messages.create(model="smollm2", max_tokens=1, messages=[{"role": "user", "content": "word " * 9000}])
    assert "prompt is too long: 90" in e.value.body["error"]["message"] and "8192 maximum" in e.value.message
    with pytest.raises(anthropic.BadRequestError) as e:
        client.messages.create(model="smollm2", max_tokens=1, messages=HI, tools=[
            {"type": "web_search_20250305", "name": "web_search"}])
    assert "web_search_20250305" in e.value.message
    with pytest.raises(anthropic.BadRequestError) as e:
        client.messages.create(model="smollm2", max_tokens=1, messages=[{"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": "http://127.0.0.1:1/a.png"}}]}])
    assert "not fetched" in e.value.message
    wrong = anthropic.Anthropic(base_url=f"http://127.0.0.1:{server.port}", api_key="sk-nonsense", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError) as e:
        wrong.messages.count_tokens(model="smollm2", messages=HI)
    assert e.value.body["error"]["type"] == "authentication_error"


def test_a_count_of_what_does_not_fit_is_given_all_the_same(client):
    assert client.messages.count_tokens(model="smollm2", messages=[
        {"role": "user", "content": "word " * 9000}]).input_tokens > 9000


def test_thinking_of_a_model_that_does_not_is_said(client):
    r = client.messages.create(**{**ASK, "max_tokens": 20}, messages=HI,
                               thinking={"type": "enabled", "budget_tokens": 10})
    assert r.content[0].type == "text"
    assert any("does not think" in w for w in r.model_extra["warnings"])


def test_a_key_without_the_scope_is_refused(server):
    key = server.key("o@example.org", "models.read")
    c = anthropic.Anthropic(base_url=f"http://127.0.0.1:{server.port}", api_key=key, max_retries=0)
    with pytest.raises(anthropic.PermissionDeniedError):
        c.messages.create(**ASK, messages=HI)
