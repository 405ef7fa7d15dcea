"""The requests that both get, and where their answers are other, with the reason."""
RAW = {"raw": True, "options": {"temperature": 0, "num_predict": 4, "seed": 1}}
COUNT = "One, two, three, four,"
SYSTEM = {"role": "system", "content": "You are brief."}
TALK = [SYSTEM, {"role": "user", "content": "Tell me about the sea."}]
FOUR = {"temperature": 0, "num_predict": 4, "seed": 1}
SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
NO_PICTURE = "aGVsbG8="
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def generate(**more):
    return {"model": "smollm2", "prompt": COUNT, **RAW, **more}


def chat(**more):
    return {"model": "smollm2", "messages": TALK, "options": FOUR, **more}


def openai(**more):
    return {"model": "smollm2", "messages": TALK, "temperature": 0, "max_tokens": 4, "seed": 1, **more}


def claude(**more):
    return {"model": "smollm2", "messages": TALK[1:], "system": "You are brief.", "max_tokens": 4, "temperature": 0, **more}


ONE = {"stream": False}
REQUESTS = (  # feature, what, method, path, body
    ("general", "GET /api/version", "GET", "/api/version", None),
    ("general", "HEAD /", "HEAD", "/", None),
    ("general", "HEAD /api/version", "HEAD", "/api/version", None),
    ("general", "HEAD /api/tags", "HEAD", "/api/tags", None),
    ("general", "no body", "POST", "/api/chat", b""),
    ("general", "a body that is no JSON", "POST", "/api/generate", b"{"),
    ("general", "a body without Content-Type", "POST", "/api/show", b'{"model":"smollm2"}'),
    ("general", "a wrong type of a field", "POST", "/api/generate", {"model": 3}),
    ("general", "an unknown field", "POST", "/api/generate", generate(**ONE, zzz=1)),
    ("general", "an unknown route", "POST", "/api/nothing", {}),
    ("general", "another method", "GET", "/api/chat", None),
    ("/api/tags", "the list", "GET", "/api/tags", None),
    ("/api/show", "a model", "POST", "/api/show", {"model": "smollm2"}),
    ("/api/show", "by its old name", "POST", "/api/show", {"name": "smollm2"}),
    ("/api/show", "an embedder", "POST", "/api/show", {"model": "minilm"}),
    ("/api/show", "verbose", "POST", "/api/show", {"model": "smollm2", "verbose": True}),
    ("/api/show", "none", "POST", "/api/show", {"model": "nope"}),
    ("/api/show", "no name", "POST", "/api/show", {}),
    ("/api/generate", "whole", "POST", "/api/generate", generate(**ONE)),
    ("/api/generate", "streamed", "POST", "/api/generate", generate()),
    ("/api/generate", "stop", "POST", "/api/generate", generate(**ONE, options={**FOUR, "num_predict": 12, "stop": ["six"]})),
    ("/api/generate", "system", "POST", "/api/generate",
     {"model": "smollm2", "prompt": "Tell me about the sea.", "system": "You are brief.", "options": FOUR, **ONE}),
    ("/api/generate", "load", "POST", "/api/generate", {"model": "smollm2"}),
    ("/api/generate", "load, whole", "POST", "/api/generate", {"model": "smollm2", **ONE}),
    ("/api/generate", "json", "POST", "/api/generate", generate(**ONE, format="json")),
    ("/api/generate", "a schema", "POST", "/api/generate",
     generate(**ONE, format=SCHEMA, options={"temperature": 0, "num_predict": 40})),
    ("/api/generate", "logprobs", "POST", "/api/generate", generate(**ONE, logprobs=True, top_logprobs=2)),
    ("/api/generate", "logprobs, streamed", "POST", "/api/generate", generate(logprobs=True)),
    ("/api/generate", "top_logprobs of 21", "POST", "/api/generate", generate(**ONE, logprobs=True, top_logprobs=21)),
    ("/api/generate", "raw with system", "POST", "/api/generate", generate(**ONE, system="x")),
    ("/api/generate", "think of a model that does not", "POST", "/api/generate", generate(**ONE, raw=False, think=True)),
    ("/api/generate", "suffix of a model that does not", "POST", "/api/generate",
     {"model": "smollm2", "prompt": "a", "suffix": "b", **ONE}),
    ("/api/generate", "an embedder", "POST", "/api/generate", {"model": "minilm", "prompt": "x", **ONE}),
    ("/api/generate", "no model of that name", "POST", "/api/generate", {"model": "nope", "prompt": "x"}),
    ("/api/generate", "no name", "POST", "/api/generate", {"prompt": "x"}),
    ("/api/generate", "legacy options", "POST", "/api/generate",
     generate(**ONE, options={**FOUR, "mirostat": 0, "tfs_z": 1, "numa": False, "penalize_newline": True})),
    ("/api/generate", "keep_alive that is none", "POST", "/api/generate", generate(**ONE, keep_alive="soon")),
    ("/api/generate", "format that is none", "POST", "/api/generate", generate(**ONE, format="xml")),
    ("/api/generate", "a prompt that is too long", "POST", "/api/generate",
     {"model": "smollm2", "prompt": "word " * 6000, "options": {**FOUR, "num_ctx": 512}, **ONE}),
    ("/api/generate", "a picture for a model that is blind", "POST", "/api/generate", generate(raw=False, **ONE, images=[PICTURE])),
    ("/api/generate", "images that are no base64", "POST", "/api/generate", generate(raw=False, **ONE, images=["%%"])),
    ("/api/chat", "whole", "POST", "/api/chat", chat(**ONE)),
    ("/api/chat", "streamed", "POST", "/api/chat", chat()),
    ("/api/chat", "load", "POST", "/api/chat", {"model": "smollm2", "messages": []}),
    ("/api/chat", "a schema", "POST", "/api/chat", chat(**ONE, format=SCHEMA, options={"temperature": 0, "num_predict": 40})),
    ("/api/chat", "logprobs", "POST", "/api/chat", chat(**ONE, logprobs=True, top_logprobs=1)),
    ("/api/chat", "a role that is none", "POST", "/api/chat", chat(messages=[{"role": "boss", "content": "x"}])),
    ("/api/chat", "an embedder", "POST", "/api/chat", {"model": "minilm", "messages": TALK}),
    ("/api/chat", "no model of that name", "POST", "/api/chat", {"model": "nope", "messages": TALK}),
    ("/api/chat", "no name", "POST", "/api/chat", {"messages": TALK}),
    ("/api/chat", "think of a model that does not", "POST", "/api/chat", chat(**ONE, think=True)),
    ("/api/chat", "think of another word", "POST", "/api/chat", chat(**ONE, think="deeply")),
    ("/api/chat", "tools of a template without them", "POST", "/api/chat", chat(**ONE, tools=[TOOL])),
    ("/api/chat", "earlier turns", "POST", "/api/chat",
     chat(**ONE, messages=[*TALK, {"role": "assistant", "content": "It is wide."}, {"role": "user", "content": "And?"}])),
    ("/api/chat", "num_predict", "POST", "/api/chat", chat(**ONE, options={"num_predict": 2, "temperature": 0})),
    ("/api/embed", "one text", "POST", "/api/embed", {"model": "minilm", "input": "Hello world"}),
    ("/api/embed", "two texts", "POST", "/api/embed", {"model": "minilm", "input": ["Hello world", "x"]}),
    ("/api/embed", "none", "POST", "/api/embed", {"model": "minilm", "input": []}),
    ("/api/embed", "dimensions", "POST", "/api/embed", {"model": "minilm", "input": "Hello", "dimensions": 8}),
    ("/api/embed", "too long", "POST", "/api/embed", {"model": "minilm", "input": "word " * 900}),
    ("/api/embed", "too long, not truncated", "POST", "/api/embed", {"model": "minilm", "input": "word " * 900, "truncate": False}),
    ("/api/embed", "a wrong type", "POST", "/api/embed", {"model": "minilm", "input": 3}),
    ("/api/embed", "no model of that name", "POST", "/api/embed", {"model": "nope", "input": "x"}),
    ("/api/embeddings", "one text", "POST", "/api/embeddings", {"model": "minilm", "prompt": "Hello world"}),
    ("/api/embeddings", "none", "POST", "/api/embeddings", {"model": "minilm", "prompt": ""}),
    ("/api/ps", "the list", "GET", "/api/ps", None),
    ("/api/create", "from a model", "POST", "/api/create", {"model": "mine", "from": "smollm2", "system": "A."}),
    ("/api/create", "from a model, whole", "POST", "/api/create", {"model": "mine", "from": "smollm2", **ONE}),
    ("/api/create", "of nothing", "POST", "/api/create", {"model": "mine2", **ONE}),
    ("/api/create", "from a model that is not there", "POST", "/api/create", {"model": "mine2", "from": "nope", **ONE}),
    ("/api/create", "with two adapters", "POST", "/api/create", {"model": "mine2", "from": "smollm2", "adapters": {
        "a.gguf": "sha256:" + "1" * 64, "b.gguf": "sha256:" + "2" * 64}, **ONE}),
    ("/api/create", "of a name that is none", "POST", "/api/create", {"model": "a b", "from": "smollm2", **ONE}),
    ("/api/copy", "a model", "POST", "/api/copy", {"source": "mine", "destination": "again"}),
    ("/api/copy", "one that is not there", "POST", "/api/copy", {"source": "nope", "destination": "again"}),
    ("/api/delete", "a model", "DELETE", "/api/delete", {"model": "again"}),
    ("/api/delete", "by its old name", "DELETE", "/api/delete", {"name": "mine"}),
    ("/api/delete", "one that is not there", "DELETE", "/api/delete", {"model": "again"}),
    ("/api/blobs", "one that is not there", "HEAD", "/api/blobs/sha256:" + "0" * 64, None),
    ("/api/blobs", "bytes of another digest", "POST", "/api/blobs/sha256:" + "1" * 64, b"other"),
    ("/api/blobs", "a digest that is none", "HEAD", "/api/blobs/sha256:12", None),
    ("/api/pull", "no name", "POST", "/api/pull", {}),
    ("/v1/models", "the list", "GET", "/v1/models", None),
    ("/v1/models", "one", "GET", "/v1/models/smollm2", None),
    ("/v1/models", "one that is not there", "GET", "/v1/models/nope", None),
    ("/v1/chat/completions", "whole", "POST", "/v1/chat/completions", openai()),
    ("/v1/chat/completions", "streamed", "POST", "/v1/chat/completions", openai(stream=True)),
    ("/v1/chat/completions", "streamed, with usage", "POST", "/v1/chat/completions",
     openai(stream=True, stream_options={"include_usage": True})),
    ("/v1/chat/completions", "a schema", "POST", "/v1/chat/completions",
     openai(max_tokens=40, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}})),
    ("/v1/chat/completions", "logprobs", "POST", "/v1/chat/completions", openai(logprobs=True, top_logprobs=1)),
    ("/v1/chat/completions", "no model of that name", "POST", "/v1/chat/completions", openai(model="nope")),
    ("/v1/chat/completions", "no messages", "POST", "/v1/chat/completions", openai(messages=[])),
    ("/v1/completions", "whole", "POST", "/v1/completions", {"model": "smollm2", "prompt": "Hi", "max_tokens": 4, "temperature": 0}),
    ("/v1/completions", "streamed", "POST", "/v1/completions",
     {"model": "smollm2", "prompt": "Hi", "max_tokens": 4, "temperature": 0, "stream": True}),
    ("/v1/embeddings", "float", "POST", "/v1/embeddings", {"model": "minilm", "input": ["Hello", "world"]}),
    ("/v1/embeddings", "base64", "POST", "/v1/embeddings", {"model": "minilm", "input": "Hello", "encoding_format": "base64"}),
    ("/v1/embeddings", "no model of that name", "POST", "/v1/embeddings", {"model": "nope", "input": "Hello"}),
    ("/v1/responses", "whole", "POST", "/v1/responses",
     {"model": "smollm2", "input": "Tell me about the sea.", "max_output_tokens": 16, "temperature": 0, "store": False}),
    ("/v1/responses", "streamed", "POST", "/v1/responses",
     {"model": "smollm2", "input": "Tell me about the sea.", "max_output_tokens": 16, "temperature": 0, "store": False, "stream": True}),
    ("/v1/messages", "whole", "POST", "/v1/messages", claude()),
    ("/v1/messages", "streamed", "POST", "/v1/messages", claude(stream=True)),
    ("/v1/messages", "no model of that name", "POST", "/v1/messages", claude(model="nope")),
    ("/v1/messages", "no max_tokens", "POST", "/v1/messages", {"model": "smollm2", "messages": TALK[1:]}),
)

