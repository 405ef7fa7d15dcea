#!/usr/bin/env python3
"""The two halves of ./run: `build` brings build/ up to date, `start` becomes the server.

usage: ./run [--port N] [--data DIR] [--listen ADDRESS:PORT]... [--hosts NAMES]
             [--gpu none|cuda|vulkan] [--build-only] [SERVE OPTION...]
"""
import argparse
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
SETUP = ("-Dbuildtype=release", "-Db_ndebug=false") # broken invariants end the process there too


def parse(argv):
    """(our options, what goes to `tresor serve` untouched)."""
    cli = argparse.ArgumentParser(prog="./run", description="Sets up, builds and starts Tresor.",
                                  epilog="Other options go to `tresor serve` (build/tresor help serve).")
    cli.add_argument("--port", type=int, default=7070, help="on loopback; default 7070")
    cli.add_argument("--data", default=os.environ.get("TRESOR_DATA") or os.path.join(
        os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share"), "tresor"),
        help="the data directory; default %(default)s")
    cli.add_argument("--listen", action="append", default=[], metavar="ADDRESS:PORT",
                     help="instead of --port; any other address than loopback is served by TLS")
    cli.add_argument("--gpu", choices=("none", "cuda", "vulkan"), help="what the engine is built for, as "
                     "TRESOR_GPU; default cuda where its compiler is, else none")
    cli.add_argument("--build-only", action="store_true", help="build, do not start")
    cli.add_argument("--no-model", action="store_true", help="pull no model on the first start")
    cli.add_argument("--yes", action="store_true", help="pull the recommended model without asking")
    return cli.parse_known_args(argv)


# ---- build ----

def build(args) -> int:
    sys.path.insert(0, str(ROOT / "tools"))
    from progress import Progress, tail # pylint: disable=import-outside-toplevel
    checked = subprocess.run([ROOT / "tools/preflight", "--port", str(args.port), "--data", args.data],
                             check=False)
    if checked.returncode:
        print("run: this machine is not ready (lines marked BAD above)", file=sys.stderr)
        return 1
    done = subprocess.run([ROOT / "tools/deps"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return 1
    prefix, log = done.stdout.strip(), BUILD / "run.log"
    progress = Progress("run: ")
    steps = [("page", ["ninja", "-C", BUILD, "src/gen/page.c"]), ("program", ["ninja", "-C", BUILD, "tresor", "cli.so", "egress.so", "engine.so", "doc.so", "runtime.stamp"])]
    want, mark = repr([prefix, SETUP]), BUILD / "run-setup"
    if not (BUILD / "build.ninja").exists() or not mark.is_file() or mark.read_text() != want:
        setup = ["meson", "setup", BUILD, ROOT, f"-Ddeps={prefix}", *SETUP]
        if (BUILD / "build.ninja").exists():
            setup.insert(2, "--wipe")
        steps.insert(0, ("configure", setup))
    print(f"run: what the compiler says goes to {log}", file=sys.stderr)
    with open(log, "w", encoding="utf-8") as f:
        for name, cmd in steps:
            progress.begin(name)
            if progress.run(cmd, f):
                progress.done("failed")
                print(f"run: {name} failed; the end of {log}:\n{tail(log, 20)}", file=sys.stderr)
                return 1
            progress.done()
            if name == "configure":
                mark.write_text(want)
    return 0


# ---- start ----

def tresor(args, *words, **kw):
    """The CLI on the data directory of this start."""
    return subprocess.run([BUILD / "tresor", *words, "--data", args.data], text=True, check=False, **kw)


def ask(args, path: str) -> tuple[int, bytes]:
    """GET over the socket in the data directory: works whatever the listener is."""
    import http.client # pylint: disable=import-outside-toplevel
    import socket # pylint: disable=import-outside-toplevel
    conn = http.client.HTTPConnection("localhost", timeout=5)
    conn.sock = socket.socket(socket.AF_UNIX)
    conn.sock.settimeout(5)
    conn.sock.connect(os.path.join(args.data, "control.sock"))
    conn.request("GET", path)
    reply = conn.getresponse()
    return reply.status, reply.read()


def wait_ready(args, server: int) -> bool:
    for _ in range(3000):
        try:
            os.kill(server, 0)
            if ask(args, "/healthz")[0] == 200:
                return True
        except ProcessLookupError:
            return False
        except OSError:
            pass
        time.sleep(0.02)
    return False


def address(args) -> str:
    if not args.listen:
        return f"http://127.0.0.1:{args.port}/"
    first = args.listen[0]
    host, _, port = first.rpartition(":")
    loopback = host in ("localhost", "[::1]") or host.startswith("127.")
    if host in ("0.0.0.0", "[::]", ""):
        import socket # pylint: disable=import-outside-toplevel
        host = socket.gethostname()
    return f"{'http' if loopback else 'https'}://{host}:{port}/"


def say_where(args) -> None:
    import getpass # pylint: disable=import-outside-toplevel
    import json # pylint: disable=import-outside-toplevel
    import socket # pylint: disable=import-outside-toplevel
    print(f"\nTresor is ready: {address(args)}   (Ctrl-C stops it)", flush=True)
    status, body = ask(args, "/team/v1/instance")
    if status == 200 and not json.loads(body).get("has_owner"):
        link = tresor(args, "owner-link", stdout=subprocess.PIPE).stdout.strip()
        print(f"Make the owner account with this link, once:\n  {link}", flush=True)
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and not args.listen:
        host, user = socket.gethostname(), getpass.getuser()
        print("No screen here? From your desk, either\n"
              f"  ssh -L {args.port}:127.0.0.1:{args.port} {user}@{host}   (then open the link there)\n"
              "or let the team in over TLS:\n"
              f"  ./run --listen 0.0.0.0:{args.port} --hosts {host}", flush=True)


def first_model(args) -> None:
    """The starter at once, so that there is an answer; then the best one that fits, on Enter."""
    import json # pylint: disable=import-outside-toplevel
    listed = tresor(args, "list", "--json", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        found = json.loads(listed.stdout)
    except ValueError:
        return
    if found.get("models") if isinstance(found, dict) else found:
        return
    print("Fetching the test model (starter:smollm2) ...", flush=True)
    if tresor(args, "pull", "starter:smollm2", stdout=subprocess.DEVNULL).returncode:
        return
    best = tresor(args, "advise", "--best", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.strip()
    if not best or best.startswith("starter:"):
        return
    if not args.yes:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            print(f"The best model for this machine: build/tresor pull {best} --data {args.data}", flush=True)
            return
        print(f"The best model for this machine is {best}. Enter fetches it, n leaves it: ", end="", flush=True)
        with open("/dev/tty", encoding="utf-8") as tty:
            if tty.readline().strip().lower() not in ("", "y", "j"):
                return
    if tresor(args, "pull", best).returncode:
        print(f"It did not come; later: build/tresor pull {best} --data {args.data}", flush=True)


def helper(args, server: int) -> None:
    """Beside the server: waits until it is ready, then says where it is and fetches a model."""
    if not wait_ready(args, server):
        return
    say_where(args)
    if not args.no_model:
        first_model(args)


def start(args, rest) -> int:
    os.makedirs(args.data, mode=0o700, exist_ok=True)
    args.data = os.path.abspath(args.data)
    server = os.getpid()
    sys.stdout.flush()
    if os.fork() == 0: # forked twice: the server must not find a child it did not start
        if os.fork() == 0:
            try:
                helper(args, server)
            except (OSError, KeyboardInterrupt) as e:
                if not isinstance(e, KeyboardInterrupt):
                    print(f"run: {e}", file=sys.stderr)
        os._exit(0)
    os.wait()
    listen = args.listen or [f"127.0.0.1:{args.port}"]
    cmd = [str(BUILD / "tresor"), "serve", "--data", args.data]
    for one in listen:
        cmd += ["--listen", one]
    os.execv(cmd[0], cmd + rest)


def main() -> int:
    half = sys.argv[1] if len(sys.argv) > 1 else ""
    args, rest = parse(sys.argv[2:] if half in ("build", "start") else sys.argv[1:])
    return {"build": lambda: build(args), "start": lambda: start(args, rest)}.get(half, lambda: 2)()


if __name__ == "__main__":
    sys.exit(main())
