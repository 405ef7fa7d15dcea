"""OpenAI's Responses API with OpenAI's own Python client, against the real program and the starter model."""
import json
import os
import sys
import time

import openai
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Instance  # noqa: E402

MODEL = "smollm2"
OK = {"type": "json_schema", "name": "x", "strict": True,
      "schema": {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
                 "additionalProperties": False}}
# An answer that takes long, whatever the model would rather say.
LONG = {"format": {"type": "json_schema", "name": "long", "schema": {
    "type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}, "minItems": 500}},
    "required": ["a"], "additionalProperties": False}}}


def connect(instance, key):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{instance.port}/v1", api_key=key, max_retries=0, timeout=120)


@pytest.fixture(scope="module")
def server():
    with Instance() as i:
        i.ready()
        i.add_user("other@example.org")
        i.other = i.key("other@example.org")
        yield i


@pytest.fixture(scope="module")
def client(server):
    return connect(server, server.secret)


def strict(model, value):
    """The answer as pydantic checks it: the client itself lets everything through."""
    return model.model_validate(value.model_dump(by_alias=True, warnings=False))


def test_a_response_is_what_the_client_expects(client):
    r = client.responses.create(model=MODEL, input="Say hello.", max_output_tokens=12, temperature=0,
                                instructions="Be brief.", metadata={"ticket": "7"})
    strict(openai.types.responses.Response, r)
    assert r.id.startswith("resp_") and r.object == "response" and r.status in ("completed", "incomplete")
    assert r.output_text and r.output[0].type == "message" and r.output[0].id.startswith("msg_")
    assert r.instructions == "Be brief." and r.metadata == {"ticket": "7"} and r.max_output_tokens == 12
    assert r.usage.total_tokens == r.usage.input_tokens + r.usage.output_tokens
    assert r.usage.output_tokens_details.reasoning_tokens == 0 and r.temperature == 0
    if r.status == "incomplete":
        assert r.incomplete_details.reason == "max_output_tokens" and r.usage.output_tokens == 12


def test_a_stream_says_the_same_in_the_order_of_the_reference(client):
    ask = dict(model=MODEL, input="Say hello.", max_output_tokens=12, temperature=0, extra_body={"strict": True})
    whole = client.responses.create(**ask, store=False)
    events = list(client.responses.create(**ask, stream=True))
    assert [e.sequence_number for e in events] == list(range(len(events)))
    kinds = [e.type for e in events]
    deltas = kinds.count("response.output_text.delta")
    assert kinds == ["response.created", "response.in_progress", "response.output_item.added",
                     "response.content_part.added", *["response.output_text.delta"] * deltas,
                     "response.output_text.done", "response.content_part.done", "response.output_item.done",
                     f"response.{whole.status}"]
    for e in events:
        strict(type(e), e)
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text
    last = events[-1].response
    assert last.output_text == whole.output_text and last.usage.output_tokens == whole.usage.output_tokens
    kept = client.responses.retrieve(last.id)
    assert kept.output_text == whole.output_text and kept.status == whole.status
    assert {e.response.id for e in events if hasattr(e, "response")} == {last.id}


def test_the_clients_own_stream_helper(client):
    with client.responses.stream(model=MODEL, input="Say hello.", max_output_tokens=60,
                                 text={"format": OK}, temperature=0) as s:
        text = "".join(e.delta for e in s if e.type == "response.output_text.delta")
        final = s.get_final_response()
    assert final.output_text == text
    assert set(json.loads(text)) == {"ok"}


def test_json_schema(client):
    r = client.responses.create(model=MODEL, input="Is water wet?", max_output_tokens=40, temperature=0,
                                text={"format": OK})
    assert r.status == "completed" and set(json.loads(r.output_text)) == {"ok"}
    assert r.text.format.type == "json_schema" and r.text.format.schema_ == OK["schema"]


TOOL = {"type": "function", "name": "get_weather", "description": "The weather of a city.", "strict": True,
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Berlin", "Rome"]}},
                       "required": ["city"], "additionalProperties": False}}


