"""The package from the build under test: what is in it, that it starts, that removing keeps data."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys

import pytest

ROOT = pathlib.Path(os.environ["TRESOR_ROOT"])
sys.path.insert(0, str(ROOT / "tests/lib"))
import tresor  # noqa: E402


def run(*cmd, **kw):
    return subprocess.run(list(map(str, cmd)), capture_output=True, text=True, check=False, **kw)


@pytest.fixture(scope="module")
def debs(tmp_path_factory):
    out = tmp_path_factory.mktemp("debs")
    done = run(ROOT / "tools/package", "--build", os.environ["TRESOR_BUILD"], "--out", out)
    assert done.returncode == 0, done.stderr
    made = {p.name.split("_")[0]: p for p in out.glob("*.deb")}
    assert set(made) == {"tresor", "tresor-starter-smollm2"}
    return made


@pytest.fixture(scope="module")
def root(debs, tmp_path_factory):
    """Both packages installed by dpkg into a folder."""
    top = tmp_path_factory.mktemp("root")
    for sub in ("var/lib/dpkg/info", "var/lib/dpkg/updates"):
        (top / sub).mkdir(parents=True)
    (top / "var/lib/dpkg/status").touch()
    done = dpkg(top, "-i", *debs.values())
    assert done.returncode == 0, done.stdout + done.stderr
    return top


def dpkg(top, *args):
    return run("dpkg", f"--root={top}", "--force-depends", "--force-not-root",
               "--force-script-chrootless", f"--log={top}/dpkg.log", *args)


def installed_files(top):
    return [p for p in (top / "usr").rglob("*") if p.is_file() and not p.is_symlink()]


def test_depends_names_the_libraries_it_links(debs):
    depends = run("dpkg-deb", "-f", debs["tresor"], "Depends").stdout
    for library in ("libc6", "libmicrohttpd", "libgnutls", "libsodium", "libseccomp", "libjansson", "libcurl3-gnutls",
                    "libstemmer", "libunistring"):
        assert library in depends, depends
    assert "libssl" not in depends and "libcurl4," not in depends, depends


def test_no_file_is_writable_by_others_or_set_user_id(root):
    for p in installed_files(root):
        mode = p.stat().st_mode
        assert not mode & (stat.S_IWGRP | stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID), p


def test_nothing_in_it_names_the_place_it_was_built(root):
    words = (os.environ["TRESOR_CACHE"].encode(), os.environ["TRESOR_BUILD"].encode())
    for p in installed_files(root):
        if p.suffix != ".gguf":
            data = p.read_bytes()
            assert not [w for w in words if w in data], p


def test_hardened_as_the_build(root):
    done = run(ROOT / "tools/check-hardening", root / "usr/lib/tresor")
    assert done.returncode == 0, done.stdout


def test_libraries_are_found_in_the_package_only(root):
    lib = root / "usr/lib/tresor"
    out = run("ldd", lib / "engines/current/engine.so").stdout
    for name in ("libllama.so.0", "libggml-base.so.0", "libllama-common.so.0"):
        found = re.search(rf"{re.escape(name)} => (\S+)", out)
        assert found and found[1].startswith(str(lib)), out


def test_the_dictionary_is_there_with_its_licence(root):
    words = (root / "usr/lib/tresor/words/german.words").read_bytes()
    assert words.startswith(b"TRWORDS1")
    assert "Attribution-ShareAlike" in (root / "usr/share/doc/tresor/licences/german-nouns").read_text(encoding="utf-8")
    assert "Wiktionary" in (root / "usr/share/doc/tresor/copyright").read_text(encoding="utf-8")


def test_the_engine_build_is_whole_and_current(root):
    engines = root / "usr/lib/tresor/engines"
    build = engines / os.readlink(engines / "current")
    text = (build / "engine.json").read_bytes()
    assert build.name.endswith("-" + hashlib.sha256(text).hexdigest()[:16])
    files = json.loads(text)["files"]
    assert {p.name for p in build.iterdir()} == {*files, "engine.json"}
    assert all(hashlib.sha256((build / n).read_bytes()).hexdigest() == h for n, h in files.items())


def test_unit_is_valid_and_tight(root):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    unit = root / "usr/lib/systemd/system/tresor.service"
    said = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit).stderr
    wrong = [line for line in said.splitlines()
             if "tresor.service" in line and "is not executable" not in line] # it is not under / here
    assert not wrong, said
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=25", unit)
    assert done.returncode == 0, done.stdout[-2000:]


def test_unit_allows_every_system_call_the_roles_use(root, tmp_path):
    """The service's filter is wider than what a start, a pull and an answer use."""
    tools = ("strace", "systemd-analyze")
    if not all(map(shutil.which, tools)):
        pytest.skip("no strace or systemd-analyze here")
    unit = (root / "usr/lib/systemd/system/tresor.service").read_text()
    allowed = syscalls_of_unit(unit)
    trace = tmp_path / "trace"
    with tresor.Instance(binary=root / "usr/lib/tresor/tresor",
                         prefix=["strace", "-f", "-qq", "-e", "signal=none", "-o", str(trace)]) as t:
        t.start()
        assert run(t.binary, "pull", "starter:smollm2", "--data", t.data, env=t.env).returncode == 0
        done = run(t.binary, "run", "starter:smollm2", "Say yes.", "--data", t.data, env=t.env)
        assert done.returncode == 0, done.stderr
    used = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", trace.read_text(errors="replace"), re.M))
    assert {"openat", "seccomp", "epoll_wait"} <= used or "epoll_pwait" in used, sorted(used)
    as_root_only = {"fchown"} # SQLite, when its effective user is root; the service is not
    assert used - allowed - as_root_only == set()


