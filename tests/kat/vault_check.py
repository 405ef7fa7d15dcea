#!/usr/bin/env python3
"""Reads what src/vault wrote, without any of its code: the audit log and its checkpoint, the
envelope of keys by key file, passphrase-free recovery code, and the form of API keys.

vault_check.py WRITER: WRITER DIR fills DIR and prints "name value" lines of what it knows.
Only hashlib, hmac and zlib; XChaCha20-Poly1305 is written out here (RFC 8439,
draft-irtf-cfrg-xchacha-03) and checked against the drafts' vectors first.
"""
import base64
import hashlib
import hmac
import json
import os
import struct
import subprocess
import sys
import tempfile
import zlib

TESTS = []


def check(name, good):
    TESTS.append(name)
    print(f"{'ok' if good else 'not ok'} {len(TESTS)} - {name}")


def rotl(v, n):
    return (v << n | v >> (32 - n)) & 0xFFFFFFFF


def rounds(s):
    def quarter(a, b, c, d):
        s[a] = s[a] + s[b] & 0xFFFFFFFF
        s[d] = rotl(s[d] ^ s[a], 16)
        s[c] = s[c] + s[d] & 0xFFFFFFFF
        s[b] = rotl(s[b] ^ s[c], 12)
        s[a] = s[a] + s[b] & 0xFFFFFFFF
        s[d] = rotl(s[d] ^ s[a], 8)
        s[c] = s[c] + s[d] & 0xFFFFFFFF
        s[b] = rotl(s[b] ^ s[c], 7)

    for _ in range(10):
        for i in range(4):
            quarter(i, i + 4, i + 8, i + 12)
        for i in range(4):
            quarter(i, (i + 1) % 4 + 4, (i + 2) % 4 + 8, (i + 3) % 4 + 12)


CONSTANTS = list(struct.unpack("<4I", b"expand 32-byte k"))


def block(key, counter, nonce):
    state = CONSTANTS + list(struct.unpack("<8I", key)) + [counter] + list(struct.unpack("<3I", nonce))
    work = list(state)
    rounds(work)
    return struct.pack("<16I", *[(a + b) & 0xFFFFFFFF for a, b in zip(work, state)])