def test_a_tool_is_called_and_its_result_goes_back(client):
    ask = dict(model=MODEL, tools=[TOOL], temperature=0, max_output_tokens=60, extra_body={"strict": True})
    one = client.responses.create(input="What is the weather in Rome?", tool_choice="required",
                                  parallel_tool_calls=False, **ask)
    calls = [x for x in one.output if x.type == "function_call"]
    assert len(calls) == 1 and calls[0].name == "get_weather" and calls[0].id.startswith("fc_")
    assert json.loads(calls[0].arguments)["city"] in ("Berlin", "Rome")
    assert one.tools[0].name == "get_weather" and one.tool_choice == "required"
    two = client.responses.create(
        previous_response_id=one.id, tool_choice="none",
        input=[{"type": "function_call_output", "call_id": calls[0].call_id, "output": "Sunny, 25 degrees."}], **ask)
    assert two.output_text and two.previous_response_id == one.id
    # the same without state: the items themselves come back
    items = [{"role": "user", "content": "What is the weather in Rome?"},
             *[x.model_dump(exclude_none=True) for x in one.output],
             {"type": "function_call_output", "call_id": calls[0].call_id, "output": "Sunny, 25 degrees."}]
    three = client.responses.create(input=items, store=False, tool_choice="none", **ask)
    assert three.output_text == two.output_text and three.usage.input_tokens == two.usage.input_tokens


def test_streamed_calls(client):
    events = list(client.responses.create(model=MODEL, tools=[TOOL], tool_choice="required", temperature=0,
                                          max_output_tokens=60, input="Weather in Berlin?", stream=True))
    done = [e for e in events if e.type == "response.function_call_arguments.done"]
    assert done
    for e in done:
        delta = [d.delta for d in events if d.type == "response.function_call_arguments.delta"
                 and d.item_id == e.item_id]
        assert "".join(delta) == e.arguments and json.loads(e.arguments)["city"] in ("Berlin", "Rome")
    assert events[-1].type == "response.completed"


def test_two_levels_of_previous_responses(client):
    ask = dict(model=MODEL, max_output_tokens=8, temperature=0, extra_body={"strict": True})
    one = client.responses.create(input="My name is Ada.", instructions="Be kind.", **ask)
    two = client.responses.create(input="I live in Rome.", previous_response_id=one.id, **ask)
    three = client.responses.create(input="Who am I?", previous_response_id=two.id, **ask)
    by_hand = client.responses.create(store=False, input=[
        {"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": one.output_text},
        {"role": "user", "content": "I live in Rome."}, {"role": "assistant", "content": two.output_text},
        {"role": "user", "content": "Who am I?"}], **ask)
    assert three.usage.input_tokens == by_hand.usage.input_tokens  # and without the instructions
    assert three.output_text == by_hand.output_text
    assert two.instructions is None
    items = client.responses.input_items.list(three.id)
    assert [x.content[0].text for x in items] == ["Who am I?"]
    # from one answer two may go on
    other = client.responses.create(input="Who am I?", previous_response_id=one.id, **ask)
    assert other.usage.input_tokens < three.usage.input_tokens


def test_delete(client):
    ask = dict(model=MODEL, max_output_tokens=2)
    one = client.responses.create(input="a", **ask)
    two = client.responses.create(input="b", previous_response_id=one.id, **ask)
    client.responses.delete(one.id)
    for call in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            call(one.id)
    for gone in (one.id, two.id, "resp_nonsense"):
        with pytest.raises(openai.BadRequestError) as e:
            client.responses.create(input="c", previous_response_id=gone, **ask)
        assert e.value.code == "previous_response_not_found" and e.value.param == "previous_response_id"
    assert client.responses.retrieve(two.id).id == two.id


