"""Graphics cards, with Vulkan's software device in their place, which counts as one only because
`gpu = software` says so. It shows that the paths work; a real card it does not show."""
import glob
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Instance  # noqa: E402

BUILD = os.environ.get("TRESOR_BUILD", os.path.join(os.path.dirname(__file__), "../../build-test"))
WAIT_S = 600 # a software device makes a token a second
SOFTWARE = "llvmpipe|lavapipe|SwiftShader"
TOKENS = 6 # the model is sure of so many: no two are near each other, so rounding decides none
QUESTION = "The capital of France is"


def has_vulkan():
    return bool(glob.glob(os.path.join(os.environ.get("TRESOR_DEPS", ""), "lib/libggml-vulkan*")))


def has_software_device():
    return any("lvp" in p or "lavapipe" in p for folder in ("/usr/share", "/etc")
               for p in glob.glob(f"{folder}/vulkan/icd.d/*.json"))


pytestmark = [
    pytest.mark.skipif(not has_vulkan(), reason="not run: this build has no Vulkan (TRESOR_GPU=vulkan ./test gpu)"),
    pytest.mark.skipif(not has_software_device(), reason="not run: no software device (mesa-vulkan-drivers)"),
]


class Served:
    """An instance whose tresor.conf says which cards count."""

    def __init__(self, gpu):
        self.i = Instance()
        os.makedirs(self.i.data, mode=0o700)
        with open(os.path.join(self.i.data, "tresor.conf"), "w", encoding="ascii") as f:
            f.write(f"gpu = {gpu}\n")

    def __enter__(self):
        self.i.ready()
        return self

    def __exit__(self, *_):
        self.i.__exit__()

    def generate(self, **options):
        body = {"model": "smollm2", "prompt": QUESTION, "raw": True, "stream": False,
                "options": {"temperature": 0, "num_predict": TOKENS, **options}}
        status, text, _ = self.i.request("POST", "/api/generate", body,
                                         {"Authorization": f"Bearer {self.i.secret}"}, timeout=WAIT_S)
        return status, json.loads(text)

    def fleet(self):
        return json.loads(self.i.must("ps", "--verbose", "--json"))

    def all_loaded(self):
        return json.loads(self.i.must("ps", "--json"))["models"]

    def loaded(self):
        return self.all_loaded()[0]

    def engine(self):
        """The process of the one engine."""
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                argv = open(f"/proc/{entry}/cmdline", "rb").read().split(b"\0")
                parent = int(open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if parent == self.i.process.pid and argv[1:3] == [b"role", b"engine"]:
                return int(entry)
        raise AssertionError("there is no engine")


@pytest.fixture(scope="module")
def processor():
    """What the processor answers."""
    with Served("off") as s:
        status, reply = s.generate()
        assert status == 200 and s.loaded()["size_vram"] == 0
        return reply["response"]


@pytest.fixture(scope="module")
def card():
    with Served("software") as s:
        s.first = s.generate()
        yield s


def test_a_card_answers_as_the_processor_does(card, processor):
    status, reply = card.first
    assert status == 200, reply
    assert reply["response"] == processor
    assert not any("processor" in w for w in reply.get("warnings", []))


def test_ps_show_and_doctor_name_the_card(card):
    model = card.loaded()
    assert re.search(SOFTWARE, model["cards"]) and model["size_vram"] == model["size"]
    assert re.search(rf"100% GPU \(.*({SOFTWARE})", card.i.must("ps"))
    assert re.search(rf"graphics cards .*({SOFTWARE})", card.i.must("ps", "--verbose"))
    assert re.search(rf"runs on .*({SOFTWARE})", card.i.must("show", "smollm2"))
    fleet = card.fleet()
    assert fleet["models"][0]["processor"] == "gpu" and re.search(SOFTWARE, fleet["models"][0]["cards"])
    assert len(fleet["machine"]["cards"]) == 1 and fleet["machine"]["cards"][0]["memory"] > 0
    doctor = card.i.run("doctor")[1]
    assert re.search(rf"GPU: .*({SOFTWARE})", doctor)


def test_the_engine_is_locked_and_holds_nothing_of_the_machine(card):
    if os.geteuid():
        pytest.skip("reads /proc of a process that is not dumpable: needs root")
    pid = card.engine()
    text = open(f"/proc/{pid}/status").read()
    assert "Seccomp:\t2" in text and "NoNewPrivs:\t1" in text and "CapEff:\t0000000000000000" in text
    written = [line.split()[-1] for line in open(f"/proc/{pid}/maps") if " rw-s " in line and "/" in line]
    assert all(p.startswith(("/memfd:", "/dev/")) for p in written), written
    env = dict(e.split("=", 1) for e in open(f"/proc/{pid}/environ").read().split("\0") if "=" in e)
    assert "HOME" not in env # where a shader cache would lie


def test_the_engine_dies_and_comes_back_on_the_card(card, processor):
    before = card.engine()
    os.kill(before, signal.SIGKILL)
    end = time.monotonic() + 30
    while os.path.exists(f"/proc/{before}") and time.monotonic() < end:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{before}")
    status, reply = card.generate()
    assert status == 200 and reply["response"] == processor
    assert card.engine() != before and re.search(SOFTWARE, card.loaded()["cards"])


def test_a_software_device_is_no_gpu_unless_a_test_says_so():
    with Served("auto") as s:
        assert s.fleet()["machine"]["cards"] == []
        status, reply = s.generate(require="gpu")
        assert status >= 400 and "a GPU is required, and this machine has none" in json.dumps(reply)
        assert s.all_loaded() == [] # nothing was loaded instead
        status, reply = s.generate(require="any")
        assert status == 200 and "cards" not in s.loaded()
        if not os.geteuid(): # one for the processor brings no driver in
            assert not re.search("lvp|libLLVM", open(f"/proc/{s.engine()}/maps").read())


def test_off_is_off():
    with Served("off") as s:
        assert s.fleet()["machine"]["cards"] == []
        status, reply = s.generate(require="gpu")
        assert status >= 400 and "a GPU is required" in json.dumps(reply)


@pytest.fixture(scope="module")
def engine_tests():
    """Two cards at once: the same device twice, which only the engine itself can be given."""
    subprocess.run(["ninja", "-C", BUILD, "src/engine/gpu_test"], check=True, stdout=sys.stderr)
    done = subprocess.run(["src/engine/gpu_test"], cwd=BUILD, stdout=subprocess.PIPE, text=True, check=False)
    return dict((m[2], m[1]) for m in re.finditer(r"^(ok|not ok) \d+ - (\w+)", done.stdout, re.M))


@pytest.mark.parametrize("name", ["two_cards_share_a_model_by_layers_and_answer_as_the_processor",
                                  "a_card_that_is_not_there_is_refused_and_no_processor_takes_its_place"])
def test_the_engine(engine_tests, name):
    assert engine_tests.get(name) == "ok"
