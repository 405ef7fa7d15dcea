#!/usr/bin/env python3
"""Puts beside the built program what it needs to run: its engine build, the starter models and the dictionary.

usage: link_runtime.py PREFIX BUILD ENGINE_SO STAMP     makes BUILD/engines/ID, BUILD/starter and BUILD/words

The build of this tree is current unless somebody chose another one (tools/upgrade-engine). The last
KEPT builds of this tree stay, for aliases that keep one; others are not touched.
"""
import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import engine_build  # noqa: E402

KEPT = 10


def main() -> None:
    prefix, build, module, stamp = map(pathlib.Path, sys.argv[1:5])
    engines = build / "engines"
    ident = engine_build.pack(engines, module, prefix, {**engine_build.pinned(), "variant": "native"}, False)
    own = engines / ".own" # the builds of this tree, the newest first
    before = own.read_text(encoding="utf-8").split() if own.is_file() else []
    now = engine_build.current(engines)
    if not (engines / now / "engine.json").is_file() or now in before[:1] or not now:
        engine_build.make_current(engines, ident)
        now = ident
    mine = [ident, *(b for b in before if b != ident)]
    for old in mine[KEPT:]:
        if old != now:
            shutil.rmtree(engines / old, ignore_errors=True)
    own.write_text("\n".join(mine[:KEPT]) + "\n", encoding="utf-8")
    for name in ("starter", "words"):
        link = build / name
        if link.is_symlink():
            link.unlink()
        os.symlink(prefix / "share" / name, link)
    stamp.write_text(f"{prefix}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
