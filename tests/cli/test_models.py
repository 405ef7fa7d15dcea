"""list, show, ps, cp, rm, push, create and the host they talk to, against a server that records."""
import datetime
import hashlib
import os

import pytest
from fake import Fake

DIGEST = "0123456789abcdef" * 4


def ago(**kw):
    return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(**kw)).isoformat()


def test_list_is_ollamas_table(desk):
    desk.fake.tags = [{"name": "small:latest", "digest": DIGEST, "size": 92_000_000, "modified_at": ago(hours=24)},
                      {"name": "Other", "digest": "f" * 64, "size": 1_500_000_000, "modified_at": ago(minutes=5)}]
    head = "NAME            ID              SIZE      MODIFIED      \n"
    first = "small:latest    0123456789ab    92 MB     24 hours ago     \n"
    second = "Other           ffffffffffff    1.5 GB    5 minutes ago    \n"
    for command in ("list", "ls"):
        assert desk.run(command)[1] == head + first + second
    assert desk.run("list", "oth")[1] == ("NAME     ID              SIZE      MODIFIED      \n"
                                          "Other    ffffffffffff    1.5 GB    5 minutes ago    \n")


def test_ps_is_ollamas_table(desk):
    def loaded(name, size, gpu, until):
        return {"name": name, "digest": DIGEST, "size": size, "size_vram": gpu, "context_length": 4096,
                "expires_at": until}
    desk.fake.loaded = [loaded("a", 1000, 0, ago(minutes=-4, seconds=-30)), loaded("b", 1000, 1000, "2318-01-01T00:00:00Z"),
                        loaded("c", 1000, 250, ago(seconds=5))]
    assert desk.run("ps")[1] == (
        "NAME    ID              SIZE    PROCESSOR          CONTEXT    UNTIL              \n"
        "a       0123456789ab    1 KB    100% CPU           4096       4 minutes from now    \n"
        "b       0123456789ab    1 KB    100% GPU           4096       Forever               \n"
        "c       0123456789ab    1 KB    75%/25% CPU/GPU    4096       Stopping...           \n")


def test_show_parts_and_sections(desk):
    desk.fake.models["small"]["modelfile"] = "FROM x"
    text = desk.run("show", "small")[1]
    assert text.startswith("  Model\n    architecture      llama    \n    parameters        135M     \n")
    assert "  Capabilities\n    completion    \n    tools         \n" in text
    assert "  Parameters\n    temperature    0.5    \n" in text
    assert desk.run("show", "small", "--system")[1] == "You are small."
    assert desk.run("show", "small", "--template")[1] == "{{ x }}"
    assert desk.run("show", "small", "--modelfile")[1] == "FROM x\n"
    assert desk.run("show", "small", "--license")[1] == "MIT License\nCopyright (c) somebody\n\n"
    code, _, err = desk.run("show", "small", "--system", "--license")
    assert code == 1 and "only one of" in err
    assert "  Metadata\n    general.architecture    llama    \n" in desk.run("show", "small", "-v")[1]
    assert desk.fake.bodies("/api/show")[-1] == {"model": "small", "verbose": True}
    del desk.fake.models["small"]["modelfile"]
    code, _, err = desk.run("show", "small", "--modelfile")
    assert code == 1 and "modelfile" in err


def test_cp_and_rm(desk):
    assert desk.run("cp", "small", "mine") == (0, "copied 'small' to 'mine'\n", "")
    assert desk.fake.bodies("/api/copy") == [{"source": "small", "destination": "mine"}]
    code, _, err = desk.run("cp", "nobody", "mine")
    assert code == 1 and "not found" in err
    assert desk.run("rm", "small") == (0, "deleted 'small'\n", "")
    code, out, err = desk.run("rm", "small", "nobody")
    assert (code, out) == (1, "deleted 'small'\n") and "nobody" in err
    code, _, err = desk.run("stop", "nobody")
    assert code == 1 and "couldn't find model \"nobody\" to stop" in err


def test_push_says_that_the_server_cannot(desk):
    code, out, err = desk.run("push", "small")
    assert (code, out) == (1, "") and "this server cannot push models" in err