# ---- what is other on purpose ----
EMPTY = "said also where it is empty"
OURS = "Tresor's own, beside what Ollama says"
ERRORS = "Ollama says api_error for every error, and names no field"
NO_CONTEXT = "context is deprecated, and not given out: token ids of a client would go past the marks that keep texts apart"
COUNTED = "what was read before is counted, as OpenAI does"
NULLS = "OpenAI's own answers have this field, also where it is null"
GRAMMAR = "another grammar of the same schema: other blanks, so other tokens"
WORDS = "Tresor's own words: what is wrong, and where"
STOPPED = "Ollama says completed where the limit of tokens ended the answer"
CACHED = "input_tokens are those that had to be read; the rest is beside it, as Anthropic counts"
BARE = "a completion goes on from the prompt as it is; Ollama puts the chat template around it"
CLAUDE = "what Anthropic's clients read of the same route"
SHOW = {
    "+system": EMPTY, "+license": EMPTY, "+licence_name": OURS, "+starter": OURS, "+pinned": OURS, "+size": OURS,
    "+model_info.general.name": "Ollama leaves the name out",
    "details.parent_model": "no path of the server's is given out",
}
TOOLS = {"capabilities[]": "a template without tools gets them in a general form, which the grammar keeps"}
# (feature, what or "*"): {place: reason}; a place that ends in * stands for all that begin so. An entry of a request
# that no longer holds fails; those of "*" may hold for some of its requests alone.
OTHER = {
    ("general", "GET /api/version"): {"+tresor": OURS},
    ("general", "a body that is no JSON"): {"error": WORDS},
    ("general", "a wrong type of a field"): {"error": WORDS},
    ("general", "a body without Content-Type"): {**SHOW, **TOOLS},
    ("general", "an unknown route"): {"media": "an error in Ollama's form, not a line of text", "order": "the same"},
    ("general", "another method"): {"media": "an error in Ollama's form, not a line of text", "order": "the same"},
    ("/api/tags", "the list"): {"+models[].capabilities": OURS, "models[].details.quantization_level": "Ollama does not know the name of F32"},
    ("/api/show", "a model"): {**SHOW, **TOOLS},
    ("/api/show", "by its old name"): {**SHOW, **TOOLS},
    ("/api/show", "verbose"): {**SHOW, **TOOLS},
    ("/api/show", "an embedder"): {
        **SHOW, "+parameters": EMPTY,
        "details.quantization_level": "Ollama does not know the name of F32"},
    ("/api/generate", "system"): {"-context": NO_CONTEXT},
    ("/api/generate", "a schema"): {"eval_count": GRAMMAR},
    ("/api/chat", "a schema"): {"eval_count": GRAMMAR},
    ("/api/generate", "logprobs, streamed"): {"+logprobs[].top_logprobs": EMPTY},
    ("/api/generate", "suffix of a model that does not"): {"error": "the name as the client said it"},
    ("/api/generate", "no name"): {"status": "400 as for a chat: nothing was named", "error": "as for a chat"},
    ("/api/generate", "keep_alive that is none"): {"error": WORDS},
    ("/api/generate", "format that is none"): {"status": "the client's mistake is 400, not 500", "error": WORDS},
    ("/api/generate", "a prompt that is too long"): {
        "status": "Ollama cuts the prompt and says it in its log alone", "+error": "the same", "-*": "the same"},
    ("/api/generate", "a picture for a model that is blind"): {
        "status": "Ollama answers without having looked", "+error": "the same", "-*": "the same"},
    ("/api/generate", "images that are no base64"): {"error": WORDS},
    ("/api/chat", "a role that is none"): {
        "status": "Ollama gives the template a role that it does not know", "media": "the same", "order": "the same"},
    ("/api/chat", "tools of a template without them"): {
        "status": "a template without tools gets them in a general form, which the grammar keeps", "+*": "the same",
        "-error": "the same"},
    ("/api/embed", "none"): {"+load_duration": EMPTY, "+prompt_eval_count": EMPTY, "+total_duration": EMPTY},
    ("/api/embed", "too long, not truncated"): {"error": "which text, and both counts"},
    ("/api/ps", "the list"): {
        "+models[].active": OURS, "+models[].pinned": OURS, "+models[].waiting": OURS, "+models[].engine_build": OURS,
        "+models[].engine": OURS,
        "models[].details.quantization_level": "Ollama does not know the name of F32"},
    ("/api/create", "from a model"): {"order": "layers that stay are not told"},
    ("/api/create", "from a model, whole"): {"+kept": "the version that the name stood for stays, and this is its name"},
    ("/api/create", "of nothing"): {"error": WORDS},
    ("/api/create", "from a model that is not there"): {
        "status": "nothing is fetched without being asked for: it is not there", "error": "the same"},
    ("/api/create", "of a name that is none"): {"error": WORDS},
    ("/api/blobs", "bytes of another digest"): {"error": WORDS},
    ("/api/pull", "no name"): {"error": WORDS},
    ("/v1/models", "the list"): {
        "+has_more": CLAUDE, "+data[].created_at": CLAUDE, "+data[].max_input_tokens": CLAUDE,
        "+data[].display_name": CLAUDE, "+data[].type": CLAUDE},
    ("/v1/models", "one"): {
        "+created_at": CLAUDE, "+max_input_tokens": CLAUDE, "+display_name": CLAUDE, "+type": CLAUDE},
    ("/v1/models", "one that is not there"): {"error.type": ERRORS, "error.param": ERRORS, "error.code": ERRORS},
    ("/v1/chat/completions", "*"): {
        "+usage.prompt_tokens_details": COUNTED, "+usage.completion_tokens_details": COUNTED,
        "+choices[].message.refusal": NULLS, "+choices[].logprobs": NULLS},
    ("/v1/chat/completions", "streamed, with usage"): {"+usage": "null before the last piece, as OpenAI has it"},
    ("/v1/chat/completions", "a schema"): {"usage.completion_tokens": GRAMMAR, "usage.total_tokens": GRAMMAR},
    ("/v1/chat/completions", "no model of that name"): {"error.type": ERRORS, "error.param": ERRORS, "error.code": ERRORS},
    ("/v1/chat/completions", "no messages"): {"error.param": ERRORS, "error.code": ERRORS},
    ("/v1/completions", "*"): {
        "+choices[].logprobs": NULLS, "+usage.prompt_tokens_details": COUNTED, "+usage.completion_tokens_details": COUNTED},
    ("/v1/completions", "whole"): {"usage.prompt_tokens": BARE, "usage.total_tokens": BARE},
    ("/v1/embeddings", "no model of that name"): {"error.type": ERRORS, "error.param": ERRORS, "error.code": ERRORS},
    ("/v1/responses", "whole"): {
        "+usage.input_tokens_details.cache_write_tokens": NULLS, "+reasoning*": NULLS, "reasoning": NULLS,
        "+text.verbosity": NULLS, "+user": NULLS, "+incomplete_details.reason": STOPPED, "incomplete_details": STOPPED,
        "completed_at": STOPPED, "-presence_penalty": "no field of OpenAI's", "-frequency_penalty": "no field of OpenAI's",
        "usage.*": "the model's own system text is read, which Ollama's template leaves out"},
    ("/v1/responses", "streamed"): {
        "order": STOPPED, "+response.reasoning*": NULLS, "response.reasoning": NULLS, "+response.text.verbosity": NULLS,
        "+response.user": NULLS, "-response.presence_penalty": "no field of OpenAI's",
        "-response.frequency_penalty": "no field of OpenAI's"},
    ("/v1/messages", "whole"): {
        "+usage.*": CACHED, "usage.input_tokens": CACHED, "+stop_sequence": "null where none ended it, as Anthropic has it"},
    ("/v1/messages", "streamed"): {
        "order": "Anthropic's streams have a ping", "+message.stop_reason": NULLS, "+message.stop_sequence": NULLS,
        "+message.usage.*": CACHED, "message.usage.input_tokens": CACHED, "+delta.stop_sequence": NULLS, "+usage.*": CACHED,
        "usage.input_tokens": CACHED},
}
