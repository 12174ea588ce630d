"""A service that only answers: registers everybody, accepts everything, keeps nothing. Prints its URL.

``sink.py [--tls PEM] [--stall] [--until-eof]``: over https with that key and certificate; a stalling one reads
positions and never answers them, and prints ``stalled`` for each request that hangs; until its input ends.
"""

from __future__ import annotations

import json
import os
import select
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _answer(self, status: int, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self._body()
        self._answer(201, {"access_token": "bench", "encodings": ["gzip"]})

    def do_GET(self) -> None:
        self._answer(200, {"record_id": self.path.rsplit("/", 1)[-1], "status": "given", "epoch": 0})

    def do_POST(self) -> None:
        body = self._body()
        if self.path.endswith("/withdrawals"):  # an older epoch would be no acknowledgement, and be told for ever
            self._answer(200, {"epoch": json.loads(body)["epoch"], "dropped": 0})
        elif STALL and self.path.endswith("/positions"):
            os.write(1, b"stalled\n")
            select.select([self.connection], [], [], 10)  # until it is cut
            self.close_connection = True
        else:
            self._answer(202, {"accepted": 0, "rejected": []})

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:  # a withdrawal cut the request: that is what is measured
            self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


STALL = "--stall" in sys.argv


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request: object, client_address: object) -> None:
        """The TLS handshake belongs to the thread of its connection."""
        try:
            super().finish_request(TLS.wrap_socket(request, server_side=True) if TLS else request, client_address)
        except OSError:  # cut, like above
            pass

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


TLS = None
if "--tls" in sys.argv:
    TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    TLS.load_cert_chain(sys.argv[sys.argv.index("--tls") + 1])


if __name__ == "__main__":
    if "--until-eof" in sys.argv:
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    server = Server(("127.0.0.1", 0), Handler)
    print(f"{'https' if TLS else 'http'}://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
