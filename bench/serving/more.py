#!/usr/bin/env python3
"""What the team's table does not show: several models at once, and guessed tokens.

residents  three models are resident and answer in turn: no reload, no other process
together   two models answer at the same time: tokens/s of each against alone
drafts     a text to be repeated: tokens/s with guessed tokens and without (strict), and whether the answers differ
crowded    eight people beside a program that wants a core for itself, and without it; llama-server by default likewise

Writes bench/results/serving-more.md and .json.
"""
import argparse
import datetime
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from cases import Material, user
from client import Ask, Failed, ask_all
from machine import Meter, facts, slug, wait_quiet
from sides import LlamaServer
from stats import spread

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/lib"))
from tresor import Instance  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = ("text", "code", "small")


def say(*words):
    print(*words, flush=True)


class World:
    """One Tresor with three models: the two starters, and the first once more in other bytes."""

    def __init__(self, prefix, tresor):
        self.prefix = prefix
        self.i = Instance(binary=tresor)
        self.i.start()
        self.i.add_user("b@example.org", "owner")
        self.key = self.i.key("b@example.org", "chat,models.read,models.change").split()[-1]
        for name, file in (("text", "smollm2.gguf"), ("code", "gemma3-270m.gguf")):
            self.i.must("pull", f"file:{prefix}/share/starter/{file}", "--as", name)
        self.third(f"{prefix}/share/starter/smollm2.gguf")

    def third(self, path):
        """Other bytes, so another digest and an engine of its own: padding behind the last tensor."""
        data = open(path, "rb").read() + b"\0" * 32
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        status, body, _ = self.i.request("POST", "/api/blobs/" + digest, data, {"Authorization": "Bearer " + self.key}, raw=True)
        assert status == 201, body
        status, r = self.i.api("POST", "/api/create", {"model": "small", "files": {"m.gguf": digest}, "stream": False}, key=self.key)
        assert status == 200, r

    def engines(self):
        children = open(f"/proc/{self.i.process.pid}/task/{self.i.process.pid}/children").read().split()
        return sorted(int(c) for c in children if "engine" in open(f"/proc/{c}/cmdline").read())

    def ask(self, model, text, n, **more):
        return Ask(("127.0.0.1", self.i.port), {
            "model": model, "messages": [user(text)], "max_tokens": n, "stream": True, "temperature": 0, "seed": 1,
            "stream_options": {"include_usage": True}, "repeat_penalty": 1.0, **more}, self.key)

    def close(self):
        self.i.__exit__()


def residents(w, m, rounds):
    for name in NAMES:
        ask_all([w.ask(name, m.question(), 8)])
    before, first = w.engines(), []
    for _ in range(rounds):
        for name in NAMES:
            a, = ask_all([w.ask(name, m.question(), 8)])
            first.append(a.first_s)
    return {"engines": len(before), "same_processes": w.engines() == before, "first_s": spread(first)}


def together(w, m, rounds):
    """Each of two models with 4 people, alone and at the same time."""
    def rate(*names):
        jobs = [w.ask(n, m.question(), 64, logit_bias={str(t): -100 for t in (0, 1, 2, 106)}) for n in names for _ in range(4)]
        start = time.perf_counter()
        answers = ask_all(jobs)
        return sum(a.tokens for a in answers) / (max(a.times[-1] for a in answers) - start)
    alone, both = [], []
    for _ in range(rounds):
        wait_quiet(time.time() + 5)
        # The same work one after the other, and at the same time.
        a, b = rate("text"), rate("code")
        alone.append(2 / (1 / a + 1 / b))
        both.append(rate("text", "code"))
    return {"one_after_the_other": spread(alone), "at_once": spread(both),
            "ratio": statistics.median(b / a for a, b in zip(alone, both))}


def drafts(w, m, rounds):
    plain, guessed, equal = [], [], 0
    for _ in range(rounds):
        wait_quiet(time.time() + 5)
        text = m.text(120)
        ask = f"Repeat this text word for word:\n{text}\n\nNow the text again:\n{text}\n\nAnd once more:"
        g, = ask_all([w.ask("text", ask, 160)])
        p, = ask_all([w.ask("text", ask, 160, strict=True)])
        guessed.append(g.rate)
        plain.append(p.rate)
        equal += g.text == p.text
    status, body, _ = w.i.request("GET", "/metrics", None, {"Authorization": "Bearer " + w.i.key("b@example.org", "metrics").split()[-1]})
    counts = {k: sum(float(line.split()[-1]) for line in body.decode().splitlines() if line.startswith(k))
              for k in ("tresor_model_drafted_tokens_total", "tresor_model_accepted_tokens_total")} if status == 200 else {}
    return {"with": spread(guessed), "without": spread(plain), "ratio": statistics.median(g / p for g, p in zip(guessed, plain)),
            "equal_answers": equal, "of": rounds, **counts}


