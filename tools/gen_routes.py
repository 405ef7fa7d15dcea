#!/usr/bin/env python3
"""Everything made from api/routes.json but the TypeScript (tools/gen_ts.py). A route without a right does not build.

usage: gen_routes.py ROUTES.json OUT_DIR            actions.inc objects.inc routes.inc handlers.inc fields.inc openapi.json
       gen_routes.py --cases ROUTES.json OUT.json   every route x who x (own, foreign, missing, none) object
"""
import json
import os
import sys

AUTH = {"none": 1, "session": 2, "key": 4, "local": 8}
KINDS = {"string": "STR", "integer": "I64", "number": "F64", "boolean": "BOOL", "object": "OBJ", "array": "ARR"}

# Who may do what, written down a second time on purpose: the program's own table stands in
# src/vault/authorize.c, and the test of every route compares the two. "any": every object that is there; "own": foreign
# and missing look the same, 404; "below": people and roles other than owners; "no": 403.
#                         member  admin    owner  local  key
RIGHTS = {
    ("self.read", "none"):           ("any", "any", "any", "no", True),
    ("self.change", "none"):         ("any", "any", "any", "no", False),
    ("self.session", "none"):        ("any", "any", "any", "no", False),
    ("self.keys", "none"):           ("any", "any", "any", "any", False),
    ("self.keys", "key"):            ("own", "own", "own", "any", False),
    ("chat.use", "none"):            ("any", "any", "any", "any", True),
    ("chat.read", "conversation"):   ("own", "own", "own", "no", True),
    ("chat.read", "message"):        ("own", "own", "own", "no", True),
    ("chat.read", "response"):       ("own", "own", "own", "no", True),
    ("chat.change", "conversation"): ("own", "own", "own", "no", True),
    ("chat.change", "message"):      ("own", "own", "own", "no", True),
    ("chat.change", "response"):     ("own", "own", "own", "no", True),
    ("cache.share", "none"):         ("no", "any", "any", "any", True),
    ("models.read", "none"):         ("any", "any", "any", "any", True),
    ("models.change", "none"):       ("no", "any", "any", "any", True),
    ("models.push", "none"):         ("no", "any", "any", "any", True),
    ("people.read", "none"):         ("no", "any", "any", "any", True),
    ("people.change", "person"):     ("no", "below", "any", "any", True),
    ("people.change", "role"):       ("no", "below", "any", "any", True),
    ("metrics.read", "none"):        ("no", "any", "any", "any", True),
    ("audit.read", "none"):          ("no", "any", "any", "any", True),
    ("doctor.read", "none"):         ("no", "any", "any", "any", True),
    ("egress.read", "none"):         ("no", "any", "any", "any", True),
    ("egress.change", "none"):       ("no", "any", "any", "any", True),
    ("owner.link", "none"):          ("no", "no", "no", "any", False),
    ("backup", "none"):              ("no", "no", "no", "any", False),
    ("recovery", "none"):            ("no", "no", "any", "any", False),
}
# The operator on the local socket is no person: what only a person can have is refused by the handler.
PERSON_ONLY = {"team_conversations", "team_search", "team_conversation_new", "team_keys"}
ROLES = ("member", "admin", "owner", "local")


def name(text):
    return text.upper().replace(".", "_").replace("-", "_")


def load(source):
    with open(source, encoding="utf-8") as f:
        contract = json.load(f)
    seen = set()
    for r in contract["routes"]:
        for field in ("method", "path", "handler", "dialect", "action", "object", "auth"):
            if not r.get(field):
                sys.exit(f'{r.get("path")}: no {field}')
        for field in ("changes", "body_max"):
            if field not in r:
                sys.exit(f'{r["path"]}: no {field}')
        key = (r["method"], r["path"])
        if key in seen:
            sys.exit(f"{key}: twice")
        seen.add(key)
        if r["action"] != "public" and (r["action"], r["object"]) not in RIGHTS:
            sys.exit(f'{key}: no rule for action {r["action"]} on {r["object"]}')
        if "key" in r["auth"] and "scope" not in r and r["action"] != "self.read":
            sys.exit(f"{key}: takes keys but names no scope")
    for a in contract.get("actions", []): # rights to a field, which handlers ask for; no route of their own
        if (a["action"], "none") not in RIGHTS:
            sys.exit(f'{a["action"]}: no rule')
    return contract


def field_rows(r):
    """The fields a body may have: name, kind, required, allowed words."""
    schema = r.get("request")
    rows = []
    for field, s in (schema or {}).get("properties", {}).items():
        words = f'"{"|".join(s["enum"])}"' if "enum" in s else "NULL"
        need = int(field in schema.get("required", []))
        rows.append(f'{{ "{field}", FIELD_{KINDS[s["type"]]}, {need}, {words} }}')
    return rows


