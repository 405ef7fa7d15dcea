#!/usr/bin/env python3
"""A text file as the initialiser of a C character array. usage: embed_text.py IN OUT"""
import json
import sys

text = open(sys.argv[1], encoding="utf-8").read()
with open(sys.argv[2], "w", encoding="ascii") as f:
    for line in text.splitlines(keepends=True):
        # octal escapes of the bytes: \u would need C's own rules
        f.write('"' + "".join(chr(b) if 32 <= b < 127 and b not in (34, 92) else f"\\{b:03o}"
                              for b in line.encode()) + '"\n')
json.loads(text)  # what is embedded here is always JSON; fail in the build rather than at run time
