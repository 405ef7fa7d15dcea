#!/usr/bin/env python3
"""Links the libraries and starter models of the dependencies' prefix beside the built program.

usage: link_runtime.py PREFIX BUILD STAMP     makes BUILD/lib/*.so* and BUILD/starter
"""
import os
import pathlib
import sys


def main() -> None:
    prefix, build, stamp = map(pathlib.Path, sys.argv[1:4])
    lib = build / "lib"
    lib.mkdir(exist_ok=True)
    for old in lib.iterdir():
        if old.is_symlink():
            old.unlink()
    for so in sorted((prefix / "lib").glob("*.so*")):
        (lib / so.name).symlink_to(so)
    starter = build / "starter"
    if starter.is_symlink():
        starter.unlink()
    os.symlink(prefix / "share/starter", starter)
    stamp.write_text(f"{prefix}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
