"""Models made here: of safetensors, of GGUF parts, and made smaller; what is wrong, and what breaks off."""
import glob
import http.client
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import hf  # noqa: E402
from tresor import Instance  # noqa: E402

bert = hf.bert
TEXTS = ["Hello world, how are you?", "Die Straße ist naß; GPU-Treiber: café!", "x",
         "The quick brown fox jumps over the lazy dog. " * 12, "東京 is the capital of Japan (日本)."]


@pytest.fixture(scope="module")
def server():
    with Instance() as i:
        yield i.ready("chat,models.read,models.change")


def api(i, path, body):
    return i.api("POST", path, body, key=i.secret)


def vector(i, model, text):
    status, r = api(i, "/api/embed", {"model": model, "input": text})
    assert status == 200, r
    return np.array(r["embeddings"][0])


def far(a, b):
    return float(np.abs(np.array(a) - np.array(b)).max())


def blobs(i):
    return sorted(os.listdir(os.path.join(i.data, "models/blobs")))


def lines(i, body):
    """The lines of POST /api/create."""
    status, text, _ = i.request("POST", "/api/create", body, {"Authorization": f"Bearer {i.secret}"})
    assert status == 200, text
    return [json.loads(x) for x in text.splitlines()]


def entry(i, name):
    _, r = i.api("GET", "/api/tags", key=i.secret)
    return next((m for m in r["models"] if m["name"] == name + ":latest"), None)


def gguf_of(i, name):
    """The model's file: the largest layer of its manifest."""
    base = os.path.join(i.data, "models/manifests/registry.ollama.ai/library", name, "latest")
    with open(base, encoding="utf-8") as f:
        layer = next(x for x in json.load(f)["layers"] if x["mediaType"].endswith(".model"))
    return os.path.join(i.data, "models/blobs", layer["digest"].replace(":", "-"))


def nothing_half(i):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if not [b for b in blobs(i) if not b.startswith("sha256-") or "partial" in b]:
            return True
        time.sleep(0.05)
    return False


# ---- safetensors ----

@pytest.fixture(scope="module")
def minilm(server):
    server.must("create", "mini", "-f", hf.minilm_folder())
    return bert.load_minilm()


def test_minilm_of_safetensors_gives_the_vectors_of_an_independent_bert(server, minilm):
    for text in TEXTS:
        assert far(vector(server, "mini", text), minilm.vector(text)) < 1e-3, text
    e = entry(server, "mini")
    assert e["details"]["family"] == "bert" and e["details"]["quantization_level"] == "F32"


def test_what_it_was_made_of_is_gone(server, minilm):
    """Of the uploaded folder nothing is left but what the model names."""
    named = set()
    for path in glob.glob(os.path.join(server.data, "models/manifests/*/*/*/*")):
        with open(path, encoding="utf-8") as f:
            m = json.load(f)
        named |= {x["digest"].replace(":", "-") for x in m["layers"] + [m["config"]]}
    assert set(blobs(server)) == named


def test_its_tensors_are_those_of_the_folder_bit_by_bit(server, minilm):
    g = hf.Gguf(gguf_of(server, "mini"))
    assert g.pairs["bert.pooling_type"] == 1 and g.pairs["bert.context_length"] == 512
    assert g.pairs["tokenizer.ggml.tokens"][:2] == ["[PAD]", "\u2581[unused0]"]
    w = minilm.w
    assert g.tensors["blk.5.ffn_down.weight"][2] == w["encoder.layer.5.output.dense.weight"].tobytes()
    assert g.tensors["position_embd.weight"][2] == w["embeddings.position_embeddings.weight"].tobytes()
    assert len(g.tensors) == 5 + 16 * 6


@pytest.mark.parametrize("kind, limit", [("F32", 1e-3), ("F16", 5e-3), ("BF16", 2e-2)])
def test_a_folder_in_several_files_of_any_precision(server, tmp_path, kind, limit):
    model = hf.tiny_bert(tmp_path, kind)
    name = "tiny" + kind.lower()
    server.must("create", name, "-f", str(tmp_path))
    assert entry(server, name)["details"]["quantization_level"] == kind
    for text in ("river of money", "the bank?", "water. water"):
        assert far(vector(server, name, text), model.vector(text)) < limit, text


