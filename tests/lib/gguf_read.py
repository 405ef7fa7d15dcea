"""Reads the header of a GGUF file (ggml docs/gguf.md), trusting it: a second opinion for tests."""
import collections
import struct

Header = collections.namedtuple("Header", "metadata tensors end_of_metadata end_of_header")
KINDS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K",
         13: "Q5_K", 14: "Q6_K", 30: "BF16"}  # enum ggml_type


def _number(f, form):
    return struct.unpack(form, f.read(struct.calcsize(form)))[0]


def _text(f):
    return f.read(_number(f, "<Q")).decode(errors="replace")


def _value(f, kind):
    if kind == STRING:
        return _text(f)
    if kind == ARRAY:
        item, n = _number(f, "<I"), _number(f, "<Q")
        return [_value(f, item) for _ in range(n)]
    return _number(f, KINDS[kind])


def read(path):
    """Metadata as a dict, tensors as dicts of name, type and shape, and where both end."""
    with open(path, "rb") as f:
        _, _, n_tensors, n_pairs = struct.unpack("<4sIQQ", f.read(24))
        metadata = {}
        for _ in range(n_pairs):
            key = _text(f)
            metadata[key] = _value(f, _number(f, "<I"))
        end, tensors = f.tell(), []
        for _ in range(n_tensors):
            name = _text(f)
            shape = [_number(f, "<Q") for _ in range(_number(f, "<I"))]
            tensors.append({"name": name, "type": TYPES[_number(f, "<I")], "shape": shape})
            f.seek(8, 1)
        return Header(metadata, tensors, end, f.tell())