def test_create_sends_the_files_and_names_them(desk):
    model, projector = os.path.join(desk.home, "m.gguf"), os.path.join(desk.home, "p.gguf")
    for path, byte in ((model, b"m"), (projector, b"p")):
        with open(path, "wb") as f:
            f.write(b"GGUF" + byte * 100)
    code, out, err = desk.run("create", "mine", "-f", model, "--projector", projector, "-q", "q4_K_M")
    assert (code, out) == (0, "")
    digests = ["sha256:" + hashlib.sha256(b"GGUF" + b * 100).hexdigest() for b in (b"m", b"p")]
    assert [p for _, p, _ in desk.fake.asked] == [*(f"/api/blobs/{d}" for d in digests), "/api/create"]
    assert desk.fake.bodies("/api/create") == [{"model": "mine", "quantize": "q4_K_M",
                                                "files": dict(zip(("m.gguf", "p.gguf"), digests))}]
    assert err == "copying file\ncopying file\nwriting manifest\nsuccess\n"


def modelfile(desk, text, name="Modelfile"):
    path = os.path.join(desk.home, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def test_create_of_a_modelfile(desk):
    path = modelfile(desk, """# ours
FROM small
PARAMETER temperature 0.5
PARAMETER stop "<end>"
PARAMETER stop STOP
PARAMETER mirostat 1
SYSTEM \"\"\"You are
brief.\"\"\"
TEMPLATE {{ .Prompt }}
MESSAGE user Hi
MESSAGE assistant Ho
LICENSE MIT
LICENSE \"\"\"and more\"\"\"
REQUIRES 0.14.0
""")
    code, _, err = desk.run("create", "mine", "-f", path)
    assert code == 0, err
    assert desk.fake.bodies("/api/create") == [{
        "model": "mine", "from": "small", "template": "{{ .Prompt }}", "system": "You are\nbrief.",
        "license": ["MIT", "and more"], "parameters": {"temperature": 0.5, "stop": ["<end>", "STOP"]},
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}],
        "requires": "0.14.0"}]
    assert "line 6: the parameter mirostat has no effect" in err and "line 14: REQUIRES" in err


def test_create_takes_files_from_beside_the_modelfile(desk):
    folder = os.path.join(desk.home, "made")
    os.mkdir(folder)
    for name, byte in (("m.gguf", b"m"), ("p.gguf", b"p")):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(b"GGUF" + byte * 100)
    path = modelfile(desk, "FROM ./m.gguf\nFROM p.gguf\nRENDERER x\n", "made/Modelfile")
    assert desk.run("create", "mine", "-f", path)[0] == 0
    digests = ["sha256:" + hashlib.sha256(b"GGUF" + b * 100).hexdigest() for b in (b"m", b"p")]
    assert desk.fake.bodies("/api/create") == [{"model": "mine", "renderer": "x", "files": dict(
        zip(("m.gguf", "p.gguf"), digests))}]


def test_create_sends_an_adapter_of_a_file_a_folder_or_the_server(desk):
    folder = os.path.join(desk.home, "adapted")
    os.makedirs(folder + "/peft")
    files = {"a.gguf": b"GGUF" + b"a" * 50, "peft/adapter_config.json": b"{}", "peft/adapter_model.safetensors": b"t",
             "peft/README.md": b"not of use"}
    for name, data in files.items():
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
    digest = {os.path.basename(n): "sha256:" + hashlib.sha256(d).hexdigest() for n, d in files.items()}
    for text, want in (("a.gguf", {"a.gguf": digest["a.gguf"]}),
                       ("./peft", {n: digest[n] for n in ("adapter_config.json", "adapter_model.safetensors")}),
                       (digest["a.gguf"], {"adapter.gguf": digest["a.gguf"]})):
        path = modelfile(desk, f"FROM small\nADAPTER {text}\n", "adapted/Modelfile")
        assert desk.run("create", "mine", "-f", path)[0] == 0
        assert desk.fake.bodies("/api/create")[-1] == {"model": "mine", "from": "small", "adapters": want}
    code, _, err = desk.run("create", "mine", "-f", modelfile(
        desk, "FROM small\nADAPTER a.gguf\nADAPTER a.gguf\n", "adapted/Modelfile"))
    assert code == 1 and "line 3: only one adapter" in err


