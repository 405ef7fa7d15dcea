"""A running Tresor and a running Ollama, asked the same; and what is other in their answers."""
import json
import os
import re
import subprocess
import time

import httpx

import harness
from tresor import free_port

# Compared by value wherever they stand; of everything else key and type.
EXACT = {"done", "done_reason", "error", "role", "object", "finish_reason", "stop_reason", "stop_sequence", "index", "format",
         "family", "families", "parent_model", "quantization_level", "capabilities", "prompt_eval_count", "eval_count",
         "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "model", "name", "type",
         "general.architecture", "owned_by", "param", "code", "message.role", "encoding_format"}
# Said by Tresor beside what Ollama says.
MORE = {
    "model_digest": "which version of the model answered", "engine_build": "which build of the engine answered",
    "template_hash": "which template was used", "seed": "so that an answer can be repeated",
    "cached_tokens": "how much of the prompt had been read before", "warnings": "nothing is ignored silently",
    "digest": "the version that a name stands for", "engine": "which build of the engine answered",
    "origin": "where it came from, and who let it in",
}


class Pair:
    def __init__(self, folder):
        self.folder, self.seen_more = folder, set()
        self.real_port = free_port()

    def __enter__(self):
        self.tresor = harness.tresor(self.folder, ())
        self.site = self.tresor.__enter__()
        env = {k: v for k, v in os.environ.items() if not k.startswith("OLLAMA")}
        env.update(HOME=str(self.folder), OLLAMA_HOST=f"127.0.0.1:{self.real_port}", OLLAMA_NO_CLOUD="1",
                   OLLAMA_MODELS=str(self.folder / "models"), OLLAMA_CONTEXT_LENGTH="4096", OLLAMA_NUM_PARALLEL="1")
        self.log = open(self.folder / "ollama.log", "wb")
        self.process = subprocess.Popen([os.environ["OLLAMA"], "serve"], env=env, stdout=self.log, stderr=self.log)
        self.real = harness.Site(self.real_port, "none")
        self.wait()
        self.fill()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
        self.tresor.__exit__(None, None, None)

    def wait(self):
        end = time.monotonic() + 60
        while True:
            try:
                if httpx.get(self.real.url + "/api/version", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            assert time.monotonic() < end and self.process.poll() is None, (self.folder / "ollama.log").read_text()[-2000:]
            time.sleep(0.05)

    def fill(self):
        import bert
        minilm = bert.load_minilm().write(str(self.folder / "minilm.gguf"), bert.MEAN)
        for site in (self.site, self.real):
            for name, path in (("smollm2", harness.SMOL), ("minilm", minilm)):
                status, r = site.post("/api/create", {"model": name, "files": {name + ".gguf": site.blob(str(path))},
                                                      "stream": False})
                assert status == 200, r


# ---- one answer ----

def kind(line):
    """What a line of a stream is, so that like is compared with like."""
    if not isinstance(line, dict):
        return str(line)
    if "error" in line:
        return "error"
    if "choices" in line:
        if not line["choices"]:
            return "usage"
        return "end" if line["choices"][0].get("finish_reason") else "piece"
    if "type" in line:
        return line["type"]
    if "done" in line:
        return "done" if line["done"] else "piece"
    return re.sub(r"[0-9a-f]{12,}", "HEX", line.get("status", "line"))


def answer(site, method, path, body):
    """Status, type, and the parts of an answer: {kind: [values]}, and the order of the kinds."""
    if isinstance(body, (bytes, type(None))):
        r = site.http.request(method, path, content=body)
    else:
        r = site.http.request(method, path, json=body)
    media = r.headers.get("content-type", "").split(";")[0]
    lines = []
    if media == "text/event-stream":
        for x in r.text.splitlines():
            if x.startswith("data: "):
                lines.append(x[6:] if x == "data: [DONE]" else json.loads(x[6:]))
    elif media == "application/x-ndjson":
        lines = [json.loads(x) for x in r.text.splitlines() if x]
    elif media == "application/json" and r.content:
        lines = [r.json()]
    stream = media in ("text/event-stream", "application/x-ndjson")
    parts, order = {}, []
    for x in lines:
        k = kind(x) if stream else "answer"
        parts.setdefault(k, []).append(x)
        if order[-1:] != [k]:
            order.append(k)
    return {"status": r.status_code, "media": media if r.content else "", "order": order, "parts": parts}


# ---- what is other ----

def sort_of(v):
    if isinstance(v, bool):
        return "bool"
    if isinstance(v, (int, float)):
        return "number"
    return {str: "text", list: "list", dict: "object", type(None): "null"}[type(v)]


def walk(value, path, out):
    """Each place in a value, as a.b[].c: its sort, or what it is if that must be equal."""
    key = path.rsplit(".", 1)[-1].removesuffix("[]")
    if isinstance(value, dict):
        out.setdefault(path, set()).add("object")
        for k, v in value.items():
            walk(v, f"{path}.{k}" if path else k, out)
    elif isinstance(value, list):
        out.setdefault(path, set()).add("list")
        for v in value[:200]:
            walk(v, path + "[]", out)
    elif (key in EXACT or path.split(".", 1)[-1] in EXACT) and value is not None:
        out.setdefault(path, set()).add(json.dumps(value))
    else:
        out.setdefault(path, set()).add(sort_of(value))


def places(values):
    out = {}
    for v in values:
        walk(v, "", out)
    return out


def differences(ours, theirs, more):
    """{place: what}: "+a.b" only ours has, "-a.b" only theirs, "a.b" both but other. `more`: those of MORE that came."""
    found = {}
    for what in ("status", "media", "order"):
        if ours[what] != theirs[what]:
            found[what] = f"{ours[what]}, not {theirs[what]}"
    for k in theirs["parts"].keys() & ours["parts"].keys():
        a, b = places(ours["parts"][k]), places(theirs["parts"][k])
        for p in a.keys() - b.keys():
            name = parents(p)[0] if parents(p) else p
            if name in MORE:
                more.add(name)
            elif not any(q in a and q not in b for q in parents(p)):
                found["+" + p] = sorted(a[p])[0]
        for p in b.keys() - a.keys():
            if not any(q in b and q not in a for q in parents(p)):
                found["-" + p] = sorted(b[p])[0]
        for p in a.keys() & b.keys():
            if a[p] != b[p]:
                found[p] = f"{' or '.join(sorted(a[p]))}, not {' or '.join(sorted(b[p]))}"
    return found


def parents(path):
    """a.b[].c: a, a.b, a.b[]"""
    return [path[:i] for i in range(1, len(path)) if path[i] in ".["]
