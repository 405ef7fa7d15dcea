#!/usr/bin/env python3
"""A second implementation of the audit chain's line format (src/vault/audit_chain.h): prints the
known answers that audit_chain_test.c holds, and tries every single-bit change. Shares no code."""
import hashlib
import hmac

KEY = bytes([1, 2, 3]) + bytes(29)
EVENTS = [(1700000000000, '{"act":"login"}'), (1700000000001, "c2VhbGVk"), (1700000000002, "eA==")]


def lines(key, events):
    previous, out = bytes(32), []
    for seq, (at_ms, event) in enumerate(events, 1):
        body = f"{seq} {at_ms} {event}"
        previous = hmac.new(key, previous + body.encode(), hashlib.sha256).digest()
        out.append(f"{body} {previous.hex()}")
    return out


def good(key, text):
    previous = bytes(32)
    for seq, line in enumerate(text.split(b"\n")[:-1], 1):
        body, _, mac = line.rpartition(b" ")
        previous = hmac.new(key, previous + body, hashlib.sha256).digest()
        if previous.hex().encode() != mac or body.split(b" ")[0] != str(seq).encode():
            return False
    return text.endswith(b"\n")


if __name__ == "__main__":
    log = lines(KEY, EVENTS)
    print("\n".join(log))
    text = ("\n".join(log) + "\n").encode()
    assert good(KEY, text)
    for bit in range(8 * len(text)):
        changed = bytearray(text)
        changed[bit // 8] ^= 1 << bit % 8
        assert not good(KEY, bytes(changed)), bit
    print(f"all {8 * len(text)} single-bit changes found")
