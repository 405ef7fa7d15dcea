"""Copies of GGUF files with more metadata, for tests and bench."""
import struct

import gguf_read

U32, ALIGN = 4, 32


def add_numbers(source, target, numbers):
    """A copy with these numbers in its metadata; its tensors stay as they are."""
    header = gguf_read.read(source)
    with open(source, "rb") as f, open(target, "wb") as out:
        magic, version, tensors, pairs = struct.unpack("<4sIQQ", f.read(24))
        head = struct.pack("<4sIQQ", magic, version, tensors, pairs + len(numbers)) + f.read(header.end_of_metadata - 24)
        for key, v in numbers.items():
            head += struct.pack("<Q", len(key)) + key.encode() + struct.pack("<II", U32, v)
        head += f.read(header.end_of_header - header.end_of_metadata)
        out.write(head + b"\0" * (-len(head) % ALIGN))
        f.seek(-(-header.end_of_header // ALIGN) * ALIGN)
        while block := f.read(1 << 20):
            out.write(block)
