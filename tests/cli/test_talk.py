"""`tresor run` on a terminal: the line editor, slash commands, Ctrl+C, the history, word wrap."""
import os
import signal
import stat
import sys
import termios
import threading
import time

import pytest
from terminal import Screen, plain

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Instance  # noqa: E402

PROMPT = ">>> "
READY = "\x1b[?2004h"  # the editor waits for keys


def ask(t, line):
    """Types a line at the prompt; what is shown until the next prompt, without escape sequences."""
    t.wait_for(READY)
    t.send(line + "\r")
    t.wait_for("\x1b[?2004l")
    start = t.seen
    t.wait_for(READY)
    t.seen -= len(READY)
    return plain(t.text[start:t.seen])


def bye(t):
    t.wait_for(READY)
    t.send("\x04")
    assert t.wait() == 0


def test_a_talk(desk):
    with desk.terminal("run", "small") as t:
        assert ask(t, "hello") == "Hello there.\n\n"
        assert ask(t, "and again") == "Hello there.\n\n"
        bye(t)
    last = desk.fake.bodies("/api/chat")[-1]["messages"]
    assert [(m["role"], m["content"]) for m in last] == [
        ("user", "hello"), ("assistant", "Hello there."), ("user", "and again")]
    assert PROMPT + "hello" in t.screen() and "Hello there." in t.screen()


def test_the_history_is_kept_for_the_person_alone(desk):
    with desk.terminal("run", "small") as t:
        ask(t, "first question")
        ask(t, "zweite Fr\u00e4ge")
        bye(t)
    assert open(desk.history, encoding="utf-8").read() == "first question\nzweite Fr\u00e4ge\n"
    assert stat.S_IMODE(os.stat(desk.history).st_mode) == 0o600
    with desk.terminal("run", "small") as t:
        ask(t, "\x1b[A\x1b[A\x1b[A\x05!")  # up, up, up, end
        bye(t)
    assert desk.fake.bodies("/api/chat")[-1]["messages"][-1]["content"] == "first question!"


@pytest.mark.parametrize("name", ["TRESOR_NOHISTORY", "OLLAMA_NOHISTORY"])
def test_no_history_when_it_is_not_wanted(desk, name):
    with desk.terminal("run", "small", env={name: "1"}) as t:
        ask(t, "secret")
        bye(t)
    assert not os.path.exists(desk.history)


def test_set_nohistory_and_history(desk):
    with desk.terminal("run", "small") as t:
        for line in ("/set nohistory", "secret", "/set history", "open"):
            ask(t, line)
        bye(t)
    assert open(desk.history, encoding="utf-8").read() == "/set nohistory\nopen\n"


def test_ctrl_c_stops_the_answer_and_not_the_program(desk):
    desk.fake.say, desk.fake.slow = ["word "] * 1000, 0.05
    with desk.terminal("run", "small") as t:
        t.wait_for(READY)
        t.send("talk on\r")
        t.wait_for("word word")
        t.send("\x03")
        t.wait_for(READY, 10)
        assert desk.fake.gone.wait(10), "the request was not ended"
        desk.fake.say, desk.fake.slow = ["Short."], 0
        t.seen -= len(READY)
        assert ask(t, "now") == "Short.\n\n"
        bye(t)
    said = desk.fake.bodies("/api/chat")[-1]["messages"]
    assert [m["role"] for m in said] == ["user", "assistant", "user"]
    assert said[1]["content"].startswith("word word")  # what was said stays


def test_ctrl_c_before_the_first_word(desk):
    desk.fake.say, desk.fake.slow = [""] * 600, 0.1
    with desk.terminal("run", "small") as t:
        t.wait_for(READY)
        t.send("talk on\r")
        while not desk.fake.bodies("/api/chat"):
            time.sleep(0.02)
        t.send("\x03")
        t.wait_for(READY, 10)
        desk.fake.say, desk.fake.slow = ["Short."], 0
        t.seen -= len(READY)
        ask(t, "now")
        bye(t)
    assert [m["content"] for m in desk.fake.bodies("/api/chat")[-1]["messages"]] == ["now"]


def test_ctrl_c_at_the_prompt_says_how_to_leave(desk):
    with desk.terminal("run", "small") as t:
        t.wait_for(READY)
        t.send("half\x03")
        t.wait_for(READY)
        t.send("\x03")
        t.wait_for("Use Ctrl + d or /bye to exit.")
        ask(t, "whole")
        bye(t)
    assert desk.fake.bodies("/api/chat")[-1]["messages"] == [{"role": "user", "content": "whole"}]


