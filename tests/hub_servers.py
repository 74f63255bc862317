"""Servers that stand in for a hub: with a model, or one that refuses, resets connections or never answers."""

import contextlib
import hashlib
import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants


def use_hub(monkeypatch: pytest.MonkeyPatch, cache: Path, address: str) -> None:
    """Let the libraries of this process, which read it once, use the hub at an address, with a cache of its own."""
    settings = {"ENDPOINT": address, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": False}
    settings["HUGGINGFACE_CO_URL_TEMPLATE"] = address + "/{repo_id}/resolve/{revision}/{filename}"
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)


class _Refusing(BaseHTTPRequestHandler):
    """Answers like the hub at its front page, and with the server's refusal everywhere else."""

    def do_HEAD(self):
        self.server.requests.append(self.path)
        status, code = (200, None) if self.path == "/" else self.server.refusal
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_):
        pass


class _Providing(BaseHTTPRequestHandler):
    """Answers as the hub does for the files of one model."""

    COMMIT = "0" * 40

    def do_GET(self):
        path = self.path.split("?")[0]
        name, folder = self.server.name, self.server.folder
        if self.command == "GET":
            self.server.requests.append(path)
        if path.startswith(f"/api/models/{name}"):
            files = [{"rfilename": file.name} for file in sorted(folder.iterdir())]
            tree = [{"type": "file", "path": file.name, "size": 1, "oid": "0"} for file in sorted(folder.iterdir())]
            return self._send(
                json.dumps(tree if "/tree/" in path else {"id": name, "sha": self.COMMIT, "siblings": files}).encode()
            )
        file = folder / path.rpartition("/")[2]
        if f"/{name}/resolve/" in path and file.is_file():
            return self._send(file.read_bytes())
        return self._send(b"", status=404)

    do_HEAD = do_GET

    def _send(self, content, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.COMMIT)
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def model_server(name, folder):
    """Run a server that provides a folder as a model; yield its address and the list of its GET requests."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Providing)
    server.name, server.folder, server.requests = name, folder, []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.requests
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def refusing_server(status, code=None):
    """Run a server that refuses every file with an HTTP status; yield its address and the list of its requests."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    server.refusal, server.requests = (status, code), []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.requests
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def silent_server(resets=False):
    """Run a server that accepts connections and never answers; yield its address and the list of its connections.

    Args:
        resets: reset each connection at once. The libraries try again then, as they do at a port where nobody listens,
            which could not count the attempts.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    connections = []

    def accept():
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                connections.append(listener.accept()[0])
                if resets:
                    connections[-1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connections[-1].close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", connections
    finally:
        listener.close()
        for connection in connections:
            connection.close()
