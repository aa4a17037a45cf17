"""A server in the Hugging Face Hub's place, for one dataset repository in a local folder, that misbehaves on command.

It answers what huggingface_hub 2.4 and datasets 5.2 ask when they stream Parquet files; all else is not found. Their
process needs HF_ENDPOINT set to `FakeHub.endpoint`, and an HF_HOME of its own, before it imports them.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FLIPPED = bytes(255 - byte for byte in range(256))


@dataclass(frozen=True)
class Asked:
    """A request as it came in. path: with its query. range: the header, '' if there is none."""

    method: str
    path: str
    range: str


@dataclass(frozen=True)
class Request:
    """A GET of a file's bytes. first, last: the bytes asked for. number: how many such requests came before it."""

    path: str
    first: int
    last: int
    number: int


@dataclass(frozen=True)
class Fault:
    """What goes wrong with an answer.

    status: it is the HTTP status `amount`, and no bytes. slow: it comes `amount` seconds late. half: after its headers
    come half of the bytes, then the connection is closed. short: it has half of the bytes, as if the file ended there.
    garbage: it has as many bytes as were asked for, but wrong ones. silent: it never comes; the connection stays open
    until the server stops.
    """

    kind: Literal["status", "slow", "half", "short", "garbage", "silent"]
    amount: float = 0


class FakeHub:
    """Serves folder as the dataset repo at `endpoint` while the context lasts; its branch main stands for `commit`.

    mood is asked about every GET of a file's bytes, and may be set at any time. requests: all that was asked so far.
    """

    def __init__(self, folder: Path, repo: str = "Metacreation/GigaMIDI") -> None:
        self.folder = folder
        self.repo = repo
        self.commit = COMMIT
        self.requests: list[Asked] = []
        self.mood: Callable[[Request], Fault | None] = lambda request: None
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._n_data = 0
        self._port = 0
        self._server: _Server | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> FakeHub:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Accept connections, at the same port as before a stop; does nothing if it already does."""
        if self._server is not None:
            return
        self.stopped.clear()
        self._server = _Server(self, self._port)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Cut all connections and refuse new ones. A mood may call this too."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            self.stopped.set()
            server.shutdown()
            server.server_close()
            server.cut()

    def fault(self, path: str, first: int, last: int) -> Fault | None:
        """What goes wrong with the next answer that has a file's bytes."""
        with self._lock:
            request = Request(path, first, last, self._n_data)
            self._n_data += 1
        return self.mood(request)

    def about(self, path: Path) -> dict[str, Any]:
        """What the API says of a file or a folder in the repository."""
        stat, name = path.stat(), path.relative_to(self.folder).as_posix()
        oid = hashlib.sha1(f"{name} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()
        kind, size = ("file", stat.st_size) if path.is_file() else ("directory", 0)
        return {"type": kind, "oid": oid, "size": size, "path": name}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, hub: FakeHub, port: int) -> None:
        self.hub = hub
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # the one of HTTPServer asks a name server as well

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with suppress(OSError):  # the other side left, or the server was stopped
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        hub, url = self.server.hub, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        hub.requests.append(Asked(self.command, self.path, self.headers.get("Range", "")))
        repo = rf"/(?:api/)?datasets/{re.escape(hub.repo)}"
        found = re.fullmatch(rf"{repo}(?:/(revision|tree|paths-info|resolve)/([^/]+)/?(.*))?", url.path)
        if found is None:
            return self._not_found("Repo")
        what, revision, inner = (unquote(group) for group in found.groups(""))
        if revision not in ("", "main", hub.commit):
            return self._not_found("Revision")
        path = hub.folder / inner
        if what == "resolve" and path.is_file():
            self._file(path)
        elif what == "tree" and path.is_dir():
            recursive = parse_qs(url.query).get("recursive") == ["true"]
            self._say([hub.about(each) for each in sorted(path.rglob("*") if recursive else path.iterdir())])
        elif what == "paths-info":
            paths = [hub.folder / name for name in json.loads(body)["paths"]]
            self._say([hub.about(each) for each in paths if each.exists()])
        elif what in ("", "revision"):
            files = [each for each in sorted(hub.folder.rglob("*")) if each.is_file()]
            siblings = [{"rfilename": each.relative_to(hub.folder).as_posix()} for each in files]
            self._say({"id": hub.repo, "sha": hub.commit, "private": False, "gated": False, "siblings": siblings})
        else:
            self._not_found("Entry")

    do_HEAD = do_POST = do_GET

    def _file(self, path: Path) -> None:
        hub, content = self.server.hub, path.read_bytes()
        about = hub.about(path)
        first, last, size = 0, len(content) - 1, len(content)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            first, last = int(asked[1]), min(int(asked[2] or last), last)
        data = content[first : last + 1]
        fault = (hub.fault(about["path"], first, last) if self.command == "GET" else None) or Fault("slow", 0)
        if fault.kind == "status":
            return self._send(int(fault.amount), {}, b"")
        if fault.kind in ("slow", "silent") and hub.stopped.wait(fault.amount if fault.kind == "slow" else None):
            raise ConnectionAbortedError
        if fault.kind == "short":
            data = data[: len(data) // 2]
            size = first + len(data)
        if fault.kind == "garbage":
            data = data.translate(FLIPPED)
        headers = {"ETag": f'"{about["oid"]}"', "X-Repo-Commit": hub.commit, "Accept-Ranges": "bytes"}
        if asked:
            headers["Content-Range"] = f"bytes {first}-{first + len(data) - 1}/{size}"
        self._send(206 if asked else 200, headers, data, len(data) // (2 if fault.kind == "half" else 1))

    def _say(self, value: object) -> None:
        self._send(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _not_found(self, what: str) -> None:
        self._send(404, {"X-Error-Code": f"{what}NotFound", "X-Error-Message": f"{what} not found"}, b"")

    def _send(self, code: int, headers: dict[str, str], body: bytes, n_sent: int | None = None) -> None:
        """Answer with this body, or with its first n_sent bytes and a closed connection."""
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:n_sent])
            self.close_connection |= n_sent is not None and n_sent < len(body)
