#!/usr/bin/env python3
"""api/errors.json -> gen/errors.inc: one X(NAME, slug, status, text) a line."""
import json
import sys

with open(sys.argv[1], encoding="utf-8") as f:
    errors = json.load(f)["errors"]
with open(sys.argv[2], "w", encoding="utf-8") as out:
    for e in errors:
        out.write(f'X({e["name"]}, "{e["slug"]}", {e["status"]}, {json.dumps(e["text"])})\n')
