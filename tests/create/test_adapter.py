"""LoRA adapters: what a model answers with one is compared with weights into which it was added by hand (lora.py)."""
import hashlib
import json
import os
import shutil
import sys
import threading

import numpy as np
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import lora  # noqa: E402
from tresor import Instance  # noqa: E402

# Of log probabilities. K and V lie in 16 bits, and W + BA rounds otherwise than W and BA apart.
NEAR, FAR = 0.01, 0.3
PROMPT = "The quick brown fox "
LONG = "".join(f"{i} times {i} is {i * i}. " for i in range(40))  # longer than the pool that reads needs


@pytest.fixture(scope="module")
def server():
    with Instance() as i:
        i.start()
        i.add_user("o@example.org", "owner")
        i.secret = i.key("o@example.org", "chat,models.read,models.change")
        yield i


@pytest.fixture(scope="module")
def w():
    return lora.weights()


@pytest.fixture(scope="module")
def base(server, w, tmp_path_factory):
    server.must("create", "base", "-f", lora.model(tmp_path_factory.mktemp("base") / "m.gguf", w))
    return "base"


def api(i, path, body):
    return i.api("POST", path, body, key=i.secret)


def said(i, model, prompt=PROMPT, n=10, **more):
    """Tokens and the log probabilities of the five most likely at each place."""
    status, r = api(i, "/api/generate", {
        "model": model, "prompt": prompt, "raw": True, "stream": False, "logprobs": True, "top_logprobs": 5,
        "options": {"temperature": 0, "num_predict": n, "repeat_penalty": 1}, **more})
    assert status == 200, r
    return [{tuple(x["bytes"]): x["logprob"] for x in one["top_logprobs"]} for one in r["logprobs"]]


def apart(a, b):
    """The greatest difference of two answers at the places where both have taken the same way."""
    worst = 0.0
    for x, y in zip(a, b):
        both = set(x) & set(y)
        worst = max([worst, *(abs(x[t] - y[t]) for t in both)], default=worst)
        if len(both) < 3:
            return 99.0
        if max(x, key=x.get) != max(y, key=y.get):
            two = sorted(x.values())[-2:]
            return worst if two[1] - two[0] < NEAR else 99.0  # as good as equal: another way from here
    return worst


def blobs(i):
    return sorted(os.listdir(os.path.join(i.data, "models/blobs")))


def entry(i, name):
    _, r = i.api("GET", "/api/tags", key=i.secret)
    return next((m for m in r["models"] if m["name"] == name + ":latest"), None)


def make(i, folder, name, text):
    with open(os.path.join(folder, "Modelfile"), "w", encoding="utf-8") as f:
        f.write(text)
    return i.run("create", name, "-f", os.path.join(folder, "Modelfile"))


def must_make(i, folder, name, text):
    code, _, err = make(i, folder, name, text)
    assert code == 0, err


def by_hand(i, folder, name, w, arch="llama"):
    i.must("create", name, "-f", lora.model(os.path.join(folder, name + ".gguf"), w, arch))


@pytest.fixture(scope="module")
def ab():
    return lora.lora()


@pytest.fixture(scope="module")
def tuned(server, base, w, ab, tmp_path_factory):
    """base with an adapter, and the same by hand."""
    folder = tmp_path_factory.mktemp("tuned")
    lora.adapter(folder / "a.gguf", ab, 8)
    must_make(server, folder, "tuned", "FROM base\nADAPTER ./a.gguf\nSYSTEM Hello.\n")
    by_hand(server, folder, "hand", lora.merged(w, ab, 8 / 4))
    return "tuned"


# ---- what it answers ----

def test_with_an_adapter_it_answers_as_with_weights_that_have_it(server, base, tuned):
    for prompt in (PROMPT, "x = ", LONG):
        want = said(server, "hand", prompt)
        assert apart(said(server, tuned, prompt), want) < NEAR, prompt[:20]
        assert apart(said(server, base, prompt), want) > FAR, prompt[:20]


