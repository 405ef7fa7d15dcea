#!/usr/bin/env python3
"""Makes an engine build (src/models/builds.h): a folder with engine.so, its libraries and engine.json.

usage: engine_build.py ENGINES ENGINE_SO PREFIX [--version V --tree HASH] [--variant V] [--strip]
       engine_build.py ENGINES --current ID

Puts ENGINES/ID together from ENGINE_SO and PREFIX/lib and prints ID, which is made of what is in it:
the same parts give the same ID. Nothing that is there is touched. --current lets the link
ENGINES/current name a build.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
ID_HASH = 16


def sha256(path: pathlib.Path) -> str:
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
            else hashlib.sha256(f.read()).hexdigest()


def libraries(lib: pathlib.Path) -> dict[str, pathlib.Path]:
    """Name at run time -> file. A library of several names (X.so, X.so.0, X.so.0.5) is wanted by its
    soname, the one with a single number; a module without numbers by its own."""
    names: dict[pathlib.Path, list[str]] = {}
    for path in sorted(lib.glob("*.so*")):
        if not path.name.endswith(".debug"):
            names.setdefault(path.resolve(), []).append(path.name)
    return {next((n for n in all_ if re.search(r"\.so\.\d+$", n)), all_[0]): real
            for real, all_ in names.items()}


def protocol() -> int:
    """ENGINE_PROTO of this source tree."""
    text = (ROOT / "src/proto/engine.h").read_text(encoding="utf-8")
    return int(re.search(r"ENGINE_PROTO = (\d+)", text)[1])


def place(src: pathlib.Path, dst: pathlib.Path, strip: bool) -> None:
    """A hard link where that can be (nothing is doubled), else a copy; writable by its owner alone."""
    if strip:
        shutil.copyfile(src, dst)
        subprocess.run(["strip", "--strip-unneeded", dst], check=True)
    else:
        try:
            os.link(src, dst)
        except OSError:
            shutil.copyfile(src, dst)
    if dst.stat().st_mode & 0o022 or dst.stat().st_mode & 0o555 != 0o555:
        dst.chmod(0o755)


def pack(engines: pathlib.Path, module: pathlib.Path, prefix: pathlib.Path, facts: dict, strip: bool) -> str:
    engines.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=engines, prefix=".making-") as tmp:
        whole = pathlib.Path(tmp) / "build"
        whole.mkdir()
        shutil.copyfile(module, whole / "engine.so") # the linker writes its output in place
        if strip:
            subprocess.run(["strip", "--strip-unneeded", whole / "engine.so"], check=True)
        (whole / "engine.so").chmod(0o755)
        for name, real in libraries(prefix / "lib").items():
            place(real, whole / name, strip)
        files = {p.name: sha256(p) for p in sorted(whole.iterdir())}
        text = json.dumps({"format": 1, "proto": protocol(), **facts, "files": files}, indent=1) + "\n"
        (whole / "engine.json").write_text(text, encoding="utf-8")
        (whole / "engine.json").chmod(0o644)
        whole.chmod(0o755)
        ident = f"llama.cpp-{facts['version']}-{hashlib.sha256(text.encode()).hexdigest()[:ID_HASH]}"
        if not (engines / ident).is_dir():
            whole.rename(engines / ident)
    return ident


def current(engines: pathlib.Path) -> str:
    """What the link names; "" without one."""
    try:
        return os.readlink(engines / "current")
    except OSError:
        return ""


def make_current(engines: pathlib.Path, ident: str) -> None:
    if not (engines / ident / "engine.json").is_file():
        sys.exit(f"there is no engine build {ident} in {engines}")
    fresh = engines / f".current-{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(ident)
    fresh.rename(engines / "current")


def pinned() -> dict:
    recipe = json.loads((ROOT / "deps/llama.cpp/recipe.json").read_text(encoding="utf-8"))
    return {"version": recipe["version"], "tree": recipe["tree_sha256"]}


def main() -> int:
    cli = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    cli.add_argument("engines", type=pathlib.Path)
    cli.add_argument("module", type=pathlib.Path, nargs="?")
    cli.add_argument("prefix", type=pathlib.Path, nargs="?")
    cli.add_argument("--version")
    cli.add_argument("--tree")
    cli.add_argument("--variant", default="native")
    cli.add_argument("--strip", action="store_true")
    cli.add_argument("--current", metavar="ID")
    args = cli.parse_args()
    if args.current:
        make_current(args.engines, args.current)
        return 0
    if not args.module or not args.prefix:
        cli.error("ENGINE_SO and PREFIX are missing")
    facts = pinned()
    if args.version:
        facts = {"version": args.version, "tree": args.tree}
    print(pack(args.engines, args.module, args.prefix, {**facts, "variant": args.variant}, args.strip))
    return 0


if __name__ == "__main__":
    sys.exit(main())
