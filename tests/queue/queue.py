#!/usr/bin/env python3
"""10,000 requests at once, and the names of /metrics. Prints TAP.

A request is counted as accepted when its answer begins with 200. Every accepted one has to end with its
last line; the others have to be told 429 with Retry-After and Ollama's words. The server's memory is
bounded: measured before, and at its highest while all of them are there.
"""
import asyncio
import json
import os
import re
import resource
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../torture"))
from torture import Instance  # noqa: E402

REQUESTS = 10_000
TOGETHER = 3000  # connections at a time: the server's own limit is 4096, a descriptor each here and there
GROWTH_MAX = 400 * 1024 * 1024
number = 0
failed = 0


def report(ok, name, why=""):
    global number, failed
    number += 1
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {number} - {name}", flush=True)
    if not ok:
        print(f"# {why}", flush=True)


class Flood:
    def __init__(self, instance, key):
        self.instance, self.key = instance, key
        self.status, self.whole, self.lost, self.bad429, self.trouble = {}, 0, 0, 0, {}
        self.unexpected = ""

    async def one(self, gate, i):
        # by address 1,024 connections are allowed: as many people, as many addresses
        source = f"127.0.{1 + i % 8}.{1 + i // 8 % 200}"
        body = json.dumps({"model": "smollm2", "prompt": f"Say {i}.", "options": {"num_predict": 1}, "stream": True})
        head = (f"POST /api/generate HTTP/1.1\r\nHost: 127.0.0.1:{self.instance.port}\r\nConnection: close\r\n"
                f"Authorization: Bearer {self.key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
        async with gate:
            try:
                r, w = await asyncio.open_connection("127.0.0.1", self.instance.port, local_addr=(source, 0))
                w.write((head + body).encode())
                await w.drain()
                reply = (await asyncio.wait_for(r.read(), 800)).decode()
                w.close()
            except (OSError, asyncio.TimeoutError) as e:
                self.trouble[repr(e)[:60]] = self.trouble.get(repr(e)[:60], 0) + 1
                return
        self.judge(reply)

    def judge(self, reply):
        m = re.match(r"HTTP/1\.1 (\d+)", reply)
        status = int(m.group(1)) if m else 0
        self.status[status] = self.status.get(status, 0) + 1
        if status == 200:
            if '"done":true' in reply:
                self.whole += 1
            else:
                self.lost += 1
        elif status == 429:
            after = re.search(r"(?i)^retry-after: (\d+)\r$", reply, re.M)
            if not after or not 1 <= int(after.group(1)) <= 60 or "server busy, please try again" not in reply:
                self.bad429 += 1
        else:
            self.unexpected = self.unexpected or reply[:600]

    async def run(self):
        gate = asyncio.Semaphore(TOGETHER)
        await asyncio.gather(*(self.one(gate, i) for i in range(REQUESTS)))


def rss(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1)) * 1024


def metrics_documented(text):
    documented = set(re.findall(r"`(tresor_\w+)`", open(os.path.join(os.environ.get("TRESOR_ROOT", "."), "docs/metrics.md")).read()))
    told = set(re.findall(r"^# TYPE (tresor_\w+)", text, re.M))
    return sorted(told - documented), sorted(documented - told - {"tresor_errors_total"})


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    print("TAP version 13\n1..4", flush=True)
    i = Instance(os.environ.get("TRESOR_BIN", "build/tresor"), int(os.environ.get("QUEUE_PORT", "17872")))
    try:
        i.start()
        for args, stdin in ((("pull", "starter:smollm2", "--as", "smollm2"), None),
                            (("user", "add", "t@example.org", "--role", "admin", "--password-stdin"), "correct horse battery\n")):
            code, out, err = i.command(*args, stdin=stdin)
            if code:
                raise RuntimeError(f"{args}: {out} {err}")
        key = i.command("key", "new", "q", "--user", "t@example.org", "--scopes", "chat,models.read,metrics")[1]
        i.command("run", "smollm2", "Say yes.")
        server = i.roles()["server"][0]
        before, highest, over = rss(server), [0], threading.Event()

        def watch():
            while not over.is_set():
                highest[0] = max(highest[0], rss(server))
                time.sleep(0.2)
        threading.Thread(target=watch, daemon=True).start()
        f = Flood(i, key)
        begun = time.monotonic()
        asyncio.run(f.run())
        over.set()
        print(f"# {REQUESTS} requests in {time.monotonic() - begun:.0f} s: {f.status}, whole {f.whole}, connections refused or "
              f"cut {sum(f.trouble.values())} {f.trouble}; server {before >> 20} MiB, at most {highest[0] >> 20} MiB", flush=True)
        report(f.lost == 0 and f.whole > 0 and not f.trouble and set(f.status) <= {200, 429},
               "no accepted request is lost, every other one is answered", f"{f.status} lost {f.lost} {f.trouble} {f.unexpected!r}")
        report(f.status.get(429, 0) > 0 and f.bad429 == 0, "beyond the queue: 429, Retry-After, the API's own words", f"bad {f.bad429}")
        report(highest[0] - before < GROWTH_MAX and i.roles()["server"][0] == server, "memory is bounded",
               f"{before} -> {highest[0]}")
        import http.client
        c = http.client.HTTPConnection("127.0.0.1", i.port)
        c.request("GET", "/metrics", headers={"Authorization": "Bearer " + key})
        unknown, missing = metrics_documented(c.getresponse().read().decode())
        report(not unknown and not missing, "docs/metrics.md names what /metrics tells", f"not documented {unknown}, not told {missing}")
    finally:
        i.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
