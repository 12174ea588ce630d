"""A service that only answers: registers everybody, accepts everything, keeps nothing. Prints its URL."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self, status: int, document: dict[str, object]) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self._answer(201, {"access_token": "bench", "encodings": ["gzip"]})

    def do_GET(self) -> None:
        self._answer(200, {"record_id": self.path.rsplit("/", 1)[-1], "status": "given", "epoch": 0})

    def do_POST(self) -> None:
        if self.path.endswith("/withdrawals"):
            self._answer(200, {"epoch": 1, "dropped": 0})
        else:
            self._answer(202, {"accepted": 0, "rejected": []})

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:  # a withdrawal cut the request: that is what is measured
            self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
