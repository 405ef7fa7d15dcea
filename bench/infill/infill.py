#!/usr/bin/env python3
"""Latency of code completion: Tresor's /infill against llama-server's. See README.md.

usage: bench/infill/infill.py [--rounds N] [--threads N] [--json FILE]
"""
import argparse
import http.client
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
sys.path[:0] = [os.path.join(ROOT, "tests/lib"), os.path.join(ROOT, "bench/serving")]
from gguf_copy import add_numbers  # noqa: E402
from machine import Meter  # noqa: E402
from stats import spread  # noqa: E402
from tresor import Instance, free_port  # noqa: E402

TOKENS = 16
GAP = {"tokenizer.ggml.fim_pre_token_id": 4, "tokenizer.ggml.fim_suf_token_id": 5,
       "tokenizer.ggml.fim_mid_token_id": 6}
EDITOR = ("-ub", "1024", "-b", "1024", "--cache-reuse", "256")  # llama.vscode's
NAMES = "count total index value result buffer length offset entry parser token state name line column path".split()


def code(rng, lines):
    """Lines of about eight tokens each."""
    return "".join(f"    {rng.choice(NAMES)}_{rng.randrange(1000)} = {rng.choice(NAMES)}({rng.choice(NAMES)})\n"
                   for _ in range(lines))


class Server:
    def __init__(self, label, port, key=None):
        self.label, self.port, self.key = label, port, key

    def fill(self, before, after, extra):
        """{"first": s, "all": s, ...} of one suggestion."""
        body = {"input_prefix": before, "input_suffix": after, "input_extra": extra, "n_predict": TOKENS,
                "temperature": 0, "stream": True, "cache_prompt": True}
        if self.key:
            body["model"] = "filler"
        head = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        start, first, last = time.perf_counter(), None, {}
        c.request("POST", "/infill", json.dumps(body), head)
        r = c.getresponse()
        if r.status != 200:
            sys.exit(f"{self.label}: {r.status} {r.read()[:300]!r}")
        for line in r:
            if not line.startswith(b"data: "):
                continue
            last = json.loads(line[6:])
            if first is None and last.get("content"):
                first = time.perf_counter() - start
        c.close()
        whole = time.perf_counter() - start
        return {"first": first or whole, "all": whole, "read": last["timings"]["prompt_n"],
                "made": last["tokens_predicted"]}


def start_llama(label, model, threads, log, args=()):
    port = free_port()
    p = subprocess.Popen([os.path.join(os.environ["TRESOR_DEPS"], "bench/llama-server"), "-m", model, "-c", "8192",
                          "-t", str(threads), "--port", str(port), *args], stdout=log, stderr=log)
    for _ in range(600):
        try:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            c.request("GET", "/health")
            if c.getresponse().status == 200:
                return p, Server(label, port)
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("llama-server does not come up")


def rounds(servers, n):
    """figures[case][label]: a list of what fill() gave, a round each."""
    figures, rng = {}, random.Random(7)
    for i in range(n + 1):
        before, after = "def work():\n" + code(rng, 110), "\n" + code(rng, 25)
        extra = [{"filename": f"m{k}.py", "text": code(rng, 25)} for k in range(4)]
        order = servers[i % len(servers):] + servers[:i % len(servers)]
        for files, name in (([], ""), (extra, ", with other files")):
            for what, text in (("first suggestion", before + "    val"), ("next keystrokes", before + "    value_")):
                for s in order:
                    got = s.fill(text, after, files)
                    if i:  # the first round warms up
                        figures.setdefault(what + name, {}).setdefault(s.label, []).append(got)
    return figures


def table(figures, labels):
    lines = ["| ms: median (least to most) | " + " | ".join(labels) + " |", "|---|" + "---|" * len(labels)]
    for case, by in figures.items():
        for key, name in (("first", "first text"), ("all", f"{TOKENS} tokens")):
            cells = []
            for label in labels:
                m, lo, hi = spread([1000 * x[key] for x in by[label]])
                cells.append(f"{m:.0f} ({lo:.0f} to {hi:.0f})")
            lines.append(f"| {case}: {name} | " + " | ".join(cells) + " |")
        reads = " | ".join(f"{statistics.median(x['read'] for x in by[label]):.0f}" for label in labels)
        lines.append(f"| {case}: tokens read | {reads} |")
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--json")
    o = p.parse_args()
    processes = []
    with tempfile.TemporaryDirectory() as d, open(os.path.join(d, "log"), "w") as log, Instance() as t:
        model = os.path.join(d, "filler.gguf")
        add_numbers(os.path.join(os.environ["TRESOR_DEPS"], "share/starter/smollm2.gguf"), model, GAP)
        t.must("pull", "file:" + model, "--as", "filler")
        with open(os.path.join(t.data, "tresor.conf"), "w") as f:
            f.write("context = 8192\nkeep_alive_s = -1\ngpu = off\n")
        try:
            t.start()
            t.add_user("u@example.org", "admin")
            servers = [Server("Tresor", t.port, t.key("u@example.org").split()[-1])]
            servers[0].fill("a", "b", [])
            end = time.monotonic() + 60  # it measures the machine once, when it is idle
            while "measured" not in t.must("show", "filler") and time.monotonic() < end:
                time.sleep(1)
            for label, args in (("llama-server", ()), ("llama-server, editor's", EDITOR)):
                process, server = start_llama(label, model, o.threads, log, args)
                processes.append(process)
                servers.append(server)
            meter = Meter([t.process.pid, *(x.pid for x in processes)])
            figures = rounds(servers, o.rounds)
            others = meter.share()
        finally:
            for process in processes:
                process.kill()
            t.stop()
    labels = [s.label for s in servers]
    print(f"{o.rounds} rounds, {o.threads} threads, {platform.processor() or platform.machine()}, others used "
          f"{100 * others:.0f} % of the CPUs\n")
    print(table(figures, labels))
    if o.json:
        with open(o.json, "w") as f:
            json.dump({"rounds": o.rounds, "threads": o.threads, "others": others, "figures": figures}, f, indent=1)


if __name__ == "__main__":
    main()
