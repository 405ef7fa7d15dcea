#!/usr/bin/env python3
"""Builds another llama.cpp, puts its engine beside those that are there, and compares the two.

usage: tools/upgrade-engine VERSION [--sha256 HASH] [--accept] [--to FOLDER]
       tools/upgrade-engine --compare OLD NEW     two builds that are there
       tools/upgrade-engine --use ID | --back | --list

VERSION is a release of llama-cpp-python, whose source package carries llama.cpp. Its hash comes from
deps/engines.json or --sha256, never from where the package comes from; one that built is written there.
Both builds answer tools/golden_prompts.txt greedily with each starter model, and are timed in turns.
The old build stays. --accept makes the new one current; --back returns to the one before it.
Build the program first: ./run --build-only.
"""
import argparse
import contextlib
import difflib
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile

TOOLS = pathlib.Path(__file__).resolve().parent
ROOT = TOOLS.parent
sys.path[:0] = [str(TOOLS), str(ROOT / "tests/lib")]
import deps  # noqa: E402
import engine_build  # noqa: E402
from fetch import FetchError, cache_dir, fetch  # noqa: E402
from progress import Progress, tail  # noqa: E402

RECORD = ROOT / "deps/engines.json"
STARTERS = {"smollm2": "starter:smollm2", "gemma3-270m": "starter:gemma3-270m"}
TOKENS, ROUNDS, LONG = 48, 5, "Tell me about the history of bread, of rivers, of maps and of clocks. " * 30
progress = Progress("upgrade-engine: ")


# ---- the source and its build ----

def record() -> dict:
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}


def item_of(version: str, given: str | None) -> dict:
    known = record().get(version, {}).get("sha256")
    if given and known and given != known:
        sys.exit(f"--sha256 {given} is not what {RECORD.name} has for {version}: {known}")
    if not (given or known):
        sys.exit(f"no hash is recorded for llama-cpp-python {version}: read it where you trust it (the "
                 "project's release page) and give it with --sha256 HASH; nothing was fetched")
    return {"registry": "pip", "kind": "sdist", "package": "llama-cpp-python", "version": version,
            "file": f"llama_cpp_python-{version}.tar.gz", "sha256": given or known}


@contextlib.contextmanager
def unpacked(archive: pathlib.Path):
    """The llama.cpp in a source package whose hash was checked, without its .git, for a while."""
    with tempfile.TemporaryDirectory(dir=cache_dir()) as tmp:
        with tarfile.open(archive) as tar:
            inside = re.compile(r"^[^/]+/vendor/llama\.cpp/(?!\.git(/|$))")
            tar.extractall(tmp, [m for m in tar if inside.match(m.name)], filter="data")
        yield next(pathlib.Path(tmp).glob("*/vendor/llama.cpp"))


def look_into(top: pathlib.Path) -> dict:
    """Version and tree hash of a source tree."""
    cmake = (top / "CMakeLists.txt").read_text(encoding="utf-8")
    parts = [re.search(rf"LLAMA_VERSION_{p}\s+(\d+)", cmake) for p in ("MAJOR", "MINOR", "PATCH")]
    tree = deps.tree_hash(top)
    version = ".".join(p[1] for p in parts) if all(parts) else f"tree-{tree[:12]}"
    return {"llama.cpp": version, "tree_sha256": tree}


def check_headers(top: pathlib.Path, build: pathlib.Path, version: str) -> None:
    """Our code against the headers alone, in half a minute, before many are spent on the libraries."""
    places = [ROOT / "src", build / "src"]
    theirs = [top / d for d in ("include", "ggml/include", "tools/mtmd", "common", "vendor", "src")]
    log = deps.newest_log("headers")
    progress.begin("our code against its headers")
    failed, c_flags = False, ["-std=gnu17", *deps.accepted(["-fdouble-square-bracket-attributes"])]
    with open(log, "w", encoding="utf-8") as f:
        for source in sorted((ROOT / "src/engine/llama").glob("*.c*")):
            c = source.suffix == ".c"
            cmd = [os.environ.get("CC", "cc") if c else os.environ.get("CXX", "c++"), "-fsyntax-only", "-w", "-D_GNU_SOURCE",
                   "-DLLAMA_TREE=\"\"", *(c_flags if c else ["-std=c++17"]),
                   *(x for d in places for x in ("-I", d)), *(x for d in theirs for x in ("-isystem", d)),
                   source.relative_to(ROOT)]
            failed = progress.run(cmd, f, cwd=ROOT) != 0 or failed
    if failed:
        progress.done("failed")
        raise FetchError(explain(log, version))
    progress.done()


