"""What every part of the conformance suite uses: checks by name, their results, the models, and the clients.

A check is a function of a Site, registered with @check(CLIENT, FEATURE, FIELD, BEHAVIOUR). It fails when
the program ignores the field: ignore.py proves that for a part of them.
"""
import contextlib
import functools
import json
import os
import struct
import sys

import httpx

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("../lib", "../embed", "../vision"):
    sys.path.insert(0, os.path.normpath(os.path.join(HERE, folder)))
from tresor import Instance  # noqa: E402

CHECKS = {}  # name -> Check, in the order of the files


class Check:
    """`result` is what it stands for in docs/compatibility.md when it passes; `note` says why it is not "ok"."""

    def __init__(self, client, feature, field, behaviour, result, note, run):
        self.client, self.feature, self.field, self.behaviour = client, feature, field, behaviour
        self.result, self.note, self.run = result, note, run
        self.name = f"{client}: {feature}: {' '.join(x for x in (field, behaviour) if x)}"


def check(client, feature, field, behaviour, result="ok", note=""):
    def add(run):
        c = Check(client, feature, field, behaviour, result, note, run)
        assert c.name not in CHECKS, f"two checks are called {c.name}"
        assert result == "ok" or note, f"{c.name}: say why it is {result}"
        CHECKS[c.name] = c
        return run
    return add


def differs(*name, why):
    return check(*name, result="differs", note=why)


def unsupported(*name, why):
    return check(*name, result="unsupported", note=why)


def record(c, failure=None, told=None):
    """One JSON line in $CONFORM_RESULTS, from which docs/compatibility.md is made."""
    path = os.environ.get("CONFORM_RESULTS")
    if not path:
        return
    result, note = ("fails", failure) if failure else told or (c.result, c.note)
    line = {"client": c.client, "feature": c.feature, "field": c.field, "result": result, "note": note}
    with open(path, "a", encoding="utf-8") as f:
        f.write(json.dumps(line, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def refused(kind, status, *words):
    """The block ends with an error of the client's own class, its status, and words that its reader needs."""
    caught = []
    try:
        yield caught
    except kind as e:
        caught.append(e)
        assert e.status_code == status, f"status {e.status_code}, expected {status}: {e}"
        for word in words:
            assert word in str(e), f"{word!r} is not in the error: {e}"
        return
    raise AssertionError("it was not refused")


# ---- the models ----

SMOL = os.path.join(os.environ.get("TRESOR_DEPS", ""), "share/starter/smollm2.gguf")
# SmolLM2's form of messages, with thoughts unless they are switched off, and with a level of effort.
THINKING = """{%- set effort = {'low': 'Think.', 'medium': 'Think a little longer.',
                   'high': 'Think as long as it takes, and be very thorough.'} -%}
{%- if reasoning_effort is defined -%}
<|im_start|>system
{{ effort[reasoning_effort] }}<|im_end|>
{% endif -%}
{%- for m in messages -%}
<|im_start|>{{ m['role'] }}
{% if m['role'] == 'assistant' and m['reasoning_content'] %}<think>
{{ m['reasoning_content'] }}
</think>

{% endif %}{{ m['content'] }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% else %}<think>
{% endif %}{%- endif -%}"""
# Tokens of the vocabulary that no text has, for filling in between two texts.
FIM = {"tokenizer.ggml.fim_pre_token_id": 6, "tokenizer.ggml.fim_suf_token_id": 7, "tokenizer.ggml.fim_mid_token_id": 8}
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of a GGUF value, by its type
STRING, ARRAY, U32, ALIGN = 8, 9, 4, 32


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        v = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return v[0] if len(v) == 1 else v

    def text(self):
        n = self.take("Q")
        self.at += n
        return self.data[self.at - n:self.at].decode(errors="replace")

    def skip(self, kind):
        if kind == STRING:
            self.text()
        elif kind == ARRAY:
            of, n = self.take("IQ")
            if of in SIZES:
                self.at += n * SIZES[of]
            else:
                for _ in range(n):
                    self.skip(of)
        else:
            self.at += SIZES[kind]


def gguf_with(source, path, more):
    """Copies a GGUF file with other metadata: strings and whole numbers of `more` replace or add."""
    with open(source, "rb") as f:
        r = Reader(f.read())
    magic, version, tensors, pairs = r.take("4sIQQ")
    assert magic == b"GGUF" and version == 3
    kept = []
    for _ in range(pairs):
        start = r.at
        key = r.text()
        r.skip(r.take("I"))
        if key not in more:
            kept.append(r.data[start:r.at])
    for key, v in more.items():
        raw = v.encode() if isinstance(v, str) else v
        value = struct.pack("<IQ", STRING, len(raw)) + raw if isinstance(v, str) else struct.pack("<II", U32, v)
        kept.append(struct.pack("<Q", len(key)) + key.encode() + value)
    start = r.at
    for _ in range(tensors):
        r.text()
        dims = r.take("I")
        r.at += 8 * dims + 4 + 8  # sizes, type, offset
    head = struct.pack("<4sIQQ", magic, version, tensors, len(kept)) + b"".join(kept) + r.data[start:r.at]
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % ALIGN) + r.data[r.at + -r.at % ALIGN:])
    return path


# ---- the server ----

SCOPES = "chat,models.read,models.change,models.push,metrics"
MODELS = ("smollm2", "smart", "seer", "minilm", "rank")


