#!/usr/bin/env python3
"""api/routes.json and api/errors.json -> web/src/gen/api.ts: types, typed calls, error slugs.

usage: gen_ts.py API_DIR OUT.ts"""
import json
import os
import re
import sys

SCALARS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def shape(s):
    """One JSON Schema (our subset) as a TypeScript type."""
    if "$ref" in s:
        return s["$ref"].rsplit("/", 1)[1]
    if "oneOf" in s:
        return " | ".join(shape(x) for x in s["oneOf"])
    if "const" in s:
        return json.dumps(s["const"])
    if "enum" in s:
        return " | ".join(json.dumps(x) for x in s["enum"])
    kind = s.get("type")
    if isinstance(kind, list):
        return " | ".join(SCALARS[k] for k in kind)
    if kind == "array":
        return f"Array<{shape(s['items'])}>"
    if kind == "object":
        need = set(s.get("required", []))
        fields = [f"{k}{'' if k in need else '?'}: {shape(v)}" for k, v in s.get("properties", {}).items()]
        return "{ " + "; ".join(fields) + " }" if fields else "Record<string, never>"
    if kind in SCALARS:
        return SCALARS[kind]
    sys.exit(f"gen_ts: cannot express {s!r}")


def main(api_dir, out):
    with open(os.path.join(api_dir, "routes.json"), encoding="utf-8") as f:
        contract = json.load(f)
    with open(os.path.join(api_dir, "errors.json"), encoding="utf-8") as f:
        errors = json.load(f)["errors"]
    lines = ["/* Made by tools/gen_ts.py from api/. Do not edit. */", ""]
    for name, s in contract["types"].items():
        lines.append(f"export type {name} = {shape(s)};")
    lines += ["", "export type Slug = " + " | ".join(json.dumps(e["slug"]) for e in errors) + ";", ""]
    rows, calls = [], []
    for r in contract["routes"]:
        if r["dialect"] != "team" or r["auth"] == ["local"]:
            continue
        params = re.findall(r"\{(\w+)\}", r["path"])
        p = "{ " + "; ".join(f"{x}: string" for x in params) + " }" if params else "undefined"
        rows.append(f"\t{r['handler']}: {{ method: {json.dumps(r['method'])}, path: {json.dumps(r['path'])}, "
                    f"changes: {json.dumps(r['changes'])} }},")
        body = shape(r["request"]) if "request" in r else "undefined"
        reply = shape(r["response"]) if "response" in r else "undefined"
        calls.append(f"\t{r['handler']}: {{ params: {p}; body: {body}; reply: {reply} }};")
    lines += ["export const routes = {", *rows, "} as const;", "", "export interface Calls {", *calls, "}", ""]
    os.makedirs(os.path.dirname(os.path.abspath(out)), exist_ok=True)
    with open(out, "w", encoding="utf-8") as f:
        f.write("\n".join(lines))


if len(sys.argv) != 3:
    sys.exit(__doc__)
main(sys.argv[1], sys.argv[2])