@pytest.mark.parametrize("leave", ["/bye", "/exit"])
def test_leaving(desk, leave):
    with desk.terminal("run", "small") as t:
        t.wait_for(READY)
        t.send(leave + "\r")
        assert t.wait() == 0
        assert t.text.endswith("\x1b[?2004l")  # pasted text is not marked for the shell


def test_the_terminal_is_as_before(desk):
    with desk.terminal("run", "small") as t:
        before = termios.tcgetattr(t.master)
        t.wait_for(READY)
        assert termios.tcgetattr(t.master)[3] != before[3]
        t.send("\x04")
        assert t.wait() == 0
        assert termios.tcgetattr(t.master)[:4] == before[:4]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_that_ends_the_talk_puts_the_terminal_back(desk, number):
    with desk.terminal("run", "small") as t:
        before = termios.tcgetattr(t.master)
        t.wait_for(READY)
        os.kill(t.process.pid, number)
        assert t.wait() == -number
        assert termios.tcgetattr(t.master)[:4] == before[:4]
        assert t.text.endswith("\x1b[?2004l")


@pytest.mark.parametrize("line, path", [("/show info", "/api/show"), ("/load other", "/api/show"),
                                        ("/load other", "/api/generate"), ("/save mine", "/api/create")])
def test_ctrl_c_ends_a_command_and_not_the_program(desk, line, path):
    desk.fake.models["other"] = desk.fake.models["small"]
    with desk.terminal("run", "small") as t:
        t.wait_for(READY)
        free = desk.fake.hold[path] = threading.Event()
        t.send(line + "\r")
        end = time.monotonic() + 20
        while desk.fake.hold and time.monotonic() < end:
            time.sleep(0.02)
        t.send("\x03")
        t.wait_for("stopped", 5)
        free.set()
        assert ask(t, "hi") == "Hello there.\n\n"
        bye(t)
    assert desk.fake.bodies("/api/chat")[-1]["model"] == "small"


def test_ctrl_c_while_the_terminal_takes_nothing_keeps_the_answer(desk):
    desk.fake.say, desk.fake.slow = ["word " * 4000] * 40, 0.01
    with desk.terminal("run", "small") as t:
        t.wait_for(READY)
        t.send("talk on\r")
        time.sleep(1.5)  # nobody reads: the command waits in a write
        for _ in range(3):  # the first may end a write that took some
            os.kill(t.process.pid, signal.SIGINT)
            time.sleep(0.1)
        t.wait_for(READY, 10)
        desk.fake.say, desk.fake.slow = ["Short."], 0
        t.seen -= len(READY)
        assert ask(t, "now") == "Short.\n\n"
        bye(t)
    assert "tresor: run" not in t.text
    said = desk.fake.bodies("/api/chat")[-1]["messages"]
    assert [m["role"] for m in said] == ["user", "assistant", "user"] and said[1]["content"].startswith("word word")


def test_an_answer_wraps_between_words(desk):
    words = "The quick brown fox \u4f60\u597d\u4e16\u754c jumps over e\u0301e\u0301e\u0301e\u0301 the lazy dog. "
    desk.fake.say = [c for c in words * 6]
    with desk.terminal("run", "small", columns=33) as t:
        ask(t, "go")
        bye(t)
    lines = [line for line in t.screen() if not line.startswith(">>>")]
    shown = " ".join(line for line in lines if line)
    assert shown.replace(" ", "") == (words * 6).replace(" ", "")
    for word in words.split():
        if word.isascii():
            assert sum(line.split().count(word) for line in lines) == 6, (word, lines)


def test_nowordwrap_breaks_nothing(desk):
    desk.fake.say = ["word " * 30]
    with desk.terminal("run", "small", "--nowordwrap", "q", columns=33) as t:
        assert t.wait() == 0
    assert "word " * 30 in t.text


def test_an_answer_cannot_steer_the_terminal(desk):
    desk.fake.say = ["a\x1b]0;owned\x07b\x1b[2Jc\rd\x9b1A"]
    with desk.terminal("run", "small", "q") as t:
        assert t.wait() == 0
    text = t.text.split("a]0;", 1)[1]
    assert "\x1b]" not in text and "\x1b[2J" not in text and "\x07" not in text and "\x9b" not in text
    Screen(80).feed(t.text.replace("\x1b[K", ""))


