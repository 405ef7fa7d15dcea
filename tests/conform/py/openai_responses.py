"""/v1/responses with OpenAI's own Python client: fields, state, and the order of its events."""
import json
import time

import openai

from harness import check, differs, refused, unsupported

SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
# An answer that takes long, whatever the model would rather say.
LONG = {"format": {"type": "json_schema", "name": "long", "schema": {
    "type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}, "minItems": 500}},
    "required": ["a"], "additionalProperties": False}}}
TOOL = {"type": "function", "name": "weather", "description": "The weather of a city.", "strict": True,
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Rome", "Paris"]}},
                       "required": ["city"], "additionalProperties": False}}


def resp(field, behaviour):
    return check("openai-python", "responses", field, behaviour)


def create(s, input="Say hello.", **more):  # pylint: disable=redefined-builtin
    return s.openai.responses.create(**{"model": "smollm2", "input": input, "max_output_tokens": 12, "temperature": 0,
                                        "store": False, **more})


def read(s, *args, **more):
    return create(s, *args, **more).usage.input_tokens


@resp("input", "a text is a message of the user")
def text(s):
    a = create(s)
    b = create(s, [{"role": "user", "content": "Say hello."}])
    assert a.output_text == b.output_text != "" and a.usage.input_tokens == b.usage.input_tokens
    assert create(s, "Write one line about the sea.").output_text != a.output_text


@resp("input", "items of messages with parts are read in their order")
def items(s):
    talk = [{"role": "user", "content": [{"type": "input_text", "text": "Say hello."}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]},
            {"role": "user", "content": "Again."}]
    assert read(s, talk) > read(s) + 8


@unsupported("openai-python", "responses", "input", "files, references and hosted tools are refused by name",
             why="documents are not read by this API; nothing here runs elsewhere")
