"""Ollama's API about models: list, show, ps, pull, create, copy, delete, push, blobs, and what is not there."""
import hashlib
import os
import tempfile

import httpx
import ollama

from harness import MODELS, SMOL, check, lora_for_smollm2, refused, unsupported

DETAILS = {"parent_model", "format", "family", "families", "parameter_size", "quantization_level"}


def lib(feature, field, behaviour):
    return check("ollama-python", feature, field, behaviour)


def raw(feature, field, behaviour):
    return check("http", feature, field, behaviour)


def names(s):
    return {m.model for m in s.ollama.list().models}


# ---- general ----

@raw("general", "", "/ and /api/version answer without a key, HEAD too")
def open_routes(s):
    assert httpx.get(s.url + "/api/version").json()["version"].count(".") == 2
    for path in ("/", "/api/version"):
        assert httpx.head(s.url + path).status_code == 200


@raw("general", "Authorization", "is needed everywhere else, and a wrong key is 401 in Ollama's form")
def key_needed(s):
    for key in (None, "nonsense"):
        r = httpx.get(s.url + "/api/tags", headers={"Authorization": f"Bearer {key}"} if key else {})
        assert r.status_code == 401 and isinstance(r.json()["error"], str)


@raw("general", "Content-Type", "is not needed")
def no_type(s):
    r = s.http.post("/api/show", content=b'{"model":"smollm2"}')
    assert r.status_code == 200


@raw("general", "an unknown field", "is no error")
def unknown_field(s):
    assert s.post("/api/show", {"model": "smollm2", "zzz": 1})[0] == 200
    assert s.generate(num_predict=1)


@raw("general", "", "a body that is no JSON, or none, is 400 in Ollama's form")
def bad_bodies(s):
    for path in ("/api/generate", "/api/chat", "/api/show", "/api/embed"):
        for body in (b"", b"{", b"[]", b'{"model":1}'):
            r = s.http.post(path, content=body)
            assert r.status_code == 400 and isinstance(r.json()["error"], str), (path, body, r.text)
    assert s.http.post("/api/chat", content=b"").json()["error"] == "missing request body"


@raw("general", "model", "absent is 400 with Ollama's text")
def model_required(s):
    for path in ("/api/generate", "/api/chat", "/api/show"):
        status, r = s.post(path, {})
        assert status == 400 and r["error"] == "model is required", (path, r)


@raw("general", "model", "m is m:latest is registry.ollama.ai/library/m:latest, in any case")
def normal_names(s):
    digest = s.ask("/api/show", {"model": "smollm2"})["digest"]
    for name in ("smollm2:latest", "library/smollm2", "registry.ollama.ai/library/smollm2:latest", "SmolLM2"):
        status, r = s.post("/api/show", {"model": name})
        assert status == 200 and r["digest"] == digest, (name, r)


@raw("general", "name", "is read as the old word for model")
def old_name(s):
    assert s.post("/api/show", {"name": "smollm2"})[0] == 200
    s.ask("/api/create", {"name": "old", "from": "smollm2", "stream": False})
    assert s.http.request("DELETE", "/api/delete", json={"name": "old"}).status_code == 200


# ---- tags ----

@lib("/api/tags", "models", "have name, size, digest and time")
def tags(s):
    m = next(m for m in s.ollama.list().models if m.model == "smollm2:latest")
    assert m.size > 90_000_000 and len(m.digest) == 64 and m.modified_at.year >= 2024


@raw("/api/tags", "name, details", "have all keys of Ollama")
def tags_keys(s):
    for m in s.http.get("/api/tags").json()["models"]:
        assert m["name"] == m["model"] and set(m["details"]) >= DETAILS
    assert s.http.head("/api/tags").status_code == 200


# ---- show ----

@lib("/api/show", "model_info", "is the file's own metadata")
def show_info(s):
    info = s.ollama.show("smollm2").modelinfo
    assert info["general.architecture"] == "llama" and info["llama.context_length"] == 8192
    assert info["llama.block_count"] == 30 and info["llama.attention.head_count"] == 9
    assert info["general.parameter_count"] > 130_000_000


@lib("/api/show", "details", "name family, size and quantization")
def show_details(s):
    d = s.ollama.show("smollm2").details
    assert (d.format, d.family, d.quantization_level) == ("gguf", "llama", "Q4_1") and d.parameter_size.endswith("M")


@lib("/api/show", "capabilities", "say what the model can")
def show_capabilities(s):
    assert "completion" in s.ollama.show("smollm2").capabilities
    assert "vision" in s.ollama.show("seer").capabilities and "vision" not in s.ollama.show("smollm2").capabilities
    assert s.ollama.show("minilm").capabilities == ["embedding"]


