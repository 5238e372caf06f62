"""A wire between client and node that loses, doubles and cuts, at the n-th request that goes over it."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

Plan = Callable[[int, list[str]], str]
"""From the number of a request and its methods to what happens to it, see `Wire`."""


class Wire(HTTPServer):
    """An HTTP proxy. Its plan says for each request: `pass`; `lose request`; `lose answer` (the node has acted);
    `double` (the node gets it twice, the client the second answer). `before` and `after` are called around the node.
    """

    def __init__(self, target: str, plan: Plan) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.plan = plan
        self.count = 0
        self.methods: list[list[str]] = []
        self.before: Callable[[int], None] = lambda number: None
        self.after: Callable[[int], None] = lambda number: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Wire

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parsed = json.loads(body)
        methods = [each["method"] for each in (parsed if isinstance(parsed, list) else [parsed])]
        number = self.server.count
        self.server.count += 1
        self.server.methods.append(methods)
        action = self.server.plan(number, methods)
        self.server.before(number)
        if action == "lose request":
            return
        answer = self._forward(body)
        if action == "double":
            answer = self._forward(body)
        self.server.after(number)
        if action == "lose answer":
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _forward(self, body: bytes) -> bytes:
        request = urllib.request.Request(self.server.target, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def wire(target: str, plan: Plan = lambda number, methods: "pass") -> Iterator[Wire]:
    server = Wire(target, plan)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
