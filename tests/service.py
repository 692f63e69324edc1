"""A service on this machine, for clients over HTTP."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], bytes]      # status, headers, body


class Service:
    """Answers each POST of JSON with what `respond` makes of it; `seen` and `headers` hold what was asked, `most` how many
    requests were at work at once."""

    def __init__(self, path: str) -> None:
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.at_work = self.most = 0
        self.lock = threading.Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                with service.lock:
                    service.at_work += 1
                    service.most = max(service.most, service.at_work)
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                service.seen.append(body)
                service.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, headers, answer = service.respond(body)
                with service.lock:
                    service.at_work -= 1
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # a client that gave up  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}{path}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def respond(self, body: dict[str, Any]) -> Answer:
        raise NotImplementedError

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