def test_a_models_texts_cannot_steer_the_terminal(desk):
    desk.fake.models["small"].update(license="\x1b]0;owned\x07free\n", system="\x1b[2Jsay", template="\x9btemplate")
    for part in ("--license", "--system", "--template"):
        with desk.terminal("show", "small", part) as t:
            assert t.wait() == 0
        assert not set(t.text) & set("\x1b\x07\x9b"), t.text
    with desk.terminal("show", "small") as t:
        assert t.wait() == 0
    assert not set(t.text) & set("\x1b\x07\x9b"), t.text
    assert desk.run("show", "small", "--system")[1] == "\x1b[2Jsay"  # in a pipe the bytes are the text


def test_thinking_is_grey(desk):
    desk.fake.say = [("so", ""), "Yes."]
    with desk.terminal("run", "small", "q") as t:
        assert t.wait() == 0
    grey, bold, off = "\x1b[38;5;245m", "\x1b[1m", "\x1b[0m"
    text = t.text.replace("\r\n", "\n")
    assert f"{grey}{bold}Thinking...\n{off}{grey}so\n{grey}{bold}...done thinking.\n\n{off}Yes.\n\n" in text


# ---- messages of many lines ----

def test_three_quotes_hold_a_message_of_many_lines(desk):
    with desk.terminal("run", "small") as t:
        assert ask(t, '"""one') == ""
        assert ask(t, "/bye is text here") == ""
        assert ask(t, 'two"""') == "Hello there.\n\n"
        ask(t, '"""in one line"""')
        bye(t)
    said = [m["content"] for m in desk.fake.bodies("/api/chat")[-1]["messages"] if m["role"] == "user"]
    assert said == ["one\n/bye is text here\ntwo", "in one line"]
    assert "... two\"\"\"" in t.screen()


def test_a_paste_is_one_message(desk):
    with desk.terminal("run", "small") as t:
        t.wait_for(READY)
        t.send("look: \x1b[200~def f():\r\treturn 1\r\x1b[201~ok?\r")
        t.wait_for(READY)
        t.seen -= len(READY)
        bye(t)
    assert [m["content"] for m in desk.fake.bodies("/api/chat")[0]["messages"]] == ["look: def f():\n\treturn 1\nok?"]


def test_ctrl_j_begins_a_line(desk):
    with desk.terminal("run", "small") as t:
        ask(t, "one\ntwo")
        bye(t)
    assert desk.fake.bodies("/api/chat")[0]["messages"][0]["content"] == "one\ntwo"


@pytest.mark.parametrize("name", ["TRESOR_EDITOR", "OLLAMA_EDITOR", "VISUAL", "EDITOR"])
def test_ctrl_g_opens_the_editor(desk, name):
    script = os.path.join(desk.home, "my-editor")
    with open(script, "w", encoding="utf-8") as f:
        f.write('#!/bin/sh\n[ "$1" = -x ] || exit 1\n[ "$(stat -c %a "$2")" = 600 ] || exit 1\n'
                'printf " and\\nmore\\n" >>"$2"\n')
    os.chmod(script, 0o700)
    with desk.terminal("run", "small", env={name: f"{script} -x"}) as t:
        t.wait_for(READY)
        t.send("begun\x07")
        t.wait_for(READY)
        t.wait_for("more")
        t.send("!\r")
        t.wait_for(READY)
        t.seen -= len(READY)
        bye(t)
    assert desk.fake.bodies("/api/chat")[0]["messages"][0]["content"] == "begun and\nmore!"


def editor(desk, script):
    path = os.path.join(desk.home, "my-editor")
    with open(path, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + script)
    os.chmod(path, 0o700)
    return {"TRESOR_EDITOR": path, "TMPDIR": desk.home}


@pytest.mark.parametrize("trap, says, sent", [("trap '' INT QUIT", "begunmore", "begunmore!"),
                                              ("trap - INT QUIT", "the editor ended with an error", "begun!")])
def test_signals_in_the_editor_are_the_editors(desk, trap, says, sent):
    with desk.terminal("run", "small", env=editor(desk, f'{trap}\nkill -INT 0\nkill -QUIT 0\nprintf more >>"$1"\n')) as t:
        t.wait_for(READY)
        t.send("begun\x07")
        t.wait_for(says)
        t.send("!\r")
        t.wait_for("Hello there.")
        bye(t)
    assert desk.fake.bodies("/api/chat")[0]["messages"][0]["content"] == sent


@pytest.mark.parametrize("script, why", [("printf 'a\\377b' >\"$1\"", "not UTF-8"),
                                         ("head -c 1048577 /dev/zero | tr '\\0' x >\"$1\"", "more than 1 MiB")])
