"""`ollama`, the program, as a client of Tresor. It cannot send a key: a proxy on loopback adds it."""
import json
import os
import re
import subprocess
import time

import harness

NOTE = "Ollama's command sends no key: a proxy before Tresor adds it; tresor's own command needs none"


class Terminal:
    """Runs the command for its owner."""

    def __init__(self, folder, port):
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("OLLAMA_")}
        self.env.update(HOME=str(folder), OLLAMA_HOST=f"127.0.0.1:{port}", TERM="dumb", OLLAMA_NOHISTORY="1")
        self.folder = str(folder)

    def __call__(self, *args, stdin="", code=0):
        r = subprocess.run([os.environ["OLLAMA"], *args], env=self.env, cwd=self.folder, input=stdin, capture_output=True,
                           text=True, timeout=60, check=False)
        assert r.returncode == code, f"exit code {r.returncode}: {r.stdout} {r.stderr}"
        return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", r.stdout), re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", r.stderr)

    def rows(self, *args):
        return [re.split(r"\s{2,}|\t", line.strip()) for line in self(*args)[0].splitlines()]


def command(feature, field, behaviour):
    return harness.check("ollama-cli", feature, field, behaviour)


@command("list", "", "shows name, id, size and time")
def listed(t, s):
    rows = t.rows("list")
    assert rows[0][:3] == ["NAME", "ID", "SIZE"]
    mine = next(r for r in rows if r[0] == "smollm2:latest")
    digest = next(m.digest for m in s.ollama.list().models if m.model == "smollm2:latest")
    assert mine[1] == digest[:12] and mine[2].endswith("MB") and "ago" in mine[3]


@command("list", "a prefix", "chooses")
def list_prefix(t, _):
    assert [r[0] for r in t.rows("ls", "mini")] == ["NAME", "minilm:latest"]


@command("show", "", "has the sections Model and Capabilities")
def show(t, _):
    out = t("show", "smollm2")[0]
    assert re.search(r"architecture\s+llama", out) and re.search(r"context length\s+8192", out)
    assert re.search(r"quantization\s+Q4_1", out) and "Capabilities" in out and "completion" in out


for _flag, _word in (("--modelfile", "FROM "), ("--parameters", "temperature"), ("--system", "You are brief."),
                     ("--license", "Own words.")):
    def _show_flag(t, s, flag=_flag, word=_word):
        s.ask("/api/create", {"model": "mine", "from": "smollm2", "stream": False, "system": "You are brief.",
                              "license": "Own words.", "parameters": {"temperature": 0.5}})
        try:
            assert word in t("show", "mine", flag)[0]
        finally:
            s.ollama.delete("mine")
    command("show", _flag, "prints it")(_show_flag)


@command("show", "--template", "prints the template that is used")
def show_template(t, s):
    assert t("show", "smollm2", "--template")[0].strip() == s.ask("/api/show", {"model": "smollm2"})["template"].strip()


@command("show", "--verbose", "adds metadata and tensors")
def show_verbose(t, _):
    out = t("show", "smollm2", "--verbose")[0]
    assert "Metadata" in out and "general.architecture" in out
    assert "Tensors" in out and "token_embd.weight" in out


@command("show", "a model that is not there", "is an error that names it")
def show_none(t, _):
    assert "model 'nope' not found" in t("show", "nope", code=1)[1]


@command("run", "a prompt", "is answered")
def run(t, _):
    assert t("run", "cold", "Say hello.")[0].strip()


@command("run", "stdin", "joins the prompt")
def run_stdin(t, _):
    long = int(re.search(r"prompt eval count:\s+(\d+)", t("run", "cold", "--verbose", "Sum up:", stdin="word " * 50)[1])[1])
    short = int(re.search(r"prompt eval count:\s+(\d+)", t("run", "cold", "--verbose", "Sum up:")[1])[1])
    assert long > short + 40


@command("run", "--verbose", "prints the timings")
def run_verbose(t, _):
    err = t("run", "cold", "--verbose", "Say hello.")[1]
    for word in ("total duration", "prompt eval count", "prompt eval duration", "prompt eval rate",
                 "eval count", "eval duration", "eval rate"):
        assert re.search(rf"^\W*{word}:\s+\S", err, re.M), (word, err)