@lib("/api/show", "capabilities", "say whether it thinks and fills in")
def show_thinking(s):
    assert {"thinking", "insert"} <= set(s.ollama.show("smart").capabilities)
    assert not {"thinking", "insert"} & set(s.ollama.show("smollm2").capabilities)


@lib("/api/show", "system, template, license, parameters, messages, modelfile", "are what create was given")
def show_texts(s):
    s.ollama.create("mine", from_="smollm2", system="You are brief.", license="Own words.",
                    parameters={"temperature": 0.3, "stop": ["a", "b"]},
                    messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}])
    try:
        r = s.ask("/api/show", {"model": "mine"})
        assert r["system"] == "You are brief." and "Own words." in r["license"]
        lines = sorted(line.split() for line in r["parameters"].splitlines())
        assert lines == [["stop", '"a"'], ["stop", '"b"'], ["temperature", "0.3"]]
        assert [m["content"] for m in r["messages"]] == ["Hi", "Hello."]
        assert "You are brief." in r["modelfile"] and "PARAMETER temperature 0.3" in r["modelfile"]
    finally:
        s.ollama.delete("mine")


@raw("/api/show", "verbose", "adds the lists and the tensors")
def show_verbose(s):
    short = s.ask("/api/show", {"model": "smollm2"})
    long = s.ask("/api/show", {"model": "smollm2", "verbose": True})
    assert short["model_info"].get("tokenizer.ggml.tokens") is None
    assert len(long["model_info"]["tokenizer.ggml.tokens"]) == 49152
    assert any(t["name"] == "token_embd.weight" for t in long["tensors"])


@raw("/api/show", "modified_at", "is the time of the model, digest and template_hash its version")
def show_version(s):
    r = s.ask("/api/show", {"model": "smollm2"})
    assert r["modified_at"][:2] == "20" and len(r["digest"]) == 64 and r["template_hash"]


@raw("/api/show", "projector_info", "is there for a model that sees")
def show_projector(s):
    r = s.ask("/api/show", {"model": "seer"})
    assert r["projector_info"]["general.architecture"] == "clip"
    assert "projector_info" not in s.ask("/api/show", {"model": "smollm2"})


@lib("/api/show", "model", "that is not there is 404")
def show_none(s):
    with refused(ollama.ResponseError, 404, "model 'nope' not found"):
        s.ollama.show("nope")


# ---- ps ----

@lib("/api/ps", "models", "are those that are loaded, with their context and their end")
def ps(s):
    s.ollama.generate("smollm2")
    m = next(m for m in s.ollama.ps().models if m.model == "smollm2:latest")
    assert m.name == "smollm2:latest" and len(m.digest) == 64 and m.size > 90_000_000 and m.size_vram >= 0
    assert m.context_length >= 2048 and m.expires_at and m.details.family == "llama"


# ---- pull ----

@lib("/api/pull", "stream", "ends with success")
def pull(s):
    lines = list(s.ollama.pull("starter:smollm2", stream=True))
    assert lines[-1].status == "success" and len(lines) > 1
    for name in names(s) - {f"{m}:latest" for m in MODELS}:
        s.ollama.delete(name)


@lib("/api/pull", "stream", "false gives one answer")
def pull_whole(s):
    assert s.ollama.pull("starter:smollm2").status == "success"
    for name in names(s) - {f"{m}:latest" for m in MODELS}:
        s.ollama.delete(name)


@lib("/api/pull", "model", "from a host that is not allowed is refused by name")
def pull_refused(s):
    with refused(ollama.ResponseError, 403, "evil.example"):
        s.ollama.pull("evil.example/x/y")


@raw("/api/pull", "insecure", "does not open a host that is not allowed")
def pull_insecure(s):
    status, r = s.post("/api/pull", {"model": "evil.example/x/y", "insecure": True, "stream": False})
    assert status == 403 and "evil.example" in r["error"]


# ---- create, copy, delete ----

@lib("/api/create", "from", "makes a name of a model that is there")
def create_from(s):
    done = s.ollama.create("two", from_="smollm2")
    assert done.status == "success" and "two:latest" in names(s)
    assert s.ollama.generate("two", "x", options={"num_predict": 1}).done
    s.ollama.delete("two")


@lib("/api/create", "stream", "tells its steps as Ollama does")
def create_lines(s):
    lines = [x.status for x in s.ollama.create("two", from_="smollm2", system="A.", stream=True)]
    s.ollama.delete("two")
    assert lines[-2:] == ["writing manifest", "success"]
    assert any(x.startswith(("using existing layer sha256:", "creating new layer sha256:")) for x in lines)


