#!/usr/bin/env python3
"""One user, one model: Tresor's engine against llama-server, same library, threads and context.

Both run at the same time but only one works at a time: each round asks one, then the other, in
changing order. Prompts differ from round to round, so that no cache helps either side. Prints
tokens per second (after the first token) and time to first token with median and spread, and the
ratio by pairs with its 95 % interval (bootstrap).

Without --tresor the engine is driven over its IPC (engine_bench); with --tresor URL --key KEY
--name MODEL the whole stack is measured over HTTP, as llama-server always is.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
import urllib.parse

from cases import prompt_of
from client import Ask, Failed, ask_all
from machine import BUSY, Meter, wait_quiet
from sides import LlamaServer
from stats import interval, ratios, spread


class Http:
    """A streaming client of an OpenAI-type or llama-server completion route."""

    def __init__(self, url, name, key=None, chat=False):
        u = urllib.parse.urlparse(url)
        self.address = u.hostname, u.port
        self.name, self.key, self.chat = name, key, chat

    def ask(self, prompt, n, seed):
        body = {"stream": True, "temperature": 0, "seed": seed, "max_tokens": n}
        if self.chat:
            path = "/v1/chat/completions"
            body["messages"] = [{"role": "user", "content": prompt}]
            body["model"] = self.name
            body["stream_options"] = {"include_usage": True}
        else:
            path = "/completion"
            body.update({"prompt": prompt, "n_predict": n, "cache_prompt": True, "repeat_penalty": 1.1,
                         "repeat_last_n": 64, "top_k": 40, "top_p": 0.9, "min_p": 0})
        answer, = ask_all([Ask(self.address, body, self.key, path)])
        return {"ttft": answer.first_s * 1e3, "rate": answer.rate, "tokens": answer.tokens, "text": answer.text}


class Engine:
    """The engine over its IPC."""

    def __init__(self, program, model, threads, n_seq, n_ctx):
        self.p = subprocess.Popen([program, model, str(threads), str(n_seq), str(n_ctx)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.info = json.loads(self.p.stdout.readline())

    def ask(self, prompt, n, seed, chat=False):
        line = {"prompt": json.dumps([{"role": "user", "content": prompt}]) if chat else prompt, "n_predict": n,
                "seed": seed, "person": seed, "chat": chat}
        self.p.stdin.write(json.dumps(line) + "\n")
        self.p.stdin.flush()
        a = json.loads(self.p.stdout.readline())
        if not a["ok"]:
            raise SystemExit(f"engine: {a}")
        return {"ttft": a["ttft_ms"], "rate": (a["tokens"] - 1) / a["answer_ms"] * 1e3 if a["tokens"] > 1 else 0,
                "tokens": a["tokens"], "text": a["text"]}


def measured(ask, more, wait_s):
    """One measurement on a quiet machine: repeated while others take more than BUSY of the CPUs."""
    until = time.time() + wait_s
    while True:
        wait_quiet(until, more)
        meter = Meter(more)
        got = ask()
        got["others"] = meter.share()
        if got["others"] < BUSY or time.time() > until:
            return got


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--model", required=True)
    ap.add_argument("--llama-server", required=True)
    ap.add_argument("--engine-bench")
    ap.add_argument("--tresor", help="address of a running Tresor")
    ap.add_argument("--key", default=os.environ.get("TRESOR_KEY"))
    ap.add_argument("--name", help="the model's name there")
    ap.add_argument("--threads", type=int, default=os.cpu_count())
    ap.add_argument("--rounds", type=int, default=15)
    ap.add_argument("--tokens", type=int, default=128)
    ap.add_argument("--prompt-words", type=int, nargs="*", default=[8, 300])
    ap.add_argument("--n-seq", type=int, default=0)
    ap.add_argument("--n-ctx", type=int, default=0)
    ap.add_argument("--server-args", default="", help="more arguments for llama-server")
    ap.add_argument("--json", help="write the figures to this file")
    ap.add_argument("--seed", type=int, default=7)
    ap.add_argument("--wait", type=int, default=60, help="seconds to wait for a quiet machine, a measurement")
    ap.add_argument("--pid", type=int, nargs="*", default=[], help="with --tresor: its keeper, so that its own "
                    "CPU time is not taken for somebody else's")
    a = ap.parse_args()

    server = LlamaServer(a.llama_server, a.model, a.threads, a.server_args.split())
    try:
        server.start()
        if a.tresor:
            ours = Http(a.tresor, a.name, a.key, chat=True)
        else:
            ours = Engine(a.engine_bench, a.model, a.threads, a.n_seq, a.n_ctx)
            print("engine:", json.dumps(ours.info))
        theirs = Http(f"http://127.0.0.1:{server.port}", "x", chat=bool(a.tresor))
        result = {}
        for words in a.prompt_words:
            rng = random.Random(a.seed + words)
            rows = {"tresor": [], "llama-server": []}
            for i in range(a.rounds + 1):
                prompt = prompt_of(rng, words)
                order = [("tresor", ours), ("llama-server", theirs)]
                if i % 2:
                    order.reverse()
                for k, (name, client) in enumerate(order):
                    tries = iter(range(1, 10**6))

                    def once():  # a repeated try gets a prompt nobody has read
                        n = next(tries)
                        return client.ask(prompt if n == 1 else f"{n} {prompt}", a.tokens, i + 1 + 1000 * n)
                    got = measured(once, a.pid, a.wait)
                    if i:  # the first round warms both up
                        rows[name].append(got)
            print(f"\n{os.path.basename(a.model)}, prompt of {words} words, {a.tokens} tokens, {a.rounds} rounds,"
                  f" {a.threads} threads")
            print(f"{'':14}{'tokens/s':>10}{'min':>8}{'max':>8}{'first ms':>10}{'min':>8}{'max':>8}")
            for name, r in rows.items():
                rate, ttft = [x["rate"] for x in r], [x["ttft"] for x in r]
                print("{:14}{:10.1f}{:8.1f}{:8.1f}{:10.2f}{:8.2f}{:8.2f}".format(name, *spread(rate), *spread(ttft)))
            ratio = ratios(*([x["rate"] for x in rows[k]] for k in ("tresor", "llama-server")))
            diff = [x["ttft"] - y["ttft"] for x, y in zip(rows["tresor"], rows["llama-server"])]
            lo, hi = interval(ratio)
            dlo, dhi = interval(diff)
            noisy = sum(x["others"] > BUSY for r in rows.values() for x in r)
            if noisy:
                print(f"{noisy} of {2 * a.rounds} measurements while other programs used the machine")
            same = sum(x["text"] == y["text"] for x, y in zip(rows["tresor"], rows["llama-server"]))
            print(f"tokens/s ratio {statistics.median(ratio):.3f} (95 % {lo:.3f} to {hi:.3f}); first token"
                  f" {statistics.median(diff):+.2f} ms (95 % {dlo:+.2f} to {dhi:+.2f}); same text in {same} of {a.rounds}")
            result[str(words)] = {"ratio": statistics.median(ratio), "ratio_95": [lo, hi],
                                  "first_ms": statistics.median(diff), "first_ms_95": [dlo, dhi], "rows": {
                k: [{"rate": x["rate"], "ttft": x["ttft"], "tokens": x["tokens"]} for x in v] for k, v in rows.items()}}
        if a.json:
            with open(a.json, "w") as f:
                json.dump(result, f, indent=1)
    finally:
        server.stop()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as e:
        sys.exit(f"compare.py: {e}")
