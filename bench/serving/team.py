#!/usr/bin/env python3
"""Every row of the team's table: Tresor against llama-server from the same pinned source.

One run, alternating sides, a new random text every round. Starts everything itself. Writes
bench/results/serving-MODEL-CPU.json and .md after every case; bench/serving/README.md says more.
"""
import argparse
import datetime
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import report
from cases import CASES, LAYER, Material, by_names, layer_jobs, poisson_jobs
from client import Failed
from machine import BUSY, Meter, facts, slug, wait_quiet
from sides import BareLoop, LlamaServer, Tresor, Variant, tresor_conf

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENOUGH = 0.97  # of the tokens asked for; below, other questions are asked
TRIES = 3
# A setting that takes so many times as long as the fastest so far is given up: at once where the figure is the speed of
# the whole, late where it is another (its first part may be slow, and the figure the best).
SLOWER, SLOWEST = 1.15, 3
LOAD = 0.8     # of the default's capacity: the rate of Poisson arrivals
USERS = 34     # the loader, and 33 who ask


def say(*words):
    print(*words, flush=True)


def flags(variant):
    return " ".join(variant.args())


def full(f):
    """How much of the tokens asked for came."""
    return f["tokens"] / f["wanted"] if "wanted" in f else 1


class Bench:
    def __init__(self, a):
        self.a = a
        self.words_per_token, self.rate, self.trained = 1.0, None, 0
        self.tresor = Tresor(a.tresor, a.model_path, USERS, tresor_conf(a.cells, a.sequences), a.share_field)
        self.result = {"date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"), "machine": facts(),
                       "versions": {}, "cases": {}, "settings": {
                           "model": a.model, "seed": a.seed, "rounds": a.rounds, "threads": a.threads,
                           "cells": a.cells, "sequences": a.sequences, "quick": a.quick, "scale": a.scale,
                           "share_field": a.share_field}}
        self.earlier = self.kept() if a.cases else {}

    def base(self):
        return os.path.join(self.a.out, f"serving-{self.a.model}-{slug(self.result['machine']['cpu'])}")

    def kept(self):
        """Cases of an earlier run on this machine with these settings: a run of some cases leaves the others."""
        try:
            with open(self.base() + ".json") as f:
                old = json.load(f)
        except OSError:
            return {}
        same = old["machine"]["cpu"] == self.result["machine"]["cpu"] and all(
            old["settings"].get(k) == v for k, v in self.result["settings"].items())
        return old["cases"] if same else {}

    def llama(self, variant=Variant(), label="default"):
        return LlamaServer(self.a.llama_server, self.a.model_path, self.a.threads, variant.args(), label)

    def material(self, *what):
        m = Material("/".join(map(str, (self.a.seed, *what))), self.words_per_token, self.a.scale)
        m.rate = self.rate
        return m

    def calibrate(self, cases):
        """How long a token is, what the library calls itself, and how many people the machine carries."""
        server = self.llama()
        server.start()
        try:
            text = Material(1).text(1000)
            self.words_per_token = len(text.split()) / server.tokens(text)
            self.tresor.ends, self.trained = server.ends(), server.n_trained()
            self.result["versions"] = {"llama-server": server.facts()["build"],
                                       "tresor": self.tresor.instance.must("version")}
            if any(c.name == "poisson32" for c in cases):
                jobs = poisson_jobs(self.material("capacity"), None)
                start = time.monotonic()
                server.ask(*jobs)
                self.rate = LOAD * len(jobs) / (time.monotonic() - start)
        finally:
            server.stop()

    # ---- one measurement ----

    def measure(self, side, case, r, run=None, limit_s=None):
        """Repeated with other questions while answers end early or others disturb: the fullest one counts, of
        those that are full the least disturbed."""
        got = []
        for attempt in range(TRIES):
            m = self.material(case.name, r, attempt)
            wait_quiet(time.time() + self.a.wait)
            if limit_s:
                side.until = time.monotonic() + limit_s
            meter = Meter()
            start = time.monotonic()
            try:
                f = (run or case.run)(side, m)
            except Failed:
                if got:
                    break
                raise
            f["seconds"] = time.monotonic() - start
            f["others"] = meter.share()
            got.append(f)
            if full(f) >= ENOUGH and f["others"] <= BUSY:
                break
        f = max(got, key=lambda f: (min(full(f), ENOUGH), -f["others"]))
        f["tries"] = len(got)
        say(f"  {case.name} {r} {side.label}: " + ", ".join(
            f"{k} {report.number(v)}" for k, v in f.items() if isinstance(v, (int, float))))
        return f

    def started(self, side, case):
        side.start()
        if case.setup:
            case.setup(side, self.material(case.name, "setup"))

    # ---- the best llama-server ----

    def variant(self, case, parallel, unified, flash, cache_ram=None, ubatch=None):
        least = 0 if case.cells else (1024 if parallel > 8 else 2048) * parallel
        return Variant(parallel, unified, flash, cache_ram, ubatch,
                       self.a.cells if unified else max(self.a.cells, least))

    def tried(self, case, variants, grid):
        """Runs the case once with each; a setting with which it fails, or takes too long, is left out."""
        for v in variants:
            side = self.llama(v, flags(v))
            fastest = min((f["seconds"] for figures in grid.values() for f in figures), default=None)
            slower = SLOWER if any(row.figure == "tps" for row in case.rows) else SLOWEST
            try:
                self.started(side, case)
                f = self.measure(side, case, f"grid{len(grid.get(v, ()))}", limit_s=fastest and slower * fastest + 1)
                grid.setdefault(v, []).append(f)
            except Failed as e:
                say(f"  {flags(v)}: {e}")
            finally:
                side.stop()

    def ranked(self, row, grid):
        """Variants by their mean so far, the best first; those measured twice before the rest."""
        def value(v):
            x = sum(f[row.figure] for f in grid[v]) / len(grid[v])
            return -len(grid[v]), -x if row.high else x
        return sorted(grid, key=value)

    def stages(self, case, grid):
        """Which settings to try next: layout and attention, then more sequences, then cache and batch."""
        few, many = case.parallel[0], case.parallel[-1]
        if self.a.quick:
            yield [self.variant(case, many, True, "off"), self.variant(case, many, False, "on"),
                   self.variant(case, few, True, "on", ubatch=128)]
            return
        if not self.a.full_grid:
            yield [self.variant(case, *c) for c in (
                (few, True, "on"), (few, False, "off"), (few, False, "on"), (many, False, "on"), (many, False, "off"))]
            yield [self.variant(case, t.parallel, t.unified, t.flash, ram, ub) for t in self.tops(case, grid)
                   for ram, ub in ((0, None), (None, 128))]
            return
        parallel = case.parallel[1:2] if case.long else case.parallel[:2]
        yield [self.variant(case, *c) for c in itertools.product(parallel, (True, False), ("on", "off"))]
        yield [self.variant(case, p, t.unified, t.flash) for t in self.tops(case, grid)
               for p in case.parallel if p not in parallel]
        yield [self.variant(case, t.parallel, t.unified, t.flash, ram, ub) for t in self.tops(case, grid)
               for ram, ub in ((0, None), (None, 128), (0, 128))]
        yield self.tops(case, grid, 2)  # once more, so that the choice does not hang on one figure

    def tops(self, case, grid, n=1):
        return sorted({v for row in case.rows for v in self.ranked(row, grid)[:n]}, key=flags)

    def search(self, case):
        """{figure: variant} and the grid's figures."""
        if self.a.no_grid:
            fixed = self.variant(case, case.parallel[-1], True, "off")
            return {row.figure: fixed for row in case.rows}, []
        grid = {}
        for variants in self.stages(case, grid):
            self.tried(case, variants, grid)
            if not grid:
                raise Failed("no setting of llama-server got through the case")
        figures = [{"flags": flags(v), "figures": f} for v, f in grid.items()]
        return {row.figure: self.ranked(row, grid)[0] for row in case.rows}, figures

    # ---- a case ----

    def rounds(self, case):
        return 1 if self.a.quick else min(max(self.a.rounds, case.least_rounds), case.most_rounds or 1000)

    def alternate(self, case, sides, out, run=None):
        """Rounds over all sides, the order turning; figures go to out["rounds"]."""
        for r in range(self.rounds(case)):
            k = r % len(sides)
            for side in sides[k:] + sides[:k]:
                if case.alone:
                    self.started(side, case)
                out["rounds"][side.label].append(self.measure(side, case, r, run))
                if case.alone:
                    side.stop()

    def run_case(self, case, out):
        start = time.monotonic()
        best, out["grid"] = self.search(case) if case.others else ({}, [])
        out["grid_minutes"] = round((time.monotonic() - start) / 60, 2)
        out["best"] = {figure: flags(v) for figure, v in best.items()}
        sides = [self.tresor]
        if case.others:
            cells = Variant(cells=self.a.cells) if case.cells else Variant()
            sides += [self.llama(cells)] + [self.llama(v, flags(v)) for v in dict.fromkeys(best.values())]
        out["rounds"] = {s.label: [] for s in sides}
        try:
            if not case.alone:
                for s in sides:
                    self.started(s, case)
                out["facts"] = {s.label: s.facts() for s in sides}
            self.alternate(case, sides, out)
        finally:
            for s in sides:
                s.stop()

    def run_layer(self, case, out):
        """The bare loop gets what llama-server makes of the same messages, as many cells, and as many tokens read
        before as Tresor found read (the rest is each person's own). The first round says which attention is the better
        one; from then on the sides follow each other at once."""
        server, cached = self.llama(), {}
        loops = [BareLoop(self.a.bare_loop, self.a.model_path, self.a.threads, f, self.a.cells) for f in ("on", "off")]

        def run(side, m):
            if side is self.tresor:
                f = case.run(side, m)
                cached["each"] = f["cached"] // 8
                return f
            _, *jobs = layer_jobs(m)
            prompts = [server.rendered(j[1]) for j in jobs]
            done = [(loop.run(prompts, jobs[0][2], cached["each"]), loop) for loop in loops]
            fast, loops[:] = min(((d["seconds"], d, [loop]) for d, loop in done), key=lambda x: x[0])[1:]
            return {**fast, "flash": loops[0].flash, "tps": fast["tokens"] / fast["seconds"], "wanted": fast["tokens"]}
        out["rounds"] = {"tresor": [], "bare": []}
        try:
            server.start()
            self.tresor.start()
            self.alternate(case, [self.tresor, loops[0]], out, run)
        finally:
            server.stop()
            self.tresor.stop()

    def run(self, cases):
        self.calibrate(cases)
        for case in cases:
            if self.trained < case.positions:
                say(f"{case.name}: left out, the model was trained for {self.trained} positions")
                continue
            say(f"{case.name}:")
            self.tresor.configure(tresor_conf(case.tresor_cells or self.a.cells, self.a.sequences))
            start, out = time.monotonic(), {"rounds": {}}
            self.result["cases"][case.name] = out
            if case.name == "poisson32":
                out["arrivals_per_s"] = self.rate
            out["date"] = datetime.datetime.now().astimezone().isoformat(timespec="minutes")
            try:
                (self.run_layer if case is LAYER else self.run_case)(case, out)
            except (Failed, OSError, subprocess.SubprocessError) as e:
                out["failed"] = f"{type(e).__name__}: {e}"
                say("  failed:", out["failed"])
            out["minutes"] = round((time.monotonic() - start) / 60, 2)
            self.write()
            say("\n".join(["", *report.table(self.result, [case])[1], ""]))
        return 1 if any(c.get("failed") for c in self.result["cases"].values()) else 0

    def write(self):
        done = [*CASES, LAYER]
        result = {**self.result, "cases": {**self.earlier, **self.result["cases"]}}
        result["table"], _ = report.table(result, done)
        os.makedirs(self.a.out, exist_ok=True)
        with open(self.base() + ".json", "w") as f:
            json.dump(result, f, indent=1)
            f.write("\n")
        with open(self.base() + ".md", "w") as f:
            f.write(report.document(result, done))


def arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--model", default="smollm2", help="smollm2, gemma3-270m or a GGUF file")
    ap.add_argument("--cases", help="names, separated by commas; all if left out")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--quick", action="store_true", help="one round, a grid of three")
    ap.add_argument("--no-grid", action="store_true", help="one fixed setting instead of a search for the best")
    ap.add_argument("--full-grid", action="store_true", help="all combinations instead of those that were best before")
    ap.add_argument("--seed", type=int, default=7)
    ap.add_argument("--threads", type=int, default=os.cpu_count(),
                    help="of llama-server and the bare loop; Tresor takes one a core")
    ap.add_argument("--cells", type=int, default=16384, help="KV cells of Tresor and of the best llama-server")
    ap.add_argument("--sequences", type=int, default=0, help="of Tresor; 0: its own choice")
    ap.add_argument("--share-field", action=argparse.BooleanOptionalAction, default=True,
                    help="mark the shared text as the company's")
    ap.add_argument("--wait", type=float, default=10, help="seconds to wait for a quiet machine, a measurement")
    ap.add_argument("--scale", type=float, default=1, help="of all lengths; other than 1 only tries the bench itself")
    ap.add_argument("--out", default=str(ROOT / "bench/results"))
    ap.add_argument("--tresor", default=str(ROOT / "build/tresor"))
    ap.add_argument("--bare-loop", default=str(ROOT / "build/src/engine/bare_loop"))
    ap.add_argument("--llama-server", help="default: that of tools/deps --with llama-server")
    a = ap.parse_args()
    prefix = subprocess.run([sys.executable, str(ROOT / "tools/deps.py"), "--key"], stdout=subprocess.PIPE, text=True,
                            check=True).stdout.strip()
    a.llama_server = a.llama_server or os.path.join(prefix, "bench/llama-server")
    a.model_path = a.model if a.model.endswith(".gguf") else os.path.join(prefix, f"share/starter/{a.model}.gguf")
    a.model = os.path.basename(a.model_path).removesuffix(".gguf")
    for path in (a.llama_server, a.model_path, a.tresor, a.bare_loop):
        if not os.path.exists(path):
            ap.error(f"{path} is not there (see bench/serving/README.md)")
    if a.cells < 1:
        ap.error("--cells must be at least 1: both sides get the same number")
    return a


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    a = arguments()
    cases = by_names(a.cases.split(",")) if a.cases else [*CASES, LAYER]
    bench = Bench(a)
    try:
        return bench.run(cases)
    finally:
        bench.tresor.close()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as e:
        sys.exit(f"team.py: {e}")
