#!/usr/bin/env python3
"""Builds the page in web/ with npm and embeds it (tools/embed_page.py); called by ninja.

usage: build_web.py WEB_DIR OUT.c DEPFILE WORK_DIR

Node and npm come from tools/node; packages from web/package-lock.json, with npm's cache in the
Tresor cache, so that a second build needs no network. Install scripts of packages do not run.
"""
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import embed_page  # noqa: E402

SKIP = {"node_modules", "dist", "gen", "coverage", "test-results"} # gen is made from api/
ROOT = pathlib.Path(__file__).resolve().parent.parent


def say(text: str) -> None:
    print(f"build_web: {text}", file=sys.stderr)


def sources(web: pathlib.Path) -> list[pathlib.Path]:
    """Every file and folder that the page depends on; folders, so that a new file is noticed."""
    found = [web]
    for top, dirs, files in os.walk(web):
        dirs[:] = sorted(d for d in dirs if d not in SKIP and not d.startswith("."))
        found += [pathlib.Path(top, n) for n in sorted(dirs + files)]
    for extra in ("api", "tools/build_web.py", "tools/embed_page.py", "tools/gen_ts.py"):
        p = ROOT / extra
        found += [p] + (sorted(p.glob("*.json")) if p.is_dir() else [])
    return found


def node_env(need: str = "") -> dict[str, str]:
    """For a Node of at least `need` (MAJOR.MINOR), with npm's cache in the Tresor cache."""
    done = subprocess.run([ROOT / "tools/node", *(["--need", need] if need else [])], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"build_web: no Node: {done.stderr.strip()}")
    cache = os.environ.get("TRESOR_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tresor")
    env = dict(os.environ, PATH=done.stdout.strip() + os.pathsep + os.environ["PATH"])
    env.update(npm_config_cache=f"{cache}/npm", npm_config_audit="false", npm_config_fund="false",
               npm_config_update_notifier="false", npm_config_prefer_offline="true", NO_COLOR="1")
    return env


def npm(web: pathlib.Path, env: dict[str, str], *args: str) -> None:
    done = subprocess.run(["npm", *args], cwd=web, env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        sys.exit(f"build_web: `npm {' '.join(args)}` failed in {web} (output above)")


def install(web: pathlib.Path, env: dict[str, str]) -> None:
    """npm ci, but only when the lock file differs from what is installed."""
    want = hashlib.sha256((web / "package-lock.json").read_bytes()
                          + (web / "package.json").read_bytes()).hexdigest()
    stamp = web / "node_modules/.tresor-lock"
    if stamp.is_file() and stamp.read_text() == want:
        return
    npm(web, env, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    stamp.write_text(want)


def main() -> None:
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    web, out, depfile, work = (pathlib.Path(a).resolve() for a in sys.argv[1:])
    for need in ("package.json", "package-lock.json"):
        if not (web / need).is_file():
            sys.exit(f"build_web: {web / need} is missing: tresor is not built without its page")
    env = node_env()
    with open(web / "package.json", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install(web, env)
        dist = work / "dist"
        shutil.rmtree(dist, ignore_errors=True)
        npm(web, env, "run", "build", "--", "--outDir", str(dist), "--emptyOutDir")
        seen = sources(web)
    out.write_text(embed_page.embed(dist), encoding="utf-8")
    names = " ".join(str(p).replace(" ", "\\ ") for p in seen)
    depfile.write_text(f"{out}: {names}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
