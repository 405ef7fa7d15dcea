#!/usr/bin/env python3
"""How long a list of many models takes.

  list.py [--models 1000] [--rounds 21] [--binary build/tresor] [--json FILE]
The data directory gets so many names (manifests and what the check found, copied from one real model under other names
and tags) before the server starts. Then, in turn: `tresor list` as a command, from start to end; GET /api/tags, and
GET /team/v1/models, each on a connection of its own."""
import argparse, hashlib, json, os, pathlib, statistics, subprocess, sys, time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/lib"), str(ROOT / "bench/serving")]
from tresor import Instance  # noqa: E402
import machine  # noqa: E402


def multiply(manifests, n):
    """n names beside the one that is there: each with a manifest, and so a digest, of its own."""
    source = next(p for p in manifests.rglob("*") if p.is_file() and ".meta" not in p.parts)
    text = source.read_text()
    meta = (manifests / ".meta" / (hashlib.sha256(text.encode()).hexdigest() + ".json")).read_text()
    for i in range(n):
        folder = manifests / "registry.ollama.ai/library" / f"model{i // 4}"
        folder.mkdir(parents=True, exist_ok=True)
        mine = text + " " * (i + 1)  # the same model, another digest
        (folder / f"tag{i % 4}").write_text(mine)
        (manifests / ".meta" / (hashlib.sha256(mine.encode()).hexdigest() + ".json")).write_text(meta)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--models", type=int, default=1000)
    p.add_argument("--rounds", type=int, default=21)
    p.add_argument("--binary")
    p.add_argument("--json")
    a = p.parse_args()
    with Instance(binary=a.binary) as i:
        i.start()
        i.with_model()
        i.add_user("o@example.org", "owner")
        key = i.key("o@example.org", "models.read")
        i.stop()
        multiply(pathlib.Path(i.data) / "models/manifests", a.models - 1)
        begin = time.monotonic()
        i.start()
        start = time.monotonic() - begin
        times = {"tresor list": [], "/api/tags": [], "/team/v1/models": []}
        for _ in range(a.rounds):
            begin = time.monotonic()
            out = subprocess.run([i.binary, "list", "--data", i.data], env=i.env, stdout=subprocess.PIPE, check=True).stdout
            times["tresor list"].append((time.monotonic() - begin) * 1000)
            assert len(out.splitlines()) == a.models + 1
            for path in ("/api/tags", "/team/v1/models"):
                begin = time.monotonic()
                status, reply = i.api("GET", path, key=key)
                times[path].append((time.monotonic() - begin) * 1000)
                assert status == 200 and len(reply["models"]) == a.models
    for what, ms in times.items():
        print(f"{what:<16} {statistics.median(ms):6.1f} ms ({min(ms):.1f}..{max(ms):.1f}), {a.models} models, {a.rounds} rounds")
    print(f"start to ready   {start * 1000:6.0f} ms")
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump({"machine": machine.facts(), "models": a.models, "ms": times, "start_ms": start * 1000}, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
