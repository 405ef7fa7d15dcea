#!/usr/bin/env python3
"""Headers that define messages -> os/protocol.inc: a 64-bit number that differs when one of them does.

gen_protocol.py --list SRC prints those headers; gen_protocol.py OUT VERSION HEADER.. writes the number.
"""
import glob
import hashlib
import os
import sys

PATTERNS = ("proto/*.h", "models/*.h", "net/*.h", "os/ipc*.h")


def main(args):
    if args[0] == "--list":
        print("\n".join(sorted(p for g in PATTERNS for p in glob.glob(os.path.join(args[1], g)))))
        return
    out, version, headers = args[0], args[1], sorted(args[2:], key=os.path.basename)
    h = hashlib.sha256(version.encode())
    for path in headers:
        with open(path, "rb") as f:
            h.update(os.path.basename(path).encode() + b"\0" + f.read() + b"\0")
    with open(out, "w", encoding="utf-8") as f:
        f.write(f"#define PROTOCOL_HASH UINT64_C(0x{h.hexdigest()[:16]})\n")


main(sys.argv[1:])
