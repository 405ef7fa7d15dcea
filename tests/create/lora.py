"""Small language models with random weights and LoRA adapters for them, as GGUF and as PEFT's folders.

The weights are kept in Hugging Face's layout. What a model must answer with an adapter is told by a model into whose
weights the adapter was added here: W + scale * B @ A.
"""
import os
import struct

import numpy as np

import hf

WIDTH, FF, HEADS, KV_HEADS, LAYERS, CONTEXT = 64, 128, 4, 2, 2, 1024
MODULES = {  # of Hugging Face: name in GGUF, rows, columns
    "self_attn.q_proj": ("attn_q", WIDTH, WIDTH), "self_attn.k_proj": ("attn_k", WIDTH // 2, WIDTH),
    "self_attn.v_proj": ("attn_v", WIDTH // 2, WIDTH), "self_attn.o_proj": ("attn_output", WIDTH, WIDTH),
    "mlp.gate_proj": ("ffn_gate", FF, WIDTH), "mlp.up_proj": ("ffn_up", FF, WIDTH),
    "mlp.down_proj": ("ffn_down", WIDTH, FF)}


def tokens():
    """Byte-level BPE: how GPT-2 writes the 256 bytes, one merge, the end."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    out, n = [], 0
    for b in range(256):
        out.append(chr(b) if b in plain else chr(256 + n))
        n += b not in plain
    return out + ["ab", "<|end|>"]


# ---- GGUF ----

class Writer:
    def __init__(self):
        self.pairs, self.infos, self.data, self.n = b"", b"", b"", [0, 0]

    def text(self, s):
        b = s.encode() if isinstance(s, str) else s
        return struct.pack("<Q", len(b)) + b

    def value(self, v):
        if isinstance(v, bool):
            return 7, struct.pack("<?", v)
        if isinstance(v, int):
            return 4, struct.pack("<I", v)
        if isinstance(v, float):
            return 6, struct.pack("<f", v)
        if isinstance(v, list):
            if isinstance(v[0], int):
                return 9, struct.pack(f"<IQ{len(v)}i", 5, len(v), *v)
            return 9, struct.pack("<IQ", 8, len(v)) + b"".join(self.text(x) for x in v)
        return 8, self.text(v)

    def pair(self, key, v):
        kind, b = self.value(v)
        self.pairs += self.text(key) + struct.pack("<I", kind) + b
        self.n[1] += 1

    def tensor(self, name, a, kind="F32"):
        self.infos += self.text(name) + struct.pack(f"<I{a.ndim}QIQ", a.ndim, *a.shape[::-1],
                                                    {"F32": 0, "F16": 1, "BF16": 30, "I32": 26}[kind], len(self.data))
        self.data += a.astype("<i4").tobytes() if kind == "I32" else hf.raw(a, kind)
        self.data += b"\0" * (-len(self.data) % 32)
        self.n[0] += 1

    def bytes(self):
        head = b"GGUF" + struct.pack("<IQQ", 3, *self.n) + self.pairs + self.infos
        return head + b"\0" * (-len(head) % 32) + self.data


def permute(w, heads):
    """The order of rows in llama's GGUF files, as convert_hf_to_gguf.py makes it."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def as_gguf(arch, module, rows):
    if arch != "llama" or module not in ("self_attn.q_proj", "self_attn.k_proj"):
        return rows
    return permute(rows, HEADS if "q_proj" in module else KV_HEADS)


def weights(seed=1):
    """{(layer, module): matrix}, and the rest."""
    rng = np.random.default_rng(seed)
    w = {(i, m): rng.normal(0, 0.15, (r, c)).astype("f4") for i in range(LAYERS) for m, (_, r, c) in MODULES.items()}
    n = len(tokens())
    w["embed"], w["lm_head"] = rng.normal(0, 1, (n, WIDTH)).astype("f4"), rng.normal(0, 0.2, (n, WIDTH)).astype("f4")
    return w


def model(path, w, arch="llama"):
    g, a = Writer(), arch
    for key, v in {
            "general.architecture": a, "general.file_type": 0, f"{a}.context_length": CONTEXT,
            f"{a}.embedding_length": WIDTH, f"{a}.feed_forward_length": FF, f"{a}.block_count": LAYERS,
            f"{a}.attention.head_count": HEADS, f"{a}.attention.head_count_kv": KV_HEADS,
            f"{a}.attention.key_length": WIDTH // HEADS, f"{a}.attention.value_length": WIDTH // HEADS,
            f"{a}.attention.layer_norm_rms_epsilon": 1e-5, f"{a}.rope.dimension_count": WIDTH // HEADS,
            "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.tokens": tokens(),
            "tokenizer.ggml.token_type": [1] * 257 + [3], "tokenizer.ggml.merges": ["a b"],
            "tokenizer.ggml.bos_token_id": 257, "tokenizer.ggml.eos_token_id": 257,
            "tokenizer.ggml.add_bos_token": False}.items():
        g.pair(key, v)
    one = np.ones(WIDTH, "f4")
    g.tensor("token_embd.weight", w["embed"])
    g.tensor("output_norm.weight", one)
    if a != "gemma":  # there the embeddings are the output, too
        g.tensor("output.weight", w["lm_head"])
    for i in range(LAYERS):
        g.tensor(f"blk.{i}.attn_norm.weight", one)
        g.tensor(f"blk.{i}.ffn_norm.weight", one)
        for m, (name, rows, _) in MODULES.items():
            g.tensor(f"blk.{i}.{name}.weight", as_gguf(a, m, w[i, m]))
            if a == "qwen2" and name in ("attn_q", "attn_k", "attn_v"):
                g.tensor(f"blk.{i}.{name}.bias", np.full(rows, 0.1, "f4"))
    with open(path, "wb") as f:
        f.write(g.bytes())
    return str(path)


# ---- adapters ----

def lora(seed=2, rank=4, modules=tuple(MODULES), strength=0.3):
    """{(layer, module): (A, B)}"""
    rng = np.random.default_rng(seed)
    return {(i, m): (rng.normal(0, strength, (rank, MODULES[m][2])).astype("f4"),
                     rng.normal(0, strength, (MODULES[m][1], rank)).astype("f4"))
            for i in range(LAYERS) for m in modules}


def merged(w, ab, scale):
    """The weights with the adapter in them."""
    out = dict(w)
    for k, (a, b) in ab.items():
        out[k] = out[k] + np.float32(scale) * (b @ a)
    return out


def adapter(path, ab, alpha, arch="llama", kind="F32", pairs=(), extra=(), names=lambda n: n):
    """A GGUF of it. `pairs` and `extra` add to, or change, what a good one has."""
    g = Writer()
    for key, v in {"general.architecture": arch, "general.type": "adapter", "adapter.type": "lora",
                   "adapter.lora.alpha": float(alpha), "general.name": "Test LoRA", **dict(pairs)}.items():
        if v is not None:
            g.pair(key, v)
    for (i, m), (a, b) in ab.items():
        stem = f"blk.{i}.{MODULES[m][0]}.weight"
        g.tensor(names(stem + ".lora_a"), a, kind)
        g.tensor(names(stem + ".lora_b"), as_gguf(arch, m, b), kind)
    for name, a in extra:
        g.tensor(name, a)
    with open(path, "wb") as f:
        f.write(g.bytes())
    return str(path)


def peft(folder, ab, alpha, kind="F32", names=lambda n: n, **more):
    folder = str(folder)
    rank = next(iter(ab.values()))[0].shape[0]
    hf.write_json(folder, "adapter_config.json", {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": alpha, "lora_dropout": 0.05,
        "bias": "none", "fan_in_fan_out": False, "modules_to_save": None, "use_rslora": False, "use_dora": False,
        "rank_pattern": {}, "alpha_pattern": {}, "init_lora_weights": True,
        "target_modules": sorted({m.split(".")[1] for _, m in ab}), "base_model_name_or_path": "x", **more})
    t = {}
    for (i, m), (a, b) in ab.items():
        t[names(f"base_model.model.model.layers.{i}.{m}.lora_A.weight")] = a
        t[names(f"base_model.model.model.layers.{i}.{m}.lora_B.weight")] = b
    with open(os.path.join(folder, "adapter_model.safetensors"), "wb") as f:
        f.write(hf.safetensors(t, kind))
    return folder