@pytest.mark.parametrize("text, why", [
    ("FROM small\nTEMPERATURE 1\n", "line 2, column 1"), ("SYSTEM x\n", "FROM"), ("FROM small\nADAPTER a\n", "line 2: cannot read"),
    ("FROM small\nADAPTER .\n", "line 2: the folder"), ("FROM small\nADAPTER Modelfile\n", "line 2: "),
    ("FROM .\n", "line 1: "), ("FROM Modelfile\n", "is not a GGUF file"),
    ("FROM small\nPARAMETER temperature hot\n", "line 2, column 23"), ("FROM small\nSYSTEM \"\"\"x\n", "line 2")])
def test_create_says_where_a_modelfile_is_wrong(desk, text, why):
    code, _, err = desk.run("create", "mine", "-f", modelfile(desk, text))
    assert code == 1 and why in err and not desk.fake.asked, err


def test_create_without_a_file(desk):
    for args, why in (([], "cannot read the file Modelfile"), (["-f", "/none"], "cannot read the file /none")):
        code, _, err = desk.run("create", "mine", *args)
        assert code == 1 and why in err
    assert not desk.fake.asked


# ---- the host ----

def test_ollama_host_is_used_when_ours_is_not_set(desk):
    env = {"TRESOR_HOST": "", "OLLAMA_HOST": f"http://localhost:{desk.fake.port}/"}
    assert desk.run("run", "small", "q", env=env)[1] == "Hello there.\n\n"
    assert desk.run("list", env={"TRESOR_HOST": f"0.0.0.0:{desk.fake.port}"})[0] == 0
    assert desk.run("list", env={"TRESOR_HOST": f":{desk.fake.port}"})[0] == 0


@pytest.mark.parametrize("name", ["TRESOR_API_KEY", "OLLAMA_API_KEY"])
def test_the_key_goes_along(desk, name):
    desk.run("list", env={name: "tsr_abc"})
    assert desk.fake.headers["Authorization"] == "Bearer tsr_abc"
    desk.run("list")
    assert desk.fake.headers["Authorization"] is None


def test_no_proxy_gets_what_is_for_this_machine(desk):
    with Fake() as proxy:
        at = f"http://127.0.0.1:{proxy.port}"
        env = {"http_proxy": at, "all_proxy": at, "ALL_PROXY": at, "no_proxy": "", "NO_PROXY": "",
               "TRESOR_API_KEY": "tsr_abc"}
        for host in ("127.0.0.1", "localhost", "0.0.0.0"):
            assert desk.run("list", env={**env, "TRESOR_HOST": f"{host}:{desk.fake.port}"})[0] == 0
            assert desk.fake.headers["Authorization"] == "Bearer tsr_abc"
        assert not proxy.asked


def test_a_host_that_is_none_or_not_there(desk):
    code, _, err = desk.run("list", env={"TRESOR_HOST": "ftp://x"})
    assert code == 1 and "TRESOR_HOST" in err
    code, _, err = desk.run("list", env={"TRESOR_HOST": "127.0.0.1:1"})
    assert code == 1 and "http://127.0.0.1:1 does not answer" in err
    code, _, err = desk.run("list", env={"TRESOR_HOST": "ki.example.org", "TRESOR_API_KEY": "x"})
    assert code == 1 and "clear" in err


def test_accounts_are_not_asked_for_at_ollamas_host(desk):
    env = {"TRESOR_HOST": "", "OLLAMA_HOST": f"127.0.0.1:{desk.fake.port}"}
    code, _, err = desk.run("user", "list", env=env)
    assert code == 1 and "no data directory" in err and not desk.fake.asked


def test_a_data_directory_that_is_named_goes_first(desk):
    code, _, err = desk.run("list", "--data", os.path.join(desk.home, "nothing"))
    assert code == 1 and "no data directory" in err
    code, _, err = desk.run("list", env={"TRESOR_DATA": os.path.join(desk.home, "nothing")})
    assert code == 1 and "no data directory" in err
    assert not desk.fake.asked


def test_version_and_start(desk):
    assert desk.run("-v") == desk.run("--version") == desk.run("version")
    assert desk.run("start", "--key", "cheese")[0] == 2
