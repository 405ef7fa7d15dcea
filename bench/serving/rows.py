#!/usr/bin/env python3
"""What it costs to let libllama set aside few rows of logits: the bare loop with 40 and with 512, in turn.

usage: bench/serving/rows.py [--rounds N] [--model FILE.gguf]   (see README.md for what it needs)
Eight texts of 44 tokens behind a shared one of 1,100 are read, then answered with 128 tokens each.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from cases import Material

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROWS, ANSWER = (40, 512), 128


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--rounds", type=int, default=10)
    ap.add_argument("--model")
    ap.add_argument("--bare-loop", default=str(ROOT / "build/src/engine/bare_loop"))
    a = ap.parse_args()
    prefix = subprocess.run([sys.executable, str(ROOT / "tools/deps.py"), "--key"], stdout=subprocess.PIPE, text=True,
                            check=True).stdout.strip()
    model = a.model or os.path.join(prefix, "share/starter/smollm2.gguf")
    m, got = Material(1), {rows: [] for rows in ROWS}
    shared = m.text(1100)
    with tempfile.NamedTemporaryFile("w") as f:
        f.write("\0".join(f"{shared}\n{m.text(44)}" for _ in range(8)))
        f.flush()
        for r in range(a.rounds):
            for rows in ROWS[::1 if r % 2 else -1]:
                done = subprocess.run([a.bare_loop, model, str(os.cpu_count()), "off", "unified", "16384", f.name,
                                       str(ANSWER), "100000", str(rows)], stdout=subprocess.PIPE, text=True, check=True)
                d = json.loads(done.stdout)
                got[rows].append((d["read_seconds"], 1e3 * (d["seconds"] - d["read_seconds"]) / (ANSWER - 1)))
    for rows, figures in got.items():
        read, step = zip(*figures)
        print(f"{rows:4} rows: read {statistics.median(read):.2f} s ({min(read):.2f} to {max(read):.2f}), "
              f"step {statistics.median(step):.1f} ms ({min(step):.1f} to {max(step):.1f})")


if __name__ == "__main__":
    main()
