"""tools/check-style, tools/layers, tools/check-hardening and tools/tap.py find what they must."""
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(os.environ.get("TRESOR_ROOT", pathlib.Path(__file__).parents[2]))
sys.path.insert(0, str(ROOT / "tools"))
import tap  # noqa: E402


def run(*cmd):
    return subprocess.run(list(map(str, cmd)), capture_output=True, text=True, check=False)


# ---- style ----

@pytest.mark.parametrize("code,finding", [
    ("#include <string.h>\nvoid f(char *a)\n{\n\tstrcpy(a, \"x\");\n}\n", "strcpy() is banned"),
    ("int x; /* " + "y" * 100 + " */\n", "columns"),
    ("\tint " + "y" * 92 + ";\n", "columns"), # 8 + 4 + 92 + 1 = 105
    ("int x;\n" * 801, "801 lines"),
    ("void f(void)\n{\n" + "\tg();\n" * 121 + "}\n", "f has 121 lines"),
    ("void f(void)\n{\n    g();\n}\n", "blanks, not tabs"),
    ("int x; \n", "blanks at the end"),
])
def test_style_finds(tmp_path, code, finding):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.c").write_text(code)
    done = run(ROOT / "tools/check-style", tmp_path)
    assert done.returncode == 1 and finding in done.stdout, done.stdout


@pytest.mark.parametrize("code", [
    "/* strcpy(a, b) */\nconst char *s = \"system(x)\";\n",
    "int x; /* " + "y" * 85 + " */\n",
    "void f(void)\n{\n" + "\tg();\n" * 120 + "}\n",
    "void f(void)\n{\n\tmy_strcpy(a);\n\to->gets(a);\n}\n",
])
def test_style_allows(tmp_path, code):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.c").write_text(code)
    done = run(ROOT / "tools/check-style", tmp_path)
    assert done.returncode == 0, done.stdout


def test_style_refuses_a_lock_file_with_hosts(tmp_path):
    (tmp_path / "package-lock.json").write_text('{"resolved": "https://registry.example/x.tgz"}')
    assert run(ROOT / "tools/check-style", tmp_path).returncode == 1


# ---- layers ----

@pytest.fixture
def tree(tmp_path):
    for folder in ("base", "os", "engine/llama", "store"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "rules").write_text("base:\nos: base\nstore: base os\nengine: base\n")
    return tmp_path


@pytest.mark.parametrize("path,include,ok", [
    ("os/a.c", '"base/str.h"', True), ("base/a.c", '"os/fd.h"', False),
    ("engine/a.c", '<llama.h>', False), ("engine/llama/a.cpp", '<llama.h>', True),
    ("engine/a.c", '<sqlite3.h>', False), ("store/a.c", '<sqlite3.h>', True),
    ("base/a.c", '"tests/test.h"', False), ("base/a_test.c", '"tests/test.h"', True),
])
def test_layers(tree, path, include, ok):
    (tree / path).write_text(f"#include {include}\n")
    done = run(ROOT / "tools/layers", tree, tree / "rules")
    assert (done.returncode == 0) == ok, done.stdout


def test_layers_refuses_a_rule_that_points_down(tree):
    (tree / "rules").write_text("base: os\nos: base\nstore:\nengine:\n")
    assert run(ROOT / "tools/layers", tree, tree / "rules").returncode == 1


# ---- hardening ----

@pytest.mark.parametrize("flags,finding", [
    (("-fPIE", "-no-pie"), "not position independent"),
    (("-fPIE", "-pie", "-Wl,-z,lazy"), "no full RELRO"),
    (("-fPIE", "-pie", "-Wl,-z,now,-z,relro", "-z", "execstack"), "executable stack"),
    (("-fPIE", "-pie", "-Wl,-z,now,-z,relro", "-fno-stack-protector"), "no stack protector"),
    (("-fPIE", "-pie", "-Wl,-z,now,-z,relro", "-U_FORTIFY_SOURCE"), "no FORTIFY"),
    (("-fPIE", "-pie", "-Wl,-z,now,-z,relro", "-Wl,-rpath,/opt/x"), "library path /opt/x"),
    (("-fPIE", "-pie", "-Wl,-z,now,-z,relro"), ""),
])
def test_hardening(tmp_path, flags, finding):
    (tmp_path / "a.c").write_text("#include <stdio.h>\n#include <string.h>\nint main(int n, char **v)\n{\n"
                                  "\tchar b[32];\n\tmemcpy(b, v[0], (size_t)n);\n\treturn puts(b);\n}\n")
    done = run("cc", "-O2", "-D_FORTIFY_SOURCE=2", "-fstack-protector-all", tmp_path / "a.c", *flags,
               "-o", tmp_path / "tresor")
    assert done.returncode == 0, done.stderr
    done = run(ROOT / "tools/check-hardening", tmp_path)
    assert (done.returncode == 0) == (not finding) and finding in done.stdout, done.stdout


# ---- TAP ----

@pytest.mark.parametrize("text,code,passed,failed,skipped", [
    ("1..2\nok 1 - a\nok 2 - b\n", 0, 2, 0, 0),
    ("ok 1 - a\nnot ok 2 - b\n1..2\n", 1, 1, 1, 0),
    ("1..3\nok 1 - a\nok 2 # SKIP no card\n", 0, 1, 1, 1), # one is missing
    ("ok 1 - a\n", 0, 1, 1, 0), # no plan
    ("", 139, 0, 1, 0),
    ("1..1\nok 1 - a\n", 1, 1, 1, 0), # all well, but the exit code is not
    ("1..0 # SKIP no docker-registry\n", 0, 0, 0, 1),
    ("1..1\nok 1 - a\n    not ok 1 - inner\n# not ok\n", 0, 1, 0, 0),
    ("Bail out! no room\n1..1\nok 1\n", 0, 1, 1, 0),
])
def test_tap(text, code, passed, failed, skipped):
    r = tap.parse(text, code)
    assert (r.passed, r.failed, r.skipped) == (passed, failed, skipped), r


def test_the_first_words_of_the_reason_stand_beside_the_name():
    r = tap.parse("1..2\nnot ok 1 - a\n# 7 is not 8\n# more\nok 2 - b\n# noise\n", 1)
    assert r.failures == ["a: 7 is not 8"]


def test_pytest_plugin_prints_tap(tmp_path):
    (tmp_path / "test_x.py").write_text(
        "import pytest\ndef test_good():\n    print('noise')\n\ndef test_bad():\n    assert 1 == 2\n\n"
        "def test_left_out():\n    pytest.skip('no card')\n\n@pytest.fixture\ndef broken():\n    raise OSError\n\n"
        "def test_set_up(broken):\n    pass\n")
    done = run(ROOT / "tools/pytest-tap", tmp_path)
    r = tap.parse(done.stdout, done.returncode)
    assert (r.passed, r.skipped, r.planned) == (1, 1, 4), done.stdout
    assert len(r.failures) == 2 and "no card" in r.notes[0]
    (tmp_path / "test_x.py").write_text("syntax error here\n")
    done = run(ROOT / "tools/pytest-tap", tmp_path)
    assert tap.parse(done.stdout, done.returncode).failed