def models_into(instance, folder, names=MODELS):
    """`smart` thinks and fills in, `seer` sees, `minilm` embeds, `rank` scores; `smollm2` only talks."""
    import bert
    from test_model import Projector

    folder = str(folder)
    made = {
        "smart": lambda: gguf_with(SMOL, folder + "/smart.gguf", {"tokenizer.chat_template": THINKING, **FIM}),
        "minilm": lambda: bert.load_minilm().write(folder + "/minilm.gguf", bert.MEAN),
        "rank": lambda: bert.tiny_cross_encoder().write(folder + "/rank.gguf", bert.RANK),
    }
    for name in names:
        if name == "smollm2":
            instance.must("pull", "starter:smollm2", "--as", name)
        elif name in made:
            instance.must("pull", "file:" + str(made[name]()), "--as", name)
    if "seer" in names:
        site = Site(instance.port, instance.secret)
        files = {"model.gguf": site.blob(SMOL), "mmproj.gguf": site.blob(Projector().write(folder + "/mmproj.gguf"))}
        status, r = site.post("/api/create", {"model": "seer", "files": files, "stream": False})
        assert status == 200, r


@contextlib.contextmanager
def tresor(folder, names=MODELS):
    """A running program with its models; a Site with an owner's key."""
    with Instance() as i:
        i.start()
        i.add_user("o@example.org", "owner")
        i.secret = i.key("o@example.org", SCOPES)
        models_into(i, folder, names)
        yield Site(i.port, i.secret, i)


def lora_for_smollm2(path, strength=0.5, width=576):
    """A LoRA of rank 1 for one matrix of SmolLM2 135M, as a GGUF file."""
    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()

    pairs = b"".join(text(k) + struct.pack("<I", 8) + text(v) for k, v in (
        ("general.architecture", "llama"), ("general.type", "adapter"), ("adapter.type", "lora")))
    pairs += text("adapter.lora.alpha") + struct.pack("<If", 6, 1)
    a, b = struct.pack("<f", 1) * width, struct.pack("<f", strength) * 192
    infos = text("blk.0.attn_v.weight.lora_a") + struct.pack("<IQQIQ", 2, width, 1, 0, 0)
    infos += text("blk.0.attn_v.weight.lora_b") + struct.pack("<IQQIQ", 2, 1, 192, 0, len(a))
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, 4) + pairs + infos
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % 32) + a + b)
    return path


class Site:
    """Where the clients go: the program itself, or a proxy before it."""

    def __init__(self, port, key, instance=None):
        self.port, self.key, self.instance = port, key, instance
        self.url = f"http://127.0.0.1:{port}"
        self.headers = {"Authorization": f"Bearer {key}"}

    # ---- clients ----
    @functools.cached_property
    def http(self):
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=120)

    @functools.cached_property
    def openai(self):
        import openai
        return openai.OpenAI(base_url=self.url + "/v1", api_key=self.key, max_retries=0, timeout=120)

    @functools.cached_property
    def anthropic(self):
        import anthropic
        return anthropic.Anthropic(base_url=self.url, api_key=self.key, max_retries=0, timeout=120)

    @functools.cached_property
    def ollama(self):
        import ollama
        return ollama.Client(host=self.url, headers=self.headers, timeout=120)

    # ---- raw HTTP ----
    def post(self, path, body):
        r = self.http.post(path, json=body)
        return r.status_code, r.json() if r.content else None

    def ask(self, path, body):
        status, r = self.post(path, body)
        assert status == 200, f"{status}: {r}"
        return r

    def lines(self, path, body):
        """The objects of an NDJSON stream."""
        with self.http.stream("POST", path, json=body) as r:
            assert r.status_code == 200, r.read()
            assert r.headers["content-type"].startswith("application/x-ndjson")
            return [json.loads(x) for x in r.iter_lines() if x]

    def events(self, path, body):
        """(event name or None, data) of a stream of server-sent events; the text [DONE] as it is."""
        out, name = [], None
        with self.http.stream("POST", path, json=body) as r:
            assert r.status_code == 200, r.read()
            assert r.headers["content-type"].startswith("text/event-stream")
            for line in r.iter_lines():
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    out.append((name, line[6:] if line == "data: [DONE]" else json.loads(line[6:])))
                    name = None
        return out

    def blob(self, path):
        import hashlib
        with open(path, "rb") as f:
            data = f.read()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        r = self.http.post("/api/blobs/" + digest, content=data)
        assert r.status_code in (200, 201), r.text
        return digest

    def generate(self, prompt="One, two, three,", **more):
        """/api/generate without the template; `more` without a field of the request is an option."""
        fields = ("format", "suffix", "system", "think", "logprobs", "top_logprobs", "grammar", "keep_alive", "images",
                  "truncate", "shift", "raw", "model")
        body = {"model": "smollm2", "prompt": prompt, "raw": True, "stream": False}
        body.update({k: v for k, v in more.items() if k in fields})
        body["options"] = {"num_predict": 8, "temperature": 0, "repeat_penalty": 1.0,
                           **{k: v for k, v in more.items() if k not in fields}}
        return self.ask("/api/generate", body)

    def text(self, prompt="One, two, three,", **more):
        return self.generate(prompt, **more)["response"]

    def active(self):
        text = self.http.get("/metrics").text
        return int(next(x for x in text.splitlines() if x.startswith("tresor_generations_active ")).split()[1])