@lib("/api/create", "files", "makes a model of an uploaded file")
def create_files(s):
    digest = s.ollama.create_blob(SMOL)
    assert digest == s.ollama.create_blob(SMOL)
    assert s.ollama.create("mine", files={"smollm2.gguf": digest}).status == "success"
    assert s.ollama.show("mine").modelinfo["general.architecture"] == "llama"
    s.ollama.delete("mine")


@raw("/api/create", "from", "or files must be there, and what it names")
def create_nothing(s):
    status, r = s.post("/api/create", {"model": "x", "stream": False})
    assert status == 400 and r["error"] == "neither \"from\" nor \"files\" was specified"
    assert s.post("/api/create", {"model": "x", "from": "nope", "stream": False})[0] in (400, 404)
    assert s.post("/api/create", {"model": "x", "stream": False, "files": {"a.gguf": "sha256:" + "0" * 64}})[0] in (400, 404)


@lib("/api/create", "system", "is what the model is told")
def create_system(s):
    s.ollama.create("told", from_="smollm2", system="You are a pirate who says arr. " * 8)
    a = s.ollama.chat("told", [{"role": "user", "content": "Hi"}], options={"num_predict": 1}).prompt_eval_count
    b = s.ollama.chat("smollm2", [{"role": "user", "content": "Hi"}], options={"num_predict": 1}).prompt_eval_count
    s.ollama.delete("told")
    assert a > b + 40


@lib("/api/create", "messages", "come before those of a request")
def create_messages(s):
    s.ollama.create("shown", from_="smollm2", messages=[{"role": "user", "content": "word " * 30},
                                                         {"role": "assistant", "content": "ok"}])
    a = s.ollama.chat("shown", [{"role": "user", "content": "Hi"}], options={"num_predict": 1}).prompt_eval_count
    b = s.ollama.chat("smollm2", [{"role": "user", "content": "Hi"}], options={"num_predict": 1}).prompt_eval_count
    s.ollama.delete("shown")
    assert a > b + 30


@lib("/api/create", "parameters", "count when a request says nothing")
def create_parameters(s):
    s.ollama.create("short", from_="smollm2", parameters={"num_predict": 2})
    a = s.ollama.chat("short", [{"role": "user", "content": "Tell me a story."}])
    s.ollama.delete("short")
    assert a.eval_count == 2


@lib("/api/create", "license", "may be a list")
def create_licences(s):
    s.ollama.create("mine", from_="smollm2", license=["First.", "Second."])
    text = s.ollama.show("mine").license
    s.ollama.delete("mine")
    assert "First." in text and "Second." in text


def not_made(field, value):
    def run(s):
        status, r = s.post("/api/create", {"model": "x", "from": "smollm2", "stream": False, field: value})
        if status == 200:  # it is done by now
            s.ollama.delete("x")
            return "ok", ""
        assert status == 400 and field in r["error"], r
        return "unsupported", r["error"]
    return run


@lib("/api/create", "adapters", "are used; one for another model, and one that is not there, are refused")
def adapters(s):
    with tempfile.TemporaryDirectory() as folder:
        good = s.ollama.create_blob(lora_for_smollm2(folder + "/good"))
        bad = s.ollama.create_blob(lora_for_smollm2(folder + "/bad", width=544))
    with refused(ollama.ResponseError, 422, "shape"):
        s.ollama.create("x", from_="smollm2", adapters={"a.gguf": bad})
    with refused(ollama.ResponseError, 404, "not found"):
        s.ollama.create("x", from_="smollm2", adapters={"a.gguf": "sha256:" + "1" * 64})
    assert s.ollama.create("bent", from_="smollm2", adapters={"a.gguf": good}).status == "success"
    try:
        cold = {"temperature": 0, "num_predict": 12}
        plain, bent = (s.ollama.generate(m, "The capital of France is", raw=True, options=cold).response
                       for m in ("smollm2", "bent"))
        assert bent and bent != plain
    finally:
        s.ollama.delete("bent")


raw("/api/create", "remote_host", "is done, or refused by name")(not_made("remote_host", "https://example.org"))