def test_what_the_editor_left_is_kept_when_it_cannot_be_taken(desk, script, why):
    with desk.terminal("run", "small", env=editor(desk, script), columns=200) as t:
        t.wait_for(READY)
        t.send("begun\x07")
        t.wait_for(why)
        t.wait_for("it is kept in ")
        path = t.wait_for(")")[:-1]
        ask(t, "!")
        bye(t)
    assert open(path, "rb").read() in (b"a\xffb", b"x" * 1048577)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert desk.fake.bodies("/api/chat")[0]["messages"][0]["content"] == "begun!"


def test_control_bytes_of_the_editor_and_the_history_are_not_drawn(desk):
    os.makedirs(os.path.dirname(desk.history))
    with open(desk.history, "wb") as f:
        f.write(b"old\x1b[2J\xc2\x9b1A\x07\n")
    with desk.terminal("run", "small", env=editor(desk, "printf 'new\\033]0;x\\007\\r\\nline' >\"$1\"")) as t:
        t.wait_for(READY)
        t.send("\x1b[A")
        t.wait_for("old[2J1A")
        t.send("\x15\x07")
        t.wait_for("new]0;x")
        t.send("\r")
        t.wait_for("Hello there.")
        bye(t)
    assert not set(t.text) & set("\x07\x9b") and "\x1b[2J" not in t.text and "\x1b]" not in t.text
    assert desk.fake.bodies("/api/chat")[0]["messages"][0]["content"] == "new]0;x\nline"


def test_an_editor_that_is_not_there_loses_nothing(desk):
    with desk.terminal("run", "small", env={"TRESOR_EDITOR": "/no/such/editor"}) as t:
        t.wait_for(READY)
        t.send("begun\x07")
        t.wait_for("was not found")
        ask(t, "!")
        bye(t)
    assert desk.fake.bodies("/api/chat")[0]["messages"][0]["content"] == "begun!"


# ---- slash commands ----

def test_set_changes_what_is_asked(desk):
    with desk.terminal("run", "small") as t:
        assert ask(t, "/set parameter temperature 0.25") == "Set parameter 'temperature' to '0.25'\n"
        assert ask(t, "/set parameter seed 7") == "Set parameter 'seed' to '7'\n"
        assert ask(t, "/set parameter stop a b") == "Set parameter 'stop' to 'a, b'\n"
        assert "unknown parameter 'cheese'" in ask(t, "/set parameter cheese 1")
        assert "invalid int value [much]" in ask(t, "/set parameter top_k much")
        assert "Available Parameters" in ask(t, "/set parameter seed")
        assert "invalid float value [0x1p-1]" in ask(t, "/set parameter top_p 0x1p-1")
        assert "unknown parameter 'mirostat'" in ask(t, "/set parameter mirostat 1")
        assert ask(t, "/set parameter use_mmap 1") == "Set parameter 'use_mmap' to '1'\n"
        assert "invalid bool value [yes]" in ask(t, "/set parameter use_mmap yes")
        assert ask(t, "/set system be brief  now") == "Set system message.\n"
        assert ask(t, "/set format json") == "Set format to 'json' mode.\n"
        assert "Invalid or missing format" in ask(t, "/set format xml")
        assert ask(t, "/set think high") == "Set 'think' mode to 'high'.\n"
        assert "error:" in ask(t, "/set think deep")
        assert ask(t, "/set verbose") == "Set 'verbose' mode.\n"
        assert "eval rate:            25.00 tokens/s" in ask(t, "hi")
        body = desk.fake.bodies("/api/chat")[-1]
        assert body["options"] == {"temperature": 0.25, "seed": 7, "stop": ["a", "b"], "use_mmap": True}
        assert body["format"] == "json" and body["think"] == "high"
        assert body["messages"][0] == {"role": "system", "content": "be brief  now"}
        for line, reply in (("/set noformat", "Disabled format.\n"), ("/set nothink", "Set 'nothink' mode.\n"),
                            ("/set quiet", "Set 'quiet' mode.\n"), ("/set nowordwrap", "Set 'nowordwrap' mode.\n"),
                            ("/set wordwrap", "Set 'wordwrap' mode.\n")):
            assert ask(t, line) == reply
        assert ask(t, "hi") == "Hello there.\n\n"
        assert "format" not in desk.fake.bodies("/api/chat")[-1]
        assert desk.fake.bodies("/api/chat")[-1]["think"] is False
        assert "cannot be set here" in ask(t, "/set template x")
        assert ask(t, "/set cheese") == "Unknown command '/set cheese'. Type /? for help\n"
        bye(t)


