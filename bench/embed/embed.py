#!/usr/bin/env python3
"""Vectors per second: Tresor's whole stack against llama-server --embedding of the same build.

usage: bench/embed/embed.py [--rounds N] [--threads N] [--json FILE]
Needs TRESOR_BIN (a release build) and TRESOR_DEPS with llama-server (tools/deps --with llama-server).
Both serve all-MiniLM-L6-v2 in float32 over HTTP at the same time, but only one works at a time: each
round asks one, then the other, in changing order, with texts that no round had before. Prints median
and spread of texts/s, the ratio by pairs, and how far the vectors of both are apart.
"""
import argparse
import concurrent.futures
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
sys.path[:0] = [os.path.join(ROOT, "tests/lib"), os.path.join(ROOT, "tests/embed")]
import bert  # noqa: E402
from tresor import Instance, free_port  # noqa: E402

WORDS = ("time house river green letter bridge paper garden winter summer music stone table window road "
         "market village forest island story number engine copper silver morning evening teacher doctor").split()
# name, clients at once, requests each, texts a request, words a text
CASES = (("1 client, 1 short text a request", 1, 30, 1, 12), ("1 client, 64 texts a request", 1, 2, 64, 30),
         ("8 clients, 1 short text a request", 8, 8, 1, 12), ("8 clients, 16 texts a request", 8, 1, 16, 30),
         ("1 client, 8 long texts a request", 1, 2, 8, 320))


def call(port, key, texts):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    head = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    c.request("POST", "/v1/embeddings", json.dumps({"model": "minilm", "input": texts, "encoding_format": "base64"}),
              head)
    r = c.getresponse()
    body = r.read()
    c.close()
    if r.status != 200:
        sys.exit(f"{r.status}: {body[:300]!r}")
    return json.loads(body)["data"]


def run(port, key, batches, clients):
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda b: call(port, key, b), batches))
    return sum(map(len, batches)) / (time.perf_counter() - start)


def apart(port, key, other):
    texts = [" ".join(WORDS[i:i + 6]) for i in range(8)]

    def rows(p, k):
        import base64
        import numpy as np
        return [np.frombuffer(base64.b64decode(d["embedding"]), "<f4") for d in call(p, k, texts)]

    return max(float(abs(a - b).max()) for a, b in zip(rows(port, key), rows(other, None)))


def start_llama(model, threads, log):
    port = free_port()
    p = subprocess.Popen([os.path.join(os.environ["TRESOR_DEPS"], "bench/llama-server"), "-m", model, "--embedding",
                          "--pooling", "mean", "-t", str(threads), "--port", str(port)], stdout=log, stderr=log)
    for _ in range(600):
        try:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            c.request("GET", "/health")
            if c.getresponse().status == 200:
                return p, port
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("llama-server does not come up")


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--rounds", type=int, default=7)
    cli.add_argument("--threads", type=int, default=os.cpu_count())
    cli.add_argument("--json")
    args = cli.parse_args()
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as tmp, Instance() as i, open(os.path.join(tmp, "log"), "wb") as log:
        model = bert.load_minilm().write(os.path.join(tmp, "minilm.gguf"), bert.MEAN)
        i.start()
        i.must("pull", "file:" + model, "--as", "minilm")
        i.add_user("o@example.org", "owner")
        key = i.key("o@example.org")
        peer, port = start_llama(model, args.threads, log)
        try:
            out = {"machine": platform.processor() or platform.machine(), "threads": args.threads,
                   "rounds": args.rounds, "apart": apart(i.port, key, port), "cases": []}
            print(f"vectors differ by at most {out['apart']:.2g}")
            for name, clients, requests, texts, words in CASES:
                ours, theirs = [], []
                for r in range(args.rounds + 1):
                    sides = [(i.port, key, ours), (port, None, theirs)]
                    for p, k, to in sides if r % 2 else sides[::-1]:
                        batches = [[" ".join(rng.choice(WORDS) for _ in range(words)) for _ in range(texts)]
                                   for _ in range(clients * requests)]
                        rate = run(p, k, batches, clients)
                        if r:  # the first warms up
                            to.append(rate)
                ratio = statistics.median(a / b for a, b in zip(ours, theirs))
                row = {"case": name, "tresor": ours, "llama-server": theirs, "ratio": ratio}
                out["cases"].append(row)
                print(f"{name:36} tresor {statistics.median(ours):7.1f}/s ({min(ours):.1f}-{max(ours):.1f})  "
                      f"llama-server {statistics.median(theirs):7.1f}/s ({min(theirs):.1f}-{max(theirs):.1f})  "
                      f"ratio {ratio:.2f}", flush=True)
        finally:
            peer.terminate()
            peer.wait()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(out, f, indent=1)


main()
