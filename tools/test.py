#!/usr/bin/env python3
"""Runs every suite and adds up (tests/README.md).

usage: ./test [--quick] [--list] [SUITE...]

Built in: style, layers, build (and hardening), c (unit tests and fuzz seeds), asan (the same under
AddressSanitizer and UBSan), clang (compiles with Clang, warnings are errors), web (unit tests of
the page). The others are the folders tests/*/run. --quick leaves out asan, clang and what says so.
"""
import argparse
import concurrent.futures
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import tap  # noqa: E402
from progress import Progress, tail  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / "build/test-logs"
BUILD, ASAN, CLANG = ROOT / "build-test", ROOT / "build-asan", ROOT / "build-clang"
COMMON = ("-Dfault=true", "-Dwerror=true")
SETUPS = { # build folder: (meson arguments, environment)
    BUILD: ((*COMMON, "-Dbuildtype=debugoptimized"), {}),
    ASAN: ((*COMMON, "-Dbuildtype=debug", "-Doptimization=1", "-Db_sanitize=address,undefined",
            "-Db_lundef=false"), {}),
    CLANG: ((*COMMON, "-Dbuildtype=debugoptimized"), {"CC": "clang", "CXX": "clang++"}),
}
SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}
SUITE_TIMEOUT_S = 300


class Totals:
    """What ran so far; prints a line per suite as it ends."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures, self.notes = [], []

    def add(self, name: str, r: tap.Result, seconds: float, log: pathlib.Path | None) -> None:
        self.passed, self.skipped = self.passed + r.passed, self.skipped + r.skipped
        self.failed += r.failed
        self.failures += [f"{name}: {what}" + (f"  (log: {log.relative_to(ROOT)})" if log else "")
                          for what in r.failures]
        self.notes += [f"{name}: {why}" for why in r.notes]
        counts = f"{r.passed} ok" + (f", {r.skipped} skipped" if r.skipped else "")
        if r.failed:
            counts += f", {r.failed} FAILED"
        print(f"{'FAIL' if r.failed else 'ok  '} {name}: {counts} ({seconds:.1f} s)", flush=True)

    def close(self) -> int:
        for line in self.notes:
            print(f"skipped: {line}")
        for line in self.failures:
            print(f"FAILED: {line}")
        print(f"{self.passed} passed, {self.failed} failed"
              + (f", {self.skipped} skipped" if self.skipped else ""), flush=True)
        return 1 if self.failed or not self.passed else 0


def one(ok: bool, what: str) -> tap.Result:
    return tap.Result(passed=1) if ok else tap.Result(failures=[what])


def run_limited(cmd, log: pathlib.Path, env: dict, limit: float, cwd=ROOT) -> tuple[int, str, bool]:
    """Runs `cmd` in its own session; (exit code, stdout, ran too long). What it started ends with it."""
    with open(log, "a", encoding="utf-8") as err, tempfile.TemporaryFile("w+", errors="replace") as out:
        err.write(f"+ {' '.join(map(str, cmd))}\n")
        err.flush()
        child = subprocess.Popen(list(map(str, cmd)), cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                                 stdout=out, stderr=err, start_new_session=True)
        late = False
        try:
            child.wait(limit)
        except subprocess.TimeoutExpired:
            late = True
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        code = child.wait()
        out.seek(0)
        text = out.read()
        err.write(text)
    return code, text, late


def setup(build: pathlib.Path, prefix: str, log) -> bool:
    args, extra = SETUPS[build]
    env = dict(os.environ, **extra)
    args = [f"-Ddeps={prefix}", *args]
    want = build / "tresor-setup"
    if (build / "build.ninja").exists() and want.is_file() and want.read_text() == repr(args):
        return True
    shutil.rmtree(build, ignore_errors=True) # other options: nothing of the old build is worth keeping
    if progress.run(["meson", "setup", str(build), str(ROOT), *args], log, env=env):
        return False
    want.write_text(repr(args))
    return True


def build(where: pathlib.Path, prefix: str, totals: Totals, only_tests: bool = False) -> bool:
    """Configures and compiles; `only_tests`: just what the unit tests need (no page, no Node)."""
    log = LOGS / f"{where.name}.log"
    start = time.monotonic()
    progress.begin(where.name)
    with open(log, "w", encoding="utf-8") as f:
        ok = setup(where, prefix, f) and progress.run(
            ["ninja", "-C", where, *(unit_test_targets(where) if only_tests else ())], f) == 0
    progress.clear()
    totals.add(where.name, one(ok, "did not build"), time.monotonic() - start, log)
    if not ok:
        print(tail(log, 25), flush=True)
    return ok


def meson_tests(where: pathlib.Path) -> list[dict]:
    done = subprocess.run(["meson", "introspect", "--tests", where], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def unit_test_targets(where: pathlib.Path) -> list[str]:
    """The ninja targets of all test executables, and of the programs they are given to run."""
    tests = meson_tests(where)
    given = {arg for t in tests for arg in t["cmd"][1:] if "/" in arg and not arg.startswith(("/", "-", ".."))}
    return sorted(given | {os.path.relpath(t["cmd"][0], where) for t in tests
                           if t["cmd"][0].startswith(str(where))})


def run_unit(t: dict, where: pathlib.Path, env: dict) -> tuple[str, tap.Result, float, pathlib.Path]:
    log = LOGS / f"{where.name}-{re.sub(r'[^A-Za-z0-9._-]', '_', t['name'])}.log"
    log.write_text("")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tresor-") as tmp:
        full = dict(env, TMPDIR=tmp, **t["env"])
        code, text, late = run_limited(t["cmd"], log, full, t["timeout"] or 300, t["workdir"] or where)
    if t["protocol"] == "tap":
        r = tap.parse(text, code, late)
    elif code == 77:
        r = tap.Result(skipped=1, notes=[t["name"]])
    else:
        r = one(code == 0 and not late, "ran past its time limit" if late else f"exit code {code}")
    return t["name"], r, time.monotonic() - start, log


def run_units(where: pathlib.Path, label: str, env: dict, totals: Totals) -> None:
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        jobs = [pool.submit(run_unit, t, where, env) for t in meson_tests(where)]
        for job in concurrent.futures.as_completed(jobs):
            name, r, seconds, log = job.result()
            totals.add(f"{label}/{name}", r, seconds, log)


def header(run: pathlib.Path, name: str, default: str) -> str:
    """The value of "# NAME: value" in the first ten lines of a suite's run."""
    with open(run, encoding="utf-8", errors="replace") as f:
        for _, line in zip(range(10), f):
            if m := re.match(rf"^(?:#|//)\s*{name}:\s*(\S+)", line):
                return m[1]
    return default