@pytest.mark.parametrize("kind, limit", [("F32", 1e-3), ("BF16", 2e-2)])
def test_xlm_roberta_with_unigram_and_its_own_positions(server, tmp_path, kind, limit):
    model = hf.tiny_roberta(tmp_path, kind)
    name = "roberta" + kind.lower()
    server.must("create", name, "-f", str(tmp_path))
    for text in ("the cat sat on the mat", "cats", "  the   man  ", "moon"):
        ids = model.ids(text)
        v = model.hidden(ids)[0]  # the first token's
        r = api(server, "/api/embed", {"model": name, "input": text})[1]
        assert r["prompt_eval_count"] == len(ids), text
        assert far(r["embeddings"][0], v / np.linalg.norm(v)) < limit, text


def test_a_modelfile_may_name_the_folder(server, tmp_path):
    model = hf.tiny_bert(tmp_path / "m")
    (tmp_path / "Modelfile").write_text("FROM ./m\nLICENSE Free\n")
    server.must("create", "frommf", "-f", str(tmp_path / "Modelfile"))
    assert far(vector(server, "frommf", "river"), model.vector("river")) < 1e-3
    assert api(server, "/api/show", {"model": "frommf"})[1]["license"] == "Free"


def spoil(folder, what):
    """Makes one mistake in a good folder."""
    def config(**more):
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as f:
            c = json.load(f)
        c.update(more)
        hf.write_json(folder, "config.json", {k: v for k, v in c.items() if v is not None})

    first = os.path.join(folder, "model-00001-of-00002.safetensors")
    with open(first, "rb") as f:
        data = f.read()
    n = struct.unpack_from("<Q", data)[0]
    head, rest = json.loads(data[8: 8 + n]), data[8 + n:]
    names = [k for k in head if k != "__metadata__"]

    def write(h, body=rest):
        text = json.dumps(h).encode()
        with open(first, "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text + body)

    if what == "overlap":
        head[names[1]]["data_offsets"] = head[names[0]]["data_offsets"]
        head[names[1]]["shape"] = head[names[0]]["shape"]
        write(head)
    elif what == "hole":
        write(head, rest + b"\0" * 8)
    elif what == "cut":
        write(head, rest[:-1])
    elif what == "shape":
        head[names[0]]["shape"] = [1 << 62, 8]
        write(head)
    elif what == "negative":
        head[names[0]]["data_offsets"][0] = -4
        write(head)
    elif what == "type":
        head[names[0]]["dtype"] = "F7"
        write(head)
    elif what == "integers":
        head[names[0]]["dtype"] = "I32"
        write(head)
    elif what == "stranger":
        head["adapter.down.weight"] = head.pop(names[0])
        write(head)
    elif what == "twice":
        shutil.copy(first, os.path.join(folder, "again.safetensors"))
    elif what == "header":
        with open(first, "wb") as f:
            f.write(struct.pack("<Q", 1 << 60) + b"{}")
    elif what == "json":
        with open(first, "wb") as f:
            f.write(struct.pack("<Q", 9) + b"{\"a\": 1,,")
    elif what == "missing":
        os.remove(first)
    elif what == "llama":
        config(architectures=["LlamaForCausalLM"])
    elif what == "relu":
        config(hidden_act="relu")
    elif what == "heads":
        config(num_attention_heads=5)
    elif what == "layers":
        config(num_hidden_layers=3)
    elif what == "width":
        config(hidden_size=None)
    elif what == "vocab":
        config(vocab_size=7)
    elif what == "pooling":
        hf.modules(folder, "pooling_mode_max_tokens")
    elif what == "dense":
        hf.write_json(folder, "modules.json", [{"type": "x.Transformer", "path": ""}, {"type": "x.Dense", "path": "d"}])
    elif what == "nopooling":
        shutil.rmtree(os.path.join(folder, "1_Pooling"))
    elif what == "tokens":
        os.remove(os.path.join(folder, "vocab.txt"))
    elif what == "bpe":
        hf.write_json(folder, "tokenizer.json", {"model": {"type": "BPE", "vocab": {}}})
    elif what == "marks":
        with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as f:
            f.write("[PAD]\n[UNK]\n[SEP]\nriver\n")
    elif what == "deep":
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
            f.write("[" * 100000)


MISTAKES = {
    "overlap": "overlap", "hole": "behind its tensors", "cut": "outside the file", "shape": "absurd", "type": "type",
    "negative": "outside", "integers": "is not of F32", "stranger": "belongs to no model", "twice": "is there twice",
    "header": "inside its header", "json": "not readable", "missing": "a tensor is missing",
    "llama": "LlamaForCausalLM", "relu": "relu", "heads": "divide", "layers": "missing", "width": "hidden_size",
    "vocab": "shape", "pooling": "not supported", "dense": "Dense", "nopooling": "1_Pooling/config.json",
    "tokens": "tokenizer.json", "bpe": "BPE", "marks": "[CLS]", "deep": "deep"}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_wrong_folder_is_refused_in_words_and_makes_no_model(server, tmp_path, what):
    hf.tiny_bert(tmp_path)
    spoil(str(tmp_path), what)
    code, _, err = server.run("create", "wrong", "-f", str(tmp_path))
    assert code == 1 and MISTAKES[what] in err, err
    assert entry(server, "wrong") is None and nothing_half(server)


# ---- smaller ----

def test_quantising_tells_how_far_it_is_as_ollama_does(server, minilm):
    seen = lines(server, {"model": "mini8", "from": "mini", "quantize": "q8_0"})
    progress = [x for x in seen if "total" in x]
    assert progress and all(x["status"] == "quantizing F32 model to Q8_0" for x in progress)
    assert all(x["digest"] == "0" * 19 and 0 <= x["completed"] <= x["total"] for x in progress)
    assert [x["completed"] for x in progress] == sorted(x["completed"] for x in progress)
    assert [x["status"] for x in seen][-2:] == ["writing manifest", "success"]
    e = entry(server, "mini8")
    assert e["details"]["quantization_level"] == "Q8_0" and e["size"] < entry(server, "mini")["size"] / 2.5


def test_the_numbers_are_those_of_the_model_within_a_step(server, minilm):
    if not entry(server, "mini8"):
        lines(server, {"model": "mini8", "from": "mini", "quantize": "q8_0"})
    before, after = hf.Gguf(gguf_of(server, "mini")), hf.Gguf(gguf_of(server, "mini8"))
    assert set(before.tensors) == set(after.tensors)
    kept, made = 0, 0
    for name, (shape, kind, data) in before.tensors.items():
        a = np.frombuffer(data, "<f4").reshape(shape)
        if after.tensors[name][1] == 0:
            assert after.tensors[name][2] == data, name
            kept += 1
            continue
        b = hf.q8_0(after.tensors[name][2], shape)
        step = np.abs(a.reshape(-1, 32)).max(1) / 127  # half of it, and what its rounding to 16 bits adds
        assert (np.abs((a - b).reshape(-1, 32)) <= step[:, None] * 0.57 + 1e-5).all(), name
        made += 1
    assert made == 1 + 6 * 6 and kept == len(before.tensors) - made
    for text in TEXTS:
        assert vector(server, "mini8", text) @ minilm.vector(text) > 0.995, text


@pytest.mark.parametrize("kind", ["q4_K_M", "Q6_K", "f16", "iq4_nl"])
def test_other_kinds(server, minilm, kind):
    server.must("create", "other", "-f", hf.minilm_folder(), "-q", kind)
    assert entry(server, "other")["details"]["quantization_level"].lower() == kind.lower()
    assert vector(server, "other", TEXTS[0]) @ minilm.vector(TEXTS[0]) > 0.96
    server.must("rm", "other")


def test_what_cannot_be_quantised_is_said(server):
    for body, wanted in (({"from": "smollm2", "quantize": "q4_0"}, "only supported for F16"),
                         ({"from": "smollm2", "quantize": "iq2_xxs"}, "unsupported quantization type"),
                         ({"from": "smollm2", "quantize": "x" * 5000}, "unsupported quantization type"),
                         ({"from": "nobody", "quantize": "q4_0"}, "not found")):
        assert wanted in lines(server, {"model": "no", **body})[-1]["error"]
    assert "quantize" in lines(server, {"model": "no", "from": "smollm2", "quantize": 7})[-1]["error"]
    assert entry(server, "no") is None


def test_the_same_again_changes_nothing(server, minilm):
    lines(server, {"model": "same", "from": "mini", "quantize": "q8_0"})
    n = blobs(server)
    lines(server, {"model": "same", "from": "mini", "quantize": "q8_0"})
    assert blobs(server) == n
    assert lines(server, {"model": "same", "from": "same", "quantize": "Q8_0"})[-1]["status"] == "success"


# ---- what breaks off ----

def begin(i, body):
    """A create whose answer has begun: its first line of progress is there."""
    c = http.client.HTTPConnection("127.0.0.1", i.port, timeout=60)
    c.request("POST", "/api/create", json.dumps(body),
              {"Content-Type": "application/json", "Authorization": f"Bearer {i.secret}"})
    r = c.getresponse()
    while "total" not in json.loads(r.readline()):
        pass
    return c, r


def children(i, kind):
    """Process ids of the instance's roles of that kind."""
    out = []
    for p in os.listdir("/proc"):
        if not p.isdigit():
            continue
        try:
            with open(f"/proc/{p}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
            with open(f"/proc/{p}/stat", encoding="utf-8") as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if words[1:3] == [b"role", kind.encode()] and parent == i.process.pid:
            out.append(int(p))
    return out


SLOW = {"model": "slow", "from": "mini", "quantize": "iq4_nl"}


def test_a_client_that_leaves_ends_the_job_and_nothing_is_left(server, minilm):
    before = blobs(server)
    c, r = begin(server, SLOW)
    job = children(server, "jail")
    r.close()
    c.close()
    end = time.monotonic() + 20
    while set(job) & set(children(server, "jail")) and time.monotonic() < end:
        time.sleep(0.02)
    assert not set(job) & set(children(server, "jail"))
    assert nothing_half(server) and blobs(server) == before and entry(server, "slow") is None


def test_a_job_that_dies_is_told_and_leaves_nothing(server, minilm):
    before = blobs(server)
    c, r = begin(server, SLOW)
    for p in children(server, "jail"):
        os.kill(p, signal.SIGKILL)
    last = [json.loads(x) for x in r.read().splitlines()][-1]
    c.close()
    if last.get("status") == "success":
        pytest.skip("it was faster")
    assert "ended without a word" in last["error"], last
    assert nothing_half(server) and blobs(server) == before


def test_a_server_killed_meanwhile_leaves_nothing_after_its_start(minilm):
    with Instance() as i:
        i.start()
        i.add_user("o@example.org", "owner")
        i.secret = i.key("o@example.org", "chat,models.read,models.change")
        i.must("create", "mini", "-f", hf.minilm_folder())
        before = blobs(i)
        c, _ = begin(i, SLOW)
        i.process.kill()
        i.process.wait()
        c.close()
        i.start()
        assert blobs(i) == before and entry(i, "slow") is None
        assert lines(i, SLOW)[-1] == {"status": "success"}


def test_the_job_has_no_network_no_rights_and_no_other_files(server, minilm):
    c, r = begin(server, SLOW)
    (p,) = children(server, "jail")
    with open(f"/proc/{p}/status", encoding="utf-8") as f:
        status = dict(x.split(":\t", 1) for x in f.read().splitlines() if ":\t" in x)
    own = os.readlink(f"/proc/{os.getpid()}/ns/net")
    try:
        net = os.readlink(f"/proc/{p}/ns/net")
    except OSError:
        net = None  # not ours to see: it is not dumpable
    r.read()
    c.close()
    assert status["Seccomp"].strip() == "2" and status["NoNewPrivs"].strip() == "1"
    assert int(status["CapEff"], 16) == 0 and net != own


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, minilm):
    if os.geteuid() != 0:
        pytest.skip("needs root for a small tmpfs")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=330m", "tmpfs", folder], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        with Instance() as i:
            i.data = str(folder / "data")
            i.start()
            i.add_user("o@example.org", "owner")
            i.secret = i.key("o@example.org", "chat,models.read,models.change")
            i.must("create", "mini", "-f", hf.minilm_folder())
            before = blobs(i)
            c, r = begin(i, dict(SLOW, quantize="f16"))
            with open(folder / "filler", "wb") as f:
                try:
                    while True:
                        f.write(b"\0" * (1 << 20))
                except OSError:
                    pass
            last = [json.loads(x) for x in r.read().splitlines()][-1]
            c.close()
            if last.get("status") == "success":
                pytest.skip("it was faster than the disk filled up")
            assert "disk" in last["error"], last
            assert nothing_half(i) and blobs(i) == before
            os.remove(folder / "filler")
            assert lines(i, SLOW)[-1] == {"status": "success"}
            with open(folder / "filler", "wb") as f:  # no room from the start
                f.write(b"\0" * ((os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize) - (40 << 20)))
            assert "MB" in lines(i, dict(SLOW, model="late", quantize="q8_0"))[-1]["error"]
            assert nothing_half(i)
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


# ---- a GGUF in parts ----

def parts(folder, path, n):
    """The model at `path` as n files: pairs in the first, tensors dealt out."""
    g = hf.Gguf(path)
    names = list(g.tensors)
    head = g.b[24:g.b.index(names[0].encode()) - 8]
    n_pairs = struct.unpack_from("<Q", g.b, 16)[0]
    out = []

    def pair(key, kind, value):
        return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I" + kind, {"H": 2, "i": 5}[kind], value)

    for i in range(n):
        mine = names[i::n]
        own = [pair("split.no", "H", i), pair("split.count", "H", n), pair("split.tensors.count", "i", len(names))]
        infos, at, data = [], 0, b""
        for name in mine:
            shape, kind, b = g.tensors[name]
            infos.append(struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(shape)) +
                         b"".join(struct.pack("<Q", d) for d in shape[::-1]) + struct.pack("<IQ", kind, at))
            b += b"\0" * (-len(b) % 32)
            data += b
            at += len(b)
        text = struct.pack("<4sIQQ", b"GGUF", 3, len(mine), len(own) + (n_pairs if i == 0 else 0))
        text += (head if i == 0 else b"") + b"".join(own) + b"".join(infos)
        text += b"\0" * (-len(text) % 32)
        out.append(os.path.join(folder, f"m-{i + 1:05}-of-{n:05}.gguf"))
        with open(out[-1], "wb") as f:
            f.write(text + data)
    return out


