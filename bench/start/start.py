#!/usr/bin/env python3
"""How long a start takes, and how much memory the roles hold without a model.

  start.py [--runs 7]
Prints for each figure median, smallest and largest of the runs:
  healthz    process start to the first 200 of /healthz
  token      process start to the first streamed token of the starter model (the model is loaded on demand)
  memory     sum of PSS of all roles, no model loaded, 3 s after the start; and the size of binary and modules
"""
import argparse
import glob
import http.client
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../tests/lib"))
from tresor import Instance  # noqa: E402


def pss_kib(pid):
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def family(pid):
    pids = [pid]
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()[1]) == pid:
                pids.append(int(entry))
        except OSError:
            pass
    return pids


def first_token(i, key):
    c = http.client.HTTPConnection("127.0.0.1", i.port, timeout=120)
    c.request("POST", "/v1/chat/completions", json.dumps({
        "model": "smollm2", "stream": True, "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    r = c.getresponse()
    for line in r:
        if line.startswith(b"data: {") and b'"content":"' in line and b'"content":""' not in line:
            c.close()
            return
    raise SystemExit("no token came")


def show(name, unit, values):
    print(f"{name:<22} {statistics.median(values):>10.1f} {min(values):>10.1f} {max(values):>10.1f}  {unit}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--runs", type=int, default=7)
    runs = p.parse_args().runs
    ready, token, memory, per_role = [], [], [], {}
    with Instance() as i:
        i.add_user("ada@example.org", "owner")
        i.with_model()
        key = i.key("ada@example.org")
        for _ in range(runs):
            begun = time.monotonic()
            i.start()
            ready.append((time.monotonic() - begun) * 1000)
            time.sleep(3)
            pids = family(i.process.pid)
            memory.append(sum(map(pss_kib, pids)) / 1024)
            for pid in pids:
                role = open(f"/proc/{pid}/cmdline").read().split("\0")
                name = role[2] if len(role) > 2 and role[1] == "role" else "keeper"
                per_role.setdefault(name, []).append(pss_kib(pid) / 1024)
            i.stop()
            begun = time.monotonic()
            i.start()
            first_token(i, key)
            token.append((time.monotonic() - begun) * 1000)
            i.stop()
        folder = os.path.dirname(i.binary)
        files = [i.binary, *glob.glob(folder + "/*.so")]
        print(f"{'':<22} {'median':>10} {'smallest':>10} {'largest':>10}")
        show("healthz", "ms", ready)
        show("first token", "ms", token)
        show("memory, all roles", "MiB (PSS)", memory)
        for name, values in per_role.items():
            show("  " + name, "MiB (PSS)", values)
        print(f"{'binary and modules':<22} {sum(os.path.getsize(f) for f in files) / 1e6:>10.1f} MB "
              f"({', '.join(f'{os.path.basename(f)} {os.path.getsize(f) / 1e6:.1f}' for f in files)})")


if __name__ == "__main__":
    main()