def test_somebody_else_finds_nothing(server, client):
    mine = client.responses.create(model=MODEL, input="a secret", max_output_tokens=2)
    other = connect(server, server.other)
    for call in (other.responses.retrieve, other.responses.delete, other.responses.cancel,
                 other.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            call(mine.id)
    with pytest.raises(openai.BadRequestError) as e:
        other.responses.create(model=MODEL, input="b", previous_response_id=mine.id)
    assert e.value.code == "previous_response_not_found"
    assert client.responses.retrieve(mine.id).id == mine.id


def test_store_false_is_not_there(client):
    r = client.responses.create(model=MODEL, input="a", max_output_tokens=2, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(r.id)


def wait(client, response, seconds=60):
    end = time.monotonic() + seconds
    while response.status in ("queued", "in_progress") and time.monotonic() < end:
        time.sleep(0.05)
        response = client.responses.retrieve(response.id)
    return response


def test_background(client):
    r = client.responses.create(model=MODEL, input="Say hello.", max_output_tokens=8, background=True)
    assert r.status == "in_progress" and r.background and r.output == []
    strict(openai.types.responses.Response, r)
    done = wait(client, r)
    assert done.status in ("completed", "incomplete") and done.output_text
    strict(openai.types.responses.Response, done)


def test_cancel(client):
    r = client.responses.create(model=MODEL, input="Count.", background=True, text=LONG)
    assert client.responses.retrieve(r.id).status == "in_progress"
    assert client.responses.cancel(r.id).status == "cancelled"
    assert client.responses.cancel(r.id).status == "cancelled"
    assert client.responses.retrieve(r.id).status == "cancelled"
    whole = client.responses.create(model=MODEL, input="a", max_output_tokens=2)
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(whole.id)


def test_a_background_stream_goes_on_without_its_reader(client):
    stream = client.responses.create(model=MODEL, input="Say hello.", max_output_tokens=60, background=True,
                                     stream=True)
    for e in stream:
        if e.type == "response.created":
            response = e.response
        if e.type == "response.output_text.delta":
            break
    stream.close()
    done = wait(client, response)
    assert done.status in ("completed", "incomplete") and done.usage.output_tokens > 1


def test_input_tokens_are_those_of_the_request(client):
    ask = dict(model=MODEL, input="How many tokens is this?", instructions="Be brief.")
    n = client.responses.input_tokens.count(**ask).input_tokens
    assert client.responses.create(max_output_tokens=1, store=False, **ask).usage.input_tokens == n


def test_pages_of_input_items(client):
    items = [{"role": "user", "content": f"{i}"} for i in range(5)]
    r = client.responses.create(model=MODEL, input=items, max_output_tokens=1)
    texts = [x.content[0].text for x in client.responses.input_items.list(r.id, limit=2, order="asc")]
    assert texts == ["0", "1", "2", "3", "4"]
    assert [x.content[0].text for x in client.responses.input_items.list(r.id)] == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize("more,param", [
    ({"conversation": "conv_1"}, "conversation"), ({"tools": [{"type": "web_search"}]}, "tools"),
    ({"metadata": {str(i): "x" for i in range(17)}}, "metadata"), ({"truncation": "x"}, "truncation"),
    ({"max_output_tokens": 0}, "max_output_tokens"), ({"background": True, "store": False}, "background")])
def test_what_is_not_done_is_said(client, more, param):
    with pytest.raises(openai.BadRequestError) as e:
        client.responses.create(model=MODEL, input="a", **more)
    assert e.value.param == param and e.value.type == "invalid_request_error"


def test_warnings(client):
    raw = client.responses.with_raw_response.create(model=MODEL, input="a", max_output_tokens=1, user="u-1",
                                                    text={"verbosity": "low"})
    text = " ".join(raw.parse().model_extra["warnings"])
    assert '"user"' in text and '"text.verbosity"' in text
    assert '"user"' in raw.headers["x-tresor-warnings"]


def test_a_long_prompt(client):
    with pytest.raises(openai.BadRequestError) as e:
        client.responses.create(model=MODEL, input="word " * 9000)
    assert e.value.code == "context_length_exceeded" and e.value.param == "input"
    r = client.responses.create(model=MODEL, truncation="auto", max_output_tokens=2, input=[
        {"role": "user", "content": "word " * 9000}, {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Say hello."}])
    assert r.usage.input_tokens < 8192


def test_a_chain_survives_a_restart():
    with Instance() as i:
        client = connect(i.ready(), i.secret)
        ask = dict(model=MODEL, max_output_tokens=8, temperature=0)
        one = client.responses.create(input="My name is Ada.", **ask)
        left = client.responses.create(model=MODEL, input="Count.", background=True, text=LONG)
        i.stop()
        i.start()
        assert client.responses.retrieve(one.id).output_text == one.output_text
        two = client.responses.create(input="Who am I?", previous_response_id=one.id, **ask)
        assert two.usage.input_tokens > one.usage.input_tokens
        gone = client.responses.retrieve(left.id)
        assert gone.status == "failed"
        assert gone.error.code == "server_error" and "stopped" in gone.error.message
        # with a person everything of theirs goes
        i.add_user("p@example.org")
        theirs = connect(i, i.key("p@example.org"))
        r = theirs.responses.create(model=MODEL, input="a", max_output_tokens=1)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(r.id)
        i.must("user", "delete", "p@example.org", "--yes")
        with pytest.raises(openai.AuthenticationError):
            theirs.responses.retrieve(r.id)