def libraries(item: dict, facts: dict) -> pathlib.Path:
    """A prefix like tools/deps makes, with this llama.cpp in the place of the pinned one."""
    machine = deps.Machine("native")
    if facts["tree_sha256"] == deps.recipe("llama.cpp")["tree_sha256"]:
        return deps.build_prefix(machine, progress, [])
    recipe = dict(deps.recipe("llama.cpp"), version=facts["llama.cpp"], fetch=[item], tree_sha256=facts["tree_sha256"])
    key = hashlib.sha256(f"{machine.key('llama.cpp')} {facts['tree_sha256']}".encode()).hexdigest()[:16]
    parts = {name: deps.part_dir(name, machine) for name in deps.PREFIX_PARTS}
    parts["llama.cpp"] = cache_dir() / "parts" / f"llama.cpp-{key}"
    prefix = deps.prefix_for(parts)
    with open(cache_dir() / "deps.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not parts["llama.cpp"].is_dir():
            deps.build_part("llama.cpp", machine, parts["llama.cpp"], progress, recipe)
        if not prefix.is_dir():
            with tempfile.TemporaryDirectory(dir=cache_dir()) as tmp:
                whole = pathlib.Path(tmp) / "prefix"
                for part in parts.values():
                    deps.link_tree(part, whole)
                whole.chmod(0o755)
                whole.rename(prefix)
    return prefix


def explain(log: pathlib.Path, version: str) -> str:
    """What of our code does not fit this llama.cpp, in lines."""
    text = log.read_text(encoding="utf-8", errors="replace")
    wrong = dict.fromkeys(re.findall(r"^\S*?(src/engine/[^\s:]+:\d+):\d+: (?:fatal )?error: (.*)$", text, re.M))
    if not wrong:
        return f"engine.so did not build; the end of {log}:\n{tail(log, 25)}"
    lines = "\n".join(f"  {where}: {what}" for where, what in list(wrong)[:15])
    return (f"llama.cpp {version} does not fit this source yet ({len(wrong)} places; all in {log}):\n{lines}\n"
            "Compare its include/llama.h, common/chat.h, src/llama-io.h and src/llama-memory.h with those of the "
            "pinned version (deps/llama.cpp/README.md). Nothing was changed.")


def compile_engine(prefix: pathlib.Path, facts: dict) -> pathlib.Path:
    folder = ROOT / f"build-engine-{facts['llama.cpp']}"
    log = deps.newest_log("engine")
    progress.begin(f"engine.so with llama.cpp {facts['llama.cpp']}")
    options = [f"-Ddeps={prefix}", f"-Dllama_tree={facts['tree_sha256'][:12]}", "-Dbuildtype=release", "-Db_ndebug=false"]
    with open(log, "w", encoding="utf-8") as f:
        setup = ["meson", "setup", *(["--wipe"] if (folder / "build.ninja").exists() else []), folder, ROOT, *options]
        failed = progress.run(setup, f) or progress.run(["ninja", "-k", "0", "-C", folder, "engine.so"], f)
    if failed:
        progress.done("failed")
        raise FetchError(explain(log, facts["llama.cpp"]))
    progress.done()
    return folder / "engine.so"


def bring_in(build: pathlib.Path, version: str, given: str | None) -> str:
    item = item_of(version, given)
    progress.begin(f"source of llama-cpp-python {version}")
    with open(deps.newest_log("fetch"), "w", encoding="utf-8") as log:
        archive = fetch(item, log, progress.update)
    with unpacked(archive) as top:
        facts = look_into(top)
        progress.done(f"llama.cpp {facts['llama.cpp']}")
        check_headers(top, build, facts["llama.cpp"])
    prefix = libraries(item, facts)
    module = compile_engine(prefix, facts)
    known = record()
    known[version] = {"sha256": item["sha256"], **facts}
    RECORD.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return engine_build.pack(build / "engines", module, prefix, {
        "version": facts["llama.cpp"], "tree": facts["tree_sha256"], "variant": "native"}, False)


# ---- comparing ----

class Pair:
    """An instance of the program with each starter model as two aliases, one a build."""

    def __init__(self, build: pathlib.Path, builds: tuple[str, str]):
        from tresor import Instance # pylint: disable=import-outside-toplevel
        self.i = Instance(binary=build / "tresor")
        self.builds = builds

    def __enter__(self):
        self.i.start()
        self.i.add_user("o@example.org", "owner")
        self.key = self.i.key("o@example.org", "chat,models.read,models.change")
        for name, source in STARTERS.items():
            self.i.must("pull", source, "--as", name)
            for side, ident in zip(("old", "new"), self.builds):
                self.i.must("alias", "set", f"{name}-{side}", name, "--engine", ident)
        return self

    def __exit__(self, *_):
        self.i.__exit__()

    def ask(self, path: str, name: str, side: int, **body) -> dict:
        body["model"] = f"{name}-{('old', 'new')[side]}"
        status, answer = self.i.api("POST", path, {"temporary": True, "stream": False, **body}, self.key)
        if status != 200 or answer.get("engine") != self.builds[side]:
            raise FetchError(f"{body['model']} under {self.builds[side]}: {status} {json.dumps(answer)[:400]}")
        return answer


def tokens_of(answer: dict) -> list[tuple[str, float, dict]]:
    return [(t["token"], t["logprob"], {x["token"]: x["logprob"] for x in t["top_logprobs"]})
            for t in answer["choices"][0]["logprobs"]["content"]]


def difference(old: list, new: list) -> tuple[bool, float, str]:
    """(equal tokens, largest difference of log probability while they are equal, what the first one is)."""
    largest = 0.0
    for at, (a, b) in enumerate(zip(old, new)):
        if a[0] != b[0]:
            back = f"{a[2][b[0]] - a[1]:+.3f}" if b[0] in a[2] else "below the five likeliest"
            return False, largest, f"token {at + 1}: {a[0]!r} ({a[1]:.3f}), now {b[0]!r} ({b[1]:.3f}; to the old one {back})"
        largest = max(largest, abs(a[1] - b[1]))
    return len(old) == len(new), largest, "" if len(old) == len(new) else f"lengths {len(old)} and {len(new)}"


def golden(pair: Pair) -> bool:
    prompts = (TOOLS / "golden_prompts.txt").read_text(encoding="utf-8").splitlines()
    all_equal = True
    print(f"\nGreedy answers, {len(prompts)} prompts, {TOKENS} tokens at most")
    print(f"{'model':14} {'equal':>7} {'largest log-probability difference':>36}")
    for name in STARTERS:
        equal, largest, first = 0, 0.0, []
        for prompt in prompts:
            both = [tokens_of(pair.ask("/v1/chat/completions", name, side, temperature=0, max_tokens=TOKENS, logprobs=True,
                                       top_logprobs=5, messages=[{"role": "user", "content": prompt}])) for side in (0, 1)]
            same, most, what = difference(*both)
            equal, largest = equal + same, max(largest, most)
            if not same:
                first.append(f"  {prompt[:60]!r}: {what}")
        all_equal = all_equal and equal == len(prompts)
        print(f"{name:14} {equal:>3}/{len(prompts):<3} {largest:>36.4f}")
        print("\n".join(first), end="\n" if first else "")
    return all_equal


def rates(pair: Pair, name: str, side: int, n: int) -> tuple[float, float]:
    a = pair.ask("/api/generate", name, side, prompt=f"Number {n}. {LONG}", options={
        "temperature": 0, "num_predict": 64, "seed": 1})
    return (a["prompt_eval_count"] / a["prompt_eval_duration"] * 1e9, a["eval_count"] / a["eval_duration"] * 1e9)


def speed(pair: Pair) -> None:
    print(f"\nTokens per second, {ROUNDS} rounds in turns: median (smallest to largest)")
    print(f"{'model':14} {'':8} {'old':>26} {'new':>26} {'new/old':>8}")
    for name in STARTERS:
        for side in (0, 1):
            rates(pair, name, side, 0) # warm
        seen: list[list[tuple[float, float]]] = [[], []]
        for n in range(1, ROUNDS + 1):
            for side in ((0, 1) if n % 2 else (1, 0)):
                seen[side].append(rates(pair, name, side, n))
        for k, what in enumerate(("reading", "writing")):
            old, new = ([r[k] for r in seen[side]] for side in (0, 1))
            cells = [f"{statistics.median(v):8.1f} ({min(v):.1f} to {max(v):.1f})" for v in (old, new)]
            ratio = statistics.median(b / a for a, b in zip(old, new))
            print(f"{name:14} {what:8} {cells[0]:>26} {cells[1]:>26} {ratio:>8.2f}")


def compare(build: pathlib.Path, old: str, new: str) -> None:
    print(f"old: {old}\nnew: {new}")
    a, b = ((build / "engines" / ident / "engine.json").read_text(encoding="utf-8").splitlines() for ident in (old, new))
    print("\n".join(x for x in difflib.unified_diff(a, b, "old", "new", n=0, lineterm="") if "sha" not in x))
    with Pair(build, (old, new)) as pair:
        equal = golden(pair)
        speed(pair)
    print("\nThe answers are equal." if equal else "\nThe answers are not all equal: look at them before you accept.")


# ---- which one is current ----

def use(engines: pathlib.Path, ident: str) -> None:
    before = engine_build.current(engines)
    engine_build.make_current(engines, ident)
    if before and before != ident:
        (engines / ".before").write_text(before + "\n", encoding="utf-8")
    print(f"current: {ident}" + (f" (before: {before}; tools/upgrade-engine --back)" if before != ident else ""))
    print("A running server takes it with SIGHUP (systemctl reload tresor); aliases that keep a build stay with it.")


def back(engines: pathlib.Path) -> None:
    before = engines / ".before"
    if not before.is_file():
        sys.exit("there is no engine build to go back to")
    use(engines, before.read_text(encoding="utf-8").strip())


def show(engines: pathlib.Path) -> None:
    now = engine_build.current(engines)
    for folder in sorted(p for p in engines.iterdir() if (p / "engine.json").is_file() and not p.is_symlink()):
        print(f"{'*' if folder.name == now else ' '} {folder.name}")


def parse() -> argparse.Namespace:
    cli = argparse.ArgumentParser(prog="tools/upgrade-engine", description=__doc__.split("\n\n", maxsplit=1)[0])
    cli.add_argument("version", nargs="?", help="of llama-cpp-python")
    cli.add_argument("--sha256", help="of its source package")
    cli.add_argument("--accept", action="store_true", help="make the new build current")
    cli.add_argument("--compare", nargs=2, metavar=("OLD", "NEW"))
    cli.add_argument("--use", metavar="ID")
    cli.add_argument("--back", action="store_true")
    cli.add_argument("--list", action="store_true")
    cli.add_argument("--to", type=pathlib.Path, metavar="FOLDER",
                     help="copy the new build there, too (of an installed program: /usr/local/lib/tresor/engines)")
    cli.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="the built program; default build/")
    return cli.parse_args()


def upgrade(args: argparse.Namespace, engines: pathlib.Path) -> None:
    old = engine_build.current(engines)
    new = bring_in(args.build, args.version, args.sha256)
    print(f"{new} is in {engines}")
    if new == old:
        print("It is the current one already.")
    else:
        compare(args.build, old, new)
    if args.to:
        shutil.copytree(engines / new, args.to / new)
        print(f"and in {args.to}")
    if args.accept:
        use(engines, new)


def main() -> int:
    args = parse()
    engines = args.build / "engines"
    if not engine_build.current(engines):
        sys.exit(f"no built program in {args.build}: ./run --build-only makes it")
    try:
        if args.list:
            show(engines)
        elif args.back:
            back(engines)
        elif args.use:
            use(engines, args.use)
        elif args.compare:
            compare(args.build, *args.compare)
        elif args.version:
            upgrade(args, engines)
        else:
            sys.exit(__doc__)
    except (FetchError, subprocess.CalledProcessError, OSError) as e:
        print(f"tools/upgrade-engine: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)) # the instance that is compared ends with us
    sys.exit(main())