@command("run", "--format", "json gives JSON")
def run_format(t, _):
    assert t("run", "cold", "--format", "json", "A cat as JSON.")[0].lstrip()[0] in "{["


@command("run", "--keepalive", "is how long the model stays")
def run_keepalive(t, s):
    import datetime
    t("run", "cold", "--keepalive", "25m", "Say hello.")
    left = max(m.expires_at for m in s.ollama.ps().models if m.model != "minilm:latest")
    assert 1400 < (left - datetime.datetime.now(datetime.timezone.utc)).total_seconds() <= 1501


@command("run", "--think", "of a model that does not think is an error that says so")
def run_think(t, _):
    out = t("run", "cold", "--think", "Why?", code=1)
    assert "does not support thinking" in out[1] or "not" in out[1]


@command("run", "an embedding model", "prints a list of numbers")
def run_embed(t, s):
    v = json.loads(t("run", "minilm", "Hello world")[0])
    want = s.ollama.embed("minilm", "Hello world").embeddings[0]
    assert len(v) == 384 and max(abs(a - b) for a, b in zip(v, want)) < 1e-4


@command("run", "--dimensions", "cuts the vector")
def run_dimensions(t, _):
    assert len(json.loads(t("run", "minilm", "--dimensions", "32", "Hello")[0])) == 32


@command("run", "--truncate", "false refuses a text that is too long")
def run_truncate(t, _):
    assert t("run", "minilm", "--truncate=false", stdin="word " * 2000, code=1)[1]
    assert json.loads(t("run", "minilm", stdin="word " * 2000)[0])


@command("create", "-f", "makes a model of a file, with what the Modelfile says")
def create(t, s):
    with open(os.path.join(t.folder, "Modelfile"), "w", encoding="utf-8") as f:
        new = harness.gguf_with(harness.SMOL, os.path.join(t.folder, "made.gguf"), {"general.name": "made"})
        f.write(f'FROM {new}\nPARAMETER num_predict 3\nPARAMETER stop "never"\nSYSTEM """You are\nbrief."""\n'
                "MESSAGE user Hi\nMESSAGE assistant Hello.\nLICENSE Own words.\n")
    out = "".join(t("create", "made", "-f", "Modelfile"))
    r = s.ask("/api/show", {"model": "made"})
    s.ollama.delete("made")
    assert "success" in out and r["system"] == "You are\nbrief." and "num_predict" in r["parameters"]
    assert [m["content"] for m in r["messages"]] == ["Hi", "Hello."] and "Own words." in r["license"]


@command("create", "FROM", "a model that is there")
def create_from(t, s):
    with open(os.path.join(t.folder, "Modelfile"), "w", encoding="utf-8") as f:
        f.write("FROM smollm2\nSYSTEM You are a pirate.\n")
    t("create", "made")
    assert s.ask("/api/show", {"model": "made"})["system"] == "You are a pirate."
    s.ollama.delete("made")


@command("ps", "", "shows name, id, size, processor, context and until")
def ps(t, s):
    s.ollama.generate("smollm2")
    rows = t.rows("ps")
    assert rows[0] == ["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"]
    mine = next(r for r in rows if r[0] in ("smollm2:latest", "cold:latest"))
    assert mine[3] == "100% CPU" and int(mine[4]) >= 2048 and "from now" in mine[5]


@command("stop", "", "unloads the model")
def stop(t, s):
    s.ollama.generate("smollm2")
    t("stop", "smollm2")
    end = time.monotonic() + 20
    while any(m.model != "minilm:latest" for m in s.ollama.ps().models):
        assert time.monotonic() < end
        time.sleep(0.05)


@command("cp, rm", "", "copy a name and take it away")
def cp(t, s):
    assert "copied" in "".join(t("cp", "smollm2", "again"))
    assert "again:latest" in {m.model for m in s.ollama.list().models}
    assert "deleted" in "".join(t("rm", "again"))
    assert "not found" in t("rm", "again", code=1)[1]


@command("pull", "a source that is not allowed", "is refused by name")
def pull(t, _):
    assert "evil.example" in "".join(t("pull", "evil.example/x/y", code=1))


@command("-v", "", "knows the server's version")
def version(t, s):
    assert s.http.get("/api/version").json()["version"] in "".join(t("-v"))
