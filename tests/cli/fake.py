"""A server that answers as Ollama's API says, with what a test puts into it; records what it was asked."""
import http.server
import json
import threading
import time

NS = 1_000_000_000
COUNTS = {"total_duration": 2 * NS + NS // 2, "load_duration": 812_500_000, "prompt_eval_count": 20,
          "prompt_eval_duration": NS, "eval_count": 30, "eval_duration": 1_200_000_000}
SHOW = {"license": "MIT License\nCopyright (c) somebody\n", "parameters": "temperature                    0.5",
        "template": "{{ x }}", "system": "You are small.",
        "details": {"family": "llama", "parameter_size": "135M", "quantization_level": "Q4_1"},
        "model_info": {"general.architecture": "llama", "llama.context_length": 2048},
        "capabilities": ["completion", "tools"]}


class Fake:
    def __init__(self):
        self.models = {"small": dict(SHOW)}
        self.tags = []
        self.loaded = []
        self.say = ["Hello", " there", "."]  # pieces of the next answers; a pair: thinking, text
        self.slow = 0                        # seconds between pieces
        self.pull = []                       # lines of the next pull
        self.pull_makes = {}                 # models that are there after it
        self.gone = threading.Event()        # a client left in the middle of an answer
        self.asked = []                      # (method, path, body)
        self.headers = None
        self.embedding = [0.25, -0.5]
        self.hold = {}                       # path: an event; the next request there gets no answer, and ends with it
        self.more = {}                       # path: the reply, of what Ollama does not have
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def begin(self, status=200, kind="application/json"):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.end_headers()

            def reply(self, body, status=200):
                self.begin(status)
                self.wfile.write(json.dumps(body, ensure_ascii=False).encode())

            def handle_one(self):
                length = int(self.headers.get("Content-Length") or 0)
                data = self.rfile.read(length)
                kind = self.headers.get("Content-Type", "")
                body = json.loads(data) if data and kind.startswith("application/json") else data
                owner.headers = self.headers
                owner.asked.append((self.command, self.path, body))
                owner.answer(self, body)

            do_GET = do_POST = do_DELETE = handle_one

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def bodies(self, path):
        return [b for _, p, b in self.asked if p == path]

    def answer(self, h, body):
        model = body.get("model") if isinstance(body, dict) else None
        if h.path in self.hold:
            self.hold.pop(h.path).wait(60)
        elif h.path in self.more:
            h.reply(self.more[h.path])
        elif h.path == "/api/tags":
            h.reply({"models": self.tags})
        elif h.path == "/api/ps":
            h.reply({"models": self.loaded})
        elif h.path == "/api/pull":
            self.lines(h, self.pull)
            self.models.update(self.pull_makes)
        elif h.path == "/api/create":
            self.lines(h, [{"status": "writing manifest"}, {"status": "success"}])
        elif h.path.startswith("/api/blobs/"):
            h.begin(201)
        elif h.path == "/api/copy" and body["source"] in self.models:
            h.begin()
        elif h.path in ("/api/show", "/api/chat", "/api/generate", "/api/embed", "/api/delete", "/api/copy"):
            if h.path != "/api/copy" and model in self.models:
                self.of_model(h, body)
            else:
                h.reply({"error": f"model '{model}' not found"}, 404)
        else:
            h.reply({"error": "not found"}, 404)

    def of_model(self, h, body):
        if h.path == "/api/show":
            h.reply(self.models[body["model"]])
        elif h.path == "/api/embed":
            h.reply({"embeddings": [self.embedding]})
        elif h.path == "/api/chat":
            self.chat(h)
        else:
            h.reply({"done": True})

    def lines(self, h, lines):
        h.begin(kind="application/x-ndjson")
        for line in lines:
            h.wfile.write(json.dumps(line).encode() + b"\n")
            h.wfile.flush()

    def chat(self, h):
        h.begin(kind="application/x-ndjson")
        try:
            for piece in self.say:
                thinking, text = piece if isinstance(piece, tuple) else ("", piece)
                m = {"role": "assistant", "content": text, **({"thinking": thinking} if thinking else {})}
                h.wfile.write(json.dumps({"message": m, "done": False}).encode() + b"\n")
                h.wfile.flush()
                time.sleep(self.slow)
            h.wfile.write(json.dumps({"message": {"role": "assistant", "content": ""}, "done": True,
                                      "done_reason": "stop", **COUNTS}).encode() + b"\n")
        except OSError:
            self.gone.set()
