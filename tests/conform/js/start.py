"""Starts a Tresor with the models that the checks ask for, and runs them with Node.

With CONFORM_URL set (and CONFORM_KEY, CONFORM_KEY_READ) a server is there already, maybe behind something that
changes requests, and only the checks run.
"""
import fcntl
import hashlib
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
for folder in ("tools", "tests/lib", "tests/vision", "tests/embed"):
    sys.path.insert(0, str(ROOT / folder))
import build_web  # noqa: E402
from models import fill_in_model, thinking_model  # noqa: E402
from tresor import Instance  # noqa: E402

SCOPES = "chat,models.read,models.change,models.push,metrics"


def node_env():
    """Node's environment, with the packages of package-lock.json installed."""
    env = build_web.node_env("22.0")  # what the newest clients ask for
    with open(HERE / "package.json", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build_web.install(HERE, env)
    return env


def add_models(i):
    """smollm2 itself, and with another template or other names of tokens; one that sees; one for vectors."""
    import bert
    from test_model import Projector
    starter = os.path.join(os.environ["TRESOR_DEPS"], "share/starter/smollm2.gguf")
    i.with_model()
    for name, write in (("fim", lambda p: fill_in_model(starter, p)), ("thinker", lambda p: thinking_model(starter, p)),
                        ("minilm", lambda p: bert.load_minilm().write(p, bert.MEAN))):
        path = os.path.join(i.home, name + ".gguf")
        write(path)
        i.must("pull", "file:" + path, "--as", name)
        os.remove(path)
    make_seer(i, starter, Projector().write(os.path.join(i.home, "mmproj.gguf")))


def blob(i, path):
    """The file's digest; uploaded unless it is there."""
    with open(path, "rb") as f:
        data = f.read()
    address, key = "sha256:" + hashlib.sha256(data).hexdigest(), {"Authorization": f"Bearer {i.secret}"}
    if i.request("HEAD", "/api/blobs/" + address, headers=key)[0] != 200:
        status, body, _ = i.request("POST", "/api/blobs/" + address, data, key, raw=True)
        if status != 201:
            raise RuntimeError(f"{path}: {status} {body}")
    return address


def make_seer(i, model, projector):
    files = {"model.gguf": blob(i, model), "mmproj.gguf": blob(i, projector)}
    status, body = i.api("POST", "/api/create", {"model": "seer", "files": files, "stream": False}, key=i.secret)
    if status != 200:
        raise RuntimeError(f"seer: {status} {body}")


def main():
    env = node_env()
    command = ["node", str(HERE / "main.mjs")]
    if env.get("CONFORM_URL"):
        return subprocess.run(command, env=env, check=False).returncode
    with Instance() as i:
        i.start()
        i.add_user("o@example.org", "owner")
        i.secret = i.key("o@example.org", SCOPES)
        add_models(i)
        env.update(CONFORM_URL=f"http://127.0.0.1:{i.port}", CONFORM_KEY=i.secret,
                   CONFORM_KEY_READ=i.key("o@example.org", "models.read"))
        return subprocess.run(command, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