def openapi(contract):
    def fix(node):
        if isinstance(node, dict):
            return {k: (v.replace("#/types/", "#/components/schemas/") if k == "$ref" else fix(v)) for k, v in node.items()}
        return [fix(x) for x in node] if isinstance(node, list) else node

    paths = {}
    for r in contract["routes"]:
        op = {"operationId": r["handler"], "summary": r.get("doc", ""), "x-right": f'{r["action"]} {r["object"]}',
              "x-audited": r["changes"], "responses": {}}
        good = {"description": "done"}
        if "response" in r:
            media = "text/event-stream" if r.get("streams") else "application/json"
            good["content"] = {media: {"schema": fix(r["response"])}}
        op["responses"]["200"] = good
        op["responses"]["default"] = {"description": "an error",
                                      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
        if "request" in r:
            op["requestBody"] = {"required": True, "content": {"application/json": {"schema": fix(r["request"])}}}
        params = [s[1:-1] for s in r["path"].split("/") if s.startswith("{")]
        if params:
            op["parameters"] = [{"name": p, "in": "path", "required": True, "schema": {"type": "string"}} for p in params]
        if "none" not in r["auth"]:
            op["security"] = [{k: []} for k in r["auth"] if k != "local"] or [{"local": []}]
        paths.setdefault(r["path"], {})[r["method"].lower()] = op
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tresor", "version": "1", "description": "Made from api/routes.json."},
        "paths": paths,
        "components": {
            "schemas": fix(contract["types"]),
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "tresor_session"},
                "key": {"type": "http", "scheme": "bearer"},
                "local": {"type": "mutualTLS", "description": "the Unix socket in the data directory"},
            },
        },
    }


def write_all(contract, out_dir):
    routes = contract["routes"]

    def write(file, lines):
        with open(os.path.join(out_dir, file), "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")

    write("actions.inc", [f'X({name(a)}, "{a}")' for a in sorted({r["action"] for r in routes + contract.get("actions", [])})])
    objects = ["none"] + sorted({r["object"] for r in routes} - {"none"})
    write("objects.inc", [f'X({name(o)}, "{o}")' for o in objects])
    rows = []
    for r in routes:
        auth = sum(AUTH[a] for a in r["auth"])
        scope = f'"{r["scope"]}"' if "scope" in r else "NULL"
        rows.append(
            f'R("{r["method"]}", "{r["path"]}", {r["handler"]}, {name(r["dialect"])}, {name(r["action"])}, '
            f'{name(r["object"])}, {auth}, {int(r["changes"])}, {int(r.get("streams", False))}, '
            f'{r["body_max"]}, {scope})'
        )
    write("routes.inc", rows)
    write("handlers.inc", [f"H({h})" for h in dict.fromkeys(r["handler"] for r in routes)])
    write("fields.inc", ["F(%d%s)" % (int("request" in r), "".join(", " + x for x in field_rows(r))) for r in routes])
    with open(os.path.join(out_dir, "openapi.json"), "w", encoding="utf-8") as f:
        json.dump(openapi(contract), f, indent=1)
        f.write("\n")


def expected(r, who, obj):
    """HTTP status by the rules above: 0 means let through (whatever the handler then says but 401, 403, and 404 of rights)."""
    auth = r["auth"]
    if "none" in auth:
        return 0
    if who == "nobody":
        return 401
    by_key = who.startswith("key")
    role = who.split("-")[-1] if by_key else who
    if by_key and "key" not in auth:
        return 403
    if who == "local" and not ({"local", "session"} & set(auth)):
        return 403
    if not by_key and who != "local" and "session" not in auth:
        return 403
    if who.startswith("key-noscope") and r.get("scope"):
        return 403
    rule = RIGHTS[(r["action"], r["object"])]
    if by_key and not rule[4]:
        return 403
    grant = rule[ROLES.index(role)]
    if grant == "no" or (role == "local" and r["handler"] in PERSON_ONLY):
        return 403
    if r["object"] == "none":
        return 0
    if r["object"] == "role":
        return 403 if obj == "owner" and grant != "any" else 0
    if r["object"] == "person":
        if obj == "missing":
            return 404
        return 403 if obj == "owner" and grant == "below" else 0
    if obj == "missing":
        return 404
    if grant == "own":
        return 0 if obj == "own" else 404
    return 0


def cases(contract):
    whos = ["nobody", "member", "admin", "owner", "local",
            "key-member", "key-admin", "key-owner", "key-noscope-admin", "key-noscope-owner"]
    out = []
    for r in contract["routes"]:
        objs = {"none": ["none"], "role": ["member", "owner"], "person": ["member", "owner", "missing"]}.get(
            r["object"], ["own", "foreign", "missing"])
        for who in whos:
            for obj in objs:
                if who in ("nobody", "local") and obj == "own":
                    continue  # they have nothing of their own
                out.append({"method": r["method"], "path": r["path"], "handler": r["handler"], "object": r["object"],
                            "who": who, "which": obj, "changes": r["changes"], "dialect": r["dialect"],
                            "streams": r.get("streams", False), "scope": r.get("scope"), "expect": expected(r, who, obj)})
    return out


if sys.argv[1] == "--cases":
    with open(sys.argv[3], "w", encoding="utf-8") as out_file:
        json.dump({"cases": cases(load(sys.argv[2]))}, out_file, indent=0)
else:
    write_all(load(sys.argv[1]), sys.argv[2])