def run_suite(name: str, env: dict, totals: Totals) -> None:
    run, log = ROOT / "tests" / name / "run", LOGS / f"{name}.log"
    log.write_text("")
    start = time.monotonic()
    progress.begin(name)
    with tempfile.TemporaryDirectory(prefix="tresor-", ignore_cleanup_errors=True) as tmp:
        home = {f"XDG_{k}_HOME": f"{tmp}/{k.lower()}" for k in ("CONFIG", "DATA", "STATE")}
        code, text, late = run_limited([run], log, dict(env, TMPDIR=tmp, **home),
                                       float(header(run, "timeout", str(SUITE_TIMEOUT_S))))
    progress.clear()
    totals.add(name, tap.parse(text, code, late), time.monotonic() - start, log)


def run_web(env: dict, totals: Totals) -> None:
    """Types and unit tests of the page."""
    log, start = LOGS / "web.log", time.monotonic()
    log.write_text("")
    if not (ROOT / "web/package.json").is_file():
        totals.add("web", one(False, "web/package.json is missing"), 0, None)
        return
    code, _, late = run_limited(["npm", "run", "check"], log, env, 300, ROOT / "web")
    r = one(code == 0 and not late, "npm run check")
    code, text, late = run_limited(["npm", "test", "--silent", "--", "--reporter=tap-flat"], log, env, 300,
                                   ROOT / "web")
    tests = tap.parse("\n".join(line for line in text.splitlines() if not line.startswith("TAP version")),
                      code, late)
    r.passed, r.skipped, r.notes = r.passed + tests.passed, tests.skipped, tests.notes
    r.failures += tests.failures
    totals.add("web", r, time.monotonic() - start, log)