def hchacha(key, nonce16):
    s = CONSTANTS + list(struct.unpack("<8I", key)) + list(struct.unpack("<4I", nonce16))
    rounds(s)
    return struct.pack("<8I", *(s[0:4] + s[12:16]))


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    acc = 0
    for i in range(0, len(message), 16):
        acc = (acc + int.from_bytes(message[i:i + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((acc + int.from_bytes(key[16:], "little")) & ((1 << 128) - 1)).to_bytes(16, "little")


def unseal(key, ad, sealed):
    """nonce(24) || ciphertext || tag(16); None when it is not authentic."""
    nonce, text, tag = sealed[:24], sealed[24:-16], sealed[-16:]
    sub, short = hchacha(key, nonce[:16]), bytes(4) + nonce[16:]

    def pad(b):
        return b + bytes(-len(b) % 16)

    mac = poly1305(block(sub, 0, short)[:32],
                   pad(ad) + pad(text) + struct.pack("<QQ", len(ad), len(text)))
    if mac != tag:
        return None
    out = bytearray()
    for i in range(0, len(text), 64):
        out += bytes(a ^ b for a, b in zip(text[i:i + 64], block(sub, 1 + i // 64, short)))
    return bytes(out)


def derive(key, purpose):
    return hashlib.blake2b(purpose.encode(), digest_size=32, key=key).digest()


def self_test():
    key = bytes(range(32))
    got = hchacha(key, bytes.fromhex("000000090000004a0000000031415927"))
    check("hchacha20 matches draft-irtf-cfrg-xchacha-03 2.2.1", got.hex() ==
          "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc")
    tag = poly1305(bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b"),
                   b"Cryptographic Forum Research Group")
    check("poly1305 matches RFC 8439 2.5.2", tag.hex() == "a8061dc1305136c6c22b8baf0c0127a9")


def read_log(folder, key):
    chain, seal, previous, events, total = derive(key, "audit chain"), derive(key, "audit seal"), \
        bytes(32), [], 0
    for name in sorted(n for n in os.listdir(folder) if n.endswith(".log")):
        with open(os.path.join(folder, name), "rb") as f:
            text = f.read()
        assert text.endswith(b"\n"), name
        for line in text.split(b"\n")[:-1]:
            seq, ms, sealed, mac = line.split(b" ")
            total += 1
            previous = hmac.new(chain, previous + line[:-65], hashlib.sha256).digest()
            if int(seq) != total or previous.hex().encode() != mac:
                return None, None
            events.append(unseal(seal, seq + b" " + ms, base64.b64decode(sealed, validate=True)))
    return events, previous


def check_log(root, facts):
    key = bytes.fromhex(facts["audit_key"])
    events, last = read_log(os.path.join(root, "audit"), key)
    check("every record of the log chains and opens", events is not None and None not in events)
    check("the events are what was written, in order",
          events == [f'{{"n":{i}}}'.encode() for i in range(1, int(facts["records"]) + 1)])
    with open(os.path.join(root, "audit", "head"), "rb") as f:
        title, body, mac = f.read().split(b"\n")[:3]
    good = hmac.new(derive(key, "audit head"), title + b"\n" + body + b"\n", hashlib.sha256)
    check("the checkpoint is signed and names the last record", good.hexdigest().encode() == mac
          and body == f"{facts['records']} {last.hex()}".encode())


def recovery(code):
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = 0
    for group, text in enumerate(code.split("-")):
        values = bytes(digits.index(c) for c in text)
        assert hashlib.sha256(bytes([group]) + values[:4]).digest()[0] & 31 == values[4], group
        for v in values[:4]:
            number = number << 5 | v
    return number.to_bytes(20, "big")


def check_keyring(root, facts):
    with open(os.path.join(root, "keys.json"), encoding="ascii") as f:
        env = json.load(f)
    with open(facts["key_file"], encoding="ascii") as f:
        secret = bytes.fromhex(f.read().split()[2])
    ad = f"tresor keyring 1 {env['instance']} "
    wraps = {
        "file": derive(hashlib.sha256(secret).digest(), "tresor slot file"),
        "recovery": derive(hmac.new(bytes.fromhex(env["slots"]["recovery"]["salt"]),
                                    recovery(facts["recovery"]), hashlib.sha256).digest(),
                           "tresor slot recovery"),
    }
    masters = {k: unseal(w, f"{ad}slot {k}".encode(), bytes.fromhex(env["slots"][k]["master"]))
               for k, w in wraps.items()}
    master = masters["file"]
    check("key file and recovery code open the same master key",
          master is not None and masters["recovery"] == master)
    for name in ("page", "blob", "name", "audit", "tls", "cache", "credential"):
        got = unseal(master, f"{ad}key {name}".encode(), bytes.fromhex(env["keys"][name]))
        check(f"the {name} key is what the program uses", got and got.hex() == facts[f"key_{name}"])
    mac = env.pop("mac")
    body = json.dumps(env, separators=(",", ":")).encode()
    good = hmac.new(derive(master, "tresor envelope"), body, hashlib.sha256).hexdigest()
    check("the envelope's MAC covers all of it", mac == good)
    sign = hmac.new(derive(bytes.fromhex(facts["key_audit"]), "sign"), b"manifest", hashlib.sha256)
    check("signatures are HMAC under the audit key's branch", sign.hexdigest() == facts["sign"])


def check_api_key(facts):
    text = facts["api_key"]
    body, crc = text[:-6], text[-6:]
    good = base64.urlsafe_b64encode(struct.pack(">I", zlib.crc32(body.encode()))).rstrip(b"=")
    check("an API key ends in the CRC-32 of the rest", good.decode() == crc)
    check("an API key has 256 bits of secret",
          len(base64.urlsafe_b64decode(body.split("_", 2)[2] + "=")) == 32)
    check("the database holds the SHA-256 of the key",
          hashlib.sha256(text.encode()).hexdigest() == facts["api_key_hash"])


def main():
    self_test()
    with tempfile.TemporaryDirectory() as root:
        data = os.path.join(root, "data")
        os.mkdir(data)
        out = subprocess.run([sys.argv[1], data, os.path.join(root, "instance.key")], check=True,
                             capture_output=True, text=True).stdout
        facts = dict(line.split(" ", 1) for line in out.splitlines())
        check_log(data, facts)
        check_keyring(data, facts)
        check_api_key(facts)
    print(f"1..{len(TESTS)}")


main()
