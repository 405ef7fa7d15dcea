#!/usr/bin/env python3
"""Writes tests/kat/rights.csv: what authorize() must say for every action, object and subject.

Written from what people were promised, role by role, and not from the table in authorize.c:
- nobody reads or changes another person's conversations or kept responses, whatever the role;
- members use models and chats and manage what is their own;
- admins run the instance and its people, but never touch, make or unmake an owner;
- who runs the instance may send models out of the house; a member may not;
- who runs the instance may say that a text is read once for everybody; a member may not;
- owners may all that, also with owners, and have the recovery sheet;
- the operator at the machine's own socket does the operator's acts and has no conversations;
- an API key never manages sessions, passwords, keys or the instance's keys;
- what is foreign looks like what is missing.
Columns: action,object kind,role,api key?,relation,role of the target,expected slug.
"""
import itertools
import os
import sys

ACTIONS = """audit.read backup cache.share chat.change chat.read chat.use doctor.read egress.change egress.read
metrics.read models.change models.push models.read owner.link people.change people.read public recovery
self.change self.keys self.read self.session""".split()
ROLES = ["none", "member", "admin", "owner", "local"]
# object kind -> the relations an object of it can be in, and the roles its target can have
OBJECTS = {
    "none": [("-", "-")],
    "conversation": [("own", "-"), ("foreign", "-"), ("missing", "-")],
    "message": [("own", "-"), ("foreign", "-"), ("missing", "-")],
    "response": [("own", "-"), ("foreign", "-"), ("missing", "-")],
    "key": [("own", "-"), ("foreign", "-"), ("missing", "-")],
    "person": [(r, t) for r in ("own", "foreign") for t in ("member", "admin", "owner")]
    + [("missing", "none")],
    "role": [("-", t) for t in ROLES],
}
ON = {  # which objects an action is about; all others are about the instance
    "chat.read": {"conversation", "message", "response"},
    "chat.change": {"conversation", "message", "response"},
    "people.change": {"person", "role"},
    "self.keys": {"none", "key"},
}
MEMBER = {"chat.use", "chat.read", "chat.change", "models.read", "self.read", "self.change",
          "self.session", "self.keys"}
ADMIN = MEMBER | {"audit.read", "cache.share", "doctor.read", "egress.read", "egress.change", "metrics.read",
                  "models.change", "models.push", "people.read", "people.change"}
OWNER = ADMIN | {"recovery"}
LOCAL = {"audit.read", "backup", "cache.share", "chat.use", "doctor.read", "egress.read", "egress.change",
         "metrics.read", "models.read", "models.change", "models.push", "owner.link", "people.read",
         "people.change", "recovery", "self.keys"}
ACTS = {"none": set(), "member": MEMBER, "admin": ADMIN, "owner": OWNER, "local": LOCAL}
NOT_BY_KEY = {"self.change", "self.session", "self.keys", "recovery", "owner.link", "backup"}


def expected(action, kind, role, by_key, relation, target):
    if action == "public":
        return "ok"
    if role == "none":
        return "login_required"
    if kind not in ON.get(action, {"none"}):
        return "forbidden"
    if action not in ACTS[role] or (by_key and action in NOT_BY_KEY):
        return "forbidden"
    if kind == "none":
        return "ok"
    if kind == "role":  # a role to be given to somebody
        allowed = {"member", "admin"} | ({"owner"} if role in ("owner", "local") else set())
        return "ok" if target in allowed else "forbidden"
    if relation == "missing":
        return "not_found"
    if kind == "person":
        return "forbidden" if role == "admin" and target == "owner" else "ok"
    if kind == "key" and role == "local":
        return "ok"
    return "ok" if relation == "own" else "not_found"


def rows():
    for action, (kind, states) in itertools.product(ACTIONS, OBJECTS.items()):
        for (relation, target), role in itertools.product(states, ROLES):
            for by_key in (False, True):
                if by_key and role in ("none", "local"):
                    continue
                if relation == "own" and role in ("none", "local") and kind != "person":
                    continue  # they own nothing
                if kind == "person" and relation == "own" and target != role:
                    continue  # oneself has one's own role
                yield (action, kind, role, "key" if by_key else "-", relation, target,
                       expected(action, kind, role, by_key, relation, target))


if __name__ == "__main__":
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rights.csv")
    text = "".join(",".join(r) + "\n" for r in rows())
    if "--check" in sys.argv:
        with open(out, encoding="ascii") as f:
            sys.exit(0 if f.read() == text else "rights.csv is not what rights.py writes")
    with open(out, "w", encoding="ascii") as f:
        f.write(text)
