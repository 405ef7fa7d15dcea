"""A reverse proxy on loopback that removes one field from requests or answers, as if the server ignored it,
and may add the key that a client cannot send."""
import contextlib
import http.client
import http.server
import json
import threading

HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "host"}


def without(value, path):
    """Removes a.b.*.c from a JSON value; "*" is every item of a list. How many were there."""
    head, _, rest = path.partition(".")
    if head == "*":
        return sum(without(v, rest) for v in value) if isinstance(value, list) and rest else 0
    if not isinstance(value, dict) or head not in value:
        return 0
    if rest:
        return without(value[head], rest)
    del value[head]
    return 1


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def changed(self, data):
        """A body, or each line of a stream, without the field; bytes as they are where it is not."""
        def one(text):
            prefix = b"data: " if text.startswith(b"data: ") else b""
            try:
                value = json.loads(text[len(prefix):])
            except ValueError:
                return text
            n = without(value, self.server.field)
            self.server.removed += n
            return prefix + json.dumps(value).encode() if n else text
        whole = one(data)
        return whole if whole is not data or b"\n" not in data else b"\n".join(one(x) for x in data.split(b"\n"))

    def forward(self):
        here = self.path.split("?")[0] == self.server.route
        data = self.body()
        if here and data and not self.server.answers:
            data = self.changed(data)
        c = http.client.HTTPConnection("127.0.0.1", self.server.to, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
        if self.server.key:
            headers["Authorization"] = "Bearer " + self.server.key
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it read everything
                c.request(self.command, self.path, data or (b"" if self.command == "POST" else None), headers)
            self.answer(c.getresponse(), here and self.server.answers)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client has left: so does the server's side
        finally:
            c.close()

    def answer(self, r, change):
        self.send_response(r.status)
        for k, v in r.getheaders():
            if k.lower() not in HOP:
                self.send_header(k, v)
        self.send_header("Connection", "close")
        self.close_connection = True
        if self.command == "HEAD" or change or r.getheader("Content-Length"):
            data = b"" if self.command == "HEAD" else r.read()
            data = self.changed(data) if change else data
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            return
        self.end_headers()
        while piece := r.read1(65536):
            self.wfile.write(piece)
            self.wfile.flush()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = forward

    def log_message(self, *args):
        pass


class Proxy(http.server.ThreadingHTTPServer):
    """A context manager. `field` of "answer:X" is removed from what comes back of `route`."""
    daemon_threads = True

    def __init__(self, to, key=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.to, self.key, self.port = to, key, self.server_address[1]
        self.ignore(None, "")
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def ignore(self, route, field):
        self.route, self.removed = route, 0
        self.answers = field.startswith("answer:")
        self.field = field.removeprefix("answer:")

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