def items_refused(s):
    for item in ({"type": "item_reference", "id": "x"},
                 {"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}):
        with refused(openai.BadRequestError, 400) as e:
            create(s, [item])
        assert e[0].param and e[0].param.startswith("input")


@resp("instructions", "come before the input, and are said again")
def instructions(s):
    r = create(s, instructions="You are a pirate. " * 8)
    assert r.instructions.startswith("You are a pirate.") and r.usage.input_tokens > read(s) + 20


@resp("max_output_tokens", "makes it incomplete, with the reason")
def max_output_tokens(s):
    r = create(s, "Tell me a long story.", max_output_tokens=3)
    assert (r.status, r.incomplete_details.reason, r.usage.output_tokens) == ("incomplete", "max_output_tokens", 3)


@resp("temperature", "0 draws nothing")
def temperature(s):
    assert len({create(s, extra_body={"seed": i}).output_text for i in (1, 2, 3)}) == 1
    assert len({create(s, temperature=1.9, extra_body={"seed": i}).output_text for i in (1, 2, 3)}) > 1


@resp("top_p", "near 0 leaves the likeliest token")
def top_p(s):
    assert {create(s, temperature=1.5, top_p=0.0001, extra_body={"seed": i}).output_text for i in (1, 2)} == \
        {create(s).output_text}


@resp("text.format", "a JSON schema is kept to, and said again")
def text_format(s):
    r = create(s, max_output_tokens=40, text={"format": {"type": "json_schema", "name": "x", "schema": SCHEMA,
                                                         "strict": True}})
    assert r.status == "completed" and set(json.loads(r.output_text)) == {"ok"} and r.text.format.schema_ == SCHEMA


@resp("text.format", "json_object gives JSON; another type is refused by name")
def text_format_json(s):
    assert create(s, text={"format": {"type": "json_object"}}).output_text.lstrip()[0] in "{["
    with refused(openai.BadRequestError, 400) as e:
        create(s, text={"format": {"type": "xml"}})
    assert e[0].param == "text.format"


@resp("tools, tool_choice", "required gives a call with an id, a name and arguments")
def tools(s):
    r = create(s, "Weather in Rome?", tools=[TOOL], tool_choice="required", max_output_tokens=80)
    call = next(x for x in r.output if x.type == "function_call")
    assert call.id.startswith("fc_") and call.call_id and call.name == "weather"
    assert json.loads(call.arguments)["city"] in ("Rome", "Paris") and r.tool_choice == "required"
    assert not any(x.type == "function_call" for x in create(s, "Weather?", tools=[TOOL], tool_choice="none").output)


@resp("tools", "are told to the model")
def tools_told(s):
    assert read(s, tools=[TOOL]) > read(s) + 30


@resp("parallel_tool_calls", "false gives one call")
def parallel(s):
    r = create(s, "Weather in Rome and Paris?", tools=[TOOL], tool_choice="required", parallel_tool_calls=False,
               max_output_tokens=120)
    assert len([x for x in r.output if x.type == "function_call"]) == 1 and r.parallel_tool_calls is False


@resp("input", "the result of a call goes back")
def tool_result(s):
    talk = [{"role": "user", "content": "Weather in Rome?"},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Rome"}'},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny and warm, 24 degrees"}]
    assert read(s, talk, tools=[TOOL]) > read(s, talk[:1], tools=[TOOL]) + 25


@unsupported("openai-python", "responses", "tools", "that are no functions are refused by their place",
             why="web search, files, computers and code are not run from here")
def tools_hosted(s):
    for kind in ("web_search", "file_search", "code_interpreter", "computer_use_preview", "mcp", "image_generation"):
        with refused(openai.BadRequestError, 400, "tools[0]", kind):
            create(s, tools=[{"type": kind}])


@resp("reasoning.effort", "none has no thoughts, another level has items of them")
def effort(s):
    a = create(s, model="smart", reasoning={"effort": "none"})
    b = create(s, model="smart", reasoning={"effort": "high"})
    assert not any(x.type == "reasoning" for x in a.output) and b.output[0].type == "reasoning"
    assert b.usage.output_tokens_details.reasoning_tokens > 0


@unsupported("openai-python", "responses", "reasoning.summary", "has no effect, and a warning says so",
             why="no summaries are made; the reasoning itself comes as reasoning_text")
def summary(s):
    r = create(s, reasoning={"summary": "auto"})
    assert any("summary" in w for w in r.model_extra["warnings"])


@resp("include, top_logprobs", "give the log probabilities")
def logprobs(s):
    r = create(s, include=["message.output_text.logprobs"], top_logprobs=2)
    p = r.output[0].content[0].logprobs
    assert "".join(x.token for x in p) == r.output_text and all(len(x.top_logprobs) == 2 for x in p)
    with refused(openai.BadRequestError, 400) as e:
        create(s, include=["everything"])
    assert e[0].param == "include"


@resp("truncation", "auto leaves out what came first, disabled refuses it")
def truncation(s):
    talk = [{"role": "user", "content": "word " * 200}, {"role": "assistant", "content": "ok"}] * 4 + \
        [{"role": "user", "content": "Say hello."}]
    r = create(s, talk, truncation="auto", extra_body={"num_ctx": 512})
    assert r.usage.input_tokens < 512 and any("left out" in w for w in r.model_extra["warnings"])
    with refused(openai.BadRequestError, 400, "512"):
        create(s, talk, truncation="disabled", extra_body={"num_ctx": 512})


@resp("metadata", "is kept and said again")
def metadata(s):
    r = create(s, store=True, metadata={"ticket": "7"})
    assert s.openai.responses.retrieve(r.id).metadata == {"ticket": "7"}
    with refused(openai.BadRequestError, 400) as e:
        create(s, metadata={"a": 1})
    assert e[0].param == "metadata"


@resp("store", "false leaves nothing")
def store(s):
    assert s.openai.responses.retrieve(create(s, store=True).id).status
    with refused(openai.NotFoundError, 404):
        s.openai.responses.retrieve(create(s).id)


@differs("openai-python", "responses", "previous_response_id", "goes on from an answer that was kept",
         why="Ollama's responses have no state")
def previous(s):
    one = create(s, "My name is Ada.", store=True)
    two = create(s, "Who am I?", store=True, previous_response_id=one.id)
    assert two.previous_response_id == one.id and two.usage.input_tokens > one.usage.input_tokens + 5
    with refused(openai.BadRequestError, 400) as e:
        create(s, previous_response_id="resp_" + "0" * 26)
    assert e[0].code == "previous_response_not_found"


@resp("delete", "an answer is gone, and a second time 404")
def delete(s):
    r = create(s, store=True)
    s.openai.responses.delete(r.id)
    with refused(openai.NotFoundError, 404):
        s.openai.responses.retrieve(r.id)


@resp("input_items", "are those of the request")
def input_items(s):
    r = create(s, "Say hello.", store=True)
    found = list(s.openai.responses.input_items.list(r.id))
    assert len(found) == 1 and found[0].content[0].text == "Say hello."


@resp("input_tokens", "counts without an answer")
def count(s):
    assert s.openai.responses.input_tokens.count(model="smollm2", input="Say hello.").input_tokens == read(s)


@differs("openai-python", "responses", "background", "goes on alone, and cancel ends it",
         why="Ollama's responses have no background")
def background(s):
    r = create(s, background=True, store=True, text=LONG, max_output_tokens=3000)
    assert r.status in ("queued", "in_progress")
    s.openai.responses.cancel(r.id)
    end = time.monotonic() + 10
    while s.openai.responses.retrieve(r.id).status not in ("cancelled", "completed"):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert s.openai.responses.retrieve(r.id).status == "cancelled"


@resp("stream", "has the events in the order of the reference, numbered")
def stream(s):
    events = list(create(s, stream=True))
    kinds = [e.type.removeprefix("response.") for e in events]
    deltas = kinds.count("output_text.delta")
    assert deltas and [e.sequence_number for e in events] == list(range(len(events)))
    assert kinds[:-1] == ["created", "in_progress", "output_item.added", "content_part.added",
                          *["output_text.delta"] * deltas, "output_text.done", "content_part.done", "output_item.done"]
    assert kinds[-1] in ("completed", "incomplete")
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == create(s).output_text


@resp("stream", "has the arguments of calls in deltas")
def stream_calls(s):
    events = list(create(s, "Weather in Rome?", tools=[TOOL], tool_choice="required", max_output_tokens=80, stream=True))
    done = [e for e in events if e.type == "response.function_call_arguments.done"]
    assert done and json.loads(done[0].arguments)["city"] in ("Rome", "Paris")


@resp("stream", "has the thoughts in events of their own")
def stream_thoughts(s):
    kinds = [e.type for e in create(s, model="smart", stream=True, reasoning={"effort": "high"})]
    assert "response.reasoning_text.delta" in kinds


@resp("usage", "adds up, with cached and reasoning tokens")
def usage(s):
    u = create(s).usage
    assert u.total_tokens == u.input_tokens + u.output_tokens and u.input_tokens_details.cached_tokens >= 0


for _field, _value in (("conversation", "c"), ("prompt", {"id": "p"}), ("context_management", [{"type": "compaction"}]),
                       ("moderation", {"model": "m"})):
    def _refused(s, field=_field, value=_value):
        with refused(openai.BadRequestError, 400) as e:
            create(s, **{field: value})
        assert e[0].param == field
    unsupported("openai-python", "responses", _field, "is refused by name",
                why="an answer without it would be another one than was asked for")(_refused)

for _field, _value in (("user", "u"), ("safety_identifier", "s"), ("prompt_cache_key", "k"), ("max_tool_calls", 3)):
    def _no_effect(s, field=_field, value=_value):
        r = create(s, max_output_tokens=1, **{field: value})
        assert any(f'"{field}"' in w for w in r.model_extra["warnings"])
    unsupported("openai-python", "responses", _field, "has no effect, and a warning says so",
                why="it has no meaning here; the answer is the same without it")(_no_effect)


@resp("model", "that is not there is 404")
def no_model(s):
    with refused(openai.NotFoundError, 404) as e:
        create(s, model="nope")
    assert e[0].code == "model_not_found"
