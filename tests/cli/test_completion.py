"""Tab in bash, zsh and fish, with the scripts as `tresor completion` prints them."""
import os
import shutil
import subprocess

import pytest
from conftest import BINARY
from terminal import Terminal


@pytest.fixture(autouse=True)
def path(desk):
    """The command by its name; two models at the server."""
    folder = os.path.join(desk.home, "bin")
    os.mkdir(folder)
    os.symlink(BINARY, os.path.join(folder, "tresor"))
    desk.env["PATH"] = folder + ":" + desk.env["PATH"]
    desk.fake.tags = [{"name": "small:latest"}, {"name": "small:big"}, {"name": "other"}]


def bash(desk, line):
    script = """
    source <(tresor completion bash) || exit 1
    complete -p tresor || exit 1
    COMP_LINE=$1 COMP_POINT=${#1}
    read -ra COMP_WORDS <<<"$1"
    _tresor
    printf '%s\\n' "${COMPREPLY[@]}"
    """
    r = subprocess.run(["bash", "--norc", "-c", script, "bash", line], env=desk.env, cwd=desk.home, capture_output=True,
                       text=True, timeout=60, check=False)
    assert r.returncode == 0 and not r.stderr, r.stderr
    first, *found = r.stdout.splitlines()
    assert first == "complete -F _tresor tresor"
    return [f for f in found if f]


def test_bash(desk):
    assert bash(desk, "tresor pu") == ["pull", "push"]
    assert bash(desk, "tresor user d") == ["disable", "delete"]
    assert bash(desk, "tresor run --verb") == ["--verbose"]
    assert bash(desk, "tresor run ") == ["small:latest", "small:big", "other"]
    assert bash(desk, "tresor run o") == ["other"]
    assert bash(desk, "tresor rm other small:b") == ["big"]  # readline replaces what is after the colon
    assert bash(desk, "tresor run --think=h") == ["high"]
    assert set(bash(desk, "tresor completion ")) == {"bash", "zsh", "fish"}
    assert "bin" in bash(desk, "tresor create x -f ")


@pytest.mark.parametrize("name", ["$(touch made)", "`touch made`", "a;touch made", "a b", "a'b", "a\"b", "a\\b", "a*", "~a",
                                  "a\nb", "\xe4", ""])
def test_a_name_that_a_shell_reads_as_more_than_a_word_is_not_offered(desk, name):
    desk.fake.tags = [{"name": name}, {"name": "hf.co/U-1/r_2:Q4@x+y"}]
    assert "".join(bash(desk, "tresor run ")) == "hf.co/U-1/r_2:Q4@x+y"
    assert not os.path.exists(os.path.join(desk.home, "made"))


def test_no_server_is_started_for_a_tab(desk):
    desk.env["TRESOR_HOST"] = ""
    assert bash(desk, "tresor run ") == []
    assert not os.path.exists(os.path.join(desk.home, ".local/share/tresor"))


def test_zsh(desk):
    if not shutil.which("zsh"):
        pytest.skip("no zsh here")
    with Terminal(["zsh", "-f", "-i"], desk.env, columns=200, cwd=desk.home) as t:
        t.send("autoload -U compinit; compinit -u -D; source <(tresor completion zsh); PS1=ready'> '\n")
        t.wait_for("ready> ")  # as typed it has a quote in it
        t.send("tresor unp\t")
        t.wait_for("tresor unpin")
        t.send("\x15tresor run ot\t")
        t.wait_for("tresor run other")
        t.send("\x15tresor run --hi\t")
        t.wait_for("--hidethinking")


def test_fish(desk):
    if not shutil.which("fish"):
        pytest.skip("no fish here")
    for line, want in (("tresor pu", ["pull", "push"]), ("tresor run sm", ["small:big", "small:latest"]),
                       ("tresor run --hi", ["--hidethinking"])):
        r = subprocess.run(["fish", "--no-config", "-c", f"source (tresor completion fish | psub); complete -C '{line}'"],
                           env=desk.env, cwd=desk.home, capture_output=True, text=True, timeout=60, check=False)
        assert sorted(x.split("\t")[0] for x in r.stdout.splitlines()) == want, r.stderr


def test_a_shell_that_is_not_known(desk):
    code, out, err = desk.run("completion", "tcsh")
    assert code == 2 and not out and "bash, zsh or fish" in err