def test_a_long_word_is_refused_and_not_cut(desk):
    with desk.terminal("run", "small", columns=2000) as t:
        assert ask(t, "/save " + "m" * 511) == f"Created new model '{'m' * 511}'\n"
        assert ask(t, "/save " + "m" * 512) == "error: a word is longer than 511 bytes\n"
        assert ask(t, "/set parameter stop" + " s" * 62) == "error: more than 64 words\n"
        assert ask(t, "/set parameter stop " + "s" * 512) == "error: a word is longer than 511 bytes\n"
        assert ask(t, "/set system " + "w" * 600) == "Set system message.\n"  # a text and no word
        ask(t, "hi")
        bye(t)
    assert len(desk.fake.bodies("/api/create")) == 1
    body = desk.fake.bodies("/api/chat")[0]
    assert body["messages"][0]["content"] == "w" * 600 and "options" not in body


def test_a_system_message_of_many_lines(desk):
    with desk.terminal("run", "small") as t:
        ask(t, '/set system """one')
        assert ask(t, 'two"""') == "Set system message.\n"
        ask(t, "hi")
        bye(t)
    assert desk.fake.bodies("/api/chat")[0]["messages"][0] == {"role": "system", "content": "one\ntwo"}


def test_show_says_what_the_model_is(desk):
    desk.fake.models["small"]["modelfile"] = "FROM small\n"
    with desk.terminal("run", "small") as t:
        info = ask(t, "/show info")
        assert "    architecture      llama    \n" in info and "  License\n    MIT License" in info
        assert ask(t, "/show license") == "MIT License\nCopyright (c) somebody\n\n"
        assert ask(t, "/show modelfile") == "FROM small\n\n"
        assert ask(t, "/show template") == "{{ x }}\n"
        assert ask(t, "/show system") == "You are small.\n"
        ask(t, "/set system big")
        assert ask(t, "/show system") == "big\n\n"
        ask(t, "/set parameter num_ctx 99")
        assert ask(t, "/show parameters") == (
            "Model defined parameters:\n  temperature                    0.5\n\n"
            "User defined parameters:\n  num_ctx                        99\n\n")
        assert "Unknown command '/show cheese'" in ask(t, "/show cheese")
        bye(t)


def test_load_save_and_clear(desk):
    desk.fake.models["other"] = desk.fake.models["small"]
    with desk.terminal("run", "small") as t:
        ask(t, "/set system s")
        ask(t, "/set parameter seed 1")
        ask(t, "hi")
        assert ask(t, "/save mine") == "Created new model 'mine'\n"
        assert desk.fake.bodies("/api/create") == [{
            "model": "mine", "from": "small", "system": "s", "parameters": {"seed": 1},
            "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello there."}]}]
        assert ask(t, "/load nobody") == "Loading model 'nobody'\nCouldn't find model 'nobody'\n"
        ask(t, "still")
        assert desk.fake.bodies("/api/chat")[-1]["model"] == "small"
        assert len(desk.fake.bodies("/api/chat")[-1]["messages"]) == 4
        assert "Cleared session context" in ask(t, "/clear")
        ask(t, "fresh")
        assert [m["content"] for m in desk.fake.bodies("/api/chat")[-1]["messages"]] == ["s", "fresh"]
        assert plain(ask(t, "/load other")).startswith("Loading model 'other'\n")
        ask(t, "hi")
        assert desk.fake.bodies("/api/chat")[-1]["model"] == "other"
        assert "/load <modelname>" in ask(t, "/load") and "/save <modelname>" in ask(t, "/save a b")
        bye(t)


def test_help_and_what_is_no_command(desk):
    with desk.terminal("run", "small") as t:
        assert "/set            Set session variables" in ask(t, "/?")
        assert "/set system <string>" in ask(t, "/? set")
        assert "/show license" in ask(t, "/help show")
        assert "Ctrl + w" in ask(t, "/? shortcuts")
        assert "Available Commands" in ask(t, "/set") and "Available Commands" in ask(t, "/show")
        assert ask(t, "/frobnicate") == "Unknown command '/frobnicate'. Type /? for help\n"
        bye(t)
    assert not desk.fake.bodies("/api/chat")


