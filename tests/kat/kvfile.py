#!/usr/bin/env python3
"""Prints the header that src/store/kvfile_test.c expects: written from the description in kvfile.h, with Python's own
BLAKE2b and HMAC."""
import hashlib
import hmac
import struct


def derive(key: bytes, purpose: str) -> bytes:
    return hashlib.blake2b(purpose.encode(), key=key, digest_size=32).digest()


def tag(key: bytes, what: bytes) -> bytes:
    return hmac.new(key, what, hashlib.sha256).digest()[:16]


cache_key = bytes(range(32))
file_key = hmac.new(cache_key, b"kv file of model " + b"a" * 64, hashlib.sha256).digest()
mac_key, tag_key = derive(file_key, "kv file mac"), derive(file_key, "kv file tag")
person, thing = 0x1122334455667788, 0x99AABBCCDDEEFF00
header = b"TRKV0001" + struct.pack("<QqQII", 0x0123456789ABCDEF, 1700000000123, 3000000, 60, 0)
header += tag(tag_key, b"f" + bytes([7] * 32))
header += tag(tag_key, b"p" + struct.pack("<Q", person)) + tag(tag_key, b"o" + struct.pack("<QQ", person, thing))
header += bytes(8)
header += hmac.new(mac_key, header, hashlib.sha256).digest()
print(file_key.hex(), header.hex(), sep="\n")