NOTICED_S, CROWDED_MOST_S = 4, 60  # the keeper looks four times a second; an answer that takes longer counts as that


def crowded(w, m, rounds):
    """tokens/s of eight people; a program that spins takes one core from the machine."""
    server = LlamaServer(f"{w.prefix}/bench/llama-server", f"{w.prefix}/share/starter/smollm2.gguf", os.cpu_count())

    def ours():
        return [w.ask("text", m.question(), 32, logit_bias={"0": -100, "2": -100}) for _ in range(8)]

    def theirs():
        return [server.request(i, [user(m.question())], 32) for i in range(8)]

    def rate(jobs):
        start = time.perf_counter()
        try:
            answers = ask_all(jobs, timeout_s=CROWDED_MOST_S)
        except Failed:
            return 8 * 32 / CROWDED_MOST_S
        return sum(a.tokens for a in answers) / (max(a.times[-1] for a in answers) - start)
    sides = {"tresor": ours, "llama-server": theirs}
    got = {name: {"quiet": [], "beside": []} for name in sides}
    server.start()
    try:
        for k in range(rounds):
            for name in list(sides)[::1 if k % 2 else -1]:
                wait_quiet(time.time() + 5)
                got[name]["quiet"].append(rate(sides[name]()))
                with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as spinner:
                    try:
                        if name == "tresor":  # it is noticed while somebody asks
                            ask_all([w.ask("text", m.question(), 400)], timeout_s=CROWDED_MOST_S)
                        else:
                            time.sleep(NOTICED_S)
                        got[name]["beside"].append(rate(sides[name]()))
                    finally:
                        spinner.kill()
    finally:
        server.stop()
    return {name: {"quiet": spread(g["quiet"]), "beside": spread(g["beside"]),
                   "kept": statistics.median(b / q for q, b in zip(g["quiet"], g["beside"]))} for name, g in got.items()}


def document(result):
    m, r = result["machine"], result["parts"]
    out = ["# Serving: several models, guessed tokens", "",
           f"{result['date']}, {m['cpu']}, {m['cores']} cores, {m['memory_gib']} GiB. {result['tresor']}. "
           f"{result['rounds']} rounds; median (smallest..largest). Others took at most {result['others']:.0%} of the CPUs.", ""]

    def s(x, unit=""):
        return f"{x[0]:.3g} ({x[1]:.3g}..{x[2]:.3g}){unit}"
    if "residents" in r:
        p = r["residents"]
        out += [f"- Three models in turn: {p['engines']} engines, {'the same' if p['same_processes'] else 'NOT the same'} "
                f"processes afterwards; first token {s(p['first_s'], ' s')}."]
    if "together" in r:
        p = r["together"]
        out += [f"- Two models with four people each: {s(p['at_once'])} tokens/s at once, {s(p['one_after_the_other'])} for the "
                f"same work one after the other: {p['ratio']:.2f} x."]
    if "drafts" in r:
        p = r["drafts"]
        out += [f"- A text to be repeated, one person: {s(p['with'])} tokens/s with guessed tokens, {s(p['without'])} without "
                f"(strict): {p['ratio']:.2f} x; {p['equal_answers']} of {p['of']} answers are the same bytes; "
                f"{p.get('tresor_model_accepted_tokens_total', 0):.0f} of {p.get('tresor_model_drafted_tokens_total', 0):.0f} "
                "guesses were right."]
    if "crowded" in r:
        for name, p in r["crowded"].items():
            out += [f"- Eight people beside a program that wants a core, {name}: {s(p['beside'])} tokens/s, {s(p['quiet'])} without "
                    f"it: {p['kept']:.0%} are left."]
    return "\n".join(out) + "\n"


def main():
    parts = {"residents": residents, "together": together, "drafts": drafts, "crowded": crowded}
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--parts", default=",".join(parts))
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--tresor", default=str(ROOT / "build/tresor"))
    ap.add_argument("--out", default=str(ROOT / "bench/results"))
    a = ap.parse_args()
    prefix = subprocess.run([sys.executable, str(ROOT / "tools/deps.py"), "--key"], stdout=subprocess.PIPE, text=True,
                            check=True).stdout.strip()
    w, m = World(prefix, a.tresor), Material(7, 0.85)
    result = {"date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"), "machine": facts(), "rounds": a.rounds,
              "tresor": w.i.must("version").strip(), "parts": {}, "others": 0}
    try:
        for name in a.parts.split(","):
            meter = Meter()
            result["parts"][name] = parts[name](w, m, a.rounds)
            result["others"] = max(result["others"], meter.share())
            say(name, json.dumps(result["parts"][name]))
    finally:
        w.close()
    os.makedirs(a.out, exist_ok=True)
    base = os.path.join(a.out, "serving-more-" + slug(result["machine"]["cpu"]))
    with open(base + ".json", "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    with open(base + ".md", "w") as f:
        f.write(document(result))


if __name__ == "__main__":
    main()