@raw("/api/create", "renderer, parser, requires", "are kept and shown; a stub of a template beside a renderer is not used")
def named_code(s):
    code = {"renderer": "qwen3-coder", "parser": "qwen3", "requires": "0.14.0"}
    s.ask("/api/create", {"model": "coded", "from": "smollm2", "stream": False, "template": "{{ .Prompt }}", **code})
    try:
        shown, own = (s.ask("/api/show", {"model": m}) for m in ("coded", "smollm2"))
        assert {k: shown.get(k) for k in code} == code, shown
        assert shown["template"] == own["template"] and shown["capabilities"] == own["capabilities"]
        for line in ("RENDERER qwen3-coder", "PARSER qwen3", "REQUIRES 0.14.0"):
            assert f"\n{line}\n" in shown["modelfile"], shown["modelfile"]
        assert "TEMPLATE" not in shown["modelfile"]
        asked = {"messages": [{"role": "user", "content": "Name a colour."}], "stream": False,
                 "options": {"temperature": 0, "num_predict": 8}}
        a, b = (s.ask("/api/chat", {"model": m, **asked}) for m in ("coded", "smollm2"))
        assert a["message"]["content"] and a["prompt_eval_count"] == b["prompt_eval_count"]
        # A template of one's own counts again.
        s.ask("/api/create", {"model": "coded", "from": "coded", "stream": False, "template": "{{ .Prompt }}"})
        assert s.ask("/api/show", {"model": "coded"})["template"] == "{{ .Prompt }}"
    finally:
        s.ollama.delete("coded")


@raw("/api/create", "quantize", "makes the weights smaller, and refuses those that are so already")
def quantized(s):
    s.ask("/api/create", {"model": "smaller", "from": "minilm", "stream": False, "quantize": "q8_0"})
    try:
        assert s.ask("/api/show", {"model": "smaller"})["details"]["quantization_level"] == "Q8_0"
    finally:
        s.ollama.delete("smaller")
    status, r = s.post("/api/create", {"model": "x", "from": "smollm2", "stream": False, "quantize": "q4_K_M"})
    assert status == 400 and "quantization is only supported" in r["error"], r


@lib("/api/copy", "source, destination", "make a second name, and an unknown source is 404")
def copy(s):
    assert s.ollama.copy("smollm2", "again").status == "success"
    assert "again:latest" in names(s)
    s.ollama.delete("again")
    with refused(ollama.ResponseError, 404, 'model "nope" not found'):
        s.ollama.copy("nope", "again")


@lib("/api/delete", "model", "is gone, and a second time 404")
def delete(s):
    s.ollama.copy("smollm2", "again")
    assert s.ollama.delete("again").status == "success" and "again:latest" not in names(s)
    with refused(ollama.ResponseError, 404, "model 'again' not found"):
        s.ollama.delete("again")


@raw("/api/push", "model", "is done, or refused in Ollama's form")
def push(s):
    status, r = s.post("/api/push", {"model": "evil.example/x/y", "stream": False})
    assert status in (400, 403, 404) and isinstance(r.get("error"), str), r
    return ("unsupported", "there is no such route yet") if s.post("/api/push", {})[0] == 404 else ("ok", "")


# ---- blobs ----

@raw("/api/blobs", "digest", "HEAD says whether it is there")
def blob_head(s):
    digest = s.blob(SMOL)
    assert s.http.head("/api/blobs/" + digest).status_code == 200
    assert s.http.head("/api/blobs/sha256:" + "0" * 64).status_code == 404


@raw("/api/blobs", "digest", "that the bytes do not have is 400")
def blob_wrong(s):
    r = s.http.post("/api/blobs/sha256:" + "1" * 64, content=b"other bytes")
    assert r.status_code == 400 and "digest" in r.json()["error"]
    assert s.http.head("/api/blobs/sha256:" + "1" * 64).status_code == 404


@raw("/api/blobs", "digest", "new bytes are 201, those that are there 200")
def blob_twice(s):
    data = os.urandom(1000)
    path = "/api/blobs/sha256:" + hashlib.sha256(data).hexdigest()
    assert s.http.post(path, content=data).status_code == 201
    assert s.http.post(path, content=data).status_code == 200


# ---- what Ollama has and we do not ----

@unsupported("http", "/api/me, /api/signout, /api/experimental", "", "are not there, and say so in Ollama's form",
             why="there is no cloud account, no model that runs elsewhere, and no search at ollama.com")
def cloud(s):
    for path in ("/api/me", "/api/signout", "/api/experimental/web_search"):
        status, r = s.post(path, {})
        assert status == 404 and r["error"], (path, status, r)


@raw("/api/tokenize, /api/detokenize", "content, tokens", "give a text's tokens and back (not Ollama's)")
def tokens(s):
    a = s.ask("/api/tokenize", {"model": "smollm2", "content": "Hello world"})
    assert a["tokens"] == [19556, 905]
    assert s.ask("/api/detokenize", {"model": "smollm2", "tokens": a["tokens"]})["content"] == "Hello world"
