"""A model that sees, with a synthetic projector: random weights, no real vision model is at hand.

The projector (LLaVA's kind: a small ViT and two layers) is written here and computed here with numpy
as a second source; the text model is the starter. So this shows that the way is right (pixels, rows,
places, the same picture the same answer), not that a real model describes what it sees.
"""
import math
import os
import subprocess
import sys

import numpy as np
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from gguf_write import write_gguf  # noqa: E402

DRIVER = os.path.join(os.environ.get("TRESOR_BUILD", ""), "src/engine/vision_driver")
STARTER = os.path.join(os.environ.get("TRESOR_DEPS", ""), "share/starter/smollm2.gguf")
SIZE, PATCH, D, HEADS, FF, LAYERS, OUT = 28, 14, 32, 4, 64, 3, 576
EPS, MEAN, STD = 1e-5, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class Projector:
    def __init__(self, seed=3, out=OUT):
        rng = np.random.default_rng(seed)
        n = (SIZE // PATCH) ** 2

        def m(*shape, scale=0.2):
            return rng.normal(0, scale, shape).astype("f4")

        w = {"v.patch_embd.weight": m(D, 3, PATCH, PATCH, scale=0.05), "v.position_embd.weight": m(n, D),
             "v.pre_ln.weight": 1 + m(D), "v.pre_ln.bias": m(D),
             "v.post_ln.weight": 1 + m(D), "v.post_ln.bias": m(D),
             "mm.0.weight": m(48, D), "mm.0.bias": m(48), "mm.2.weight": m(out, 48), "mm.2.bias": m(out)}
        for i in range(LAYERS):
            for name, a, b in (("attn_q", D, D), ("attn_k", D, D), ("attn_v", D, D), ("attn_out", D, D),
                               ("ffn_down", FF, D), ("ffn_up", D, FF)):
                # the files that llama.cpp converts have the two names of the MLP swapped
                w[f"v.blk.{i}.{name}.weight"], w[f"v.blk.{i}.{name}.bias"] = m(b, a), m(b)
            for name in ("ln1", "ln2"):
                w[f"v.blk.{i}.{name}.weight"], w[f"v.blk.{i}.{name}.bias"] = 1 + m(D), m(D)
        self.w, self.out = w, out

    def write(self, path, **more):
        meta = {"general.architecture": "clip", "general.name": "test", "general.file_type": 0,
                "clip.has_vision_encoder": True, "clip.projector_type": "mlp", "clip.use_gelu": True,
                "clip.vision.image_size": SIZE, "clip.vision.patch_size": PATCH, "clip.vision.embedding_length": D,
                "clip.vision.feed_forward_length": FF, "clip.vision.block_count": LAYERS,
                "clip.vision.attention.head_count": HEADS, "clip.vision.attention.layer_norm_epsilon": EPS,
                "clip.vision.projection_dim": self.out, "clip.vision.image_mean": list(MEAN),
                "clip.vision.image_std": list(STD), **more}
        write_gguf(path, meta, self.w)
        return str(path)

    def rows(self, rgb):
        """rgb: SIZE x SIZE x 3 bytes. LLaVA: the last but one layer's values, then two dense layers."""
        w = {k: v.astype("f8") for k, v in self.w.items()}
        x = (rgb.astype("f8") / 255 - MEAN) / STD
        k = SIZE // PATCH
        patches = x.reshape(k, PATCH, k, PATCH, 3).transpose(0, 2, 4, 1, 3).reshape(k * k, -1)
        x = patches @ w["v.patch_embd.weight"].reshape(D, -1).T + w["v.position_embd.weight"]

        def norm(x, name):
            mean = x.mean(-1, keepdims=True)
            var = ((x - mean) ** 2).mean(-1, keepdims=True)
            return (x - mean) / np.sqrt(var + EPS) * w[name + ".weight"] + w[name + ".bias"]

        def dense(x, name):
            return x @ w[name + ".weight"].T + w[name + ".bias"]

        def gelu(x):
            return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))

        x = norm(x, "v.pre_ln")
        n, d = len(x), D // HEADS
        for i in range(LAYERS - 1):
            p = f"v.blk.{i}."
            h = norm(x, p + "ln1")
            q, kk, v = (dense(h, p + s).reshape(n, HEADS, d).transpose(1, 0, 2) for s in ("attn_q", "attn_k", "attn_v"))
            a = q @ kk.transpose(0, 2, 1) / math.sqrt(d)
            a = np.exp(a - a.max(-1, keepdims=True))
            a = (a / a.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(n, -1)
            x = x + dense(a, p + "attn_out")
            x = x + dense(gelu(dense(norm(x, p + "ln2"), p + "ffn_up")), p + "ffn_down")
        x = norm(x, "v.post_ln")
        return dense(gelu(dense(x, "mm.0")), "mm.2")


def picture(seed, width=SIZE, height=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype="u1")


def see(projector, rgb, tmp_path, prompt="A picture:", n=6, after=" It shows"):
    path = tmp_path / "rgb"
    path.write_bytes(rgb.tobytes())
    r = subprocess.run([DRIVER, STARTER, projector, str(rgb.shape[1]), str(rgb.shape[0]), path, prompt, str(n), after],
                       capture_output=True, text=True, timeout=300)
    if r.returncode not in (0, 1):
        raise AssertionError(f"{r.returncode}: {r.stdout[-500:]} {r.stderr[-500:]}")
    out = {"rows": [], "tokens": None, "error": None}
    for line in r.stdout.splitlines():
        kind, *f = line.split(" ")
        if kind == "rows":
            at, count, width = map(int, f[:3])
            out["rows"].append((at, f[3], np.array(f[4:], "f8").reshape(count, width)))
        elif kind == "first":
            out["first"] = list(map(float, f))
        elif kind == "tokens":
            out["tokens"] = list(map(int, f))
        elif kind == "error":
            out["error"] = " ".join(f)
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    p = Projector()
    return p, p.write(tmp_path_factory.mktemp("p") / "mmproj.gguf")


def test_a_picture_becomes_the_rows_that_numpy_computes(made, tmp_path):
    projector, path = made
    for seed in (1, 2):
        rgb = picture(seed)
        got = see(path, rgb, tmp_path)
        assert got["error"] is None and len(got["rows"]) == 1, got
        _, _, rows = got["rows"][0]
        want = projector.rows(rgb)
        assert rows.shape == want.shape == (4, OUT)
        assert np.abs(rows - want).max() < 0.02 * np.abs(want).max(), np.abs(rows - want).max()
        assert np.corrcoef(rows.ravel(), want.ravel())[0, 1] > 0.9999


def test_the_same_picture_gives_the_same_answer_and_another_another(made, tmp_path):
    _, path = made
    a, again, b = (see(path, picture(s), tmp_path) for s in (1, 1, 2))
    assert a["tokens"] and a["tokens"] == again["tokens"] and a["rows"][0][1] == again["rows"][0][1]
    assert (a["rows"][0][2] == again["rows"][0][2]).all()
    assert a["rows"][0][1] != b["rows"][0][1]
    assert np.abs(a["rows"][0][2] - b["rows"][0][2]).max() > 0.01
    assert a["rows"][0][0] > 2  # after the words before it


def test_any_size_is_brought_to_the_models(made, tmp_path):
    _, path = made
    for width, height in ((1, 1), (640, 480), (3, 900)):
        got = see(path, picture(5, width, height), tmp_path, n=2)
        assert got["error"] is None and got["rows"][0][2].shape == (4, OUT)
        assert np.isfinite(got["rows"][0][2]).all()


def test_a_projector_of_another_model_or_none_is_refused(made, tmp_path):
    other = Projector(out=512).write(tmp_path / "other.gguf")
    assert see(other, picture(1), tmp_path)["error"].startswith("model_unusable not a usable projector")
    (tmp_path / "text.gguf").write_bytes(b"GGUF no")
    assert see(str(tmp_path / "text.gguf"), picture(1), tmp_path)["error"].startswith("model_unusable ")
    assert see(STARTER, picture(1), tmp_path)["error"].startswith("model_unusable ")
    strange = made[0].write(tmp_path / "strange.gguf", **{"clip.projector_type": "nobody"})
    assert see(strange, picture(1), tmp_path)["error"].startswith("model_unusable ")