def tool_step(name: str, cmd, totals: Totals) -> None:
    log, start = LOGS / f"{name}.log", time.monotonic()
    log.write_text("")
    code, _, _ = run_limited(cmd, log, dict(os.environ), 120)
    totals.add(name, one(code == 0, "see the log"), time.monotonic() - start, log)
    if code:
        print(tail(log, 12), flush=True)


def tool_output(cmd) -> str:
    """The one line that a tool prints; its progress goes to our stderr. Ends the run on failure."""
    done = subprocess.run(list(map(str, cmd)), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print("0 passed, 1 failed")
        sys.exit(1)
    return done.stdout.strip()


def suite_env(prefix: str, python: str, node: str, quick: bool) -> dict:
    env = dict(
        os.environ, TRESOR_ROOT=str(ROOT), TRESOR_BUILD=str(BUILD), TRESOR_BIN=str(BUILD / "tresor"),
        TRESOR_DEPS=prefix, TRESOR_WORDS=f"{prefix}/share/words/german.words", TRESOR_PY=python,
        NODE=f"{node}/node", NPM=f"{node}/npm",
        PATH=f"{node}:{os.environ['PATH']}:/usr/sbin:/sbin", PYTHONDONTWRITEBYTECODE="1",
        npm_config_cache=os.environ["TRESOR_CACHE"] + "/npm", npm_config_update_notifier="false",
        CHROMIUM=shutil.which("chromium") or shutil.which("chromium-browser") or "")
    env.pop("PYTHONPATH", None)
    if quick:
        env["TRESOR_QUICK"] = "1"
    return env


def main() -> int:
    cli = argparse.ArgumentParser(prog="./test", usage=__doc__.split("\n\n")[1].removeprefix("usage: "),
                                  description=__doc__.split("\n\n")[2])
    cli.add_argument("--quick", action="store_true")
    cli.add_argument("--list", action="store_true")
    cli.add_argument("suites", nargs="*")
    args = cli.parse_args()
    folders = sorted(p.parent.name for p in (ROOT / "tests").glob("*/run") if os.access(p, os.X_OK))
    known = ["style", "layers", "build", "c", "asan", "clang", "web", *folders]
    if args.list:
        print("\n".join(known))
        return 0
    if unknown := set(args.suites) - set(known):
        print(f"./test: no suite {', '.join(sorted(unknown))}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    chosen = args.suites or [s for s in known if not args.quick or s not in ("asan", "clang")]
    LOGS.mkdir(parents=True, exist_ok=True)
    lock = open(ROOT / "build/test.lock", "w", encoding="utf-8") # pylint: disable=consider-using-with
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("test: another ./test runs in this tree; waiting for it", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_EX)
    for old in LOGS.iterdir():
        old.unlink()
    totals = Totals()
    for name in ("style", "layers"):
        if name in chosen:
            tool_step(name, [ROOT / "tools" / ("check-style" if name == "style" else name)], totals)
    if not set(chosen) - {"style", "layers"}:
        return totals.close()
    prefix = tool_output([ROOT / "tools/deps"])
    env = suite_env(prefix, tool_output([ROOT / "tools/deps", "--python"]), tool_output([ROOT / "tools/node"]),
                    args.quick)
    if {"build", "c", "web", *folders} & set(chosen):
        if not build(BUILD, prefix, totals):
            return totals.close() # nothing to test
        tool_step("hardening", [ROOT / "tools/check-hardening", BUILD], totals)
    if "c" in chosen:
        run_units(BUILD, "c", env, totals)
    if "asan" in chosen and build(ASAN, prefix, totals, only_tests=True):
        run_units(ASAN, "asan", dict(env, TRESOR_BUILD=str(ASAN), **SANITIZERS), totals)
    if "clang" in chosen:
        build(CLANG, prefix, totals)
    if "web" in chosen:
        run_web(env, totals)
    for name in folders:
        if name in chosen and not (args.quick and header(ROOT / "tests" / name / "run", "quick", "") == "no"):
            run_suite(name, env, totals)
    return totals.close()


progress = Progress("test: ")
if __name__ == "__main__":
    sys.exit(main())