def syscalls_of_unit(text):
    sets, current = {}, None
    for line in run("systemd-analyze", "--no-pager", "syscall-filter").stdout.splitlines():
        if line.startswith("@"):
            current = sets.setdefault(line.strip(), [])
        elif current is not None and line.strip() and not line.strip().startswith("#"):
            current.append(line.strip())

    def names(word):
        return set().union(*(names(w) for w in sets[word])) if word.startswith("@") else {word}
    allowed = set(names("@default"))
    for row in re.findall(r"^SystemCallFilter=(.*)$", text, re.M):
        words = set().union(*(names(w) for w in row.lstrip("~").split()))
        allowed = allowed - words if row.startswith("~") else allowed | words
    return allowed


def test_starts_from_the_package_and_answers(root):
    with tresor.Instance(binary=root / "usr/lib/tresor/tresor") as t:
        t.start()
        assert t.request("GET", "/healthz")[0] == 200
        done = run(root / "usr/bin/tresor", "pull", "starter:smollm2", "--data", t.data, env=t.env)
        assert done.returncode == 0, done.stderr
        listed = run(root / "usr/bin/tresor", "list", "--data", t.data, env=t.env).stdout
        assert "smollm2" in listed


def test_man_page_is_there_and_parses(root):
    page = root / "usr/share/man/man8/tresor.8.gz"
    assert page.stat().st_size > 500
    if shutil.which("mandoc"):
        done = run("mandoc", "-T", "lint", "-W", "error", page)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("shell, path", [("bash", "bash-completion/completions/tresor"),
                                         ("zsh", "zsh/vendor-completions/_tresor"),
                                         ("fish", "fish/vendor_completions.d/tresor.fish")])
def test_completion_is_where_the_shells_look(root, shell, path):
    script = root / "usr/share" / path
    assert "tresor" in script.read_text()
    if shutil.which(shell):
        done = run(shell, "-n", script)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("how", ["-r", "-P"])
def test_removing_keeps_the_data(debs, tmp_path, how):
    for sub in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/tresor"):
        (tmp_path / sub).mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").touch()
    assert dpkg(tmp_path, "-i", debs["tresor"]).returncode == 0
    kept = tmp_path / "var/lib/tresor/tresor.db"
    kept.write_text("everything")
    done = dpkg(tmp_path, how, "tresor")
    assert done.returncode == 0, done.stderr
    assert kept.read_text() == "everything"
    assert not (tmp_path / "usr/lib/tresor/tresor").exists()


def test_maintainer_scripts_parse():
    for script in [*(ROOT / "packaging/debian").iterdir(), ROOT / "packaging/tresor-setup",
                   ROOT / "packaging/wait-ready", ROOT / "packaging/ask-passphrase"]:
        done = run("sh", "-n", script)
        assert done.returncode == 0, done.stderr
