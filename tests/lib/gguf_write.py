"""Writes GGUF files for tests (ggml docs/gguf.md, version 3): metadata and float32 tensors."""
import struct

import numpy as np

U32, I32, F32, BOOL, STR, ARRAY = 4, 5, 6, 7, 8, 9
ALIGN = 32


class Ints(list):
    """An array of int32, as token types are."""


def _str(s):
    b = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(b)) + b


def _value(v):
    """Type number and bytes of a Python value; ints are u32, lists of one kind."""
    if isinstance(v, bool):
        return BOOL, struct.pack("<?", v)
    if isinstance(v, int):
        return U32, struct.pack("<I", v)
    if isinstance(v, float):
        return F32, struct.pack("<f", v)
    if isinstance(v, (str, bytes)):
        return STR, _str(v)
    if isinstance(v, Ints):
        return ARRAY, struct.pack(f"<IQ{len(v)}i", I32, len(v), *v)
    kinds = [_value(x) for x in v]
    return ARRAY, struct.pack("<IQ", kinds[0][0], len(v)) + b"".join(b for _, b in kinds)


def write_gguf(path, metadata, tensors):
    """`tensors`: name -> float32 array, shape as in PyTorch (rows first)."""
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for key, v in metadata.items():
        kind, data = _value(v)
        head += [_str(key), struct.pack("<I", kind), data]
    at, data = 0, []
    for name, t in tensors.items():
        t = np.ascontiguousarray(t, dtype="<f4")
        shape = t.shape[::-1]
        head += [_str(name), struct.pack(f"<I{len(shape)}Q", len(shape), *shape), struct.pack("<IQ", 0, at)]
        raw = t.tobytes()
        raw += b"\0" * (-len(raw) % ALIGN)
        data.append(raw)
        at += len(raw)
    with open(path, "wb") as f:
        start = b"".join(head)
        f.write(start + b"\0" * (-len(start) % ALIGN))
        for raw in data:
            f.write(raw)
