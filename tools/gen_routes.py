#!/usr/bin/env python3
"""api/routes.json -> gen/actions.inc, gen/objects.inc, gen/routes.inc. A route without a right does not build."""
import json
import os
import sys

AUTH = {"none": 1, "session": 2, "key": 4, "local": 8}


def name(text):
    return text.upper().replace(".", "_").replace("-", "_")


def main(source, out_dir):
    with open(source, encoding="utf-8") as f:
        routes = json.load(f)["routes"]
    for r in routes:
        for field in ("method", "path", "handler", "dialect", "action", "object", "auth"):
            if not r.get(field):
                sys.exit(f'{r.get("path")}: no {field}')
    actions = sorted({r["action"] for r in routes})
    objects = ["none"] + sorted({r["object"] for r in routes} - {"none"})

    def write(file, lines):
        with open(os.path.join(out_dir, file), "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")

    write("actions.inc", [f'X({name(a)}, "{a}")' for a in actions])
    write("objects.inc", [f'X({name(o)}, "{o}")' for o in objects])
    rows = []
    for r in routes:
        auth = sum(AUTH[a] for a in r["auth"])
        scope = f'"{r["scope"]}"' if "scope" in r else "NULL"
        if "key" in r["auth"] and scope == "NULL" and r["action"] != "self.read":
            auth &= ~AUTH["key"]
        rows.append(
            f'R("{r["method"]}", "{r["path"]}", {r["handler"]}, {name(r["dialect"])}, {name(r["action"])}, '
            f'{name(r["object"])}, {auth}, {int(r["changes"])}, {int(r.get("streams", False))}, '
            f'{r["body_max"]}, {scope})'
        )
    write("routes.inc", rows)


main(sys.argv[1], sys.argv[2])
