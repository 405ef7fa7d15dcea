#!/usr/bin/env python3
"""store/migrations/NNNN_name.sql -> gen/migrations.inc: one { number, "name", "sql" } a line.

usage: gen_migrations.py OUT FILE...   Numbers must be 1, 2, .. without gaps."""
import json
import os
import re
import sys


def c_string(text):
    # json's escapes are C's for ASCII; adjacent literals keep lines short and readable
    text.encode("ascii")  # SQL of the schema is ASCII: fail loudly otherwise
    return "\n".join("\t" + json.dumps(line) for line in text.splitlines(keepends=True))


out, files = sys.argv[1], sorted(sys.argv[2:], key=os.path.basename)
rows = []
for at, path in enumerate(files, 1):
    name = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", os.path.basename(path))
    if not name or int(name[1]) != at:
        sys.exit(f"{path}: expected {at:04d}_name.sql")
    with open(path, encoding="utf-8") as f:
        rows.append(f'{{ {at}, "{name[2]}",\n{c_string(f.read())} }},\n')
with open(out, "w", encoding="utf-8") as f:
    f.writelines(rows)