def test_the_model_without_it_stays_what_it_was_beside_it(server, base, tuned):
    before = said(server, base, LONG)
    said(server, tuned, LONG)
    assert said(server, base, LONG) == before  # nothing of the other's cache
    _, r = server.api("GET", "/api/ps", key=server.secret)
    assert {"base:latest", "tuned:latest"} <= {m["name"] for m in r["models"]}
    digests = {m["name"]: m["digest"] for m in r["models"]}
    assert digests["tuned:latest"] == entry(server, "tuned")["digest"]


def test_many_at_once_and_over_one_prefix(server, base, tuned):
    want = {m: said(server, m, LONG) for m in ("hand", base)}
    got = {}

    def ask(n, model):
        got[n, model] = said(server, model, LONG)

    threads = [threading.Thread(target=ask, args=(n, m)) for n in range(4) for m in (tuned, base)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(got) == 8
    for (_, model), answer in got.items():
        assert apart(answer, want["hand" if model == tuned else base]) < NEAR


def test_after_a_crash_and_a_restart_it_is_there_again(server, base, tuned):
    want = said(server, "hand", LONG)
    said(server, tuned, LONG)
    server.stop()
    names = os.listdir(os.path.join(server.data, "cache"))
    server.start()
    assert apart(said(server, tuned, LONG), want) < NEAR
    shown = {m: api(server, "/api/show", {"model": m})[1]["model_digest"] for m in (tuned, base)}
    assert shown[tuned] != shown[base]
    assert {shown[tuned] + ".kv", shown[base] + ".kv"} <= set(names)  # what each has read lies apart


@pytest.mark.parametrize("kind, limit", [("F16", 0.05), ("BF16", 0.2)])
def test_adapters_of_less_precision(server, base, w, tmp_path, kind, limit):
    """ggml rounds what it multiplies with such a matrix in the same way."""
    ab = lora.lora(strength=0.15)
    rounded = {k: tuple(lora.hf.rounded(x, kind) for x in v) for k, v in ab.items()}
    lora.adapter(tmp_path / "a.gguf", ab, 8, kind=kind)
    must_make(server, tmp_path, "less", "FROM base\nADAPTER a.gguf\n")
    by_hand(server, tmp_path, "lesshand", lora.merged(w, rounded, 2))
    want = said(server, "lesshand")
    assert apart(said(server, "less"), want) < limit and apart(said(server, base), want) > FAR
    server.must("rm", "less", "lesshand")


def test_alpha_says_how_strong_and_none_means_one(server, base, w, ab, tmp_path):
    for alpha, scale in ((2, 0.5), (0, 1)):
        lora.adapter(tmp_path / "a.gguf", ab, alpha)
        must_make(server, tmp_path, "strong", "FROM base\nADAPTER a.gguf\n")
        by_hand(server, tmp_path, "stronghand", lora.merged(w, ab, scale))
        assert apart(said(server, "strong"), said(server, "stronghand")) < NEAR
    server.must("rm", "strong", "stronghand")


# ---- safetensors ----

@pytest.mark.parametrize("arch", ["llama", "qwen2", "gemma"])
def test_a_folder_of_peft(server, w, ab, tmp_path, arch):
    by_hand(server, tmp_path, "plain", w, arch)
    by_hand(server, tmp_path, "hand" + arch, lora.merged(w, ab, 16 / 4), arch)
    lora.peft(tmp_path / "folder", ab, 16)
    must_make(server, tmp_path, "peft", "FROM plain\nADAPTER ./folder\n")
    want = said(server, "hand" + arch)
    assert apart(said(server, "peft"), want) < NEAR
    assert apart(said(server, "plain"), want) > FAR
    server.must("rm", "peft", "plain", "hand" + arch)


def test_a_folder_with_the_rank_in_the_scale(server, base, w, ab, tmp_path):
    lora.peft(tmp_path / "folder", ab, 3, use_rslora=True)
    must_make(server, tmp_path, "rs", "FROM base\nADAPTER folder\n")
    by_hand(server, tmp_path, "rshand", lora.merged(w, ab, 3 / 4 ** 0.5))
    assert apart(said(server, "rs"), said(server, "rshand")) < NEAR
    server.must("rm", "rs", "rshand")


def test_a_folder_of_half_precision_and_few_modules(server, base, w, tmp_path):
    few = lora.lora(rank=2, modules=("self_attn.q_proj", "self_attn.v_proj"), strength=0.8)
    lora.peft(tmp_path / "folder", few, 4, kind="F16")
    must_make(server, tmp_path, "few", "FROM base\nADAPTER folder\n")
    rounded = {k: tuple(lora.hf.rounded(x, "F16") for x in v) for k, v in few.items()}
    by_hand(server, tmp_path, "fewhand", lora.merged(w, rounded, 2))
    assert apart(said(server, "few"), said(server, "fewhand")) < 5 * NEAR
    server.must("rm", "few", "fewhand")


BAD_FOLDERS = {
    "peft_type": {"peft_type": "IA3"}, "use_dora": {"use_dora": True}, "bias": {"bias": "all"},
    "modules_to_save": {"modules_to_save": ["lm_head"]}, "alpha_pattern": {"alpha_pattern": {"q_proj": 3}},
    "init_lora_weights": {"init_lora_weights": "pissa"}, "lora_alpha": {"lora_alpha": 0}, "\"r\"": {"r": 1 << 40}}


@pytest.mark.parametrize("why", BAD_FOLDERS)
def test_what_of_peft_cannot_be_kept_is_refused_by_name(server, base, ab, tmp_path, why):
    before = blobs(server)
    lora.peft(tmp_path / "folder", ab, 16, **BAD_FOLDERS[why])
    code, _, err = make(server, tmp_path, "wrong", "FROM base\nADAPTER folder\n")
    assert code == 1 and why in err, err
    assert entry(server, "wrong") is None and blobs(server) == before


@pytest.mark.parametrize("spoil, why", [
    (lambda n: n.replace("mlp.up_proj", "mlp.experts"), "belongs to nothing"),
    (lambda n: n.replace("lora_A.weight", "lora_magnitude_vector"), "belongs to nothing"),
    (lambda n: n.replace("layers.1.", "layers.7."), "does not have")])
def test_tensors_that_cannot_be_mapped_are_refused(server, base, ab, tmp_path, spoil, why):
    before = blobs(server)
    lora.peft(tmp_path / "folder", ab, 16, names=spoil)
    code, _, err = make(server, tmp_path, "wrong", "FROM base\nADAPTER folder\n")
    assert code == 1 and why in err, err
    assert entry(server, "wrong") is None and blobs(server) == before


def test_other_folders_are_refused_before_anything_is_sent(server, base, tmp_path):
    (tmp_path / "folder").mkdir()
    code, _, err = make(server, tmp_path, "wrong", "FROM base\nADAPTER folder\n")
    assert code == 1 and "line 2" in err and "adapter_config.json" in err


# ---- what is wrong ----

def few():
    return lora.lora(modules=("self_attn.v_proj",))


def wrong_shape():
    return {k: (a[:, :-32], b) for k, (a, b) in few().items()}


def wrong_rank():
    return {k: (a, b[:, :-1]) for k, (a, b) in few().items()}


WRONG = {
    "architecture": (few, {"arch": "qwen2"}, "\"qwen2\""),
    "shape": (wrong_shape, {}, "does not have the model's shape"),
    "rank": (wrong_rank, {}, "does not have the model's shape"),
    "half": (few, {"names": lambda n: n.replace("1.attn_v.weight.lora_b", "1.attn_q.weight.lora_b")}, "one is missing"),
    "stranger": (few, {"extra": [("blk.0.attn_norm.weight", np.ones(64, "f4"))]}, "only pairs"),
    "layer": (few, {"names": lambda n: n.replace("blk.1.", "blk.9.")}, "does not have"),
    "embedding": (few, {"extra": [("token_embd.weight.lora_a", np.ones((3, 258), "f4")),
                                  ("token_embd.weight.lora_b", np.ones((64, 4), "f4"))]}, "shape"),
    "kind": (few, {"pairs": {"adapter.type": "control_vector"}}, "only LoRA"),
    "no kind": (few, {"pairs": {"adapter.type": None}}, "only LoRA"),
    "alpha": (few, {"pairs": {"adapter.lora.alpha": 8}}, "alpha"),
    "endless": (few, {"pairs": {"adapter.lora.alpha": float("inf")}}, "alpha"),
    "alora": (few, {"pairs": {"adapter.alora.invocation_tokens": [1, 2]}}, "aLoRA"),
    "integers": (lambda: {k: (np.ones_like(a), b) for k, (a, b) in few().items()}, {"kind": "I32"}, "F32, F16"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_adapter_is_refused_and_leaves_nothing(server, base, tmp_path, what):
    pairs, more, why = WRONG[what]
    before = blobs(server)
    lora.adapter(tmp_path / "a.gguf", pairs(), 8, **more)
    code, _, err = make(server, tmp_path, "wrong", "FROM base\nADAPTER a.gguf\n")
    assert code == 1 and why in err, err
    assert entry(server, "wrong") is None and blobs(server) == before


def test_files_that_are_no_adapters(server, base, w, tmp_path):
    before = blobs(server)
    lora.model(tmp_path / "a.gguf", lora.weights(5))
    code, _, err = make(server, tmp_path, "wrong", "FROM base\nADAPTER a.gguf\n")
    assert code == 1 and "not an adapter" in err
    lora.adapter(tmp_path / "a.gguf", few(), 8)
    code, _, err = make(server, tmp_path, "wrong", "FROM a.gguf\n")
    assert code == 1 and "is an adapter (LoRA), not a model" in err
    code, _, err = make(server, tmp_path, "wrong", "FROM base\nADAPTER Modelfile\n")
    assert code == 1 and "line 2" in err and "not a GGUF" in err
    code, _, err = make(server, tmp_path, "wrong", "FROM base\nADAPTER nowhere\n")
    assert code == 1 and "line 2" in err and "cannot read" in err
    assert entry(server, "wrong") is None and blobs(server) == before


def test_hostile_bytes(server, base, tmp_path):
    """Cut anywhere, and with bits turned over: refused, or a model that answers; nobody else notices."""
    good = open(lora.adapter(tmp_path / "good.gguf", few(), 8), "rb").read()
    want = said(server, base)
    rng = np.random.default_rng(3)
    files = [good[:n] for n in (5, 30, 100, 300, len(good) - 1000)]
    for _ in range(25):
        b = bytearray(good)
        for at in rng.integers(0, 700, 3):
            b[at] ^= 1 << int(rng.integers(0, 8))
        files.append(bytes(b))
    refused = 0
    for data in files:
        (tmp_path / "a.gguf").write_bytes(data)
        code, _, err = make(server, tmp_path, "odd", "FROM base\nADAPTER a.gguf\n")
        refused += code != 0
        if not code:
            status, r = api(server, "/api/generate", {"model": "odd", "prompt": "x", "raw": True, "stream": False,
                                                      "options": {"num_predict": 2}})
            assert status == 200, r
            server.must("rm", "odd")
        else:
            assert err
    assert refused > 10 and entry(server, "odd") is None
    assert apart(said(server, base), want) < NEAR


# ---- the API, several, and the life of such a model ----

def put(i, path):
    data = open(path, "rb").read()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    status, _, _ = i.request("POST", f"/api/blobs/{digest}", data, {"Authorization": f"Bearer {i.secret}"}, raw=True)
    assert status in (200, 201)
    return digest


def lines(i, body):
    status, text, _ = i.request("POST", "/api/create", body, {"Authorization": f"Bearer {i.secret}"})
    assert status == 200, text
    return [json.loads(x) for x in text.splitlines()]


def test_the_api_takes_adapters_as_ollama_does(server, base, ab, tmp_path, tuned):
    digest = put(server, lora.adapter(tmp_path / "a.gguf", ab, 8))
    seen = [x["status"] for x in lines(server, {"model": "viaapi", "from": "base", "adapters": {"a.gguf": digest}})]
    assert "parsing GGUF" in seen and seen[-2:] == ["writing manifest", "success"]
    assert apart(said(server, "viaapi"), said(server, tuned)) < NEAR
    folder = lora.peft(tmp_path / "folder", ab, 8)
    files = {n: put(server, os.path.join(folder, n)) for n in os.listdir(folder)}
    seen = [x["status"] for x in lines(server, {"model": "viaapi", "from": "base", "adapters": files})]
    assert "converting adapter" in seen and seen[-1] == "success"
    assert apart(said(server, "viaapi"), said(server, tuned)) < NEAR
    server.must("rm", "viaapi")


def test_two_files_are_refused_in_ollamas_words(server, base, tmp_path):
    files = {f"{n}.gguf": put(server, lora.adapter(tmp_path / f"{n}.gguf", lora.lora(n), 8)) for n in (5, 6)}
    last = lines(server, {"model": "two", "from": "base", "adapters": files})[-1]
    assert last["error"] == "only one adapter is currently supported"
    code, _, err = make(server, tmp_path, "two", "FROM base\nADAPTER 5.gguf\nADAPTER 6.gguf\n")
    assert code == 1 and "line 3: only one adapter" in err
    for wrong in ({"a.gguf": "sha256:" + "1" * 64}, {"a.gguf": 7}, {"a.gguf": "x"}, [], 7):
        r = lines(server, {"model": "two", "from": "base", "adapters": wrong})[-1]
        assert "error" in r, wrong
    assert entry(server, "two") is None


def test_a_model_made_from_one_with_an_adapter_has_both(server, base, w, ab, tuned, tmp_path):
    more = lora.lora(9, rank=3, modules=("mlp.up_proj", "self_attn.q_proj"))
    lora.adapter(tmp_path / "b.gguf", more, 6)
    must_make(server, tmp_path, "both", "FROM tuned\nADAPTER b.gguf\n")
    by_hand(server, tmp_path, "bothhand", lora.merged(lora.merged(w, ab, 2), more, 2))
    assert apart(said(server, "both"), said(server, "bothhand")) < NEAR
    assert len(api(server, "/api/show", {"model": "both"})[1]["adapters"]) == 2
    must_make(server, tmp_path, "same", "FROM tuned\nPARAMETER temperature 0.5\n")  # keeps the one
    assert apart(said(server, "same"), said(server, "hand")) < NEAR
    server.must("rm", "both", "bothhand", "same")


def test_more_than_four_are_refused(server, base, tmp_path):
    last = "base"
    for n in range(5):
        lora.adapter(tmp_path / "a.gguf", lora.lora(20 + n, rank=1, modules=("self_attn.v_proj",)), 1)
        code, _, err = make(server, tmp_path, f"more{n}", f"FROM {last}\nADAPTER a.gguf\n")
        assert (code == 0) == (n < 4), err
        last = f"more{n}"
    assert "more than 4" in err
    assert len(said(server, "more3", n=3)) > 0
    for n in range(4):
        server.must("rm", f"more{n}")


def test_it_is_shown(server, base, tuned, tmp_path):
    _, r = api(server, "/api/show", {"model": tuned})
    (a,) = r["adapters"]
    assert a["info"]["adapter.type"] == "lora" and a["info"]["adapter.lora.alpha"] == 8
    assert a["info"]["general.parameter_count"] == sum(x.size + y.size for x, y in lora.lora().values())
    assert f"ADAPTER {a['digest']}\n" in r["modelfile"]
    text = server.must("show", tuned)
    assert "Adapter" in text and "alpha" in text and "Test LoRA" in text
    assert "adapters" not in api(server, "/api/show", {"model": base})[1]
    shown = server.must("show", "--modelfile", tuned)
    must_make(server, tmp_path, "again", shown)
    assert api(server, "/api/show", {"model": "again"})[1]["model_digest"] == r["model_digest"]
    server.must("rm", "again")
    with open(os.path.join(server.data, "models/manifests/registry.ollama.ai/library/tuned/latest"),
              encoding="utf-8") as f:
        kinds = [x["mediaType"] for x in json.load(f)["layers"]]
    assert kinds[:2] == ["application/vnd.ollama.image.model", "application/vnd.ollama.image.adapter"]
    assert entry(server, "tuned")["size"] > entry(server, "base")["size"]


def test_copies_and_removals(server, w, ab, tmp_path):
    """What only this model needs goes with it, the rest stays."""
    server.must("create", "root", "-f", lora.model(tmp_path / "m.gguf", lora.weights(31)))
    before = blobs(server)
    lora.adapter(tmp_path / "a.gguf", lora.lora(32), 8)
    must_make(server, tmp_path, "leaf", "FROM root\nADAPTER a.gguf\n")
    server.must("cp", "leaf", "twin")
    answer = said(server, "leaf", LONG)
    cache = os.path.join(server.data, "cache", api(server, "/api/show", {"model": "leaf"})[1]["model_digest"] + ".kv")
    assert os.path.exists(cache)
    server.must("rm", "leaf")
    assert os.path.exists(cache) and apart(said(server, "twin", LONG), answer) < NEAR
    server.must("rm", "root")  # its weights are still the twin's
    assert apart(said(server, "twin", LONG), answer) < NEAR
    server.must("rm", "twin")
    assert not os.path.exists(cache)
    assert not set(blobs(server)) - set(before) and len(blobs(server)) < len(before)


def test_a_bundle_carries_it(server, base, tuned, tmp_path):
    want = said(server, tuned)
    path = str(tmp_path / "m.tresor")
    server.must("bundle", "export", tuned, "-o", path)
    signer = server.must("bundle", "signers").split()
    with Instance() as other:
        other.start()
        other.add_user("o@example.org", "owner")
        other.secret = other.key("o@example.org", "chat,models.read,models.change")
        mark = next(x for x in signer if x.count("-") >= 3)
        other.must("bundle", "import", path, "--trust", mark)
        assert apart(said(other, tuned), want) < NEAR


def ollama_folder(i, folder, name, spoil=None):
    """A folder as Ollama has it, with the model's manifest and blobs."""
    with open(os.path.join(i.data, f"models/manifests/registry.ollama.ai/library/{name}/latest"), "rb") as f:
        text = f.read()
    place = folder / "manifests/registry.ollama.ai/library" / name
    place.mkdir(parents=True)
    (folder / "blobs").mkdir()
    m = json.loads(text)
    for layer in m["layers"] + [m["config"]]:
        b = layer["digest"].replace(":", "-")
        data = open(os.path.join(i.data, "models/blobs", b), "rb").read()
        if spoil and layer["mediaType"].endswith("adapter"):
            data = spoil
            layer["digest"], layer["size"] = "sha256:" + hashlib.sha256(data).hexdigest(), len(data)
            b = layer["digest"].replace(":", "-")
        (folder / "blobs" / b).write_bytes(data)
    (place / "latest").write_text(json.dumps(m))


def test_one_is_taken_over_from_ollama(server, base, tuned, tmp_path):
    want = said(server, tuned)
    ollama_folder(server, tmp_path / "good", "tuned")
    other_model = lora.adapter(tmp_path / "x.gguf", wrong_shape(), 8)
    ollama_folder(server, tmp_path / "bad", "tuned", open(other_model, "rb").read())
    with Instance() as other:
        other.start()
        other.add_user("o@example.org", "owner")
        other.secret = other.key("o@example.org", "chat,models.read,models.change")
        code, out, err = other.run("import-ollama", str(tmp_path / "bad"))
        assert "does not have the model's shape" in out + err and entry(other, "tuned") is None
        other.must("import-ollama", str(tmp_path / "good"))
        assert apart(said(other, tuned), want) < NEAR
        shutil.rmtree(tmp_path / "good")