def test_the_parts_of_a_gguf_become_one_model(server, tmp_path):
    model = hf.tiny_bert(tmp_path / "hf")
    server.must("create", "whole", "-f", str(tmp_path / "hf"))
    files = parts(tmp_path, gguf_of(server, "whole"), 3)
    (tmp_path / "Modelfile").write_text(f"FROM {files[1]}\n")  # any of them names all
    for name, source in (("split", files[0]), ("splitmf", str(tmp_path / "Modelfile")), ("splitdir", None)):
        if source is None:
            source = tmp_path / "dir"
            source.mkdir()
            for f in files:
                shutil.copy(f, source)
        server.must("create", name, "-f", str(source))
        assert far(vector(server, name, "river bank"), model.vector("river bank")) < 1e-3
    a, b = hf.Gguf(gguf_of(server, "whole")), hf.Gguf(gguf_of(server, "split"))
    assert a.tensors == b.tensors and a.pairs == b.pairs
    assert entry(server, "split")["digest"] == entry(server, "splitdir")["digest"]


def test_wrong_parts_are_refused(server, tmp_path):
    hf.tiny_bert(tmp_path / "hf")
    server.must("create", "whole", "-f", str(tmp_path / "hf"))
    files = parts(tmp_path, gguf_of(server, "whole"), 3)
    os.rename(files[2], files[2] + ".away")
    code, _, err = server.run("create", "w", "-f", files[0])
    assert code == 1 and "m-00003-of-00003.gguf is missing" in err
    shutil.copy(files[1], files[2])
    code, _, err = server.run("create", "w", "-f", files[0])
    assert code == 1 and "twice" in err
    with open(files[2], "wb") as f:
        f.write(b"GGUF" + b"\xff" * 60)
    code, _, err = server.run("create", "w", "-f", files[0])
    assert code == 1 and "GGUF" in err
    os.rename(files[2] + ".away", files[2])
    with open(files[2], "r+b") as f:
        f.truncate(os.path.getsize(files[2]) - 64)
    code, _, err = server.run("create", "w", "-f", files[0])
    assert code == 1 and "outside the file" in err
    assert entry(server, "w") is None and nothing_half(server)