def test_an_error_leaves_the_talk_going(desk):
    with desk.terminal("run", "small") as t:
        ask(t, "one")
        gone = desk.fake.models.pop("small")
        assert "not found" in ask(t, "two")
        desk.fake.models["small"] = gone
        ask(t, "three")
        bye(t)
    said = desk.fake.bodies("/api/chat")[-1]["messages"]
    assert [m["content"] for m in said] == ["one", "Hello there.", "three"]


def test_a_pictures_path_at_the_beginning_is_a_message(desk):
    desk.fake.models["small"]["capabilities"] = ["completion", "vision"]
    path = os.path.join(desk.home, "p.png")
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n....")
    with desk.terminal("run", "small", columns=200) as t:
        assert f"Added image '{path}'" in ask(t, f"{path} what is it")
        bye(t)
    m = desk.fake.bodies("/api/chat")[-1]["messages"][0]
    assert m["content"] == "what is it" and len(m["images"]) == 1


def test_a_dumb_terminal_gets_no_escape_codes(desk):
    with desk.terminal("run", "small", term="dumb") as t:
        t.wait_for(PROMPT)
        t.send("hello\n")
        t.wait_for("Hello there.")
        t.wait_for(PROMPT)
        t.send("/bye\n")
        assert t.wait() == 0
    assert "\x1b" not in t.text


# ---- progress ----

PULL = [{"status": "pulling manifest"},
        {"status": "pulling 0123456789ab", "total": 92_000_000, "completed": 46_000_000},
        {"status": "pulling 0123456789ab", "total": 92_000_000, "completed": 92_000_000},
        {"status": "success"}]


def test_a_pull_shows_a_bar_on_a_terminal(desk):
    desk.fake.pull = PULL
    with desk.terminal("pull", "new", columns=100) as t:
        assert t.wait() == 0
    lines = t.screen()
    assert lines[0] == "pulling manifest" and lines[2] == "success" and len(lines) == 3
    assert lines[1].startswith("pulling 0123456789ab") and "100% \u2595\u2588" in lines[1]
    assert "\u258f  92 MB/ 92 MB" in lines[1]
    assert " 50% \u2595" in t.text


def test_what_a_server_says_cannot_steer_the_terminal(desk):
    evil = "\x1b]0;owned\x07\x9b1A\x7f"
    machine = {"cpu": evil, "gpu": evil, "cores": 4, "memory": 1000}
    desk.fake.pull = [{"status": "pulling " + evil}]
    desk.fake.models["vec"] = {"capabilities": ["embedding"]}
    desk.fake.embedding = [evil]
    desk.fake.tags = [{"name": evil}]
    desk.fake.more = {
        "/team/v1/advise": {"machine": machine, "advice": [{"source": evil, "licence": evil, "fits": True}]},
        "/team/v1/fleet": {"models": [{"name": evil, "state": evil, "settings": evil, "tuned": evil}],
                           "quarantine": [{"request": evil, "model": evil}]}}
    for args in (["pull", "new"], ["run", "vec", "q"], ["list", "--json"], ["advise"], ["advise", "--best"],
                 ["ps", "--verbose"]):
        with desk.terminal(*args, term="dumb") as t:  # which gets no sequence of our own
            assert t.wait() == 0, t.text
        assert "owned" in t.text and not set(t.text) & set("\x1b\x07\x9b\x7f"), (args, t.text)
    assert "pulling ?]0;owned??1A?" in desk.run("pull", "new")[2]


def test_a_pull_is_plain_lines_elsewhere(desk):
    desk.fake.pull = PULL
    assert desk.run("pull", "new") == (0, "", "pulling manifest\npulling 0123456789ab\nsuccess\n")


# ---- with the real server ----

def test_ctrl_c_does_not_end_the_server_of_the_moment():
    with Instance() as i:
        i.with_model()
        from terminal import Terminal
        env = {k: v for k, v in i.env.items() if k not in ("TRESOR_HOST", "OLLAMA_HOST")}
        with Terminal([i.binary, "run", "smollm2", "--data", i.data], env) as t:
            t.wait_for(READY, 120)
            t.send("Tell me a very long story about the sea.\r")
            t.wait_for("\x1b[?2004l")
            end = time.monotonic() + 60
            while len(plain(t.text[t.seen:])) < 20 and time.monotonic() < end:
                t.read(0.1)
            t.send("\x03")
            t.wait_for(READY, 20)
            t.send("/set parameter num_predict 8\r")
            t.wait_for("Set parameter")
            t.wait_for(READY)
            t.seen -= len(READY)
            assert len(ask(t, "Say hello.")) > 3
            bye(t)
        assert not os.path.exists(os.path.join(i.data, "control.sock"))
