"""What `make up` says at its end."""

from __future__ import annotations

import http.server
import socket
import threading
import time

from tools.up import answers


class _Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(403)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_an_address_that_answers_later_is_waited_for() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = []

    def serve() -> None:
        time.sleep(0.5)
        served.append(http.server.HTTPServer(("127.0.0.1", port), _Refusing))
        served[0].serve_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    start = time.monotonic()
    assert answers(f"http://127.0.0.1:{port}/", 20), "a refusal is an answer"
    assert time.monotonic() - start >= 0.4
    served[0].shutdown()
    thread.join()
    served[0].server_close()
    assert not answers(f"http://127.0.0.1:{port}", 0.3)
