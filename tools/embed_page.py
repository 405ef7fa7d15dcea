#!/usr/bin/env python3
"""Turns the built page (a folder) into a C table; the contract is src/api/page.h.

usage: embed_page.py DIST OUT.c [DEPFILE]
"""
import base64
import gzip
import hashlib
import pathlib
import re
import sys

MEDIA = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8", ".json": "application/json",
    ".webmanifest": "application/manifest+json", ".svg": "image/svg+xml", ".png": "image/png",
    ".ico": "image/x-icon", ".woff2": "font/woff2", ".wasm": "application/wasm",
    ".txt": "text/plain; charset=utf-8", ".map": None,
}
HASHED = re.compile(r"-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$")


def c_string(s: str) -> str:
    return '"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"'


def c_bytes(data: bytes) -> str:
    lines = [",".join(str(b) for b in data[i:i + 32]) for i in range(0, len(data), 32)]
    return ",\n".join(lines)


def script_hashes(html: str) -> str:
    found = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", html, re.S | re.I)
    return " ".join("'sha256-%s'" % base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()
                    for s in found)


def embed(dist: pathlib.Path) -> str:
    if not (dist / "index.html").is_file():
        sys.exit(f"embed_page: {dist} has no index.html: the page was not built; "
                 "a binary without the page is not made (run `npm run build` in web/)")
    arrays, rows = [], []
    for i, f in enumerate(sorted(p for p in dist.rglob("*") if p.is_file())):
        if f.suffix not in MEDIA:
            sys.exit(f"embed_page: {f.name}: no media type for {f.suffix!r}; add it to MEDIA")
        if MEDIA[f.suffix] is None:
            continue
        data = f.read_bytes()
        packed = gzip.compress(data, 9, mtime=0)
        path = "/" + f.relative_to(dist).as_posix()
        etag = '"' + hashlib.sha256(data).hexdigest() + '"'
        keep = path.startswith("/assets/") and HASHED.search(path) is not None
        arrays.append(f"static const uint8_t file_{i}[] = {{\n{c_bytes(packed)}\n}};\n")
        rows.append((path, f"\t{{ {c_string(path)}, {c_string(MEDIA[f.suffix])}, {c_string(etag)}, "
                     f"file_{i}, sizeof file_{i}, {len(data)}, {'true' if keep else 'false'} }},\n"))
    hashes = script_hashes((dist / "index.html").read_text(encoding="utf-8"))
    return ("/* Made by tools/embed_page.py: do not edit. */\n#include \"api/page.h\"\n\n"
            + "".join(arrays)
            + "\nconst struct page_file page_files[] = {\n"
            + "".join(row for _, row in sorted(rows, key=lambda r: r[0].encode()))
            + "};\nconst size_t page_file_count = sizeof page_files / sizeof page_files[0];\n"
            + f"const char page_script_hashes[] = {c_string(hashes)};\n")


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    dist, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    out.write_text(embed(dist), encoding="utf-8")
    if len(sys.argv) > 3:
        files = [p for p in dist.rglob("*")] + [dist]
        names = " ".join(str(p).replace(" ", "\\ ") for p in files)
        pathlib.Path(sys.argv[3]).write_text(f"{out}: {names}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
