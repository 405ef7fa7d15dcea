"""Fetches pinned files by package name, with the ordinary clients (pip, npm), into the cache.

A file counts only when its SHA-256 is the pinned one; nothing of it is unpacked or run before.
Kept under DOWNLOADS/SHA256-NAME, so that everything works again without a network. Proxy and
company CA come from the environment (tools/env.sh sets it up); no registry is named here.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

TOOLS = pathlib.Path(__file__).resolve().parent


class FetchError(Exception):
    """What failed and what to do, in one line."""


def cache_dir() -> pathlib.Path:
    named = os.environ.get("TRESOR_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(named or os.path.join(base, "tresor"))


def sha256_file(path: pathlib.Path) -> str:
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def _client(cmd, log, env, what: str) -> None:
    log.write(f"+ {' '.join(map(str, cmd))}\n")
    log.flush()
    done = subprocess.run(list(map(str, cmd)), env=env, stdin=subprocess.DEVNULL, stdout=log,
                          stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise FetchError(f"could not fetch {what}: the client's output is in {log.name} "
                         "(no network? set HTTPS_PROXY, and TRESOR_CA_FILE for a company CA)")


def _pip(item: dict, into: pathlib.Path, log) -> None:
    pin = f"{item['package']}=={item['version']}"
    req = into / "requirements.txt"
    req.write_text(f"{pin} --hash=sha256:{item['sha256']}\n", encoding="utf-8")
    cmd = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes",
           "--disable-pip-version-check", "--no-input", "--progress-bar=off", "-d", into, "-r", req]
    env = dict(os.environ, PIP_REQUIRE_VIRTUALENV="0", PIP_USER="0")
    if item["kind"] == "sdist": # pip checks the hash, then asks our stub instead of the package
        cmd += ["--no-binary=:all:", "--no-build-isolation", "--use-pep517"]
        env.update(PYTHONPATH=str(TOOLS / "pep517_stub"), TRESOR_STUB_NAME=item["package"],
                   TRESOR_STUB_VERSION=item["version"])
    else:
        cmd += ["--only-binary=:all:"]
    _client(cmd, log, env, pin)


def _npm(item: dict, into: pathlib.Path, log) -> None:
    done = subprocess.run([TOOLS / "node"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FetchError(f"no npm to fetch {item['package']}: {done.stderr.strip()}")
    node = done.stdout.strip()
    env = dict(os.environ, PATH=node + os.pathsep + os.environ["PATH"],
               npm_config_cache=str(cache_dir() / "npm"), npm_config_update_notifier="false")
    _client([f"{node}/npm", "pack", "--ignore-scripts", "--pack-destination", into,
             f"{item['package']}@{item['version']}"], log, env, f"{item['package']}@{item['version']}")


def fetch(item: dict, log, say=lambda text: None) -> pathlib.Path:
    """The verified file of `item` {registry, kind, package, version, file, sha256}."""
    downloads = cache_dir() / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    kept = downloads / f"{item['sha256']}-{item['file']}"
    if kept.is_file():
        if sha256_file(kept) == item["sha256"]:
            return kept
        kept.unlink() # damaged on disk: fetch it again
    say(f"fetching {item['package']} {item['version']}")
    with tempfile.TemporaryDirectory(dir=downloads) as tmp:
        into = pathlib.Path(tmp)
        {"pip": _pip, "npm": _npm}[item["registry"]](item, into, log)
        got = into / item["file"]
        if not got.is_file():
            raise FetchError(f"{item['package']} {item['version']} came as "
                             f"{sorted(p.name for p in into.iterdir())}, not as {item['file']}")
        digest = sha256_file(got)
        if digest != item["sha256"]:
            raise FetchError(f"{item['file']} has SHA-256 {digest}, pinned is {item['sha256']}: "
                             "not used (a changed package, or something between here and there)")
        shutil.move(got, kept)
    return kept
