"""tools/upgrade-engine and what makes engine builds: ids, the current one, differences, and what is not trusted."""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tarfile

import pytest

ROOT = pathlib.Path(os.environ.get("TRESOR_ROOT", pathlib.Path(__file__).parents[2]))
sys.path.insert(0, str(ROOT / "tools"))
import engine_build  # noqa: E402
import upgrade_engine  # noqa: E402

FACTS = {"version": "9.9.9", "tree": "ab" * 32, "variant": "native"}


@pytest.fixture
def parts(tmp_path):
    """A module and a prefix as cmake leaves them: three names a library, one of them the file."""
    lib = tmp_path / "prefix/lib"
    lib.mkdir(parents=True)
    (lib / "libllama.so.0.5.0").write_bytes(b"llama")
    (lib / "libllama.so.0").symlink_to("libllama.so.0.5.0")
    (lib / "libllama.so").symlink_to("libllama.so.0")
    (lib / "libggml-cpu-haswell.so").write_bytes(b"module")
    (lib / "libllama.so.debug").write_bytes(b"symbols")
    (tmp_path / "engine.so").write_bytes(b"engine")
    return tmp_path / "engine.so", tmp_path / "prefix"


def test_a_build_has_each_library_once_and_its_id_is_its_content(tmp_path, parts):
    ident = engine_build.pack(tmp_path / "engines", *parts, FACTS, False)
    folder = tmp_path / "engines" / ident
    text = (folder / "engine.json").read_bytes()
    assert ident == "llama.cpp-9.9.9-" + hashlib.sha256(text).hexdigest()[:16]
    files = json.loads(text)["files"]
    assert set(files) == {"engine.so", "libllama.so.0", "libggml-cpu-haswell.so"}
    assert {p.name for p in folder.iterdir()} == {*files, "engine.json"}
    assert all(hashlib.sha256((folder / n).read_bytes()).hexdigest() == h for n, h in files.items())
    assert not any(p.is_symlink() or p.stat().st_mode & 0o022 for p in folder.iterdir())
    assert engine_build.pack(tmp_path / "engines", *parts, FACTS, False) == ident
    parts[0].write_bytes(b"engine 2")
    other = engine_build.pack(tmp_path / "engines", *parts, FACTS, False)
    assert other != ident and (folder / "engine.so").read_bytes() == b"engine"
    assert sorted(p.name for p in (tmp_path / "engines").iterdir()) == sorted([ident, other])


def link(tmp_path, parts):
    done = subprocess.run([sys.executable, ROOT / "tools/link_runtime.py", parts[1], tmp_path, parts[0], tmp_path / "stamp"],
                          check=True, capture_output=True, text=True)
    assert not done.stderr
    return engine_build.current(tmp_path / "engines")


def test_a_new_compile_is_current_unless_another_was_chosen(tmp_path, parts):
    first = link(tmp_path, parts)
    parts[0].write_bytes(b"engine 2")
    second = link(tmp_path, parts)
    assert second != first and (tmp_path / "engines" / first).is_dir()
    chosen = engine_build.pack(tmp_path / "engines", *parts, {**FACTS, "version": "1.0.0"}, False)
    upgrade_engine.use(tmp_path / "engines", chosen)
    parts[0].write_bytes(b"engine 3")
    assert link(tmp_path, parts) == chosen
    upgrade_engine.back(tmp_path / "engines")
    assert engine_build.current(tmp_path / "engines") == second
    upgrade_engine.back(tmp_path / "engines")
    assert engine_build.current(tmp_path / "engines") == chosen
    for i in range(20):  # old ones of this tree go, chosen ones do not
        parts[0].write_bytes(b"engine %d" % (10 + i))
        assert link(tmp_path, parts) == chosen
    kept = [p for p in (tmp_path / "engines").glob("llama.cpp-*") if (p / "engine.json").is_file()]
    assert len(kept) == 11 and (tmp_path / "engines" / chosen).is_dir()


def test_a_build_that_is_not_there_cannot_be_chosen(tmp_path, parts):
    first = link(tmp_path, parts)
    with pytest.raises(SystemExit):
        upgrade_engine.use(tmp_path / "engines", "llama.cpp-0-0123456789abcdef")
    assert engine_build.current(tmp_path / "engines") == first
    with pytest.raises(SystemExit):
        upgrade_engine.back(tmp_path / "engines")


def test_a_hash_is_recorded_or_given_and_never_taken_from_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(upgrade_engine, "RECORD", tmp_path / "engines.json")
    with pytest.raises(SystemExit, match="no hash is recorded"):
        upgrade_engine.item_of("0.0.1", None)
    assert upgrade_engine.item_of("0.0.1", "ab" * 32)["sha256"] == "ab" * 32
    (tmp_path / "engines.json").write_text(json.dumps({"0.0.1": {"sha256": "cd" * 32}}))
    assert upgrade_engine.item_of("0.0.1", None)["sha256"] == "cd" * 32
    with pytest.raises(SystemExit, match="is not what"):
        upgrade_engine.item_of("0.0.1", "ab" * 32)


def test_the_source_says_its_version_and_git_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("TRESOR_CACHE", str(tmp_path))
    top = tmp_path / "x-1/vendor/llama.cpp"
    (top / ".git").mkdir(parents=True)
    (top / ".git/config").write_text("[core]\n")
    (top / "CMakeLists.txt").write_text("set(LLAMA_VERSION_MAJOR 1)\nset(LLAMA_VERSION_MINOR 2)\nset(LLAMA_VERSION_PATCH 3)\n")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "x-1", "x-1")
    with upgrade_engine.unpacked(tmp_path / "a.tar.gz") as inside:
        assert not (inside / ".git").exists()
        facts = upgrade_engine.look_into(inside)
    text = hashlib.sha256((top / "CMakeLists.txt").read_bytes()).hexdigest()
    assert facts == {"llama.cpp": "1.2.3", "tree_sha256": hashlib.sha256(f"CMakeLists.txt {text}\n".encode()).hexdigest()}


def test_the_first_difference_is_named_with_what_the_old_one_thought_of_it():
    old = [("a", -0.1, {"a": -0.1}), ("b", -0.2, {"b": -0.2, "c": -0.5}), ("x", -1, {})]
    assert upgrade_engine.difference(old, old) == (True, 0.0, "")
    moved = [("a", -0.15, {}), ("b", -0.2, {}), ("x", -1, {})]
    same, most, _ = upgrade_engine.difference(old, moved)
    assert same and abs(most - 0.05) < 1e-9
    same, most, what = upgrade_engine.difference(old, [("a", -0.1, {}), ("c", -0.3, {})])
    assert not same and most == 0 and what.startswith("token 2: 'b'") and "-0.300" in what
    assert "below the five" in upgrade_engine.difference(old, [("z", -0.1, {})])[2]
    assert upgrade_engine.difference(old, old[:2])[0] is False


def test_what_does_not_compile_is_said_by_place(tmp_path):
    log = tmp_path / "log"
    log.write_text("x\n../src/engine/llama/shim_state.cpp:88:3: error: 'llama_io_write_i' has no member 'x'\n"
                   "../src/engine/llama/shim.cpp:5:1: fatal error: chat.h: No such file\nninja: stopped\n")
    text = upgrade_engine.explain(log, "1.2.3")
    assert "src/engine/llama/shim_state.cpp:88: 'llama_io_write_i' has no member 'x'" in text
    assert "shim.cpp:5: chat.h" in text and "(2 places" in text and "Nothing was changed" in text
