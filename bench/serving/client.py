"""Many streaming HTTP requests from one thread, timed as their bytes arrive.

The client shares the machine with what it measures: while answers stream it only notes what came
when, and reads it afterwards.
"""
import bisect
import dataclasses
import http.client
import json
import selectors
import socket
import time


class Failed(Exception):
    """A request that did not get its answer."""


@dataclasses.dataclass
class Ask:
    address: tuple  # host, port
    body: dict
    key: str = None
    path: str = "/v1/chat/completions"
    at_s: float = 0  # after the start of all


@dataclasses.dataclass
class Answer:
    sent: float          # s, one clock for all
    times: list          # s, arrival of each piece of text; of the end, when there is none
    text: str
    tokens: int          # as the server counts them
    prompt_tokens: int
    cached_tokens: int

    @property
    def first_s(self):
        """Time to first token, s."""
        return self.times[0] - self.sent

    @property
    def rate(self):
        """Tokens per second after the first."""
        return (self.tokens - 1) / (self.times[-1] - self.times[0]) if len(self.times) > 1 else 0

    @property
    def gaps(self):
        return [b - a for a, b in zip(self.times, self.times[1:])]


def request_bytes(ask):
    body = json.dumps(ask.body).encode()
    head = [f"POST {ask.path} HTTP/1.1", f"Host: {ask.address[0]}:{ask.address[1]}", "Connection: close",
            "Content-Type: application/json", f"Content-Length: {len(body)}"]
    if ask.key:
        head.append(f"Authorization: Bearer {ask.key}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def dechunked(data, at):
    """The pieces of a chunked body that begins at `at`: (offset, bytes); ends where it is cut."""
    while True:
        end = data.find(b"\r\n", at)
        size = int(data[at:end].split(b";")[0], 16) if end > at else 0
        if not size:
            return
        yield end + 2, data[end + 2:end + 2 + size]
        at = end + 2 + size + 2


def lines(pieces):
    """(offset of its end, line) of each whole line; the last one may lack its newline."""
    rest, at = b"", 0
    for offset, piece in pieces:
        begin = 0
        while (end := piece.find(b"\n", begin)) >= 0:
            yield offset + end, rest + piece[begin:end]
            rest, begin = b"", end + 1
        rest += piece[begin:]
        at = offset + len(piece) - 1
    if rest:
        yield at, rest


def read_answer(sent, parts):
    """What a server said, from its bytes: parts = [(time, bytes)]. Errors: Failed."""
    data = b"".join(p for _, p in parts)
    ends, total = [], 0
    for _, p in parts:
        total += len(p)
        ends.append(total)
    border = data.find(b"\r\n\r\n")
    if border < 0:
        raise Failed(f"no answer: {data[:200]!r}")
    head, begin = data[:border].lower(), border + 4
    pieces = dechunked(data, begin) if b"transfer-encoding: chunked" in head else [(begin, data[begin:])]
    if data.split(None, 2)[1] != b"200":
        raise Failed(b" ".join(data.split(None, 2)[1:2] + [p for _, p in pieces])[:400].decode(errors="replace"))
    times, text, use, done = [], [], {}, None
    for end, line in lines(pieces):
        if not line.startswith(b"data: "):
            continue
        if line.startswith(b"data: [DONE]"):
            done = parts[bisect.bisect_right(ends, end)][0]
            continue
        d = json.loads(line[6:])
        if d.get("error"):
            raise Failed(json.dumps(d["error"])[:400])
        delta = d["choices"][0].get("delta", {}) if d.get("choices") else d
        piece = (delta.get("content") or "") + (delta.get("reasoning") or delta.get("reasoning_content") or "")
        if piece:
            times.append(parts[bisect.bisect_right(ends, end)][0])
            text.append(piece)
        use = d.get("usage") or use
        if "tokens_predicted" in d:  # llama-server's own route
            use = {"completion_tokens": d["tokens_predicted"], "prompt_tokens": d.get("tokens_evaluated", 0)}
            done = parts[bisect.bisect_right(ends, end)][0] if d.get("stop") else None
    if not done or "completion_tokens" not in use:
        raise Failed(f"an answer of {len(times)} pieces without its {'count' if done else 'end'}")
    return Answer(sent, times or [done], "".join(text), use["completion_tokens"], use.get("prompt_tokens", 0),
                  (use.get("prompt_tokens_details") or {}).get("cached_tokens", 0))


def ended(parts):
    """Whether a chunked body has come to its end; a connection's end is seen by itself."""
    return (parts[-2][1] + parts[-1][1] if len(parts) > 1 else parts[-1][1]).endswith(b"\r\n0\r\n\r\n")


def ask_all(asks, timeout_s=600):
    """Sends all, each at its time, and gives their answers in the same order. Errors: Failed."""
    order = sorted(range(len(asks)), key=lambda i: asks[i].at_s)
    wire = [request_bytes(a) for a in asks]
    sent, parts = [0.0] * len(asks), [[] for _ in asks]
    with selectors.DefaultSelector() as waiting:
        start, n_open = time.perf_counter(), 0
        try:
            while order or n_open:
                now = time.perf_counter()
                while order and asks[order[0]].at_s <= now - start:
                    i = order.pop(0)
                    sent[i] = time.perf_counter()
                    s = socket.create_connection(asks[i].address)
                    s.sendall(wire[i])
                    s.setblocking(False)
                    waiting.register(s, selectors.EVENT_READ, i)
                    n_open += 1
                until = start + asks[order[0]].at_s if order else now + 1
                for key, _ in waiting.select(max(0, until - time.perf_counter())):
                    got = key.fileobj.recv(1 << 16)
                    if got:
                        parts[key.data].append((time.perf_counter(), got))
                    if not got or ended(parts[key.data]):
                        waiting.unregister(key.fileobj)
                        key.fileobj.close()
                        n_open -= 1
                if time.perf_counter() - start > timeout_s:
                    raise Failed(f"no end after {timeout_s} s")
        finally:
            for key in list(waiting.get_map().values()):
                key.fileobj.close()
    return [read_answer(s, p) for s, p in zip(sent, parts)]


def get_json(address, path, body=None, timeout_s=60):
    """A small request whose answer is JSON. Errors: OSError, Failed."""
    c = http.client.HTTPConnection(*address, timeout=timeout_s)
    try:
        c.request("POST" if body is not None else "GET", path, json.dumps(body) if body is not None else None,
                  {"Content-Type": "application/json"})
        r = c.getresponse()
        text = r.read()
        if r.status != 200:
            raise Failed(f"{path}: {r.status} {text[:300]!r}")
        return json.loads(text)
    finally:
        c.close()
